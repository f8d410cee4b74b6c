"""A bulk action job of a network appliance, over HTTP, from a SQLite file."""

import base64
import hashlib
import json
import logging
import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import click
from flask import Flask, Request, Response, g, redirect, request
from flask.cli import FlaskGroup
from flask.sessions import NullSession, SessionInterface
from flask_swagger_ui import get_swaggerui_blueprint
from marshmallow import ValidationError
from werkzeug.exceptions import PreconditionFailed
from werkzeug.http import parse_date
from werkzeug.routing import MapAdapter
from werkzeug.wrappers import Response as WerkzeugResponse

import commands
import demo
import messages
from auth import LINE, TokenFile, TokensError, bearer_auth
from messages import current_request
from problems import Problem, problem_response
from schemas import JobSchema, dump_job, has_ended, is_uuid, to_json
from store import JobStore, StoreError

RETRY_AFTER = 2  # seconds until a job that has not ended is worth asking for again
_RETRY_AFTER = ("Retry-After", str(RETRY_AFTER))
_CACHE_CONTROL = ("Cache-Control", "private, no-cache")
_VARY = ("Vary", "Authorization")
_CONTENT_TYPE = ("Content-Type", "application/json")

_JOBS_PATH = "/api/actions/bulk/jobs"
_OPENAPI = Path(__file__).with_name("openapi.yaml")
_DOCS = {
    # Relative, and so right under any mount point.
    "base_url": ".",
    "api_url": "../openapi.yaml",
    "config": {
        "app_name": "Bulk action jobs",
        "validatorUrl": None,  # asks a host of the internet
        "oauth2RedirectUrl": None,  # echoes the Host header
        "layout": "BaseLayout",  # without the bar that loads another document
        "tryItOutEnabled": True,
    },
}
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_Function = TypeVar("_Function", bound=Callable[..., Any])
_log = logging.getLogger("bulk_action_jobs")


class _NoSession(SessionInterface):
    """No session, and so nothing to look for in a cookie."""

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self.make_null_session(app)


class _Routes(MapAdapter):
    """Finds the route of a job at once.

    Werkzeug walks through the path, which takes a quarter of a request, and leaves a reference
    cycle behind.
    """

    def match(self, *args: Any, **kwargs: Any) -> Any:
        folder, _, id = self.path_info.rpartition("/")  # noqa: A001 (the documented name)
        of_request = not args and kwargs == {"return_rule": True}
        if folder == _JOBS_PATH and id and of_request and self.default_method in ("GET", "HEAD"):
            (rule,) = self.map.iter_rules("get_bulk_action_job")
            return rule, {"id": id}
        return super().match(*args, **kwargs)


class _Flask(Flask):
    """Flask without the parts that cost time and that nothing here has a use for."""

    request_class = messages.Request
    session_interface = _NoSession()

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what finds a request's route: no route, and no URL here, depends on the host."""
        if request is None or self.config["TRUSTED_HOSTS"] is not None:
            adapter = super().create_url_adapter(request)  # refuses the hosts that are not
            if request is None:
                return adapter
        path, method = request.path, request.method
        # Werkzeug would take two slashes for one, and a method for that in capitals, which is
        # another (RFC 9110, 9.1): neither of these is there to be found.
        if request.environ.get("PATH_INFO", "").startswith("//"):
            path = f"/.{path}"
        if method != method.upper():
            method = "-"
        return _Routes(self.url_map, "", request.root_path, "", request.scheme, path, method)

    def ensure_sync(self, func: _Function) -> _Function:
        """Return the function as it is: none here is a coroutine, and to look costs time."""
        return func


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return the service as a WSGI application.

    `config` overrides the settings of the environment (`FLASK_DATABASE`, `FLASK_TOKENS_FILE`):
    `DATABASE`, the path of the SQLite file, and `TOKENS_FILE`, the path of the token file. Without
    a `DATABASE` it serves the demo.

    While the `flask` command looks for its commands, the application has those alone: no routes,
    and no store.

    Raises `click.ClickException`, one line that says how to mend it, when the service cannot
    answer with what it was given.
    """
    app = _Flask(__name__, static_folder=None)
    _configure(app, config)
    for command in (commands.jobs, commands.tokens, _print_openapi):
        app.cli.add_command(command)
    context = click.get_current_context(silent=True)
    if context and isinstance(context.command, FlaskGroup):
        return app  # the flask command looks for its commands: they work where no service would

    store, tokens = _open(app)
    app.extensions["bulk_action_jobs"] = store
    login_required = bearer_auth(tokens)

    app.after_request(_end)
    app.register_error_handler(Exception, problem_response)

    @app.get(f"{_JOBS_PATH}/<id>")
    @login_required
    def get_bulk_action_job(id: str) -> Response:  # noqa: A002 (the documented name)
        if not is_uuid(id):
            # Returned, not raised: Flask's way to an error handler costs time.
            detail = "The id is not a UUID in its 8-4-4-4-12 form, so it names no job."
            return problem_response(Problem(404, detail, details={"id": detail}))
        job = store.cached(id, _represent)
        if job is None:
            return problem_response(Problem(404, "No bulk action job has this id."))
        condition = request.environ.get("HTTP_IF_NONE_MATCH")
        if condition and (
            condition == job.etag or request.if_none_match.contains_weak(job.etag.strip('"'))
        ):
            return messages.Response(b"", 304, job.headers())
        return messages.Response(job.body, 200, job.headers_of_body())

    @app.get("/healthz")
    def health() -> Response:
        try:
            store.get("")  # names no job, but takes a real read to tell
            tokens.verify("")
        except (StoreError, TokensError) as error:
            app.logger.exception("not healthy [request %s]", current_request().id)
            raise Problem(503, "The service cannot read its jobs or its tokens.") from error
        headers = {"Cache-Control": "no-store"}
        return Response('{"status": "ok"}\n', headers=headers, mimetype="application/json")

    _add_pages(app)
    return app


def _configure(app: Flask, config: Mapping[str, Any] | None) -> None:
    app.config.from_prefixed_env()
    for name in ("DATABASE", "TOKENS_FILE"):  # as they stand: JSON would read null and 0.10
        if (value := os.environ.get(f"FLASK_{name}")) is not None:
            app.config[name] = value
    app.config.from_mapping(config)
    # The documented methods and paths are all there are: no OPTIONS, no redirect of //.
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False


def _open(app: Flask) -> tuple[JobStore, TokenFile]:
    """Return the store and the tokens that the settings name, each having proved to be readable."""
    database, tokens_file = app.config.get("DATABASE"), app.config.get("TOKENS_FILE")
    remedy = (
        "FLASK_DATABASE must be the path of a database made by flask jobs init, or from "
        "schema.sql: sqlite3 jobs.db < schema.sql"
    )
    tokens_remedy = (
        f"FLASK_TOKENS_FILE must be the path of a file with a line {LINE!r} for each token: "
        "flask tokens create NAME"
    )
    serves_demo = database is None
    if serves_demo:
        try:
            database = demo.database(app.instance_path)
        except (OSError, sqlite3.Error, StoreError) as error:
            raise click.ClickException(
                f"cannot make the demo in {app.instance_path}: {error}. "
                "Set FLASK_DATABASE and FLASK_TOKENS_FILE to serve jobs of your own."
            ) from error
        tokens_file = demo.TOKENS_FILE if tokens_file is None else tokens_file
        remedy = f"Delete {app.instance_path}, and start again, to have the demo made anew."
    elif tokens_file is None:
        raise click.ClickException(f"a DATABASE is configured, but no TOKENS_FILE: {tokens_remedy}")
    store, tokens = JobStore(str(database)), TokenFile(str(tokens_file))
    try:
        store.check()
        tokens.check()
    except StoreError as error:
        raise click.ClickException(f"{error}. {remedy}") from error
    except TokensError as error:
        raise click.ClickException(f"{error}. {tokens_remedy}") from error
    if serves_demo:
        demo.announce(app, public=tokens.path == demo.TOKENS_FILE)
    return store, tokens


def _add_pages(app: Flask) -> None:
    """Serve the contract as a file and as a page."""

    @app.get("/openapi.yaml")
    def openapi_document() -> WerkzeugResponse:
        _pass_over_conditions()
        document = _OPENAPI.read_text("utf-8")
        if request.root_path:  # mounted there: its server is not the root of the host
            server = json.dumps(current_request().reference(""))
            document = document.replace("- url: /\n", f"- url: {server}\n", 1)
        response = Response(document, mimetype="application/yaml")
        response.add_etag()
        return _protect(response.make_conditional(request))

    @app.get("/")
    @app.get("/docs")
    def home() -> WerkzeugResponse:
        return redirect(current_request().reference("/docs/"))

    docs = get_swaggerui_blueprint(**_DOCS)
    docs.before_request(_pass_over_conditions)
    docs.after_request(_protect)
    app.register_blueprint(docs, url_prefix="/docs")


def _pass_over_conditions() -> None:
    """Empty the conditions that Werkzeug gets wrong (RFC 9110, 13.1).

    It fails on some dates, which are to be ignored, and finds no entity tag that If-Match `*` fits.
    """
    if request.environ.get("HTTP_IF_MATCH") == "*":
        request.environ["HTTP_IF_MATCH"] = ""
    for name in ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_RANGE"):
        try:
            parse_date(request.environ.get(name))
        except OverflowError:
            request.environ[name] = ""


def _protect(response: WerkzeugResponse) -> WerkzeugResponse:
    """Let a page run and load what is its own alone (Content Security Policy, level 3).

    A condition that failed becomes a problem.
    """
    if response.status_code == 412:
        response.close()
        return problem_response(PreconditionFailed())
    if response.mimetype == "text/html":
        text = "" if response.direct_passthrough else response.get_data(as_text=True)
        scripts = re.findall("<script>(.+?)</script>", text, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()) for script in scripts)
        allowed = " ".join(f"'sha256-{digest.decode()}'" for digest in digests)
        response.headers["Content-Security-Policy"] = f"{_POLICY}; script-src 'self' {allowed}"
    return response


def _end(response: Response) -> Response:
    """Send the request's id back, and log the request."""
    request = current_request()
    response.headers.add("X-Request-Id", request.id)
    response.headers.add("X-Content-Type-Options", "nosniff")
    if _log.isEnabledFor(logging.INFO):
        _log.info(
            "%s %s %s %s %d %d",
            request.id,
            g.get("flask_httpauth_user") or "-",
            quote(request.method),
            request.instance,
            response.status_code,
            (time.perf_counter_ns() - request.started) // 1000,
        )
    return response


class _Job(NamedTuple):
    """What is sent of a job. It is kept: the fewer objects, the better."""

    body: bytes
    etag: str
    has_ended: bool

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers of a 304."""
        headers = [("ETag", self.etag), _CACHE_CONTROL, _VARY]
        if not self.has_ended:
            headers.append(_RETRY_AFTER)
        return headers

    def headers_of_body(self) -> list[tuple[str, str]]:
        """Return the headers of a 200."""
        length = "Content-Length", str(len(self.body))
        return [*self.headers(), _CONTENT_TYPE, length]


def _represent(job: Mapping[str, Any]) -> _Job:
    """Return what is sent of a job.

    Raises ValueError, which names job and members, where it breaks the contract.
    """
    try:
        body = to_json(dump_job(job)).encode() + b"\n"
    except ValidationError:  # it names the first member at fault; the log names all
        members = JobSchema().validate(job)
        raise ValueError(f"job {job['job_id']} breaks the contract: {members}") from None
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return _Job(body, etag, has_ended(job))


@click.command("openapi")
def _print_openapi() -> None:
    """Print the OpenAPI document, built anew from the schemas and the demo.

    Example: flask openapi > openapi.yaml
    """
    import openapi

    with tempfile.TemporaryDirectory() as folder:
        config = {
            "DATABASE": demo.database(folder),
            "TOKENS_FILE": demo.TOKENS_FILE,
            "TRUSTED_HOSTS": None,
        }
        app = create_app(config)
        with closing(app.extensions["bulk_action_jobs"]):
            click.echo(openapi.build(app.test_client()), nl=False)
