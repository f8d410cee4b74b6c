"""Every error answer, as problem details (RFC 9457, formerly RFC 7807)."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import quote

from flask import current_app
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from messages import Response, current_request

_Map = Mapping[str, str] | None
to_json = json.JSONEncoder(ensure_ascii=False).encode


class Problem(HTTPException):
    """An error, to return through `problem_response` or to raise.

    `status` is the HTTP status code, `detail` one sentence for people, `details` maps each bad
    parameter to what is wrong with it, and `headers` are added to the answer.
    """

    def __init__(
        self, status: int, detail: str, details: _Map = None, headers: _Map = None
    ) -> None:
        super().__init__(detail)
        self.code, self.details, self.headers = status, details, headers or {}

    def get_headers(self, *_: object) -> list[tuple[str, str]]:
        """Return `headers` alone, where Werkzeug adds a Content-Type."""
        return list(self.headers.items())


def problem_response(error: Exception) -> Response:
    """Return the problem response for `error`: an object of `schemas.ProblemSchema`.

    An HTTP exception keeps its status, text and headers. Any other exception is logged with its
    traceback, and answered with a 500 that does not name the cause.
    """
    request = current_request()
    if not isinstance(error, HTTPException):
        where = f"{quote(request.method)} {request.reference()} failed"
        current_app.logger.exception("%s: %r [request %s]", where, error, request.id)
        error = Problem(500, "The server could not answer. Its log has the cause.")
    if isinstance(error, NotFound):
        error.description = f"Nothing is at this path. See {request.reference('/docs/')}"
    if isinstance(error, MethodNotAllowed):  # a set: sort it for a stable Allow
        error.valid_methods = sorted(error.valid_methods or ())
    status, detail = error.code or 500, error.description or ""
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.reference(),
        "error": detail,
    }
    if details := getattr(error, "details", None):
        problem["details"] = dict(details)
    problem["requestId"] = request.id
    headers = [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")]
    headers += [(name, value) for name, value in error.get_headers() if name != "Content-Type"]
    return Response(f"{to_json(problem)}\n".encode(), status, headers)
