"""The demo: jobs in every state, with times of today, and a public token."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.cli import run_command
from werkzeug.serving import is_running_from_reloader

import store

PATH = "/api/actions/bulk/jobs/"
TOKEN = "demo-token"  # noqa: S105 (public: it opens no other jobs)  # nosec B105
TOKENS_FILE = Path(__file__).with_name("demo.tokens")
_JOBS = Path(__file__).with_name("demo.json")
_TIME = re.compile(r"(-?[0-9]+)(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})")  # "-201.000731904Z"


def job_id(digit: int) -> str:
    """Return the id of a demo job: 1 to 6, or 9 for the broken one."""
    return "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace("x", str(digit))


def jobs(now: datetime) -> list[dict[str, Any]]:
    """Return the demo's jobs as they are at `now`, an aware datetime.

    A time of demo.json such as -201.25Z is 201 whole seconds ago; its rest is written as it is.
    """
    found: list[dict[str, Any]] = json.loads(_JOBS.read_text("utf-8"))
    for job in found:
        for name, value in job.items():
            if name.endswith("_at") and (match := _TIME.fullmatch(value)):
                seconds, fraction, offset = match.groups("")
                zone = datetime.strptime(offset, "%z").tzinfo
                moment = (now + timedelta(seconds=int(seconds))).astimezone(zone)
                job[name] = f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}{offset}"
    return found


def make(path: Path) -> None:
    """Make the demo's database, unless it is there; raise as `store.create`."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        store.create(path, jobs(datetime.now(UTC)))


def announce(app: Flask, token: str) -> None:
    """Announce the demo; under `flask run`, once, with a command that fetches a job."""
    context = click.get_current_context(silent=True)
    if context is None or context.command is not run_command:
        app.logger.warning("FLASK_DATABASE is not set: serving the demo jobs")
    elif not is_running_from_reloader():
        host, port = context.params["host"], context.params["port"]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        click.echo(" * FLASK_DATABASE is not set: serving the demo jobs. ", nl=False)
        click.echo(f"Try: curl -H 'Authorization: Bearer {token}' {url}{PATH}{job_id(2)}")
