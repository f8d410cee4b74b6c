"""Other people's tools, as `make tools` installs them, and the service that they are run on."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from serving import FLASK_RUN, ROOT, Server, free_port, serving

import demo
import store

CONTRACT = ROOT / "openapi.yaml"
TOOLS = ROOT / ".venv-tools"
PATH = f"{TOOLS}/bin:{TOOLS}/node_modules/.bin:{os.environ['PATH']}"
ENVIRONMENT = os.environ | {"PATH": PATH, "JAVA_OPTS": "-XX:TieredStopAtLevel=1"}  # starts sooner
NOWHERE = "00000000-0000-4000-8000-000000000000"  # no job has this id

# What clients find hard: for each, a member, its value, and the id of the demo's ended job with it.
HARD: dict[str, tuple[str, Any, str]] = {
    what: (member, value, NOWHERE.replace("0", digit, 8))
    for digit, what, member, value in (
        ("a", "nanoseconds", "executed_at", "2026-05-16T08:00:02.184467441Z"),
        ("b", "offset", "scheduled_at", "2026-05-16T10:00:00+02:00"),
        ("c", "leap second", "completed_at", "2016-12-31T23:59:60Z"),
        ("d", "absent member", "completed_at", None),
        ("e", "2^53 + 1", "max_limit", 2**53 + 1),
    )
}


def run(*command: str | Path, cwd: Path, given: str = "", **settings: str) -> str:
    """Return what a tool prints; fail with all that it says."""
    environment = ENVIRONMENT | settings
    done = subprocess.run(
        command, cwd=cwd, env=environment, input=given, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def started(*command: str | Path) -> Iterator[Server]:
    """Yield a tool that listens."""
    words = (*map(str, command), "--port", str(port := free_port()))
    with serving(*words, port=port, settings={"PATH": PATH}) as server:
        yield server


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the demo's jobs, and those that clients find hard."""
    jobs = demo.jobs(datetime.now(UTC))
    hard = [jobs[0] | {"job_id": job_id, member: value} for member, value, job_id in HARD.values()]
    path = tmp_path_factory.mktemp("service") / "jobs.db"
    store.create(path, jobs + hard)
    settings = {"FLASK_DATABASE": path, "FLASK_TOKENS_FILE": demo.TOKENS_FILE}
    with serving(*FLASK_RUN, settings=settings) as server:
        yield server
