import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import url
from flask import Flask
from flask.cli import run_command
from flask.testing import FlaskClient
from problem import assert_problem
from werkzeug.test import TestResponse

import demo
import store
from schemas import JobSchema

IDS = {
    digit: f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "1234569"
}
STATES = {
    "1": "completed",
    "2": "running",
    "3": "scheduled",
    "4": "failed",
    "5": "cancelled",
    "6": "cancelled",
}


def ask(client: FlaskClient, job_id: str, token: str = "demo-token") -> TestResponse:  # noqa: S107 (public)
    return client.get(url(job_id), headers={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize("digit", STATES)
def test_each_state_has_a_job(demo_client: FlaskClient, digit: str) -> None:
    job = ask(demo_client, IDS[digit]).get_json()
    assert job["job_id"] == IDS[digit]
    assert job["status"] == STATES[digit]


@pytest.mark.parametrize("digit", STATES)
def test_the_members_of_each_job_agree(demo_client: FlaskClient, digit: str) -> None:
    response = ask(demo_client, IDS[digit])
    job: dict[str, Any] = response.get_json()
    assert JobSchema().validate(job) == {}
    criteria = json.loads(job["criteria_json"])
    assert {"protocol", "lookback_interval"} <= criteria.keys()
    if "executed_at" in job:
        times = [job[n].removesuffix("Z") for n in ("created_at", "scheduled_at", "executed_at")]
        assert times == sorted(times)
    times = [job.get(n) for n in ("created_at", "executed_at", "completed_at", "updated_at")]
    reached = [time.removesuffix("Z") for time in times if time]
    assert reached == sorted(reached)
    target = min(job["preview_count"], job["max_limit"])
    assert job["affected_count"] * 100 // target == job["progress_percent"]
    assert ("executed_at" in job) == (digit not in "35")
    assert ("completed_at" in job) == (digit in "146")
    assert (job["progress_percent"] == 100) == (job["status"] == "completed")
    assert ("Retry-After" in response.headers) == (digit in "23")


def test_the_broken_job_breaks_the_contract_in_the_file(
    demo_client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert_problem(ask(demo_client, IDS["9"]), 500)
    assert "breaks the contract: {'scheduled_at': " in caplog.text


def test_the_demo_takes_its_public_token_and_no_other(demo_client: FlaskClient) -> None:
    assert ask(demo_client, IDS["1"], "demo-tokem").status_code == 401


def test_with_a_token_file_of_ones_own_the_demo_takes_those_tokens(
    make_demo: Callable[..., Flask], tokens_file: Path
) -> None:
    client = make_demo(TOKENS_FILE=tokens_file).test_client()
    assert ask(client, IDS["1"], "a-token-of-the-tests").status_code == 200
    assert ask(client, IDS["1"]).status_code == 401


def test_with_a_database_there_is_no_demo(
    make_demo: Callable[..., Flask], database: Path, tokens_file: Path, tmp_path: Path
) -> None:
    client = make_demo(DATABASE=database, TOKENS_FILE=tokens_file).test_client()
    assert ask(client, IDS["1"]).status_code == 401
    assert ask(client, IDS["1"], "a-token-of-the-tests").status_code == 404
    assert not (tmp_path / "instance").exists()


def test_the_demo_is_made_once(demo_client: FlaskClient, tmp_path: Path) -> None:
    path = tmp_path / "instance" / "demo.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE bulk_action_jobs SET status = 'mine'")
    assert demo.database(str(path.parent)) == path
    assert ask(demo_client, IDS["1"]).get_json()["status"] == "mine"


def test_processes_that_start_at_once_make_one_whole_demo(tmp_path: Path) -> None:
    code = "import demo, sys; demo.database(sys.argv[1])"
    folder = tmp_path / "new" / "instance"
    racers = [
        subprocess.Popen([sys.executable, "-c", code, folder], cwd=Path(demo.__file__).parent)
        for _ in range(6)
    ]
    assert [racer.wait() for racer in racers] == [0] * 6
    assert [path.name for path in folder.iterdir()] == ["demo.db"]
    with closing(sqlite3.connect(folder / "demo.db")) as connection:
        assert connection.execute("SELECT count(*) FROM bulk_action_jobs").fetchone() == (7,)


def test_a_demo_that_another_process_made_meanwhile_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo.db").write_text("theirs")
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert demo.database(str(tmp_path)).read_text() == "theirs"


def test_a_demo_that_cannot_be_made_says_what_to_do(
    make_demo: Callable[..., Flask], tmp_path: Path
) -> None:
    (tmp_path / "instance").write_text("no folder")
    with pytest.raises(click.ClickException, match="Set FLASK_DATABASE and FLASK_TOKENS_FILE"):
        make_demo()


def test_a_demo_that_cannot_be_written_says_what_to_do(
    make_demo: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store, "create", fail)
    with pytest.raises(click.ClickException, match="disk is full"):
        make_demo()


def test_a_demo_of_an_older_make_says_what_to_do(
    make_demo: Callable[..., Flask], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "instance").mkdir()
    (tmp_path / "instance" / "demo.db").touch()
    with pytest.raises(click.ClickException, match="and start again, to have the demo made anew"):
        make_demo()
    assert caplog.text == ""


def test_other_servers_log_that_they_serve_the_demo(
    make_demo: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    make_demo()
    assert "No DATABASE is configured: serving the demo jobs" in caplog.text


def test_so_do_servers_that_are_commands(
    make_demo: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    """As Granian is."""
    with click.Context(click.Command("serve")):
        make_demo()
    assert "No DATABASE is configured: serving the demo jobs" in caplog.text


@pytest.mark.parametrize(("host", "in_url"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
@pytest.mark.parametrize(("reloaded", "lines"), [(None, 1), ("true", 0)])
def test_flask_run_prints_one_line_with_a_command_that_fetches_a_job(
    make_demo: Callable[..., Flask],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    reloaded: str | None,
    lines: int,
    host: str,
    in_url: str,
) -> None:
    """Its reloader starts the service a second time, in a child."""
    if reloaded:
        monkeypatch.setenv("WERKZEUG_RUN_MAIN", reloaded)
    context = click.Context(run_command)
    context.params = {"host": host, "port": 5123}
    with context:
        make_demo()
    out = capsys.readouterr().out
    assert out.count("\n") == lines
    command = f"curl -H 'Authorization: Bearer demo-token' http://{in_url}:5123{url(IDS['2'])}\n"
    assert out.endswith(command) or not lines
