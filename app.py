"""A bulk action job of a network appliance, over HTTP, from a SQLite file."""

import hashlib
import json
import logging
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

import click
from flask import Flask, Response, g, redirect, request, url_for
from flask.cli import FlaskGroup
from flask_swagger_ui import get_swaggerui_blueprint
from marshmallow import ValidationError
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response as WerkzeugResponse

import commands
import demo
import problems
from auth import LINE, TokenFile, TokensError, bearer_auth
from schemas import JobSchema, has_ended, is_uuid, to_json
from store import JobStore, StoreError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

RETRY_AFTER = 2  # seconds until a job that has not ended is worth asking for again

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
_Function = TypeVar("_Function", bound=Callable[..., Any])
_JOBS = JobSchema()
_log = logging.getLogger("bulk_action_jobs")


class _Flask(Flask):
    request_class = problems.Request

    def ensure_sync(self, func: _Function) -> _Function:
        """Return the function as it is: none here is a coroutine, and to look costs time."""
        return func


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return the service as a WSGI application.

    `config` overrides the settings of the environment (`FLASK_DATABASE`, `FLASK_TOKENS_FILE`):
    `DATABASE`, the path of the SQLite file, and `TOKENS_FILE`, the path of the token file. Without
    a `DATABASE` it serves the demo.

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
    app.register_error_handler(Exception, problems.problem_response)

    @app.get("/api/actions/bulk/jobs/<id>")
    @login_required
    def get_bulk_action_job(id: str) -> Response:  # noqa: A002 (the documented name)
        if not is_uuid(id):
            detail = "The id is not a UUID in its 8-4-4-4-12 form, so it names no job."
            raise problems.Problem(404, detail, details={"id": detail})
        job = store.cached(id, _represent)
        if job is None:
            raise problems.Problem(404, "No bulk action job has this id.")
        condition = request.environ.get("HTTP_IF_NONE_MATCH")
        if condition and (
            condition == f'"{job.etag}"' or request.if_none_match.contains_weak(job.etag)
        ):
            return _JobResponse(None, 304, job.headers.copy())
        return _JobResponse(job.body, 200, job.headers_of_body.copy())

    @app.get("/healthz")
    def health() -> Response:
        try:
            store.get("")  # names no job, but takes a real read to tell
        except StoreError as error:
            app.logger.exception("not healthy [request %s]", problems.request.id)
            raise problems.Problem(503, "The service cannot read its jobs.") from error
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
    serves_demo = database is None
    if serves_demo:
        try:
            database = demo.database(app.instance_path)
        except (OSError, sqlite3.Error) as error:
            raise click.ClickException(
                f"cannot make the demo in {app.instance_path}: {error}. "
                "Set FLASK_DATABASE and FLASK_TOKENS_FILE to serve jobs of your own."
            ) from error
        tokens_file = demo.TOKENS_FILE if tokens_file is None else tokens_file
        remedy = f"Delete {app.instance_path}, and start again, to have the demo made anew."
    elif tokens_file is None:
        raise click.ClickException(
            "a DATABASE is configured, but no TOKENS_FILE: set FLASK_TOKENS_FILE to the path of a "
            f"file with a line {LINE!r} for each token: flask tokens create NAME"
        )
    store, tokens = JobStore(str(database)), TokenFile(str(tokens_file))
    try:
        store.check()
        tokens.check()
    except StoreError as error:
        raise click.ClickException(f"{error}. {remedy}") from error
    except TokensError as error:
        raise click.ClickException(
            f"{error}. FLASK_TOKENS_FILE must be the path of a file with a line {LINE!r} for each "
            "token: flask tokens create NAME"
        ) from error
    if serves_demo:
        demo.announce(app, public=tokens.path == demo.TOKENS_FILE)
    return store, tokens


def _add_pages(app: Flask) -> None:
    """Serve the contract as a file and as a page."""

    @app.get("/openapi.yaml")
    def openapi_document() -> WerkzeugResponse:
        document = _OPENAPI.read_text("utf-8")
        if request.root_path:  # mounted there: its server is not the root of the host
            server = json.dumps(quote(request.root_path))
            document = document.replace("- url: /\n", f"- url: {server}\n", 1)
        response = Response(document, mimetype="application/yaml")
        response.add_etag()
        return response.make_conditional(request)

    @app.get("/")
    def home() -> WerkzeugResponse:
        return redirect(url_for("swagger_ui.show"))

    app.register_blueprint(get_swaggerui_blueprint(**_DOCS), url_prefix="/docs")


def _end(response: Response) -> Response:
    """Send the request's id back, and log the request."""
    request = problems.request
    response.headers["X-Request-Id"] = request.id
    if _log.isEnabledFor(logging.INFO):
        _log.info(
            "%s %s %s %s %d %d",
            request.id,
            g.get("flask_httpauth_user") or "-",
            quote(request.method),
            problems.instance(),
            response.status_code,
            (time.perf_counter_ns() - request.started) // 1000,
        )
    return response


class _Headers(Headers):
    """Headers known to be well-formed: a copy does without another check of each."""

    def copy(self) -> "_Headers":
        copy = _Headers()
        copy._list = self._list.copy()
        return copy


class _Job(NamedTuple):
    """What is sent of a job: its body, its entity tag, and its headers without and with a body."""

    body: bytes
    etag: str
    headers: _Headers
    headers_of_body: _Headers


def _represent(job: Mapping[str, Any]) -> _Job:
    """Return what is sent of a job.

    Raises ValueError, which names job and members, where it breaks the contract.
    """
    try:
        body = to_json(_JOBS.dump(job)).encode() + b"\n"
    except ValidationError:  # it names the first member at fault; the log names all
        members = _JOBS.validate(job)
        raise ValueError(f"job {job['job_id']} breaks the contract: {members}") from None
    etag = hashlib.sha256(body).hexdigest()[:32]
    headers = _Headers(
        {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    )
    if not has_ended(job):
        headers["Retry-After"] = str(RETRY_AFTER)
    headers_of_body = headers.copy()
    headers_of_body["Content-Type"] = "application/json"
    headers_of_body["Content-Length"] = str(len(body))
    return _Job(body, etag, headers, headers_of_body)


class _JobResponse(Response):
    """A response whose headers are complete: to look through them again costs time."""

    default_mimetype = None

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:
        return self.headers


@click.command("openapi")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write there.")
def _print_openapi(output: Path | None) -> None:
    """Print the OpenAPI document, built anew from the schemas and the demo.

    Example: flask openapi --output openapi.yaml
    """
    import openapi

    with tempfile.TemporaryDirectory() as folder:
        config = {"DATABASE": demo.database(folder), "TOKENS_FILE": demo.TOKENS_FILE}
        document = openapi.build(create_app(config).test_client())
    if output is None:
        click.echo(document, nl=False)
    else:
        new = output.with_name(f"{output.name}.new")
        new.write_text(document, "utf-8")
        new.replace(output)
