"""Load, and a writer that commits without end."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from conftest import TOKEN, Plant, url
from serving import RECOMMENDED, serving, talk, wait_until
from stage import Stage

REQUEST = (
    f"GET {url()} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    f"Authorization: Bearer {TOKEN}\r\n\r\n"
).encode()


def test_under_load_nothing_fails_and_nothing_grows(stage: Stage, ticks: Iterator[None]) -> None:
    sizes = []
    with stage.load(200):
        for _ in ticks:
            stage.commit()
            sizes.append((stage.resident(), stage.descriptors()))
    assert set(stage.statuses) == {200}
    resident, descriptors = zip(*sizes, strict=True)
    half = len(resident) // 2
    # It keeps the last 1,024 answers, about 3 MiB.
    assert max(resident[half:]) <= max(resident[:half]) + 4096
    assert max(descriptors) <= min(descriptors) + 30


def test_it_ends_within_five_seconds_and_cuts_no_answer_short(
    database: Path, tokens_file: Path, plant: Plant
) -> None:
    plant()
    answers: list[bytes] = []
    ending = threading.Event()

    def poll() -> None:
        while (answer := talk(server.port, REQUEST)) or not ending.is_set():
            answers.append(answer)

    threads = [threading.Thread(target=poll) for _ in range(50)]
    settings = {"FLASK_DATABASE": database, "FLASK_TOKENS_FILE": tokens_file}
    with (
        serving(*RECOMMENDED, settings=settings) as server,
        socket.create_connection(("127.0.0.1", server.port)) as slow,
    ):
        slow.sendall(REQUEST[:20])  # is not waited for
        for thread in threads:
            thread.start()
        wait_until(lambda: len(answers) > 100)
        ending.set()
        start = time.monotonic()
        server.process.terminate()
        assert server.process.wait(20) == 0
        assert time.monotonic() - start < 5
        for thread in threads:
            thread.join()
    assert all(a.startswith(b"HTTP/1.1 200 OK") and a.endswith(b"}\n") for a in answers)
