"""What only shows over a socket, with both servers that the README names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import JOB, TOKEN, Plant, url
from faults import run
from serving import FLASK_RUN, HELD, RECOMMENDED, free_port, serving, talk, wait_until

START = b"GET " + url().encode()
OPEN = START + b" HTTP/1.1\r\nHost: localhost\r\n"
AUTH = f"Authorization: Bearer {TOKEN}\r\n".encode()
END = b"Connection: close\r\n\r\n"
GET = OPEN + AUTH + END
REQUESTS = {
    "HEAD": GET.replace(b"GET", b"HEAD"),
    "condition": OPEN + AUTH + b"If-None-Match: *\r\n" + END,
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 100 + b"\r\n\r\n",
    "HTTP/0.9": START + b"\r\n\r\n",
    "HTTP/1.0": START + b" HTTP/1.0\r\n" + AUTH + b"\r\n",
    "hostile Host": GET.replace(b"localhost", b'a"b<c>'),
    "lower-case method": GET.replace(b"GET", b"get"),
    "OPTIONS *": GET.replace(START, b"OPTIONS *"),
    "absolute form": GET.replace(b"/", b"http://other/", 1),
    "path of high bytes": GET.replace(START, b"GET /\xff\0"),
    "path with an escaped line": GET.replace(START, b"GET /%0d%0aX-Forged:%201"),
    "long path": GET.replace(START, b"GET /" + b"a" * 70_000),
    "long header": OPEN + b"X: " + b"a" * 700_000 + b"\r\n" + END,
    "folded header": OPEN + b"X: 1\r\n folded\r\n" + END,
    "two tokens": OPEN + AUTH + AUTH + END,
    "token of high bytes": OPEN + b"Authorization: Bearer \xff\xfe\r\n" + END,
    "basic": OPEN + b"Authorization: Basic ////\r\n" + END,
    "forged request id": OPEN + b"X-Request-Id: a\x1b[31m\r\n" + END,
    "body of GET": OPEN + AUTH + b"Content-Length: 5\r\n" + END + b"hello",
    "negative length": OPEN + AUTH + b"Content-Length: -1\r\n" + END,
    "chunks of no size": OPEN + AUTH + b"Transfer-Encoding: chunked\r\n" + END + b"x\r\n",
    "expectation": OPEN + AUTH + b"Expect: 100-continue\r\nContent-Length: 5\r\n" + END,
    "websocket": OPEN + AUTH + b"Connection: close, upgrade\r\nUpgrade: websocket\r\n\r\n",
}


@pytest.fixture
def settings(database: Path, tokens_file: Path, plant: Plant) -> dict[str, Path]:
    plant()
    return {"FLASK_DATABASE": database, "FLASK_TOKENS_FILE": tokens_file}


@pytest.mark.parametrize("server", ["flask run", "recommended", "Gunicorn"])
def test_one_setting_logs_each_request_under_any_server(
    settings: dict[str, Path | str], server: str
) -> None:
    gunicorn = (sys.executable, "-m", "gunicorn", f"--bind=127.0.0.1:{(port := free_port())}")
    commands = {"flask run": FLASK_RUN, "recommended": RECOMMENDED}
    command = commands.get(server, (*gunicorn, "app:create_app()"))
    with serving(*command, settings=settings | {"FLASK_REQUEST_LOG": "1"}, port=port) as serves:
        talk(port, GET)
        wait_until(lambda: f" tester GET {url()} 200 " in serves.output())


@pytest.mark.parametrize("command", [FLASK_RUN, RECOMMENDED], ids=["flask run", "recommended"])
def test_a_request_that_reaches_the_application_is_answered_as_any(
    settings: dict[str, Path], command: tuple[str, ...]
) -> None:
    statuses = {}
    with serving(*command, settings=settings) as server:
        for name, request in REQUESTS.items():
            answer = talk(server.port, request)
            answer = answer.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
            head, _, body = answer.partition(b"\r\n\r\n")
            if b"x-request-id: " in head.lower():
                statuses[name] = int(head.split()[1])
                assert b"\r\nX-Forged" not in head, name
                if statuses[name] >= 400:
                    assert json.loads(body)["status"] == statuses[name], name
                elif name in ("HEAD", "condition"):
                    assert body == b"", name
                else:
                    assert json.loads(body) == JOB, name
            else:  # the server's own answer
                assert not head.startswith(b"HTTP/1.1 200"), name
                assert b'"job_id"' not in answer, name
        assert talk(server.port, OPEN, timeout=0.3) == b""  # half a request waits for the rest
        assert talk(server.port, GET).startswith(b"HTTP/1.1 200 ")
    expected = {"HEAD": 200, "condition": 304, "HTTP/1.0": 200, "two tokens": 401, "basic": 401}
    expected |= {"body of GET": 200, "websocket": 200}
    assert expected.items() <= statuses.items()
    assert set(statuses.values()) <= {200, 304, 401, 404, 405}


def test_without_a_wal_it_serves_where_it_may_not_write(settings: dict[str, Path]) -> None:
    run("PRAGMA journal_mode = DELETE")(database := settings["FLASK_DATABASE"])
    database.parent.chmod(0o555)
    with serving(*HELD, *FLASK_RUN, settings=settings) as server:
        assert talk(server.port, GET).startswith(b"HTTP/1.1 200 ")
    assert sorted(database.parent.iterdir()) == sorted(settings.values())


def test_a_start_that_cannot_serve_ends_with_one_line_even_in_debug_mode(
    settings: dict[str, Path],
) -> None:
    settings["FLASK_DATABASE"].unlink()
    environment = os.environ | {name: str(path) for name, path in settings.items()}
    command = [*FLASK_RUN, "--debug"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith(f"Error: cannot read {settings['FLASK_DATABASE']}: ")
