"""Rows of every value that SQLite can hold, right and wrong."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from checking import CheckedClient
from conftest import EXAMPLES, JOB, JOB_ID, TOKEN, line, url
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from problem import assert_problem

import store
from app import create_app

BEARER = {"Authorization": f"Bearer {TOKEN}"}
OPTIONAL = {"executed_at", "completed_at"}
MEMBERS = {
    name: "date-time" if name.endswith("_at") else type(value).__name__
    for name, value in JOB.items()
    if name != "job_id"
}


class Text(bytes):
    """Bytes that go into the file as TEXT."""


INTEGER = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"))
DATE_TIME = st.builds(
    "{:%Y-%m-%d}{}{:%H:%M:%S}{}{}".format,
    st.datetimes().map(lambda moment: moment.replace(year=max(moment.year, 1000))),
    st.sampled_from("Tt"),
    st.times(),
    st.just("") | st.integers(0).map(".{}".format),
    st.from_regex("[Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9]", fullmatch=True),
)
RIGHT = {"str": TEXT, "int": INTEGER, "date-time": DATE_TIME}
RIGHT_JOB = st.fixed_dictionaries(
    {name: RIGHT[kind] for name, kind in MEMBERS.items() if name not in OPTIONAL},
    optional=dict.fromkeys(OPTIONAL, DATE_TIME),
)

BLOB = st.binary()
NO_TEXT = BLOB | st.builds(b"%b\xff%b".__mod__, st.tuples(BLOB, BLOB)).map(Text)
REAL = st.floats(allow_nan=False)  # SQLite holds NaN as NULL
A_TIME = str(JOB["executed_at"])
NEAR_DATE_TIME = st.sampled_from(
    [
        A_TIME.replace("T", " "),
        A_TIME[:-6],
        A_TIME.replace("2026-05-16", "2026-02-29"),
        A_TIME.replace("T10", "T24"),
        A_TIME.replace(":02.", ":60."),
        A_TIME.replace(".184467441", "."),
        A_TIME.replace("+02:00", "+0200"),
        A_TIME.replace("2026", "٢٠٢٦"),
        f"{A_TIME}\n",
        f"{A_TIME}\0",
    ]
)
WRONG = {
    "str": INTEGER | REAL | NO_TEXT,
    "int": REAL | TEXT | NO_TEXT,
    "date-time": INTEGER | REAL | NEAR_DATE_TIME | TEXT | NO_TEXT,
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database of another make: its table holds anything."""
    path = tmp_path_factory.mktemp("rows") / "jobs.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE bulk_action_jobs ({', '.join(JOB)})")
    return path


@pytest.fixture(scope="module")
def make_client(database: Path) -> Iterator[Callable[[Path], FlaskClient]]:
    tokens = database.with_name("tokens")
    tokens.write_text(line(TOKEN))
    apps = []

    def make(path: Path) -> FlaskClient:
        apps.append(app := create_app({"DATABASE": path, "TOKENS_FILE": tokens}))
        return CheckedClient(app, app.response_class)

    yield make
    for app in apps:
        app.extensions["bulk_action_jobs"].close()


@pytest.fixture(scope="module")
def client(make_client: Callable[[Path], FlaskClient], database: Path) -> FlaskClient:
    return make_client(database)


def plant(path: Path, job: dict[str, Any]) -> None:
    """Make `job` the one row."""
    marks = ["CAST(? AS TEXT)" if isinstance(value, Text) else "?" for value in job.values()]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM bulk_action_jobs")
        connection.execute(
            f"INSERT INTO bulk_action_jobs VALUES ({', '.join(marks)})",  # noqa: S608 (marks)
            list(job.values()),
        )


lenient = settings(  # the machine may be busy
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("member", MEMBERS)
def test_a_broken_member_is_a_500_whose_log_names_it(
    client: FlaskClient, database: Path, caplog: pytest.LogCaptureFixture, member: str
) -> None:
    wrong = WRONG[MEMBERS[member]]

    @lenient
    @given(wrong if member in OPTIONAL else wrong | st.none())
    def fail(value: Any) -> None:
        plant(database, JOB | {member: value})
        caplog.clear()
        assert_problem(client.get(url(), headers=BEARER), 500)
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert JOB_ID in record.getMessage()
        assert member in record.getMessage()  # SQLite itself says which column is no UTF-8
        assert "\n" not in record.getMessage()

    fail()


def test_a_row_that_keeps_the_contract_is_served_as_stored(
    make_client: Callable[[Path], FlaskClient], client: FlaskClient, database: Path, tmp_path: Path
) -> None:
    """From a table of another make, and from one of schema.sql, whose CHECKs take it."""
    lawful = tmp_path / "jobs.db"
    store.create(lawful)
    clients = {database: client, lawful: make_client(lawful)}

    @lenient
    @given(RIGHT_JOB)
    def serve(members: dict[str, Any]) -> None:
        job = {"job_id": JOB_ID} | members
        for path, client in clients.items():
            plant(path, {name: job.get(name) for name in JOB})
            got = client.get(url(), headers=BEARER).get_json()
            assert list(got.items()) == [(n, job[n]) for n in JOB if n in job]

    serve()
