"""Each fault is injected for real, under load, and then repaired: docs/faults.md lists them."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from stage import Stage

Ticks = Callable[[], Iterator[float]]


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
        stage.committed = stage.begun
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
    stage.assert_right()
    return during


# What happens to the file


def remove(path: Path) -> None:
    for name in ("", "-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 - 100)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    path.write_bytes(b"no database " * 5000)


def make_folder(path: Path) -> None:
    remove(path)
    path.mkdir()


def forbid_folder(path: Path) -> None:
    path.parent.chmod(0o600)


@pytest.mark.parametrize("fault", [remove, truncate, empty, overwrite, make_folder, forbid_folder])
def test_a_fault_of_the_file_is_a_500_for_as_long_as_it_lasts(
    stage: Stage, fault: Callable[[Path], None]
) -> None:
    put_back = stage.save()

    def repair() -> None:
        stage.path.parent.chmod(0o700)
        if stage.path.is_dir():
            stage.path.rmdir()
        put_back()

    assert endure(stage, lambda: fault(stage.path), repair) == {500}


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
@pytest.mark.parametrize("renew", [Stage.replace, Stage.restore])
def test_new_files_count_at_once(
    stage: Stage, ticks: Ticks, renew: Callable[[Stage], None], journal: str
) -> None:
    """Renamed into place or restored into the live file, again and again, with commits between."""
    if journal == "DELETE":
        stage.use_rollback_journal()
    before = stage.descriptors()
    count = 0
    with stage.load():
        for _ in ticks():
            renew(stage)
            assert stage.ask(count % 20) == 200
            if count % 2:
                stage.commit()
            count += 1
            time.sleep(0.01)  # a rollback journal keeps readers out: let them in
    assert count > 20
    assert set(stage.statuses) == {200}
    stage.assert_right()
    assert stage.descriptors() <= before + 4


def test_a_lock_of_three_seconds(stage: Stage) -> None:
    stage.use_rollback_journal()
    with closing(sqlite3.connect(stage.path)) as writer:
        # One client: each waits a second, one after the other.
        lock, release = lambda: writer.execute("BEGIN EXCLUSIVE"), writer.rollback
        during = endure(stage, lock, release, lasts=3, clients=1)
    assert during == {500}


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


def start_writer(stage: Stage, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(stage.path)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **options)


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_a_writer_that_is_killed_leaves_nothing_of_what_it_had_not_committed(
    stage: Stage, journal: str
) -> None:
    if journal == "DELETE":
        stage.use_rollback_journal()
    with start_writer(stage) as writer:

        def kill() -> None:
            assert writer.stdout
            assert writer.stdout.readline() == "written\n"
            writer.send_signal(signal.SIGKILL)
            writer.wait()

        # A rollback journal is left: only who may write can roll it back.
        during = endure(stage, kill, stage.commit)
    assert during == ({200} if journal == "WAL" else {500})


def test_a_writer_whose_disk_is_full_changes_nothing(stage: Stage) -> None:
    stage.settle()

    def write_too_much() -> None:
        limit = (20_000, 20_000)
        writer = start_writer(
            stage, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        )
        _, errors = writer.communicate()
        assert "sqlite3.OperationalError" in errors

    assert endure(stage, write_too_much, lambda: None) == {200}


TOKEN_FAULTS: dict[str, tuple[Callable[[Path], object], int]] = {
    "removed": (Path.unlink, 500),
    "emptied": (lambda path: path.write_text(""), 401),
    "unreadable": (lambda path: path.chmod(0), 500),
}


@pytest.mark.parametrize("fault", TOKEN_FAULTS)
def test_a_fault_of_the_token_file_lets_no_one_in(stage: Stage, fault: str) -> None:
    text = stage.tokens.read_text()
    do, status = TOKEN_FAULTS[fault]

    def repair() -> None:
        stage.tokens.unlink(missing_ok=True)
        stage.tokens.write_text(text)

    assert endure(stage, lambda: do(stage.tokens), repair) == {status}
