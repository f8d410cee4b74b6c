"""The server that the README recommends, started as it says."""

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import TOKEN, Plant, url
from serving import Server, recommended, talk

REQUEST = (
    f"GET {url()} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    f"Authorization: Bearer {TOKEN}\r\n\r\n"
).encode()


@pytest.fixture
def server(database: Path, tokens_file: Path, plant: Plant) -> Iterator[Server]:
    plant()
    with recommended(database, tokens_file) as server:
        yield server


def test_it_serves(server: Server) -> None:
    assert talk(server.port, REQUEST).startswith(b"HTTP/1.1 200 OK\r\n")
    twice = REQUEST.replace(b"Authorization", b"Authorization: Bearer x\r\nAuthorization")
    assert talk(server.port, twice).startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    head = talk(server.port, REQUEST.replace(b"GET", b"HEAD"))
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"\r\n\r\n")


def test_it_does_not_wait_for_a_client_that_is_slow_to_ask_when_it_is_told_to_end(
    server: Server,
) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(REQUEST[:20])
        time.sleep(0.5)
        start = time.monotonic()
        server.terminate()
        server.wait()
    assert time.monotonic() - start < 5


def test_it_answers_what_it_has_begun_when_it_is_told_to_end(
    server: Server, database: Path
) -> None:
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("PRAGMA journal_mode = DELETE")
        writer.execute("BEGIN EXCLUSIVE")
        answers: list[bytes] = []
        client = threading.Thread(target=lambda: answers.append(talk(server.port, REQUEST)))
        client.start()
        time.sleep(0.5)
        server.terminate()
        time.sleep(0.1)
        writer.rollback()
        client.join()
    assert answers[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert server.wait() == 0
