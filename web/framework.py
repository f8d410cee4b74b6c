"""Flask with request ids, a log, problems and bearer tokens, made quicker: see RESULTS.md."""

import json
import logging
import random
import re
import sys
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment

import flask
from flask_httpauth import HTTPTokenAuth
from werkzeug.datastructures import Authorization, Headers
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import MapAdapter, Rule

CLIENT = "bulk_action_jobs.client"  # the client's name, or None without a valid token
JOB = "bulk_action_jobs.job"  # the job that it asks for, as `bearer_auth` read it, or None
to_json = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode
_VALID_ID = re.compile("[A-Za-z0-9._-]{1,128}")
_log = logging.getLogger("bulk_action_jobs")


class Response(flask.Response):
    """A response that is complete: Werkzeug need not look for what it lacks."""

    default_mimetype = None

    def __init__(self, body: bytes, status: int, headers: list[tuple[str, str]]) -> None:
        if body:
            headers = [*headers, ("Content-Length", str(len(body)))]
        complete = Headers()
        complete[:] = headers  # quicker than to add each
        super().__init__([body], status, complete)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        """Send the headers and the body as they are: bytes, and nothing to call on close."""
        start_response(self.status, [*self.headers])
        has_body = environ["REQUEST_METHOD"] != "HEAD" and self.status_code not in (204, 304)
        return self.response if has_body else []


class ServiceFlask(flask.Flask):
    """Flask that gives each request an id, and tries one route first, without the matcher."""

    job_rule: Rule  # it ends in /<id>

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        """Answer a request under its X-Request-Id, if valid, or a random one; log it at INFO."""
        started = time.perf_counter_ns()
        request_id = environ.get("HTTP_X_REQUEST_ID", "")
        if not _VALID_ID.fullmatch(request_id):
            request_id = environ["HTTP_X_REQUEST_ID"] = f"{random.getrandbits(128):032x}"
        code = ""

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal code
            code = status[:3]
            headers += [("X-Request-Id", request_id), ("X-Content-Type-Options", "nosniff")]
            return start_response(status, headers, exc_info)

        body = super().wsgi_app(environ, start)
        if _log.isEnabledFor(logging.INFO):
            took = (time.perf_counter_ns() - started) // 1000
            client, method = environ.get(CLIENT) or "-", quote(environ["REQUEST_METHOD"])
            _log.info(f"{request_id} {client} {method} {reference(environ)} {code} {took}")
        return body

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """Match a GET of a job here: it has no `url_for`. Match all else by path, not by host."""
        if request is None or self.config["TRUSTED_HOSTS"] or self.config["SERVER_NAME"]:
            return super().create_url_adapter(request)  # no request, or hosts are set
        folder, _, job_id = request.path.rpartition("/")
        if request.method == "GET" and job_id and f"{folder}/<id>" == self.job_rule.rule:
            request.url_rule, request.view_args = self.job_rule, {"id": job_id}
            return None  # there is nothing left to match
        where = request.root_path, None, request.scheme, request.method, request.path
        return self.url_map.bind("", *where)


class BearerAuth(HTTPTokenAuth):  # type: ignore[misc]  # the library ships no types
    """Flask-HTTPAuth for bearer tokens."""

    def get_auth(self) -> Authorization:
        """Return the token, or an empty one. Werkzeug's parser raises on `Basic ÿ`: a 500."""
        scheme, _, token = flask.request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        is_bearer = scheme.lower() == "bearer"
        return Authorization("bearer", token=token.strip(" \t") if is_bearer else "")

    def ensure_sync(self, function: Any) -> Any:
        """Return `function`: none is a coroutine, and to ask Flask takes time."""
        return function


def log_requests() -> None:
    """Log each request to standard output: time, id, client, method, path, status, microseconds."""
    if not _log.handlers:  # else another application of this process has set it up, or its host
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
        _log.addHandler(handler)
        _log.setLevel(logging.INFO)


def reference(environ: WSGIEnvironment, path: str | None = None) -> str:
    """Return `path`, or the request's, with the mount point before it (RFC 3986, 3.3)."""
    path = environ.get("PATH_INFO", "") if path is None else path
    path = environ.get("SCRIPT_NAME", "") + path  # PEP 3333: bytes as Latin-1
    path = f"/{path.lstrip('/')}"  # what begins with // would be read as a host
    return quote(path, safe="/:@!$&'()*+,;=~", encoding="latin-1")


def problem(status: int, detail: str, *headers: tuple[str, str], **details: str) -> Response:
    """Return a problem, a `schemas.ProblemSchema` (RFC 9457); `details` explains bad parameters."""
    members = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": reference(flask.request.environ),
        "error": detail,
        **({"details": details} if details else {}),
        "requestId": flask.request.headers["X-Request-Id"],
    }
    common = [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")]
    return Response(f"{to_json(members)}\n".encode(), status, [*common, *headers])


def answer_error(error: Exception) -> Response:
    """Return the problem of an exception. One that is not HTTP's is logged, and not named."""
    if isinstance(error, HTTPException):
        headers = [pair for pair in error.get_headers() if pair[0].lower() != "content-type"]
        detail = error.description or ""
        if isinstance(error, NotFound):
            detail = f"Nothing is at this path. See {reference(flask.request.environ, '/docs/')}"
        return problem(error.code or 500, detail, *headers)
    where = f"{quote(flask.request.method)} {reference(flask.request.environ)} failed"
    request_id = flask.request.headers["X-Request-Id"]
    flask.current_app.logger.error("%s: %r [request %s]", where, error, request_id, exc_info=error)
    return problem(500, "The server could not answer. Its log has the cause.")
