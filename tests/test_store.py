import contextlib
import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import JOB, JOB_ID, Plant
from faults import Fault, run

import store
from schemas import JobSchema
from store import COLUMNS, JobStore, StoreError


@pytest.fixture
def jobs(database: Path, plant: Plant) -> Iterator[JobStore]:
    plant()
    jobs = JobStore(database)
    yield jobs
    jobs.close()


def affected(jobs: JobStore) -> object:
    return (jobs.get(JOB_ID) or {}).get("affected_count")


# The table


def test_the_table_has_the_members_as_its_columns(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        columns = connection.execute("PRAGMA table_info(bulk_action_jobs)").fetchall()
    assert [column[1] for column in columns] == list(JobSchema().fields) == list(COLUMNS)


@pytest.mark.parametrize("member", JOB)
def test_only_the_times_not_reached_yet_may_be_null(plant: Plant, member: str) -> None:
    if member in ("executed_at", "completed_at"):
        plant(**{member: None})
    else:
        with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
            plant(**{member: None})


@pytest.mark.parametrize(
    "job_id",
    [
        JOB_ID.upper(),
        JOB_ID.replace("-", ""),
        JOB_ID[:-1],
        JOB_ID[:-1] + "g",
        JOB_ID + "\n",
        "-" + JOB_ID[1:],
        "0e4f-0a6c6d1f-4b7a-9a54-1c5b8a6d2f30",
        JOB_ID + "\0",
    ],
)
def test_the_table_holds_ids_to_lower_case_uuids(plant: Plant, job_id: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="job_id is a lower-case UUID"):
        plant(job_id=job_id)


@pytest.mark.parametrize(
    "member", ["scheduled_at", "executed_at", "completed_at", "created_at", "updated_at"]
)
class TestTimesOfTheTable:
    @pytest.mark.parametrize(
        "text",
        [
            "2026-05-16T08:00:00Z",
            "2026-05-16t08:00:00z",
            "2026-05-16T08:00:00.184467441+02:00",
            "2026-05-16T08:00:00-23:59",
            "2024-02-29T00:00:00Z",
            "0000-02-29T00:00:00Z",
            "9999-12-31T23:59:59.5Z",
            "1998-12-31T23:59:60Z",
        ],
    )
    def test_each_takes_rfc_3339(self, plant: Plant, member: str, text: str) -> None:
        plant(**{member: text})

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "2026-05-16 08:00:00Z",
            "2026-05-16T08:00:00",
            "2026-05-16T08:00Z",
            "2026-05-16T08:00:00.Z",
            "2026-05-16T08:00:00..5Z",
            "2026-05-16T08:00:00.5.5Z",
            "2026-05-16T08:00:005Z",
            "2026-05-16T08:00:00+0200",
            "2026-05-16T08:00:00+30:00",
            "2026-05-16T08:00:00Z+02:00",
            "2026-05-16T24:00:00Z",
            "2026-05-16T08:60:00Z",
            "2026-05-16T08:00:61Z",
            "2026-05-16T08:00:00+24:00",
            "2026-05-16T08:00:00Z\0",
            "2026-05-16T08:00:00.5\0Z",
            "2026-02-29T08:00:00Z",
            "2026-13-01T08:00:00Z",
            "2O26-05-16T08:00:00Z",
        ],
    )
    def test_each_refuses_other_forms(self, plant: Plant, member: str, text: str) -> None:
        with pytest.raises(sqlite3.IntegrityError, match=f"{member} is an RFC 3339 date-time"):
            plant(**{member: text})


@pytest.mark.parametrize(("member", "value"), [("max_limit", "many"), ("status", b"\x00")])
def test_the_table_is_strict_about_types(plant: Plant, member: str, value: object) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="cannot store"):
        plant(**{member: value})


def test_the_table_sets_no_range_and_no_vocabulary(plant: Plant) -> None:
    plant(status="paused", action_type="", progress_percent=-1, max_limit=2**63 - 1)


# Making a database


def test_create_leaves_an_existing_file_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        store.create(path)
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_create_makes_nothing_where_the_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error):
        store.create(tmp_path / "jobs.db", "INSERT INTO bulk_action_jobs VALUES (1);")
    assert list(tmp_path.iterdir()) == []


# Reading


def test_get_returns_the_row_as_stored(jobs: JobStore) -> None:
    assert jobs.get(JOB_ID) == JOB


def test_get_takes_an_id_in_any_case(jobs: JobStore) -> None:
    assert jobs.get(JOB_ID.upper()) == JOB


def test_get_leaves_out_what_is_null(jobs: JobStore, plant: Plant) -> None:
    plant(executed_at=None, completed_at=None)
    assert (jobs.get(JOB_ID) or {}).keys() == JOB.keys() - {"executed_at", "completed_at"}


def test_get_returns_none_for_an_unknown_id(jobs: JobStore) -> None:
    assert jobs.get("00000000-0000-4000-8000-000000000000") is None


def test_get_keeps_the_bytes_of_text_that_is_not_utf_8(jobs: JobStore, database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE bulk_action_jobs SET status = CAST(x'ff00' AS TEXT)")
    assert (jobs.get(JOB_ID) or {})["status"] == "\udcff\0"


@pytest.mark.parametrize("name", ["a b", "100%", "%41", "a?mode=rwc", "a#b", "it's", "Größe-作業"])
def test_any_path_works(tmp_path: Path, plant: Plant, name: str) -> None:
    path = tmp_path / name / f"{name}.db"
    path.parent.mkdir()
    store.create(path)
    plant(path=path)
    with closing(JobStore(path)) as jobs:
        assert jobs.get(JOB_ID) == JOB
    assert {child.name for child in path.parent.iterdir()} - {path.name} <= {
        f"{path.name}-wal",
        f"{path.name}-shm",
    }


def test_a_relative_path_is_of_the_folder_it_was_made_in(
    jobs: JobStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(JobStore("jobs.db")) as relative:
        monkeypatch.chdir("/")
        assert relative.get(JOB_ID) == jobs.get(JOB_ID)


def test_a_store_cannot_write(jobs: JobStore) -> None:
    jobs.get(JOB_ID)
    connection = jobs._idle[0].connection
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM bulk_action_jobs")


def test_a_store_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        JobStore(tmp_path / "none.db").get(JOB_ID)
    assert list(tmp_path.iterdir()) == []


# Changes of the file


def test_a_commit_is_seen_by_the_next_read(jobs: JobStore, plant: Plant) -> None:
    for count in range(20):
        plant(affected_count=count)
        assert affected(jobs) == count


def test_a_file_replaced_by_rename_is_seen_by_the_next_read(
    jobs: JobStore, database: Path, plant: Plant
) -> None:
    for count in range(20):
        new = database.with_name("new.db")
        store.create(new)
        plant(path=new, affected_count=count)
        new.replace(database)
        assert affected(jobs) == count


def test_a_wal_that_the_replaced_file_leaves_behind_is_not_read(
    jobs: JobStore, database: Path, plant: Plant
) -> None:
    assert jobs.get(JOB_ID)
    plant(affected_count=1)
    new = database.with_name("new.db")
    store.create(new)
    plant(path=new, affected_count=2)
    assert Path(f"{database}-wal").stat().st_size
    new.replace(database)
    assert [affected(jobs), affected(jobs)] == [2, 2]


@pytest.mark.parametrize("beside", ["removed", "emptied"])
@pytest.mark.parametrize(
    "touch",
    [lambda path: path.chmod(0o640), lambda path: path.with_name("another").touch()],
    ids=["the file", "its folder"],
)
def test_a_wal_of_the_new_files_own_is_read(
    jobs: JobStore, database: Path, plant: Plant, touch: Callable[[Path], None], beside: str
) -> None:
    """Even where something else than a rename has changed the one time or the other since."""
    assert jobs.get(JOB_ID)
    plant(affected_count=1)
    run("PRAGMA wal_checkpoint(TRUNCATE)")(database)
    new = database.with_name("new.db")
    store.create(new)
    plant(path=new, affected_count=2)
    new.replace(database)
    for name in ("-wal", "-shm") if beside == "removed" else ():
        Path(f"{database}{name}").unlink()
    time.sleep(0.02)
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("UPDATE bulk_action_jobs SET affected_count = 3")
        writer.commit()
        time.sleep(0.02)
        touch(database)
        assert affected(jobs) == 3
        writer.execute("UPDATE bulk_action_jobs SET affected_count = 4")
        writer.commit()
        assert affected(jobs) == 4


def test_a_commit_is_seen_though_the_shm_file_was_removed(jobs: JobStore, database: Path) -> None:
    """SQLite would go on with the one that it has open, which no other process has."""
    assert affected(jobs) == 137
    Path(f"{database}-shm").unlink()
    for count in (1, 2):
        program = f"""import sqlite3  # a process of its own
connection = sqlite3.connect({str(database)!r})
connection.execute("UPDATE bulk_action_jobs SET affected_count = {count}")
connection.commit()"""  # noqa: S608 (a number)
        subprocess.run([sys.executable, "-c", program], check=True)
        assert affected(jobs) == count


def test_a_leftover_wal_that_a_writer_takes_up_is_read_from_then_on(
    jobs: JobStore, database: Path, plant: Plant
) -> None:
    assert jobs.get(JOB_ID)
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("UPDATE bulk_action_jobs SET affected_count = 1")
        writer.commit()
    database.with_name("new.db").write_bytes(database.read_bytes())
    time.sleep(0.02)
    database.with_name("new.db").replace(database)
    assert affected(jobs) == 137
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("UPDATE bulk_action_jobs SET affected_count = 5")
        writer.commit()
        assert affected(jobs) == 5


def test_a_connection_that_a_replacement_overtook_is_opened_anew(
    jobs: JobStore, database: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = database.with_name("new.db")
    store.create(new)
    plant(path=new, affected_count=1)
    connect = sqlite3.connect

    def replace_and_connect(*args: object, **kwargs: object) -> sqlite3.Connection:
        if new.exists():
            new.replace(database)
        return connect(*args, **kwargs)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(sqlite3, "connect", replace_and_connect)
    assert affected(jobs) == 1
    (reader,) = jobs._idle
    assert reader.identity[0][1] == database.stat().st_ino


def test_a_file_that_gave_way_to_another_while_it_was_opened_is_not_mistaken(
    jobs: JobStore, database: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, away = database.with_name("other.db"), database.with_name("away.db")
    store.create(other)
    plant(path=other, affected_count=1)
    connect = sqlite3.connect

    def give_way(*args: object, **kwargs: object) -> sqlite3.Connection:
        monkeypatch.undo()
        database.rename(away)
        other.rename(database)
        connection = connect(*args, **kwargs)  # type: ignore[call-overload]
        database.rename(other)
        away.rename(database)
        return connection  # type: ignore[no-any-return]

    monkeypatch.setattr(sqlite3, "connect", give_way)
    assert affected(jobs) == 137


def test_a_file_replaced_without_end_is_a_store_error(
    jobs: JobStore, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def replace_and_connect(*args: object, **kwargs: object) -> sqlite3.Connection:
        copy = database.with_name("copy.db")
        shutil.copy(database, copy)
        copy.replace(database)
        return connect(*args, **kwargs)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(store, "_MOST_REPLACED", 3)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", replace_and_connect)
        with pytest.raises(StoreError, match="Replaced again and again"):
            jobs.get(JOB_ID)
    assert jobs._open == set()


@pytest.mark.parametrize("spoil", [b"", b"not a database" * 1000, None])
def test_a_file_that_comes_after_a_fault_does_not_pass_for_the_one_before(
    jobs: JobStore, database: Path, plant: Plant, spoil: bytes | None
) -> None:
    """The system gives the inode number of a removed file to the next, and SQLite its -wal."""
    jobs.get(JOB_ID)
    plant(affected_count=1)
    assert affected(jobs) == 1
    other = database.with_name("other.db")
    store.create(other)
    plant(path=other, affected_count=2)
    inode = database.stat().st_ino
    if spoil is not None:
        database.write_bytes(spoil)
        with pytest.raises(StoreError):
            jobs.get(JOB_ID)
    database.unlink()
    with pytest.raises(StoreError):
        jobs.get(JOB_ID)
    files = [database.with_name(f"{number}.db") for number in range(1000)]
    for path in files:
        path.touch()
    new = min(files, key=lambda path: path.stat().st_ino != inode)  # with that number, if any
    shutil.copyfile(other, new)
    new.rename(database)
    assert [affected(jobs), affected(jobs)] == [2, 2]


def test_the_wal_of_a_file_that_comes_back_is_its_own(
    jobs: JobStore, database: Path, plant: Plant
) -> None:
    jobs.get(JOB_ID)
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("UPDATE bulk_action_jobs SET affected_count = 42")
        writer.commit()
        assert affected(jobs) == 42
        away = database.rename(database.with_name("away.db"))
        database.write_text("something else")
        with pytest.raises(StoreError):
            jobs.get(JOB_ID)
        time.sleep(0.01)  # the file's time is after that of its -wal
        away.replace(database)
        assert affected(jobs) == 42


def test_a_link_that_is_swapped_while_its_file_is_opened_is_not_mistaken(
    jobs: JobStore, database: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, link = database.with_name("other.db"), database.with_name("link.db")
    store.create(other)
    plant(path=other, affected_count=1)
    link.symlink_to(database)
    linked = JobStore(link)
    linked.check()
    realpath = os.path.realpath

    def swap_and_back(path: str) -> str:
        monkeypatch.undo()
        link.unlink()
        link.symlink_to(other)
        found = realpath(path)
        link.unlink()
        link.symlink_to(database)
        return found

    monkeypatch.setattr("os.path.realpath", swap_and_back)
    assert affected(linked) == 137
    (reader,) = linked._idle
    assert reader.identity[0][1] == database.stat().st_ino
    linked.close()


def test_a_lock_is_waited_for(jobs: JobStore, database: Path) -> None:
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("PRAGMA journal_mode = DELETE")
    with closing(sqlite3.connect(database, check_same_thread=False)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(0.2, writer.rollback)
        release.start()
        assert jobs.get(JOB_ID) == JOB
        release.join()


# What is kept between reads


def count_of(job: dict[str, object]) -> object:
    """Make what the tests keep: a value of its own for each call."""
    return [job["affected_count"]]


def test_what_was_made_of_a_job_is_kept_until_a_commit(jobs: JobStore, plant: Plant) -> None:
    first = jobs.cached(JOB_ID, count_of)
    assert jobs.cached(JOB_ID.upper(), count_of) is first
    plant(job_id="00000000-0000-4000-8000-000000000000")
    again = jobs.cached(JOB_ID, count_of)
    assert again == first
    assert again is not first


def test_get_reads_a_job_of_which_something_was_made(jobs: JobStore) -> None:
    jobs.cached(JOB_ID, count_of)
    assert jobs.get(JOB_ID) == JOB


def test_nothing_is_made_of_an_unknown_job(jobs: JobStore) -> None:
    assert jobs.cached("00000000-0000-4000-8000-000000000000", count_of) is None


def test_that_there_is_no_such_job_is_kept_until_a_commit(
    jobs: JobStore, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "7" + JOB_ID[1:]
    assert jobs.cached(other, count_of) is None
    with monkeypatch.context() as patch:
        patch.setattr(store._Reader, "find", None)
        assert jobs.cached(other, count_of) is None
    plant(job_id=other)
    assert jobs.cached(other, count_of) == [JOB["affected_count"]]


def test_what_was_made_is_not_kept_past_a_replacement(
    jobs: JobStore, database: Path, plant: Plant
) -> None:
    """The new files' data_version is the old one's."""
    for count in range(20):
        new = database.with_name("new.db")
        store.create(new)
        plant(path=new, affected_count=count)
        new.replace(database)
        assert jobs.cached(JOB_ID, count_of) == [count]
        assert jobs.cached(JOB_ID, count_of) == [count]


def test_a_job_that_cannot_be_made_is_tried_again(jobs: JobStore) -> None:
    for _ in range(2):
        with pytest.raises(KeyError):
            jobs.cached(JOB_ID, lambda job: job["no such member"])


def test_damage_is_found_though_a_job_was_kept(jobs: JobStore, database: Path) -> None:
    jobs.cached(JOB_ID, count_of)
    database.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError):
        jobs.cached(JOB_ID, count_of)


def test_what_is_kept_is_bounded(
    jobs: JobStore, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(25)]
    for job_id in ids:
        plant(job_id=job_id)
    plant(action_reason="x" * 5000)
    monkeypatch.setattr(store, "_MOST_MADE", 10)
    for job_id in (JOB_ID, *ids):
        jobs.cached(job_id, count_of)
        assert len(jobs._made) <= 10
    assert jobs.cached(ids[-1], count_of) is jobs.cached(ids[-1], count_of)
    assert jobs.cached(JOB_ID, count_of) is not jobs.cached(JOB_ID, count_of)


def test_a_commit_noticed_during_a_replacement_keeps_nothing_of_the_old_file(
    jobs: JobStore, database: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = database.with_name("new.db")
    store.create(new)
    plant(path=new, affected_count=2)
    jobs.cached(JOB_ID, count_of)
    plant(affected_count=1)
    seen: list[object] = []
    threads = [threading.Thread(target=lambda: seen.append(jobs.cached(JOB_ID, count_of)))]
    has_seen_all = store._Reader.has_seen_all

    def replace_then(reader: store._Reader) -> bool:
        """Replace the file, and let another read happen, when the commit is noticed."""
        result = has_seen_all(reader)
        if new.exists():
            assert not result
            new.replace(database)
            threads[0].start()
            time.sleep(0.05)  # it waits with the new file until the old one is closed
            assert seen == []
        return result

    monkeypatch.setattr(store._Reader, "has_seen_all", replace_then)
    assert jobs.cached(JOB_ID, count_of) == [1]
    assert jobs.cached(JOB_ID, count_of) == [2]
    threads[0].join()
    assert seen == [[2]]


def test_what_a_slow_reader_keeps_of_the_old_file_is_passed_over(
    jobs: JobStore, database: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even by a read that began before the new file was opened, and takes its connection."""
    new = database.with_name("new.db")
    store.create(new)
    plant(path=new, affected_count=2)
    jobs.cached(JOB_ID, count_of)
    made = jobs._made
    value = made[JOB_ID]
    identity = jobs._identity

    def replace_first() -> store._Identity:
        monkeypatch.undo()
        new.replace(database)
        assert jobs.cached(JOB_ID, count_of) == [2]
        made[JOB_ID] = value
        return identity()

    monkeypatch.setattr(jobs, "_identity", replace_first)
    assert jobs.cached(JOB_ID, count_of) == [2]


def test_a_file_is_not_opened_while_the_one_that_it_replaced_is_read_for_long(
    jobs: JobStore, database: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_LOCK_TIMEOUT", 0.02)
    reader = jobs._connect()
    new = database.with_name("new.db")
    store.create(new)
    plant(path=new)
    new.replace(database)
    with pytest.raises(StoreError, match="is still being read"):
        jobs.get(JOB_ID)
    assert jobs._open == {reader}
    jobs._close(reader)
    assert jobs.get(JOB_ID) == JOB


@pytest.mark.parametrize("gone", ["the file", "its -shm"])
def test_a_file_is_opened_once_what_is_gone_is_read_no_more(
    jobs: JobStore, database: Path, plant: Plant, gone: str
) -> None:
    assert jobs.get(JOB_ID)
    reader = jobs._idle.pop()
    if gone == "the file":
        new = database.with_name("new.db")
        store.create(new)
        plant(path=new)
        new.replace(database)
    else:
        Path(f"{database}-shm").unlink()
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(jobs.get(JOB_ID)))
    thread.start()
    time.sleep(0.05)
    assert seen == []
    jobs._idle.append(reader)
    thread.join()
    assert seen == [JOB]
    assert reader not in jobs._open


# Faults of the file


@pytest.mark.parametrize(
    "change",
    [
        pytest.param((b"noc-oncall", b"noc-oncalm", 0), id="the row"),
        pytest.param((b"noc-oncall", b"noc-oncalm", 1), id="its copy"),
        pytest.param((JOB_ID.encode(), b"1" + JOB_ID.encode()[1:], 1), id="the id in it"),
        pytest.param((JOB_ID.encode(), b"1" + JOB_ID.encode()[1:], 2), id="the index"),
        pytest.param((JOB_ID.encode(), b"00" + JOB_ID.encode()[2:], 2), id="the index, lower"),
    ],
)
@pytest.mark.parametrize("beside", [0, 1, 2])
def test_damage_that_sqlite_does_not_see_is_a_store_error(
    jobs: JobStore, database: Path, plant: Plant, change: tuple[bytes, bytes, int], beside: int
) -> None:
    for digit in "0f"[:beside]:
        plant(job_id=digit * 8 + JOB_ID[8:], created_by="another")
    run("PRAGMA wal_checkpoint(TRUNCATE)")(database)
    assert jobs.get(JOB_ID) == JOB
    before, after, index = change
    sound = database.read_bytes()
    pieces = sound.split(before)
    assert len(pieces) == (3 if len(before) == 10 else 4)
    at = len(before.join(pieces[: index + 1]))
    database.write_bytes(sound[:at] + after + sound[at + len(before) :])
    with pytest.raises(StoreError, match="a row is damaged"):
        jobs.get(JOB_ID)
    database.write_bytes(sound)
    assert jobs.get(JOB_ID) == JOB


def test_an_index_that_leads_to_another_job_is_a_store_error(database: Path, plant: Plant) -> None:
    ids = [digit * 8 + JOB_ID[8:] for digit in "123456"]
    for job_id in ids:
        plant(job_id=job_id)
    run("PRAGMA wal_checkpoint(TRUNCATE)")(database)
    sound = database.read_bytes()
    pointers = 2 * 4096 + 8  # the index is page 3, a leaf
    reasons = set()
    for to, source in itertools.permutations(range(pointers, pointers + 12, 2), 2):
        damaged = bytearray(sound)
        damaged[to : to + 2] = sound[source : source + 2]
        database.write_bytes(damaged)
        with contextlib.closing(JobStore(database)) as jobs:
            for job_id in ids:
                try:
                    found = jobs.get(job_id)
                    assert found is None or found["job_id"] == job_id
                except StoreError as error:
                    reasons.add(str(error.__cause__))
    assert reasons == {"a row is damaged: it differs from its copy, or its index"}


def test_a_job_is_absent_from_a_sound_file(jobs: JobStore, plant: Plant) -> None:
    for digit in "0f":
        plant(job_id=digit * 8 + JOB_ID[8:])
    assert jobs.get("7" * 8 + JOB_ID[8:]) is None


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"executed_at": None},
        {"executed_at": None, "completed_at": None},
        {"created_by": "", "action_reason": "a\0b|c||", "status": "\U0010ffff"},
        {"max_limit": -(2**63), "preview_count": 2**63 - 1, "affected_count": 0},
    ],
)
def test_schema_sql_copies_what_the_store_compares(
    jobs: JobStore, plant: Plant, members: dict[str, Any]
) -> None:
    plant(**members)
    job = JOB | members
    assert jobs.get(JOB_ID) == {name: job[name] for name in job if job[name] is not None}


def test_a_file_whose_text_is_not_utf_8_is_a_store_error(tmp_path: Path) -> None:
    """Of ill-formed UTF-16, SQLite itself makes other text."""
    path = tmp_path / "utf-16.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA encoding = 'UTF-16'")
        connection.execute(f"CREATE TABLE bulk_action_jobs ({', '.join(JOB)})")
    with (
        closing(JobStore(path)) as jobs,
        pytest.raises(StoreError, match=r"its encoding is UTF-16.., not UTF-8"),
    ):
        jobs.get(JOB_ID)


def test_a_column_of_another_make_that_has_the_name_is_no_copy(
    jobs: JobStore, database: Path, plant: Plant
) -> None:
    run("DROP TABLE bulk_action_jobs")(database)
    run(f"CREATE TABLE bulk_action_jobs ({', '.join(JOB)}, row_copy)")(database)
    plant()
    assert jobs.get(JOB_ID) == JOB


def test_a_fault_is_a_store_error_until_the_file_is_repaired(
    jobs: JobStore,
    database: Path,
    plant: Plant,
    fault: Fault,
) -> None:
    jobs.get(JOB_ID)
    run("PRAGMA wal_checkpoint(TRUNCATE)")(database)
    fault.do(database)
    with pytest.raises(StoreError, match=fault.reason) as caught:
        jobs.get(JOB_ID)
    assert str(database) in str(caught.value)
    assert caught.value.__cause__ is not None
    assert len(jobs._idle) <= 1
    for path in (database, Path(f"{database}-wal"), Path(f"{database}-shm")):
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
    store.create(database)
    plant()
    assert jobs.get(JOB_ID) == JOB


def test_a_writer_that_was_cut_off_is_a_store_error_until_one_rolls_back(
    jobs: JobStore, database: Path, tmp_path: Path
) -> None:
    run("PRAGMA journal_mode = DELETE")(database)
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("CREATE TABLE large AS SELECT zeroblob(100000)")
        writer.execute("UPDATE bulk_action_jobs SET status = 'uncommitted'")
        shutil.copy(database, copy)
        shutil.copy(f"{database}-journal", f"{copy}-journal")
    copied = JobStore(copy)
    with pytest.raises(StoreError, match="a writer was cut off: a program that may write must"):
        copied.get(JOB_ID)
    run("SELECT count(*) FROM bulk_action_jobs")(copy)
    assert copied.get(JOB_ID) == JOB
    copied.close()


def test_a_lock_that_stays_is_a_store_error_after_a_second(jobs: JobStore, database: Path) -> None:
    run("PRAGMA journal_mode = DELETE")(database)
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        start = time.monotonic()
        with pytest.raises(StoreError, match="locked"):
            jobs.get(JOB_ID)
        assert 0.9 < time.monotonic() - start < 1.9
    assert jobs.get(JOB_ID) == JOB


def test_a_read_that_a_replacement_got_in_the_way_of_is_tried_again(
    jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def fail_once(*_: object, **__: object) -> None:
        monkeypatch.setattr(sqlite3, "connect", connect)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    monkeypatch.setattr(sqlite3, "connect", fail_once)
    assert jobs.get(JOB_ID) == JOB


def test_no_connection_is_trusted_after_an_error_of_one(
    jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = [jobs._connect() for _ in range(3)]
    for reader in readers:
        reader.has_seen_all()
        jobs._note(reader)
        jobs._give_back(reader)
    find = store._Reader.find

    def fail(self: store._Reader, job_id: str) -> object:
        if self not in readers:
            return find(self, job_id)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    monkeypatch.setattr(store._Reader, "find", fail)
    assert jobs.get(JOB_ID) == JOB


def test_nor_is_one_that_was_interrupted(jobs: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.get(JOB_ID)
    (reader,) = jobs._idle

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store._Reader, "find", interrupt)
        with pytest.raises(KeyboardInterrupt):
            jobs.get(JOB_ID)
    assert jobs.get(JOB_ID) == JOB
    assert reader not in jobs._open


def test_an_id_that_no_text_can_hold_is_a_store_error(jobs: JobStore) -> None:
    with pytest.raises(StoreError):
        jobs.get("\ud800")


def test_a_check_leaves_no_connection_for_a_fork_to_share(jobs: JobStore) -> None:
    jobs.check()
    assert jobs._open == set()


def test_nor_does_a_check_that_fails(jobs: JobStore, database: Path) -> None:
    database.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError):
        jobs.check()
    assert jobs._open == set()


# Threads


def test_reads_of_many_threads_share_few_connections(jobs: JobStore, database: Path) -> None:
    start = threading.Barrier(32)
    got: list[object] = []

    def read() -> None:
        start.wait()
        got.extend(jobs.get(JOB_ID) for _ in range(20))

    threads = [threading.Thread(target=read) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [JOB] * 640
    assert 1 <= len(jobs._idle) <= 8
    jobs.close()
    assert not [
        target
        for link in Path("/proc/self/fd").iterdir()
        if (target := os.path.realpath(link)).startswith(str(database))
    ]


def test_no_more_connections_are_kept_than_are_of_use(
    jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_MOST_IDLE", 0)
    assert jobs.get(JOB_ID) == JOB
    assert jobs._idle == []


def test_failures_of_many_threads_leave_few_connections(jobs: JobStore, database: Path) -> None:
    run("PRAGMA journal_mode = DELETE")(database)
    start = threading.Barrier(32)
    failed = []

    def fail() -> None:
        start.wait()
        with pytest.raises(StoreError) as caught:
            jobs.get(JOB_ID)
        failed.append(caught)

    with closing(sqlite3.connect(database)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        threads = [threading.Thread(target=fail) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(failed) == 32
    assert len(jobs._open) <= 8


@pytest.mark.parametrize("replaces", [False, True])
def test_no_read_is_older_than_the_last_change_before_it(
    jobs: JobStore, database: Path, plant: Plant, replaces: bool
) -> None:
    committed = 0
    seen: set[tuple[int, int]] = set()
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            floor = committed
            (count,) = cast("list[int]", jobs.cached(JOB_ID, count_of))
            seen.add((floor, count))

    plant(affected_count=0)
    threads = [threading.Thread(target=poll) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for count in range(1, 100):
            if replaces:
                new = database.with_name("new.db")
                store.create(new)
                plant(path=new, affected_count=count)
                new.replace(database)
            else:
                plant(affected_count=count)
            committed = count
    finally:
        done.set()
    for thread in threads:
        thread.join()
    assert len(seen) > 20
    assert [(floor, count) for floor, count in seen if count < floor] == []


def test_a_write_makes_no_file(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack, pytest.raises(StoreError, match="unable to open"):
        stack.enter_context(store.writing(tmp_path / "none.db"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "times",
    [
        ["2026-05-16t10:00:00z", "2026-05-16T11:00:00Z", "2026-05-16t12:00:00z"],
        ["2026-06-30T23:59:58Z", "2026-06-30T23:59:60Z", "2026-07-01T00:00:00Z"],
    ],
)
def test_the_newest_comes_first(jobs: JobStore, plant: Plant, times: list[str]) -> None:
    for digit, time_ in zip("123", times, strict=True):
        plant(job_id=digit * 8 + JOB_ID[8:], updated_at=time_)
    newest = [job["updated_at"] for job in jobs.newest(None, 3)]
    assert newest == times[::-1]


def test_jobs_of_one_time_are_listed_by_their_ids(jobs: JobStore, plant: Plant) -> None:
    ids = [digit * 8 + JOB_ID[8:] for digit in "312"]
    for job_id in ids:
        plant(job_id=job_id)
    assert [job["job_id"] for job in jobs.newest(None, -1)] == [JOB_ID, *sorted(ids)]


def test_ill_formed_text_is_listed_with_its_bytes(jobs: JobStore, database: Path) -> None:
    run("UPDATE bulk_action_jobs SET created_by = CAST(x'FF' AS TEXT)")(database)
    (job,) = jobs.newest(None, -1)
    assert job["created_by"] == "\udcff"


def test_a_damaged_row_is_not_listed(jobs: JobStore, database: Path) -> None:
    run("PRAGMA wal_checkpoint(TRUNCATE)")(database)
    reason = str(JOB["action_reason"]).encode()
    assert database.read_bytes().count(reason) == 2
    database.write_bytes(database.read_bytes().replace(reason, reason.swapcase(), 1))
    with pytest.raises(StoreError, match="a row is damaged"):
        list(jobs.newest(None, -1))


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_none_is_made_where_another_has_left_what_sqlite_would_mix_into_it(
    tmp_path: Path, suffix: str
) -> None:
    path, left = tmp_path / "jobs.db", tmp_path / f"jobs.db{suffix}"
    left.write_text("something")
    with pytest.raises(StoreError, match=f"has left {left}: delete it"):
        store.create(path)
    assert not path.exists()
    left.write_text("")
    store.create(path)
    left.write_text("its own")
    with pytest.raises(FileExistsError):
        store.create(path)
