import gc
import json
import os
import re
import runpy
import shutil
import sqlite3
import sys
import time
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from faults import Fault
from flask import Flask, current_app
from flask.cli import FlaskGroup
from flask.testing import FlaskClient
from problem import assert_problem
from samples import BEARER, JOB, JOB_ID, OTHER_ID, Get, Log, MakeApp, Patch, Plant, run, url
from serving import ROOT
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

import demo
from app import LONGEST_KEPT, create_app

NO_UUID = "The id is not a UUID in its 8-4-4-4-12 form, so it names no job."
UNHEALTHY = "The service cannot read its jobs or its tokens."
UNKNOWN_PATHS = (
    *("/nothing", "/docs/../__init__.py", url(""), f"{url()}/", url("a/b"), url().upper()),
    url().replace("/bulk", "//bulk"),
)
ADDRESSES = (  # the application, options of flask run, and where it then serves
    ("", "--port 5001", "http://127.0.0.1:5001"),
    ("", "--host 0.0.0.0", "http://127.0.0.1:5000"),
    ("", "--host ::1", "http://[::1]:5000"),
    ("--app another_host", "", "URL"),
)


@pytest.mark.parametrize("job_id", [JOB_ID, JOB_ID.upper(), JOB_ID.title()])
@pytest.mark.parametrize("unreached", [[], ["completed_at"], ["executed_at", "completed_at"]])
def test_a_known_id_is_a_200_with_the_members_that_the_job_has_reached(
    get: Get, plant: Plant, job_id: str, unreached: list[str]
) -> None:
    plant(**dict.fromkeys(unreached))
    job = {name: value for name, value in JOB.items() if name not in unreached}
    response = get(job_id)
    assert response.status_code == 200
    assert response.text == json.dumps(job, ensure_ascii=False) + "\n"
    assert response.headers["Content-Length"] == str(len(response.data))
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.headers["Vary"] == "Authorization"


@pytest.mark.parametrize("text", ["short", "Ünïcödé 🚦" * 1000])
def test_the_answer_and_its_strong_etag_follow_the_job(get: Get, plant: Plant, text: str) -> None:
    etags = []
    for count in (1, 2, 1):
        plant(action_reason=text, affected_count=count)
        response = get()
        assert response.get_json() == JOB | {"action_reason": text, "affected_count": count}
        etags.append(response.headers["ETag"])
    assert etags[0] == etags[2] != etags[1]
    assert all(re.fullmatch('"[!-~]{16,}"', etag) for etag in etags)


@pytest.mark.parametrize("extra", [0, 1])
def test_an_answer_is_kept_unless_its_texts_are_long(get: Get, plant: Plant, extra: int) -> None:
    half = "x" * (LONGEST_KEPT // 2)
    tracemalloc.start()
    for number in range(50):
        plant(criteria_json=half, action_reason=half + "x" * extra, affected_count=number)
        assert get().get_json()["affected_count"] == number
    gc.collect()
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (memory > 50 * LONGEST_KEPT) == (extra == 0)


@pytest.mark.parametrize("status", ["scheduled", "another", "completed", "failed", "cancelled"])
def test_retry_after_is_there_until_the_job_ends(get: Get, plant: Plant, status: str) -> None:
    for completed_at in (None, JOB["completed_at"]):
        plant(status=status, completed_at=completed_at)
        has_ended = completed_at is not None or status in ("completed", "failed", "cancelled")
        for condition in ("", "*"):
            headers = get(headers={"If-None-Match": condition}).headers
            assert headers.get("Retry-After") == (None if has_ended else "2")


@pytest.mark.parametrize("tags", ["{}", "W/{}", 'W/"x",{} , "y"', "*", '{}, "x", ' * 500])
def test_a_client_that_has_the_job_gets_a_304_without_it(get: Get, plant: Plant, tags: str) -> None:
    plant()
    full = get()
    response = get(headers={"If-None-Match": tags.replace("{}", full.headers["ETag"])})
    assert (response.status_code, response.data) == (304, b"")
    of_the_body = {"Content-Type", "Content-Length"}
    assert set(full.headers.keys()) - set(response.headers.keys()) == of_the_body


@pytest.mark.parametrize("tags", ["", '"*"', 'W/"x", "y"', '"x{}"'])
def test_a_client_that_has_another_job_gets_this_one(get: Get, plant: Plant, tags: str) -> None:
    plant()
    etag = get().headers["ETag"]
    assert get(headers={"If-None-Match": tags.replace("{}", etag.strip('"'))}).get_json() == JOB


@pytest.mark.parametrize(("job_id", "condition"), [(JOB_ID, ""), (JOB_ID, "*"), ("x", "")])
def test_head_is_get_without_its_body(get: Get, plant: Plant, job_id: str, condition: str) -> None:
    plant(status="running", completed_at=None)
    headers = {"X-Request-Id": "same", "If-None-Match": condition}
    head, full = (get(job_id, method=method, headers=headers) for method in ("HEAD", "GET"))
    assert (head.status, list(head.headers)) == (full.status, list(full.headers))
    assert head.data == b""


@pytest.mark.parametrize("job_id", ["1", "%ED%A0%80", "..", f"{JOB_ID}%0A", "a" * 8192])
def test_an_id_that_names_no_job_is_a_404(get: Get, plant: Plant, job_id: str) -> None:
    plant()
    assert_problem(get(OTHER_ID), 404, "No bulk action job has this id.")
    assert_problem(get(job_id), 404, NO_UUID, {"id": NO_UUID})


@pytest.mark.parametrize("path", UNKNOWN_PATHS)
def test_a_404_of_a_path_names_the_page(client: FlaskClient, plant: Plant, path: str) -> None:
    plant()
    for mount in ("", "/shield"):
        environ = {"PATH_INFO": path, "SCRIPT_NAME": mount}
        response = client.get("/", headers=BEARER, environ_overrides=environ)
        assert_problem(response, 404, f"Nothing is at this path. See {mount}/docs/")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "BREW"])
def test_another_method_is_a_405_that_says_which_are_allowed(get: Get, method: str) -> None:
    response = get(method=method)
    assert_problem(response, 405, "The method is not allowed for the requested URL.")
    assert sorted(response.headers["Allow"].split(", ")) == ["GET", "HEAD"]


def test_health_needs_no_token_and_locks_nothing(client: FlaskClient, database: Path) -> None:
    run(database, "PRAGMA journal_mode = DELETE")
    run(database, "INSERT INTO tokens VALUES ('another', ?, NULL)", "a" * 64)
    response = client.get("/healthz")
    run(database, "DELETE FROM tokens")
    assert (response.status_code, response.text) == (200, '{"status": "ok"}\n')
    assert response.headers["Cache-Control"] == "no-store"


def test_a_fault_of_the_file_is_answered_and_logged_until_it_is_repaired(
    make_app: MakeApp, database: Path, caplog: Log, fault: Fault
) -> None:
    run(database, "PRAGMA journal_mode = DELETE")
    kept = Path(shutil.copy(database, database.with_name("kept.db")))
    before = make_app(DATABASE=database).test_client()
    assert before.get("/healthz").status_code == 200
    fault.do(database)
    after = make_app(DATABASE=database).test_client()  # a start is no reason to end, either
    headers = BEARER | {"X-Request-Id": "r-1"}
    for client in (before, after):
        assert_problem(client.get(url(), headers=headers), 500)
        assert_problem(client.get("/healthz", headers=headers), 503, UNHEALTHY)
    lines = [rf"GET {url()} failed: StoreError\(.*{fault.reason}.*\) \[request r-1\]"]
    lines.append(rf"not healthy: .*{fault.reason}.* \[request r-1\]")
    assert re.fullmatch("\n".join([f".*{fault.reason}.*", *lines * 2]), "\n".join(caplog.messages))
    assert all(str(database) in message for message in caplog.messages)
    if database.is_dir():
        database.rmdir()
    kept.replace(database)
    for client in (before, after):
        assert client.get(url(), headers=headers).status_code == 404
        assert client.get("/healthz").status_code == 200


def test_a_locked_file_is_a_500_after_a_second(get: Get, database: Path, caplog: Log) -> None:
    run(database, "PRAGMA journal_mode = DELETE")
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        start = time.monotonic()
        assert_problem(get(), 500)
        assert 0.9 < time.monotonic() - start < 2.9
    assert "locked: let the program that has locked it end its transaction" in caplog.text
    assert get().status_code == 404


def test_broken_text_costs_only_itself(get: Get, plant: Plant, database: Path, caplog: Log) -> None:
    plant()
    run(database, "UPDATE bulk_action_jobs SET action_reason = CAST(x'dc626572' AS TEXT)")
    plant(job_id=OTHER_ID)
    assert_problem(get(), 500)
    (message,) = caplog.messages
    assert re.search(f"{JOB_ID}.*'action_reason'.*: write this text again, in UTF-8", message)
    assert get(OTHER_ID).status_code == 200


@pytest.mark.usefixtures("app")
def test_a_fork_after_the_start_shares_no_connection(database: Path) -> None:
    links = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert not [target for target in links if target.startswith(str(database))]


def test_services_mounted_in_one_process_keep_apart(make_app: MakeApp, database: Path) -> None:
    apps: dict[str, Any] = {"/own": make_app(DATABASE=database), "/demo": make_app()}
    client = Client(DispatcherMiddleware(Flask("outer"), apps))
    tokens = BEARER, {"Authorization": f"Bearer {demo.TOKEN}"}
    for mount, statuses in (("/own", [404, 401]), ("/demo", [401, 200])):
        answers = [client.get(mount + url(demo.JOB_ID), headers=token) for token in tokens]
        assert [answer.status_code for answer in answers] == statuses


def test_a_hosts_own_flask_has_the_routes_and_the_commands(database: Path, caplog: Log) -> None:
    host = FlaskGroup(create_app=lambda: create_app({"DATABASE": database}))
    host.command("paths")(lambda: click.echo(current_app.url_map))
    database.unlink()  # which the service could not serve
    assert "/api/actions/bulk/jobs/<id>" in CliRunner().invoke(host, ["paths"]).output
    assert "import" in CliRunner().invoke(host, ["jobs", "--help"]).output
    assert caplog.messages == []  # the command may mend it


@pytest.mark.parametrize(("name", "options", "address"), ADDRESSES)
def test_flask_run_says_how_to_try_the_demo(
    tmp_path: Path, monkeypatch: Patch, caplog: Log, name: str, options: str, address: str
) -> None:
    monkeypatch.setattr("flask.cli.run_simple", lambda *_, **__: None)
    shutil.copy(ROOT / "app.py", tmp_path / "another_host.py")
    monkeypatch.chdir(tmp_path if name else ROOT)
    result = CliRunner().invoke(FlaskGroup(), f"{name} run {options}")
    assert result.exit_code == 0
    command = f'curl -H "Authorization: Bearer demo-token" {address}{url(demo.JOB_ID)}'
    assert caplog.messages == [f"FLASK_DATABASE is not set: serving the demo. Try: {command}"]


def test_flask_run_ends_on_a_faulty_file(monkeypatch: Patch, database: Path, fault: Fault) -> None:
    monkeypatch.setattr("flask.cli.run_simple", lambda *_, **__: None)
    fault.do(database)
    host = FlaskGroup(create_app=lambda: create_app({"DATABASE": database}))
    result = CliRunner().invoke(host, ["run"])
    assert result.exit_code == 1
    assert re.fullmatch(f"Error: .*{database}.*{fault.reason}.*\n", result.output)


def test_an_older_python_is_named(monkeypatch: Patch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 19))
    with pytest.raises(SystemExit, match=r"^Python 3\.11 or later is needed"):
        runpy.run_path(str(ROOT / "app.py"))
