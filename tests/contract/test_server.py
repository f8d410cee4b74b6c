"""What only shows under a server: raw requests, and starts that cannot serve."""

import json
import re
from pathlib import Path

import pytest
from faults import FAULTS
from samples import JOB, TOKEN, Plant, url
from serving import FLASK_RUN, GUNICORN, RECOMMENDED, Server, serving, talk, wait_until

START = b"GET " + url().encode()
OPEN = START + b" HTTP/1.1\r\nHost: localhost\r\n"
AUTH = f"Authorization: Bearer {TOKEN}\r\n".encode()
END = b"Connection: close\r\n\r\n"
GET = OPEN + AUTH + END
REQUESTS = {
    "HEAD": GET.replace(b"GET", b"HEAD"),
    "condition": OPEN + AUTH + b"If-None-Match: *\r\n" + END,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 100 + b"\r\n\r\n",
    "HTTP/1.0": START + b" HTTP/1.0\r\n" + AUTH + b"\r\n",
    "absolute form": GET.replace(b"/", b"http://other/", 1),
    "path of high bytes": GET.replace(START, b"GET /\xff\0"),
    "path with an escaped line": GET.replace(START, b"GET /%0d%0aX-Forged:%201"),
    "long header": OPEN + b"X: " + b"a" * 700_000 + b"\r\n" + END,
    "two tokens": OPEN + AUTH + AUTH + END,
    "basic": OPEN + b"Authorization: Basic ////\r\n" + END,
    "body of GET": OPEN + AUTH + b"Content-Length: 5\r\n" + END + b"hello",
}
EXPECTED = {"HEAD": 200, "condition": 304, "HTTP/1.0": 200, "basic": 401, "body of GET": 200}
ONE_LINE, TRACEBACK = "Error: {}.*\n", "(?s).*\n  .*\n[a-z.]*SettingError: {}.*"
STARTS = (
    *((FLASK_RUN, ONE_LINE), ((*FLASK_RUN, "--debug"), ONE_LINE)),
    *((RECOMMENDED, TRACEBACK), (GUNICORN, TRACEBACK)),
)


def status(server: Server, path: str = url()) -> int:
    answer = talk(server.port, f"GET {path} HTTP/1.0\r\n".encode() + AUTH + b"\r\n")
    return int(answer.split()[1])


@pytest.mark.parametrize("command", [FLASK_RUN, RECOMMENDED, GUNICORN])
def test_any_server_logs_each_request(database: Path, command: tuple[str, ...]) -> None:
    settings = {"FLASK_DATABASE": database, "FLASK_REQUEST_LOG": "1"}
    with serving(*command, settings=settings) as server:
        assert status(server) == 404
        wait_until(lambda: f" tester GET {url()} 404 " in server.output())


@pytest.mark.parametrize("command", [FLASK_RUN, RECOMMENDED])
def test_a_request_that_reaches_the_application_is_answered_as_any(
    database: Path, plant: Plant, command: tuple[str, ...]
) -> None:
    plant()
    statuses = {}
    with serving(*command, settings={"FLASK_DATABASE": database}) as server:
        for name, request in REQUESTS.items():
            answer = talk(server.port, request)
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
    assert EXPECTED.items() <= statuses.items()
    assert set(statuses.values()) <= {200, 304, 401, 404, 405}


@pytest.mark.parametrize(("command", "pattern"), STARTS)
def test_a_wrong_setting_ends_a_start_with_its_line(
    database: Path, command: tuple[str, ...], pattern: str
) -> None:
    settings = {"FLASK_DATABASE": database, "FLASK_REQUEST_LOG": "maybe"}
    with serving(*command, settings=settings, fails=True) as server:
        assert server.process.returncode
        line = "FLASK_REQUEST_LOG is 'maybe': set it to 1 or 0"
        assert re.fullmatch(pattern.format(line), server.output())


@pytest.mark.parametrize("command", [RECOMMENDED, GUNICORN])
def test_another_server_starts_on_a_faulty_file_says_so_and_heals(
    database: Path, command: tuple[str, ...]
) -> None:
    away = database.rename(database.with_name("away.db"))
    with serving(*command, settings={"FLASK_DATABASE": database}) as server:
        assert (status(server), status(server, "/healthz")) == (500, 503)
        assert re.search(f"ERROR in app: .*{FAULTS['missing'].reason}", server.output())
        away.rename(database)
        assert (status(server), status(server, "/healthz")) == (404, 200)


def test_a_worker_recycled_during_a_fault_does_not_end_the_service(database: Path) -> None:
    command = (*GUNICORN, "--max-requests", "1")
    with serving(*command, settings={"FLASK_DATABASE": database}) as server:
        away = database.rename(database.with_name("away.db"))
        assert [status(server) for _ in range(4)] == [500] * 4
        away.rename(database)
        assert status(server) == 404
        assert server.output().count("Booting worker") > 3
