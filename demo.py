"""The demo: jobs in every state, with recent times, and a public token."""

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.cli import run_command

import store

TOKEN = "demo-token"  # noqa: S105 (public: it opens no other jobs)  # nosec B105
TOKENS_FILE = Path(__file__).with_name("demo.tokens")
_TIME = re.compile(r"(-?[0-9]+)(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})")


def job_id(digit: int) -> str:
    """Return the id of a demo job: 1 to 6, or 9 for the broken one."""
    return "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace("x", str(digit))


def jobs(now: datetime) -> list[dict[str, Any]]:
    """Return the demo's jobs at `now`, an aware time: demo.json has seconds before or after it."""
    found: list[dict[str, Any]] = json.loads(Path(__file__).with_name("demo.json").read_text())
    for job in found:
        for name, value in job.items():
            if name.endswith("_at") and (match := _TIME.fullmatch(value)):
                seconds, fraction, offset = match.groups("")
                zone = datetime.strptime(offset, "%z").tzinfo
                moment = now.astimezone(zone) + timedelta(seconds=int(seconds))
                job[name] = f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}{offset}"
    return found


def make(path: Path) -> None:
    """Make the demo's database, unless it is there; raise what `store.create` does."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        store.create(path, jobs(datetime.now(UTC)))


def announce(app: Flask, token: str) -> None:
    """Log that the demo is served; under `flask run`, print a curl command once it listens."""
    said = "FLASK_DATABASE is not set: serving the demo jobs"
    context = click.get_current_context(silent=True)

    def hint(record: logging.LogRecord) -> bool:
        if match := re.search(r"Running on (https?://\S+)", record.msg):
            job = f"{match[1]}/api/actions/bulk/jobs/{job_id(2)}"
            click.echo(f" * {said}. Try: curl -H 'Authorization: Bearer {token}' {job}")
        return True

    if context and context.command is run_command:
        logging.getLogger("werkzeug").addFilter(hint)  # it logs the address once it listens
    else:
        app.logger.warning(said)
