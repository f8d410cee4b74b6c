"""Load, and a writer that commits without end."""

import json
import multiprocessing
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest
from conftest import TOKEN, Plant, url
from serving import recommended, talk
from stage import JOBS, Stage, job, job_id, jobs

import store

CLIENTS = 200
Number = Any  # a multiprocessing.Value


def request(path: str, connection: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n"
    ).encode()


def commit(path: Path, begun: Number, committed: Number, done: Event) -> None:
    """Commit state after state, in a process of its own."""
    while not done.is_set():
        begun.value += 1
        store.put(path, jobs(begun.value))
        committed.value = begun.value


class Client:
    """A connection that asks for one job again and again."""

    def __init__(self, port: int, index: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.index = index
        self.request = request(url(job_id(index)), "keep-alive")

    def ask(self, floor: int) -> None:
        self.floor = floor
        self.answer = b""
        self.start = time.perf_counter()
        self.socket.sendall(self.request)

    def read(self) -> bool:
        """Take what has come, and tell whether it is the whole answer."""
        data = self.socket.recv(65536)
        assert data, f"hung up after {self.answer!r}"
        self.answer += data
        head, _, body = self.answer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: ([0-9]+)", head)
        return length is not None and len(body) == int(length[1])

    def check(self, ceiling: int) -> None:
        head, _, body = self.answer.partition(b"\r\n\r\n")
        got = json.loads(body)
        assert head.startswith(b"HTTP/1.1 200 "), self.answer
        assert got == job(self.index, got["affected_count"]), self.answer
        assert self.floor <= got["affected_count"] <= ceiling, (self.floor, ceiling, self.answer)


def crowd(port: int, begun: Number, committed: Number, done: Event, results: Any) -> None:
    """Ask over all connections, in a process of its own; pass on how long each answer took."""
    times, wrong = [], ""
    with selectors.DefaultSelector() as selector:
        try:
            for number in range(CLIENTS):
                client = Client(port, number % JOBS)
                selector.register(client.socket, selectors.EVENT_READ, client)
                client.ask(committed.value)
            while not done.is_set():
                ready = selector.select(timeout=20)
                assert ready, "no answer for 20 seconds"
                for key, _ in ready:
                    if key.data.read():
                        times.append(time.perf_counter() - key.data.start)
                        key.data.check(begun.value)
                        key.data.ask(committed.value)
        except Exception as error:
            wrong = repr(error)
    results.put((times, wrong))


def test_under_load_nothing_fails_and_nothing_grows(
    stage: Stage, ticks: Callable[[], Iterator[float]], capfd: pytest.CaptureFixture[str]
) -> None:
    spawn = multiprocessing.get_context("spawn")
    begun, committed = spawn.Value("q", 1), spawn.Value("q", 1)
    done, results = spawn.Event(), spawn.SimpleQueue()
    shared = (begun, committed, done)
    writer = spawn.Process(target=commit, args=(stage.path, *shared))
    clients = spawn.Process(target=crowd, args=(stage.server.port, *shared, results))
    for process in (writer, clients):
        process.start()
    time.sleep(2)  # they start
    resident: list[int] = []
    descriptors: list[int] = []
    for _ in ticks():
        resident.append(stage.resident())
        descriptors.append(stage.descriptors())
        time.sleep(0.1)
    done.set()
    times, wrong = results.get()
    for process in (writer, clients):
        process.join()
    assert not wrong
    assert writer.exitcode == 0
    assert committed.value > 10
    half = len(resident) // 2
    first, last = max(resident[:half]), max(resident[half:])
    assert last <= first + 4096  # it keeps the last 1,024 answers, about 3 MiB
    assert max(descriptors) <= min(descriptors) + 30
    p99 = quantiles(times, n=100)[98] * 1000
    with capfd.disabled():
        print(
            f"\n{CLIENTS} connections: {len(times)} answers, {committed.value} commits, p99 "
            f"{p99:.0f} ms; {first} KiB, then {last}; {max(descriptors)} descriptors"
        )


def test_it_ends_within_five_seconds_and_cuts_no_answer_short(
    database: Path, tokens_file: Path, plant: Plant
) -> None:
    plant()
    answers: list[bytes] = []
    whole: list[bytes] = []
    ending = threading.Event()

    def poll() -> None:
        while True:
            try:
                answer = talk(server.port, request(url(), "close"))
            except OSError:  # not accepted any more
                answer = b""
            if ending.is_set() and not answer:
                return
            answers.append(answer)
            if answer.startswith(b"HTTP/1.1 200 OK") and answer.endswith(b"}\n"):
                whole.append(answer)

    threads = [threading.Thread(target=poll) for _ in range(50)]
    with recommended(database, tokens_file) as server:
        for thread in threads:
            thread.start()
        time.sleep(1)
        ending.set()
        start = time.monotonic()
        server.terminate()
        assert server.wait() == 0
        assert time.monotonic() - start < 5
        for thread in threads:
            thread.join()
    assert len(answers) > 100
    assert whole == answers
