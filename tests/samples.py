"""What tests plant and ask for: a job and a client's token. How both are written."""

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from serving import ROOT
from werkzeug.test import TestResponse

from schemas import JobSchema

Plant = Callable[..., None]
Get = Callable[..., TestResponse]
MakeApp = Callable[..., Flask]
Log = pytest.LogCaptureFixture
Patch = pytest.MonkeyPatch

TOKEN = "a-token-of-the-tests"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
BEARER = {"Authorization": f"Bearer {TOKEN}"}
JOB_ID = "0e4f0a6c-6d1f-4b7a-9a54-1c5b8a6d2f30"
OTHER_ID = "00000000-0000-4000-8000-000000000000"
OPTIONAL = {name for name, field in JobSchema().fields.items() if not field.required}


def demo_id(digit: int) -> str:
    return "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace("x", str(digit))


def demo_job(digit: int) -> dict[str, Any]:
    """Return a job of the demo as it is on 2026-05-16 at noon, UTC."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        connection.executescript((ROOT / "demo" / "demo.sql").read_text("utf-8"))
        connection.execute("UPDATE clock SET now = 1778932800")
        get = "SELECT * FROM bulk_action_jobs WHERE job_id = ?"
        return dict(connection.execute(get, (demo_id(digit),)).fetchone())


JOB = demo_job(1) | {  # completed; rare but valid values
    "job_id": JOB_ID,
    "criteria_json": '{"relay": "10.20.0.1"}',
    "action_reason": "Überflutung am Relay",
    "executed_at": "2026-05-16T10:00:02.184467441+02:00",
    "created_at": "2026-05-16t07:58:12z",
}


def url(job_id: str = JOB_ID) -> str:
    return f"/api/actions/bulk/jobs/{job_id}"


def run(path: Path, sql: str, *values: object) -> None:
    """Commit one statement to a file, as any program may."""
    with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")  # saves most of the time
        connection.execute(sql, values)


def make(path: Path) -> Path:
    """Make a database as the README says, with the tests' token."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript((ROOT / "schema.sql").read_text("utf-8"))
    add_token(path, TOKEN)
    return path


def add_token(path: Path, token: str, name: str = "tester", expires_at: str | None = None) -> None:
    digest = hashlib.sha256(token.encode()).hexdigest()
    run(path, "INSERT INTO tokens VALUES (?, ?, ?)", name, digest, expires_at)


def write(path: Path, row: dict[str, Any], table: str = "bulk_action_jobs") -> None:
    """Write a row, or put it in the place of the one with its key."""
    marks = ", ".join("?" * len(row))
    sql = f"REPLACE INTO {table} ({', '.join(row)}) VALUES ({marks})"  # noqa: S608 (names)
    run(path, sql, *row.values())


def loosen(path: Path) -> None:
    """Make the table of jobs anew as another producer might: it holds anything."""
    run(path, "DROP TABLE bulk_action_jobs")
    run(path, f"CREATE TABLE bulk_action_jobs ({', '.join(JOB)}, PRIMARY KEY (job_id))")
