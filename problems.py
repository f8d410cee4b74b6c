"""Every error that the application answers: a problem details object (RFC 9457, once RFC 7807)."""

import json
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from types import MappingProxyType
from urllib.parse import quote

from flask import current_app
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from messages import Response, current_request
from schemas import ProblemSchema

_SCHEMA = ProblemSchema()
_to_json = json.JSONEncoder(ensure_ascii=False).encode  # one line, in UTF-8


class Problem(HTTPException):
    """A request's end in an error of the documentation.

    Takes `status`, the HTTP status code, `detail`, a sentence for people, `details`, what is wrong
    with each member at fault, by its name, and `headers`, which go out with the answer.
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
        self.details = tuple(details.items()) if details else ()
        self.headers = headers or {}

    def get_headers(self, *_: object) -> list[tuple[str, str]]:
        """Return the headers that the problem came with."""
        return list(self.headers.items())


def problem_response(error: Exception) -> Response:
    """Return the problem that tells a client of `error`.

    An HTTP exception keeps its status, text and headers. Any other is logged, once, with its
    traceback, and becomes a 500 that tells the client its request id and nothing else.
    """
    request = current_request()
    if not isinstance(error, HTTPException):
        method, path = quote(request.method), request.instance
        current_app.logger.exception(
            "%s %s failed: %r [request %s]", method, path, error, request.id
        )
        error = Problem(500, "The server could not answer. Its log has the cause.")
    if isinstance(error, MethodNotAllowed):  # a set: its order changes from process to process
        error.valid_methods = sorted(error.valid_methods or ())
    status = error.code or 500
    details = error.details if isinstance(error, Problem) else ()
    envelope = _envelope(status, error.description or "", details)
    members = envelope | {"instance": request.instance, "requestId": request.id}
    body = f"{_to_json(members)}\n".encode()
    headers = (
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    )
    response = Response(body, status, headers)
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers.add(name, value)
    return response


@lru_cache(maxsize=64)
def _envelope(
    status: int, detail: str, details: tuple[tuple[str, str], ...]
) -> MappingProxyType[str, object]:
    """Return the members of a problem, each in its place: those of the request still empty."""
    problem: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": "",
        "error": detail,
        "requestId": "",
    }
    if details:
        problem["details"] = dict(details)
    return MappingProxyType(_SCHEMA.dump(problem))  # all requests share it
