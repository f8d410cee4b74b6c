"""Every error answer, as problem details (RFC 9457, formerly RFC 7807)."""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from urllib.parse import quote

from flask import current_app, request
from werkzeug.exceptions import HTTPException, NotFound

from web.framework import Response
from web.middleware import REQUEST_ID, reference

to_json = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode


def problem(
    status: int,
    detail: str,
    details: Mapping[str, str] | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> Response:
    """Return a problem: an object of `schemas.ProblemSchema`.

    `status` is the HTTP status code, `detail` one sentence for people, `details` says of each bad
    parameter what is wrong with it, and `headers` are added to the answer.
    """
    members = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": reference(request.environ),
        "error": detail,
        **({"details": dict(details)} if details else {}),
        "requestId": request.environ[REQUEST_ID],
    }
    common = [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")]
    return Response(f"{to_json(members)}\n".encode(), status, [*common, *headers])


def answer_error(error: Exception) -> Response:
    """Return the problem of an exception.

    An HTTP exception keeps its status, text and headers. Any other exception is logged with its
    traceback, and answered with a 500 that does not name the cause.
    """
    if isinstance(error, HTTPException):
        headers = [pair for pair in error.get_headers() if pair[0].lower() != "content-type"]
        detail = error.description or ""
        if isinstance(error, NotFound):
            detail = f"Nothing is at this path. See {reference(request.environ, '/docs/')}"
        return problem(error.code or 500, detail, headers=headers)
    where = f"{quote(request.method)} {reference(request.environ)} failed"
    request_id = request.environ[REQUEST_ID]
    current_app.logger.error("%s: %r [request %s]", where, error, request_id, exc_info=error)
    return problem(500, "The server could not answer. Its log has the cause.")
