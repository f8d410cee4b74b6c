import logging
import resource
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import JOB_ID, TOKEN, Get, Plant, line, url
from flask.testing import FlaskClient
from problem import assert_problem
from werkzeug.test import TestResponse

from auth import TokenFile, TokensError

REQUIRED = "Authentication is required: send a bearer token."
INVALID = "The access token is unknown, expired or revoked."
BARE = 'Bearer realm="bulk-action-jobs"'
CHALLENGE = f'{BARE}, error="invalid_token", error_description="{INVALID}"'
PAST, FUTURE = "2001-01-01T00:00:00Z", "2999-12-31T23:59:59Z"
DIGEST = line(TOKEN).split()[0]
NO_TOKENS = f"|Basic dGVz|Basic \xff|Token {TOKEN}|{TOKEN}|Bearer|Bearer |bearer  "
BAD = f"unknown|{TOKEN[:-1]}|{TOKEN.upper()}|{TOKEN} {TOKEN}|{DIGEST}|a=b|\xfc\xf1"
MALFORMED = f"""{TOKEN}|{TOKEN} tester|{DIGEST}|{DIGEST[1:]} tester|0{DIGEST} tester|{DIGEST} tëster
|{DIGEST} {PAST}|{DIGEST} tester soon|{DIGEST} tester {FUTURE[:10]}|{DIGEST} tester {FUTURE[:-1]}
|{DIGEST} tester {FUTURE} more|{DIGEST} tester {PAST}#3|{DIGEST} tester 0000-01-01T00:00:00Z"""
EXPECTED = "expected 'SHA-256-hex NAME [EXPIRES]', EXPIRES an RFC 3339 date-time"


def ask(client: FlaskClient, authorization: str | None, job_id: str = JOB_ID) -> TestResponse:
    environ = {} if authorization is None else {"HTTP_AUTHORIZATION": authorization}
    return client.get(url(job_id), environ_overrides=environ)


# The challenge


@pytest.mark.parametrize("text", [None, *NO_TOKENS.split("|")])
def test_without_a_bearer_token_the_challenge_is_bare_whatever_the_id(
    client: FlaskClient, plant: Plant, tokens_file: Path, text: str | None
) -> None:
    plant()
    tokens_file.write_text(line(TOKEN) + line("", "empty"))
    for job_id in (JOB_ID, "00000000-0000-4000-8000-000000000000", "x"):
        response = ask(client, text, job_id)
        assert_problem(response, 401, REQUIRED)
        assert response.headers["WWW-Authenticate"] == BARE


@pytest.mark.parametrize("token", BAD.split("|"))
def test_a_bad_token_is_told_to_be_invalid(client: FlaskClient, token: str) -> None:
    response = ask(client, f"Bearer {token}")
    assert_problem(response, 401, INVALID)
    assert response.headers["WWW-Authenticate"] == CHALLENGE


# The lines of the file


@pytest.mark.parametrize(
    "text",
    [
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
def test_a_line_admits_its_client_and_the_later_expiry_counts(tokens_file: Path, text: str) -> None:
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
    assert str(caught.value) == f"{tokens_file}, line 3: {EXPECTED}"


def test_a_file_without_a_token_refuses_the_start(tokens_file: Path) -> None:
    tokens_file.write_text("# none yet\n")
    with pytest.raises(TokensError, match=f"{tokens_file}, no line has a token"):
        TokenFile(tokens_file).check()


# The file as it is now


def test_an_edit_counts_with_the_next_request(get: Get, tokens_file: Path) -> None:
    for token, status in (("someone", 401), ("", 401), (None, 500), (TOKEN, 404)):
        tokens_file.unlink() if token is None else tokens_file.write_text(line(token))
        assert get().status_code == status


def test_edits_within_a_tick_of_the_clock_count_too(tokens_file: Path) -> None:
    tokens = TokenFile(tokens_file)
    for token in ["someone", TOKEN] * 100:
        tokens_file.write_text(line(token))
        assert (tokens.verify(TOKEN) == "tester") == (token == TOKEN)


def test_a_late_edit_counts_too(tokens_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 2**62)  # every change is long ago
    tokens = TokenFile(tokens_file)
    assert [tokens.verify(TOKEN), tokens.verify(TOKEN)] == ["tester", "tester"]
    new = tokens_file.with_name("new")
    new.write_text(line("someone"))
    new.replace(tokens_file)
    assert [tokens.verify(TOKEN), tokens.verify("someone")] == [None, "tester"]


def test_an_expiry_counts_with_the_next_request(tokens_file: Path) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.2)
    tokens_file.write_text(line(TOKEN, expires=soon.isoformat()))
    tokens = TokenFile(tokens_file)
    while tokens.verify(TOKEN) and datetime.now(UTC) < soon + timedelta(seconds=5):
        pass
    assert tokens.verify(TOKEN) is None
    assert datetime.now(UTC) >= soon


def test_a_malformed_line_is_logged_once_while_the_rest_stays_in_force(
    get: Get, tokens_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert get().status_code == 404
    text = f"oops {TOKEN}\n{line(TOKEN)}\udcff\n# caf\udce9\n"
    tokens_file.write_text(text, "utf-8", "surrogateescape")  # with bytes that are no UTF-8
    assert [get().status_code, get().status_code] == [404, 404]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == f"{tokens_file}, line 1: {EXPECTED}; 2 lines are ignored"
    assert TOKEN not in caplog.text


def test_writers_at_once_lose_no_token_and_disturb_none_before_theirs(tokens_file: Path) -> None:
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


def test_a_token_that_does_not_fit_on_the_disk_leaves_the_file_as_it_was(tokens_file: Path) -> None:
    before = tokens_file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(TokensError, match="full"), TokenFile(tokens_file).adding("laptop"):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert tokens_file.read_bytes() == before


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TokensError, match=f"cannot write {tmp_path}: Is a directory"):
        TokenFile(tmp_path).revoke("laptop")
