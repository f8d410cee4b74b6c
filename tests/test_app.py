import json
import logging
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import JOB, JOB_ID, TOKEN, Get, Plant, line, url
from faults import Fault, run
from flask import Flask
from flask.testing import FlaskClient
from problem import assert_problem
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import store
from app import create_app

UNKNOWN = "00000000-0000-4000-8000-000000000000"
NO_UUID = "The id is not a UUID in its 8-4-4-4-12 form, so it names no job."

# The job


@pytest.mark.parametrize("job_id", [JOB_ID, JOB_ID.upper(), JOB_ID.title()])
def test_a_known_id_is_a_200_with_the_job_as_stored(get: Get, plant: Plant, job_id: str) -> None:
    plant()
    response = get(job_id)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.text == json.dumps(JOB, ensure_ascii=False) + "\n"
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.headers["Vary"] == "Authorization"


@pytest.mark.parametrize(
    ("unreached", "members"),
    [({"executed_at", "completed_at"}, 14), ({"completed_at"}, 15), (set(), 16)],
)
def test_a_time_is_left_out_until_it_is_reached(
    get: Get, plant: Plant, unreached: set[str], members: int
) -> None:
    plant(**dict.fromkeys(unreached))
    assert list(get().get_json()) == [name for name in JOB if name not in unreached]
    assert len(get().get_json()) == members


@pytest.mark.parametrize(
    ("status", "completed_at", "retry_after"),
    [
        ("scheduled", None, "2"),
        ("running", None, "2"),
        ("a word of its own", None, "2"),
        ("completed", None, None),
        ("failed", None, None),
        ("cancelled", None, None),
        ("a word of its own", JOB["completed_at"], None),
    ],
)
def test_retry_after_is_there_until_the_job_has_ended(
    get: Get, plant: Plant, status: str, completed_at: str | None, retry_after: str | None
) -> None:
    plant(status=status, completed_at=completed_at)
    response = get()
    assert response.headers.get("Retry-After") == retry_after
    again = get(headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304
    assert again.headers.get("Retry-After") == retry_after


# Polling


@pytest.mark.parametrize("condition", ["{}", "W/{}", '"x", {}', 'W/"x",{} , "y"', "*"])
def test_a_client_that_has_the_job_gets_a_304(get: Get, plant: Plant, condition: str) -> None:
    plant()
    etag = get().headers["ETag"]
    response = get(headers={"If-None-Match": condition.format(etag)})
    assert response.status_code == 304
    assert response.data == b""
    assert response.headers["ETag"] == etag
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.headers["Vary"] == "Authorization"
    assert "Content-Type" not in response.headers
    assert "Content-Length" not in response.headers


@pytest.mark.parametrize("condition", ['"x"', '""', "", '"*"', 'W/"x", "y"'])
def test_a_client_that_has_another_job_gets_a_200(get: Get, plant: Plant, condition: str) -> None:
    plant()
    assert get(headers={"If-None-Match": condition}).status_code == 200


def test_the_etag_is_strong_and_follows_the_job(get: Get, plant: Plant) -> None:
    etags = []
    for count in (1, 2, 1):
        plant(affected_count=count)
        etags.append(get().headers["ETag"])
    assert etags[0] == etags[2] != etags[1]
    assert all(etag[0] == etag[-1] == '"' for etag in etags)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_condition_does_not_hide_an_error(get: Get, method: str) -> None:
    assert get(method=method, headers={"If-None-Match": "*"}).status_code == 404


@pytest.mark.parametrize("condition", [None, "*"])
def test_head_has_the_headers_of_get_and_no_body(
    get: Get, plant: Plant, condition: str | None
) -> None:
    plant(status="running", completed_at=None)
    headers = {"X-Request-Id": "same"} | ({"If-None-Match": condition} if condition else {})
    head, full = (get(method=method, headers=headers) for method in ("HEAD", "GET"))
    assert head.data == b""
    assert (head.status, list(head.headers)) == (full.status, list(full.headers))


# Ids and paths that name nothing


def test_an_unknown_id_is_a_404(get: Get) -> None:
    assert_problem(get(UNKNOWN), 404, "No bulk action job has this id.")


@pytest.mark.parametrize(
    "job_id",
    [
        "1",
        JOB_ID.replace("-", ""),
        f"{{{JOB_ID}}}",
        f"urn:uuid:{JOB_ID}",
        f" {JOB_ID}",
        f"{JOB_ID}%0A",
        f"{JOB_ID}%00",
        "%00",
        "%0A",
        "a" * 8192,
        "%EF%BF%BD",
        "%ED%A0%80",
        "%ff",
        "..",
        JOB_ID.replace("0", "%D9%A0"),
        JOB_ID.replace("-", "_"),
    ],
)
def test_a_malformed_id_is_a_404_that_says_why(get: Get, plant: Plant, job_id: str) -> None:
    plant()
    assert_problem(get(job_id), 404, NO_UUID, {"id": NO_UUID})


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/static/",
        "/api/actions/bulk/jobs",
        url(""),
        url(JOB_ID) + "/",
        url("a/b"),
        f"/api//actions/bulk/jobs/{JOB_ID}",
        f"//api/actions/bulk/jobs/{JOB_ID}",
        "//healthz",
        "//",
        f"/API/actions/bulk/jobs/{JOB_ID}",
    ],
)
def test_an_unknown_path_is_a_404_and_no_redirect(
    client: FlaskClient, plant: Plant, path: str
) -> None:
    plant()
    environ = {"HTTP_AUTHORIZATION": f"Bearer {TOKEN}", "PATH_INFO": path}
    response = client.get("/", environ_overrides=environ)
    assert_problem(response, 404)


@pytest.mark.parametrize(
    "method",
    ["POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "CONNECT", "BREW", "get", "Head"],
)
def test_another_method_is_a_405_that_says_which_are_allowed(
    client: FlaskClient, method: str
) -> None:
    response = client.open(url(), method=method, environ_overrides={"REQUEST_METHOD": method})
    assert_problem(response, 405, "The method is not allowed for the requested URL.")
    assert response.headers["Allow"] == "GET, HEAD"


def test_the_route_of_another_path_is_found_during_a_request(app: Flask) -> None:
    with app.test_request_context(url()) as context:
        assert context.request.endpoint == "get_bulk_action_job"
        adapter = app.create_url_adapter(context.request)
    assert adapter is not None
    assert adapter.match("/healthz") == ("health", {})
    assert sorted(adapter.allowed_methods()) == ["GET", "HEAD"]


def test_no_file_of_the_service_is_served(client: FlaskClient) -> None:
    """Flask's own /static/ would answer a POST with a 405."""
    assert_problem(client.post("/static/app.py"), 404)


# Request ids


@pytest.mark.parametrize("offered", ["a", "A.b_c-9", "x" * 128])
def test_a_fit_request_id_is_echoed(get: Get, plant: Plant, offered: str) -> None:
    plant()
    headers = {"X-Request-Id": offered}
    assert get(headers=headers).headers["X-Request-Id"] == offered
    assert get(UNKNOWN, headers=headers).get_json(force=True)["requestId"] == offered


@pytest.mark.parametrize("offered", [None, "", "x" * 129, "a b", "a,b", "ä", "a\x1b", "a:b", "٣"])
def test_any_other_request_id_is_replaced(client: FlaskClient, offered: str | None) -> None:
    environ = {} if offered is None else {"HTTP_X_REQUEST_ID": offered}
    ids = [client.get(url(), environ_overrides=environ).headers["X-Request-Id"] for _ in "12"]
    assert all(re.fullmatch("[0-9a-f]{32}", made) for made in ids)
    assert ids[0] != ids[1]


# Failures


def test_a_fault_of_the_file_is_a_500_until_it_is_repaired(
    get: Get,
    database: Path,
    plant: Plant,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
) -> None:
    plant()
    assert get().status_code == 200
    kept = database.with_name("kept.db")
    run("PRAGMA wal_checkpoint(TRUNCATE)")(database)
    kept.write_bytes(database.read_bytes())
    fault.do(database)
    for _ in range(2):
        caplog.clear()
        response = get()
        assert_problem(response, 500)
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert record.exc_info is not None
        assert response.headers["X-Request-Id"] in record.getMessage()
        assert f"cannot read {database}: " in record.getMessage()
    if database.is_dir():
        database.rmdir()
    kept.replace(database)
    assert get().status_code == 200


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"scheduled_at": "2026-05-16 08:00:00"}, "scheduled_at"),
    ({"executed_at": "2026-05-16T08:00:00"}, "executed_at"),
    ({"completed_at": ""}, "completed_at"),
    ({"created_at": "2026-05-16T08:00:00+25:00"}, "created_at"),
    ({"updated_at": "2026-05-16T08:00:00Z\0"}, "updated_at"),
]


@pytest.mark.parametrize(("members", "member"), BROKEN)
def test_a_row_that_breaks_the_contract_is_a_500_until_it_is_mended(
    get: Get,
    plant: Plant,
    caplog: pytest.LogCaptureFixture,
    members: dict[str, Any],
    member: str,
) -> None:
    plant(lawful=False, **members)
    response = get()
    assert_problem(response, 500)
    (record,) = caplog.records
    for part in (JOB_ID, member, response.headers["X-Request-Id"]):
        assert part in record.getMessage()
    plant()
    assert get().status_code == 200


LOOSE = [
    ("action_duration", 1.5),
    ("max_limit", "many"),
    ("preview_count", b"\x01"),
    ("affected_count", None),
    ("status", None),
    ("status", 5),
    ("created_by", b"\x00\xff"),
    ("executed_at", 1778918400),
    ("completed_at", b"2026-05-16T08:00:00Z"),
]


@pytest.mark.parametrize(("member", "value"), LOOSE)
def test_a_table_of_another_make_is_held_to_the_contract_too(
    get: Get,
    plant: Plant,
    database: Path,
    caplog: pytest.LogCaptureFixture,
    member: str,
    value: object,
) -> None:
    run("DROP TABLE bulk_action_jobs")(database)
    run(f"CREATE TABLE bulk_action_jobs ({', '.join(JOB)})")(database)
    plant(**{member: value})
    assert_problem(get(), 500)
    assert f"job {JOB_ID} breaks the contract: {{'{member}': " in caplog.text


def test_text_that_is_not_utf_8_is_a_500_that_names_its_member(
    get: Get, plant: Plant, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plant()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE bulk_action_jobs SET created_by = CAST(x'6aff' AS TEXT)")
    assert_problem(get(), 500)
    assert "{'created_by': ['Not a string that UTF-8 can carry.']}" in caplog.text


def test_a_500_logs_every_member_at_fault_on_one_line(
    get: Get, plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    plant(lawful=False, scheduled_at="soon", updated_at="now")
    get()
    (record,) = caplog.records
    assert "scheduled_at" in record.getMessage()
    assert "updated_at" in record.getMessage()
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize("setting", ["DEBUG", "TESTING", "PROPAGATE_EXCEPTIONS"])
def test_a_500_stays_a_problem_under_every_mode_of_flask(
    make_app: Callable[..., Flask], database: Path, tokens_file: Path, setting: str
) -> None:
    app = make_app(DATABASE=database, TOKENS_FILE=tokens_file, **{setting: True})
    database.unlink()
    response = app.test_client().get(url(), headers={"Authorization": f"Bearer {TOKEN}"})
    assert_problem(response, 500)


# Starting


def refusal(**config: object) -> str:
    with pytest.raises(click.ClickException) as caught:
        create_app(config)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_database_without_tokens_is_refused(database: Path) -> None:
    assert "no TOKENS_FILE: FLASK_TOKENS_FILE must be" in refusal(DATABASE=database)


def test_a_faulty_database_is_refused(database: Path, tokens_file: Path, fault: Fault) -> None:
    run("PRAGMA wal_checkpoint(TRUNCATE)")(database)
    fault.do(database)
    message = refusal(DATABASE=database, TOKENS_FILE=tokens_file)
    assert message.startswith(f"cannot read {database}: ")
    assert "sqlite3 jobs.db < schema.sql" in message


def test_faulty_tokens_are_refused(database: Path, tokens_file: Path) -> None:
    for change in ("", "oops", None):
        tokens_file.unlink() if change is None else tokens_file.write_text(change)
        message = refusal(DATABASE=database, TOKENS_FILE=tokens_file)
        assert str(tokens_file) in message
        assert "SHA-256-hex NAME" in message


def test_an_empty_database_setting_is_no_demo(tokens_file: Path) -> None:
    """As where a compose file passes on a variable that is not set."""
    assert "cannot read" in refusal(DATABASE="", TOKENS_FILE=tokens_file)


def test_the_settings_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
    make_app: Callable[..., Flask],
    database: Path,
    tokens_file: Path,
    plant: Plant,
) -> None:
    plant()
    monkeypatch.setenv("FLASK_DATABASE", str(database))
    monkeypatch.setenv("FLASK_TOKENS_FILE", str(tokens_file))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert make_app().test_client().get(url(), headers=headers).status_code == 200


@pytest.mark.parametrize("text", ["2026", "0.10", "null", "true", '"quoted"'])
def test_a_setting_of_the_environment_is_taken_as_it_stands(
    monkeypatch: pytest.MonkeyPatch, make_app: Callable[..., Flask], tmp_path: Path, text: str
) -> None:
    """Flask reads its variables as JSON, and null would be the demo."""
    monkeypatch.chdir(tmp_path)
    store.create(Path(text))
    monkeypatch.setenv("FLASK_DATABASE", text)
    assert "none: No such file" in refusal(TOKENS_FILE="none")
    Path(text).rename("away")
    Path(text).write_text(line(TOKEN))
    monkeypatch.setenv("FLASK_DATABASE", "away")
    monkeypatch.setenv("FLASK_TOKENS_FILE", text)
    make_app()


def test_the_mapping_overrides_the_environment(
    monkeypatch: pytest.MonkeyPatch,
    make_app: Callable[..., Flask],
    database: Path,
    tokens_file: Path,
) -> None:
    monkeypatch.setenv("FLASK_DATABASE", "/nowhere")
    make_app(DATABASE=database, TOKENS_FILE=tokens_file)


# Health


def test_a_service_that_can_read_its_jobs_is_healthy(client: FlaskClient) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.text) == (200, '{"status": "ok"}\n')
    assert response.headers["Cache-Control"] == "no-store"


def test_a_service_that_cannot_read_its_tokens_is_not(
    client: FlaskClient, tokens_file: Path
) -> None:
    tokens_file.unlink()
    assert client.get("/healthz").status_code == 503


def test_a_service_that_cannot_is_not_and_says_no_more(
    client: FlaskClient, database: Path, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    run("PRAGMA wal_checkpoint(TRUNCATE)")(database)
    fault.do(database)
    response = client.get("/healthz")
    assert_problem(response, 503, "The service cannot read its jobs or its tokens.")
    (record,) = caplog.records
    assert response.headers["X-Request-Id"] in record.getMessage()
    assert record.exc_info is not None


# The document and the page


@pytest.mark.parametrize("path", ["/openapi.yaml", "/docs/", "/docs/swagger-ui.css"])
@pytest.mark.parametrize("name", ["If-Modified-Since", "If-Unmodified-Since", "If-Range"])
@pytest.mark.parametrize("year", ["9" * 25, "2020"])
def test_a_condition_on_a_date_that_cannot_be_is_passed_over(
    client: FlaskClient, path: str, name: str, year: str
) -> None:
    date = f"Mon, 01 Jan {year} 00:00:00 +{'9' * 25}"
    headers = {name: date, "Range": "bytes=0-1"}
    with client.get(path, headers=headers) as response:
        assert response.status_code in (200, 206)


@pytest.mark.parametrize("path", ["/openapi.yaml", "/docs/swagger-ui.css"])
def test_a_condition_that_there_be_anything_holds(client: FlaskClient, path: str) -> None:
    with client.get(path, headers={"If-Match": "*"}) as response:
        assert response.status_code == 200


@pytest.mark.parametrize("path", ["/openapi.yaml", "/docs/swagger-ui.css"])
def test_a_condition_that_fails_is_a_problem(client: FlaskClient, path: str) -> None:
    response = client.get(path, headers={"If-Match": '"another"'})
    assert_problem(response, 412)


# The log of requests


def test_each_request_is_a_line_of_the_log_at_info(
    get: Get, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bulk_action_jobs")
    get(headers={"X-Request-Id": "r-1"})
    client.get(
        "/", headers={"X-Request-Id": "r-2"}, environ_overrides={"PATH_INFO": "/a\n\x1b[31m"}
    )
    for number, method in (("r-3", "P\x1b"), ("r-4", "get")):
        environ = {"REQUEST_METHOD": method, "HTTP_X_REQUEST_ID": number}
        client.get("/healthz", environ_overrides=environ)
    lines = [record.getMessage() for record in caplog.records]
    assert [text.rpartition(" ")[0] for text in lines] == [
        f"r-1 tester GET {url()} 404",
        "r-2 - GET /a%0A%1B%5B31m 404",
        "r-3 - P%1B /healthz 405",
        "r-4 - get /healthz 405",
    ]
    assert all(0 < int(text.rpartition(" ")[2]) < 10_000_000 for text in lines)
    assert TOKEN not in caplog.text


def test_the_log_of_requests_is_off_otherwise(get: Get, caplog: pytest.LogCaptureFixture) -> None:
    get()
    assert caplog.records == []


# Embedding


def test_two_services_mounted_in_one_process_keep_apart(
    make_app: Callable[..., Flask], database: Path, tokens_file: Path, plant: Plant, tmp_path: Path
) -> None:
    other = tmp_path / "other.db"
    store.create(other)
    plant(path=other, status="of the other")
    plant()
    outer = Flask("outer")
    outer.wsgi_app = DispatcherMiddleware(  # type: ignore[method-assign]
        outer.wsgi_app,
        {
            "/one": make_app(DATABASE=database, TOKENS_FILE=tokens_file),
            "/two": make_app(DATABASE=other, TOKENS_FILE=tokens_file),
        },
    )
    client = outer.test_client()
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Request-Id": "r-1"}
    statuses = []
    for mount in ("/one", "/two"):
        response = client.get(mount + url(), headers=headers)
        assert response.headers["X-Request-Id"] == "r-1"
        statuses.append(response.get_json()["status"])
        problem = client.get(mount + url(UNKNOWN), headers=headers).get_json(force=True)
        assert problem["instance"] == mount + url(UNKNOWN)
    assert statuses == [JOB["status"], "of the other"]
    assert client.get(url(), headers=headers).headers["Content-Type"].startswith("text/html")
