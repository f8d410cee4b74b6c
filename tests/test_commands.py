import codecs
import hashlib
import json
import os
import re
import shlex
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from io import StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from faults import Fault
from flask import Flask
from samples import JOB, JOB_ID, OTHER_ID, Get, MakeApp, Patch, Plant, add_token, loosen, run

import demo

Invoke = Callable[..., Result]
Job = dict[str, Any]
GONE = "\N{REPLACEMENT CHARACTER}"
LISTS = (
    ("", 20, "20 of 1,001 shown: --limit 0 shows all.\n"),
    ("--limit 1000 --json", 1000, "1,000 of 1,001 shown: --limit 0 shows all.\n"),
    ("--limit 1001", 1001, ""),
    ("--limit 0", 1001, ""),
    ("--status failed", 1, ""),
    ("--status Failed", 0, ""),
    ("--status '\udcff'", 0, ""),
)
UNWRITABLE = (
    ("TABLE bulk_action_jobs (@)", "make job_id its primary key, as schema.sql does"),
    ("VIEW bulk_action_jobs AS SELECT 1 AS @", "computed: write to its plans instead"),
)
BAD_NAMES = (
    ("create tester", "tester has a token already: revoke it first."),
    *((f"create '{name}'", "1 to 64 ") for name in ("", "a b", "ë", "x" * 65)),
    ("revoke '\udcff'", f"there is no token named {GONE}."),
)


def invoker(app: Flask) -> Invoke:
    """Return what runs a command line, with a text or bytes as its standard input."""
    runner = app.test_cli_runner()
    return lambda args, given="": runner.invoke(args=shlex.split(args), input=given)


def rows(path: Path, table: str = "bulk_action_jobs") -> list[Job]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")]  # noqa: S608 (a constant)


def lines(*jobs: object) -> str:
    return "".join(json.dumps(job) + "\n" for job in jobs)


def many(count: int, **members: object) -> list[Job]:
    ids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(count)]
    return [JOB | members | {"job_id": job_id} for job_id in ids]


@pytest.fixture
def invoke(app: Flask) -> Invoke:
    return invoker(app)


def refused(result: Result) -> str:
    """Return the one line that a command has refused with."""
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(r"Error: .*\.\n", result.stderr)
    return result.stderr


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def at_terminal(app: Flask, args: str, stdout: Any) -> tuple[object, str]:
    """Run a command with that standard output; return its status, and what a terminal shows."""
    shown = Terminal()
    with app.app_context(), redirect_stdout(stdout), redirect_stderr(shown):
        with pytest.raises(SystemExit) as ended:
            app.cli.main(args.split())
        return ended.value.code, shown.getvalue()


def test_init_makes_what_is_missing_and_leaves_the_rest(make_app: MakeApp, tmp_path: Path) -> None:
    path = tmp_path / "a" / "\x1b" / "jobs.db"
    shown = str(path).replace("\x1b", GONE)
    invoke = invoker(make_app(DATABASE=path))
    assert invoke("jobs init").stdout == f"Made {shown}.\n"
    invoke("jobs import -", lines(JOB))
    run(path, "PRAGMA journal_mode = DELETE")
    message = f"{path} exists already, with every table: it is left as it is.".replace("\x1b", GONE)
    assert message in refused(invoke("jobs init"))
    assert path.read_bytes()[18:20] == b"\1\1"  # 2 is WAL
    run(path, "DROP TABLE tokens")
    assert re.fullmatch(f"Added .* missing .*{shown}\\.\n", invoke("jobs init").stdout)
    assert (rows(path), rows(path, "tokens")) == ([JOB], [])


def test_a_list_makes_the_demo_that_no_command_writes_to(make_app: MakeApp, instance: Path) -> None:
    invoke = invoker(make_app())
    for command, count in (("jobs list", 9), ("tokens list", 1)):
        (instance / "demo.db").unlink()
        assert invoke(command).stdout.count("\n") == 1 + count
    for command in ("jobs init", "jobs import -", "tokens create x", "tokens revoke demo"):
        message = refused(invoke(command, lines(JOB)))
        assert "FLASK_DATABASE is not set: set it to the path of your database" in message
        assert demo.TOKEN in message


def test_a_number_out_of_its_range_is_refused(invoke: Invoke) -> None:
    create = "tokens create x --expires-in"
    for command in (f"jobs list --limit {2**63}", f"{create} 0", f"{create} 36501"):
        result = invoke(command)
        assert (result.exit_code, "Error: Invalid value for '--" in result.stderr) == (2, True)


def test_a_fault_of_the_database_is_one_line(invoke: Invoke, database: Path, fault: Fault) -> None:
    fault.do(database)
    is_there = database.exists()
    commands = ("jobs list", "jobs list --json", "jobs import -", "tokens list", "tokens create x")
    results = [invoke(command, lines(JOB)) for command in commands]
    reasons = [refused(result) for result in results if result.exit_code]
    assert reasons
    assert all(str(database) in reason for reason in reasons)
    assert database.exists() == is_there


@pytest.mark.parametrize(("definition", "remedy"), UNWRITABLE)
def test_a_table_that_no_import_can_write_to_is_named_with_what_helps(
    invoke: Invoke, database: Path, definition: str, remedy: str
) -> None:
    run(database, "DROP TABLE bulk_action_jobs")
    names = ", 1 AS ".join(JOB) if "VIEW" in definition else ", ".join(JOB)
    run(database, f"CREATE {definition.replace('@', names)}")
    assert remedy in refused(invoke("jobs import -", lines(JOB)))


def test_import_adds_and_replaces_jobs_and_keeps_columns_that_it_does_not_know(
    invoke: Invoke, plant: Plant, database: Path
) -> None:
    run(database, "ALTER TABLE bulk_action_jobs ADD COLUMN mine TEXT DEFAULT 'new'")
    plant(status="lost", mine="kept")
    text = lines(JOB | {"job_id": JOB_ID.upper()}, JOB | {"job_id": OTHER_ID})
    assert invoke("jobs import -", text).stdout == "1 added, 1 replaced.\n"
    assert rows(database) == [JOB | {"job_id": OTHER_ID, "mine": "new"}, JOB | {"mine": "kept"}]


def test_list_shows_the_last_updated_first_in_columns(invoke: Invoke, plant: Plant) -> None:
    first, second, third, fourth = (job["job_id"] for job in many(4))
    plant(job_id=first, updated_at="2026-06-30T23:59:60Z")
    plant(job_id=second, updated_at="2026-07-01T01:59:58.000+02:00")
    plant(job_id=third, updated_at="2026-06-30t21:00:00.002-03:00", status="x" * 20)
    plant(job_id=fourth, updated_at="2026-06-30t21:00:00.0021-03:00")
    head, *listed = invoke("jobs list").stdout.splitlines()
    assert head.split() == ["ID", "STATUS", "PERCENT", "ACTION", "BY", "UPDATED"]
    assert [row.split()[0] for row in listed] == [fourth, third, first, second]
    assert {row.index("  100  ") for row in listed} == {head.index("  PERCENT")}


@pytest.mark.parametrize(("options", "count", "rest"), LISTS)
def test_list_can_be_narrowed_and_says_how_many_it_does_not_show(
    invoke: Invoke, database: Path, options: str, count: int, rest: str
) -> None:
    invoke("jobs import -", lines(*many(1001)))
    run(database, "UPDATE bulk_action_jobs SET status = 'failed' WHERE job_id GLOB '00000007-*'")
    result = invoke(f"jobs list {options}")
    listed = [row for row in result.stdout.splitlines() if not row.startswith("ID ")]
    assert (result.exit_code, len(listed), result.stderr) == (0, count, rest)
    assert listed == sorted(listed)  # by id: they were all updated at once


def test_lists_json_goes_back_into_import(invoke: Invoke, plant: Plant, database: Path) -> None:
    plant(executed_at=None, action_reason="ü\n\0\N{COLLISION SYMBOL}")
    plant(job_id=OTHER_ID)
    before = rows(database)
    listed = invoke("jobs list --json").stdout
    assert invoke("jobs import -", listed).stdout == "0 added, 2 replaced.\n"
    assert rows(database) == before


def test_one_broken_row_costs_only_itself(invoke: Invoke, plant: Plant, database: Path) -> None:
    loosen(database)
    plant()
    plant(job_id=OTHER_ID, status=None, max_limit=b"\xff")
    spoil = "UPDATE bulk_action_jobs SET created_by = CAST(x'E9' AS TEXT) WHERE status ISNULL"
    run(database, spoil)
    table = invoke("jobs list")
    assert (table.exit_code, table.stderr, table.stdout.count("\n")) == (0, "", 3)
    assert f"{OTHER_ID}             100      block   {GONE}  " in table.stdout
    listed = [json.loads(line) for line in invoke("jobs list --json").stdout.splitlines()]
    assert [job == JOB for job in listed] == [False, True]


def test_progress_is_shown_on_a_terminal_alone(app: Flask, invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text(lines(*many(20)))
    assert "Importing" not in invoke(f"jobs import {path}").stderr
    status, shown = at_terminal(app, f"jobs import {path}", StringIO())
    assert status == 0
    assert re.search("Importing .* 20", shown)


def test_a_list_has_nothing_that_a_terminal_obeys_or_cannot_show(app: Flask, plant: Plant) -> None:
    plant(created_by="\x1b[2J Šárka ü")
    result = app.test_cli_runner(charset="latin-1").invoke(args=["jobs", "list"])
    assert "  ?[2J ?árka ü  2026" in result.stdout


def test_a_reader_that_leaves_early_as_head_does_is_no_error(app: Flask, plant: Plant) -> None:
    plant()
    theirs, ours = os.pipe()
    os.close(theirs)
    with TextIOWrapper(os.fdopen(ours, "wb", 0), write_through=True) as file:
        assert at_terminal(app, "jobs list --json", file) == (1, "")


def test_a_token_is_stored_as_a_digest(invoke: Invoke, database: Path, monkeypatch: Patch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        token = invoke("tokens create laptop --expires-in 3").output.removesuffix("\n")
    time.tzset()
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    (row, _) = rows(database, "tokens")
    assert (row["name"], row["sha256"]) == ("laptop", hashlib.sha256(token.encode()).hexdigest())
    expires = datetime.strptime(row["expires_at"], "%Y-%m-%dT%H:%M:%S%z")
    assert abs(expires - timedelta(3) - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_revoked_token_is_refused_with_the_next_request(invoke: Invoke, get: Get) -> None:
    assert get().status_code == 404
    assert invoke("tokens revoke tester").output == "Revoked tester.\n"
    assert get().status_code == 401


@pytest.mark.parametrize(("command", "message"), BAD_NAMES)
def test_a_name_that_cannot_be_used_changes_nothing(
    invoke: Invoke, database: Path, command: str, message: str
) -> None:
    before = rows(database, "tokens")
    assert message in refused(invoke(f"tokens {command}"))
    assert rows(database, "tokens") == before


@pytest.mark.parametrize("stdout", ["/dev/full", None])
def test_a_token_not_printed_is_not_stored(app: Flask, database: Path, stdout: str | None) -> None:
    before = rows(database, "tokens")
    with TextIOWrapper(Path(stdout or os.devnull).open("wb", 0), write_through=True) as file:
        status, errors = at_terminal(app, "tokens create laptop", stdout and file)
    assert (status, rows(database, "tokens")) == (1, before)
    assert re.fullmatch("Error: .*\n", errors)


def test_tokens_list_shows_names_expiries_and_states(invoke: Invoke, database: Path) -> None:
    old, new = "2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
    add_token(database, "a", "old", old)
    add_token(database, "b", "\x1b[2J", new)
    invoke("tokens create forever")
    assert [row.split() for row in invoke("tokens list").stdout.splitlines()] == [
        ["NAME", "EXPIRES", "STATE"],
        [f"{GONE}[2J", new, "valid"],
        ["forever", "never", "valid"],
        ["old", old, "expired"],
        ["tester", "never", "valid"],
    ]


TWO = (many(1)[0], JOB)
FIRST, SECOND = (json.dumps(job, ensure_ascii=False) for job in TWO)
CAPTURED = {
    "nothing between": f"[{FIRST}][]{SECOND}".encode(),
    "indented, with blank lines": "\n\n".join(json.dumps(job, indent=2) for job in TWO).encode(),
    "joined files with marks": b"".join(codecs.BOM_UTF8 + job.encode() for job in (FIRST, SECOND)),
    "UTF-16": f"{FIRST}\r\n{SECOND}\r\n".encode("utf-16"),
    "UTF-16 without a mark": f"{FIRST}\n{SECOND}".encode("utf-16-le"),
    "UTF-32": f"{FIRST}{SECOND}".encode("utf-32"),
    "application/json-seq": f"\x1e{FIRST}\n\x1e{SECOND}\n".encode(),
}


@pytest.mark.parametrize("form", CAPTURED)
def test_jobs_are_read_however_they_are_captured(invoke: Invoke, database: Path, form: str) -> None:
    assert invoke("jobs import -", CAPTURED[form]).stdout == "2 added, 0 replaced.\n"
    assert rows(database) == [*TWO]


REFUSED = (
    (lines(JOB) + "\n" + lines(JOB | {"status": 5}), "job 2: status: Not a string that en"),
    (json.dumps([JOB]) + lines(JOB | {"status": 5}), "job 2: status: Not a string that en"),
    (lines(JOB | {"x" * 1000: 1}), "job 1: xxxxxxxxxx"),
    (lines(JOB | {"created_by": None}), "job 1: created_by: Field may not be null."),
    (lines(JOB | {"max_limit": -(2**63) - 1}), "max_limit: Not a signed 64-bit integer."),
    (lines(JOB | {"max_limit": 2**63}), "max_limit: Not a signed 64-bit integer."),
    (lines(JOB | {"\x1b[31m": 1}), f"{GONE}[31m: Not documented: --ignore-unknown leaves it out."),
    (lines(JOB, JOB | {"job_id": JOB_ID.upper()}), f"job 2: job_id: {JOB_ID} is there tw"),
    (json.dumps([JOB, 5]), "job 2: expected a job: an object with job_id, criteria_json, "),
    (json.dumps({"title": "Unauthorized", "status": 401}), "not {'status': 401, 'title': 'Unautho"),
    (b" []\n", "there is no job in it"),
    (f"{FIRST}\n\n{SECOND[:99]}".encode(), "Unterminated string starting at: line 3 "),
    (FIRST.replace("500", "9" * 5000).encode(), "Exceeds the limit (4300 digits)"),
    (b"[" * 100_000, "maximum recursion depth exceeded"),
    (FIRST.encode("latin-1"), "in UTF-8, -16 or -32: 'utf-8' codec can't decode byte"),
)


@pytest.mark.parametrize(("data", "complaint"), REFUSED)
def test_a_file_with_a_fault_is_refused_whole_in_a_line_that_names_the_place(
    invoke: Invoke, database: Path, data: bytes | str, complaint: str
) -> None:
    result = invoke("jobs import -", data)
    *named, error = result.stderr.splitlines()
    assert complaint in (named or [error])[0]
    assert all(len(line) <= 500 for line in named)
    assert re.fullmatch(r"Error: .*: nothing is imported\.", error)
    assert len(named) == error.startswith("Error: 1 of ")
    assert (result.exit_code, result.stdout, rows(database)) == (1, "", [])


def test_unknown_members_can_be_left_out(invoke: Invoke, database: Path) -> None:
    output = invoke("jobs import - --ignore-unknown", lines(DONE | {"a": 1})).output
    assert output == "1 added, 0 replaced.\n"
    assert rows(database) == [DONE]


DONE = JOB | {"executed_at": "2026-05-16T11:00:02.184467441+02:00"}
WAITING = {"status": "scheduled", "progress_percent": 0, "executed_at": None, "completed_at": None}
RUNNING = {"status": "running", "progress_percent": 40, "completed_at": None}
UNUSUAL: tuple[tuple[Job, str], ...] = (
    ({"status": "\x1b[31m", "action_type": "reboot"}, f"status {GONE}[31m, action_type reboot"),
    ({"progress_percent": 101}, "progress_percent 101"),
    ({"progress_percent": -1}, "progress_percent -1"),
    (WAITING | {"executed_at": DONE["executed_at"]}, "scheduled with executed_at"),
    (WAITING | {"completed_at": DONE["completed_at"]}, "scheduled with completed_at"),
    (RUNNING | {"executed_at": None}, "running without executed_at"),
    ({"status": "running"}, "running with completed_at"),
    ({"executed_at": None}, "completed without executed_at"),
    ({"status": "failed", "completed_at": None}, "failed without completed_at"),
    ({"executed_at": "0001-01-01T00:00:00Z"}, "a time before the year 2"),
    (WAITING | {"scheduled_at": "0001-01-01T00:00:00Z"}, "a time before the year 2"),
    ({"created_at": "9999-12-31T23:59:59.5-23:59"}, "times in the wrong order"),
    (RUNNING | {"executed_at": "2026-05-16T11:00:02+02:01"}, "times in the wrong order"),
    ({"completed_at": "2026-05-16T11:01:37+03:00"}, "times in the wrong order"),
    ({"updated_at": "2026-05-16T09:01:37.184466Z"}, "times in the wrong order"),
    (WAITING, ""),
    (WAITING | {"status": "cancelled", "scheduled_at": "2026-05-17T08:00:00Z"}, ""),
    (RUNNING | {"max_limit": -(2**63), "preview_count": 2**63 - 1}, ""),
    ({"completed_at": "2026-06-30T23:59:60Z", "updated_at": "2026-06-30T23:59:60Z"}, ""),
)


@pytest.mark.parametrize(("members", "note"), UNUSUAL)
def test_what_is_unusual_is_named(invoke: Invoke, database: Path, members: Job, note: str) -> None:
    result = invoke("jobs import -", lines(DONE | members))
    expected = f"job 1: unusual: {note}\n" if note else ""
    assert (result.exit_code, result.stderr, rows(database)) == (0, expected, [DONE | members])


def test_twenty_of_what_is_bad_or_unusual_are_named_and_all_are_counted(invoke: Invoke) -> None:
    *complaints, error = invoke("jobs import -", lines(JOB, *[{}] * 25)).stderr.splitlines()
    assert (len(complaints), error[:30]) == (20, "Error: 25 of 26 jobs are bad: ")
    *named, total = invoke("jobs import -", lines(*many(25))).stderr.splitlines()
    assert (len(named), total) == (20, "25 jobs are unusual.")
