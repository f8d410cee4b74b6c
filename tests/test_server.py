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


@pytest.fixture
def settings(database: Path, tokens_file: Path, plant: Plant) -> dict[str, str | Path]:
    plant()
    return {"FLASK_DATABASE": database, "FLASK_TOKENS_FILE": tokens_file}


@pytest.fixture(params=[(), ("--debug", "--no-reload")], ids=["plain", "debug"])
def port(request: pytest.FixtureRequest, settings: dict[str, str | Path]) -> Iterator[int]:
    with serving(*request.param, **settings) as server:
        yield server.port


def parse(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body


def test_every_outcome_comes_over_the_wire(port: int, database: Path, tokens_file: Path) -> None:
    status, headers, body = parse(talk(port, GET + BEARER + b"\r\n"))
    assert (status, json.loads(body)) == (200, JOB)
    condition = f"If-None-Match: {headers['ETag']}\r\n".encode()
    assert parse(talk(port, GET + BEARER + condition + b"\r\n"))[::2] == (304, b"")
    assert parse(talk(port, GET.replace(b"GET", b"HEAD") + BEARER + b"\r\n"))[::2] == (200, b"")

    bare = 'Bearer realm="bulk-action-jobs"'
    for authorization, challenge in [
        (b"", bare),
        (b"Authorization: Bearer\r\n", bare),
        (b"Authorization: Bearer \r\n", bare),
        (BEARER + BEARER, f'{bare}, error="invalid_token"'),
        (BEARER.replace(b"a-", b"\xff-"), f'{bare}, error="invalid_token"'),
        (b"Authorization: Bearer " + b"x" * 60_000 + b"\r\n", f'{bare}, error="invalid_token"'),
    ]:
        status, headers, _ = parse(talk(port, GET + authorization + b"\r\n"))
        assert status == 401
        assert headers["WWW-Authenticate"].startswith(challenge)
        assert ("error=" in headers["WWW-Authenticate"]) == (challenge != bare)

    for malformed in (b"%ED%A0%80", b"\xff", b"%00", b"%0A", b"x" * 8192):
        request = GET.replace(JOB_ID.encode(), malformed) + BEARER + b"\r\n"
        status, _, body = parse(talk(port, request))
        assert (status, "id" in json.loads(body)["details"]) == (404, True)

    for method in (b"POST", b"TRACE", b"OPTIONS"):
        status, headers, body = parse(talk(port, GET.replace(b"GET", method) + b"\r\n"))
        assert (status, headers["Allow"], json.loads(body)["status"]) == (405, "GET, HEAD", 405)

    for fault in (database, tokens_file):
        away = fault.rename(fault.with_name("away"))
        status, headers, body = parse(talk(port, GET + BEARER + b"\r\n"))
        assert (status, headers["Content-Type"]) == (500, "application/problem+json")
        assert json.loads(body)["requestId"] == headers["X-Request-Id"]
        assert b"Traceback" not in body
        assert str(fault).encode() not in body
        away.rename(fault)
        assert parse(talk(port, GET + BEARER + b"\r\n"))[0] == 200


def test_nothing_is_written_where_nothing_may_be(
    settings: dict[str, str | Path],
) -> None:
    database = Path(settings["FLASK_DATABASE"])
    folder = database.parent
    database.chmod(0o444)
    folder.chmod(0o555)
    try:
        refused = Server(*HELD, *FLASK, "run", port=free_port(), **settings)
        assert refused.wait() == 1
        output = refused.output()
        refused.stop()
        assert output.startswith(f"Error: cannot read {database}: SQLite keeps a -wal and a -shm ")
        assert output.count("\n") == 1

        database.chmod(0o644)
        folder.chmod(0o755)
        run("PRAGMA journal_mode = DELETE")(database)
        database.chmod(0o444)
        folder.chmod(0o555)
        before = database.stat(), sorted(folder.iterdir())
        port = free_port()
        server = Server(*HELD, *FLASK, "run", "--port", str(port), port=port, **settings)
        server.wait_for_port()
        for _ in range(3):
            assert parse(talk(port, GET + BEARER + b"\r\n"))[0] == 200
        server.stop()
        after = database.stat(), sorted(folder.iterdir())
        assert after[1] == before[1]
        assert after[0].st_mtime_ns == before[0].st_mtime_ns
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("mode", [(), ("--debug",)], ids=["plain", "debug"])
@pytest.mark.parametrize(
    ("missing", "remedy"),
    [
        ("FLASK_DATABASE", "sqlite3 jobs.db < schema.sql"),
        ("FLASK_TOKENS_FILE", "flask tokens create NAME"),
    ],
)
def test_a_start_that_cannot_serve_ends_with_one_line(
    settings: dict[str, str | Path], missing: str, remedy: str, mode: tuple[str, ...]
) -> None:
    Path(settings[missing]).unlink()
    server = Server(*FLASK, "run", *mode, port=free_port(), **settings)
    assert server.wait() == 1
    output = server.output()
    server.stop()
    assert output.startswith(f"Error: cannot read {settings[missing]}: No such file or directory.")
    assert remedy in output
    assert output.count("\n") == 1
