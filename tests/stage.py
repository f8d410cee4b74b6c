"""The service under load, on the recommended server, while things go wrong.

Every state of the jobs has a number, and every member of a job tells of it. So each answer can be
checked: it is whole, it was committed, and it is no older than the last commit before the request.
"""

import http.client
import json
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import pytest
from serving import HELD, Server, recommended

import store

JOBS = 20


def job_id(index: int) -> str:
    return f"{index:08x}-0000-4000-8000-{index:012x}"


def job(index: int, number: int) -> dict[str, Any]:
    """Return a job as it is in the state of that number."""
    time_of_day = f"{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"
    return {
        "job_id": job_id(index),
        "criteria_json": json.dumps({"state": number, "job": index}),
        "action_type": f"type {number}",
        "action_duration": number,
        "action_reason": f"state {number} " * 20,
        "scheduled_at": f"2026-05-16T{time_of_day}Z",
        "executed_at": f"2026-05-17T{time_of_day}Z",
        "max_limit": number + 1,
        "preview_count": number + 2,
        "affected_count": number,
        "status": "running",
        "progress_percent": number % 100,
        "created_by": f"writer of {number}",
        "created_at": f"2026-05-18T{time_of_day}.000000001Z",
        "updated_at": f"2026-05-19T{time_of_day}+02:00",
    }


def jobs(number: int) -> list[dict[str, Any]]:
    """Return all jobs in the state of that number."""
    return [job(index, number) for index in range(JOBS)]


def restore(new: Path, path: Path) -> None:
    """Put the content of `new` into the live file and remove `new`: sqlite3's .restore."""
    with (
        closing(sqlite3.connect(new)) as source,
        closing(sqlite3.connect(path, timeout=10)) as target,
    ):
        source.backup(target)
    new.unlink()


class Stage:
    """A database, a server of it, and clients that ask without end."""

    def __init__(self, path: Path, tokens: Path, server: Server, token: str) -> None:
        self.path = path
        self.tokens = tokens
        self.server = server
        self.bearer = {"Authorization": f"Bearer {token}"}
        self.journal = "WAL"
        self.committed = 1  # the last state that a request must see
        self.begun = 1  # the last that it may see
        self.latest = 1  # the last that came
        self.statuses: Counter[int] = Counter()  # of the requests begun while it is here
        self.wrong: list[str] = []
        self._local = threading.local()

    def ask(self, index: int) -> int:
        """Ask for a job, note what is wrong with the answer, and return its status."""
        floor, statuses = self.committed, self.statuses
        try:
            status, headers, body = self._talk(f"/api/actions/bulk/jobs/{job_id(index)}")
        except (OSError, http.client.HTTPException) as error:
            self._local.connection = None
            self.wrong.append(f"no answer: {error!r}")
            return 0
        statuses[status] += 1
        if status == 200:
            got = json.loads(body)
            number = got.get("affected_count")
            self.latest = number
            if got != job(index, number) or not floor <= number <= self.begun:
                self.wrong.append(f"{floor} to {self.begun}: {body!r}")
        elif json.loads(body)["status"] != status or "problem+json" not in headers["Content-Type"]:
            self.wrong.append(f"{status}: {body!r}")
        return status

    def _talk(self, path: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
            self._local.connection = connection
        connection.request("GET", path, headers=self.bearer)
        response = connection.getresponse()
        return response.status, response.headers, response.read()

    def hang_up(self) -> None:
        if connection := getattr(self._local, "connection", None):
            connection.close()
            self._local.connection = None

    @contextmanager
    def load(self, clients: int = 4) -> Iterator[None]:
        """Let clients ask while the block runs."""
        done = threading.Event()

        def poll(client: int) -> None:
            index = client
            while not done.is_set():
                self.ask(index % JOBS)
                index += 7
            self.hang_up()

        threads = [threading.Thread(target=poll, args=(client,)) for client in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join()

    @contextmanager
    def next_state(self) -> Iterator[int]:
        """Yield the number of the state that the block commits."""
        self.begun += 1
        yield self.begun
        self.committed = self.begun

    def commit(self) -> None:
        """Commit the next state."""
        with self.next_state() as number:
            store.put(self.path, jobs(number))

    def replace(self) -> None:
        """Rename a file with the next state into place."""
        with self.next_state() as number:
            new = self.make(jobs(number))
            self.settle()  # a -wal with frames in it would spoil the new file: see schema.sql
            new.replace(self.path)

    def restore(self) -> None:
        """Restore a file with the next state into the live one."""
        with self.next_state() as number:
            restore(self.make(jobs(number)), self.path)

    def use_rollback_journal(self) -> None:
        """Rename a file into place that keeps no -wal, as some producers' do."""
        self.journal = "DELETE"
        self.replace()

    def make(self, rows: list[dict[str, Any]]) -> Path:
        """Make another database in the same folder."""
        new = self.path.with_name("new.db")
        store.create(new, rows)
        with closing(sqlite3.connect(new)) as connection:
            connection.execute(f"PRAGMA journal_mode = {self.journal}")
        return new

    def settle(self) -> None:
        """Bring all that was committed into the one file: its -wal is empty then."""
        with closing(sqlite3.connect(self.path, timeout=10)) as connection:
            (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert not busy

    def save(self) -> Callable[[], object]:
        """Return what puts the file back as it is now, by rename."""
        self.settle()
        saved = self.path.with_name("saved.db")
        saved.write_bytes(self.path.read_bytes())
        return lambda: saved.replace(self.path)

    def processes(self) -> list[int]:
        """Return the server's processes."""
        parent = self.server.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [parent, *map(int, children)]

    def descriptors(self) -> int:
        """Return how many descriptors the server's processes have open, sockets aside."""
        targets = []
        for pid in self.processes():
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):
                    targets.append(str(link.readlink()))
        return sum(not target.startswith("socket:") for target in targets)

    def resident(self) -> int:
        """Return the resident set of the server's processes, in KiB."""
        statm = [Path(f"/proc/{pid}/statm").read_text() for pid in self.processes()]
        return sum(int(text.split()[1]) for text in statm) * 4

    def assert_right(self) -> None:
        """Fail where any answer was not as it should be."""
        assert not self.wrong, self.wrong[:3]


@pytest.fixture
def stage(database: Path, tokens_file: Path) -> Iterator[Stage]:
    """Yield a stage whose server may do no more than the modes of files allow, root or not."""
    from conftest import TOKEN  # which imports this module

    store.put(database, jobs(1))
    with recommended(database, tokens_file, *HELD) as server:
        stage = Stage(database, tokens_file, server, TOKEN)
        assert stage.ask(0) == 200
        processes, descriptors = stage.processes(), stage.descriptors()
        yield stage
        stage.hang_up()
        assert stage.processes() == processes, "the server did not survive"
        assert stage.descriptors() <= descriptors + 4, "it leaks descriptors"


@pytest.fixture
def ticks(
    capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> Callable[[], Iterator[float]]:
    """Yield the seconds gone by until the time is over, with a line of progress on a terminal."""
    seconds: int = request.config.getoption("--seconds")

    def ticks() -> Iterator[float]:
        label, hidden = request.node.name, not sys.stderr.isatty()
        with (
            capfd.disabled(),
            click.progressbar(length=seconds, label=label, file=sys.stderr, hidden=hidden) as bar,
        ):
            start = time.monotonic()
            while (now := time.monotonic() - start) < seconds:
                yield now
                bar.update(int(now) - bar.pos)

    return ticks
