import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from samples import DIGEST, JOB, JOB_ID, OPTIONAL, OTHER_ID, Patch, Plant, make, run, write

from errors import StoreError
from store import JobStore

ROW = tuple(JOB.values())
TIMES = [name for name in JOB if name.endswith("_at")]
TOKEN = {"name": "laptop", "sha256": "a" * 64, "expires_at": "2026-05-16T08:00:00Z"}
NO_TIMES = ("", " 08:00:00Z", "T08:00Z", "T08:00:00 CET")
NO_UTC = ("", " 08:00:00Z", "T08:00:00", "T08:00:00.5Z", "T08:00:00+00:00")
MISTAKES: tuple[tuple[str, object], ...] = (
    *((name, None) for name in JOB if name not in OPTIONAL),
    *(("job_id", text) for text in (JOB_ID.upper(), JOB_ID[:-1], JOB_ID[:-1] + "g", JOB_ID + "\n")),
    *((name, f"2026-05-16{text}") for name in TIMES for text in NO_TIMES),
    *(("max_limit", "many"), ("status", b"\x00"), ("name", None), ("name", b"laptop")),
    *(("sha256", text) for text in (None, "a" * 63, "a" * 65, "A" * 64, "g" * 64)),
    *(("expires_at", f"2026-05-16{text}") for text in NO_UTC),
)


@pytest.fixture(params=["WAL", "DELETE"])
def jobs(request: pytest.FixtureRequest, database: Path, plant: Plant) -> Iterator[JobStore]:
    """Return a store that has read its one job already, in each journal mode."""
    run(database, f"PRAGMA journal_mode = {request.param}")
    plant()
    with closing(JobStore(database)) as jobs:
        assert get(jobs) == ROW
        yield jobs


def another(database: Path, count: int) -> Path:
    """Make a database beside the other; its job has a count."""
    path = make(database.with_name(f"{count}.db"))
    write(path, JOB | {"affected_count": count})
    return path


def get(jobs: JobStore, job_id: str = JOB_ID) -> Any:
    return jobs.get(DIGEST, job_id)[1]


def count(jobs: JobStore) -> object:
    job = get(jobs)
    return job and job[10]


def write_elsewhere(database: Path, count: int) -> None:
    """Commit a count in a process of its own, as producers do."""
    program = """import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    connection.execute("UPDATE bulk_action_jobs SET affected_count = ?", sys.argv[2:])"""
    subprocess.run([sys.executable, "-c", program, database, str(count)], check=True)


@pytest.mark.parametrize(("column", "value"), MISTAKES)
def test_a_table_refuses_the_common_mistakes(database: Path, column: str, value: object) -> None:
    table, row = ("tokens", TOKEN) if column in TOKEN else ("bulk_action_jobs", JOB)
    with pytest.raises(sqlite3.IntegrityError, match=column):
        write(database, row | {column: value}, table)


def test_a_name_has_one_token_and_a_token_one_name(database: Path) -> None:
    for row in ("name, hex(zeroblob(32))", "'another', sha256"):
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            run(database, f"INSERT INTO tokens SELECT {row}, NULL FROM tokens")  # noqa: S608 (constants)


@pytest.mark.parametrize("name", ["a b", "%41", "a?mode=rwc", "a#b", "it's", "Größe-作業", "{}"])
def test_any_path_works(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    path = another(folder / "jobs.db", 1).rename(folder / f"{name}.db")
    with closing(JobStore(path)) as jobs:
        assert count(jobs) == 1
        beside = {child.name for child in folder.iterdir()}
        assert beside == {path.name, f"{path.name}-wal", f"{path.name}-shm"}


def test_many_threads_share_one_connection(jobs: JobStore, database: Path) -> None:
    def read(_: int) -> object:
        database.touch()  # it is opened again
        return get(jobs)

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(read, range(320))) == {ROW}
    links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert links.count(str(database)) == 1


def test_a_file_renamed_into_place_is_seen_by_the_next_read(jobs: JobStore, database: Path) -> None:
    run(database, "PRAGMA wal_checkpoint(TRUNCATE)")
    for number in range(5):
        path = another(database, number)
        os.utime(path, ns=(1, 1))  # as rsync and cp -p may leave it
        path.replace(database)
        assert count(jobs) == number
    write_elsewhere(database, 42)
    assert count(jobs) == 42


def test_a_link_is_followed_to_each_file_that_it_names(database: Path) -> None:
    link, new = database.with_name("link.db"), database.with_name("new link")
    with closing(JobStore(link)) as jobs:
        for number in (1, 2, 3):
            new.symlink_to(another(database, number))
            new.replace(link)
            assert count(jobs) == number
            write_elsewhere(link, number + 10)
            assert count(jobs) == number + 10


@pytest.mark.parametrize("name", ["jobs.db", "link.db"])
def test_a_removed_wal_heals(database: Path, plant: Plant, name: str) -> None:
    plant()
    database.with_name("link.db").symlink_to(database)
    with closing(JobStore(database.with_name(name))) as jobs:
        assert get(jobs) == ROW
        run(database, "PRAGMA wal_checkpoint(TRUNCATE)")
        database.with_name("jobs.db-wal").unlink()
        assert get(jobs) == ROW
        for number in (1, 2):
            write_elsewhere(database, number)
            assert count(jobs) == number


def test_a_restored_database_is_seen_by_the_next_read(jobs: JobStore, database: Path) -> None:
    source, target = sqlite3.connect(another(database, 1)), sqlite3.connect(database)
    with closing(source), closing(target):
        source.backup(target)  # as .restore of the sqlite3 shell
    assert count(jobs) == 1
    write_elsewhere(database, 42)
    assert count(jobs) == 42


def test_an_older_sqlite_is_named(database: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 9))
    with pytest.raises(StoreError, match=r"^SQLite 3\.37 or later is needed: "):
        JobStore(database)


def test_a_database_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "nothing" / "jobs.db")
    for path, remedy in ((link, "let this user"), (Path(__file__, "jobs.db"), "name a file; each")):
        with pytest.raises(StoreError, match=f"^cannot make {path}: .*: {remedy}"):
            JobStore(path).init()


def test_a_forbidden_file_is_explained(jobs: JobStore, database: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read all
    run(database, "DROP TABLE tokens")
    with pytest.raises(StoreError, match="Permission denied: let this user read it"):
        get(jobs)


def test_a_database_that_many_make_at_once_has_the_jobs_of_all(tmp_path: Path) -> None:
    def init(number: int) -> tuple[int, int]:
        jobs = JobStore(tmp_path / "a" / "jobs.db")
        jobs.init()
        return jobs.put([(f"{number:08x}{JOB_ID[8:]}", *ROW[1:])])

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(init, range(8))) == [(1, 0)] * 8


def test_jobs_are_put_all_or_none(jobs: JobStore) -> None:
    with pytest.raises(StoreError, match="updated_at"):
        jobs.put([(OTHER_ID, *ROW[1:]), (*ROW[:-1], None)])
    assert (get(jobs), get(jobs, OTHER_ID)) == (ROW, None)


def test_a_writer_waits_for_another(jobs: JobStore, database: Path) -> None:
    writer = sqlite3.connect(database, isolation_level=None)
    with closing(writer), ThreadPoolExecutor(1) as thread:
        writer.execute("BEGIN IMMEDIATE")
        waiting = thread.submit(jobs.put, [ROW])
        with pytest.raises(TimeoutError):
            waiting.result(1.3)  # longer than a reader waits
        writer.execute("COMMIT")
        assert waiting.result(9) == (0, 1)
