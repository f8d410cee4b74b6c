import json
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
from problem import assert_problem
from werkzeug.test import TestResponse

import demo

STATES = {1: "completed", 2: "running", 3: "scheduled", 4: "failed", 5: "cancelled", 6: "cancelled"}
MakeDemo = Callable[..., Flask]


def ask(client: FlaskClient, digit: int, token: str = demo.TOKEN) -> TestResponse:
    return client.get(url(demo.job_id(digit)), headers={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize("digit", STATES)
def test_each_state_has_a_job_whose_members_agree(demo_client: FlaskClient, digit: int) -> None:
    response = ask(demo_client, digit)
    job = json.loads(response.data)
    assert job["status"] == STATES[digit]
    assert {"protocol", "lookback_interval"} <= json.loads(job["criteria_json"]).keys()
    assert ("executed_at" in job) == (digit not in (3, 5))
    assert ("completed_at" in job) == (digit in (1, 4, 6))
    assert ("Retry-After" in response.headers) == (digit in (2, 3))
    assert (job["progress_percent"] == 100) == (job["status"] == "completed")
    target = min(job["preview_count"], job["max_limit"])
    assert job["affected_count"] * 100 // target == job["progress_percent"]


@pytest.mark.parametrize("digit", STATES)
def test_the_times_of_a_job_are_of_today_and_in_order(demo_client: FlaskClient, digit: int) -> None:
    now = datetime.now(UTC)
    job = json.loads(ask(demo_client, digit).data)
    names = ("created_at", "scheduled_at", "executed_at", "completed_at", "updated_at")
    times = {name: datetime.fromisoformat(job[name]) for name in names if name in job}
    if job["status"] == "scheduled":
        assert now < times.pop("scheduled_at") < now + timedelta(hours=1)
    if job["status"] == "running":
        assert now - times["executed_at"] < timedelta(minutes=10)
    moments = [now - timedelta(days=3), *times.values(), now]
    assert moments == sorted(moments)


def test_times_have_nanoseconds_and_offsets_of_their_own() -> None:
    jobs = {job["job_id"]: job for job in demo.jobs(datetime(2026, 5, 16, 23, 59, 59, tzinfo=UTC))}
    running = jobs["22222222-2222-4222-8222-222222222222"]
    assert running["executed_at"] == "2026-05-16T23:55:00.000731904Z"
    scheduled = jobs["33333333-3333-4333-8333-333333333333"]
    assert scheduled["scheduled_at"] == "2026-05-17T02:29:59+02:00"


def test_the_broken_job_is_a_500(
    demo_client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert_problem(ask(demo_client, 9), 500)
    assert "breaks the contract: {'scheduled_at': " in caplog.text


def test_the_demo_takes_its_public_token_or_those_of_a_file(
    make_demo: MakeDemo, tokens_file: Path
) -> None:
    public, own = make_demo().test_client(), make_demo(TOKENS_FILE=tokens_file).test_client()
    assert [ask(public, 1, token).status_code for token in ("demo-token", TOKEN)] == [200, 401]
    assert [ask(own, 1, token).status_code for token in ("demo-token", TOKEN)] == [401, 200]


def test_with_a_database_there_is_no_demo(
    make_demo: MakeDemo, database: Path, tokens_file: Path, tmp_path: Path
) -> None:
    client = make_demo(DATABASE=database, TOKENS_FILE=tokens_file).test_client()
    assert ask(client, 1).status_code == 401
    assert ask(client, 1, TOKEN).status_code == 404
    assert not (tmp_path / "instance").exists()


def test_the_demo_is_made_once(make_demo: MakeDemo, tmp_path: Path) -> None:
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


@pytest.mark.parametrize(("host", "in_url"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
@pytest.mark.parametrize("token", ["demo-token", "YOUR-TOKEN"])
def test_flask_run_prints_a_command_that_fetches_a_job(
    make_demo: MakeDemo,
    tokens_file: Path,
    capsys: pytest.CaptureFixture[str],
    host: str,
    in_url: str,
    token: str,
) -> None:
    with click.Context(run_command) as context:
        context.params = {"host": host, "port": 5123}
        make_demo(**{} if token == demo.TOKEN else {"TOKENS_FILE": tokens_file})
    (shown,) = capsys.readouterr().out.splitlines()
    where = f"http://{in_url}:5123/api/actions/bulk/jobs/22222222-2222-4222-8222-222222222222"
    assert shown.endswith(f"curl -H 'Authorization: Bearer {token}' {where}")


def test_the_child_of_flask_runs_reloader_prints_nothing(
    make_demo: MakeDemo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    with click.Context(run_command):
        make_demo()
    assert capsys.readouterr().out == ""
