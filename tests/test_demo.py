import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from conftest import TOKEN, url
from faults import run
from flask import Flask
from flask.cli import run_command
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import demo

STATES = {1: "completed", 2: "running", 3: "scheduled", 4: "failed", 5: "cancelled", 6: "cancelled"}
TIMES = ("created_at", "scheduled_at", "executed_at", "completed_at", "updated_at")
MakeDemo = Callable[..., Flask]


def ask(client: FlaskClient, digit: int, token: str = demo.TOKEN) -> TestResponse:
    return client.get(url(demo.job_id(digit)), headers={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize("digit", STATES)
def test_each_state_has_a_job_of_today(demo_client: FlaskClient, digit: int) -> None:
    now = datetime.now(UTC)
    job = json.loads(ask(demo_client, digit).data)
    assert job["status"] == STATES[digit]
    assert (job["progress_percent"] == 100) == (job["status"] == "completed")
    target = min(job["preview_count"], job["max_limit"])
    assert job["affected_count"] * 100 // target == job["progress_percent"]
    times = {name: datetime.fromisoformat(job[name]) for name in TIMES if name in job}
    assert ("executed_at" in times) == (digit not in (3, 5))
    assert ("completed_at" in times) == (digit in (1, 4, 6))
    if job["status"] == "scheduled":
        assert now < times.pop("scheduled_at") < now + timedelta(hours=1)
    if job["status"] == "running":
        assert now - times["executed_at"] < timedelta(minutes=10)
    moments = [now - timedelta(days=3), *times.values(), now]
    assert moments == sorted(moments)


def test_the_demo_takes_its_public_token_or_those_of_a_file(
    make_demo: MakeDemo, tokens_file: Path
) -> None:
    public, own = make_demo().test_client(), make_demo(TOKENS_FILE=tokens_file).test_client()
    assert [ask(public, 1, token).status_code for token in ("demo-token", TOKEN)] == [200, 401]
    assert [ask(own, 1, token).status_code for token in ("demo-token", TOKEN)] == [401, 200]


def test_with_a_database_no_demo_is_made(
    make_demo: MakeDemo, database: Path, tokens_file: Path
) -> None:
    make_demo(DATABASE=database, TOKENS_FILE=tokens_file)
    assert not database.with_name("instance").exists()


def test_the_demo_is_made_once(make_demo: MakeDemo, tmp_path: Path) -> None:
    (tmp_path / "instance").mkdir()  # as it is once demo.db was deleted
    make_demo()
    run("UPDATE bulk_action_jobs SET status = 'mine'")(tmp_path / "instance" / "demo.db")
    assert b'"mine"' in ask(make_demo().test_client(), 1).data


@pytest.mark.parametrize(
    ("there", "message"), [("instance", "File exists"), ("instance/demo.db", "no such table")]
)
def test_a_demo_that_cannot_be_made_or_read_says_what_to_do(
    make_demo: MakeDemo, tmp_path: Path, there: str, message: str
) -> None:
    path = tmp_path / there
    path.parent.mkdir(exist_ok=True)
    path.touch()
    remedy = f"To reset the demo, delete {tmp_path / 'instance'}"
    with pytest.raises(click.ClickException, match=f"{message}.*{remedy}"):
        make_demo()


@pytest.mark.parametrize("command", [None, click.Command("granian")])
def test_a_server_logs_that_it_serves_the_demo(
    make_demo: MakeDemo, caplog: pytest.LogCaptureFixture, command: click.Command | None
) -> None:
    with click.Context(command) if command else caplog.at_level("WARNING"):
        make_demo()
    assert "FLASK_DATABASE is not set: serving the demo jobs" in caplog.text


def test_flask_run_says_where_it_serves_by_a_command_that_fetches_a_job(
    make_demo: MakeDemo, tokens_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with click.Context(run_command):
        make_demo(TOKENS_FILE=tokens_file)
    logging.getLogger("werkzeug").warning("Address already in use")
    assert capsys.readouterr().out == ""
    logging.getLogger("werkzeug").warning(" * Running on http://[::1]:5123")
    command = "curl -H 'Authorization: Bearer YOUR-TOKEN' http://[::1]:5123"
    assert f"Try: {command}{url(demo.job_id(2))}\n" in capsys.readouterr().out
