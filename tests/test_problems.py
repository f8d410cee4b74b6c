import logging
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


def test_an_http_exception_keeps_its_status_and_headers_even_those_that_come_twice(
    app: Flask,
) -> None:
    def unauthorized() -> Any:
        raise Unauthorized(www_authenticate=[WWWAuthenticate("basic"), WWWAuthenticate("digest")])

    app.add_url_rule("/twice", view_func=unauthorized)
    app.add_url_rule("/unready", view_func=lambda: abort(503, retry_after=7))
    unready, twice = map(app.test_client().get, ("/unready", "/twice"))
    assert_problem(unready, 503)
    assert unready.headers["Retry-After"] == "7"
    assert twice.headers.getlist("WWW-Authenticate") == ["Basic", "Digest"]


def test_a_bug_is_a_500_logged_once_with_its_traceback(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    def bug() -> Any:
        raise KeyError("secret\nforged line")

    app.add_url_rule("/bug", view_func=bug)
    response = app.test_client().get("/bug", headers={"X-Request-Id": "r-1"})
    assert_problem(response, 500)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == r"GET /bug failed: KeyError('secret\nforged line') [request r-1]"
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError


@pytest.mark.parametrize("mount", ["", "/shield"])
def test_the_404_of_an_unknown_path_names_the_page(client: FlaskClient, mount: str) -> None:
    response = client.get("/nothing", environ_overrides={"SCRIPT_NAME": mount})
    problem = response.get_json(force=True)
    assert problem["detail"] == f"Nothing is at this path. See {mount}/docs/"
