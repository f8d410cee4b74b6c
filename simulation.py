"""Simulates the execution of a job."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from select import select
from typing import Any

from schemas import has_ended


def states(
    job: dict[str, Any], seconds: float, end: tuple[int, str], stop: int
) -> Iterator[dict[str, Any]]:
    """Yield each state of a job's execution when it is due, percent by percent.

    `seconds` is the time left to 100 percent. `end` is the percent to end at and the final status.
    Data on the file descriptor `stop` cancels the job. A running job goes on from its percent.
    """
    clients = max(0, min(job["preview_count"], job["max_limit"]))
    first = max(0, min(job["progress_percent"], 99))
    if has_ended(job) or job["status"] != "running" or "executed_at" not in job:
        job, first = job | {"executed_at": _now()}, 0
        job.pop("completed_at", None)
    start, percent = time.monotonic(), first
    while "completed_at" not in job:
        due = start + seconds * (percent - first) / (100 - first)
        stopped = select([stop], [], [], max(0, due - time.monotonic()))[0]
        job = job | {"status": "running", "updated_at": _now()}
        if not stopped:
            job |= {"progress_percent": percent, "affected_count": clients * percent // 100}
        if stopped or percent >= end[0]:
            job["status"] = "cancelled" if stopped else end[1]
            job["completed_at"] = job["updated_at"]
        yield job
        percent += 1


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
