"""Rows of every value that SQLite can hold, right and wrong."""

from datetime import datetime
from pathlib import Path
from typing import Any

from checking import LENIENT
from hypothesis import given
from hypothesis import strategies as st
from problem import assert_problem
from samples import JOB, JOB_ID, OPTIONAL, Get, Log, Plant, loosen

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
KINDS = {  # what is right and what is wrong
    "int": (INTEGER, OTHER | TEXT | st.integers(0, 9).map(float)),
    "str": (TEXT, OTHER | INTEGER),
    "time": (TIME, OTHER | INTEGER | TEXT | NO_TIME),
}
MEMBERS = {
    name: KINDS["time" if name.endswith("_at") else type(value).__name__]
    for name, value in JOB.items()
    if name != "job_id"
}
RIGHT = {name: right for name, (right, _) in MEMBERS.items()}
RIGHT |= {name: st.none() | RIGHT[name] for name in OPTIONAL}
WRONG = {name: wrong | st.none() for name, (_, wrong) in MEMBERS.items()}
WRONG |= {name: MEMBERS[name][1] for name in OPTIONAL}


@LENIENT
@given(st.data(), st.sets(st.sampled_from(sorted(MEMBERS)), min_size=1, max_size=3))
def test_a_broken_row_is_a_500_whose_log_names_job_and_members_until_it_is_mended(
    get: Get, plant: Plant, database: Path, caplog: Log, data: st.DataObject, names: set[str]
) -> None:
    loosen(database)
    plant()
    assert get().status_code == 200
    plant(**{name: data.draw(WRONG[name]) for name in names})
    caplog.clear()
    assert_problem(get(), 500)
    (message,) = caplog.messages
    assert f"job {JOB_ID} breaks the contract: " in message
    assert {name for name in JOB if f"'{name}': [" in message} == names
    assert "\n" not in message


@LENIENT
@given(st.fixed_dictionaries(RIGHT))
def test_a_row_is_served_as_stored(get: Get, plant: Plant, members: dict[str, object]) -> None:
    job = JOB | members
    plant(**job)  # the CHECKs of schema.sql take it
    stored = [(name, value) for name, value in job.items() if value is not None]
    assert list(get().get_json().items()) == stored


def test_equal_values_of_other_types_are_told_apart(get: Get, plant: Plant, database: Path) -> None:
    loosen(database)
    for value, status in ((1, 200), (1.0, 500), (1, 200), ("1", 500)):
        plant(affected_count=value)
        assert get().status_code == status
