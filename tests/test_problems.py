import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient
from problem import assert_problem
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from schemas import ProblemSchema


def test_a_problem_has_the_documented_members_in_the_documented_order(client: FlaskClient) -> None:
    problem = client.get("/nothing").get_json(force=True)
    assert list(problem) == [name for name in ProblemSchema().fields if name != "details"]


@pytest.mark.parametrize(
    ("path_info", "instance"),
    [
        ("/a b", "/a%20b"),
        ("/a%", "/a%25"),
        ("/a?b#c", "/a%3Fb%23c"),
        ("/jobs/urn:uuid:{x}", "/jobs/urn:uuid:%7Bx%7D"),
        ("/\xc3\xbc", "/%C3%BC"),
        ("/\xff", "/%FF"),
        ("/\n\x1b[31m", "/%0A%1B%5B31m"),
        ("//host:port/a", "/.//host:port/a"),
        ("/..//a", "/..//a"),
        ("*", "*"),
        ("a:1", "./a:1"),
    ],
)
def test_the_instance_is_the_path_as_a_uri_reference(
    client: FlaskClient, path_info: str, instance: str
) -> None:
    response = client.get("/", environ_overrides={"PATH_INFO": path_info})
    assert response.get_json(force=True)["instance"] == instance


def test_the_instance_names_the_mount_point_too(client: FlaskClient) -> None:
    response = client.get("/nothing", environ_overrides={"SCRIPT_NAME": "/mount"})
    assert response.get_json(force=True)["instance"] == "/mount/nothing"


def test_the_query_is_no_part_of_the_instance(client: FlaskClient) -> None:
    response = client.get("/nothing?token=secret")
    assert response.get_json(force=True)["instance"] == "/nothing"


def test_an_http_exception_keeps_its_status_and_headers(app: Flask) -> None:
    app.add_url_rule("/unready", view_func=lambda: abort(503, retry_after=7))
    response = app.test_client().get("/unready")
    assert_problem(response, 503)
    assert response.headers["Retry-After"] == "7"


def test_a_bug_is_a_500_logged_once_with_its_traceback(
    make_app: Callable[..., Flask], app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    def bug() -> Any:
        raise KeyError("secret\nforged line")

    app.add_url_rule("/bug", view_func=bug)
    response = app.test_client().get("/bug", headers={"X-Request-Id": "r-1"})
    assert_problem(response, 500)
    assert "secret" not in response.text
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == r"GET /bug failed: KeyError('secret\nforged line') [request r-1]"
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError


def test_an_http_exception_keeps_headers_that_come_twice(app: Flask) -> None:
    def unauthorized() -> Any:
        raise Unauthorized(www_authenticate=[WWWAuthenticate("basic"), WWWAuthenticate("digest")])

    app.add_url_rule("/twice", view_func=unauthorized)
    response = app.test_client().get("/twice")
    assert response.headers.getlist("WWW-Authenticate") == ["Basic", "Digest"]
