"""What only shows under a server: raw requests, and starts that cannot serve."""

import json
import re
from pathlib import Path

import pytest
from faults import FAULTS
from samples import JOB, TOKEN, Plant, url
from serving import FLASK_RUN, GUNICORN, RECOMMENDED, serving, talk, wait_until

START = b"GET " + url().encode()
OPEN = START + b" HTTP/1.1\r\nHost: localhost\r\n"
AUTH = f"Authorization: Bearer {TOKEN}\r\n".encode()
END = b"Connection: close\r\n\r\n"
GET = OPEN + AUTH + END
ANSWERED = (  # a request, the status, and what the body has
    (GET.replace(b"GET", b"HEAD"), 200, None),
    (OPEN + AUTH + b"If-None-Match: *\r\n" + END, 304, None),
    (START + b" HTTP/1.0\r\n" + AUTH + b"\r\n", 200, JOB),
    (GET.replace(b"/", b"http://other/", 1), 200, JOB),
    (OPEN + AUTH + b"Content-Length: 5\r\n" + END + b"hello", 200, JOB),
    (OPEN + AUTH + AUTH + END, 401, {"status": 401}),
    (OPEN + b"Authorization: Basic ////\r\n" + END, 401, {"status": 401}),
    (GET.replace(START, b"GET /%0d%0aX-Forged:%201"), 404, {"status": 404}),
    (GET, 200, JOB),
)
REFUSED = (  # by some servers, before the application sees it
    OPEN + b"X: " + b"a" * 700_000 + b"\r\n" + END,
    GET.replace(START, b"GET /\xff\0"),
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 100 + b"\r\n\r\n",  # TLS
)
ONE_LINE, TRACEBACK = "Error: {}.*\n", "(?s).*\n  .*\n[a-z.]*InputError: {}.*"
STARTS = (
    (FLASK_RUN, ONE_LINE),
    ((*FLASK_RUN, "--debug"), ONE_LINE),
    (RECOMMENDED, TRACEBACK),
    (GUNICORN, TRACEBACK),
)


@pytest.mark.parametrize("command", [FLASK_RUN, RECOMMENDED, GUNICORN])
def test_any_server_passes_each_request_on_or_refuses_it(
    database: Path, plant: Plant, command: tuple[str, ...]
) -> None:
    plant()
    settings = {"FLASK_DATABASE": database, "FLASK_REQUEST_LOG": "1"}
    with serving(*command, settings=settings) as server:
        assert talk(server.port, OPEN, timeout=0.3) == b""  # half a request waits for the rest
        for request in REFUSED:
            answer = talk(server.port, request)
            assert not re.search(rb'\AHTTP/1.1 200|"job_id"', answer), request
        for request, status, shown in ANSWERED:
            head, _, body = talk(server.port, request).partition(b"\r\n\r\n")
            assert int(head.split()[1]) == status, request
            assert b"\r\nX-Forged" not in head
            assert json.loads(body).items() >= shown.items() if shown else body == b""
        wait_until(lambda: f" tester GET {url()} 200 " in server.output())


@pytest.mark.parametrize(("command", "pattern"), STARTS)
def test_a_wrong_setting_is_fatal(database: Path, command: tuple[str, ...], pattern: str) -> None:
    settings = {"FLASK_DATABASE": database, "FLASK_REQUEST_LOG": "maybe"}
    with serving(*command, settings=settings, fails=True) as server:
        assert server.process.returncode
        line = "FLASK_REQUEST_LOG is 'maybe': set it to 1 or 0"
        assert re.fullmatch(pattern.format(line), server.output())


@pytest.mark.parametrize("command", [RECOMMENDED, (*GUNICORN, "--max-requests", "1")])
def test_a_faulty_file_ends_no_server_and_heals(database: Path, command: tuple[str, ...]) -> None:
    away = database.rename(database.with_name("away.db"))
    with serving(*command, settings={"FLASK_DATABASE": database}) as server:
        for expected in ({url(): "500", "/healthz": "503"}, {url(): "404", "/healthz": "200"}):
            for path, status in expected.items():
                answer = talk(server.port, f"GET {path} HTTP/1.0\r\n".encode() + AUTH + b"\r\n")
                assert answer.decode().split()[1] == status
            if away.exists():
                away.rename(database)
        assert re.search(f"ERROR in app: .*{FAULTS['missing'].reason}", server.output())
