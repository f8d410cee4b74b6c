"""The commands `flask jobs` and `flask tokens`: the one module that prints."""

import hashlib
import json
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import click
from flask import current_app
from flask.cli import AppGroup

import captured
import demo
from errors import InputError, StoreError
from schemas import MEMBERS
from store import JobStore

_MOST_LINES = 20  # of complaints about the jobs of a file
_LISTED = ("job_id", "status", "progress_percent", "action_type", "created_by", "updated_at")


def flask_command() -> str | None:
    """Return the name of the current `flask` command, or None without one, as under a server."""
    context = click.get_current_context(silent=True)
    if context is None or not isinstance(context.find_root().command, AppGroup):
        return None
    return context.command.name or ""


def demo_hint() -> str:
    """Return how to try the demo, at the URL that `flask run` is about to serve."""
    url = "URL"  # unknown under another server, and where a host mounts the service
    if flask_command() == "run":
        context = click.get_current_context()
        host = context.params["host"].replace("0.0.0.0", "127.0.0.1")  # noqa: S104 (the user's)
        if re.match(r"(.*[/\\])?app([.:]|$)", context.obj.app_import_path or "app"):
            url = f"http://{f'[{host}]' if ':' in host else host}:{context.params['port']}"
    curl = f'curl -H "Authorization: Bearer {demo.TOKEN}" {url}/api/actions/bulk/jobs/{demo.JOB_ID}'
    return f"FLASK_DATABASE is not set: serving the demo. Try: {curl}"


@contextmanager
def one_line() -> Iterator[None]:
    """Under a command, turn the fault of a setting or a file into one line and exit status 1."""
    try:
        yield
    except (StoreError, InputError, OSError) as error:
        if isinstance(error, BrokenPipeError) or flask_command() is None:
            raise  # where the reader has left, as `head` does, click is silent
        raise click.ClickException(_printable(f"{error}.")) from error


class _Commands(AppGroup):
    invoke = one_line()(AppGroup.invoke)  # of each command in the group


jobs = _Commands("jobs", help="Make, fill and list a database of jobs.")
tokens = _Commands("tokens", help="Make, list and revoke the tokens of clients.")


def _store(*, writes: bool = False) -> JobStore:
    """Return the store of FLASK_DATABASE, or, if a command only reads, of the demo."""
    store: JobStore = current_app.extensions["bulk_action_jobs"]
    if current_app.config["DATABASE"] is None:
        if writes:
            remedy = f"set it to the path of your database (the demo takes the token {demo.TOKEN})"
            raise InputError(f"FLASK_DATABASE is not set: {remedy}")
        demo.make(store.path)
    return store


def _printable(value: object) -> str:
    """Return text without control characters, in the terminal's encoding."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def _print_table(*rows: tuple[object, ...]) -> None:
    """Print rows, the head first, in aligned columns."""
    texts = [[_printable("" if cell is None else cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        click.echo("  ".join(map(str.ljust, row, widths)).rstrip())


@jobs.command("init")
def init() -> None:
    """Make the database, or add the tables that it lacks."""
    store, path = _store(writes=True), current_app.config["DATABASE"]
    done = "Added the missing tables to" if store.path.exists() else "Made"
    if not store.init():
        raise StoreError(f"{path} exists already, with every table: it is left as it is")
    click.echo(_printable(f"{done} {path}."))


@jobs.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--ignore-unknown", is_flag=True, help="Leave out members that are not documented.")
def import_(file: BinaryIO, ignore_unknown: bool) -> None:
    """Add or replace the jobs of FILE (- is standard input).

    FILE holds JSON: jobs one after another, or arrays of them. If one is bad, none is imported.
    """
    store = _store(writes=True)
    items = captured.records(file.read())
    hidden = sys.stderr is None or not sys.stderr.isatty()
    with click.progressbar(items, None, "Importing", hidden, show_pos=True, file=sys.stderr) as bar:
        found, bad, notes = captured.review(bar, ignore_unknown)
    added, replaced = store.put(found) if found and not bad else (0, 0)  # or fail without notes
    for line in (bad or notes)[:_MOST_LINES]:
        click.echo(_printable(line[:500]), err=True)
    if bad:
        raise InputError(f"{len(bad)} of {len(bad) + len(found)} jobs are bad: nothing is imported")
    if not found:
        raise InputError("there is no job in it: nothing is imported")
    if len(notes) > _MOST_LINES:
        click.echo(f"{len(notes)} jobs are unusual.", err=True)
    click.echo(f"{added} added, {replaced} replaced.")


@jobs.command("list")
@click.option("--status", help="Only jobs of this status.")
@click.option("--limit", default=20, type=click.IntRange(0, 2**63 - 1), help="0: all. Else 20.")
@click.option("--json", "as_json", is_flag=True, help="As they are stored, one job per line.")
def list_(status: str | None, limit: int, as_json: bool) -> None:
    """List jobs, the last updated first."""
    status = status and _printable(status)  # what is not UTF-8 is nothing that SQLite takes
    total, found = _store().newest(status, limit or -1)
    if as_json:
        for job in found:
            click.echo(json.dumps(dict(zip(MEMBERS, job, strict=True)), default=repr))
    else:
        rows = [tuple(job[name] for name in _LISTED) for job in found]
        _print_table(("ID", "STATUS", "PERCENT", "ACTION", "BY", "UPDATED"), *rows)
    if 0 < limit < total:
        click.echo(f"{limit:,} of {total:,} shown: --limit 0 shows all.", err=True)


@tokens.command("create")
@click.argument("name")
@click.option("--expires-in", metavar="DAYS", type=click.IntRange(1, 36500), help="1 to 36500.")
def create(name: str, expires_in: int | None) -> None:
    """Make a token for the client NAME, and print it this once: its digest is stored."""
    store = _store(writes=True)
    if not re.fullmatch("[!-~]{1,64}", name):
        raise InputError("a name has 1 to 64 visible ASCII characters, and no space")
    if sys.stdout is None:
        raise InputError("there is no standard output to print the token to")
    token = secrets.token_urlsafe(32)
    with store.adding_token(name, hashlib.sha256(token.encode()).hexdigest(), expires_in):
        click.echo(token)  # one that cannot be printed is not stored


@tokens.command("list")
def list_tokens() -> None:
    """List the clients' tokens: name, expiry, state."""
    _print_table(("NAME", "EXPIRES", "STATE"), *_store().tokens())


@tokens.command("revoke")
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke the token of the client NAME: it is refused from the next request on."""
    name = _printable(name)
    if not _store(writes=True).revoke(name):
        raise StoreError(f"there is no token named {name}")
    click.echo(f"Revoked {name}.")
