import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import JOB_ID, TOKEN, Get, Plant, line, url
from flask import Flask
from flask.testing import FlaskClient
from problem import assert_problem
from werkzeug.test import TestResponse

from auth import TokenFile, TokensError

REQUIRED = "Authentication is required: send a bearer token."
INVALID = "The access token is unknown, expired or revoked."
BARE = 'Bearer realm="bulk-action-jobs"'
CHALLENGE = f'{BARE}, error="invalid_token", error_description="{INVALID}"'


def ask(client: FlaskClient, authorization: str | None, job_id: str = JOB_ID) -> TestResponse:
    environ = {} if authorization is None else {"HTTP_AUTHORIZATION": authorization}
    return client.get(url(job_id), environ_overrides=environ)


# The challenge


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Basic dGVzdGVyOnRlc3Q=", f"Token {TOKEN}", TOKEN, "Bearer", "Bearer ", "bearer  "],
)
def test_without_a_bearer_token_the_challenge_is_bare(
    client: FlaskClient, authorization: str | None
) -> None:
    response = ask(client, authorization)
    assert_problem(response, 401, REQUIRED)
    assert response.headers["WWW-Authenticate"] == BARE


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer unknown",
        "bearer unknown",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN} {TOKEN}",
        "Bearer a b",
        "Bearer a=b",
        f"Bearer {TOKEN}, Bearer {TOKEN}",
        f"Bearer {TOKEN},Bearer {TOKEN}",
        "Bearer \xfc\xf1",
        "Bearer \xe2\x82\xac",
        "Bearer " + "x" * 60_000,
        f"Bearer {line(TOKEN).split()[0]}",
    ],
)
def test_a_bad_token_is_told_to_be_invalid(client: FlaskClient, authorization: str) -> None:
    response = ask(client, authorization)
    assert_problem(response, 401, INVALID)
    assert response.headers["WWW-Authenticate"] == CHALLENGE


@pytest.mark.parametrize("job_id", [JOB_ID, "00000000-0000-4000-8000-000000000000", "x", "%00"])
def test_without_a_token_no_one_learns_which_ids_exist(
    client: FlaskClient, plant: Plant, job_id: str
) -> None:
    plant()
    response = ask(client, None, job_id)
    assert_problem(response, 401, REQUIRED)
    assert response.headers["WWW-Authenticate"] == BARE


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_good_token_passes_whatever_the_case_of_its_scheme(
    client: FlaskClient, plant: Plant, scheme: str
) -> None:
    plant()
    assert ask(client, f"{scheme} {TOKEN}").status_code == 200


def test_head_needs_a_token(client: FlaskClient) -> None:
    assert client.head(url()).status_code == 401


# The file


@pytest.mark.parametrize(
    "text",
    [
        line(TOKEN),
        line(TOKEN).upper(),
        "\ufeff" + line(TOKEN),
        line(TOKEN).replace(" ", "\t"),
        "# clients\n\n  " + line(TOKEN) + "\n# end",
        line(TOKEN).strip() + " # the tests\r\n",
        line(TOKEN, expires="2999-12-31T23:59:59.123456789+02:00"),
        line(TOKEN, expires="2999-12-31t23:59:59z"),
        line(TOKEN, "tester", "2999-12-31T23:59:59Z # until then"),
        line("other", "other") + line(TOKEN),
        line(TOKEN, expires="2001-01-01T00:00:00Z") + line(TOKEN),
    ],
)
def test_a_line_admits_its_client(tokens_file: Path, text: str) -> None:
    tokens_file.write_text(text)
    tokens = TokenFile(tokens_file)
    tokens.check()
    assert (tokens.verify(TOKEN) or "").lower() == "tester"


@pytest.mark.parametrize(
    "expires", ["2001-01-01T00:00:00Z", "1998-12-31T23:59:60Z", "0001-01-01T00:00:00+23:59"]
)
def test_an_expired_line_admits_no_one(tokens_file: Path, expires: str) -> None:
    tokens_file.write_text(line(TOKEN, expires=expires))
    tokens = TokenFile(tokens_file)
    tokens.check()
    assert tokens.verify(TOKEN) is None


MALFORMED = [
    TOKEN,
    f"{TOKEN} tester",
    line(TOKEN).split()[0],
    line(TOKEN)[1:],
    "0" + line(TOKEN),
    line(TOKEN, "tëster"),
    line(TOKEN, "tester", "soon"),
    line(TOKEN, "2001-01-01T00:00:00Z"),
    line(TOKEN, "tester", "2001-01-01T00:00:00Z#3"),
    line(TOKEN, "tester", "2999-12-31"),
    line(TOKEN, "tester", "2999-12-31T23:59:59"),
    line(TOKEN, "tester", "2999-02-29T23:59:59Z"),
    line(TOKEN, "tester", "0000-01-01T00:00:00Z"),
    line(TOKEN, "tester", "2999-12-31T23:59:59Z more"),
]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_line_fails_the_start_by_file_and_line(tokens_file: Path, text: str) -> None:
    tokens_file.write_text("# clients\n" + line("other") + text)
    with pytest.raises(TokensError) as caught:
        TokenFile(tokens_file).check()
    assert str(caught.value).startswith(f"{tokens_file}, line 3: ")
    assert TOKEN not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_a_token_fails_the_start(tokens_file: Path) -> None:
    tokens_file.write_text("# none yet\n")
    with pytest.raises(TokensError, match="has no token"):
        TokenFile(tokens_file).check()


def test_a_malformed_line_is_logged_once_while_the_rest_stays_in_force(
    tokens_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = TokenFile(tokens_file)
    assert tokens.verify(TOKEN) == "tester"
    tokens_file.write_text("oops\n" + line(TOKEN))
    assert [tokens.verify(TOKEN), tokens.verify(TOKEN)] == ["tester", "tester"]
    tokens_file.write_text("oops\n" + line(TOKEN) + line("another", "another"))
    assert tokens.verify("another") == "another"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        f"{tokens_file}, line 1: expected 'SHA-256-hex NAME [EXPIRES]'; the line is ignored"
    )


def test_an_edit_counts_with_the_next_request(get: Get, tokens_file: Path) -> None:
    """Even one of the same length, within one tick of the file system's clock."""
    for _ in range(50):
        tokens_file.write_text(line("someone"))
        assert get().status_code == 401
        tokens_file.write_text(line(TOKEN))
        assert get().status_code == 404


@pytest.mark.parametrize(("age", "settled"), [(1_900_000_000, False), (2_100_000_000, True)])
def test_a_file_is_not_read_again_once_an_edit_would_show_in_its_times(
    tokens_file: Path, monkeypatch: pytest.MonkeyPatch, age: int, settled: bool
) -> None:
    changed = 1_700_000_000_250_000_000
    monkeypatch.setattr("auth._version", lambda _: (1, 2, 3, changed, changed))
    monkeypatch.setattr("time.time_ns", lambda: changed + age)
    tokens = TokenFile(tokens_file)
    assert tokens.verify(TOKEN) == "tester"
    tokens_file.write_text("")
    assert tokens.verify(TOKEN) == ("tester" if settled else None)


def test_the_age_of_a_file_is_that_before_it_is_read(
    tokens_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an edit during a slow read would never be seen."""
    now = tokens_file.stat().st_mtime_ns
    monkeypatch.setattr("time.time_ns", lambda: now)
    tokens = TokenFile(tokens_file)
    read = tokens._read

    def read_slowly() -> object:
        nonlocal now
        found = read()
        now += 10**10
        return found

    monkeypatch.setattr(tokens, "_read", read_slowly)
    status = tokens_file.stat()
    monkeypatch.setattr("os.stat", lambda *_, **__: status)
    assert tokens.verify(TOKEN) == "tester"
    tokens_file.write_text("")
    assert tokens.verify(TOKEN) is None


def test_a_byte_that_is_no_utf_8_spoils_its_line_alone(tokens_file: Path) -> None:
    tokens_file.write_bytes(line(TOKEN).encode() + b"# caf\xe9\n" + b"\xff\n")
    tokens, complaints = TokenFile(tokens_file).read()
    assert [token.name for token in tokens] == ["tester"]
    assert [text.partition(": ")[0] for text in complaints] == [f"{tokens_file}, line 3"]


def test_a_hash_within_a_name_is_no_comment_that_hides_an_expiry(tokens_file: Path) -> None:
    tokens_file.write_text(line(TOKEN, "tester#3", "2001-01-01T00:00:00Z"))
    assert TokenFile(tokens_file).verify(TOKEN) is None


def test_a_link_that_is_swapped_while_its_file_is_read_is_read_again(
    tokens_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.write_text(line("another-token"))
    link = tmp_path / "link"
    link.symlink_to(tokens_file)
    monkeypatch.setattr("time.time_ns", lambda: 2**62)  # all is settled
    tokens = TokenFile(link)
    read = tokens._read

    def swap_first() -> object:
        monkeypatch.setattr(tokens, "_read", read)
        link.unlink()
        link.symlink_to(other)
        found = read()
        link.unlink()
        link.symlink_to(tokens_file)
        return found

    monkeypatch.setattr(tokens, "_read", swap_first)
    tokens.verify("another-token")
    assert tokens.verify("another-token") is None
    assert tokens.verify(TOKEN) == "tester"


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TokensError, match="cannot write"):
        TokenFile(tmp_path / "none" / "tokens").add("laptop", None)


def test_a_rewrite_leaves_the_next_command_its_file(
    tokens_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one may claim the name as soon as this one has renamed its file."""
    replace = Path.replace

    def replaced(self: Path, target: Path) -> None:
        replace(self, target)
        self.write_text("of the next command")

    monkeypatch.setattr(Path, "replace", replaced)
    TokenFile(tokens_file).add("laptop", None)
    assert Path(f"{tokens_file}.new").read_text() == "of the next command"


def test_a_pipe_is_no_token_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TokensError, match="Not a regular file"):
        TokenFile(tmp_path / "pipe").check()


def test_an_emptied_file_admits_no_one(get: Get, tokens_file: Path) -> None:
    tokens_file.write_text("")
    assert get().status_code == 401


def test_a_file_that_cannot_be_read_is_a_500_until_it_can(
    get: Get, tokens_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens_file.rename(tokens_file.with_name("away"))
    assert_problem(get(), 500)
    assert f"cannot read {tokens_file}: No such file or directory" in caplog.text
    tokens_file.mkdir()
    assert_problem(get(), 500)
    tokens_file.rmdir()
    tokens_file.with_name("away").rename(tokens_file)
    assert get().status_code == 404


def test_two_services_in_one_process_keep_their_tokens_apart(
    make_app: Callable[..., Flask], database: Path, app: Flask, tmp_path: Path
) -> None:
    other_file = tmp_path / "other"
    other_file.write_text(line("another-token"))
    other = make_app(DATABASE=database, TOKENS_FILE=other_file)
    assert ask(app.test_client(), f"Bearer {TOKEN}").status_code == 404
    assert ask(other.test_client(), f"Bearer {TOKEN}").status_code == 401
    assert ask(other.test_client(), "Bearer another-token").status_code == 404


def test_the_token_is_in_no_log(
    client: FlaskClient, tokens_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    os.truncate(tokens_file, 10)
    ask(client, f"Bearer {TOKEN}")
    tokens_file.unlink()
    assert_problem(ask(client, f"Bearer {TOKEN}"), 500)
    assert TOKEN not in caplog.text
