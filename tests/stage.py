"""The service under load, on the recommended server, while things go wrong.

Every state of the jobs has a number, and members of a job tell of it. So each answer can be
checked: it is whole, it was committed, and it is no older than the last commit before the request.
"""

import json
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from serving import HELD, RECOMMENDED, Server, serving

import demo
import store

JOBS = 20
RUNNING = demo.jobs(datetime.now(UTC))[1]


def job(index: int, number: int) -> dict[str, Any]:
    """Return a job as it is in the state of that number."""
    return RUNNING | {
        "job_id": f"{index:08x}-0000-4000-8000-{index:012x}",
        "criteria_json": json.dumps({"state": number, "job": index}),
        "action_reason": f"state {number} " * 20,
        "preview_count": number + 2,
        "affected_count": number,
        "created_by": f"writer of {number}",
    }


def jobs(number: int) -> list[dict[str, Any]]:
    """Return all jobs in the state of that number."""
    return [job(index, number) for index in range(JOBS)]


def restore(new: Path, path: Path) -> None:
    """Put the content of `new` into the live file: sqlite3's .restore."""
    with (
        closing(sqlite3.connect(new)) as source,
        closing(sqlite3.connect(path, timeout=10)) as target,
    ):
        source.backup(target)
    new.unlink()


class Stage:
    """A database, a server of it, and clients that ask without end."""

    def __init__(self, path: Path, tokens: Path, server: Server, bearer: dict[str, str]) -> None:
        self.path = path
        self.tokens = tokens
        self.server = server
        self.bearer = bearer
        self.journal = "WAL"
        self.committed = 1  # the last state that a request must see
        self.begun = 1  # the last that it may see
        self.latest = 1  # the last that came
        self.statuses: Counter[int] = Counter()  # of the requests begun while it is here
        self.wrong: list[str] = []
        self.connection = HTTPConnection("127.0.0.1", server.port, timeout=20)

    def ask(self, index: int, connection: HTTPConnection | None = None) -> int:
        """Ask for a job, note what is wrong with the answer, and return its status."""
        connection = connection or self.connection
        floor, statuses = self.committed, self.statuses
        path = f"/api/actions/bulk/jobs/{job(index, 1)['job_id']}"
        try:
            connection.request("GET", path, headers=self.bearer)
            response = connection.getresponse()
            got = json.loads(body := response.read())
        except (OSError, HTTPException) as error:
            connection.close()
            self.wrong.append(f"no answer: {error!r}")
            return 0
        statuses[response.status] += 1
        if response.status == 200:
            self.latest = got["affected_count"]
            if got != job(index, self.latest) or not floor <= self.latest <= self.begun:
                self.wrong.append(f"{floor} to {self.begun}: {body!r}")
        elif got["status"] != response.status:
            self.wrong.append(f"{response.status}: {body!r}")
        return response.status

    @contextmanager
    def load(self, clients: int = 4) -> Iterator[None]:
        """Let clients ask while the block runs."""
        done = threading.Event()

        def poll(index: int) -> None:
            with closing(HTTPConnection("127.0.0.1", self.server.port, timeout=20)) as connection:
                while not done.is_set():
                    self.ask(index % JOBS, connection)
                    index += 7

        threads = [threading.Thread(target=poll, args=(client,)) for client in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join()

    def commit(self, how: str = "commit") -> None:
        """Commit the next state: in place, or as a file to restore or to rename into place."""
        self.begun += 1
        rows = jobs(self.begun)
        if how == "commit":
            store.put(self.path, rows)
        else:
            store.create(new := self.path.with_name("new.db"), rows)
            with closing(sqlite3.connect(new)) as connection:
                connection.execute(f"PRAGMA journal_mode = {self.journal}")
            if how == "restore":
                restore(new, self.path)
            else:
                self.settle()
                new.replace(self.path)
        self.committed = self.begun

    def use_journal(self, mode: str) -> None:
        """Rename a file of this journal mode into place: DELETE keeps no -wal."""
        self.journal = mode
        self.commit("rename")

    def settle(self) -> None:
        """Empty the -wal, which would spoil another file that is renamed into place."""
        with closing(sqlite3.connect(self.path, timeout=10)) as connection:
            (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert not busy

    def processes(self) -> list[Path]:
        """Return the server's processes in /proc."""
        parent = Path(f"/proc/{self.server.process.pid}")
        children = (parent / "task" / parent.name / "children").read_text().split()
        return [parent, *(parent.with_name(pid) for pid in children)]

    def descriptors(self) -> int:
        """Return how many descriptors the server's processes have open, sockets aside."""
        links = [link for process in self.processes() for link in (process / "fd").iterdir()]
        return sum("socket:" not in os.path.realpath(link) for link in links)

    def resident(self) -> int:
        """Return the resident set of the server's processes, in KiB."""
        return sum(int((p / "statm").read_text().split()[1]) for p in self.processes()) * 4


@pytest.fixture
def stage(database: Path, tokens_file: Path) -> Iterator[Stage]:
    """Yield a stage whose server may do no more than the modes of files allow, root or not."""
    from conftest import BEARER  # which imports this module

    store.put(database, jobs(1))
    settings = {"FLASK_DATABASE": database, "FLASK_TOKENS_FILE": tokens_file}
    with serving(*HELD, *RECOMMENDED, settings=settings) as server:
        stage = Stage(database, tokens_file, server, BEARER)
        assert stage.ask(0) == 200
        processes, descriptors = stage.processes(), stage.descriptors()
        yield stage
        stage.connection.close()
        assert not stage.wrong, stage.wrong[:3]
        assert stage.processes() == processes, "the server did not survive"
        assert stage.descriptors() <= descriptors + 4, "it leaks descriptors"


@pytest.fixture
def ticks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Return what goes on until the time of a torture is over, and for eleven rounds at least."""

    def ticks() -> Iterator[None]:
        end = time.monotonic() + request.config.getoption("--seconds")
        rounds = count()
        while next(rounds) < 11 or time.monotonic() < end:
            yield

    return ticks()
