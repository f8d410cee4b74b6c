import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import JOB, JOB_ID, OPTIONAL, Plant
from faults import Fault, run

import store
from store import COLUMNS, JobStore, StoreError

ROW = tuple(JOB.values())
COUNT = COLUMNS.index("affected_count")
TIMES = [name for name in JOB if name.endswith("_at")]
MISTAKES: list[tuple[str, object]] = [
    *((name, None) for name in JOB if name not in OPTIONAL),
    *(("job_id", text) for text in (JOB_ID.upper(), JOB_ID[:-1], JOB_ID[:-1] + "g", JOB_ID + "\n")),
    *((name, f"2026-05-16{text}") for name in TIMES for text in ("", " 08:00:00Z", "T08:00Z")),
    *((name, "2026-05-16T08:00:00 CET") for name in TIMES),
    *(("max_limit", "many"), ("status", b"\x00")),
]


@pytest.fixture(params=["WAL", "DELETE"])
def journal(request: pytest.FixtureRequest, database: Path) -> str:
    """Set each journal mode in turn."""
    mode: str = request.param
    run(f"PRAGMA journal_mode = {mode}")(database)
    return mode


@pytest.fixture
def jobs(database: Path, plant: Plant) -> Iterator[JobStore]:
    """Return a store that has read its one job already."""
    plant()
    with closing(JobStore(database)) as jobs:
        assert jobs.get(JOB_ID) == ROW
        yield jobs


def another(database: Path, count: int) -> Path:
    """Make a database beside the other, whose job has a count."""
    path = database.with_name(f"{count}.db")
    store.create(path, [JOB | {"affected_count": count}])
    return path


def count(jobs: JobStore) -> Any:
    row = jobs.get(JOB_ID)
    return row and row[COUNT]


def write_elsewhere(database: Path, count: int) -> None:
    """Commit a count in a process of its own, as producers do."""
    program = f"""import sqlite3
connection = sqlite3.connect({str(database)!r})
connection.execute("UPDATE bulk_action_jobs SET affected_count = {count}")
connection.commit()"""  # noqa: S608 (a number)
    subprocess.run([sys.executable, "-c", program], check=True)


# The table


@pytest.mark.parametrize(("member", "value"), MISTAKES)
def test_the_table_refuses_the_common_mistakes(plant: Plant, member: str, value: object) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=member):
        plant(**{member: value})


# Reading


@pytest.mark.parametrize("name", ["a b", "%41", "a?mode=rwc", "a#b", "it's", "Größe-作業"])
def test_any_path_works(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / f"{name}.db"
    path.parent.mkdir()
    store.create(path, [JOB])
    with closing(JobStore(path)) as jobs:
        assert jobs.get(JOB_ID) == ROW
    beside = {child.name for child in path.parent.iterdir()}
    assert beside <= {path.name, f"{path.name}-wal", f"{path.name}-shm"}


def test_many_threads_share_one_connection(jobs: JobStore, database: Path) -> None:
    def read(_: int) -> object:
        database.touch()  # it is opened again
        return jobs.get(JOB_ID)

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(read, range(320))) == {ROW}
    links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert links.count(str(database)) == 1


# Changes of the file


@pytest.mark.usefixtures("journal")
def test_a_commit_is_seen_by_the_next_read(jobs: JobStore, plant: Plant) -> None:
    for number in range(5):
        plant(affected_count=number)
        assert count(jobs) == number


@pytest.mark.usefixtures("journal")
def test_a_file_renamed_into_place_is_seen_by_the_next_read(jobs: JobStore, database: Path) -> None:
    run("PRAGMA wal_checkpoint(TRUNCATE)")(database)
    for number in range(5):
        path = another(database, number)
        os.utime(path, ns=(1, 1))  # as rsync and cp -p may leave it
        path.replace(database)
        assert count(jobs) == number
    write_elsewhere(database, 42)
    assert count(jobs) == 42


def test_a_restored_database_is_read_whole(journal: str, jobs: JobStore, database: Path) -> None:
    def poll(_: int, pages_to_come: int, __: int) -> None:
        if pages_to_come and journal == "WAL":  # else readers wait
            assert count(jobs) == before

    before = count(jobs)
    for number in range(3):
        with (
            closing(sqlite3.connect(another(database, number))) as source,
            closing(sqlite3.connect(database)) as target,
        ):
            source.backup(target, pages=1, progress=poll)  # as .restore of the sqlite3 shell
        assert count(jobs) == (before := number)
    write_elsewhere(database, 42)
    assert count(jobs) == 42
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_removed_wal_heals(jobs: JobStore, database: Path) -> None:
    run("PRAGMA wal_checkpoint(TRUNCATE)")(database)
    database.with_name("jobs.db-wal").unlink()
    assert jobs.get(JOB_ID) == ROW
    for number in (1, 2):
        write_elsewhere(database, number)
        assert count(jobs) == number


def test_a_touch_heals_a_removed_shm(jobs: JobStore, database: Path) -> None:
    database.with_name("jobs.db-shm").unlink()
    with closing(sqlite3.connect(database)):  # which keeps the -wal of the next commit
        write_elsewhere(database, 1)
        database.touch()
        assert count(jobs) == 1


def test_all_three_files_restored_are_read(jobs: JobStore, database: Path, plant: Plant) -> None:
    plant(affected_count=1)  # it is in the -wal
    (backup := database.with_name("backup")).mkdir()
    for path in database.parent.glob("jobs.db*"):
        shutil.copy(path, backup)
    plant(affected_count=2)
    assert count(jobs) == 2
    for path in database.parent.glob("jobs.db*"):
        path.unlink()
    for path in backup.iterdir():
        shutil.copy(path, database.parent)
    assert count(jobs) == 1
    write_elsewhere(database, 3)
    assert count(jobs) == 3


# Faults of the file


def test_a_fault_lasts_until_it_is_repaired(jobs: JobStore, database: Path, fault: Fault) -> None:
    run("PRAGMA wal_checkpoint(TRUNCATE)")(database)
    fault.do(database)
    with pytest.raises(StoreError, match=f"cannot read {database}: .*{fault.reason}"):
        jobs.get(JOB_ID)
    for path in database.parent.glob("jobs.db*"):
        path.rmdir() if path.is_dir() else path.unlink()
    another(database, 0).replace(database)
    assert count(jobs) == 0


def test_a_lock_is_waited_for_a_second(database: Path, plant: Plant) -> None:
    plant()
    run("PRAGMA journal_mode = DELETE")(database)
    with closing(JobStore(database)) as jobs, closing(sqlite3.connect(database)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        start = time.monotonic()
        with pytest.raises(StoreError, match="locked"):
            jobs.get(JOB_ID)
        assert 0.9 < time.monotonic() - start < 2.9
        writer.rollback()
        assert jobs.get(JOB_ID) == ROW


# Writing


@pytest.mark.parametrize("suffix", ["", "-wal", "-journal"])
def test_create_leaves_what_is_there_as_it_is(tmp_path: Path, suffix: str) -> None:
    there = tmp_path / f"jobs.db{suffix}"
    there.write_text("mine")
    with pytest.raises(StoreError, match=f"{there} exists already"):
        store.create(tmp_path / "jobs.db")
    assert there.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [there]


def test_another_writer_can_commit_while_put_waits_for_more_jobs(database: Path) -> None:
    def jobs() -> Iterator[dict[str, Any]]:
        yield JOB
        run("CREATE TABLE another (job_id)")(database)

    assert store.put(database, jobs()) == (1, 0)
