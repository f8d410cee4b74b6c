import json
from typing import Any

import pytest
from conftest import JOB
from marshmallow import Schema, ValidationError

from schemas import JobSchema, ProblemSchema

JOBS = JobSchema()
UUID = "2eb8aa08-aa98-11ea-b4aa-73b441d16380"
UUIDS = f"""{UUID} {UUID.upper()} 2eb8aa08-AA98-11ea-B4Aa-73B441D16380
    00000000-0000-0000-0000-000000000000 ffffffff-ffff-ffff-ffff-ffffffffffff"""
NO_UUIDS = f"""{UUID[:-1]} {UUID}0 {{{UUID}}} urn:uuid:{UUID} {UUID.replace("-", "")}
    {UUID.replace("0", "g")} {UUID.replace("0", "٣")} {UUID.replace("-", "_")}
    2eb8-aa08-aa98-11ea-b4aa73b44-1d16380"""
DATE_TIMES = """
    1963-06-19T08:30:06.283185Z 1963-06-19t08:30:06z 1990-12-31T15:59:50.123-08:00
    1937-01-01T12:00:27.87+00:20 2026-05-16T08:00:00-00:00 2026-05-16T08:00:00+23:59
    2026-05-16T08:00:00.1234567890123456789Z 2024-02-29T00:00:00Z 0000-02-29T00:00:00Z
    2000-02-29T00:00:00Z 9999-12-31T23:59:59Z 1998-12-31T23:59:60Z
    1998-12-31T15:59:60.123-08:00 1999-01-01T05:29:60+05:30 1999-01-01T00:29:60+00:30"""
NO_DATE_TIMES = """
    2026-05-16 2026-05-16T08:00:00 2026-05-16T08:00Z 2026-05-16T08Z 2026-05-16T08:00:00+02
    2026-05-16T08:00:00+0200 2026-05-16T08:00:00+24:00 2026-05-16T08:00:00+02:60
    2026-05-16T08:00:00Z+02:00 2026-05-16T08:00:00.Z 2026-05-16T08:00:00,5Z 2026-05-16T24:00:00Z
    2026-05-16T08:60:00Z 2026-05-16T08:00:61Z 2026-13-16T08:00:00Z 2026-00-16T08:00:00Z
    2026-05-00T08:00:00Z 2026-02-29T08:00:00Z 2026-04-31T08:00:00Z 1900-02-29T08:00:00Z
    20260516T080000Z 2026-W20-6T08:00:00Z 2026-137T08:00:00Z +2026-05-16T08:00:00Z
    2026-5-16T08:00:00Z 2026-05-1٦T08:00:00Z 1998-12-31T23:58:60Z 1998-12-31T22:59:60Z
    1998-12-31T23:59:60+01:00 1998-12-31T23:59:60-00:01 1999-01-01T05:29:60-05:30"""


def errors(value: dict[str, Any], schema: Schema = JOBS) -> dict[str, list[str]]:
    """Return what load complains of; dump must say the same, or both pass the value on."""
    found = schema.validate(value)
    if found:
        with pytest.raises(ValidationError) as refused:
            schema.dump(value)
        assert refused.value.messages == found
    else:
        assert schema.dump(value) == schema.load(value) == value
    return found


@pytest.mark.parametrize("text", UUIDS.split())
def test_a_uuid_has_its_8_4_4_4_12_form_in_any_case(text: str) -> None:
    assert errors(JOB | {"job_id": text}) == {}


@pytest.mark.parametrize("text", [*NO_UUIDS.split(), "", f"{UUID}\n", f" {UUID}", UUID.encode(), 5])
def test_anything_looser_is_no_uuid(text: object) -> None:
    assert errors(JOB | {"job_id": text}) == {"job_id": ["Not a UUID in its 8-4-4-4-12 form."]}


@pytest.mark.parametrize("text", DATE_TIMES.split())
def test_a_date_time_is_as_in_rfc_3339(text: str) -> None:
    assert errors(JOB | {"executed_at": text}) == {}


@pytest.mark.parametrize(
    "text",
    [*NO_DATE_TIMES.split(), "", "2026-05-16 08:00:00Z", "2026-05-16T08:00:00Z\n", 1778918400],
)
def test_anything_looser_is_no_date_time(text: object) -> None:
    assert errors(JOB | {"executed_at": text}) == {"executed_at": ["Not an RFC 3339 date-time."]}


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, 10**30])
def test_an_integer_has_no_bounds(number: int) -> None:
    assert errors(JOB | {"max_limit": number}) == {}


@pytest.mark.parametrize("number", ["5", 1.5, 1.0, True, False, b"5", [5]])
def test_nothing_else_is_an_integer(number: object) -> None:
    assert errors(JOB | {"max_limit": number}) == {"max_limit": ["Not an integer."]}


@pytest.mark.parametrize("text", ["", "not JSON", "\0", "Ünïcödé 🚦", "a\nb"])
def test_text_is_any_text(text: str) -> None:
    assert errors(JOB | {"status": text}) == {}


@pytest.mark.parametrize("text", [b"{}", {}, 5, "\udcff", "é\ud83d"])
def test_nothing_else_is_text(text: object) -> None:
    expected = {"status": ["Not a string that encodes as UTF-8."]}
    assert errors(JOB | {"status": text}) == expected


@pytest.mark.parametrize("member", JOB)
def test_only_the_times_not_reached_yet_may_be_left_out_and_nothing_may_be_null(
    member: str,
) -> None:
    without = {name: value for name, value in JOB.items() if name != member}
    missing = {member: ["Missing data for required field."]}
    assert errors(without) == ({} if member in ("executed_at", "completed_at") else missing)
    assert errors(JOB | {member: None}) == {member: ["Field may not be null."]}


def test_an_error_names_all_members_at_fault() -> None:
    job = JOB | {"status": 5, "max_limit": "5", "completed_at": ""}
    assert errors(job).keys() == {"status", "max_limit", "completed_at"}


def test_load_refuses_an_unknown_member_by_name() -> None:
    assert JOBS.validate(JOB | {"priority": 1}) == {"priority": ["Unknown field."]}


@pytest.mark.parametrize("many", [False, True])
def test_dump_keeps_the_documented_members_in_their_order(many: bool) -> None:
    job = {"another": 1, **dict(reversed(JOB.items()))}
    dumped = JobSchema(many=True).dump([job])[0] if many else JOBS.dump(job)
    assert json.dumps(dumped) == json.dumps(JOB)


@pytest.mark.parametrize("status", [100, 404, 599])
def test_a_problems_status_is_an_http_status(status: int) -> None:
    assert errors({"status": status}, ProblemSchema()) == {}


@pytest.mark.parametrize("status", [99, 600, "404", 404.0, True, None])
def test_nothing_else_is_a_problems_status(status: object) -> None:
    assert errors({"status": status}, ProblemSchema()).keys() == {"status"}


@pytest.mark.parametrize("details", [5, ["id"], {"id": 5}, {5: "id"}, {"id": None}, None])
def test_a_problems_details_are_strings_by_strings(details: object) -> None:
    assert errors({"details": details}, ProblemSchema()).keys() == {"details"}
    assert errors({"details": {"id": "no"}}, ProblemSchema()) == {}


def test_a_problem_has_the_documented_members_alone() -> None:
    assert errors({"title": "OK", "code": 7}, ProblemSchema()) == {"code": ["Unknown field."]}
