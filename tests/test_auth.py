import hashlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import JOB_ID, TOKEN, Get, Plant, line, url
from flask.testing import FlaskClient
from problem import assert_problem
from werkzeug.test import TestResponse

from auth import TokenFile, TokensError, parse

REQUIRED = "Authentication is required: send a bearer token."
INVALID = "The access token is unknown, expired or revoked."
BARE = 'Bearer realm="bulk-action-jobs"'
CHALLENGE = f'{BARE}, error="invalid_token", error_description="{INVALID}"'
PAST, FUTURE = "2001-01-01T00:00:00Z", "2999-12-31T23:59:59Z"
DIGEST = line(TOKEN).split()[0]
NO_TOKENS = f"|Basic dGVz|Basic \xff|Token {TOKEN}|{TOKEN}|Bearer|Bearer |bearer  "
BAD = f"""unknown|{TOKEN[:-1]}|{TOKEN.upper()}|{TOKEN} {TOKEN}|{TOKEN}, Bearer {TOKEN}|{DIGEST}|a=b
|\xfc\xf1"""
MALFORMED = f"""{TOKEN}|{TOKEN} tester|{DIGEST}|{DIGEST[1:]} tester|0{DIGEST} tester|{DIGEST} tëster
|{DIGEST} {PAST}|{DIGEST} tester soon|{DIGEST} tester {FUTURE[:10]}|{DIGEST} tester {FUTURE[:-1]}
|{DIGEST} tester {FUTURE} more|{DIGEST} tester {PAST}#3|{DIGEST} tester 0000-01-01T00:00:00Z"""


def ask(client: FlaskClient, authorization: str | None, job_id: str = JOB_ID) -> TestResponse:
    environ = {} if authorization is None else {"HTTP_AUTHORIZATION": authorization}
    return client.get(url(job_id), environ_overrides=environ)


# The challenge


@pytest.mark.parametrize("empty", ["", line("", "empty")], ids=["", "its digest is there"])
@pytest.mark.parametrize("text", [None, *NO_TOKENS.split("|")])
def test_without_a_bearer_token_the_challenge_is_bare(
    client: FlaskClient, tokens_file: Path, text: str | None, empty: str
) -> None:
    tokens_file.write_text(line(TOKEN) + empty)
    response = ask(client, text)
    assert_problem(response, 401, REQUIRED)
    assert response.headers["WWW-Authenticate"] == BARE


@pytest.mark.parametrize("token", [*BAD.replace("\n", "").split("|"), "x" * 60_000])
def test_a_bad_token_is_told_to_be_invalid(client: FlaskClient, token: str) -> None:
    response = ask(client, f"Bearer {token}")
    assert_problem(response, 401, INVALID)
    assert response.headers["WWW-Authenticate"] == CHALLENGE


@pytest.mark.parametrize("job_id", [JOB_ID, "00000000-0000-4000-8000-000000000000", "x", "%00"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_without_a_token_no_one_learns_which_ids_exist(
    client: FlaskClient, plant: Plant, job_id: str, method: str
) -> None:
    plant()
    assert client.open(url(job_id), method=method).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_a_good_token_passes_whatever_the_case_of_its_scheme(
    client: FlaskClient, plant: Plant, scheme: str
) -> None:
    plant()
    assert ask(client, f"{scheme} {TOKEN}").status_code == 200


# The lines of the file


@pytest.mark.parametrize(
    "text",
    [
        line(TOKEN),
        line(TOKEN).upper(),
        "\ufeff" + line(TOKEN),
        line(TOKEN).replace(" ", "\t"),
        f"# clients\n\n  {line(TOKEN)}\n# end",
        line(TOKEN).strip() + " # the tests\r\n",
        line(TOKEN, expires="2999-12-31T23:59:59.123456789+02:00"),
        line(TOKEN, expires="2999-12-31t23:59:60z"),
        line(TOKEN, "tester", f"{FUTURE} # until then"),
        line("other", "other") + line(TOKEN),
        line(TOKEN, "before", PAST) + line(TOKEN, expires=FUTURE) + line(TOKEN, "after", PAST),
    ],
)
def test_a_line_admits_its_client_and_of_two_the_later_expiry_counts(
    tokens_file: Path, text: str
) -> None:
    tokens_file.write_text(text)
    tokens = TokenFile(tokens_file)
    tokens.check()
    assert (tokens.verify(TOKEN) or "").lower() == "tester"


@pytest.mark.parametrize("expires", [PAST, "1998-12-31T23:59:60Z", "0001-01-01T00:00:00+23:59"])
@pytest.mark.parametrize("name", ["tester", "tester#3"])  # no comment, which would hide the expiry
def test_an_expired_line_admits_no_one(tokens_file: Path, name: str, expires: str) -> None:
    tokens_file.write_text(line(TOKEN, name, expires))
    tokens = TokenFile(tokens_file)
    tokens.check()
    assert tokens.verify(TOKEN) is None


@pytest.mark.parametrize("text", MALFORMED.replace("\n", "").split("|"))
def test_a_malformed_line_refuses_the_start_by_file_and_line(tokens_file: Path, text: str) -> None:
    tokens_file.write_text("# clients\n" + line("other") + text)
    with pytest.raises(TokensError) as caught:
        TokenFile(tokens_file).check()
    expected = "expected 'SHA-256-hex NAME [EXPIRES]', EXPIRES an RFC 3339 date-time"
    assert str(caught.value) == f"{tokens_file}, line 3: {expected}"


def test_a_file_without_a_token_refuses_the_start(tokens_file: Path) -> None:
    tokens_file.write_text("# none yet\n")
    with pytest.raises(TokensError, match=f"{tokens_file}, no line has a token"):
        TokenFile(tokens_file).check()


def test_a_byte_that_is_no_utf_8_spoils_its_line_alone() -> None:
    tokens, complaints = parse(line(TOKEN).encode() + b"# caf\xe9\n" + b"\xff\n")
    assert [token.name for token in tokens.values()] == ["tester"]
    assert [text.partition(":")[0] for text in complaints] == ["line 3"]


def test_a_hundred_thousand_tokens_work(tokens_file: Path) -> None:
    tokens_file.write_text("".join(line(str(n), f"client-{n}") for n in range(100_000)))
    tokens = TokenFile(tokens_file)
    assert (tokens.verify("99999"), tokens.verify("100000")) == ("client-99999", None)


# The file as it is now


def test_an_edit_counts_with_the_next_request(get: Get, tokens_file: Path) -> None:
    for text, status in ((line("someone"), 401), (line(TOKEN), 404), ("", 401)):
        tokens_file.write_text(text)
        assert get().status_code == status


def test_edits_of_one_length_within_a_tick_of_the_clock_count_too(tokens_file: Path) -> None:
    tokens = TokenFile(tokens_file)
    for _ in range(200):
        tokens_file.write_text(line("someone"))
        assert tokens.verify(TOKEN) is None
        tokens_file.write_text(line(TOKEN))
        assert tokens.verify(TOKEN) == "tester"


def test_an_edit_long_after_the_last_counts_too(
    tokens_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 2**62)  # every change is long ago
    tokens = TokenFile(tokens_file)
    assert [tokens.verify(TOKEN), tokens.verify(TOKEN)] == ["tester", "tester"]
    new = tokens_file.with_name("new")
    new.write_text(line("someone"))
    new.replace(tokens_file)
    assert [tokens.verify(TOKEN), tokens.verify("someone")] == [None, "tester"]


def test_an_expiry_counts_with_the_next_request(tokens_file: Path) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    tokens_file.write_text(line(TOKEN, expires=soon.isoformat()))
    tokens = TokenFile(tokens_file)
    assert tokens.verify(TOKEN) == "tester"
    time.sleep(0.35)
    assert tokens.verify(TOKEN) is None


def test_a_malformed_line_is_logged_once_while_the_rest_stays_in_force(
    get: Get, tokens_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert get().status_code == 404
    tokens_file.write_text(f"oops {TOKEN}\n" + line(TOKEN) + "oops\n")
    assert [get().status_code, get().status_code] == [404, 404]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith(f"{tokens_file}, line 1: expected 'SHA-256-hex NAME")
    assert record.getMessage().endswith("; 2 lines are ignored")
    assert TOKEN not in caplog.text


def test_a_file_that_cannot_be_read_is_a_500_until_it_can(
    get: Get, tokens_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    away = tokens_file.rename(tokens_file.with_name("away"))
    assert_problem(get(), 500)
    assert f"cannot read {tokens_file}: No such file or directory" in caplog.text
    assert TOKEN not in caplog.text
    tokens_file.mkdir()
    assert_problem(get(), 500)
    tokens_file.rmdir()
    away.rename(tokens_file)
    assert get().status_code == 404


# Writing


def test_a_new_token_is_stored_as_its_digest_alone(tokens_file: Path) -> None:
    before = tokens_file.read_text()
    with TokenFile(tokens_file).adding("laptop", FUTURE) as token:
        assert tokens_file.read_text() == before
    assert len(token) >= 43
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert tokens_file.read_text() == f"{before}{digest} laptop {FUTURE}\n"
    assert TokenFile(tokens_file).verify(token) == "laptop"


@pytest.mark.parametrize(("name", "reason"), [("tester", "already"), ("a b", "visible")])
def test_a_name_in_use_or_unfit_is_refused(tokens_file: Path, name: str, reason: str) -> None:
    with pytest.raises(TokensError, match=reason), ExitStack() as stack:
        stack.enter_context(TokenFile(tokens_file).adding(name))


def test_revoke_removes_the_lines_of_a_name_and_no_other(tokens_file: Path) -> None:
    kept = f"# {line(TOKEN)}oops tester\n{line('other', 'tester2')}"
    tokens_file.write_text(line(TOKEN) + kept + line("third", expires=PAST).strip())
    assert TokenFile(tokens_file).revoke("tester")
    assert tokens_file.read_text() == kept
    assert not TokenFile(tokens_file).revoke("tester")


def test_writers_at_once_lose_no_token_and_readers_see_whole_files(tokens_file: Path) -> None:
    tokens = TokenFile(tokens_file)

    def write(name: str) -> str:
        for _ in range(5):
            with TokenFile(tokens_file).adding(name):
                pass
            TokenFile(tokens_file).revoke(name)
        with TokenFile(tokens_file).adding(name) as token:
            return token

    with ThreadPoolExecutor(8) as threads:
        writes = [threads.submit(write, f"client-{n}") for n in range(8)]
        while not all(write.done() for write in writes):
            assert tokens.verify(TOKEN) == "tester"
            assert tokens.read()[1] == []
    made = [write.result() for write in writes]
    assert sorted(filter(None, map(tokens.verify, made))) == [f"client-{n}" for n in range(8)]


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    for name in ("none/tokens", ""):
        with pytest.raises(TokensError, match=f"cannot write {tmp_path / name}: "):
            TokenFile(tmp_path / name).revoke("laptop")
