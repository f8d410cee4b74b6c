"""Each fault is injected for real, under load, and then repaired: docs/faults.md lists them."""

import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from faults import FAULTS
from stage import Stage

journals = pytest.mark.parametrize("journal", ["WAL", "DELETE"])


def endure(
    stage: Stage,
    inject: Callable[[], object],
    repair: Callable[[], object],
    lasts: float = 0.4,
    clients: int = 4,
) -> set[int]:
    """Inject a fault under load and repair it; return the statuses that came in between."""
    with stage.load(clients):
        time.sleep(0.2)
        inject()
        stage.statuses = Counter()  # what was asked before may be answered as before
        time.sleep(lasts)
        during = set(stage.statuses)
        repair()
        stage.statuses = Counter()
        assert stage.ask(3) == 200
        time.sleep(0.2)
        assert set(stage.statuses) == {200}, stage.server.output()[-3000:]
    stage.commit()
    assert stage.ask(3) == 200
    return during


FILE_FAULTS = {name: FAULTS[name].do for name in FAULTS if not name.startswith("without")}
FILE_FAULTS["in a forbidden folder"] = lambda path: path.parent.chmod(0o600)


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_a_fault_of_the_file_is_a_500_for_as_long_as_it_lasts(stage: Stage, fault: str) -> None:
    stage.settle()
    saved = stage.path.with_name("saved.db")
    saved.write_bytes(stage.path.read_bytes())

    def repair() -> None:
        stage.path.parent.chmod(0o700)
        if stage.path.is_dir():
            stage.path.rmdir()
        saved.replace(stage.path)

    assert endure(stage, lambda: FILE_FAULTS[fault](stage.path), repair) == {500}


@journals
@pytest.mark.parametrize("how", ["rename", "restore"])
def test_new_files_count_at_once(
    stage: Stage, ticks: Iterator[None], how: str, journal: str
) -> None:
    """Renamed into place or restored into the live file, again and again, with commits between."""
    stage.use_journal(journal)
    with stage.load():
        for count, _ in enumerate(ticks):
            stage.commit("commit" if count % 3 == 1 else how)
            assert stage.ask(count % 20) == 200
            time.sleep(0.01)  # a rollback journal keeps readers out: let them in
    assert set(stage.statuses) == {200}


def test_a_lock_of_three_seconds(stage: Stage) -> None:
    stage.use_journal("DELETE")
    with closing(sqlite3.connect(stage.path)) as writer:
        # One client: each waits a second, one after the other.
        lock, release = lambda: writer.execute("BEGIN EXCLUSIVE"), writer.rollback
        assert endure(stage, lock, release, lasts=3, clients=1) == {500}


WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA cache_size = 1")  # what is uncommitted spills into the file
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE bulk_action_jobs SET action_reason = 'uncommitted', max_limit = -1")
connection.execute("UPDATE bulk_action_jobs SET action_type = hex(zeroblob(1000))")
print("written", flush=True)
time.sleep(60)
"""


@journals
def test_a_writer_that_is_killed_leaves_nothing_of_what_it_had_not_committed(
    stage: Stage, journal: str
) -> None:
    stage.use_journal(journal)
    command = [sys.executable, "-c", WRITER, str(stage.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:

        def kill() -> None:
            assert writer.stdout
            assert writer.stdout.readline() == b"written\n"
            writer.kill()
            writer.wait()

        # A rollback journal is left: only who may write can roll it back.
        during = endure(stage, kill, stage.commit)
    assert during == ({200} if journal == "WAL" else {500})
