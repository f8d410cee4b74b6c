"""What only shows over a socket, with `flask run`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import JOB, JOB_ID, TOKEN, Plant, url
from faults import run
from serving import FLASK, HELD, Server, free_port, serving, talk

GET = f"GET {url()} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".encode()
BEARER = f"Authorization: Bearer {TOKEN}\r\n".encode()
BARE = 'Bearer realm="bulk-action-jobs"'
Settings = dict[str, str | Path]


@pytest.fixture
def settings(database: Path, tokens_file: Path, plant: Plant) -> Settings:
    plant()
    return {"FLASK_DATABASE": database, "FLASK_TOKENS_FILE": tokens_file}


@pytest.fixture(params=[(), ("--debug", "--no-reload")], ids=["plain", "debug"])
def port(request: pytest.FixtureRequest, settings: Settings) -> Iterator[int]:
    with serving(*request.param, **settings) as server:
        yield server.port


def ask(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = talk(port, request + b"\r\n").partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body


def test_every_outcome_comes_over_the_wire(port: int, database: Path, tokens_file: Path) -> None:
    status, headers, body = ask(port, GET + BEARER)
    assert (status, json.loads(body)) == (200, JOB)
    condition = f"If-None-Match: {headers['ETag']}\r\n".encode()
    assert ask(port, GET + BEARER + condition)[::2] == (304, b"")
    assert ask(port, GET.replace(b"GET", b"HEAD") + BEARER)[::2] == (200, b"")

    for authorization in (b"", b"Authorization: Bearer\r\n", b"Authorization: Bearer \r\n"):
        status, headers, _ = ask(port, GET + authorization)
        assert (status, headers["WWW-Authenticate"]) == (401, BARE)
    for authorization in (BEARER + BEARER, BEARER.replace(b"a-", b"\xff-")):
        status, headers, _ = ask(port, GET + authorization)
        assert status == 401
        assert headers["WWW-Authenticate"].startswith(f'{BARE}, error="invalid_token"')

    for malformed in (b"%ED%A0%80", b"\xff", b"%00", b"%0A", b"x" * 8192):
        status, _, body = ask(port, GET.replace(JOB_ID.encode(), malformed) + BEARER)
        assert (status, "id" in json.loads(body)["details"]) == (404, True)

    for method in (b"POST", b"TRACE", b"OPTIONS"):
        status, headers, body = ask(port, GET.replace(b"GET", method))
        assert (status, headers["Allow"], json.loads(body)["status"]) == (405, "GET, HEAD", 405)

    for fault in (database, tokens_file):
        away = fault.rename(fault.with_name("away"))
        status, headers, body = ask(port, GET + BEARER)
        assert (status, headers["Content-Type"]) == (500, "application/problem+json")
        assert json.loads(body)["requestId"] == headers["X-Request-Id"]
        assert b"Traceback" not in body
        assert str(fault).encode() not in body
        away.rename(fault)
        assert ask(port, GET + BEARER)[0] == 200


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_nothing_is_written_where_nothing_may_be(settings: Settings, mode: str) -> None:
    """In WAL mode, SQLite must write beside the database: such a start is refused."""
    database = Path(settings["FLASK_DATABASE"])
    run(f"PRAGMA journal_mode = {mode}")(database)
    database.chmod(0o444)
    database.parent.chmod(0o555)
    before = database.stat().st_mtime_ns, sorted(database.parent.iterdir())
    port = free_port()
    server = Server(*HELD, *FLASK, "run", "--port", str(port), port=port, **settings)
    try:
        if mode == "WAL":
            assert server.wait() == 1
            assert server.output().startswith(f"Error: cannot read {database}: ")
            assert server.output().count("\n") == 1
        else:
            server.wait_for_port()
            assert [ask(port, GET + BEARER)[0] for _ in "123"] == [200] * 3
    finally:
        server.stop()
        database.parent.chmod(0o755)
    assert (database.stat().st_mtime_ns, sorted(database.parent.iterdir())) == before


@pytest.mark.parametrize("mode", [(), ("--debug",)], ids=["plain", "debug"])
def test_a_start_that_cannot_serve_ends_with_one_line(
    settings: Settings, mode: tuple[str, ...]
) -> None:
    Path(settings["FLASK_DATABASE"]).unlink()
    server = Server(*FLASK, "run", *mode, port=free_port(), **settings)
    assert server.wait() == 1
    output = server.output()
    server.stop()
    reason = f"cannot read {settings['FLASK_DATABASE']}: No such file or directory. "
    assert output.startswith(f"Error: {reason}")
    assert output.count("\n") == 1
