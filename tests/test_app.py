import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from conftest import JOB, JOB_ID, TOKEN, Get, Plant, line, url
from faults import Fault, loosen, run
from flask import Flask, current_app
from flask.cli import FlaskGroup
from flask.testing import FlaskClient
from problem import assert_problem
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import store
from app import create_app

MakeApp = Callable[..., Flask]
BEARER = {"Authorization": f"Bearer {TOKEN}"}
UNKNOWN = "00000000-0000-4000-8000-000000000000"
NO_UUID = "The id is not a UUID in its 8-4-4-4-12 form, so it names no job."
NO_IDS = f"""1 %00 %0A %EF%BF%BD %ED%A0%80 %ff .. {JOB_ID.replace("-", "")} {JOB_ID}%0A
    {JOB_ID}%00 {{{JOB_ID}}} urn:uuid:{JOB_ID}"""
NO_PATHS = f"""/nothing /static/app.py {url("").rstrip("/")} {url("")} {url()}/ {url("a/b")}
    /{url()} {url().replace("/bulk", "//bulk")} {url().upper()} // //healthz"""
METHODS = "POST PUT PATCH DELETE TRACE OPTIONS CONNECT BREW get Head"
BROKEN: dict[str, Any] = {
    "scheduled_at": "2026-05-16 08:00:00",
    "executed_at": 1778918400,
    "completed_at": b"2026-05-16T08:00:00Z",
    "created_at": "2026-05-16T08:00:00+25:00",
    "updated_at": "",
    "action_duration": 1.5,
    "max_limit": "many",
    "preview_count": b"\x01",
    "affected_count": None,
    "status": None,
    "action_reason": 5,
    "created_by": b"\x00\xff",
}

# The job


@pytest.mark.parametrize("job_id", [JOB_ID, JOB_ID.upper(), JOB_ID.title()])
def test_a_known_id_is_a_200_with_the_job_as_stored(get: Get, plant: Plant, job_id: str) -> None:
    plant()
    response = get(job_id)
    assert response.status_code == 200
    assert response.text == json.dumps(JOB, ensure_ascii=False) + "\n"
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Content-Length"] == str(len(response.data))
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.headers["Vary"] == "Authorization"


@pytest.mark.parametrize("unreached", [["executed_at", "completed_at"], ["completed_at"], []])
def test_a_time_is_left_out_until_it_is_reached(
    get: Get, plant: Plant, unreached: list[str]
) -> None:
    plant(**dict.fromkeys(unreached))
    assert list(get().get_json()) == [name for name in JOB if name not in unreached]


@pytest.mark.parametrize("text", ["", '"\\/', "\0\x1f\x7f\u2028", "Ünïcödé 🚦", "x" * 5000])
def test_any_text_is_served_as_stored_again_and_again(get: Get, plant: Plant, text: str) -> None:
    for count in (1, 1, 2):
        plant(action_reason=text, affected_count=count)
        job = JOB | {"action_reason": text, "affected_count": count}
        assert get().text == json.dumps(job, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(
    ("status", "completed_at", "retry_after"),
    [(status, None, "2") for status in ("scheduled", "running", "a word of its own")]
    + [(status, None, None) for status in ("completed", "failed", "cancelled")]
    + [("a word of its own", JOB["completed_at"], None)],
)
def test_retry_after_is_there_until_the_job_has_ended(
    get: Get, plant: Plant, status: str, completed_at: str | None, retry_after: str | None
) -> None:
    plant(status=status, completed_at=completed_at)
    response = get()
    again = get(headers={"If-None-Match": response.headers["ETag"]})
    assert (response.status_code, again.status_code) == (200, 304)
    assert response.headers.get("Retry-After") == again.headers.get("Retry-After") == retry_after


# Polling


@pytest.mark.parametrize("condition", ["{}", "W/{}", '"x", {}', 'W/"x",{} , "y"', "*"])
def test_a_client_that_has_the_job_gets_a_304(get: Get, plant: Plant, condition: str) -> None:
    plant()
    etag = get().headers["ETag"]
    response = get(headers={"If-None-Match": condition.format(etag), "X-Request-Id": "r-1"})
    assert (response.status_code, response.data) == (304, b"")
    assert set(response.headers) == {
        ("ETag", etag),
        ("Cache-Control", "private, no-cache"),
        ("Vary", "Authorization"),
        ("X-Request-Id", "r-1"),
        ("X-Content-Type-Options", "nosniff"),
    }


@pytest.mark.parametrize("condition", ['"x"', '""', "", '"*"', 'W/"x", "y"', '{}, "x", ' * 500])
def test_a_client_that_has_another_job_or_asks_at_length_gets_a_200(
    get: Get, plant: Plant, condition: str
) -> None:
    plant()
    condition = condition.replace("{}", get().headers["ETag"])
    assert get(headers={"If-None-Match": condition}).status_code == 200


def test_the_etag_is_strong_and_follows_the_job(get: Get, plant: Plant) -> None:
    etags = []
    for count in (1, 2, 1):
        plant(affected_count=count)
        etags.append(get().headers["ETag"])
    assert etags[0] == etags[2] != etags[1]
    assert all(etag[0] == etag[-1] == '"' for etag in etags)


@pytest.mark.parametrize(
    ("job_id", "condition"), [(JOB_ID, ""), (JOB_ID, "*"), (UNKNOWN, "*"), ("x", "")]
)
def test_head_has_the_status_and_headers_of_get_and_no_body(
    get: Get, plant: Plant, job_id: str, condition: str
) -> None:
    plant(status="running", completed_at=None)
    headers = {"X-Request-Id": "same", "If-None-Match": condition}
    head, full = (get(job_id, method=method, headers=headers) for method in ("HEAD", "GET"))
    assert head.data == b""
    assert (head.status, list(head.headers)) == (full.status, list(full.headers))
    assert full.status_code == (404 if job_id != JOB_ID else 304 if condition else 200)


# What names nothing


def test_an_unknown_id_is_a_404(get: Get) -> None:
    assert_problem(get(UNKNOWN), 404, "No bulk action job has this id.")


@pytest.mark.parametrize("job_id", [*NO_IDS.split(), f" {JOB_ID}", "a" * 8192])
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


@pytest.mark.parametrize("method", METHODS.split())
def test_another_method_is_a_405_that_says_which_are_allowed(
    client: FlaskClient, method: str
) -> None:
    response = client.open(url(), method=method, environ_overrides={"REQUEST_METHOD": method})
    assert_problem(response, 405, "The method is not allowed for the requested URL.")
    assert response.headers["Allow"] == "GET, HEAD"


# Failures


def test_a_fault_of_the_file_is_a_500_until_it_is_repaired(
    get: Get, database: Path, plant: Plant, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    plant()
    run("PRAGMA journal_mode = DELETE")(database)
    assert get().status_code == 200
    kept = database.with_name("kept.db")
    kept.write_bytes(database.read_bytes())
    fault.do(database)
    response = get()
    assert_problem(response, 500)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.getMessage().startswith(f"GET {url()} failed: ")
    for part in (f"cannot read {database}: ", response.headers["X-Request-Id"]):
        assert part in record.getMessage()
    if database.is_dir():
        database.rmdir()
    kept.replace(database)
    assert get().status_code == 200


@pytest.mark.parametrize("members", [*([name] for name in BROKEN), list(BROKEN)])
def test_a_row_that_breaks_the_contract_is_a_500_that_names_job_and_members_in_the_log(
    get: Get, plant: Plant, database: Path, caplog: pytest.LogCaptureFixture, members: list[str]
) -> None:
    loosen(database)
    plant(**{name: BROKEN[name] for name in members})
    assert_problem(get(), 500)
    (record,) = caplog.records
    assert f"job {JOB_ID} breaks the contract: " in record.getMessage()
    assert {name for name in BROKEN if f"'{name}': [" in record.getMessage()} == set(members)
    assert "\n" not in record.getMessage()
    run("DELETE FROM bulk_action_jobs")(database)
    plant()
    assert get().status_code == 200


def test_equal_values_of_other_types_are_told_apart(get: Get, plant: Plant, database: Path) -> None:
    loosen(database)
    statuses = []
    for value in (1, 1.0, 1, "1"):
        run("DELETE FROM bulk_action_jobs")(database)
        plant(affected_count=value)
        statuses.append(get().status_code)
    assert statuses == [200, 500, 200, 500]


def test_text_that_is_not_utf_8_is_a_500_that_names_its_member(
    get: Get, plant: Plant, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plant()
    run("UPDATE bulk_action_jobs SET created_by = CAST(x'6aff' AS TEXT)")(database)
    assert_problem(get(), 500)
    assert "'created_by'" in caplog.text


@pytest.mark.parametrize("setting", ["DEBUG", "TESTING", "PROPAGATE_EXCEPTIONS"])
def test_a_500_stays_a_problem_under_every_mode_of_flask(
    make_app: MakeApp, database: Path, tokens_file: Path, setting: str
) -> None:
    app = make_app(DATABASE=database, TOKENS_FILE=tokens_file, **{setting: True})
    database.unlink()
    assert_problem(app.test_client().get(url(), headers=BEARER), 500)


@pytest.mark.parametrize("name", ["jobs.db", "tokens"])
def test_the_service_is_healthy_while_it_can_read_its_files(
    app: Flask, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    client = app.test_client()
    response = client.get("/healthz")
    assert (response.status_code, response.text) == (200, '{"status": "ok"}\n')
    assert response.headers["Cache-Control"] == "no-store"
    (tmp_path / name).unlink()
    response = client.get("/healthz")
    assert_problem(response, 503, "The service cannot read its jobs or its tokens.")
    assert response.headers["X-Request-Id"] in caplog.text


# Starting


def refusal(**config: object) -> str:
    with pytest.raises(click.ClickException) as caught:
        create_app(config)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_database_without_tokens_is_refused(database: Path) -> None:
    assert "FLASK_TOKENS_FILE, too. Write lines " in refusal(DATABASE=database)


def test_a_faulty_database_is_refused(database: Path, tokens_file: Path, fault: Fault) -> None:
    fault.do(database)
    message = refusal(DATABASE=database, TOKENS_FILE=tokens_file)
    assert message.startswith(f"cannot read {database}: ")
    assert "sqlite3 jobs.db < schema.sql" in message


@pytest.mark.parametrize("change", ["", "oops", None])
def test_faulty_tokens_are_refused(database: Path, tokens_file: Path, change: str | None) -> None:
    tokens_file.unlink() if change is None else tokens_file.write_text(change)
    message = refusal(DATABASE=database, TOKENS_FILE=tokens_file)
    assert str(tokens_file) in message
    assert "flask tokens create NAME" in message


def test_an_empty_setting_is_no_demo(tokens_file: Path) -> None:
    """As where a compose file passes on a variable that is not set."""
    assert "cannot read" in refusal(DATABASE="", TOKENS_FILE=tokens_file)


@pytest.mark.parametrize("text", ["jobs", "2026", "0.10", "null", "true", '"quoted"'])
def test_a_setting_of_the_environment_is_taken_as_it_stands(
    monkeypatch: pytest.MonkeyPatch, make_app: MakeApp, tmp_path: Path, text: str
) -> None:
    """Flask reads its variables as JSON, and null would be the demo."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLASK_DATABASE", text)
    monkeypatch.setenv("FLASK_TOKENS_FILE", text)
    store.create(Path(text))
    assert f"{tmp_path}/{text}, line 1: " in refusal()
    monkeypatch.setenv("FLASK_DATABASE", str(Path(text).rename("moved.db")))
    Path(text).write_text(line(TOKEN))
    assert "No such file" in refusal(TOKENS_FILE="none")  # the mapping overrides it
    assert make_app().test_client().get(url(), headers=BEARER).status_code == 404


def test_a_fork_after_the_start_shares_no_connection(app: Flask, database: Path) -> None:
    links = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert not [target for target in links if target.startswith(str(database))]


# The page and the log


def test_the_page_runs_no_script_but_its_files_and_asks_no_other_host(client: FlaskClient) -> None:
    with client.get("/docs/") as response:
        policy = response.headers["Content-Security-Policy"].split("; ")
    assert {f"{name} 'self'" for name in ("script-src", "style-src", "connect-src")} <= set(policy)
    for name in ("default-src", "base-uri", "form-action", "frame-ancestors"):
        assert f"{name} 'none'" in policy


def test_each_request_is_a_line_of_the_log_at_info(
    get: Get, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    get()
    assert caplog.records == []
    caplog.set_level(logging.INFO, "bulk_action_jobs")
    get(headers={"X-Request-Id": "r-1"})
    for number, method, path in (("r-2", "GET", "/a\n\x1b[31m"), ("r-3", "P\x1b", "/healthz")):
        environ = {"PATH_INFO": path, "REQUEST_METHOD": method, "HTTP_X_REQUEST_ID": number}
        client.get("/", environ_overrides=environ)
    lines = [record.getMessage().rpartition(" ") for record in caplog.records]
    assert [text for text, _, _ in lines] == [
        f"r-1 tester GET {url()} 404",
        "r-2 - GET /a%0A%1B%5B31m 404",
        "r-3 - P%1B /healthz 405",
    ]
    assert all(0 < int(took) < 10_000_000 for _, _, took in lines)


# Embedding


def test_two_services_mounted_in_one_process_keep_apart(
    make_app: MakeApp, database: Path, tokens_file: Path, plant: Plant, tmp_path: Path
) -> None:
    other, others = tmp_path / "other.db", tmp_path / "others"
    store.create(other)
    plant(path=other, status="of the other")
    plant()
    others.write_text(line("another-token"))
    one = make_app(DATABASE=database, TOKENS_FILE=tokens_file)
    two = make_app(DATABASE=other, TOKENS_FILE=others)
    outer = Flask("outer")
    mounts: dict[str, Any] = {"/one": one, "/two": two}
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, mounts)  # type: ignore[method-assign]
    client = outer.test_client()
    expected = {("/one", TOKEN): JOB["status"], ("/two", "another-token"): "of the other"}
    for mount in mounts:
        for token in (TOKEN, "another-token"):
            headers = {"Authorization": f"Bearer {token}"}
            answer = client.get(mount + url(), headers=headers).get_json(force=True)
            assert answer["status"] == expected.get((mount, token), 401)
        unknown = client.get(mount + url("x")).get_json(force=True)
        assert unknown["instance"] == mount + url("x")
    assert client.get(url(), headers=BEARER).content_type.startswith("text/html")


def test_an_app_that_a_hosts_own_flask_command_makes_has_its_routes_and_commands(
    database: Path, tokens_file: Path
) -> None:
    config = {"DATABASE": database, "TOKENS_FILE": tokens_file}
    host = FlaskGroup(create_app=lambda: create_app(config))

    @host.command("paths")
    def paths() -> None:
        click.echo(current_app.url_map)

    assert "/api/actions/bulk/jobs/<id>" in CliRunner().invoke(host, ["paths"]).output
    database.unlink()  # which the service could not serve
    assert "simulate" in CliRunner().invoke(host, ["jobs", "--help"]).output
