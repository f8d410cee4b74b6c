"""The demo: jobs in every state, and a public token, for a service that was given no database."""

from contextlib import suppress
from pathlib import Path

import click
from flask import Flask
from flask.cli import run_command
from werkzeug.serving import is_running_from_reloader

import store

TOKENS_FILE = Path(__file__).with_name("demo.tokens")
_JOBS = Path(__file__).with_name("demo.sql")
_RUNNING_JOB = "22222222-2222-4222-8222-222222222222"


def database(folder: str) -> Path:
    """Return the demo's database in `folder`, made on the first call, whole or not at all.

    Raises OSError or sqlite3.Error when it cannot be made.
    """
    path = Path(folder, "demo.db")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # another process was faster
            store.create(path, _JOBS.read_text("utf-8"))
    return path


def announce(app: Flask) -> None:
    """Say, once, that the demo is served: under `flask run` with a command that fetches a job."""
    context = click.get_current_context(silent=True)
    if context is None or context.command is not run_command:
        app.logger.warning("No DATABASE is configured: serving the demo jobs to its public token")
    elif not is_running_from_reloader():
        url = "http://{host}:{port}/api/actions/bulk/jobs/".format(**context.params) + _RUNNING_JOB
        click.echo(
            " * Demo jobs, as no DATABASE is configured. "
            f"Try: curl -H 'Authorization: Bearer demo-token' {url}"
        )
