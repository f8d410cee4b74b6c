import logging
import re
import sys
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, abort, request
from flask.testing import FlaskClient
from problem import assert_problem
from samples import BEARER, Get, Log, MakeApp, Patch, Plant, url

ANSWERS = ((url(), 200), ("/", 302), ("/docs/", 200), ("/closed", 503), ("/bug", 500))
INSTANCES = (
    ("/a b%?#\xc3\xbc\xff", "/a%20b%25%3F%23%C3%BC%FF"),
    ("//host:port/..//a", "/host:port/..//a"),
    ("a:b", "/a:b"),
)


def bug() -> Any:
    raise KeyError("secret\nforged line")


@pytest.mark.parametrize(("path", "status"), ANSWERS)
def test_every_answer_has_its_request_id(app: Flask, plant: Plant, path: str, status: int) -> None:
    plant()
    app.add_url_rule("/closed", view_func=lambda: abort(Response("closed", 503)))
    app.add_url_rule("/bug", view_func=bug)
    sent = "A.b_c-9".ljust(128, "x")
    with FlaskClient(app).get(path, headers=BEARER | {"X-Request-Id": sent}) as response:
        assert response.status_code == status
        assert response.headers.getlist("X-Request-Id") == [sent]
        assert response.headers.getlist("X-Content-Type-Options") == ["nosniff"]


@pytest.mark.parametrize("offered", ["", "x" * 129, "a b", "ä", "a\x1b", "a:b", "a\n", "٣"])
def test_any_other_request_id_is_replaced(client: FlaskClient, offered: str) -> None:
    environ = {"HTTP_X_REQUEST_ID": offered}
    ids = {client.get("/", environ_overrides=environ).headers["X-Request-Id"] for _ in "12"}
    assert len(ids) == 2
    assert all(re.fullmatch("(?!0{8})[0-9a-f]{32}", made) for made in ids)


def test_each_request_is_a_line_of_the_log_at_info(
    get: Get, client: FlaskClient, plant: Plant, caplog: Log, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(time, "perf_counter_ns", count(0, 1_500_000).__next__)  # read twice
    plant()
    get()
    assert caplog.messages == []
    caplog.set_level(logging.INFO, "bulk_action_jobs")
    get(headers={"X-Request-Id": "r-1"})
    client.get(f"{url()}?token=secret", headers={"X-Request-Id": "r-2"})
    environ = {"PATH_INFO": "/a\n\x1b", "REQUEST_METHOD": "P\x1b \n", "SCRIPT_NAME": "/shield"}
    client.get("/", environ_overrides=environ | {"HTTP_X_REQUEST_ID": "r-3"})
    assert caplog.messages == [
        f"r-1 tester GET {url()} 200 1500",
        f"r-2 - GET {url()} 401 1500",
        "r-3 - P%1B%20%0A /shield/a%0A%1B 404 1500",
    ]


def test_the_log_goes_to_standard_output_once_with_its_time_and_its_offset_from_utc(
    make_app: MakeApp, database: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        for _ in "12":  # one line, however many services there are
            app = make_app(DATABASE=database, REQUEST_LOG=True)
        app.test_client().get("/healthz")
    time.tzset()
    pattern = r"(\S{19}\+0530) [0-9a-f]{32} - GET /healthz 200 \d+\n"
    match = re.fullmatch(pattern, capsys.readouterr().out)
    assert match
    assert abs((datetime.now(UTC) - datetime.fromisoformat(match[1])).total_seconds()) < 60


def test_a_bug_is_a_500_logged_once_with_its_traceback(app: Flask, caplog: Log) -> None:
    app.before_request(bug)
    app.debug = True
    environ = {"REQUEST_METHOD": "P\n", "PATH_INFO": "/\nforged", "HTTP_X_REQUEST_ID": "r-1"}
    assert_problem(app.test_client().get("/", environ_overrides=environ), 500)
    (record,) = caplog.records
    message = r"P%0A /%0Aforged failed: KeyError('secret\nforged line') [request r-1]"
    assert (record.levelname, record.getMessage()) == ("ERROR", message)
    assert "in bug\n" in caplog.text  # of its traceback


@pytest.mark.parametrize(("path_info", "instance"), INSTANCES)
def test_an_instance_is_a_uri_reference(client: FlaskClient, path_info: str, instance: str) -> None:
    response = client.get("/?token=secret", environ_overrides={"PATH_INFO": path_info})
    assert response.get_json(force=True)["instance"] == instance


def test_a_host_that_is_not_trusted_is_refused(
    make_app: MakeApp, plant: Plant, database: Path, monkeypatch: Patch
) -> None:
    plant()
    monkeypatch.setenv("FLASK_TRUSTED_HOSTS", '["jobs.example"]')
    client = FlaskClient(make_app(DATABASE=database))  # the contract has no 400
    for path in (url(), "/nothing"):
        assert_problem(client.get(path, headers=BEARER | {"Host": "other.example"}), 400)
    assert client.get(url(), headers=BEARER | {"Host": "jobs.example"}).status_code == 200


def test_an_embedder_may_change_a_response(app: Flask, get: Get, plant: Plant) -> None:
    @app.after_request
    def change(response: Response) -> Response:
        response.set_data(response.get_data() + b"\n")
        response.status_code = int(request.headers.get("X-Status", 200))
        return response

    plant()
    response = get()
    assert response.data.endswith(b"}\n\n")
    assert response.headers["Content-Length"] == str(len(response.data))
    for status in ("204", "304"):  # of these no body is sent
        assert FlaskClient(app).get(url(), headers=BEARER | {"X-Status": status}).data == b""


@pytest.mark.parametrize("path", ["/", "/docs", "//"])
def test_the_root_leads_to_the_page_below_its_mount(client: FlaskClient, path: str) -> None:
    for mount in ("", "/shield", "/a b"):
        environ = {"SCRIPT_NAME": mount, "PATH_INFO": path, "HTTP_HOST": "other.example"}
        answer = client.get("/", environ_overrides=environ)
        assert answer.status_code == 302
        assert answer.headers["Location"] == f"{mount.replace(' ', '%20')}/docs/"


@pytest.mark.parametrize("path", ["/docs/", "/docs/swagger-ui.css"])
def test_the_page_is_kept_for_an_hour(client: FlaskClient, path: str) -> None:
    with client.get(path) as response:
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "public, max-age=3600"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; ")


def test_an_async_hook_gets_advice(app: Flask, get: Get, monkeypatch: Patch, caplog: Log) -> None:
    monkeypatch.setitem(sys.modules, "asgiref.sync", None)  # it is not installed

    @app.before_request
    async def hook() -> None:
        """Do nothing."""

    assert_problem(get(), 500)
    assert "Install Flask with the 'async' extra" in caplog.text
