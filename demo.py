"""The demo: jobs in every state, and a public token, for a service that was given no database."""

from contextlib import suppress
from pathlib import Path

import click
from flask import Flask
from flask.cli import run_command
from werkzeug.serving import is_running_from_reloader

import store

TOKEN = "demo-token"  # noqa: S105 (public: it opens no other jobs)  # nosec B105
TOKENS_FILE = Path(__file__).with_name("demo.tokens")
_JOBS = Path(__file__).with_name("demo.sql")


def job_id(digit: int) -> str:
    """Return the id of a demo job: 1 to 6, or 9 for the broken one."""
    return "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace("x", str(digit))


def database(folder: str) -> Path:
    """Return the demo's database in `folder`, made on the first call, whole or not at all.

    Raises what `store.create` raises when it cannot be made.
    """
    path = Path(folder, "demo.db")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # another process was faster
            store.create(path, _JOBS.read_text("utf-8"))
    return path


def announce(app: Flask, *, public: bool) -> None:
    """Say, once, that the demo is served: under `flask run` with a command that fetches a job.

    `public` tells whether it is to the demo's token, and not to those of a file of one's own.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.command is not run_command:  # a server may be a command, too
        app.logger.warning("No DATABASE is configured: serving the demo jobs")
    elif not is_running_from_reloader():
        host, port = context.params["host"], context.params["port"]
        host = f"[{host}]" if ":" in host else host
        url = f"http://{host}:{port}/api/actions/bulk/jobs/{job_id(2)}"
        click.echo(
            " * Demo jobs, as no DATABASE is configured. "
            f"Try: curl -H 'Authorization: Bearer {TOKEN if public else 'YOUR-TOKEN'}' {url}"
        )
