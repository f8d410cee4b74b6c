"""What is overridden of the libraries, for speed: tools/benchmarks/RESULTS.md has the figures."""

from typing import Any

import flask
from flask.sessions import NullSession, SessionInterface
from flask_httpauth import HTTPTokenAuth
from werkzeug.datastructures import Authorization, Headers
from werkzeug.routing import MapAdapter, Rule


class Response(flask.Response):
    """A response whose headers are complete: Werkzeug need not look for what they lack."""

    default_mimetype = None

    def __init__(self, body: bytes, status: int, headers: list[tuple[str, str]]) -> None:
        if body:
            headers = [*headers, ("Content-Length", str(len(body)))]
        complete = Headers()
        complete[:] = headers  # quicker than to add each
        super().__init__([body], status, complete)

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """Return the headers as they are."""
        return self.headers


class _NoSession(SessionInterface):
    session = NullSession()

    def open_session(self, *_: Any) -> NullSession:
        """Return the same one for all requests: nothing can be put into it."""
        return self.session


class _Router(MapAdapter):
    job_rule: Rule

    def match(self, *args: Any, **kwargs: Any) -> Any:
        """Match the path of a job without Werkzeug's matcher."""
        folder, _, job_id = self.path_info.rpartition("/")
        is_read = self.default_method in ("GET", "HEAD")
        is_flasks = kwargs == {"return_rule": True}  # as Flask asks for each request
        if f"{folder}/<id>" == self.job_rule.rule and job_id and is_read and is_flasks:
            return self.job_rule, {"id": job_id}
        return super().match(*args, **kwargs)


class ServiceFlask(flask.Flask):
    """Flask with this router and no sessions; `job_rule` is the route that it tries first."""

    job_rule: Rule
    session_interface = _NoSession()

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """Return a router that ignores the host, unless the configuration names hosts."""
        if request is None or self.config["TRUSTED_HOSTS"] or self.config["SERVER_NAME"]:
            return super().create_url_adapter(request)
        where = request.root_path, "", request.scheme, request.path, request.method
        router = _Router(self.url_map, "", *where)
        router.job_rule = self.job_rule
        return router


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
