"""Rows of every value that SQLite can hold, right and wrong."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from checking import LENIENT
from conftest import JOB, JOB_ID, OPTIONAL, Get, Plant
from faults import run
from hypothesis import given
from hypothesis import strategies as st
from problem import assert_problem

INTEGER = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"))
TIME = st.builds(
    "{:%Y-%m-%dT%H:%M:%S}{}{}".format,
    st.datetimes(datetime(1000, 1, 1)),  # noqa: DTZ001 (the offset comes below)
    st.just("") | st.integers(0).map(".{}".format),
    st.from_regex("[Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9]", fullmatch=True),
)
NO_TIME = st.sampled_from(["2026-05-16 08:00:00Z", "2026-05-16T08:00:00", "2026-02-29T08:00:00Z"])
OTHER: st.SearchStrategy[Any] = st.floats(allow_nan=False) | st.binary()
MEMBERS = {
    name: "time" if name.endswith("_at") else type(value).__name__
    for name, value in JOB.items()
    if name != "job_id"
}
RIGHT = {"int": INTEGER, "str": TEXT, "time": TIME}
WRONG = {"int": OTHER | TEXT, "str": OTHER | INTEGER, "time": OTHER | INTEGER | TEXT | NO_TIME}


def wrong(name: str) -> st.SearchStrategy[Any]:
    values = WRONG[MEMBERS[name]] if name in OPTIONAL else WRONG[MEMBERS[name]] | st.none()
    return values | st.just(float(JOB[name])) if MEMBERS[name] == "int" else values


@pytest.fixture
def loose(database: Path) -> None:
    """Make the table anew as another producer might: it holds anything."""
    run("DROP TABLE bulk_action_jobs")(database)
    run(f"CREATE TABLE bulk_action_jobs ({', '.join(JOB)}, PRIMARY KEY (job_id))")(database)


@LENIENT
@given(st.data(), st.sets(st.sampled_from(sorted(MEMBERS)), min_size=1, max_size=3))
@pytest.mark.usefixtures("loose")
def test_a_broken_row_is_a_500_whose_log_names_job_and_members_until_it_is_mended(
    get: Get, plant: Plant, caplog: pytest.LogCaptureFixture, data: st.DataObject, names: set[str]
) -> None:
    plant()
    assert get().status_code == 200
    plant(**{name: data.draw(wrong(name)) for name in names})
    caplog.clear()
    assert_problem(get(), 500)
    (message,) = caplog.messages
    assert f"job {JOB_ID} breaks the contract: " in message
    assert {name for name in JOB if f"'{name}': [" in message} == names
    assert "\n" not in message


@LENIENT
@given(st.data())
def test_a_row_that_keeps_the_contract_is_served_as_stored(
    get: Get, plant: Plant, data: st.DataObject
) -> None:
    """The CHECKs of schema.sql take it."""
    members = {
        name: data.draw(st.none() | RIGHT[kind] if name in OPTIONAL else RIGHT[kind])
        for name, kind in MEMBERS.items()
    }
    plant(**members)
    job = {name: value for name, value in (JOB | members).items() if value is not None}
    assert list(get().get_json().items()) == list(job.items())
