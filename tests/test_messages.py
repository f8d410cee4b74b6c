import json
import re
from pathlib import Path

import pytest
from conftest import TOKEN, Get, Plant, url
from flask import Flask, Response, url_for
from flask.testing import FlaskClient
from problem import assert_problem
from werkzeug.test import create_environ, run_wsgi_app

from app import create_app

BEARER = {"Authorization": f"Bearer {TOKEN}"}
STATUSES = {
    url(): 200,
    url("x"): 404,
    "/nothing": 404,
    "/healthz": 200,
    "/openapi.yaml": 200,
    "/": 302,
    "/docs": 302,
    "/docs/": 200,
    "/docs/index.html": 200,
    "/docs/swagger-ui.css": 200,
}


@pytest.mark.parametrize("path", STATUSES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_every_answer_has_one_request_id_and_forbids_sniffing(
    client: FlaskClient, plant: Plant, path: str, method: str
) -> None:
    plant()
    with client.open(path, method=method, headers=BEARER) as response:
        expected = 405 if method == "POST" and path != "/nothing" else STATUSES[path]
        assert response.status_code == expected
        assert response.headers.getlist("X-Content-Type-Options") == ["nosniff"]
        assert len(response.headers.getlist("X-Request-Id")) == 1


@pytest.mark.parametrize("offered", ["a", "A.b_c-9", "x" * 128])
def test_a_fit_request_id_is_sent_back(get: Get, plant: Plant, offered: str) -> None:
    plant()
    for job_id in (None, "x"):
        response = get(*filter(None, [job_id]), headers={"X-Request-Id": offered})
        assert response.headers["X-Request-Id"] == offered
    assert response.get_json(force=True)["requestId"] == offered


@pytest.mark.parametrize("offered", ["", "x" * 129, "a b", "a,b", "ä", "a\x1b", "a:b", "a\n", "٣"])
def test_any_other_request_id_is_replaced(client: FlaskClient, offered: str) -> None:
    environ = {"HTTP_X_REQUEST_ID": offered}
    ids = {client.get("/", environ_overrides=environ).headers["X-Request-Id"] for _ in "12"}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", made) for made in ids)


@pytest.mark.parametrize("host", ["other.example", 'a b"c', "", "[", "x" * 300])
def test_no_answer_depends_on_the_host(client: FlaskClient, plant: Plant, host: str) -> None:
    plant()
    headers = BEARER | {"Host": host}
    assert client.get(url(), headers=headers).status_code == 200
    assert client.get("/", headers=headers).headers["Location"] == "/docs/"


def test_a_host_that_is_not_trusted_is_refused(app: Flask) -> None:
    app.config["TRUSTED_HOSTS"] = ["jobs.example"]
    client = app.test_client()
    assert_problem(client.get("/nothing", headers={"Host": "other.example"}), 400)
    assert_problem(client.get(url(), headers=BEARER | {"Host": "jobs.example"}), 404)


def test_a_path_that_a_server_leaves_out_is_the_root(app: Flask) -> None:
    """It may, if the path is empty (PEP 3333)."""
    environ = create_environ()
    del environ["PATH_INFO"]
    _, status, headers = run_wsgi_app(app, environ)
    assert (status, headers["Location"]) == ("302 FOUND", "/docs/")


@pytest.mark.parametrize("path", ["", "/", "/docs"])
def test_no_redirect_leads_to_another_host(client: FlaskClient, path: str) -> None:
    environ = {"SCRIPT_NAME": "//other.example", "PATH_INFO": path}
    response = client.get("/", environ_overrides=environ)
    assert response.headers["Location"] == "/.//other.example/docs/"


@pytest.mark.parametrize(
    "headers", [{"Connection": "Upgrade", "Upgrade": "websocket"}, {"Cookie": "session=eyJhIjoxfQ"}]
)
def test_what_the_service_does_not_know_is_passed_over(
    get: Get, plant: Plant, headers: dict[str, str]
) -> None:
    plant()
    response = get(headers=headers)
    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers


def test_a_host_may_change_a_response_and_wait_for_its_end(
    app: Flask, get: Get, plant: Plant
) -> None:
    ended = []

    @app.after_request
    def change(response: Response) -> Response:
        response.call_on_close(lambda: ended.append(response.status_code))
        response.set_data(json.dumps(response.get_json() | {"status": "seen by the host"}))
        return response

    plant()
    response = get()
    assert response.headers["Content-Length"] == str(len(response.data))
    assert response.get_json()["status"] == "seen by the host"
    assert ended == []
    response.close()
    assert ended == [200]


def test_a_host_may_find_routes_and_make_urls(database: Path, tokens_file: Path) -> None:
    app = create_app({"DATABASE": database, "TOKENS_FILE": tokens_file, "SERVER_NAME": "a.example"})
    with app.app_context():
        made = url_for("get_bulk_action_job", id="x")
    assert made == f"http://a.example{url('x')}"
    with app.test_request_context(url()) as context:
        assert context.request.endpoint == "get_bulk_action_job"
        adapter = app.create_url_adapter(context.request)
        assert adapter is not None
        assert adapter.match("/healthz") == ("health", {})
