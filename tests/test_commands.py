import fcntl
import json
import os
import pty
import re
import shlex
import signal
import sqlite3
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stdout, suppress
from datetime import UTC, datetime, timedelta
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from conftest import JOB, JOB_ID, TOKEN, Get, Plant, line, url
from faults import run
from flask import Flask
from flask.testing import FlaskClient
from serving import FLASK, ROOT

import demo
import store
from auth import TokenFile

Invoke = Callable[..., Result]
States = Callable[[], list[dict[str, Any]]]
UNKNOWN = "00000000-0000-4000-8000-000000000000"
WAITING = {"status": "scheduled", "executed_at": None, "completed_at": None}
NO_ONE = subprocess.DEVNULL


def invoker(app: Flask, folder: Path) -> Invoke:
    """Return what runs a command line; `text` is in the file that it calls FILE."""

    def invoke(args: str, text: str = "") -> Result:
        (folder / "FILE").write_text(text, "utf-8")
        words = shlex.split(args.replace("FILE", str(folder / "FILE")))
        return app.test_cli_runner().invoke(args=words)

    return invoke


@pytest.fixture
def invoke(app: Flask, tmp_path: Path) -> Invoke:
    return invoker(app, tmp_path)


@pytest.fixture
def invoke_demo(make_demo: Callable[..., Flask], tmp_path: Path) -> Invoke:
    return invoker(make_demo(), tmp_path)


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Put the handlers back that a simulation in this process takes."""
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def start(args: str, settings: dict[str, Path], **options: Any) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own."""
    environ = os.environ | {f"FLASK_{name}": str(path) for name, path in settings.items()}
    return subprocess.Popen([*FLASK, *args.split()], cwd=ROOT, env=environ, **options)


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


def test_init_makes_a_database_and_its_folder(invoke: Invoke, app: Flask, tmp_path: Path) -> None:
    app.config["DATABASE"] = path = tmp_path / "a" / "b.db"
    assert invoke("jobs init").output == f"Made {path}.\n"
    assert stored(path) == []


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("jobs init", "jobs.db exists already: it is left as it is."),
        ("jobs reset", "FLASK_DATABASE is set: only the demo can be reset."),
        (f"jobs simulate {UNKNOWN}", f"there is no job {UNKNOWN}: see flask jobs list."),
        ("jobs simulate '\x1b'", "there is no job \N{REPLACEMENT CHARACTER}: see flask jobs list."),
        (f"jobs simulate {JOB_ID}", "the job is completed: --restart runs it once more."),
        (f"jobs simulate {a_job(9)['job_id']}", "the job breaks the contract: {'scheduled_at': "),
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
    plant(lawful=False, job_id=a_job(9)["job_id"], **WAITING, scheduled_at="soon")
    before = stored(database)
    assert message in refused(invoke(command))
    assert (stored(database), tokens_file.read_text()) == (before, line(TOKEN))


@pytest.mark.parametrize(
    "command", ["jobs init", "tokens create x", "tokens list", "tokens revoke x"]
)
def test_a_command_names_the_setting_that_it_lacks(invoke_demo: Invoke, command: str) -> None:
    setting = "FLASK_DATABASE" if command == "jobs init" else "FLASK_TOKENS_FILE"
    assert f"set {setting} to the path" in refused(invoke_demo(command))


def test_a_database_that_is_missing_is_named_and_not_made(invoke: Invoke, database: Path) -> None:
    database.unlink()
    message = refused(invoke("jobs import FILE", lines(JOB)))
    assert message == f"Error: there is no database {database}: make it with flask jobs init.\n"
    assert not database.exists()


@pytest.mark.parametrize(
    "command",
    [
        *("jobs import FILE", "jobs list", f"jobs simulate {JOB_ID}"),
        *("tokens create x", "tokens list", "tokens revoke x"),
    ],
)
def test_a_file_that_is_another_is_named(
    invoke: Invoke, database: Path, tokens_file: Path, command: str
) -> None:
    database.write_bytes(b"not a database" * 1000)
    tokens_file.unlink()
    tokens_file.mkdir()
    message = refused(invoke(command, lines(JOB)))
    assert f"{database}: file is not a" in message or f"{tokens_file}: Is a dir" in message


# flask jobs reset


def test_reset_puts_the_demo_back_while_it_is_served(
    invoke_demo: Invoke, demo_client: FlaskClient, tmp_path: Path
) -> None:
    run("UPDATE bulk_action_jobs SET status = 'mine'")(tmp_path / "instance" / "demo.db")
    invoke_demo("jobs import FILE", lines(JOB))
    assert invoke_demo("jobs reset").output == "Reset the demo.\n"
    headers = {"Authorization": f"Bearer {demo.TOKEN}"}
    assert b'"running"' in demo_client.get(url(demo.job_id(2)), headers=headers).data
    assert demo_client.get(url(), headers=headers).status_code == 404


def test_a_reset_that_fails_leaves_the_jobs_as_they_are(
    invoke_demo: Invoke, tmp_path: Path
) -> None:
    path = tmp_path / "instance" / "demo.db"
    run(
        "CREATE TRIGGER full BEFORE INSERT ON bulk_action_jobs WHEN NEW.status = 'failed' "
        "BEGIN SELECT RAISE(ABORT, 'full'); END"
    )(path)
    before = stored(path)
    assert f"cannot write {path}: full." in refused(invoke_demo("jobs reset"))
    assert stored(path) == before


# flask jobs import


@pytest.mark.parametrize(
    "text",
    [
        lines(JOB, a_job(1)),
        lines(JOB, a_job(1)).replace("\n", "\r\n"),
        "\n" + lines(JOB) + "\n\n" + json.dumps(a_job(1)),
        "\ufeff" + lines(JOB, a_job(1)),
        json.dumps([JOB, a_job(1)]),
        json.dumps([JOB, a_job(1)], indent=2),
        json.dumps([JOB]) + "\n" + lines(a_job(1)),
        lines(JOB | {"job_id": JOB_ID.upper()}, a_job(1)),
    ],
)
def test_import_takes_jobs_in_arrays_and_lines(invoke: Invoke, database: Path, text: str) -> None:
    assert invoke("jobs import FILE", text).output == "2 added, 0 replaced.\n"
    assert stored(database) == [a_job(1), JOB]


@pytest.mark.parametrize("indent", [None, 2])
def test_import_replaces_a_job_by_what_the_service_answered(
    invoke: Invoke, plant: Plant, get: Get, database: Path, indent: int | None
) -> None:
    plant(completed_at=None)
    answer = json.dumps(get().json, indent=indent)
    plant(status="lost")
    assert invoke("jobs import FILE", answer).output == "0 added, 1 replaced.\n"
    assert stored(database) == [JOB | {"completed_at": None}]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (lines(a_job(1), {}), "line 2, job 1, None: job_id: Missing data for required field.; "),
        (lines(a_job(1)) + "\n" + lines(JOB | {"status": 5}), f"line 3, job 1, {JOB_ID}: status: "),
        (lines(a_job(1)) + "oops\n", "line 2, job 1, None: not JSON: "),
        ("oops\n" + lines(a_job(1)), "line 1, job 1, None: not JSON: "),
        (json.dumps([a_job(1)], indent=1) + "\noops", "line 1, job 1, None: not JSON: "),
        (json.dumps([a_job(1), 5]), "line 1, job 2, None: _schema: Invalid input type."),
        (lines(JOB | {"a": 1}), f"{JOB_ID}: a: Unknown field."),
        (lines(JOB | {"max_limit": 2**63}), f"{JOB_ID}: max_limit: It has more than 64 bits."),
        (lines(JOB, JOB | {"job_id": JOB_ID.upper()}), "job_id: Duplicate id."),
        (lines(JOB | {"executed_at": None}), "executed_at: Field may not be null."),
        (lines(JOB | {"job_id": "\x1b[31m"}), "job 1, \N{REPLACEMENT CHARACTER}[31m: job_id: "),
        ("[" * 100_000 + "\n", "line 1, job 1, None: not JSON: "),
        ("[]", "there is no job in it"),
        ("", "there is no job in it"),
        (lines(a_job(1)) + "oops\n" * 25, "25 of 26 jobs are bad"),
    ],
)
def test_up_to_twenty_bad_records_are_named_and_nothing_is_imported(
    invoke: Invoke, plant: Plant, database: Path, text: str, complaint: str
) -> None:
    plant(job_id=UNKNOWN)
    result = invoke("jobs import FILE", text)
    assert (result.exit_code, result.stdout) == (1, "")
    assert complaint in result.stderr
    assert result.stderr.endswith(": nothing is imported.\n")
    assert result.stderr.count("\n") == 21 or "25" not in complaint
    assert [job["job_id"] for job in stored(database)] == [UNKNOWN]


def test_import_can_leave_out_unknown_members(invoke: Invoke, database: Path) -> None:
    invoke("jobs import FILE --ignore-unknown", lines(JOB | {"priority": 1}))
    assert stored(database) == [JOB]


@pytest.mark.parametrize(
    ("member", "usual", "unusual"),
    [
        ("status", "cancelled", "paused"),
        ("action_type", "cleanup", "reboot"),
        ("progress_percent", 0, 101),
        ("progress_percent", 100, -1),
        ("preview_count", 0, -1),
        ("affected_count", 0, -1),
    ],
)
def test_import_says_what_is_unusual_and_imports_it(
    invoke: Invoke, database: Path, member: str, usual: object, unusual: object
) -> None:
    text = lines(JOB | {member: unusual}, a_job(1, **{member: usual}))
    result = invoke("jobs import FILE", text)
    said = f"line 1, job 1, {JOB_ID}: imported with an unusual {member} {unusual}\n"
    assert (result.stderr, result.stdout) == (said, "2 added, 0 replaced.\n")
    assert stored(database)[1][member] == unusual


def test_another_writer_can_commit_while_import_waits_for_more(database: Path) -> None:
    with start("jobs import -", {"DATABASE": database}, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(lines(*map(a_job, range(1, 1000))).encode())  # more than a pipe keeps
        process.stdin.flush()
        run("CREATE TABLE another (job_id)")(database)
    assert process.returncode == 0
    assert len(stored(database)) == 999


def test_an_import_that_is_killed_imports_all_or_nothing(database: Path, tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text(lines(*map(a_job, range(2000))))
    for after in (0.3, 0.45, 0.6):
        with start(f"jobs import {path}", {"DATABASE": database}, stdout=NO_ONE) as process:
            time.sleep(after)
            process.kill()
        assert len(stored(database)) in (0, 2000)


@pytest.mark.parametrize(
    "command", ["jobs import FILE", f"jobs simulate {JOB_ID} --restart --seconds 0"]
)
def test_progress_is_shown_on_a_terminal_alone(
    invoke: Invoke, database: Path, plant: Plant, tmp_path: Path, command: str
) -> None:
    plant()
    assert invoke(command, lines(*map(a_job, range(300)))).stderr == ""
    args = command.replace("FILE", str(tmp_path / "FILE"))
    ours, theirs = pty.openpty()
    with start(args, {"DATABASE": database}, stdout=NO_ONE, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        with suppress(OSError):  # which Linux raises once the other side is closed
            while part := os.read(ours, 1024):
                said += part
        os.close(ours)
    assert process.returncode == 0
    assert b"100%" in said


# flask jobs list


def test_list_shows_the_last_updated_first(invoke: Invoke, plant: Plant) -> None:
    plant(job_id=a_job(1)["job_id"], updated_at="2026-05-16T08:00:00.001Z")
    plant(job_id=a_job(2)["job_id"], updated_at="2026-05-16t10:00:00.000+02:00")
    plant(job_id=a_job(3)["job_id"], updated_at="2026-05-16T05:00:00.002-03:00", status="x" * 20)
    head, *rows = invoke("jobs list").stdout.splitlines()
    assert head.split() == ["ID", "STATUS", "PERCENT", "ACTION", "BY", "UPDATED"]
    assert [row[:8] for row in rows] == ["00000003", "00000001", "00000002"]
    shown = ["x" * 20, "100", "block", "noc-oncall", "2026-05-16T05:00:00.002-03:00"]
    assert rows[0].split()[1:] == shown
    assert {row.index("  100  ") for row in rows} == {head.index("  PERCENT")}


@pytest.mark.parametrize(
    ("options", "count"), [("", 20), ("--limit 3", 3), ("--limit 0", 25), ("--status failed", 5)]
)
def test_list_can_be_narrowed(invoke: Invoke, database: Path, options: str, count: int) -> None:
    jobs = (a_job(number, status="running" if number % 5 else "failed") for number in range(25))
    store.put(database, jobs)
    assert len(invoke(f"jobs list {options}").stdout.splitlines()) == 1 + count


def test_lists_json_goes_back_into_import_unchanged(
    invoke: Invoke, plant: Plant, database: Path
) -> None:
    plant()
    plant(job_id=UNKNOWN, **WAITING, action_reason="ü\n\0\N{COLLISION SYMBOL}")
    before = stored(database)
    listed = invoke("jobs list --json").stdout
    assert invoke("jobs import FILE", listed).output == "0 added, 2 replaced.\n"
    assert stored(database) == before


def test_lists_json_leaves_out_what_import_would_refuse(invoke: Invoke, plant: Plant) -> None:
    plant(lawful=False, updated_at="now")
    result = invoke("jobs list --json")
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"job {JOB_ID} is left out: it breaks the contract: {{'updated_at'" in result.stderr


def test_a_list_has_nothing_that_a_terminal_cannot_show_or_obeys(
    plant: Plant, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(created_by="\x1b[2J Šárka ü")
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    with start("jobs list", {"DATABASE": database}, stdout=subprocess.PIPE) as process:
        assert b"  ?[2J ?\xe1rka \xfc  2026" in process.communicate()[0]


def exit_code(stdout: Any, app: Flask, args: str) -> object:
    """Run a command with that standard output; return its exit status."""
    with app.app_context(), redirect_stdout(stdout), pytest.raises(SystemExit) as ended:
        app.cli.main(args.split())
    return ended.value.code


def test_a_reader_that_leaves_early_is_no_error(
    app: Flask, plant: Plant, capfd: pytest.CaptureFixture[str]
) -> None:
    """As `| head` does."""
    plant()
    theirs, ours = os.pipe()
    os.close(theirs)
    with TextIOWrapper(os.fdopen(ours, "wb", 0), write_through=True) as file:
        assert exit_code(file, app, "jobs list --json") == 1
    assert capfd.readouterr().err == ""


# flask jobs simulate


@pytest.fixture
def states(plant: Plant, database: Path) -> States:
    """Plant a job that waits; return every state that it has had from then on."""
    plant(**WAITING, progress_percent=0, affected_count=0, max_limit=70)
    run("CREATE TABLE seen AS SELECT * FROM bulk_action_jobs")(database)
    run(
        "CREATE TRIGGER see AFTER UPDATE ON bulk_action_jobs "
        "BEGIN INSERT INTO seen SELECT * FROM bulk_action_jobs; END"
    )(database)
    return lambda: stored(database, "seen")


def test_simulate_plays_the_execution_of_a_job(invoke: Invoke, states: States) -> None:
    began = time.monotonic()
    result = invoke(f"jobs simulate {JOB_ID.upper()} --seconds 1")
    assert (result.exit_code, result.output) == (0, "completed at 100 percent, 70 clients.\n")
    assert time.monotonic() - began >= 1
    before, *running, last = states()
    assert {(state["status"], state["completed_at"]) for state in running} == {("running", None)}
    assert (last["status"], last["completed_at"]) == ("completed", last["updated_at"])
    seen = [*running, last]
    assert [state["progress_percent"] for state in seen] == [*range(101)]
    assert [state["affected_count"] for state in seen] == [70 * n // 100 for n in range(101)]
    assert {state["executed_at"] for state in seen} == {last["executed_at"]}
    times = [last["executed_at"], *(state["updated_at"] for state in seen)]
    assert times == sorted(set(times))
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", at) for at in times)
    kept = JOB.keys() - WAITING - {"progress_percent", "affected_count", "updated_at"}
    assert all(last[name] == before[name] for name in kept)


RUNNING = "status = 'running', progress_percent = 60, executed_at = created_at"


@pytest.mark.parametrize(
    ("changes", "options", "outcome", "percents"),
    [
        ("max_limit = 500", "", "completed at 100 percent, 137", range(101)),
        ("max_limit = -1", "", "completed at 100 percent, 0", range(101)),
        ("max_limit = 70", "--fail-at 40", "failed at 40 percent, 28", range(41)),
        ("max_limit = 70", "--cancel-at 0", "cancelled at 0 percent, 0", [0]),
        ("max_limit = 70", "--fail-at 2 --cancel-at 4", "failed at 2 percent, 1", range(3)),
        ("max_limit = 70", "--fail-at 4 --cancel-at 2", "cancelled at 2 percent, 1", range(3)),
        (RUNNING, "", "completed at 100 percent, 70", range(60, 101)),
        (RUNNING, "--fail-at 10", "failed at 60 percent, 42", [60]),
        (f"{RUNNING}, executed_at = NULL", "", "completed at 100 percent, 70", range(101)),
        (f"{RUNNING}, progress_percent = 120", "", "completed at 100 percent, 70", [99, 100]),
        (f"{RUNNING}, status = 'failed'", "--restart", "completed at 100", range(101)),
        (f"{RUNNING}, completed_at = created_at", "--restart", "completed at 100", range(101)),
    ],
)
def test_simulate_begins_where_the_job_is_and_ends_where_it_is_told(
    invoke: Invoke,
    states: States,
    database: Path,
    changes: str,
    options: str,
    outcome: str,
    percents: range,
) -> None:
    for change in changes.split(", "):
        run(f"UPDATE bulk_action_jobs SET {change}")(database)  # noqa: S608 (constants)
    before = len(states())
    result = invoke(f"jobs simulate {JOB_ID} --seconds 0 {options}")
    assert result.output.startswith(outcome)
    *_, last = seen = states()[before:]
    assert [state["progress_percent"] for state in seen] == [*percents]
    assert {state["completed_at"] for state in seen[:-1]} <= {None}
    assert (last["status"], last["completed_at"]) == (outcome.split()[0], last["updated_at"])
    goes_on = percents[0] > 0 or changes == RUNNING
    assert (last["executed_at"] == JOB["created_at"]) == goes_on


@pytest.mark.parametrize("seconds", ["-1", "inf", "1000001"])
def test_simulate_refuses_a_time_that_never_ends(invoke: Invoke, seconds: str) -> None:
    assert invoke(f"jobs simulate {JOB_ID} --seconds {seconds}").exit_code == 2


@contextmanager
def meanwhile(condition: Callable[[], bool], action: Callable[[], object]) -> Iterator[None]:
    """Do something once a condition holds."""

    def act() -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        action()

    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join()


def test_simulate_stops_where_another_process_changes_the_job(
    invoke: Invoke, states: States, database: Path
) -> None:
    change = run("UPDATE bulk_action_jobs SET status = 'RUNNING'")
    with meanwhile(lambda: len(states()) > 3, lambda: change(database)):
        assert "another process has changed the job" in refused(invoke(f"jobs simulate {JOB_ID}"))
    assert states()[-1]["status"] == "RUNNING"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_job_where_it_is(
    invoke: Invoke, states: States, number: signal.Signals
) -> None:
    with meanwhile(lambda: len(states()) > 3, lambda: os.kill(os.getpid(), number)):
        result = invoke(f"jobs simulate {JOB_ID} --seconds 10")
    before, last = states()[-2:]
    percent = last["progress_percent"]
    said = f"cancelled at {percent} percent, {70 * percent // 100} clients.\n"
    assert (result.exit_code, result.output) == (0, said)
    assert (last["status"], last["completed_at"]) == ("cancelled", last["updated_at"])
    assert before["progress_percent"] == percent > 0


def test_simulate_repeats_after_a_pause_until_it_is_stopped(invoke: Invoke, states: States) -> None:
    def ran_twice() -> bool:
        return [state["status"] for state in states()].count("completed") == 2

    began = time.monotonic()
    with meanwhile(ran_twice, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        result = invoke(f"jobs simulate {JOB_ID} --repeat --seconds 0")
    assert time.monotonic() - began > 1
    said = "completed at 100 percent, 70 clients.\n"
    assert (result.exit_code, result.output) == (0, said * 2)
    _, *seen = states()
    assert [state["progress_percent"] for state in seen] == [*range(101)] * 2
    assert len({state["executed_at"] for state in seen}) == 2


# flask tokens


def test_create_prints_a_token_once_and_keeps_its_digest(
    invoke: Invoke, client: FlaskClient, tokens_file: Path
) -> None:
    token = invoke("tokens create laptop").stdout.removesuffix("\n")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert tokens_file.read_text() == line(TOKEN) + line(token, "laptop").replace(" \n", "\n")
    assert client.get(url(), headers={"Authorization": f"Bearer {token}"}).status_code == 404


def test_create_keeps_mode_lines_and_link(
    invoke: Invoke, tokens_file: Path, app: Flask, tmp_path: Path
) -> None:
    text = b"# caf\xe9\n\noops\n" + line(TOKEN).encode() + b"# end"
    tokens_file.write_bytes(text)
    tokens_file.chmod(0o640)
    app.config["TOKENS_FILE"] = link = tmp_path / "link"
    link.symlink_to(tokens_file)
    invoke("tokens create laptop")
    assert tokens_file.read_bytes().startswith(text + b"\n")
    assert link.is_symlink()
    assert stat.S_IMODE(tokens_file.stat().st_mode) == 0o640


def test_create_makes_the_file_for_its_owner_alone(invoke: Invoke, tokens_file: Path) -> None:
    tokens_file.unlink()
    invoke("tokens create laptop")
    assert stat.S_IMODE(tokens_file.stat().st_mode) == 0o600


def test_commands_at_once_lose_nothing_as_one_waits_for_the_other(
    invoke: Invoke, tokens_file: Path
) -> None:
    file = tokens_file.open("a")
    fcntl.flock(file, fcntl.LOCK_EX)

    def other() -> None:
        file.write(line("b", "other"))
        file.close()

    timer = threading.Timer(0.5, other)
    timer.start()
    invoke("tokens create laptop")
    timer.join()
    names = [token.name for token in TokenFile(tokens_file).read()[0].values()]
    assert names == ["tester", "other", "laptop"]


@pytest.mark.parametrize("stdout", [pytest.param("/dev/full", id="full"), None])
def test_a_token_is_stored_only_once_it_is_written_out(
    app: Flask, tokens_file: Path, capfd: pytest.CaptureFixture[str], stdout: str | None
) -> None:
    with TextIOWrapper(Path(stdout or os.devnull).open("wb", 0), write_through=True) as file:
        assert exit_code(stdout and file, app, "tokens create laptop") == 1
    assert re.fullmatch("Error: .*\n", capfd.readouterr().err)
    assert tokens_file.read_text() == line(TOKEN)


def test_revoke_takes_effect_at_once_and_keeps_the_other_lines(
    invoke: Invoke, get: Get, tokens_file: Path
) -> None:
    kept = b"# caf\xe9 \xe2\x80\xa8 \x0c end\n" + line("other", "other").encode()
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
