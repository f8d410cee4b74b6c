"""Requests that no library sends, over a socket, to both servers that the README names."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import TOKEN, Plant, url
from serving import Server, recommended, serving

HOST = b"Host: localhost\r\n"
BEARER = f"Authorization: Bearer {TOKEN}\r\n".encode()
END = b"Connection: close\r\n\r\n"
JOB = url().encode()
LINE = b"GET " + JOB + b" HTTP/1.1\r\n"
REQUESTS = {
    "nothing": b"\r\n\r\n",
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 100 + b"\r\n\r\n",
    "HTTP/0.9": b"GET " + JOB + b"\r\n\r\n",
    "HTTP/1.0": b"GET " + JOB + b" HTTP/1.0\r\n" + BEARER + b"\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\n" + HOST + END,
    "no Host": LINE + BEARER + END,
    "two Hosts": LINE + HOST + HOST + BEARER + END,
    "hostile Host": LINE + b'Host: a"b<c>\r\n' + BEARER + END,
    "no method": b" " + JOB + b" HTTP/1.1\r\n" + HOST + END,
    "method of NUL": b"G\0T " + JOB + b" HTTP/1.1\r\n" + HOST + END,
    "lower-case method": b"get " + JOB + b" HTTP/1.1\r\n" + HOST + BEARER + END,
    "long method": b"A" * 9000 + b" / HTTP/1.1\r\n" + HOST + END,
    "CONNECT": b"CONNECT a:1 HTTP/1.1\r\n" + HOST + END,
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\n" + HOST + END,
    "absolute form": b"GET http://other" + JOB + b" HTTP/1.1\r\n" + HOST + BEARER + END,
    "path of NUL": b"GET /\0 HTTP/1.1\r\n" + HOST + END,
    "path of high bytes": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + END,
    "path with a space": b"GET /a b HTTP/1.1\r\n" + HOST + END,
    "path with a half escape": b"GET /%f HTTP/1.1\r\n" + HOST + END,
    "path with an escaped line": b"GET /%0d%0aX-Forged:%201 HTTP/1.1\r\n" + HOST + END,
    "long path": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + END,
    "long header": LINE + HOST + b"X: " + b"a" * 700_000 + b"\r\n" + END,
    "many headers": LINE + HOST + b"X: 1\r\n" * 3000 + END,
    "header of NUL": LINE + HOST + b"X: a\0b\r\n" + END,
    "header without a colon": LINE + HOST + b"X\r\n" + END,
    "header with a space": LINE + HOST + b"X : 1\r\n" + END,
    "folded header": LINE + HOST + b"X: 1\r\n folded\r\n" + END,
    "bare line feeds": LINE.replace(b"\r", b"") + b"Host: a\n\n",
    "two tokens": LINE + HOST + BEARER + BEARER + END,
    "token of high bytes": LINE + HOST + b"Authorization: Bearer \xff\xfe\r\n" + END,
    "long token": LINE + HOST + b"Authorization: Bearer " + b"a" * 7000 + b"\r\n" + END,
    "basic": LINE + HOST + b"Authorization: Basic ////\r\n" + END,
    "digest": LINE + HOST + b'Authorization: Digest a="\r\n' + END,
    "forged request id": LINE + HOST + b"X-Request-Id: a\x1b[31m\r\n" + END,
    "body of GET": LINE + HOST + BEARER + b"Content-Length: 5\r\n" + END + b"hello",
    "length of no number": LINE + HOST + BEARER + b"Content-Length: x\r\n" + END,
    "negative length": LINE + HOST + BEARER + b"Content-Length: -1\r\n" + END,
    "huge length": LINE + HOST + BEARER + b"Content-Length: " + b"9" * 40 + b"\r\n" + END,
    "two lengths": LINE + HOST + b"Content-Length: 0\r\nContent-Length: 5\r\n" + END,
    "length and chunks": LINE
    + HOST
    + BEARER
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"
    + END
    + b"0\r\n\r\n",
    "chunks of no size": LINE + HOST + BEARER + b"Transfer-Encoding: chunked\r\n" + END + b"x\r\n",
    "unknown coding": LINE + HOST + BEARER + b"Transfer-Encoding: x\r\n" + END,
    "expectation": LINE + HOST + BEARER + b"Expect: 100-continue\r\nContent-Length: 5\r\n" + END,
    "websocket": LINE + HOST + BEARER + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "two requests": (LINE + HOST + BEARER + b"\r\n") + (LINE + HOST + BEARER + END),
    "half a request": LINE + HOST,
}


@pytest.fixture(params=["flask run", "recommended"])
def server(
    request: pytest.FixtureRequest, database: Path, tokens_file: Path, plant: Plant
) -> Iterator[Server]:
    plant()
    if request.param == "recommended":
        starting = recommended(database, tokens_file)
    else:
        starting = serving(FLASK_DATABASE=database, FLASK_TOKENS_FILE=tokens_file)
    with starting as server:
        yield server


def answer(port: int, request: bytes) -> bytes:
    """Send the request and return what comes back, until nothing does for half a second."""
    parts = []
    address = ("127.0.0.1", port)
    # It may hang up before it has read all, or wait for the rest.
    with (
        suppress(ConnectionError, TimeoutError),
        socket.create_connection(address, timeout=0.5) as connection,
    ):
        connection.sendall(request)
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_a_request_that_reaches_the_application_is_answered_as_any(server: Server) -> None:
    reached = []
    for name, request in REQUESTS.items():
        whole = answer(server.port, request).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
        head, _, body = whole.partition(b"\r\n\r\n")
        if b"x-request-id: " not in head.lower():
            assert not head.startswith(b"HTTP/1.1 200"), name  # the server's own
            assert b'"job_id"' not in head + body, name
            continue
        reached.append(name)
        status = int(head.split()[1])
        assert status in {200, 401, 404, 405}, name
        assert b"\r\nX-Forged" not in head, name
        if status != 200:
            assert json.loads(body)["status"] == status, name
            assert b"application/problem+json" in head, name
    assert {"HTTP/1.0", "two tokens", "basic", "body of GET", "websocket"} <= set(reached)
    assert answer(server.port, LINE + HOST + BEARER + END).startswith(b"HTTP/1.1 200 ")
