"""Reads captured jobs from JSON in UTF-8, -16 or -32, and says what is wrong with them."""

import json
import re
import reprlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from errors import InputError
from schemas import ACTION_TYPES, FINAL_STATUSES, MEMBERS, STATUSES, Job, JobSchema

_START_OF_VALUE = re.compile(r"[^\s\ufeff]")  # each of the joined files may have a byte order mark


def records(data: bytes) -> Iterator[Any]:
    """Yield each record: a JSON value, or an element of an array. Raises `InputError`."""
    end = 0
    try:
        text = data.decode(json.detect_encoding(data))
        while first := _START_OF_VALUE.search(text, end):
            value, end = json.JSONDecoder().raw_decode(text, first.start())
            yield from value if isinstance(value, list) else [value]
    except (ValueError, RecursionError) as error:
        reason = f"the file is not JSON in UTF-8, -16 or -32: {error}"
        raise InputError(f"{reason}: nothing is imported") from error


def review(items: Iterable[Any], ignore_unknown: bool) -> tuple[list[Job], list[str], list[str]]:
    """Return the jobs of the items, a line about each bad one, and one about each unusual one."""
    schema = JobSchema(unknown="exclude" if ignore_unknown else "raise")
    schema.error_messages["unknown"] = "Not documented: --ignore-unknown leaves it out."
    jobs, bad, notes = {}, [], []
    for number, record in enumerate(items, 1):
        if faults := _faults(record, schema):
            bad.append(f"job {number}: {faults}")
        elif (job_id := record["job_id"].lower()) in jobs:
            bad.append(f"job {number}: job_id: {job_id} is there twice.")
        else:
            jobs[job_id] = tuple(map(record.get, MEMBERS))
            if reasons := unusual(record):
                notes.append(f"job {number}: unusual: {', '.join(reasons)}")
    return [*jobs.values()], bad, notes


def _faults(record: Any, schema: JobSchema) -> str:
    """Return what is wrong with the members of a record. A time not reached may be null."""
    if not isinstance(record, dict) or "job_id" not in record:
        expected = f"an object with {', '.join(MEMBERS[:3])} and so on"
        return f"expected a job: {expected}, not {reprlib.repr(record)}"
    nulls = [name for name in ("executed_at", "completed_at") if record.get(name) is None]
    errors = schema.validate({name: record[name] for name in record if name not in nulls})
    for name in MEMBERS:
        if isinstance(record.get(name), int) and not -(2**63) <= record[name] < 2**63:
            errors[name] = ["Not a signed 64-bit integer."]
    return " ".join(f"{name}: {texts[0]}" for name, texts in errors.items())


def unusual(job: dict[str, Any]) -> list[str]:
    """Return what is unusual, though allowed, in the members of a job that keeps the contract."""
    status, percent, action = job["status"], job["progress_percent"], job["action_type"]
    executed, completed = job.get("executed_at"), job.get("completed_at")
    due = job["scheduled_at"] if executed else None  # before its start it may lie ahead
    times = [t for t in (job["created_at"], due, executed, completed, job["updated_at"]) if t]
    is_dated = min(*times, job["scheduled_at"]) >= "0002"  # datetime has no year 0; Go's zero is 1
    moments = [datetime.fromisoformat(t.upper().replace(":60", ":59")) for t in times if is_dated]
    judgements = {
        f"status {status}": status not in STATUSES,
        f"action_type {action}": action not in ACTION_TYPES,
        f"progress_percent {percent}": not 0 <= percent <= 100,
        f"{status} with executed_at": executed and status == "scheduled",
        f"{status} with completed_at": completed and status in ("scheduled", "running"),
        f"{status} without executed_at": not executed and status in ("running", "completed"),
        f"{status} without completed_at": executed and not completed and status in FINAL_STATUSES,
        "a time before the year 2": not is_dated,
        "times in the wrong order": moments != sorted(moments),
    }
    return [text for text, applies in judgements.items() if applies]
