import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import JOB, JOB_ID, Plant
from faults import Fault, run

import store
from store import COLUMNS, JobStore, StoreError

ROW = tuple(JOB.values())
COUNT = COLUMNS.index("affected_count")
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(params=["WAL", "DELETE"])
def jobs(request: pytest.FixtureRequest, database: Path, plant: Plant) -> Iterator[JobStore]:
    run(f"PRAGMA journal_mode = {request.param}")(database)
    plant()
    with closing(JobStore(database)) as jobs:
        assert jobs.get(JOB_ID) == ROW
        yield jobs


@pytest.fixture
def new(database: Path, plant: Plant) -> Callable[[int], Path]:
    """Make another database, whose job has a count."""

    def new(count: int) -> Path:
        path = database.with_name("new.db")
        path.unlink(missing_ok=True)
        store.create(path)
        plant(path=path, affected_count=count)
        return path

    return new


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


def restore(path: Path, into: Path) -> None:
    """Do what `sqlite3 into '.restore path'` does."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(into)) as target:
        source.backup(target, sleep=0.01)


# The table


def test_the_table_has_the_members_as_its_columns(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        columns = connection.execute("PRAGMA table_info(bulk_action_jobs)").fetchall()
    assert tuple(column[1] for column in columns) == COLUMNS == tuple(JOB)


@pytest.mark.parametrize("member", sorted(JOB.keys() - {"executed_at", "completed_at"}))
def test_only_the_times_not_reached_yet_may_be_null(plant: Plant, member: str) -> None:
    plant(executed_at=None, completed_at=None)
    with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
        plant(**{member: None})


@pytest.mark.parametrize("job_id", [JOB_ID.upper(), JOB_ID[:-1], JOB_ID[:-1] + "g", JOB_ID + "\n"])
def test_the_table_holds_ids_to_lower_case_uuids(plant: Plant, job_id: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="job_id is a lower-case UUID"):
        plant(job_id=job_id)


@pytest.mark.parametrize("member", [name for name in JOB if name.endswith("_at")])
@pytest.mark.parametrize("text", ["T08:00:00Z", "t08:00:00z", "T08:00:00.184467441+02:00"])
def test_the_table_takes_times_of_rfc_3339(plant: Plant, member: str, text: str) -> None:
    plant(**{member: f"2026-05-16{text}"})


@pytest.mark.parametrize("member", [name for name in JOB if name.endswith("_at")])
@pytest.mark.parametrize("text", ["", " 08:00:00Z", "T08:00Z", "T08:00:00 CET"])
def test_the_table_refuses_the_common_mistakes(plant: Plant, member: str, text: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=f"{member} is an RFC 3339 date-time"):
        plant(**{member: f"2026-05-16{text}"})


@pytest.mark.parametrize(("member", "value"), [("max_limit", "many"), ("status", b"\x00")])
def test_the_table_is_strict_about_types(plant: Plant, member: str, value: object) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="cannot store"):
        plant(**{member: value})


def test_the_table_sets_no_range_and_no_vocabulary(plant: Plant) -> None:
    plant(status="paused", action_type="", progress_percent=-1, max_limit=2**63 - 1)


# Reading


@pytest.mark.parametrize("name", ["a b", "100%", "%41", "a?mode=rwc", "a#b", "it's", "Größe-作業"])
def test_any_path_works(tmp_path: Path, plant: Plant, name: str) -> None:
    path = tmp_path / name / f"{name}.db"
    path.parent.mkdir()
    store.create(path)
    plant(path=path)
    with closing(JobStore(path)) as jobs:
        assert jobs.get(JOB_ID) == ROW
    beside = {child.name for child in path.parent.iterdir()}
    assert beside <= {path.name, f"{path.name}-wal", f"{path.name}-shm"}


def test_a_relative_path_is_of_the_folder_it_was_named_in(
    jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(jobs.path.parent)
    with closing(JobStore("jobs.db")) as relative:
        monkeypatch.chdir("/")
        assert relative.get(JOB_ID) == ROW


def test_neither_reading_nor_writing_makes_a_file_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    accesses: dict[Callable[[], object], str] = {
        lambda: JobStore(path).get(JOB_ID): "read",
        lambda: list(JobStore(path).newest(None, -1)): "read",
        lambda: store.put(path, [JOB]): "write",
        lambda: store.update(path, JOB, JOB): "write",
    }
    for access, verb in accesses.items():
        with pytest.raises(StoreError, match=f"cannot {verb} {path}: "):
            access()
    assert list(tmp_path.iterdir()) == []


def test_the_newest_come_first(jobs: JobStore, plant: Plant) -> None:
    times = ["2026-06-30T23:59:58.5Z", "2026-07-01T02:59:59+03:00", "2026-07-01T00:00:00z"]
    for digit, moment in zip("123", times, strict=True):
        plant(job_id=digit * 8 + JOB_ID[8:], updated_at=moment)
    assert [row[-1] for row in jobs.newest(None, 3)] == times[::-1]


def test_newest_are_all_or_of_a_status_and_by_id_where_the_times_are_the_same(
    jobs: JobStore, plant: Plant
) -> None:
    ids = [digit * 8 + JOB_ID[8:] for digit in "312"]
    for job_id in ids:
        plant(job_id=job_id, status="running")
    assert [row[0] for row in jobs.newest(None, -1)] == [JOB_ID, *sorted(ids)]
    assert [row[0] for row in jobs.newest("running", 2)] == sorted(ids)[:2]


# Changes of the file


def test_a_commit_is_seen_by_the_next_read(jobs: JobStore, plant: Plant) -> None:
    for number in range(20):
        plant(affected_count=number)
        assert count(jobs) == number


def test_a_file_renamed_into_place_is_seen_by_the_next_read(
    jobs: JobStore, database: Path, new: Callable[[int], Path]
) -> None:
    run("PRAGMA wal_checkpoint(TRUNCATE)")(database)
    for number in range(20):
        path = new(number)
        os.utime(path, ns=(1, 1))  # as rsync and cp -p may leave it
        path.replace(database)
        assert count(jobs) == number
    write_elsewhere(database, 42)
    assert count(jobs) == 42


def test_a_file_without_a_wal_that_is_written_over_is_seen_by_the_next_read(
    database: Path, new: Callable[[int], Path]
) -> None:
    with closing(JobStore(database)) as jobs:
        for number in range(20):
            run("PRAGMA journal_mode = DELETE")(path := new(number))
            database.write_bytes(path.read_bytes())
            assert count(jobs) == number


@pytest.mark.parametrize("gone", [["-wal"], ["-wal", "-shm"]])
def test_a_removed_wal_heals(database: Path, plant: Plant, gone: list[str]) -> None:
    plant()
    with closing(JobStore(database)) as jobs:
        assert jobs.get(JOB_ID) == ROW
        run("PRAGMA wal_checkpoint(TRUNCATE)")(database)
        for suffix in gone:
            Path(f"{database}{suffix}").unlink()
        assert jobs.get(JOB_ID) == ROW
        for number in (1, 2):
            write_elsewhere(database, number)
            assert count(jobs) == number


def test_all_three_files_restored_are_read_as_they_were(database: Path, plant: Plant) -> None:
    backup = database.with_name("backup")
    plant()
    with closing(JobStore(database)) as jobs:
        jobs.get(JOB_ID)
        plant(affected_count=1)  # it is in the -wal
        backup.mkdir()
        for path in database.parent.glob("jobs.db*"):
            shutil.copy(path, backup)
        plant(affected_count=2)
        assert count(jobs) == 2
        for path in database.parent.glob("jobs.db*"):
            path.unlink()
        with pytest.raises(StoreError):
            jobs.get(JOB_ID)
        for path in backup.iterdir():
            shutil.copy(path, database.parent)
        assert count(jobs) == 1
        write_elsewhere(database, 3)
        assert count(jobs) == 3


def test_a_database_restored_into_the_file_is_read_whole_and_stays_sound(
    jobs: JobStore, database: Path, plant: Plant, new: Callable[[int], Path]
) -> None:
    run("UPDATE bulk_action_jobs SET affected_count = 0, preview_count = 0")(database)
    restored, done = 0, threading.Event()

    def poll() -> list[tuple[int, int, int]]:
        seen = []
        while not done.is_set():
            floor, row = restored, dict(zip(COLUMNS, jobs.get(JOB_ID) or (), strict=True))
            seen.append((floor, row["affected_count"], row["preview_count"]))
        return seen

    with ThreadPoolExecutor(3) as threads:
        polls = [threads.submit(poll) for _ in range(3)]
        try:
            for number in range(1, 6):
                path = new(number)
                plant(path=path, affected_count=number, preview_count=number)
                restore(path, database)
                restored = number
                assert count(jobs) == number
        finally:
            done.set()
    seen = [answer for poll in polls for answer in poll.result()]
    assert all(floor <= first == second for floor, first, second in seen)
    assert len(seen) > 20
    write_elsewhere(database, 42)
    assert count(jobs) == 42
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# Faults of the file


def test_a_fault_is_a_store_error_until_the_file_is_repaired(
    jobs: JobStore, database: Path, plant: Plant, fault: Fault
) -> None:
    run("PRAGMA wal_checkpoint(TRUNCATE)")(database)
    fault.do(database)
    for _ in range(2):
        with pytest.raises(StoreError, match=f"cannot read {database}: .*{fault.reason}"):
            jobs.get(JOB_ID)
    database.rmdir() if database.is_dir() else database.unlink(missing_ok=True)
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    store.create(database)
    plant()
    assert jobs.get(JOB_ID) == ROW


def test_a_lock_is_waited_for_a_second(jobs: JobStore, database: Path) -> None:
    jobs.close()
    run("PRAGMA journal_mode = DELETE")(database)
    with closing(sqlite3.connect(database, check_same_thread=False)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        start = time.monotonic()
        with pytest.raises(StoreError, match="locked"):
            jobs.get(JOB_ID)
        assert 0.9 < time.monotonic() - start < 1.9
        release = threading.Timer(0.2, writer.rollback)
        release.start()
        assert jobs.get(JOB_ID) == ROW
        release.join()


def test_reads_of_many_threads_share_one_connection(jobs: JobStore, database: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(jobs.get, [JOB_ID] * 320)) == {ROW}
    links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert links.count(str(database)) == 1


# Writing


def test_create_makes_a_database_with_jobs_even_beside_an_empty_wal(tmp_path: Path) -> None:
    (tmp_path / "some.db-wal").touch()
    store.create(tmp_path / "some.db", iter([JOB]))
    assert list(JobStore(tmp_path / "some.db").newest(None, -1)) == [ROW]


@pytest.mark.parametrize("suffix", ["", "-wal", "-journal"])
def test_create_leaves_what_is_there_as_it_is(tmp_path: Path, suffix: str) -> None:
    there = tmp_path / f"jobs.db{suffix}"
    there.write_text("mine")
    with pytest.raises(StoreError, match=f"{there} exists already"):
        store.create(tmp_path / "jobs.db")
    assert there.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [there]


def test_create_makes_nothing_if_a_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="job_id is a lower-case UUID"):
        store.create(tmp_path / "jobs.db", [JOB, JOB | {"job_id": "1"}])
    assert list(tmp_path.iterdir()) == []


def test_put_adds_and_replaces_and_leaves_the_others(jobs: JobStore, database: Path) -> None:
    early = {name: value for name, value in JOB.items() if name != "completed_at"}
    new = [early | {"job_id": JOB_ID.upper(), "status": "running"}, JOB | {"job_id": UNKNOWN}]
    assert store.put(database, new) == (1, 1)
    got = dict(zip(COLUMNS, jobs.get(JOB_ID) or (), strict=True))
    assert got == JOB | {"status": "running", "completed_at": None}
    assert store.put(database, [JOB]) == (0, 1)
    assert [row[0] for row in jobs.newest(None, -1)] == [UNKNOWN, JOB_ID]


def test_put_can_clear_the_others(jobs: JobStore, database: Path) -> None:
    store.put(database, [JOB | {"job_id": UNKNOWN}], clear=True)
    assert [row[0] for row in jobs.newest(None, -1)] == [UNKNOWN]


@pytest.mark.parametrize("clear", [False, True])
def test_put_writes_all_or_nothing(jobs: JobStore, database: Path, clear: bool) -> None:
    with pytest.raises(StoreError, match=f"cannot write {database}: .*NOT NULL"):
        store.put(database, [JOB | {"affected_count": 1}, {"job_id": UNKNOWN}], clear=clear)
    assert list(jobs.newest(None, -1)) == [ROW]


def test_update_writes_a_job_only_if_it_is_as_it_was_seen(jobs: JobStore, database: Path) -> None:
    seen = JOB | {"job_id": JOB_ID.upper()}
    running = {name: value for name, value in JOB.items() if name != "completed_at"}
    assert store.update(database, running, seen)
    assert not store.update(database, JOB | {"affected_count": 1}, seen)
    assert count(jobs) == JOB["affected_count"]
    assert store.update(database, JOB | {"affected_count": 2}, running)
    assert count(jobs) == 2
