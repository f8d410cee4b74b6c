"""Reads captured jobs from the bytes of a JSON file, and says what is wrong with them."""

import json
import re
import reprlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from marshmallow import EXCLUDE, RAISE, ValidationError

from schemas import ACTION_TYPES, FINAL_STATUSES, MEMBERS, STATUSES, Job, JobSchema

_START_OF_VALUE = re.compile(r"[^\s\ufeff]")  # files that were joined have a mark in between
_OPTIONAL = [name for name, field in JobSchema().fields.items() if not field.required]


class CapturedError(Exception):
    """Raised when a file is not JSON. Its text is one line: where, and why."""


def records(data: bytes) -> Iterator[tuple[str, Any]]:
    """Yield the place and the value of each record: a JSON value, or an element of an array.

    `data` is in UTF-8, -16 or -32, with a byte order mark or without. Raises `CapturedError`.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    line, number, end = 1, 0, 0
    try:
        text = data.decode(json.detect_encoding(data))
        while first := _START_OF_VALUE.search(text, end):
            line += text.count("\n", end, first.start())
            value, end = decoder.raw_decode(text, first.start())
            for record in value if isinstance(value, list) else [value]:
                number += 1
                yield f"line {line}, job {number}", record
            line += text.count("\n", first.start(), end)
    except (ValueError, RecursionError) as error:
        reason = f"expected jobs as JSON in UTF-8 from line {line} on: {error}"
        raise CapturedError(f"{reason}: nothing is imported") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("an object has a member twice")
    return members


def review(
    records: Iterable[tuple[str, Any]], *, ignore_unknown: bool
) -> tuple[list[Job], list[str], list[str]]:
    """Return the jobs of the records, a line about each bad one, and one about each unusual one."""
    schema = JobSchema(unknown=EXCLUDE if ignore_unknown else RAISE)
    schema.error_messages["unknown"] = "Not documented: --ignore-unknown leaves it out."
    jobs: dict[str, Job] = {}
    bad: list[str] = []
    notes: list[str] = []
    for place, record in records:
        try:
            job = _load(record, schema)
        except ValidationError as error:
            reasons = [f"{name}: {texts[0]}" for name, texts in error.messages_dict.items()]
            bad.append(f"{place}: {' '.join(reasons)}")
            continue
        job_id = job.members["job_id"].lower()
        if job_id in jobs:
            bad.append(f"{place}: job_id: {job_id} is there twice.")
        elif reasons := unusual(job.members):
            notes.append(f"{place}: unusual: {', '.join(reasons)}")
        jobs[job_id] = job
    return [*jobs.values()], bad, notes


def _load(record: Any, schema: JobSchema) -> Job:
    """Return a record as a job. A time not reached may be null. Raises `ValidationError`."""
    if not isinstance(record, dict) or "job_id" not in record:
        reason = f"an object with {', '.join(MEMBERS[:3])} and so on, not {reprlib.repr(record)}"
        raise ValidationError({"expected a job": [reason]})
    absent = [name for name in _OPTIONAL if record.get(name, "") is None]
    members = {name: record[name] for name in record if name not in absent}
    loaded = schema.load(members)
    for name, value in loaded.items():
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValidationError({name: ["Not a signed 64-bit integer."]})
    return Job(map(loaded.get, MEMBERS))


def unusual(job: dict[str, Any]) -> list[str]:
    """Return what is unusual, though allowed, in the members of a job that keeps the contract."""
    status, percent, action = job["status"], job["progress_percent"], job["action_type"]
    is_started, is_ended = "executed_at" in job, "completed_at" in job
    order = ["created_at", "scheduled_at", "executed_at", "completed_at", "updated_at"]
    if not is_started:
        order.remove("scheduled_at")  # it may be to come
    times = [job[name].upper().replace(":60", ":59") for name in order if name in job]
    is_dated = min(*times, job["scheduled_at"]) >= "0002"  # else it is Go's zero time, most likely
    moments = [datetime.fromisoformat(time) for time in times if is_dated]
    judgements = {
        f"status {status}": status not in STATUSES,
        f"action_type {action}": action not in ACTION_TYPES,
        f"progress_percent {percent}": not 0 <= percent <= 100,
        "a negative count": min(job["preview_count"], job["affected_count"]) < 0,
        f"{status} with executed_at": is_started and status == "scheduled",
        f"{status} with completed_at": is_ended and status in ("scheduled", "running"),
        f"{status} without executed_at": not is_started and status in ("running", "completed"),
        f"{status} without completed_at": is_started and not is_ended and status in FINAL_STATUSES,
        f"{status} at {percent} percent": status == "completed" and percent < 100,
        "a time before the year 2": not is_dated,
        "times in the wrong order": moments != sorted(moments),
    }
    return [text for text, applies in judgements.items() if applies]
