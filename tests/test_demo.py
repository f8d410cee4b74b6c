import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from samples import Patch, demo_id
from serving import ROOT

import demo
from captured import unusual
from errors import StoreError
from schemas import JobSchema

SCRIPT = (ROOT / "demo" / "demo.sql").read_text("utf-8")
MINUTE, HOUR, DAY = 60, 3600, 86400
NOON = 1778932800  # 2026-05-16T12:00:00Z: the moment of the contract's examples
DAYS_BEGIN = (1830297600, 1835395200, 1835481600)  # 2028-01-01, 2028-02-29, 2028-03-01
MOMENTS = (
    *range(NOON - MINUTE, NOON + 2 * MINUTE),
    *range(NOON, NOON + 366 * DAY, 99_991),
    *(begin + second for begin in (*DAYS_BEGIN, 2**31) for second in range(-2, 2)),
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "lab.db", isolation_level=None)) as connection:
        connection.executescript(SCRIPT)
        connection.execute("PRAGMA synchronous = OFF")
        yield connection


def job_at(lab: sqlite3.Connection, now: int | None, digit: int) -> dict[str, Any]:
    lab.execute("UPDATE clock SET now = ?", (now,))
    rows = lab.execute("SELECT * FROM bulk_action_jobs WHERE job_id = ?", (demo_id(digit),))
    names = [column[0] for column in rows.description]
    return {n: v for row in rows for n, v in zip(names, row, strict=True) if v is not None}


def check(job: dict[str, Any], now: int) -> None:
    assert (JobSchema().validate(job), unusual(job)) == ({}, [])
    updated, scheduled = (datetime.fromisoformat(job[f"{n}_at"]) for n in ("updated", "scheduled"))
    assert updated.timestamp() <= now
    if job["status"] == "scheduled":
        assert now < scheduled.timestamp()
        assert job["updated_at"] == job["created_at"]
    assert ("executed_at" in job) == (job["progress_percent"] > 0 or job["status"] == "running")
    assert job.get("completed_at", job["updated_at"]) == job["updated_at"]
    target = min(job["preview_count"], job["max_limit"])
    assert job["affected_count"] == target * job["progress_percent"] // 100


def test_every_job_is_consistent_at_every_moment(lab: sqlite3.Connection) -> None:
    statuses = ["completed", "running", "scheduled", "failed", "cancelled", "cancelled"]
    for now in MOMENTS:
        jobs = [job_at(lab, now, digit) for digit in range(1, 9)]
        assert [job["status"] for job in jobs[:6]] == statuses
        for job in jobs:
            check(job, now)


@pytest.mark.parametrize("digit", [1, 3, 4, 5, 6, 9])
def test_a_job_at_rest_is_the_same_for_an_hour(lab: sqlite3.Connection, digit: int) -> None:
    first = job_at(lab, NOON, digit)
    assert all(job_at(lab, NOON + s, digit) == first for s in (*range(0, HOUR, 31), HOUR - 1))
    assert job_at(lab, NOON + HOUR, digit)["created_at"] > first["created_at"]


@pytest.mark.parametrize(("digit", "end", "last"), [(7, "completed", 100), (8, "failed", 60)])
def test_a_job_runs_each_minute(lab: sqlite3.Connection, digit: int, end: str, last: int) -> None:
    jobs = [job_at(lab, NOON + second, digit) for second in range(MINUTE)]
    assert [job["status"] for job in jobs] == ["scheduled"] * 10 + ["running"] * 30 + [end] * 20
    assert jobs[-1]["progress_percent"] == last
    assert len({job["updated_at"] for job in jobs}) == 1 + 31  # it moves each second


def test_a_plan_of_ones_own_is_a_job_that_runs_once_from_now(lab: sqlite3.Connection) -> None:
    lab.execute("INSERT INTO plans (job_id, max_limit) VALUES (?, 10)", (demo_id(0),))
    now = int(time.time())
    check(job_at(lab, None, 0), now)
    lab.execute("UPDATE plans SET begins = ? WHERE begins BETWEEN ? AND ?", (NOON, now - 5, now))
    moments = {-1: None, 0: "scheduled", 10: "running", 69: "running", 70: "completed"}
    assert {s: job_at(lab, NOON + s, 0).get("status") for s in moments} == moments
    assert job_at(lab, NOON + 70, 0)["affected_count"] == 10


@pytest.mark.parametrize("script", ["demo/demo.sql", "schema.sql"])
def test_a_database_that_has_jobs_is_given_no_public_token(script: str) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.executescript((ROOT / script).read_text("utf-8"))
        database.execute("DELETE FROM tokens")
        for statement in re.split(";(?: --.*)?\n", SCRIPT):
            with suppress(sqlite3.Error):  # the sqlite3 shell goes on, too
                database.execute(statement)
        assert database.execute("SELECT * FROM tokens").fetchall() == []
        assert database.execute("SELECT * FROM clock").fetchall() == [(None,)]


def test_the_demo_is_made_only_if_it_is_missing_outdated_or_no_database(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "demo.db"
    demo.make(path)
    made, content = path.stat(), path.read_bytes()
    demo.make(path)
    assert path.stat().st_ino == made.st_ino
    with closing(sqlite3.connect(path)) as database:
        database.executescript("DROP TABLE clock; PRAGMA user_version = 1")
    for old in (path.read_bytes(), b"", b"garbage" * 100):
        path.write_bytes(old)
        for suffix in ("journal", "wal", "shm"):  # of the old file
            path.with_name(f"demo.db-{suffix}").write_bytes(b"old" * 1000)
        demo.make(path)
        assert path.read_bytes() == content
        assert list(path.parent.iterdir()) == [path]


def test_six_processes_may_make_the_demo_at_once(tmp_path: Path) -> None:
    code = f"import demo, pathlib; demo.make(pathlib.Path({str(tmp_path / 'demo.db')!r}))"
    processes = [subprocess.Popen((sys.executable, "-c", code), cwd=ROOT) for _ in range(6)]
    assert [process.wait() for process in processes] == [0] * 6
    assert [file.name for file in tmp_path.iterdir()] == ["demo.db"]


def test_a_demo_that_cannot_be_made_is_an_error_of_one_line() -> None:
    with pytest.raises(StoreError, match=r"^cannot make the demo .*demo\.db: .+: its folder"):
        demo.make(Path(__file__, "demo.db"))


def test_a_demo_open_on_windows_is_kept(tmp_path: Path, monkeypatch: Patch) -> None:
    def replace_on_windows(new: Path, path: Path) -> None:
        path.write_bytes(new.read_bytes())
        raise PermissionError

    monkeypatch.setattr(Path, "replace", replace_on_windows)
    demo.make(tmp_path / "demo.db")
