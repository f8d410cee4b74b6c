import json
import os
import re
import shlex
import signal
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from conftest import JOB, JOB_ID, TOKEN, Get, Plant, line, url
from faults import run
from flask import Flask
from flask.testing import FlaskClient

import demo
import store

Invoke = Callable[..., Result]
States = Callable[[], list[dict[str, Any]]]
UNKNOWN = "00000000-0000-4000-8000-000000000000"
BROKEN = "99999999-0000-4000-8000-000000000000"
WAITING = {"status": "scheduled", "executed_at": None, "completed_at": None}


def invoker(app: Flask) -> Invoke:
    """Return what runs a command line, with a text as its standard input."""
    runner = app.test_cli_runner()
    return lambda args, text="": runner.invoke(args=shlex.split(args), input=text)


@pytest.fixture
def invoke(app: Flask) -> Invoke:
    return invoker(app)


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


def refused(result: Result) -> str:
    """Return the one line that a command has refused with."""
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch("Error: .*\n", result.stderr)
    return result.stderr


def a_job(number: int, **members: Any) -> dict[str, Any]:
    return JOB | {"job_id": f"{number:08x}-0000-4000-8000-000000000000"} | members


def lines(*jobs: dict[str, Any]) -> str:
    return "".join(json.dumps(job) + "\n" for job in jobs)


def stored(path: Path, table: str = "bulk_action_jobs") -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY job_id")]  # noqa: S608 (a constant)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("jobs init", "jobs.db exists already: it is left as it is."),
        ("jobs reset", "FLASK_DATABASE is set: only the demo can be reset."),
        (f"jobs simulate {UNKNOWN}", f"there is no job {UNKNOWN}: see flask jobs list."),
        ("jobs simulate '\x1b'", "there is no job \N{REPLACEMENT CHARACTER}: see flask jobs list."),
        (f"jobs simulate {JOB_ID}", "the job is completed: --restart runs it once more."),
        (f"jobs simulate {BROKEN}", "the job breaks the contract: {'scheduled_at': "),
        ("tokens create tester", "tester has a token already: revoke it first."),
        *((f"tokens create '{name}'", "a name has ") for name in ["", "a b", "a#b", "ë", "\x1b"]),
        ("tokens create 2026-01-01", "a name has "),
        ("tokens revoke '\x1b'", "there is no token of the name \N{REPLACEMENT CHARACTER}."),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line_and_changes_nothing(
    invoke: Invoke, plant: Plant, database: Path, tokens_file: Path, command: str, message: str
) -> None:
    plant()
    plant(lawful=False, job_id=BROKEN, **WAITING, scheduled_at="soon")
    before = stored(database)
    assert message in refused(invoke(command))
    assert (stored(database), tokens_file.read_text()) == (before, line(TOKEN))


def test_a_command_names_the_setting_that_it_lacks(make_demo: Callable[..., Flask]) -> None:
    for command, setting in (("jobs init", "DATABASE"), ("tokens list", "TOKENS_FILE")):
        assert f"set FLASK_{setting} to the path" in refused(invoker(make_demo())(command))


def test_init_makes_the_database_and_its_folder(invoke: Invoke, app: Flask) -> None:
    app.config["DATABASE"] = path = app.config["DATABASE"].parent / "a" / "b.db"
    assert invoke("jobs init").output == f"Made {path}.\n"
    assert stored(path) == []


def test_a_missing_database_is_named_with_its_remedy(invoke: Invoke, database: Path) -> None:
    database.unlink()
    message = f"there is no database {database}: make it with flask jobs init."
    assert message in refused(invoke("jobs list"))


def test_reset_puts_the_demo_back_in_one_transaction_while_it_is_served(
    make_demo: Callable[..., Flask], demo_client: FlaskClient, tmp_path: Path
) -> None:
    invoke, path = invoker(make_demo()), tmp_path / "instance" / "demo.db"
    invoke("jobs import -", lines(JOB))
    run("UPDATE bulk_action_jobs SET status = 'mine'")(path)
    run(
        "CREATE TRIGGER full BEFORE INSERT ON bulk_action_jobs WHEN NEW.status = 'failed' "
        "BEGIN SELECT RAISE(ABORT, 'full'); END"
    )(path)
    assert f"cannot write {path}: full." in refused(invoke("jobs reset"))
    assert {job["status"] for job in stored(path)} == {"mine"}
    run("DROP TRIGGER full")(path)
    assert invoke("jobs reset").output == "Reset the demo.\n"
    headers = {"Authorization": f"Bearer {demo.TOKEN}"}
    assert b'"running"' in demo_client.get(url(demo.job_id(2)), headers=headers).data
    assert demo_client.get(url(), headers=headers).status_code == 404


# flask jobs import

EARLY = {name: value for name, value in JOB.items() if name != "completed_at"}


@pytest.mark.parametrize(
    "text",
    [
        "\n" + lines(EARLY).replace("\n", "\r\n\n") + json.dumps(a_job(1)),
        "\ufeff" + lines(EARLY | {"job_id": JOB_ID.upper()}, a_job(1)),
        json.dumps([EARLY, a_job(1)]),
        json.dumps([EARLY, a_job(1)], indent=2),
        json.dumps([EARLY]) + "\n" + lines(a_job(1)),
    ],
)
def test_import_adds_and_replaces_jobs_from_arrays_and_lines(
    invoke: Invoke, plant: Plant, database: Path, text: str
) -> None:
    plant(status="lost")
    plant(job_id=UNKNOWN)
    assert invoke("jobs import -", text).output == "1 added, 1 replaced.\n"
    assert stored(database) == [a_job(0), a_job(1), JOB | {"completed_at": None}]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (lines(a_job(1), {}), "line 2, job 1, None: job_id: Missing data for required field.; "),
        (lines(a_job(1)) + "\n" + lines(JOB | {"status": 5}), f"line 3, job 1, {JOB_ID}: status: "),
        (lines(a_job(1)) + "oops\n", "line 2, job 1, None: not JSON: "),
        ("oops\n" + lines(a_job(1)), "line 1, job 1, None: not JSON: "),
        (json.dumps([a_job(1), 5]), "line 1, job 2, None: _schema: Invalid input type."),
        (lines(JOB | {"max_limit": 2**63}), f"{JOB_ID}: max_limit: Not a signed 64-bit integer."),
        (lines(JOB, JOB | {"job_id": JOB_ID.upper()}), "job_id: Duplicate id."),
        (lines(JOB | {"job_id": "\x1b[31m"}), "job 1, \N{REPLACEMENT CHARACTER}[31m: job_id: "),
        ("[" * 100_000, "line 1, job 1, None: not JSON: "),
        ("[]", "there is no job in it"),
        (lines(a_job(1)) + "oops\n" * 25, "25 of 26 jobs are bad"),
    ],
)
def test_up_to_twenty_bad_records_are_named_and_nothing_is_imported(
    invoke: Invoke, database: Path, text: str, complaint: str
) -> None:
    result = invoke("jobs import -", text)
    assert (result.exit_code, result.stdout) == (1, "")
    assert complaint in result.stderr
    assert result.stderr.endswith(": nothing is imported.\n")
    assert result.stderr.count("\n") == 21 or "25" not in complaint
    assert stored(database) == []


def test_import_says_what_is_unusual_and_can_leave_out_what_is_unknown(invoke: Invoke) -> None:
    usual = a_job(1, status="cancelled", preview_count=0, affected_count=0, action_type="cleanup")
    unusual = {"status": "paused", "action_type": "reboot", "progress_percent": 101}
    unusual |= {"preview_count": -1, "affected_count": -2}
    result = invoke("jobs import - --ignore-unknown", lines(usual | {"a": 1}, JOB | unusual))
    said = ", ".join(f"{name} {value}" for name, value in unusual.items())
    assert result.stderr == f"line 2, job 1, {JOB_ID}: unusual {said}\n"
    assert result.stdout == "2 added, 0 replaced.\n"


# flask jobs list


def test_list_shows_the_last_updated_first(invoke: Invoke, plant: Plant) -> None:
    plant(job_id=a_job(1)["job_id"], updated_at="2026-06-30T23:59:60Z")
    plant(job_id=a_job(2)["job_id"], updated_at="2026-07-01T01:59:58.000+02:00")
    plant(job_id=a_job(3)["job_id"], updated_at="2026-06-30t21:00:00.002-03:00", status="x" * 20)
    head, *rows = invoke("jobs list").stdout.splitlines()
    assert head.split() == ["ID", "STATUS", "PERCENT", "ACTION", "BY", "UPDATED"]
    assert [row[:8] for row in rows] == ["00000003", "00000001", "00000002"]
    shown = ["x" * 20, "100", "block", "noc-oncall", "2026-06-30t21:00:00.002-03:00"]
    assert rows[0].split()[1:] == shown
    assert {row.index("  100  ") for row in rows} == {head.index("  PERCENT")}


@pytest.mark.parametrize(
    ("options", "count"), [("", 20), ("--limit 3", 3), ("--limit 0", 25), ("--status failed", 5)]
)
def test_list_can_be_narrowed(invoke: Invoke, database: Path, options: str, count: int) -> None:
    states = ["running", "running", "running", "running", "failed"] * 5
    store.put(database, (a_job(25 - n, status=status) for n, status in enumerate(states)))
    _, *rows = invoke(f"jobs list {options}").stdout.splitlines()
    assert len(rows) == count
    assert rows == sorted(rows)  # by id: they were all updated at once


def test_lists_json_goes_back_into_import(invoke: Invoke, plant: Plant, database: Path) -> None:
    plant()
    plant(job_id=UNKNOWN, **WAITING, action_reason="ü\n\0\N{COLLISION SYMBOL}")
    plant(lawful=False, job_id=BROKEN, updated_at="now")
    before = stored(database)
    listed = invoke("jobs list --json")
    complaint = f"job {BROKEN} is left out: it breaks the contract: {{'updated_at'"
    assert listed.stderr.startswith(complaint)
    assert invoke("jobs import -", listed.stdout).output == "0 added, 2 replaced.\n"
    assert stored(database) == before


# At a terminal


def test_progress_is_shown_on_a_terminal_alone(
    app: Flask, invoke: Invoke, states: States, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text(lines(*map(a_job, range(300))))
    simulate = f"jobs simulate {JOB_ID} --restart --seconds 0 --fail-at 3"
    for command, percent in ((f"jobs import {path}", "100%"), (simulate, "3%")):
        assert invoke(command).stderr == ""
        status, shown = at_terminal(app, command, StringIO())
        assert status == 0
        assert percent in shown


def test_a_list_has_nothing_that_a_terminal_cannot_show_or_obeys(app: Flask, plant: Plant) -> None:
    plant(created_by="\x1b[2J Šárka ü")
    stdout = TextIOWrapper(BytesIO(), "latin-1")
    assert at_terminal(app, "jobs list", stdout) == (0, "")
    stdout.seek(0)
    assert "  ?[2J ?árka ü  2026" in stdout.read()


def test_a_reader_that_leaves_early_is_no_error(app: Flask, plant: Plant) -> None:
    """As `| head` does."""
    plant()
    theirs, ours = os.pipe()
    os.close(theirs)
    with TextIOWrapper(os.fdopen(ours, "wb", 0), write_through=True) as file:
        assert at_terminal(app, "jobs list --json", file) == (1, "")


# flask jobs simulate


@pytest.fixture
def states(plant: Plant, database: Path) -> Iterator[States]:
    """Plant a job that waits; return every state that it has had from then on."""
    plant(**WAITING, progress_percent=0, affected_count=0, max_limit=70)
    run("CREATE TABLE seen AS SELECT * FROM bulk_action_jobs")(database)
    run(
        "CREATE TRIGGER see AFTER UPDATE ON bulk_action_jobs "
        "BEGIN INSERT INTO seen SELECT * FROM bulk_action_jobs; END"
    )(database)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield lambda: stored(database, "seen")
    for number, handler in handlers.items():  # which a simulation in this process replaces
        signal.signal(number, handler)


RUNNING = "status = 'running', progress_percent = 97, executed_at = created_at"
KEPT = JOB.keys() - {*WAITING, "progress_percent", "affected_count", "updated_at"}


@pytest.mark.parametrize(
    ("changes", "options", "outcome", "percents", "clients"),
    [
        ("max_limit = 500", "--fail-at 9", "failed", range(10), 137),
        ("max_limit = -1", "--fail-at 1", "failed", range(2), 0),
        ("max_limit = 70", "--cancel-at 0", "cancelled", range(1), 70),
        ("max_limit = 70", "--fail-at 4 --cancel-at 2", "cancelled", range(3), 70),
        (RUNNING, "", "completed", range(97, 101), 70),
        (RUNNING, "--fail-at 10", "failed", range(97, 98), 70),
        (f"{RUNNING}, progress_percent = 120", "", "completed", range(99, 101), 70),
        (f"{RUNNING}, executed_at = NULL", "--fail-at 1", "failed", range(2), 70),
        (f"{RUNNING}, status = 'failed'", "--restart --fail-at 1", "failed", range(2), 70),
        (f"{RUNNING}, completed_at = created_at", "--restart --fail-at 1", "failed", range(2), 70),
    ],
)
def test_simulate_plays_a_job_from_where_it_is_to_where_it_is_told(
    invoke: Invoke,
    states: States,
    database: Path,
    changes: str,
    options: str,
    outcome: str,
    percents: range,
    clients: int,
) -> None:
    run(f"UPDATE bulk_action_jobs SET {changes}")(database)  # noqa: S608 (constants)
    result = invoke(f"jobs simulate {JOB_ID.upper()} --seconds 0 {options}")
    _, before, *seen = states()
    last, counts = seen[-1], [clients * percent // 100 for percent in percents]
    said = f"{outcome} at {percents[-1]} percent, {counts[-1]} clients affected.\n"
    assert (result.exit_code, result.output) == (0, said)
    assert [state["progress_percent"] for state in seen] == [*percents]
    assert [state["affected_count"] for state in seen] == counts
    assert [state["status"] for state in seen] == ["running"] * (len(seen) - 1) + [outcome]
    assert [state["completed_at"] for state in seen[:-1]] == [None] * (len(seen) - 1)
    assert (last["executed_at"] == JOB["created_at"]) == (percents[0] > 0)
    times = [last["executed_at"], *(state["updated_at"] for state in seen), last["completed_at"]]
    assert times == sorted(times)
    assert all(re.fullmatch(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{6}Z", at) for at in times[1:])
    assert [last[name] for name in KEPT] == [before[name] for name in KEPT]


def test_simulate_yields_to_a_change(invoke: Invoke, states: States, database: Path) -> None:
    run(
        "CREATE TRIGGER other AFTER UPDATE ON bulk_action_jobs WHEN NEW.progress_percent = 3 "
        "BEGIN UPDATE bulk_action_jobs SET status = 'mine'; END"
    )(database)
    message = refused(invoke(f"jobs simulate {JOB_ID} --seconds 0"))
    assert "another process has changed the job" in message
    assert (states()[-1]["progress_percent"], stored(database)[0]["status"]) == (3, "mine")


def stop_after(changes: int, states: States, number: signal.Signals) -> None:
    """Send this process a signal when the job has changed so often."""

    def stop() -> None:
        while len(states()) <= changes:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=stop, daemon=True).start()


def test_ctrl_c_cancels_the_job_where_it_is(invoke: Invoke, states: States) -> None:
    stop_after(3, states, signal.SIGINT)
    began = time.monotonic()
    result = invoke(f"jobs simulate {JOB_ID} --seconds 10")
    before, last = states()[-2:]
    percent = last["progress_percent"]
    assert time.monotonic() - began >= percent * 0.1
    said = f"cancelled at {percent} percent, {70 * percent // 100} clients affected.\n"
    assert (result.exit_code, result.output) == (0, said)
    assert (last["status"], last["completed_at"]) == ("cancelled", last["updated_at"])
    assert before["progress_percent"] == percent


def test_repeat_goes_on_until_sigterm(invoke: Invoke, states: States, database: Path) -> None:
    run("UPDATE bulk_action_jobs SET status = 'completed'")(database)
    stop_after(5, states, signal.SIGTERM)
    result = invoke(f"jobs simulate {JOB_ID} --repeat --seconds 50 --fail-at 2")
    assert re.fullmatch("failed at 2 .*\ncancelled at .*\n", result.output)
    ended, begun = states()[4:6]
    assert (ended["progress_percent"], begun["progress_percent"]) == (2, 0)
    moments = [datetime.fromisoformat(state["updated_at"]) for state in (ended, begun)]
    assert moments[1] - moments[0] > timedelta(seconds=1)


# flask tokens


def test_create_keeps_a_digest_alone(
    invoke: Invoke, client: FlaskClient, tokens_file: Path
) -> None:
    text = b"# caf\xe9\n\noops\n" + line(TOKEN).encode() + b"# end"
    tokens_file.write_bytes(text)
    tokens_file.chmod(0o640)
    token = invoke("tokens create laptop").stdout.removesuffix("\n")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    added = line(token, "laptop").replace(" \n", "\n").encode()
    assert tokens_file.read_bytes() == text + b"\n" + added
    assert stat.S_IMODE(tokens_file.stat().st_mode) == 0o640
    assert client.get(url(), headers={"Authorization": f"Bearer {token}"}).status_code == 404


def test_create_makes_the_file_for_its_owner_alone(invoke: Invoke, tokens_file: Path) -> None:
    tokens_file.unlink()
    invoke("tokens create laptop")
    assert stat.S_IMODE(tokens_file.stat().st_mode) == 0o600


@pytest.mark.parametrize("stdout", [pytest.param("/dev/full", id="full"), None])
def test_no_token_is_stored_unprinted(app: Flask, tokens_file: Path, stdout: str | None) -> None:
    with TextIOWrapper(Path(stdout or os.devnull).open("wb", 0), write_through=True) as file:
        status, errors = at_terminal(app, "tokens create laptop", stdout and file)
    assert status == 1
    assert re.fullmatch("Error: .*\n", errors)
    assert tokens_file.read_text() == line(TOKEN)


def test_a_revoked_token_is_refused_at_once(invoke: Invoke, get: Get, tokens_file: Path) -> None:
    kept = b"# caf\xe9 \xe2\x80\xa8 \x0c end\noops tester\n" + line("other", "tester2").encode()
    mine = line(TOKEN).encode()
    tokens_file.write_bytes(b"\xef\xbb\xbf" + mine + kept + line("older").encode())
    assert get().status_code == 404
    assert invoke("tokens revoke tester").output == "Revoked tester.\n"
    assert get().status_code == 401
    assert tokens_file.read_bytes() == kept


def test_tokens_list_names_clients_expiries_and_states(invoke: Invoke, tokens_file: Path) -> None:
    old, new = "2001-01-01T00:00:00Z", "2999-01-01T00:00:00+02:00"
    tokens_file.write_text(line(TOKEN) + line("a", "old", old) + line("b", "new", new) + "oops\n")
    invoke("tokens create laptop --expires-in 3")
    result = invoke("tokens list")
    head, *rows = (row.split() for row in result.stdout.splitlines())
    assert head == ["NAME", "EXPIRES", "STATE"]
    then = datetime.now(UTC) + timedelta(3)
    assert abs(datetime.fromisoformat(rows[3].pop(1)) - then) < timedelta(minutes=1)
    assert rows[:2] == [["tester", "never", "valid"], ["old", old, "expired"]]
    assert rows[2:] == [["new", new, "valid"], ["laptop", "valid"]]
    assert re.fullmatch("line 4: .*; the line is ignored\n", result.stderr)
