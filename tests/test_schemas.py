import json

import pytest
from marshmallow import ValidationError
from samples import JOB

from schemas import JobSchema

JOBS = JobSchema()
UUID = "2eb8aa08-aa98-11ea-b4aa-73b441d16380"
COMPLAINTS = {
    "job_id": "Not a UUID in its 8-4-4-4-12 form.",
    "executed_at": "Not an RFC 3339 date-time.",
    "max_limit": "Not an integer.",
    "status": "Not a string that encodes as UTF-8.",
}
RIGHT: dict[str, list[object]] = {
    "job_id": [UUID.upper(), "2eb8aa08-AA98-11ea-B4Aa-73B441D16380"],
    "executed_at": [
        *("1963-06-19t08:30:06z", "2024-02-29T00:00:00Z", "2026-05-16T08:00:00.123456789012Z"),
        *("0000-02-29T00:00:00Z", "9999-12-31T23:59:59-23:59", "1998-12-31T23:59:60z"),
        *("1998-12-31T15:59:60.123-08:00", "1999-01-01T05:29:60+05:30"),
    ],
    "max_limit": [0, -1, 2**63 - 1, 10**30],
    "status": ["", "\0", "Ünïcödé 🚦", "a\nb"],
}
WRONG: dict[str, list[object]] = {
    "job_id": [
        *(UUID[:-1], f"{UUID}0", f"0{UUID}", f"{UUID}\n", UUID.encode(), 5, UUID.replace("0", "g")),
        *(UUID.replace("-", "", 1), UUID.replace("-", "_", 1), UUID.replace("0", "٣")),
        *("2eb8aa08-aa98-11ea-b4aa73b441d16380", "2eb8aa0-8aa98-11ea-b4aa-73b441d16380"),
    ],
    "executed_at": [
        *("2026-05-16T08:00:00", "2026-05-16T08:00Z", "2026-05-16T08:00:00+0200"),
        *("2026-05-16T08:00:00+24:00", "2026-05-16T08:00:00+02:60", "2026-05-16T08:00:00+02"),
        *("2026-05-16T08:00:00.Z", "2026-05-16T08:00:00,5Z", "2026-05-16T24:00:00Z"),
        *("2026-05-16T08:60:00Z", "2026-05-16T08:00:61Z", "2026-13-16T08:00:00Z"),
        *("2026-02-29T08:00:00Z", "1900-02-29T08:00:00Z", "2026-04-31T08:00:00Z"),
        *("2026-05-00T08:00:00Z", "202٦-05-16T08:00:00Z", "2026-05-1٦T08:00:00Z"),
        *("1998-12-31T23:58:60Z", "1998-12-31T22:59:60Z", "1998-12-31T23:59:60+01:00"),
        *("1998-12-31T23:59:60-00:01", "1999-01-01T05:29:60-05:30", "12026-05-16T08:00:00Z"),
        *("2026-02-30T08:00:00Z", "2026-05-16 08:00:00Z", "2026-05-16T08:00:00Z\n", 1778918400),
    ],
    "max_limit": ["5", 1.5, 1.0, True, b"5", [5]],
    "status": [b"{}", {}, 5, "\udcff", "é\ud83d"],
}


def pairs(table: dict[str, list[object]]) -> list[tuple[str, object]]:
    return [(member, value) for member, values in table.items() for value in values]


def refusal(job: dict[str, object]) -> object:
    """Return what load and dump, which agree, say against a job."""
    said = []
    for convert in (JOBS.load, JOBS.dump):
        with pytest.raises(ValidationError) as refused:
            convert(job)
        said.append(refused.value.messages)
    assert said[0] == said[1]
    return said[0]


@pytest.mark.parametrize(("member", "value"), pairs(RIGHT))
def test_a_value_of_its_type_passes_load_and_dump_as_it_is(member: str, value: object) -> None:
    job = JOB | {member: value}
    assert JOBS.load(job) == JOBS.dump(job) == job


@pytest.mark.parametrize(("member", "value"), pairs(WRONG))
def test_load_and_dump_refuse_a_value_of_another_type(member: str, value: object) -> None:
    assert refusal(JOB | {member: value}) == {member: [COMPLAINTS[member]]}


@pytest.mark.parametrize("member", JOB)
def test_only_a_time_not_reached_may_be_left_out_and_a_null_is_none(member: str) -> None:
    without = {name: value for name, value in JOB.items() if name != member}
    null = JOB | {member: None}
    assert JOBS.validate(null) == {member: ["Field may not be null."]}
    if member in ("executed_at", "completed_at"):
        assert JOBS.load(without) == JOBS.dump(without) == JOBS.dump(null) == without
    else:
        assert refusal(without) == {member: ["Missing data for required field."]}
        with pytest.raises(ValidationError, match=f"{member}.*Missing data for required field"):
            JOBS.dump(null)


def test_load_refuses_an_unknown_member_which_dump_leaves_out() -> None:
    job = {"unknown": 1, **dict(reversed(JOB.items()))}
    assert JOBS.validate(job) == {"unknown": ["Unknown field."]}
    assert json.dumps(JOBS.dump(job)) == json.dumps(JOB)  # in the documented order
