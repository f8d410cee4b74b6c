"""The commands: `flask jobs` and `flask tokens`.

No service need run. `jobs` works on FLASK_DATABASE or the demo, `tokens` on FLASK_TOKENS_FILE.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from select import select
from typing import Any, BinaryIO

import click
from flask import current_app
from flask.cli import AppGroup
from marshmallow import EXCLUDE, RAISE

import demo
import simulation
import store
from auth import NEVER, TokenFile, TokensError
from schemas import JobSchema, has_ended, is_uuid

_MOST_COMPLAINTS = 20
_PAUSE = 3  # seconds between two runs of --repeat: over Retry-After, so that a poll sees the end
_LISTED = ("job_id", "status", "progress_percent", "action_type", "created_by", "updated_at")
_64_BITS = range(-(2**63), 2**63)
_KNOWN = {
    "status": ("scheduled", "running", "completed", "failed", "cancelled"),
    "action_type": ("block", "deny", "throttle", "monitor", "allow", "cleanup"),
    "progress_percent": range(101),
} | dict.fromkeys(("preview_count", "affected_count"), range(2**63))

jobs = AppGroup("jobs", help="Make, fill and list a database of jobs; let a job run.")
tokens = AppGroup("tokens", help="Make, list and revoke the tokens of clients.")


@contextmanager
def one_line() -> Iterator[None]:
    """Turn an error of a file or token into one line and exit status 1."""
    try:
        yield
    except BrokenPipeError:  # `| head` has seen enough: click exits silently
        raise
    except (store.StoreError, TokensError, OSError) as error:
        raise click.ClickException(f"{error}.") from error


def _path(setting: str) -> Path:
    if (value := current_app.config.get(setting)) is None:
        raise click.ClickException(f"set FLASK_{setting} to the path of the file.")
    return Path(value)


def _database() -> Path:
    """Return the path of the database that is set, or of the demo's, made if it is missing."""
    path: Path = current_app.extensions["bulk_action_jobs"].path
    if current_app.config.get("DATABASE") is None:
        demo.make(path)
    elif not path.is_file():
        raise click.ClickException(f"there is no database {path}: make it with flask jobs init.")
    return path


def _printable(value: object) -> str:
    """Return text without control characters, in the terminal's encoding."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    encoding = getattr(sys.stdout, "encoding", "utf-8")  # None if closed
    return text.encode(encoding, "replace").decode(encoding)


def _table(*rows: tuple[object, ...]) -> None:
    """Print rows, the head first, in aligned columns."""
    texts = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        click.echo("  ".join(map(str.ljust, row, widths)).rstrip())


def _bar(length: int, label: str) -> Any:
    """Return a progress bar on standard error, hidden unless that is a terminal."""
    hidden, steps = not (length and sys.stderr.isatty()), max(length // 200, 1)
    return click.progressbar(None, length, label, hidden, file=sys.stderr, update_min_steps=steps)


@jobs.command("init")
@one_line()
def init() -> None:
    """Make the database at FLASK_DATABASE, and its folder; leave an existing file as it is."""
    (path := _path("DATABASE")).parent.mkdir(parents=True, exist_ok=True)
    store.create(path)
    click.echo(f"Made {path}.")


@jobs.command("reset")
@one_line()
def reset() -> None:
    """Reset the demo's jobs, with current times. The service may be running."""
    if current_app.config.get("DATABASE") is not None:
        raise click.ClickException("FLASK_DATABASE is set: only the demo can be reset.")
    store.put(_database(), demo.jobs(datetime.now(UTC)), clear=True)
    click.echo("Reset the demo.")


@jobs.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--ignore-unknown", is_flag=True, help="Ignore unknown members.")
@one_line()
def import_(file: BinaryIO, ignore_unknown: bool) -> None:
    """Add the jobs of FILE (- is standard input) to the database; replace those with the same id.

    FILE holds a job, an array of jobs, or one of these per line. If a job breaks the contract,
    nothing is imported.
    """
    size = os.fstat(file.fileno()).st_size if getattr(file, "name", "<stdin>") != "<stdin>" else 0
    schema = JobSchema(unknown=EXCLUDE if ignore_unknown else RAISE)
    with _bar(size, "Importing") as bar:
        added, replaced = store.put(_database(), _checked(_records(file, bar), schema))
    click.echo(f"{added} added, {replaced} replaced.")


def _records(file: BinaryIO, bar: Any) -> Iterator[tuple[str, Any]]:
    """Yield where each record is, and the record, or an Exception if it is not JSON."""
    is_first = True
    for number, line in enumerate(file, 1):
        value = _parse(line) if line.strip() else []
        if is_first and isinstance(value, Exception):  # perhaps one JSON document on several lines
            value = _parse(line + file.read())
        is_first = is_first and not line.strip()
        bar.update(len(line))
        records = enumerate(value, 1) if isinstance(value, list) else [(1, value)]
        yield from ((f"line {number}, job {index}", record) for index, record in records)


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return error


def _checked(records: Iterator[tuple[str, Any]], schema: JobSchema) -> Iterator[dict[str, Any]]:
    """Yield valid jobs and warn about unusual values; fail at the end if any job is bad."""
    seen: set[str] = set()
    bad = 0
    for where, record in records:
        is_json = not isinstance(record, Exception)
        errors = schema.validate(record) if is_json else {"not JSON": [str(record)]}
        job = record if isinstance(record, dict) else {}
        name, job_id = f"{where}, {job.get('job_id')}", str(job.get("job_id")).lower()
        if job_id in seen:
            errors["job_id"] = ["Duplicate id."]
        big = (n for n in store.COLUMNS if type(job.get(n)) is int and job[n] not in _64_BITS)
        errors |= {n: ["Not a signed 64-bit integer."] for n in big}
        if errors:
            bad += 1
            if bad <= _MOST_COMPLAINTS:
                said = "; ".join(f"{n}: {texts[0]}" for n, texts in errors.items())
                click.echo(_printable(f"{name}: {said}"), err=True)
            continue
        seen.add(job_id)
        if odd := [f"{n} {job[n]}" for n, known in _KNOWN.items() if job[n] not in known]:
            click.echo(_printable(f"{name}: unusual {', '.join(odd)}"), err=True)
        yield {n: job[n] for n in store.COLUMNS if n in job}
    if bad or not seen:
        what = f"{bad} of {bad + len(seen)} jobs are bad" if bad else "there is no job in it"
        raise click.ClickException(f"{what}: nothing is imported.")


@jobs.command("list")
@click.option("--status", help="Only jobs of this status.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(0), help="0 is all.")
@click.option("--json", "as_json", is_flag=True, help="One job per line, as import reads it.")
@one_line()
def list_(status: str | None, limit: int, as_json: bool) -> None:
    """List jobs, the last updated first."""
    found = map(store.members, store.JobStore(_database()).newest(status, limit or -1))
    if not as_json:
        rows = [tuple(job.get(name, "") for name in _LISTED) for job in found]
        _table(("ID", "STATUS", "PERCENT", "ACTION", "BY", "UPDATED"), *rows)
        return
    for job in found:
        if bad := JobSchema().validate(job):
            complaint = f"job {job.get('job_id')} is left out: it breaks the contract: {bad}"
            click.echo(_printable(complaint), err=True)
        else:
            click.echo(json.dumps(job))


@jobs.command("simulate")
@click.argument("job_id", metavar="ID")
@click.option("--seconds", default=30.0, show_default=True, type=click.FloatRange(0, 1e6))
@click.option("--fail-at", "failed", type=click.IntRange(0, 99), metavar="PERCENT")
@click.option("--cancel-at", "cancelled", type=click.IntRange(0, 99), metavar="PERCENT")
@click.option("--restart", is_flag=True, help="Start again a job that has ended.")
@click.option("--repeat", is_flag=True, help="Run it again and again until it is stopped.")
@one_line()
def simulate(job_id: str, seconds: float, restart: bool, repeat: bool, **ends: int | None) -> None:
    """Write to the database what the appliance would while it executes the job ID.

    It takes --seconds from where the job is to 100 percent. Ctrl-C cancels it.
    """
    with closing(store.JobStore(path := _database())) as reader:
        row = reader.get(job_id) if is_uuid(job_id) else None
    if row is None:
        raise click.ClickException(f"there is no job {_printable(job_id)}: see flask jobs list.")
    job = store.members(row)
    if bad := JobSchema().validate(job):
        raise click.ClickException(f"the job breaks the contract: {bad}.")
    if has_ended(job) and not (restart or repeat):
        raise click.ClickException(f"the job is {job['status']}: --restart runs it once more.")
    ends["completed"] = 100
    end = min((percent, status) for status, percent in ends.items() if percent is not None)
    stop, told = os.pipe()  # an Event could deadlock: the handler runs inside its wait
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os.write(told, b"."))
    while True:
        with _bar(100, "Simulating") as bar:
            for state in simulation.states(job, seconds, end, stop):
                if not store.update(path, state, job):
                    raise click.ClickException("another process has changed the job: stopped.")
                job = state
                bar.update(job["progress_percent"] - bar.pos)
        summary = "{status} at {progress_percent} percent, {affected_count} clients affected."
        click.echo(summary.format(**job))
        if not repeat or select([stop], [], [], _PAUSE)[0]:
            return


@tokens.command("create")
@click.argument("name")
@click.option("--expires-in", type=click.IntRange(1, 36500), metavar="DAYS")
@one_line()
def create(name: str, expires_in: int | None) -> None:
    """Make a token for the client NAME, print it once, and add its digest to FLASK_TOKENS_FILE."""
    if sys.stdout is None:
        raise click.ClickException("there is no standard output to print the token to.")
    expires = datetime.now(UTC) + timedelta(expires_in) if expires_in else None
    text = f"{expires:%Y-%m-%dT%H:%M:%SZ}" if expires else ""
    with TokenFile(_path("TOKENS_FILE")).adding(name, text) as token:
        try:
            click.echo(token)
        except OSError as error:
            raise click.ClickException(f"cannot print the token: {error.strerror}.") from error


@tokens.command("list")
@one_line()
def list_tokens() -> None:
    """List each client's token: name, expiry, state."""
    found, complaints = TokenFile(_path("TOKENS_FILE")).read()
    rows = []
    for token in found.values():
        expires = token.expires.isoformat().replace("+00:00", "Z")
        state = "valid" if token.expires > datetime.now(UTC) else "expired"
        rows.append((token.name, "never" if expires == NEVER else expires, state))
    _table(("NAME", "EXPIRES", "STATE"), *rows)
    for complaint in complaints:
        click.echo(f"{complaint}; the line is ignored", err=True)


@tokens.command("revoke")
@click.argument("name")
@one_line()
def revoke(name: str) -> None:
    """Remove the tokens of the client NAME from FLASK_TOKENS_FILE: they are refused at once."""
    if not TokenFile(_path("TOKENS_FILE")).revoke(name):
        raise click.ClickException(f"there is no token of the name {_printable(name)}.")
    click.echo(f"Revoked {name}.")
