"""A bulk action job of a network appliance, over HTTP, from a SQLite file."""

import hashlib
import json
import logging
import os
import re
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from flask import Flask, Response, g, redirect, request, url_for
from flask.cli import FlaskGroup
from flask_swagger_ui import get_swaggerui_blueprint
from marshmallow import ValidationError
from werkzeug.wrappers import Response as WerkzeugResponse

import commands
import demo
import problems
from auth import LINE, TokenFile, TokensError, bearer_auth
from schemas import JobSchema, has_ended, is_uuid
from store import JobStore, StoreError

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
_log = logging.getLogger("bulk_action_jobs")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return the service as a WSGI application.

    `config` overrides the settings of the environment (`FLASK_DATABASE`, `FLASK_TOKENS_FILE`):
    `DATABASE`, the path of the SQLite file, and `TOKENS_FILE`, the path of the token file. Without
    a `DATABASE` it serves the demo.

    Raises `click.ClickException`, one line that says how to mend it, when the service cannot
    answer with what it was given.
    """
    app = Flask(__name__, static_folder=None)
    _configure(app, config)
    for command in (commands.jobs, commands.tokens, _print_openapi):
        app.cli.add_command(command)
    context = click.get_current_context(silent=True)
    if context and isinstance(context.command, FlaskGroup):
        return app  # the flask command looks for its commands: they work where no service would

    store, tokens = _open(app)
    app.extensions["bulk_action_jobs"] = store
    login_required = bearer_auth(tokens)
    schema = JobSchema()

    app.before_request(_begin)
    app.after_request(_end)
    app.register_error_handler(Exception, problems.problem_response)

    @app.get("/api/actions/bulk/jobs/<id>")
    @login_required
    def get_bulk_action_job(id: str) -> Response:  # noqa: A002 (the documented name)
        if not is_uuid(id):
            detail = "The id is not a UUID in its 8-4-4-4-12 form, so it names no job."
            raise problems.Problem(404, detail, details={"id": detail})
        row = store.get(id)
        if row is None:
            raise problems.Problem(404, "No bulk action job has this id.")
        try:
            body = schema.dumps(row, ensure_ascii=False).encode() + b"\n"
        except ValidationError:  # it names the first member at fault; the log names all
            raise ValueError(f"job {id} breaks the contract: {schema.validate(row)}") from None
        return _job_response(body, has_ended(row))

    @app.get("/healthz")
    def health() -> Response:
        try:
            store.get("")  # names no job, but takes a real read to tell
        except StoreError as error:
            app.logger.exception("not healthy [request %s]", g.request_id)
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
        remedy = "Delete it, and start again, to have the demo made anew."
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
        demo.announce(app)
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


def _begin() -> None:
    """Give the request its id: the client's own where it is fit for a header and a log line."""
    g.started = time.perf_counter_ns()
    offered = request.headers.get("X-Request-Id", "")
    g.request_id = offered if _REQUEST_ID.fullmatch(offered) else str(uuid.uuid4())


def _end(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    if _log.isEnabledFor(logging.INFO):
        _log.info(
            "%s %s %s %s %d %d",
            g.request_id,
            g.get("flask_httpauth_user") or "-",
            quote(request.method),
            problems.instance(),
            response.status_code,
            (time.perf_counter_ns() - g.started) // 1000,
        )
    return response


def _job_response(body: bytes, ended: bool) -> Response:
    """Return 200 with the job, or 304 where the client has it already (RFC 9110, 13.1.2)."""
    etag = hashlib.sha256(body).hexdigest()[:32]
    headers = {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if not ended:
        headers["Retry-After"] = str(RETRY_AFTER)
    if request.if_none_match.contains_weak(etag):
        return Response(status=304, headers=headers)
    return Response(body, headers=headers, mimetype="application/json")


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
        output.write_text(document, "utf-8")
