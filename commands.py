"""The commands: `flask jobs`, `flask tokens`, `flask openapi`.

They work on the files that the settings name, whether or not the service could start on them, and
on the demo's jobs where no database is set.
"""

import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import click
from flask import current_app
from flask.cli import AppGroup
from marshmallow import EXCLUDE, RAISE, ValidationError

import demo
import store
from auth import TokenFile, TokensError
from schemas import JobSchema, has_ended, is_uuid

_MOST_COMPLAINTS = 20
_LONGEST = 1_000_000  # seconds that a job is simulated

jobs = AppGroup("jobs", help="Make a database of jobs, fill it, look at it, let a job run.")
tokens = AppGroup("tokens", help="Make, list and revoke the tokens of clients.")


@contextmanager
def _one_line() -> Iterator[None]:
    """Turn what a file refuses into one line and exit status 1."""
    try:
        yield
    except BrokenPipeError:  # `| head` has seen enough: click ends without a word
        raise
    except (store.StoreError, TokensError, OSError, sqlite3.Error) as error:
        raise click.ClickException(f"{error}.") from error


def _database() -> Path:
    """Return the path of the database that is set, or of the demo's; there must be one."""
    configured = current_app.config.get("DATABASE")
    if configured is None:
        with _one_line():
            return demo.database(current_app.instance_path)
    path = Path(str(configured))
    if not path.is_file():
        raise click.ClickException(f"there is no database {path}: make it with flask jobs init.")
    return path


def _printable(value: object) -> str:
    """Return text that cannot steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns as wide as they must be."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


# flask jobs


@jobs.command("init")
def init() -> None:
    """Make the database at FLASK_DATABASE.

    Its folder is made too; an existing file is left as it is.

    Example: FLASK_DATABASE=data/jobs.db flask jobs init
    """
    configured = current_app.config.get("DATABASE")
    if configured is None:
        raise click.ClickException("set FLASK_DATABASE to the path of the database to make.")
    path = Path(str(configured))
    with _one_line():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            store.create(path)
        except FileExistsError as error:
            raise click.ClickException(f"{path} exists already: it is left as it is.") from error
    click.echo(f"Made {path}.")


@jobs.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--ignore-unknown", is_flag=True, help="Pass over members that a job does not have.")
def import_(file: BinaryIO, ignore_unknown: bool) -> None:
    """Add the jobs of FILE, or of standard input for -, to the database; replace those it has.

    FILE holds one job, as the service answers it, an array of jobs, or one of these a line. All of
    it is imported, or, where a job breaks the contract, nothing.

    Example: curl ... | flask jobs import -
    """
    schema = JobSchema(unknown=EXCLUDE if ignore_unknown else RAISE)
    size = 0
    with suppress(OSError):  # it may have no end to look for
        start = file.tell()
        size = file.seek(0, os.SEEK_END) - start
        file.seek(start)
    added = replaced = bad = 0
    bar = click.progressbar(
        length=size,
        label="Importing",
        file=sys.stderr,
        hidden=not (size and sys.stderr.isatty()),
        update_min_steps=max(size // 200, 1),
    )
    with _one_line(), bar, store.writing(_database()) as writer:
        for where, record, read in _records(file):
            try:
                if isinstance(record, Exception):
                    raise record
                if writer.put(schema.load(record)):
                    replaced += 1
                else:
                    added += 1
            except (ValidationError, ValueError, OverflowError, RecursionError) as error:
                bad += 1
                if bad <= _MOST_COMPLAINTS:
                    click.echo(f"{where}: {_complaint(record, error)}", err=True)
            bar.update(read)
        if not added + replaced + bad:
            raise click.ClickException("there is no job in it: nothing is imported.")
        if bad:
            more = f" ({bad - _MOST_COMPLAINTS} more)" if bad > _MOST_COMPLAINTS else ""
            raise click.ClickException(
                f"{bad} of {added + replaced + bad} jobs are bad{more}: nothing is imported."
            )
    click.echo(f"{added} added, {replaced} replaced.")


def _records(file: BinaryIO) -> Iterator[tuple[str, Any, int]]:
    """Yield each record of the file, with where it is and how many bytes were read for it.

    In its place comes the ValueError or RecursionError of a text that is no JSON.
    """

    def parse(text: bytes) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            return error

    is_first = True
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        text, value = line, parse(line)
        is_cut = isinstance(value, json.JSONDecodeError) and not value.doc[value.pos :].strip()
        if is_first and is_cut:  # a document of several lines
            text += file.read()
            value = parse(text)
        is_first = False
        if isinstance(value, list):
            for index, record in enumerate(value):
                yield f"line {number}, index {index}", record, len(text) // len(value)
        else:
            yield f"line {number}", value, len(text)


def _complaint(record: object, error: Exception) -> str:
    """Return what is wrong with a record, in one line."""
    job_id = record.get("job_id") if isinstance(record, dict) else None
    name = f"job {job_id}: " if job_id else ""
    if isinstance(error, ValidationError):
        messages = [f"{member}: {' '.join(said)}" for member, said in error.messages_dict.items()]
        return _printable(name + "; ".join(messages))
    if record is error:
        return f"not JSON: {error}"
    return _printable(f"{name}{error}")


@jobs.command("list")
@click.option("--status", help="Only jobs of this status.")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(0, 10**9), help="0 is all."
)
@click.option("--json", "as_json", is_flag=True, help="One job a line, as JSON: see import.")
def list_(status: str | None, limit: int, as_json: bool) -> None:
    """List jobs, the last updated first.

    Example: flask jobs list --status running
    """
    reader = store.JobStore(_database())
    with _one_line():
        found = reader.newest(status, limit or -1)
        if as_json:
            schema = JobSchema()
            for job in found:
                if messages := schema.validate(job):
                    complaint = (
                        f"job {job.get('job_id')} is left out: it breaks the contract: {messages}"
                    )
                    click.echo(_printable(complaint), err=True)
                else:
                    click.echo(json.dumps(job))
            return
        names = ("job_id", "status", "progress_percent", "action_type", "created_by", "updated_at")
        rows = [tuple(_printable(job.get(name, "")) for name in names) for job in found]
    _table(("ID", "STATUS", "PERCENT", "ACTION", "BY", "UPDATED"), rows)


@jobs.command("simulate")
@click.argument("job_id", metavar="ID")
@click.option("--seconds", default=30.0, show_default=True)
@click.option("--fail-at", type=click.IntRange(0, 99), metavar="PERCENT", help="Fail there.")
@click.option("--cancel-at", type=click.IntRange(0, 99), metavar="PERCENT", help="Cancel there.")
@click.option("--restart", is_flag=True, help="Run a job that has ended once more.")
def simulate(
    job_id: str, seconds: float, fail_at: int | None, cancel_at: int | None, restart: bool
) -> None:
    """Play the execution of the job ID in the database, as the appliance would.

    Its progress goes up to 100 percent; Ctrl-C cancels it.

    Example: flask jobs simulate 33333333-3333-4333-8333-333333333333 --seconds 10
    """
    if fail_at is not None and cancel_at is not None:
        raise click.UsageError("--fail-at and --cancel-at exclude each other.")
    if not 0 <= seconds <= _LONGEST:  # FloatRange lets NaN pass
        raise click.UsageError(f"--seconds is from 0 to {_LONGEST}.")
    path = _database()
    with _one_line(), closing(store.JobStore(path)) as reader:
        job = reader.get(job_id) if is_uuid(job_id) else None
    if job is None:
        raise click.ClickException(f"there is no job {_printable(job_id)}: see flask jobs list.")
    if messages := JobSchema().validate(job):
        raise click.ClickException(f"the job breaks the contract: {messages}.")
    if has_ended(job) and not restart:
        raise click.ClickException(f"the job is {job['status']}: --restart runs it once more.")
    limit, outcome = 100, "completed"
    if fail_at is not None:
        limit, outcome = fail_at, "failed"
    if cancel_at is not None:
        limit, outcome = cancel_at, "cancelled"
    with _interrupts() as interrupted, _one_line():
        _run(path, job, seconds, limit, outcome, interrupted)
    click.echo("{status} at {progress_percent} percent, {affected_count} clients.".format(**job))


def _run(
    path: Path,
    job: dict[str, Any],
    seconds: float,
    limit: int,
    outcome: str,
    interrupted: threading.Event,
) -> None:
    """Write the states of a job's execution, percent by percent, until `limit` or an interrupt.

    `seconds` is what it takes up to 100 percent. A running job goes on from where it is.
    """
    seen = dict(job)
    clients = max(0, min(job["preview_count"], job["max_limit"]))
    first = max(0, min(job["progress_percent"], 99))
    if has_ended(job) or job["status"] != "running" or "executed_at" not in job:
        job.pop("completed_at", None)
        job["executed_at"] = _now()
        first = 0
    start = time.monotonic()
    bar = click.progressbar(
        length=100, label="Simulating", file=sys.stderr, hidden=not sys.stderr.isatty()
    )
    with bar:
        bar.update(percent := first)
        while True:
            due = start + seconds * (percent - first) / (100 - first)
            if stopped := interrupted.wait(max(0, due - time.monotonic())):
                outcome = "cancelled"
            else:
                job["progress_percent"] = percent
                job["affected_count"] = clients * percent // 100
            job["status"], job["updated_at"] = "running", _now()
            if ends := stopped or percent >= limit:
                job["status"], job["completed_at"] = outcome, job["updated_at"]
            with store.writing(path) as writer:
                if not writer.update(job, seen):
                    raise click.ClickException("another process has changed the job: stopped.")
            if ends:
                return
            seen = dict(job)
            percent += 1
            bar.update(1)


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Yield what Ctrl-C, or a request to terminate, sets, instead of breaking off."""
    interrupted = threading.Event()
    before = [
        (number, signal.signal(number, lambda *_: interrupted.set()))
        for number in (signal.SIGINT, signal.SIGTERM)
    ]
    try:
        yield interrupted
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _now() -> str:
    """Return the time in UTC, in RFC 3339's form."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


# flask tokens


def _tokens() -> TokenFile:
    """Return the token file that is set."""
    configured = current_app.config.get("TOKENS_FILE")
    if configured is None:
        raise click.ClickException("set FLASK_TOKENS_FILE to the path of the token file.")
    return TokenFile(str(configured))


@tokens.command("create")
@click.argument("name")
@click.option("--expires-in", type=click.IntRange(1, 36500), metavar="DAYS")
def create(name: str, expires_in: int | None) -> None:
    """Make a token for the client NAME and print it, this once.

    Its digest is added to FLASK_TOKENS_FILE, which is made where it does not exist.

    Example: FLASK_TOKENS_FILE=tokens flask tokens create laptop --expires-in 30
    """
    expires = datetime.now(UTC) + timedelta(expires_in) if expires_in else None
    try:
        with _one_line():
            click.echo(_tokens().add(name, expires))
    except ValueError as error:
        raise click.ClickException(f"{error}.") from error


@tokens.command("list")
def list_tokens() -> None:
    """List the clients that have a token, with its expiry and state.

    Example: FLASK_TOKENS_FILE=tokens flask tokens list
    """
    with _one_line():
        found, complaints = _tokens().read()
    rows = [
        (
            token.name,
            token.expires.isoformat() if token.expires else "never",
            "valid" if token.is_valid() else "expired",
        )
        for token in found
    ]
    _table(("NAME", "EXPIRES", "STATE"), rows)
    for complaint in complaints:
        click.echo(f"{complaint}; the line is ignored", err=True)


@tokens.command("revoke")
@click.argument("name")
def revoke(name: str) -> None:
    """Take the tokens of the client NAME out of FLASK_TOKENS_FILE: they are refused at once.

    Example: FLASK_TOKENS_FILE=tokens flask tokens revoke laptop
    """
    with _one_line():
        found = _tokens().revoke(name)
    if not found:
        raise click.ClickException(f"there is no token of the name {_printable(name)}.")
    click.echo(f"Revoked {name}.")
