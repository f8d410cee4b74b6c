import re

import pytest
from conftest import TOKEN, Get, Plant, url
from flask import Flask, Response
from flask.testing import FlaskClient
from problem import assert_problem

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    "path", [url(), url("x"), "/nothing", "/healthz", "/openapi.yaml", "/", "/docs/index.html"]
)
def test_every_answer_has_one_request_id(client: FlaskClient, plant: Plant, path: str) -> None:
    plant()
    with client.get(path, headers=BEARER) as response:
        assert response.headers.getlist("X-Content-Type-Options") == ["nosniff"]
        assert len(response.headers.getlist("X-Request-Id")) == 1


@pytest.mark.parametrize("offered", ["a", "A.b_c-9", "x" * 128])
def test_a_fit_request_id_is_sent_back(get: Get, plant: Plant, offered: str) -> None:
    plant()
    headers = {"X-Request-Id": offered}
    assert get(headers=headers).headers["X-Request-Id"] == offered
    assert get("x", headers=headers).get_json(force=True)["requestId"] == offered


@pytest.mark.parametrize("offered", ["", "x" * 129, "a b", "ä", "a\x1b", "a:b", "a\n", "٣"])
def test_any_other_request_id_is_replaced(client: FlaskClient, offered: str) -> None:
    environ = {"HTTP_X_REQUEST_ID": offered}
    ids = {client.get("/", environ_overrides=environ).headers["X-Request-Id"] for _ in "12"}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", made) for made in ids)


def test_a_host_that_is_not_trusted_is_refused(app: Flask) -> None:
    app.config["TRUSTED_HOSTS"] = ["jobs.example"]
    client = app.test_client()
    assert_problem(client.get("/nothing", headers={"Host": "other.example"}), 400)
    assert_problem(client.get(url(), headers=BEARER | {"Host": "jobs.example"}), 404)


def test_an_embedder_may_change_a_response(app: Flask, get: Get, plant: Plant) -> None:
    ended = []

    @app.after_request
    def change(response: Response) -> Response:
        response.call_on_close(lambda: ended.append(response.status_code))
        response.set_data(response.get_data() + b"\n")
        return response

    plant()
    response = get()
    assert response.data.endswith(b"}\n\n")
    assert response.headers["Content-Length"] == str(len(response.data))
    assert ended == []
    response.close()
    assert ended == [200]


@pytest.mark.parametrize(
    ("path_info", "instance"),
    [
        ("/a b%", "/a%20b%25"),
        ("/a?b#c", "/a%3Fb%23c"),
        ("/\xc3\xbc\xff", "/%C3%BC%FF"),
        ("/\n\x1b[31m", "/%0A%1B%5B31m"),
        ("//host:port/..//a", "/.//host:port/..//a"),
    ],
)
def test_the_instance_is_the_path_without_its_query_as_a_uri_reference(
    client: FlaskClient, path_info: str, instance: str
) -> None:
    response = client.get("/?token=secret", environ_overrides={"PATH_INFO": path_info})
    assert response.get_json(force=True)["instance"] == instance
