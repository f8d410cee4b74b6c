"""Rows that break the contract in every way that SQLite can hold."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from checking import CheckedClient
from conftest import EXAMPLES, JOB, JOB_ID, TOKEN, line, url
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from problem import assert_problem

import store
from app import create_app

BEARER = {"Authorization": f"Bearer {TOKEN}"}
OPTIONAL = {"executed_at", "completed_at"}

INTEGER = st.integers(-(2**63), 2**63 - 1)
REAL = st.floats(allow_nan=False)  # SQLite holds NaN as NULL
BLOB = st.binary()
NO_UTF_8 = st.builds(b"%b\xff%b".__mod__, st.tuples(BLOB, BLOB))
DATE_TIME = str(JOB["executed_at"])
NEAR_DATE_TIME = st.sampled_from(
    [
        DATE_TIME.replace("T", " "),
        DATE_TIME[:-6],
        DATE_TIME.replace("2026-05-16", "2026-02-29"),
        DATE_TIME.replace("2026-05-16", "2026-13-01"),
        DATE_TIME.replace("T10", "T24"),
        DATE_TIME.replace(":02.", ":60."),
        DATE_TIME.replace(":02.", ":61."),
        DATE_TIME.replace(".184467441", "."),
        DATE_TIME.replace("+02:00", "+0200"),
        DATE_TIME.replace("+02:00", "-24:00"),
        DATE_TIME.replace("2026", "٢٠٢٦"),
        f"{DATE_TIME}\n",
        f" {DATE_TIME}",
        f"{DATE_TIME}\0",
        f"-{DATE_TIME}",
    ]
)
TEXT = st.text(st.characters(codec="utf-8"))
RIGHT_DATE_TIME = st.builds(
    "{}{}{}{}{}".format,
    st.dates().map(str),
    st.sampled_from("Tt"),
    st.times().map(lambda time: f"{time:%H:%M:%S}"),
    st.just("") | st.integers(0).map(".{}".format),
    st.sampled_from("Zz")
    | st.builds(
        "{}{:02}:{:02}".format, st.sampled_from("+-"), st.integers(0, 23), st.integers(0, 59)
    ),
)


def broken(member: str) -> st.SearchStrategy[Any]:
    """Return values that the member must not have."""
    kind = "date-time" if member.endswith("_at") else type(JOB[member]).__name__
    values = {
        "str": INTEGER | REAL | BLOB | NO_UTF_8.map(Text),
        "int": REAL | BLOB | TEXT | NO_UTF_8.map(Text),
        "date-time": INTEGER | REAL | BLOB | NEAR_DATE_TIME | TEXT | NO_UTF_8.map(Text),
    }[kind]
    return values if member in OPTIONAL else values | st.none()


def right(member: str) -> st.SearchStrategy[Any]:
    """Return values that the member may have."""
    if member.endswith("_at"):
        return RIGHT_DATE_TIME
    return {"str": TEXT, "int": INTEGER}[type(JOB[member]).__name__]


RIGHT = st.fixed_dictionaries(
    {name: right(name) for name in JOB if name not in {"job_id", *OPTIONAL}},
    optional={name: right(name) for name in OPTIONAL},
)


class Text(bytes):
    """Bytes that go into the file as TEXT."""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database of another make: its table holds anything."""
    path = tmp_path_factory.mktemp("rows") / "jobs.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE bulk_action_jobs ({', '.join(JOB)})")
    return path


@pytest.fixture(scope="module")
def service(database: Path) -> Iterator[Flask]:
    tokens = database.with_name("tokens")
    tokens.write_text(line(TOKEN))
    app = create_app({"DATABASE": database, "TOKENS_FILE": tokens})
    app.test_client_class = CheckedClient
    yield app
    app.extensions["bulk_action_jobs"].close()


def plant(path: Path, job: dict[str, Any]) -> None:
    """Make `job` the one row."""
    marks = ["CAST(? AS TEXT)" if isinstance(value, Text) else "?" for value in job.values()]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM bulk_action_jobs")
        connection.execute(
            f"INSERT INTO bulk_action_jobs VALUES ({', '.join(marks)})",  # noqa: S608 (marks)
            list(job.values()),
        )


@pytest.mark.parametrize("member", [name for name in JOB if name != "job_id"])
def test_a_broken_member_is_a_500_whose_log_names_it(
    service: Flask, database: Path, caplog: pytest.LogCaptureFixture, member: str
) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(broken(member))
    def fail(value: Any) -> None:
        plant(database, JOB | {member: value})
        caplog.clear()
        response = service.test_client().get(url(), headers=BEARER)
        assert_problem(response, 500)
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert f"job {JOB_ID} breaks the contract: {{'{member}': " in record.getMessage()
        assert "\n" not in record.getMessage()

    fail()


def test_a_row_that_keeps_the_contract_is_served_as_stored(
    service: Flask, database: Path, make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    """From a table of another make, and from one of schema.sql, whose CHECKs take it."""
    lawful = tmp_path / "lawful.db"
    store.create(lawful)
    tokens = database.with_name("tokens")
    apps = {database: service, lawful: make_app(DATABASE=lawful, TOKENS_FILE=tokens)}

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(RIGHT)
    def serve(members: dict[str, Any]) -> None:
        job = {"job_id": JOB_ID} | members
        for path, app in apps.items():
            plant(path, {name: job.get(name) for name in JOB})
            response = app.test_client().get(url(), headers=BEARER)
            assert list(response.get_json().items()) == [(n, job[n]) for n in JOB if n in job]

    serve()


@pytest.mark.parametrize("text", ["\0", "a" * 5_000_000, "\U0010ffff\u2028", '"\\/</script>'])
def test_any_text_is_served_as_stored(service: Flask, database: Path, text: str) -> None:
    job = JOB | {"action_reason": text, "criteria_json": text, "status": text}
    plant(database, job)
    for _ in range(2):
        response = service.test_client().get(url(), headers=BEARER)
        assert response.get_json() == job
