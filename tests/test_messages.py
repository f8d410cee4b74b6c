import base64
import hashlib
import json
import re
from collections.abc import Callable

import pytest
from conftest import JOB_ID, TOKEN, Get, Plant, url
from flask import Flask, Response
from flask.testing import FlaskClient
from problem import assert_problem
from werkzeug.test import create_environ, run_wsgi_app

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (url(), 200),
        (url("x"), 404),
        ("/nothing", 404),
        ("/healthz", 200),
        ("/openapi.yaml", 200),
        ("/", 302),
        ("/docs", 302),
        ("/docs/", 200),
        ("/docs/swagger-ui.css", 200),
        ("/docs/oauth2-redirect.html", 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_every_answer_has_one_request_id_and_forbids_sniffing(
    client: FlaskClient, plant: Plant, path: str, status: int, method: str
) -> None:
    plant()
    response = client.open(path, method=method, headers=BEARER)
    assert response.status_code == (405 if method == "POST" and path != "/nothing" else status)
    assert response.headers.getlist("X-Content-Type-Options") == ["nosniff"]
    assert len(response.headers.getlist("X-Request-Id")) == 1
    response.close()


@pytest.mark.parametrize("host", ["other.example", 'a b"c', "", "[", "x" * 300])
def test_no_answer_depends_on_the_host(client: FlaskClient, plant: Plant, host: str) -> None:
    plant()
    headers = BEARER | {"Host": host}
    assert client.get(url(), headers=headers).get_json()["job_id"] == JOB_ID
    assert client.get("/docs", headers=headers).headers["Location"] == "/docs/"
    assert client.get("/", headers=headers).headers["Location"] == "/docs/"


def test_a_path_that_a_server_leaves_out_is_the_root(app: Flask) -> None:
    """It may, where it is empty (PEP 3333)."""
    environ = create_environ()
    del environ["PATH_INFO"]
    _, status, headers = run_wsgi_app(app, environ)
    assert (status, headers["Location"]) == ("302 FOUND", "/docs/")


@pytest.mark.parametrize("path", ["", "/", "/docs"])
def test_no_redirect_leads_to_another_host(client: FlaskClient, path: str) -> None:
    environ = {"SCRIPT_NAME": "//other.example", "PATH_INFO": path}
    response = client.get("/", environ_overrides=environ)
    assert response.headers["Location"] == "/.//other.example/docs/"


def test_a_host_that_is_not_trusted_is_refused(
    make_app: Callable[..., Flask], database: str, tokens_file: str
) -> None:
    app = make_app(DATABASE=database, TOKENS_FILE=tokens_file, TRUSTED_HOSTS=["jobs.example"])
    client = app.test_client()
    assert_problem(client.get("/nothing", headers={"Host": "other.example"}), 400)
    trusted = client.get(url(), headers=BEARER | {"Host": "jobs.example"})
    assert_problem(trusted, 404, "No bulk action job has this id.")
    for environ in ({"REQUEST_METHOD": "get"}, {"PATH_INFO": f"/{url()}"}):
        strict = client.get(url(), headers={"Host": "jobs.example"}, environ_overrides=environ)
        assert strict.status_code in (404, 405)


def test_a_request_to_change_the_protocol_is_passed_over(get: Get, plant: Plant) -> None:
    plant()
    assert get(headers={"Connection": "Upgrade", "Upgrade": "websocket"}).status_code == 200


def test_a_cookie_is_passed_over(get: Get, plant: Plant) -> None:
    plant()
    response = get(headers={"Cookie": "session=eyJhIjoxfQ.x.y"})
    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers


def test_a_response_may_be_changed_and_waited_for_by_its_host(
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
    assert response.get_json()["status"] == "seen by the host"
    assert ended == []
    response.close()
    assert ended == [200]


def test_the_page_runs_and_loads_what_is_its_own_alone(client: FlaskClient) -> None:
    response = client.get("/docs/")
    policy = dict(
        directive.split(" ", 1)
        for directive in response.headers["Content-Security-Policy"].split("; ")
    )
    for name in ("default-src", "base-uri", "form-action", "frame-ancestors"):
        assert policy[name] == "'none'"
    assert policy["style-src"] == policy["connect-src"] == "'self'"
    (script,) = re.findall("<script>(.+?)</script>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"


def test_the_page_asks_no_other_host_and_can_load_no_other_document(client: FlaskClient) -> None:
    (text,) = re.findall("user_config = ({.+?});", client.get("/docs/").text)
    config = json.loads(text)
    assert config["validatorUrl"] is config["oauth2RedirectUrl"] is None
    assert config["layout"] == "BaseLayout"
    assert config["tryItOutEnabled"] is True
