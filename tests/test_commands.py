import errno
import json
import os
import pty
import random
import re
import signal
import sqlite3
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result
from conftest import JOB, JOB_ID, TOKEN, Plant, line, url
from faults import run
from flask import Flask
from flask.cli import FlaskGroup
from flask.testing import FlaskClient
from serving import FLASK, ROOT

import commands
from app import create_app
from auth import TokenFile
from store import COLUMNS, JobStore

Invoke = Callable[..., Result]
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def invoke(app: Flask) -> Invoke:
    """Run a command of the service's; `text` is its standard input."""

    def invoke(*args: str | Path, text: str | bytes | None = None) -> Result:
        return app.test_cli_runner().invoke(args=[str(arg) for arg in args], input=text)

    return invoke


def refused(result: Result) -> str:
    """Return the one line that a command has refused with."""
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def a_job(number: int, **members: Any) -> dict[str, Any]:
    return JOB | {"job_id": f"{number:08x}-0000-4000-8000-000000000000"} | members


def lines(*jobs: dict[str, Any]) -> str:
    return "".join(json.dumps(job) + "\n" for job in jobs)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stored(path: Path) -> list[dict[str, Any]]:
    """Return the jobs of a whole database."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        columns = ", ".join(COLUMNS)
        rows = connection.execute(
            f"SELECT {columns} FROM bulk_action_jobs ORDER BY job_id"  # noqa: S608 (constants)
        ).fetchall()
    return [dict(row) for row in rows]


# The commands where the service itself would refuse to start


def test_a_service_that_is_loaded_for_its_commands_alone_opens_nothing() -> None:
    with click.Context(FlaskGroup()):
        app = create_app({"DATABASE": "none.db"})
    assert {"jobs", "tokens", "openapi"} <= app.cli.commands.keys()


def flask(*args: str, **settings: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FLASK, *args],
        cwd=ROOT,
        env=os.environ | {name: str(value) for name, value in settings.items()},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_database_and_a_token_are_made_where_there_is_neither(tmp_path: Path) -> None:
    settings = {"FLASK_DATABASE": tmp_path / "a" / "b.db", "FLASK_TOKENS_FILE": tmp_path / "tokens"}
    made = flask("jobs", "init", **settings)
    assert (made.returncode, made.stdout) == (0, f"Made {settings['FLASK_DATABASE']}.\n")
    assert flask("tokens", "create", "laptop", **settings).returncode == 0
    assert flask("jobs", "list", **settings).stdout.startswith("ID ")


@pytest.mark.parametrize("command", ["jobs", "tokens", "jobs import", "tokens create", "openapi"])
def test_help_needs_no_settings(command: str, tmp_path: Path) -> None:
    result = flask(*command.split(), "--help", FLASK_DATABASE=tmp_path / "none")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "command",
    [
        *(f"jobs {name}" for name in commands.jobs.commands),
        *(f"tokens {name}" for name in commands.tokens.commands),
        "openapi",
    ],
)
def test_each_commands_help_has_an_example(invoke: Invoke, command: str) -> None:
    assert "Example: " in invoke(*command.split(), "--help").stdout


# flask jobs init


def test_init_refuses_to_touch_a_file(invoke: Invoke, database: Path) -> None:
    before = database.read_bytes()
    assert "exists already: it is left as it is." in refused(invoke("jobs", "init"))
    assert database.read_bytes() == before


def test_init_makes_no_demo(make_demo: Callable[..., Flask]) -> None:
    result = make_demo().test_cli_runner().invoke(args=["jobs", "init"])
    assert "set FLASK_DATABASE" in refused(result)


def test_init_makes_the_database_and_its_folder(invoke: Invoke, app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "jobs.db"
    app.config["DATABASE"] = path
    assert invoke("jobs", "init").stdout == f"Made {path}.\n"
    assert stored(path) == []


def test_init_says_where_a_folder_cannot_be_made(
    invoke: Invoke, app: Flask, database: Path
) -> None:
    app.config["DATABASE"] = database / "jobs.db"
    assert "File exists" in refused(invoke("jobs", "init"))


# flask jobs import


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(JOB),
        json.dumps(JOB, indent=2),
        "\n" + json.dumps(JOB, indent=2),
        json.dumps([JOB]),
        json.dumps([JOB], indent=2),
        lines(JOB),
        lines(JOB).replace("\n", "\r\n"),
        lines(JOB) + "\n\n",
        "\ufeff" + lines(JOB),
        lines(JOB | {"job_id": JOB_ID.upper()}),
    ],
)
def test_import_takes_a_job_an_array_and_lines(invoke: Invoke, database: Path, text: str) -> None:
    result = invoke("jobs", "import", "-", text=text)
    assert (result.exit_code, result.output) == (0, "1 added, 0 replaced.\n")
    assert stored(database) == [JOB]


@pytest.mark.parametrize(
    "text",
    [
        "\n" + lines(a_job(1), a_job(2)),
        f"{json.dumps([a_job(1)])}\n{json.dumps([a_job(2)])}\n",
        json.dumps([a_job(1)]) + "\n" + lines(a_job(2)),
    ],
)
def test_import_takes_every_line(invoke: Invoke, database: Path, text: str) -> None:
    assert invoke("jobs", "import", "-", text=text).output == "2 added, 0 replaced.\n"
    assert stored(database) == [a_job(1), a_job(2)]


def test_import_takes_what_the_service_answered(
    invoke: Invoke, plant: Plant, client: FlaskClient, database: Path, tmp_path: Path
) -> None:
    plant(completed_at=None)
    answer = client.get(url(), headers={"Authorization": f"Bearer {TOKEN}"})
    path = tmp_path / "captured.json"
    path.write_bytes(answer.data)
    assert invoke("jobs", "import", path).output == "0 added, 1 replaced.\n"
    assert stored(database) == [JOB | {"completed_at": None}]


def test_import_replaces_a_whole_job(invoke: Invoke, plant: Plant, database: Path) -> None:
    plant()
    running = {name: value for name, value in JOB.items() if name != "completed_at"}
    jobs = lines(a_job(1), running, a_job(2))
    assert invoke("jobs", "import", "-", text=jobs).output == "2 added, 1 replaced.\n"
    assert stored(database) == [a_job(1), a_job(2), JOB | {"completed_at": None}]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (lines(a_job(1), {}), "line 2: job_id: Missing data for required field.; criteria_json"),
        (lines(a_job(1)) + "\n" + lines(JOB | {"status": 5}), f"line 3: job {JOB_ID}: status: Not"),
        (lines(a_job(1)) + "oops\n", "line 2: not JSON: "),
        (lines(a_job(1)) + '{"job_id": "cut', "line 2: not JSON: "),
        ("oops\n" + lines(a_job(1)), "line 1: not JSON: "),
        (json.dumps([a_job(1)]) + "\noops", "line 2: not JSON: "),
        (json.dumps([a_job(1)], indent=1) + "\noops", "line 1: not JSON: "),
        ("", "there is no job in it"),
        ("[]", "there is no job in it"),
        (json.dumps([a_job(1), 5]), "line 1, index 1: _schema: Invalid input type."),
        (
            json.dumps([a_job(1), JOB | {"a": 1}], indent=1),
            f"line 1, index 1: job {JOB_ID}: a: Unknown",
        ),
        (json.dumps(JOB, indent=2)[:-2], "line 1: not JSON: "),
        (lines(JOB | {"max_limit": 2**63}), f"line 1: job {JOB_ID}: Python int too large"),
        (lines(JOB, a_job(1), JOB), f"line 3: job {JOB_ID}: the same job_id came before"),
        (lines(JOB | {"scheduled_at": None}), "scheduled_at: Field may not be null."),
        (lines(JOB | {"job_id": "\x1b[31m"}), "line 1: job \N{REPLACEMENT CHARACTER}[31m: job_id"),
        ("[" * 100_000 + "\n", "line 1: not JSON: "),
    ],
)
def test_a_bad_record_is_named_and_nothing_is_imported(
    invoke: Invoke, plant: Plant, database: Path, text: str, complaint: str
) -> None:
    plant(job_id=UNKNOWN)
    result = invoke("jobs", "import", "-", text=text)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert complaint in result.stderr
    assert result.stderr.endswith("nothing is imported.\n")
    assert [job["job_id"] for job in stored(database)] == [UNKNOWN]


def test_import_reports_twenty_bad_records_and_counts_the_rest(invoke: Invoke) -> None:
    result = invoke("jobs", "import", "-", text="oops\n" * 25 + lines(a_job(1)))
    assert result.stderr.count("not JSON") == 20
    assert "25 of 26 jobs are bad (5 more): nothing is imported." in result.stderr


def test_a_line_that_is_cut_is_one_bad_record(invoke: Invoke) -> None:
    text = lines(a_job(1)) + '{"job_id": "cut\n' + lines(a_job(2))
    assert "1 of 3 jobs are bad" in invoke("jobs", "import", "-", text=text).stderr


def test_import_can_pass_over_unknown_members(invoke: Invoke, database: Path) -> None:
    text = lines(JOB | {"priority": 1})
    assert invoke("jobs", "import", "--ignore-unknown", "-", text=text).exit_code == 0
    assert stored(database) == [JOB]


def test_import_goes_on_from_where_the_file_is(database: Path, tmp_path: Path) -> None:
    path = tmp_path / "jobs"
    path.write_text("header\n" + lines(JOB))
    with path.open("rb", buffering=0) as file:
        file.seek(7)
        command = [*FLASK, "jobs", "import", "-"]
        environ = os.environ | {"FLASK_DATABASE": str(database)}
        subprocess.run(command, cwd=ROOT, env=environ, stdin=file, check=True)
    assert stored(database) == [JOB]


def test_import_reads_a_file_that_has_no_end_to_look_for(invoke: Invoke, database: Path) -> None:
    assert "not JSON" in invoke("jobs", "import", "/proc/self/maps").stderr
    assert stored(database) == []


def test_import_needs_a_database(invoke: Invoke, database: Path) -> None:
    database.unlink()
    message = refused(invoke("jobs", "import", "-", text=lines(JOB)))
    assert message == f"Error: there is no database {database}: make it with flask jobs init.\n"
    assert not database.exists()


def test_import_says_what_is_wrong_with_the_database(invoke: Invoke, database: Path) -> None:
    database.write_bytes(b"not a database" * 1000)
    assert "file is not a database" in refused(invoke("jobs", "import", "-", text=lines(JOB)))


def test_import_works_on_the_demo_where_nothing_is_set(make_demo: Callable[..., Flask]) -> None:
    runner = make_demo().test_cli_runner()
    result = runner.invoke(args=["jobs", "import", "-"], input=lines(JOB))
    assert result.stdout == "1 added, 0 replaced.\n"


def on_terminal(*args: str | Path, **settings: str | Path) -> bytes:
    """Return what a command says on a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*FLASK, *args],
        cwd=ROOT,
        env=os.environ | {name: str(value) for name, value in settings.items()},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    with suppress(OSError), open(ours, "rb", buffering=0) as terminal:  # noqa: PTH123 (a descriptor)
        while part := terminal.read(1024):
            said += part
    assert process.wait() == 0
    return said


def test_import_shows_its_progress_on_a_terminal_alone(
    invoke: Invoke, tmp_path: Path, database: Path
) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text(lines(*map(a_job, range(300))))
    assert b"100%" in on_terminal("jobs", "import", path, FLASK_DATABASE=database)
    assert invoke("jobs", "import", path).stderr == ""


def test_an_import_that_is_killed_imports_all_or_nothing(database: Path, tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text(lines(*map(a_job, range(2000))))
    counts = set()
    for _ in range(5):
        process = subprocess.Popen(
            [*FLASK, "jobs", "import", path],
            cwd=ROOT,
            env=os.environ | {"FLASK_DATABASE": str(database)},
            stdout=subprocess.DEVNULL,
        )
        time.sleep(random.uniform(0.2, 0.6))  # noqa: S311 (a moment, not a secret)
        process.kill()
        process.wait()
        counts.add(len(stored(database)))
    assert counts <= {0, 2000}


# flask jobs list


def test_list_shows_the_last_updated_first(invoke: Invoke, plant: Plant) -> None:
    plant(job_id=a_job(1)["job_id"], updated_at="2026-05-16T08:00:00.001Z")
    plant(job_id=a_job(2)["job_id"], updated_at="2026-05-16t10:00:00.000+02:00")
    plant(job_id=a_job(3)["job_id"], updated_at="2026-05-16T05:00:00.002-03:00", status="running")
    output = invoke("jobs", "list").stdout
    head, *rows = output.splitlines()
    assert head.split() == ["ID", "STATUS", "PERCENT", "ACTION", "BY", "UPDATED"]
    assert [row[:8] for row in rows] == ["00000003", "00000001", "00000002"]
    shown = ["running", "100", "block", "noc-oncall", "2026-05-16T05:00:00.002-03:00"]
    assert rows[0].split()[1:] == shown


def test_list_can_be_narrowed(invoke: Invoke, plant: Plant) -> None:
    for number in range(25):
        plant(job_id=a_job(number)["job_id"], status="running" if number % 5 else "failed")

    def count(*args: str) -> int:
        return len(invoke("jobs", "list", *args).stdout.splitlines()) - 1

    assert count() == 20
    assert count("--limit", "3") == 3
    assert count("--limit", "0") == 25
    assert invoke("jobs", "list", "--limit", str(2**63)).exit_code == 2
    assert count("--status", "failed") == 5


def test_lists_json_goes_back_into_import_unchanged(
    invoke: Invoke, plant: Plant, database: Path
) -> None:
    plant()
    plant(
        job_id=UNKNOWN,
        executed_at=None,
        completed_at=None,
        action_reason="ü\n\0\N{COLLISION SYMBOL}",
    )
    before = stored(database)
    listed = invoke("jobs", "list", "--json").stdout
    assert listed.isascii()
    assert invoke("jobs", "import", "-", text=listed).output == "0 added, 2 replaced.\n"
    assert stored(database) == before


def test_lists_json_leaves_out_a_job_without_an_id(invoke: Invoke, database: Path) -> None:
    columns = ", ".join(JOB)
    for sql in (
        "DROP TABLE bulk_action_jobs",
        f"CREATE TABLE bulk_action_jobs ({columns})",
        "INSERT INTO bulk_action_jobs (status) VALUES ('running')",
    ):
        run(sql)(database)
    result = invoke("jobs", "list", "--json")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "job None is left out" in result.stderr


def test_lists_json_leaves_out_what_import_would_refuse(invoke: Invoke, plant: Plant) -> None:
    plant(lawful=False, updated_at="now")
    result = invoke("jobs", "list", "--json")
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"job {JOB_ID} is left out: it breaks the contract" in result.stderr


def test_list_cannot_steer_the_terminal(invoke: Invoke, plant: Plant) -> None:
    plant(created_by="\x1b[2J")
    assert "\x1b" not in invoke("jobs", "list").stdout


def test_list_says_what_is_wrong_with_the_database(invoke: Invoke, database: Path) -> None:
    database.write_bytes(b"not a database" * 1000)
    assert f"cannot read {database}: file is not a database." in refused(invoke("jobs", "list"))


# flask jobs simulate


def states_of(invoke: Invoke, database: Path, *args: str) -> tuple[Result, list[dict[str, Any]]]:
    """Run a simulation and return the states that a reader saw meanwhile, each once."""
    seen: list[dict[str, Any]] = []
    done = threading.Event()

    def watch() -> None:
        with closing(JobStore(database)) as store:
            while not done.is_set():
                state = store.get(JOB_ID) or {}
                if not seen or state != seen[-1]:
                    seen.append(state)
                time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    wait_until(lambda: bool(seen))
    try:
        result = invoke("jobs", "simulate", JOB_ID, *args)
        last = stored(database)[0]["updated_at"]
        wait_until(lambda: seen[-1].get("updated_at") == last)
    finally:
        done.set()
        watcher.join()
    return result, seen


def test_simulate_plays_the_execution_of_a_job(
    invoke: Invoke, plant: Plant, database: Path
) -> None:
    plant(
        status="scheduled",
        executed_at=None,
        completed_at=None,
        progress_percent=0,
        affected_count=0,
        max_limit=70,
    )
    result, (before, *states) = states_of(invoke, database, "--seconds", "2")
    assert (result.exit_code, result.output) == (0, "completed at 100 percent, 70 clients.\n")
    assert before["status"] == "scheduled"
    *running, last = states
    assert len(running) > 3
    assert {state["status"] for state in running} == {"running"}
    assert all("completed_at" not in state for state in running)
    assert {state["executed_at"] for state in states} == {last["executed_at"]}
    percents = [state["progress_percent"] for state in states]
    assert percents == sorted(set(percents))
    assert [state["affected_count"] for state in states] == [70 * p // 100 for p in percents]
    updates = [state["updated_at"] for state in states]
    assert updates == sorted(set(updates))
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", at) for at in updates)
    assert (last["status"], last["completed_at"]) == ("completed", last["updated_at"])
    unchanged = before.keys() - {"status", "progress_percent", "affected_count", "updated_at"}
    assert all(last[name] == before[name] for name in unchanged)


@pytest.mark.parametrize(
    ("option", "status"), [("--fail-at", "failed"), ("--cancel-at", "cancelled")]
)
def test_simulate_can_end_early(
    invoke: Invoke, plant: Plant, database: Path, option: str, status: str
) -> None:
    plant(status="scheduled", executed_at=None, completed_at=None)
    result = invoke("jobs", "simulate", JOB_ID, "--seconds", "0", option, "40")
    assert result.output == f"{status} at 40 percent, 54 clients.\n"
    (job,) = stored(database)
    assert (job["status"], job["progress_percent"], job["affected_count"]) == (status, 40, 54)
    assert job["completed_at"] == job["updated_at"] >= job["executed_at"]


def test_simulate_goes_on_with_a_running_job(invoke: Invoke, plant: Plant, database: Path) -> None:
    plant(status="running", completed_at=None, progress_percent=60)
    result, states = states_of(invoke, database, "--seconds", "0.2")
    assert result.exit_code == 0
    assert min(state["progress_percent"] for state in states) == 60
    assert {state["executed_at"] for state in states} == {JOB["executed_at"]}


def test_simulate_refuses_a_job_that_has_ended(
    invoke: Invoke, plant: Plant, database: Path
) -> None:
    plant()
    message = refused(invoke("jobs", "simulate", JOB_ID))
    assert message == "Error: the job is completed: --restart runs it once more.\n"
    assert stored(database) == [JOB]
    assert invoke("jobs", "simulate", JOB_ID, "--restart", "--seconds", "0").exit_code == 0
    (job,) = stored(database)
    assert job["executed_at"] > JOB["executed_at"]


@pytest.mark.parametrize("job_id", [UNKNOWN, "42", "\x1b"])
def test_simulate_needs_a_job(invoke: Invoke, job_id: str) -> None:
    message = refused(invoke("jobs", "simulate", job_id))
    assert "there is no job" in message
    assert "\x1b" not in message


def test_simulate_refuses_a_broken_job(invoke: Invoke, plant: Plant) -> None:
    plant(lawful=False, scheduled_at="soon", status="scheduled", completed_at=None)
    assert "breaks the contract: {'scheduled_at'" in refused(invoke("jobs", "simulate", JOB_ID))


def test_simulate_cannot_both_fail_and_be_cancelled(invoke: Invoke) -> None:
    result = invoke("jobs", "simulate", JOB_ID, "--fail-at", "1", "--cancel-at", "2")
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr


@pytest.mark.parametrize("foreign", [False, True])
def test_simulate_stops_where_another_process_changes_the_job(
    invoke: Invoke, plant: Plant, database: Path, foreign: bool
) -> None:
    plant(status="scheduled", executed_at=None, completed_at=None)
    if foreign:  # no rowid, and letters of both cases are the same
        columns = ", ".join(f"{name} COLLATE NOCASE" for name in COLUMNS)
        for sql in (
            "ALTER TABLE bulk_action_jobs RENAME TO another",
            f"CREATE TABLE bulk_action_jobs ({columns}, PRIMARY KEY (job_id)) WITHOUT ROWID",
            f"INSERT INTO bulk_action_jobs SELECT {', '.join(COLUMNS)} FROM another",  # noqa: S608
        ):
            run(sql)(database)
    change = run("UPDATE bulk_action_jobs SET status = 'RUNNING'")
    intruder = threading.Timer(0.3, change, [database])
    intruder.start()
    assert "another process has changed the job" in refused(invoke("jobs", "simulate", JOB_ID))
    intruder.join()
    (job,) = stored(database)
    assert job["status"] == "RUNNING"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_a_cancelled_job(
    invoke: Invoke, plant: Plant, database: Path, number: signal.Signals
) -> None:
    plant(status="scheduled", executed_at=None, completed_at=None)
    before = signal.getsignal(number)

    def interrupt() -> None:
        wait_until(lambda: 0 < stored(database)[0]["progress_percent"] < 100)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    result = invoke("jobs", "simulate", JOB_ID, "--seconds", "30")
    thread.join()
    assert result.exit_code == 0
    assert result.stdout.startswith("cancelled at ")
    (job,) = stored(database)
    assert (job["status"], job["completed_at"]) == ("cancelled", job["updated_at"])
    assert 0 < job["progress_percent"] < 100
    assert job["affected_count"] == 137 * job["progress_percent"] // 100
    assert signal.getsignal(number) is before


def test_simulate_ends_at_once_where_the_job_is_past_its_end(
    invoke: Invoke, plant: Plant, database: Path
) -> None:
    plant(status="running", completed_at=None, progress_percent=60)
    result = invoke("jobs", "simulate", JOB_ID, "--cancel-at", "10")
    assert result.output == "cancelled at 60 percent, 82 clients.\n"


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "1e300", "1000001"])
def test_simulate_refuses_a_time_that_never_ends(
    invoke: Invoke, plant: Plant, database: Path, seconds: str
) -> None:
    plant(status="scheduled", executed_at=None, completed_at=None)
    before = stored(database)
    result = invoke("jobs", "simulate", JOB_ID, "--seconds", seconds)
    assert result.exit_code == 2
    assert result.output.endswith("Error: --seconds is from 0 to 1000000.\n")
    assert stored(database) == before


def test_simulate_shows_its_progress_on_a_terminal_alone(
    invoke: Invoke, plant: Plant, database: Path
) -> None:
    plant()
    args = ("jobs", "simulate", JOB_ID, "--restart", "--seconds", "0")
    assert b"100%" in on_terminal(*args, FLASK_DATABASE=database)
    assert invoke(*args).stderr == ""


# flask tokens


def test_create_prints_a_token_once_and_keeps_its_digest(
    invoke: Invoke, client: FlaskClient, tokens_file: Path
) -> None:
    result = invoke("tokens", "create", "laptop")
    assert result.exit_code == 0
    token = result.stdout.strip()
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert tokens_file.read_text() == line(TOKEN) + line(token, "laptop").replace(" \n", "\n")
    assert client.get(url(), headers={"Authorization": f"Bearer {token}"}).status_code == 404


def test_create_makes_the_file_for_its_owner_alone(invoke: Invoke, tokens_file: Path) -> None:
    tokens_file.unlink()
    os.umask(0)
    assert invoke("tokens", "create", "laptop").exit_code == 0
    assert stat.S_IMODE(tokens_file.stat().st_mode) == 0o600


def test_create_keeps_mode_comments_order_and_link(
    invoke: Invoke, tokens_file: Path, app: Flask, tmp_path: Path
) -> None:
    text = "# ours\n\noops\n" + line(TOKEN) + "# end"
    tokens_file.write_text(text)
    tokens_file.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(tokens_file)
    app.config["TOKENS_FILE"] = link
    assert invoke("tokens", "create", "laptop").exit_code == 0
    assert tokens_file.read_text().startswith(text + "\n")
    assert stat.S_IMODE(tokens_file.stat().st_mode) == 0o640
    assert link.is_symlink()


def test_create_leaves_what_is_no_file_as_it_is(invoke: Invoke, tokens_file: Path) -> None:
    tokens_file.unlink()
    os.mkfifo(tokens_file)
    result = invoke("tokens", "create", "laptop")
    assert result.exit_code == 1
    assert result.output == f"Error: cannot write {tokens_file}: it is not a regular file.\n"
    assert tokens_file.is_fifo()


def test_create_can_set_an_expiry(invoke: Invoke, tokens_file: Path) -> None:
    invoke("tokens", "create", "laptop", "--expires-in", "3")
    token = TokenFile(tokens_file).read()[0][1]
    assert token.expires is not None
    assert abs(token.expires.timestamp() - time.time() - 3 * 86400) < 60


@pytest.mark.parametrize("name", ["tester", "", "a b", "a#b", "tëster", "a\nb", "\x1b"])
def test_create_refuses_a_name_in_use_or_unfit(
    invoke: Invoke, tokens_file: Path, name: str
) -> None:
    refused(invoke("tokens", "create", name))
    assert tokens_file.read_text() == line(TOKEN)


def test_revoke_takes_effect_at_once(
    invoke: Invoke, client: FlaskClient, tokens_file: Path
) -> None:
    tokens_file.write_text("# ours\n" + line(TOKEN) + line("other", "other") + line("old"))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get(url(), headers=headers).status_code == 404
    assert invoke("tokens", "revoke", "tester").output == "Revoked tester.\n"
    assert client.get(url(), headers=headers).status_code == 401
    assert tokens_file.read_text() == "# ours\n" + line("other", "other")


def test_revoke_finds_its_line_and_keeps_the_others_byte_for_byte(
    invoke: Invoke, tokens_file: Path
) -> None:
    kept = b"# caf\xe9 \xe2\x80\xa8 \x0c end\n" + line("other", "other").encode()
    tokens_file.write_bytes(b"\xef\xbb\xbf" + line(TOKEN).encode() + kept)
    assert invoke("tokens", "revoke", "tester").exit_code == 0
    assert tokens_file.read_bytes() == kept


def test_revoke_refuses_an_unknown_name(invoke: Invoke, tokens_file: Path) -> None:
    before = tokens_file.stat()
    assert "there is no token of the name nobody." in refused(invoke("tokens", "revoke", "nobody"))
    assert tokens_file.stat() == before


def test_tokens_list_names_clients_expiries_and_states(invoke: Invoke, tokens_file: Path) -> None:
    tokens_file.write_text(
        line(TOKEN)
        + line("a", "old", "2001-01-01T00:00:00Z")
        + line("b", "new", "2999-01-01T00:00:00+02:00")
        + "oops\n"
    )
    result = invoke("tokens", "list")
    assert [row.split() for row in result.stdout.splitlines()] == [
        ["NAME", "EXPIRES", "STATE"],
        ["tester", "never", "valid"],
        ["old", "2001-01-01T00:00:00+00:00", "expired"],
        ["new", "2999-01-01T00:00:00+02:00", "valid"],
    ]
    assert f"{tokens_file}, line 4: " in result.stderr
    assert line(TOKEN).split()[0] not in result.output


@pytest.mark.parametrize("command", ["create x", "list", "revoke x"])
def test_tokens_need_their_setting(make_demo: Callable[..., Flask], command: str) -> None:
    result = make_demo().test_cli_runner().invoke(args=["tokens", *command.split()])
    assert "set FLASK_TOKENS_FILE" in refused(result)


@pytest.mark.parametrize("command", ["create x", "list", "revoke x"])
def test_tokens_say_what_is_wrong_with_their_file(
    invoke: Invoke, tokens_file: Path, command: str
) -> None:
    tokens_file.unlink()
    tokens_file.mkdir()
    assert str(tokens_file) in refused(invoke("tokens", *command.split()))


def test_commands_at_once_lose_nothing(tokens_file: Path) -> None:
    processes = [
        subprocess.Popen(
            [*FLASK, "tokens", "create", f"client-{number}"],
            cwd=ROOT,
            env=os.environ | {"FLASK_TOKENS_FILE": str(tokens_file)},
            stdout=subprocess.DEVNULL,
        )
        for number in range(5)
    ]
    assert [process.wait() for process in processes] == [0] * 5
    names = [token.name for token in TokenFile(tokens_file).read()[0]]
    assert sorted(names) == ["client-" + str(number) for number in range(5)] + ["tester"]


def test_a_command_gives_up_where_another_left_its_file(invoke: Invoke, tokens_file: Path) -> None:
    other = Path(f"{tokens_file}.new")
    other.write_text("")
    message = refused(invoke("tokens", "create", "laptop"))
    assert message.startswith(f"Error: another command has {other};")
    assert other.exists()
    assert tokens_file.read_text() == line(TOKEN)


# At a shell


def test_a_reader_that_leaves_early_is_no_error(
    invoke: Invoke, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `| head` does."""

    def leave(*_: object, **__: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    plant()
    monkeypatch.setattr("json.dumps", leave)
    result = invoke("jobs", "list", "--json")
    assert (result.exit_code, result.output) == (1, "")
