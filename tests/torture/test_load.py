"""The service under load, on the recommended server, while things go wrong.

Every state of the jobs has a number, and members of a job tell of it. So each answer can be
checked: it is whole, it was committed, and it is no older than what was committed, or answered,
before the request.
"""

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from itertools import count, islice, repeat, takewhile
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from faults import Fault
from samples import BEARER, TOKEN, Patch, Plant, demo_job, run, url, write
from serving import PATH, RECOMMENDED, ROOT, Server, serving, talk, wait_until

RUNNING = {name: value for name, value in demo_job(2).items() if value is not None}
PUT = """UPDATE bulk_action_jobs SET action_reason = printf('%0200d', ?1),
    affected_count = ?1, created_by = 'writer of ' || ?1"""


def job(index: int, number: int) -> dict[str, Any]:
    """Return one of twenty jobs as it is in the state of that number."""
    return RUNNING | {
        "job_id": f"{index % 20:08x}-0000-4000-8000-{index % 20:012x}",
        "action_reason": f"{number:0200}",
        "affected_count": number,
        "created_by": f"writer of {number}",
    }


class Stage:
    """A database, a server of it, and clients that ask without end."""

    def __init__(self, path: Path, server: Server) -> None:
        self.path, self.server = path, server
        self.begun = self.committed = 1  # the last state that a request may and must see
        self.seen = 1  # the state in the last answer
        self.expected: tuple[int, ...] = (200,)  # statuses, at the start or the end of a request
        self.got: list[int] = []  # the statuses of those begun since

    def poll(self, index: int, done: threading.Event) -> None:
        """Ask for one job after another over one connection, and fail for a wrong answer."""
        with closing(HTTPConnection("127.0.0.1", self.server.port, timeout=20)) as connection:
            while not done.is_set():
                floor, expected, got = max(self.committed, self.seen), self.expected, self.got
                connection.request("GET", url(job(index, 1)["job_id"]), headers=BEARER)
                response = connection.getresponse()
                body = json.loads(response.read())
                assert response.status in expected + self.expected, body
                if response.status == 200:
                    number = body["affected_count"]
                    assert body == job(index, number)
                    assert floor <= number <= self.begun
                    self.seen = number
                got.append(response.status)
                index += 7

    @contextmanager
    def load(self, clients: int = 4) -> Iterator[None]:
        """Let clients ask while the block runs, and fail if one of them did."""
        done = threading.Event()
        with ThreadPoolExecutor(clients) as threads:
            polls = [threads.submit(self.poll, index, done) for index in range(clients)]
            try:
                yield
            finally:
                done.set()
                for poll in polls:
                    poll.result()

    def expect(self, *statuses: int) -> None:
        """Expect these of the requests begun from now on, and wait for ten answers to them."""
        self.expected, self.got = statuses, []
        wait_until(lambda: len(self.got) >= 10)

    def commit(self, how: str = "commit", journal: str = "WAL") -> None:
        """Commit the next state: in place, or as a file to restore or to rename into place."""
        self.begun += 1
        new = self.path.with_name("new.db")
        if how == "commit":
            run(self.path, PUT, self.begun)
        else:
            new.unlink(missing_ok=True)
            run(self.path, f"VACUUM INTO '{new}'")
            run(new, f"PRAGMA journal_mode = {journal}")
            run(new, PUT, self.begun)
        if how == "restore":
            subprocess.check_call(["sqlite3", self.path, ".timeout 10000", f".restore {new}"])
        if how == "rename":
            run(self.path, "PRAGMA wal_checkpoint(TRUNCATE)")  # the -wal would spoil another file
            new.replace(self.path)
        self.committed = self.begun

    def usage(self) -> tuple[int, int]:
        """Return the resident set of the server's one worker in KiB, and its open files."""
        pid = self.server.process.pid
        *_, worker = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pages = Path(f"/proc/{worker}/statm").read_text().split()[1]
        return int(pages) * 4, len(list(Path(f"/proc/{worker}/fd").iterdir()))


@pytest.fixture
def stage(database: Path) -> Iterator[Stage]:
    """Serve twenty jobs; then fail if the server has kept files or connections open."""
    for index in range(20):
        write(database, job(index, 1))
    with serving(*RECOMMENDED, settings={"FLASK_DATABASE": database}) as server:
        stage = Stage(database, server)
        with stage.load():
            stage.expect(200)
        files = stage.usage()[1]
        yield stage
        wait_until(lambda: stage.usage()[1] <= files + 4)


@pytest.fixture
def ticks(request: pytest.FixtureRequest) -> Iterator[int]:
    """Return the numbers of the rounds of a torture: eleven, and more while its time lasts."""
    end = time.monotonic() + request.config.getoption("--seconds")
    return takewhile(lambda number: number < 11 or time.monotonic() < end, count())


def test_a_fault_of_the_file_is_a_500_for_as_long_as_it_lasts(stage: Stage, fault: Fault) -> None:
    run(stage.path, f"VACUUM INTO '{stage.path.with_name('backup.db')}'")
    (heal,) = re.findall("`(rm -rf .* mv .*?)`", (ROOT / "docs" / "faults.md").read_text("utf-8"))
    with stage.load():
        stage.expect(200, 500)
        fault.do(stage.path)
        stage.expect(500)
        stage.expect(200, 500)
        subprocess.check_call(["bash", "-c", heal], cwd=stage.path.parent)
        stage.expect(200)
        stage.commit()
        stage.expect(200)


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_under_load_each_new_state_counts_at_once_and_memory_does_not_grow(
    stage: Stage, ticks: Iterator[int], journal: str
) -> None:
    resident = []
    with stage.load(200):
        for _ in ticks:
            for how in ("rename", "rename", "commit", "restore", "restore", "commit"):
                stage.commit(how, journal)
                stage.expect(200)
            resident.append(stage.usage()[0])
    half = len(resident) // 2
    assert max(resident[half:]) <= max(resident[:half]) + 4096  # it keeps some answers


def test_it_ends_within_five_seconds_and_cuts_no_answer_short(database: Path, plant: Plant) -> None:
    plant()
    request = f"GET {url()} HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    is_whole = re.compile(rb"\S+ 200 .*}\n", re.DOTALL).fullmatch
    settings = {"FLASK_DATABASE": database}
    with ThreadPoolExecutor(50) as threads, serving(*RECOMMENDED, settings=settings) as server:
        answers = threads.map(talk, repeat(server.port, 5000), repeat(request))
        assert all(map(is_whole, islice(answers, 100)))
        server.process.terminate()
        assert server.process.wait(5) == 0
        assert all(map(is_whole, filter(None, answers)))


def test_what_a_replica_by_litestream_serves_was_committed_and_comes_within_seconds(
    stage: Stage, ticks: Iterator[int], tmp_path: Path, monkeypatch: Patch
) -> None:
    """Its tokens come with its jobs. Here both machines are folders."""
    monkeypatch.setenv("PATH", PATH)
    page = (ROOT / "docs" / "replication.md").read_text("utf-8")
    page = page.replace("REPLICA_URL", (tmp_path / "away").as_uri())
    replicate, restore = re.findall("^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    folder = tmp_path / "replica"
    folder.mkdir()
    lags = []

    def restored() -> bool:
        return subprocess.call(["bash", "-c", restore], cwd=folder) == 0

    def caught_up() -> bool:
        assert restored()
        replica.expect(200)
        return replica.seen == stage.committed

    start = f"(cd {tmp_path}; {replicate.strip()}) & exec {' '.join(RECOMMENDED)}"
    with serving("bash", "-c", start, settings={"FLASK_DATABASE": folder / "jobs.db"}) as server:
        wait_until(restored)
        replica = Stage(folder, server)
        with stage.load(2), replica.load(1):
            for _ in ticks:
                replica.begun += 1
                stage.commit()
                begun = time.monotonic()
                wait_until(caught_up)
                lags.append(time.monotonic() - begun)
    assert median(lags) < 10
