import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from conftest import BEARER, JOB, JOB_ID, TOKEN, Get, Plant, line, url
from faults import Fault, run
from flask import Flask, current_app
from flask.cli import FlaskGroup
from flask.testing import FlaskClient
from problem import assert_problem
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import store
from app import create_app

MakeApp = Callable[..., Flask]
UNKNOWN = "00000000-0000-4000-8000-000000000000"
NO_UUID = "The id is not a UUID in its 8-4-4-4-12 form, so it names no job."
NO_PATHS = f"""/nothing /static/app.py {url("").rstrip("/")} {url("")} {url()}/ {url("a/b")}
    /{url()} {url().replace("/bulk", "//bulk")} {url().upper()} // //healthz"""

# The job


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


@pytest.mark.parametrize("text", ["short", "Ünïcödé 🚦" * 1000])
def test_the_answer_and_its_strong_etag_follow_the_job(get: Get, plant: Plant, text: str) -> None:
    etags = []
    for count in (1, 2, 1):
        plant(action_reason=text, affected_count=count)
        response = get()
        assert response.get_json() == JOB | {"action_reason": text, "affected_count": count}
        etags.append(response.headers["ETag"])
    assert etags[0] == etags[2] != etags[1]
    assert all(re.fullmatch('"[!-~]+"', etag) for etag in etags)


def test_equal_values_of_other_types_are_told_apart_in_a_table_of_another_make(
    get: Get, plant: Plant, database: Path
) -> None:
    run("DROP TABLE bulk_action_jobs")(database)
    run(f"CREATE TABLE bulk_action_jobs ({', '.join(JOB)})")(database)
    statuses = []
    for value in (1, 1.0, 1, "1"):
        run("DELETE FROM bulk_action_jobs")(database)
        plant(affected_count=value)
        statuses.append(get().status_code)
    assert statuses == [200, 500, 200, 500]


@pytest.mark.parametrize(
    ("status", "completed_at", "retry_after"),
    [
        *((status, None, "2") for status in ("scheduled", "running", "another")),
        *((status, None, None) for status in ("completed", "failed", "cancelled")),
        ("another", JOB["completed_at"], None),
    ],
)
def test_retry_after_is_there_until_the_job_has_ended(
    get: Get, plant: Plant, status: str, completed_at: str | None, retry_after: str | None
) -> None:
    plant(status=status, completed_at=completed_at)
    for condition in ("", "*"):
        response = get(headers={"If-None-Match": condition})
        assert response.headers.get("Retry-After") == retry_after


@pytest.mark.parametrize(
    ("condition", "status"),
    [(tags, 304) for tags in ("{}", "W/{}", '"x", {}', 'W/"x",{} , "y"', "*")]
    + [(tags, 200) for tags in ('"x"', '""', "", '"*"', 'W/"x", "y"', '{}, "x", ' * 500)],
)
def test_a_client_that_has_the_job_gets_a_304_unless_it_asks_at_length(
    get: Get, plant: Plant, condition: str, status: int
) -> None:
    plant()
    condition = condition.replace("{}", get().headers["ETag"])
    response = get(headers={"If-None-Match": condition})
    assert (response.status_code, response.data == b"") == (status, status == 304)
    assert ("Content-Length" in response.headers) == (status == 200)


@pytest.mark.parametrize(
    ("job_id", "condition", "status"),
    [(JOB_ID, "", 200), (JOB_ID, "*", 304), (UNKNOWN, "*", 404), ("x", "", 404)],
)
def test_head_has_the_status_and_headers_of_get_and_no_body(
    get: Get, plant: Plant, job_id: str, condition: str, status: int
) -> None:
    plant(status="running", completed_at=None)
    headers = {"X-Request-Id": "same", "If-None-Match": condition}
    head, full = (get(job_id, method=method, headers=headers) for method in ("HEAD", "GET"))
    assert (head.status_code, head.data) == (status, b"")
    assert (head.status, list(head.headers)) == (full.status, list(full.headers))


# What names nothing


def test_an_unknown_id_is_a_404(get: Get) -> None:
    assert_problem(get(UNKNOWN), 404, "No bulk action job has this id.")


@pytest.mark.parametrize(
    "job_id", ["1", "%00", "%ED%A0%80", "%ff", "..", f"{JOB_ID}%0A", f"{{{JOB_ID}}}", "a" * 8192]
)
def test_a_malformed_id_is_a_404_that_says_why(get: Get, plant: Plant, job_id: str) -> None:
    plant()
    assert_problem(get(job_id), 404, NO_UUID, {"id": NO_UUID})


@pytest.mark.parametrize("path", NO_PATHS.split())
def test_an_unknown_path_is_a_404_and_no_redirect(
    client: FlaskClient, plant: Plant, path: str
) -> None:
    plant()
    response = client.get("/", headers=BEARER, environ_overrides={"PATH_INFO": path})
    assert_problem(response, 404)


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "BREW", "get", "Head"]
)
def test_another_method_is_a_405_that_says_which_are_allowed(
    client: FlaskClient, method: str
) -> None:
    response = client.open(url(), environ_overrides={"REQUEST_METHOD": method})
    assert_problem(response, 405, "The method is not allowed for the requested URL.")
    assert response.headers["Allow"] == "GET, HEAD"


# Failures


def test_a_fault_of_the_file_is_a_500_until_it_is_repaired(
    get: Get, database: Path, plant: Plant, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    plant()
    run("PRAGMA journal_mode = DELETE")(database)
    kept = database.with_name("kept.db")
    kept.write_bytes(database.read_bytes())
    assert get().status_code == 200
    fault.do(database)
    assert_problem(get(headers={"X-Request-Id": "r-1"}), 500)
    (record,) = caplog.records
    reason = f"GET {url()} failed: .*cannot read {database}: .*{fault.reason}.*request r-1"
    assert re.match(reason, record.getMessage())
    assert record.exc_info is not None
    if database.is_dir():
        database.rmdir()
    kept.replace(database)
    assert get().status_code == 200


def test_a_token_file_that_cannot_be_read_is_a_500_until_it_can(
    get: Get, tokens_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = tokens_file.rename(tokens_file.with_name("away"))
    assert_problem(get(), 500)
    assert f"cannot read {tokens_file}: No such file or directory" in caplog.text
    away.rename(tokens_file)
    assert get().status_code == 404


@pytest.mark.parametrize("name", ["jobs.db", "tokens"])
def test_the_service_is_healthy_while_it_can_read_its_files(
    client: FlaskClient, database: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.text) == (200, '{"status": "ok"}\n')
    assert response.headers["Cache-Control"] == "no-store"
    database.with_name(name).unlink()
    response = client.get("/healthz")
    assert_problem(response, 503, "The service cannot read its jobs or its tokens.")
    assert response.headers["X-Request-Id"] in caplog.text


# Starting


def refusal(**config: object) -> str:
    with pytest.raises(click.ClickException) as caught:
        create_app(config)
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("content", ["", "no database and no token"])
@pytest.mark.parametrize(
    ("name", "remedy"),
    [("jobs.db", "sqlite3 jobs.db < schema.sql"), ("tokens", "flask tokens create NAME")],
)
def test_a_start_on_a_faulty_file_is_refused_with_its_remedy(
    database: Path, tokens_file: Path, name: str, remedy: str, content: str
) -> None:
    (path := database.with_name(name)).write_text(content)
    message = refusal(DATABASE=database, TOKENS_FILE=tokens_file)
    assert str(path) in message
    assert remedy in message


def test_a_setting_that_is_missing_or_empty_is_refused(database: Path, tokens_file: Path) -> None:
    assert "FLASK_TOKENS_FILE, too. Write lines " in refusal(DATABASE=database)
    assert "cannot read" in refusal(DATABASE="", TOKENS_FILE=tokens_file)  # it is no demo


@pytest.mark.parametrize("text", ["jobs", "0.10", "null", '"quoted"'])
def test_a_setting_of_the_environment_is_taken_as_it_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    """Flask reads its variables as JSON, and null would be the demo."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLASK_DATABASE", text)
    monkeypatch.setenv("FLASK_TOKENS_FILE", text)
    store.create(Path(text))
    assert f"{tmp_path}/{text}, line 1: " in refusal()  # it is a database, and no token file
    assert "none: No such file" in refusal(TOKENS_FILE="none")  # the mapping overrides it


def test_a_fork_after_the_start_shares_no_connection(app: Flask, database: Path) -> None:
    links = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert not [target for target in links if target.startswith(str(database))]


def test_each_request_is_a_line_of_the_log_at_info(
    get: Get, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    get()
    assert caplog.records == []
    caplog.set_level(logging.INFO, "bulk_action_jobs")
    get(headers={"X-Request-Id": "r-1"})
    environ = {"PATH_INFO": "/a\n\x1b", "REQUEST_METHOD": "P\x1b", "HTTP_X_REQUEST_ID": "r-2"}
    client.get("/", environ_overrides=environ)
    lines = "\n".join(record.getMessage() for record in caplog.records)
    expected = rf"r-1 tester GET {url()} 404 [1-9]\d+\nr-2 - P%1B /a%0A%1B 404 [1-9]\d+"
    assert re.fullmatch(expected, lines)


def test_the_log_of_requests_goes_to_standard_output_where_that_is_set(
    make_app: MakeApp, database: Path, tokens_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logging.getLogger("bulk_action_jobs")
    for _ in "12":  # one line, however many services there are
        app = make_app(DATABASE=database, TOKENS_FILE=tokens_file, REQUEST_LOG=True)
    app.test_client().get("/healthz")
    log.handlers.clear()
    log.setLevel(logging.NOTSET)
    line = capsys.readouterr().out
    assert re.fullmatch(r"[-0-9]{10} [:,0-9]{12} [0-9a-f]{32} - GET /healthz 200 [0-9]+\n", line)


@pytest.mark.parametrize("path", ["/docs/", "/docs/index.html"])
def test_the_page_runs_no_script_but_its_own(client: FlaskClient, path: str) -> None:
    with client.get(path) as response:
        assert (response.status_code, response.mimetype) == (200, "text/html")
        policy = response.headers["Content-Security-Policy"]
    assert {"default-src 'none'", "script-src 'self'"} <= set(policy.split("; "))


# Embedding


def test_two_services_mounted_in_one_process_keep_apart(
    make_app: MakeApp, database: Path, tokens_file: Path, plant: Plant, tmp_path: Path
) -> None:
    store.create(other := tmp_path / "other.db")
    plant(path=other, status="of the other")
    (others := tmp_path / "others").write_text(line("another-token"))
    mounts: dict[str, Any] = {
        "/one": make_app(DATABASE=database, TOKENS_FILE=tokens_file),
        "/two": make_app(DATABASE=other, TOKENS_FILE=others),
    }
    outer = Flask("outer")
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, mounts)  # type: ignore[method-assign]

    def ask(mount: str, token: str = TOKEN) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        answer = outer.test_client().get(mount + url(), headers=headers)
        return dict(answer.get_json(force=True, silent=True) or {})

    assert (ask("/one")["status"], ask("/one")["instance"]) == (404, f"/one{url()}")
    assert ask("/one", "another-token")["status"] == ask("/two")["status"] == 401
    assert ask("/two", "another-token")["status"] == "of the other"
    assert ask("") == {}


def test_an_app_that_a_hosts_own_flask_command_makes_has_its_routes_and_commands(
    database: Path, tokens_file: Path
) -> None:
    config = {"DATABASE": database, "TOKENS_FILE": tokens_file}
    host = FlaskGroup(create_app=lambda: create_app(config))
    host.command("paths")(lambda: click.echo(current_app.url_map))
    assert "/api/actions/bulk/jobs/<id>" in CliRunner().invoke(host, ["paths"]).output
    database.unlink()  # which the service could not serve
    assert "simulate" in CliRunner().invoke(host, ["jobs", "--help"]).output
