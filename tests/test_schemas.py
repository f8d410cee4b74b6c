import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import JOB
from marshmallow import ValidationError

from schemas import JobSchema, ProblemSchema, dump_job, to_json

JOBS = JobSchema()
UUID = "2eb8aa08-aa98-11ea-b4aa-73b441d16380"


def both_ways(job: dict[str, Any]) -> bool:
    """Tell whether load and dump take `job`; they must agree and pass it on unchanged."""
    loads, dumps = True, True
    try:
        assert JOBS.load(job) == job
    except ValidationError:
        loads = False
    try:
        assert JOBS.dump(job) == job
    except ValidationError:
        dumps = False
        with pytest.raises(ValidationError):
            dump_job(job)
    else:
        assert dump_job(job) == job
    assert loads == dumps
    return loads


@pytest.mark.parametrize(
    "text",
    [
        UUID,
        UUID.upper(),
        "2eb8aa08-AA98-11ea-B4Aa-73B441D16380",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ],
)
def test_a_uuid_has_its_8_4_4_4_12_form_in_any_case(text: str) -> None:
    assert both_ways(JOB | {"job_id": text})


@pytest.mark.parametrize(
    "text",
    [
        "",
        UUID.replace("-", ""),
        "2eb8-aa08-aa98-11ea-b4aa73b44-1d16380",
        f"{{{UUID}}}",
        f"urn:uuid:{UUID}",
        UUID + "\n",
        " " + UUID,
        UUID[:-1],
        UUID + "0",
        UUID.replace("0", "g"),
        UUID.replace("0", "\N{ARABIC-INDIC DIGIT ZERO}"),
        UUID.replace("-", "_"),
        b"0123456789abcdef",
        UUID.encode(),
        5,
        None,
    ],
)
def test_anything_looser_is_no_uuid(text: object) -> None:
    assert not both_ways(JOB | {"job_id": text})


@pytest.mark.parametrize(
    "text",
    [
        "1963-06-19T08:30:06.283185Z",
        "1963-06-19t08:30:06z",
        "1990-12-31T15:59:50.123-08:00",
        "1937-01-01T12:00:27.87+00:20",
        "2026-05-16T08:00:00-00:00",
        "2026-05-16T08:00:00+23:59",
        "2026-05-16T08:00:00.1234567890123456789Z",
        "2024-02-29T00:00:00Z",
        "0000-02-29T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "1998-12-31T23:59:60Z",
        "1998-12-31T15:59:60.123-08:00",
        "1999-01-01T05:29:60+05:30",
        "1999-01-01T00:29:60+00:30",
    ],
)
def test_a_date_time_is_rfc_3339s(text: str) -> None:
    assert both_ways(JOB | {"executed_at": text})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-05-16",
        "2026-05-16T08:00:00",
        "2026-05-16 08:00:00Z",
        "2026-05-16T08:00Z",
        "2026-05-16T08Z",
        "2026-05-16T08:00:00+02",
        "2026-05-16T08:00:00+0200",
        "2026-05-16T08:00:00+24:00",
        "2026-05-16T08:00:00+02:60",
        "2026-05-16T08:00:00Z+02:00",
        "2026-05-16T08:00:00.Z",
        "2026-05-16T08:00:00,5Z",
        "2026-05-16T08:00:00Z\n",
        "2026-05-16T24:00:00Z",
        "2026-05-16T08:60:00Z",
        "2026-05-16T08:00:61Z",
        "2026-13-16T08:00:00Z",
        "2026-00-16T08:00:00Z",
        "2026-05-00T08:00:00Z",
        "2026-02-29T08:00:00Z",
        "2026-04-31T08:00:00Z",
        "1900-02-29T08:00:00Z",
        "20260516T080000Z",
        "2026-W20-6T08:00:00Z",
        "2026-137T08:00:00Z",
        "+2026-05-16T08:00:00Z",
        "2026-5-16T08:00:00Z",
        "2026-05-1\N{ARABIC-INDIC DIGIT SIX}T08:00:00Z",
        "1998-12-31T23:58:60Z",
        "1998-12-31T22:59:60Z",
        "1998-12-31T23:59:60+01:00",
        "1998-12-31T23:59:60-00:01",
        1778918400,
        None,
    ],
)
def test_anything_looser_is_no_date_time(text: object) -> None:
    assert not both_ways(JOB | {"executed_at": text})


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, 10**30])
def test_an_integer_has_no_bounds(number: int) -> None:
    assert both_ways(JOB | {"max_limit": number})


@pytest.mark.parametrize("number", ["5", 1.5, 1.0, True, False, None, b"5"])
def test_nothing_else_is_an_integer(number: object) -> None:
    assert not both_ways(JOB | {"max_limit": number})


@pytest.mark.parametrize("text", ["", "not JSON", "\0", "Ünïcödé 🚦", "a\nb"])
def test_text_is_any_text(text: str) -> None:
    assert both_ways(JOB | {"criteria_json": text})


@pytest.mark.parametrize("text", [b"{}", {}, 5, None, "\udcff"])
def test_nothing_else_is_text(text: object) -> None:
    assert not both_ways(JOB | {"criteria_json": text})


@pytest.mark.parametrize("member", JOB)
def test_only_the_times_not_reached_yet_may_be_left_out(member: str) -> None:
    job = {name: value for name, value in JOB.items() if name != member}
    assert both_ways(job) == (member in ("executed_at", "completed_at"))


@pytest.mark.parametrize("dump", [JOBS.dump, dump_job])
def test_an_error_on_dump_names_its_member(dump: Callable[..., object]) -> None:
    with pytest.raises(ValidationError) as caught:
        dump(JOB | {"status": 5})
    assert caught.value.messages == {"status": ["Not a string that UTF-8 can carry."]}


@pytest.mark.parametrize("dump", [JOBS.dump, dump_job])
def test_dump_keeps_the_documented_order_and_members(dump: Callable[..., object]) -> None:
    job = {"another": 1, **dict(reversed(JOB.items()))}
    assert json.dumps(dump(job)) == json.dumps(JOB)


@pytest.mark.parametrize("text", ["", '"\\/', "\0\x1f\x7f\u2028", "Ünïcödé 🚦", "a\nb"])
def test_a_job_as_json_is_what_the_json_module_makes_of_it(text: str) -> None:
    job = JOB | {"action_reason": text, "max_limit": -(2**63)}
    assert to_json(job) == json.dumps(job, ensure_ascii=False)


def test_a_job_has_no_validators_that_dump_job_would_have_to_ask() -> None:
    assert not any(field.validators for field in JOBS.fields.values())


def test_load_refuses_an_unknown_member_by_name() -> None:
    assert JOBS.validate(JOB | {"priority": 1}) == {"priority": ["Unknown field."]}


@pytest.mark.parametrize("status", [99, 600, "404", True])
def test_a_problems_status_is_an_http_status(status: object) -> None:
    with pytest.raises(ValidationError):
        ProblemSchema().dump({"status": status})
    assert "status" in ProblemSchema().validate({"status": status})


@pytest.mark.parametrize("details", [5, ["id"], {"id": 5}, {5: "id"}, {"id": None}, None])
def test_a_problems_details_are_strings_by_strings(details: object) -> None:
    with pytest.raises(ValidationError):
        ProblemSchema().dump({"details": details})
    assert "details" in ProblemSchema().validate({"details": details})
    assert ProblemSchema().dump({"details": {"id": "no"}}) == {"details": {"id": "no"}}
