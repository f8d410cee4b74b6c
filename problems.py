"""Every error that the application answers: a problem details object (RFC 9457, once RFC 7807)."""

import re
import secrets
import time
from collections.abc import Mapping
from functools import cached_property
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

import flask
from flask import Response, current_app
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from schemas import ProblemSchema, to_json

_SCHEMA = ProblemSchema()
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Request(flask.Request):
    """A request with an id, and the time when it came."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.started = time.perf_counter_ns()

    @cached_property
    def id(self) -> str:
        """The client's own id where it is fit for a header and a log line, else a new one."""
        offered = self.environ.get("HTTP_X_REQUEST_ID", "")
        return offered if _REQUEST_ID.fullmatch(offered) else secrets.token_hex(16)


request = cast("Request", flask.request)


class Problem(HTTPException):
    """Raised when a request ends in an error of the documentation.

    `status` is the HTTP status code, `detail` a sentence for people, `details` what is wrong with
    each member at fault, by its name; `headers` go out with the answer.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        details: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = status
        self.details = details
        self.headers = headers or {}

    def get_headers(self, *_: object) -> list[tuple[str, str]]:
        """Return the headers that the problem came with."""
        return list(self.headers.items())


def problem_response(error: Exception) -> Response:
    """Return the problem that tells a client of `error`.

    An HTTP exception keeps its status, text and headers. Any other is logged, once, with its
    traceback, and becomes a 500 that tells the client its request id and nothing else.
    """
    if not isinstance(error, HTTPException):
        current_app.logger.exception(
            "%s %s failed: %r [request %s]", quote(request.method), instance(), error, request.id
        )
        error = Problem(500, "The server could not answer. Its log has the cause.")
    if isinstance(error, MethodNotAllowed):  # a set: its order changes from process to process
        error.valid_methods = sorted(error.valid_methods or ())
    status = HTTPStatus(error.code or 500)
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": error.description,
        "instance": instance(),
        "error": error.description,
        "requestId": request.id,
    }
    if isinstance(error, Problem) and error.details:
        problem["details"] = error.details
    response = Response(
        to_json(_SCHEMA.dump(problem)) + "\n",
        status,
        mimetype="application/problem+json",
    )
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers.add(name, value)
    response.headers["Cache-Control"] = "no-store"
    return response


def instance() -> str:
    """Return the path of the request, mount point included, as a URI reference (RFC 3986, 4.2).

    Two slashes in front would name a host: a dot segment keeps them a path.
    """
    path = request.environ.get("SCRIPT_NAME", "") + request.environ.get("PATH_INFO", "")
    quoted = quote(path, safe="/:@!$&'()*+,;=~", encoding="latin-1")
    return f"/.{quoted}" if quoted.startswith("//") else quoted
