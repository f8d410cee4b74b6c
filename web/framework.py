"""What is overridden of the libraries, for speed: tools/benchmarks/RESULTS.md has the figures."""

from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import flask
from flask_httpauth import HTTPTokenAuth
from werkzeug.datastructures import Authorization, Headers
from werkzeug.routing import MapAdapter, Rule


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
        """Send the headers and the body as they are; `call_on_close` does nothing."""
        start_response(self.status, [*self.headers])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else self.response


class ServiceFlask(flask.Flask):
    """Flask that tries one route before the others, and without Werkzeug's matcher."""

    job_rule: Rule  # it ends in /<id>

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """Match the path of a job, for whose request there is no `url_for`; else ignore the host.

        Where the configuration names hosts, Flask does all of it.
        """
        if request is None or self.config["TRUSTED_HOSTS"] or self.config["SERVER_NAME"]:
            return super().create_url_adapter(request)
        folder, _, job_id = request.path.rpartition("/")
        is_read = request.method in ("GET", "HEAD")
        if is_read and job_id and f"{folder}/<id>" == self.job_rule.rule:
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
