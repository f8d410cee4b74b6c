"""What every request and its answer have: an id, common headers, a line in the log, a problem."""

import json
import logging
import random
import re
import sys
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import current_app, request
from werkzeug.exceptions import HTTPException, NotFound

from web.framework import Response

REQUEST_ID = "bulk_action_jobs.request_id"  # where the WSGI environment has it
CLIENT = "bulk_action_jobs.client"  # the name of the client, once its token is known
JOB = "bulk_action_jobs.job"  # the job that it asked for, or None
_VALID_ID = re.compile("[A-Za-z0-9._-]{1,128}")
_log = logging.getLogger("bulk_action_jobs")

to_json = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode


def reference(environ: WSGIEnvironment, path: str | None = None) -> str:
    """Return `path`, or the request's, with the mount point before it (RFC 3986, 3.3)."""
    path = environ.get("PATH_INFO", "") if path is None else path
    path = environ.get("SCRIPT_NAME", "") + path  # PEP 3333: bytes as Latin-1
    path = f"/{path.lstrip('/')}"  # what begins with // would be read as a host
    return quote(path, safe="/:@!$&'()*+,;=~", encoding="latin-1")


def identified(app: WSGIApplication) -> WSGIApplication:
    """Return a WSGI application that answers as `app` does, and gives each request an id.

    The id is the client's X-Request-Id if that is 1 to 128 characters of A-Z a-z 0-9 . _ -, else
    32 random hexadecimal digits. The log has a line for each request if its level is INFO.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        started = time.perf_counter_ns()
        sent = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = sent if _VALID_ID.fullmatch(sent) else f"{random.getrandbits(128):032x}"
        environ[REQUEST_ID] = request_id
        code = ""

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal code
            code = status[:3]
            headers += [("X-Request-Id", request_id), ("X-Content-Type-Options", "nosniff")]
            return start_response(status, headers, exc_info)

        body = app(environ, start)
        if _log.isEnabledFor(logging.INFO):
            took = (time.perf_counter_ns() - started) // 1000
            client, method = environ.get(CLIENT, "-"), quote(environ["REQUEST_METHOD"])
            line = request_id, client, method, reference(environ), code, took
            _log.info("%s %s %s %s %s %d", *line)
        return body

    return answer


def log_requests() -> None:
    """Log each request to standard output: time, id, client, method, path, status, microseconds."""
    if _log.handlers:
        return  # another application of this process has set it up, or its host
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)


def problem(status: int, detail: str, *headers: tuple[str, str], **details: str) -> Response:
    """Return a problem, an object of `schemas.ProblemSchema` (RFC 9457).

    `detail` is one sentence for people; `details` says what is wrong with each bad parameter.
    """
    members = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": reference(request.environ),
        "error": detail,
        **({"details": details} if details else {}),
        "requestId": request.environ[REQUEST_ID],
    }
    common = [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")]
    return Response(f"{to_json(members)}\n".encode(), status, [*common, *headers])


def answer_error(error: Exception) -> Response:
    """Return the problem of an exception. One that is not HTTP's is logged, and not named."""
    if isinstance(error, HTTPException):
        headers = [pair for pair in error.get_headers() if pair[0].lower() != "content-type"]
        detail = error.description or ""
        if isinstance(error, NotFound):
            detail = f"Nothing is at this path. See {reference(request.environ, '/docs/')}"
        return problem(error.code or 500, detail, *headers)
    where = f"{quote(request.method)} {reference(request.environ)} failed"
    request_id = request.environ[REQUEST_ID]
    current_app.logger.error("%s: %r [request %s]", where, error, request_id, exc_info=error)
    return problem(500, "The server could not answer. Its log has the cause.")
