"""The service under load, on the recommended server, while things go wrong.

Every state of the jobs has a number, and members of a job tell of it. So each answer can be
checked: it is whole, it was committed, and it is no older than the last commit before the request.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from itertools import count, takewhile
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from faults import FAULTS
from samples import BEARER, TOKEN, Plant, demo_job, make, url
from serving import HELD, RECOMMENDED, Server, serving, talk, wait_until

DO = {name: fault.do for name, fault in FAULTS.items()} | {
    "in a forbidden folder": lambda path: path.parent.chmod(0o600)
}
RUNNING = {name: value for name, value in demo_job(2).items() if value is not None}
MARKS = ", ".join(f":{name}" for name in RUNNING)
PUT = f"REPLACE INTO bulk_action_jobs ({', '.join(RUNNING)}) VALUES ({MARKS})"  # noqa: S608 (names)


def job(index: int, number: int) -> dict[str, Any]:
    """Return one of twenty jobs as it is in the state of that number."""
    return RUNNING | {
        "job_id": f"{index % 20:08x}-0000-4000-8000-{index % 20:012x}",
        "action_reason": f"state {number} " * 20,
        "preview_count": number + 2,
        "affected_count": number,
        "created_by": f"writer of {number}",
    }


def put(path: Path, number: int) -> None:
    """Commit all jobs in the state of that number."""
    with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        connection.executemany(PUT, [job(index, number) for index in range(20)])


class Stage:
    """A database, a server of it, and clients that ask without end."""

    def __init__(self, path: Path, server: Server) -> None:
        self.path, self.server = path, server
        self.journal = "WAL"  # of the files to come; DELETE keeps no -wal
        self.begun = self.committed = 1  # the last state that a request may and must see
        self.latest = 1  # the last that came
        self.statuses: Counter[int] = Counter()  # of the requests begun while it is here
        self.wrong: list[str] = []
        self.connection = HTTPConnection("127.0.0.1", server.port, timeout=20)

    def ask(self, index: int = 0, connection: HTTPConnection | None = None) -> int:
        """Ask for a job, note what is wrong with the answer, and return its status."""
        connection = connection or self.connection
        floor, statuses = self.committed, self.statuses
        try:
            connection.request("GET", url(job(index, 1)["job_id"]), headers=BEARER)
            response = connection.getresponse()
            got = json.loads(response.read())
        except (OSError, HTTPException) as error:
            connection.close()
            self.wrong.append(f"no answer: {error!r}")
            return 0
        statuses[response.status] += 1
        if response.status == 200:
            self.latest = number = int(got["affected_count"])
            if got != job(index, number) or not floor <= number <= self.begun:
                self.wrong.append(f"{floor} to {self.begun}: {got}")
        elif got["status"] != response.status:
            self.wrong.append(f"{response.status}: {got}")
        return response.status

    @contextmanager
    def load(self, clients: int = 4) -> Iterator[None]:
        """Let clients ask while the block runs."""
        done = threading.Event()

        def poll(index: int) -> None:
            with closing(HTTPConnection("127.0.0.1", self.server.port, timeout=20)) as connection:
                while not done.is_set():
                    self.ask(index, connection)
                    index += 7

        with ThreadPoolExecutor(clients) as threads:
            for client in range(clients):
                threads.submit(poll, client)
            try:
                yield
            finally:
                done.set()

    def commit(self, how: str = "commit") -> None:
        """Commit the next state: in place, or as a file to restore or to rename into place."""
        self.begun += 1
        if how == "commit":
            put(self.path, self.begun)
        else:
            new = make(self.path.with_name("new.db"))
            put(new, self.begun)
            source, target = sqlite3.connect(new), sqlite3.connect(self.path, timeout=10)
            with closing(source), closing(target):
                source.execute(f"PRAGMA journal_mode = {self.journal}")
                if how == "restore":
                    source.backup(target)
                else:  # the -wal, which would spoil another file, must be empty
                    busy, *_ = target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                    assert not busy
            new.replace(self.path) if how == "rename" else new.unlink()
        self.committed = self.begun

    def usage(self) -> tuple[list[Path], int, int]:
        """Return the server's processes, their resident set in KiB, and their open files."""
        parent = Path(f"/proc/{self.server.process.pid}")
        children = (parent / "task" / parent.name / "children").read_text().split()
        processes = [parent, *(parent.with_name(pid) for pid in children)]
        pages = [int((process / "statm").read_text().split()[1]) for process in processes]
        links = [link for process in processes for link in (process / "fd").iterdir()]
        files = [link for link in links if "socket:" not in os.path.realpath(link)]
        return processes, sum(pages) * 4, len(files)


@pytest.fixture
def stage(database: Path) -> Iterator[Stage]:
    """Yield a stage whose server may do no more than the modes of files allow, root or not."""
    put(database, 1)
    with serving(*HELD, *RECOMMENDED, settings={"FLASK_DATABASE": database}) as server:
        stage = Stage(database, server)
        assert stage.ask() == 200
        processes, _, files = stage.usage()
        yield stage
        stage.connection.close()
        assert not stage.wrong, stage.wrong[:3]
        assert stage.usage()[0] == processes, "the server did not survive"
        assert stage.usage()[2] <= files + 4, "it leaks descriptors"


@pytest.fixture
def ticks(request: pytest.FixtureRequest) -> Iterator[int]:
    """Return the numbers of the rounds of a torture: eleven, and more while its time lasts."""
    end = time.monotonic() + request.config.getoption("--seconds")
    return takewhile(lambda number: number < 11 or time.monotonic() < end, count())


@pytest.mark.parametrize("fault", DO)
def test_a_fault_of_the_file_is_a_500_for_as_long_as_it_lasts(stage: Stage, fault: str) -> None:
    stage.journal = "DELETE"
    stage.commit("rename")
    saved = Path(shutil.copy(stage.path, stage.path.with_name("saved.db")))
    with stage.load():
        DO[fault](stage.path)
        stage.statuses = Counter()  # what was asked before may be answered as before
        wait_until(lambda: stage.statuses.total() >= 3)
        assert set(stage.statuses) == {500}
        stage.path.parent.chmod(0o700)
        if stage.path.is_dir():
            stage.path.rmdir()
        saved.replace(stage.path)
        stage.statuses = Counter()
        wait_until(lambda: stage.statuses.total() >= 20)
        assert set(stage.statuses) == {200}, stage.server.output()[-3000:]
    stage.commit()
    assert stage.ask() == 200


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
@pytest.mark.parametrize("how", ["rename", "restore"])
def test_new_files_and_commits_between_them_count_at_once(
    stage: Stage, ticks: Iterator[int], how: str, journal: str
) -> None:
    stage.journal = journal
    stage.commit("rename")
    with stage.load():
        for tick in ticks:
            stage.commit("commit" if tick % 3 == 1 else how)
            assert stage.ask(tick) == 200
            time.sleep(0.01)  # a rollback journal keeps readers out: let them in
    assert set(stage.statuses) == {200}


def test_under_load_nothing_fails_and_nothing_grows(stage: Stage, ticks: Iterator[int]) -> None:
    with stage.load(200):
        usages = []
        for _ in ticks:
            stage.commit()
            usages.append(stage.usage()[1:])
    assert set(stage.statuses) == {200}
    resident, files = zip(*usages, strict=True)
    half = len(resident) // 2
    # It keeps the last 1,024 answers, about 3 MiB.
    assert max(resident[half:]) <= max(resident[:half]) + 4096
    assert max(files) <= min(files) + 30


def test_it_ends_within_five_seconds_and_cuts_no_answer_short(database: Path, plant: Plant) -> None:
    plant()
    request = f"GET {url()} HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    answers: list[bytes] = []
    ending = threading.Event()

    def poll() -> None:
        while (answer := talk(server.port, request)) or not ending.is_set():
            answers.append(answer)

    settings = {"FLASK_DATABASE": database}
    with serving(*RECOMMENDED, settings=settings) as server, ThreadPoolExecutor(50) as threads:
        for _ in range(50):
            threads.submit(poll)
        wait_until(lambda: len(answers) > 100)
        ending.set()
        start = time.monotonic()
        server.process.terminate()
        assert server.process.wait(20) == 0
        assert time.monotonic() - start < 5
    assert all(b" 200 " in answer and answer.endswith(b"}\n") for answer in answers)


def test_what_a_replica_by_litestream_serves_was_committed_and_comes_within_seconds(
    stage: Stage, ticks: Iterator[int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its tokens come with its jobs. Here both machines are folders."""
    litestream = str(Path(sys.executable).with_name("litestream"))
    folder = tmp_path / "replica"
    folder.mkdir()
    path, new, away = folder / "jobs.db", folder / "new.db", (tmp_path / "away").as_uri()
    lags = []

    def fetch() -> bool:
        """Restore the latest state into the file that is served, as docs/replication.md does."""
        download = [litestream, "restore", "-o", str(new), away]
        new.unlink(missing_ok=True)
        if subprocess.run(download, capture_output=True, timeout=60).returncode:
            return False
        return subprocess.run(["sqlite3", path, f".restore {new}"], check=True).returncode == 0

    def catches_up() -> bool:
        assert fetch()
        replica.ask()
        replica.committed = replica.latest  # never back
        return replica.latest == stage.committed

    command = [litestream, "replicate", str(stage.path), away]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as copier:
        try:
            wait_until(fetch)
            with serving(*RECOMMENDED, settings={"FLASK_DATABASE": path}) as server:
                replica = Stage(path, server)
                with stage.load(2):
                    for _ in ticks:
                        stage.commit()
                        replica.begun = stage.begun
                        start = time.monotonic()
                        wait_until(catches_up)
                        lags.append(time.monotonic() - start)
                replica.connection.close()
        finally:
            copier.terminate()
    assert not replica.wrong, replica.wrong[:3]
    assert set(replica.statuses) == {200}
    assert median(lags) < 10
    with capfd.disabled():
        print(f"\nbehind by {median(lags):.1f} s in the median, {max(lags):.1f} s at the most")
