"""The Flask application: settings, routes, and the JSON of a job."""

import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import flask_swagger_ui
from flask import Flask, Response, g, redirect, request, send_from_directory
from flask.cli import FlaskGroup
from marshmallow import ValidationError
from werkzeug.wrappers import Response as WerkzeugResponse

import commands
import cors
import demo
import messages
from auth import LINE, TokenFile, TokensError, bearer_auth
from messages import current_request
from problems import Problem, problem_response, to_json
from schemas import JobSchema, has_ended, is_uuid
from store import JobStore, StoreError, members

RETRY_AFTER = "2"  # seconds to wait before polling again; sent until the job has ended
LONGEST_KEPT = 4096  # bytes of a body: a longer one clears the cache, to bound its memory
LONGEST_CONDITION = 4096  # characters: a longer If-None-Match is ignored (380 kB take 0.2 s)

_HERE = Path(__file__).parent
_PAGE = _HERE / "page"
_ASSETS = Path(flask_swagger_ui.__file__).with_name("dist")
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self'; "
    "script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SCHEMA = JobSchema()
_log = logging.getLogger("bulk_action_jobs")


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return the service as a WSGI application.

    `config` overrides the settings, which the environment gives as `FLASK_...`: `DATABASE`, the
    path of the SQLite file (without it, the demo is served); `TOKENS_FILE`, the path of the token
    file; `CORS_ORIGINS`, see `cors`; `REQUEST_LOG`, true to log each request to standard output.

    Raises `click.ClickException` with a one-line remedy if a file cannot be used. The service's own
    commands under `flask` skip this check: they work on files that cannot be served.
    """
    app = messages.Flask(__name__, static_folder=None)
    app.config.from_prefixed_env()
    for name in ("DATABASE", "TOKENS_FILE", "CORS_ORIGINS"):  # not as JSON: "0.10" is a path
        if (value := os.environ.get(f"FLASK_{name}")) is not None:
            app.config[name] = value
    app.config.from_mapping(config)
    # Only the documented methods and paths exist: no OPTIONS, no redirect of //.
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False  # else /docs/index.html goes to http:///docs/

    database, tokens_file = app.config.get("DATABASE"), app.config.get("TOKENS_FILE")
    if database is None:
        database = Path(app.instance_path, "demo.db")
        tokens_file = demo.TOKENS_FILE if tokens_file is None else tokens_file
    store, tokens = JobStore(database), TokenFile(tokens_file or "")
    app.extensions["bulk_action_jobs"] = store
    context = click.get_current_context(silent=True)
    if not (context and isinstance(context.command, FlaskGroup)):
        _check(app, store, tokens)

    app.register_error_handler(Exception, problem_response)
    app.after_request(_finish)
    _add_job(app, store, tokens)
    _add_pages(app, store, tokens)
    if origins := app.config.get("CORS_ORIGINS"):
        cors.allow_origins(app, origins)
    if app.config.get("REQUEST_LOG") and not _log.handlers:
        _log.addHandler(handler := logging.StreamHandler(sys.stdout))
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        _log.setLevel(logging.INFO)
    app.cli.add_command(commands.jobs)
    app.cli.add_command(commands.tokens)

    @app.cli.command("openapi")
    @commands.one_line()
    def update_openapi() -> None:
        """Update openapi.yaml: types from the schemas, examples from the demo."""
        import openapi  # slow to import

        openapi.update(create_app)

    return app


def _check(app: Flask, store: JobStore, tokens: TokenFile) -> None:
    """Check that the files can be read. If no database is set, make and announce the demo."""
    is_demo = app.config.get("DATABASE") is None
    remedy = "Make a database with flask jobs init, or: sqlite3 jobs.db < schema.sql"
    tokens_remedy = f"Write lines {LINE!r} with flask tokens create NAME"
    if is_demo:
        remedy = f"To reset the demo, delete {app.instance_path}"
    elif app.config.get("TOKENS_FILE") is None:
        raise click.ClickException(f"FLASK_DATABASE needs FLASK_TOKENS_FILE, too. {tokens_remedy}.")
    try:
        if is_demo:
            demo.make(store.path)
        store.get("")
        tokens.check()
    except (OSError, StoreError) as error:
        raise click.ClickException(f"{error}. {remedy}.") from error
    except TokensError as error:
        raise click.ClickException(f"{error}. {tokens_remedy}.") from error
    finally:
        store.close()  # a forked worker must not inherit the connection
    if is_demo:
        demo.announce(app, demo.TOKEN if tokens.path == demo.TOKENS_FILE else "YOUR-TOKEN")


def _add_job(app: Flask, store: JobStore, tokens: TokenFile) -> None:
    @app.get("/api/actions/bulk/jobs/<id>")
    @bearer_auth(tokens)
    def get_bulk_action_job(id: str) -> Response:  # noqa: A002 (the documented name)
        # Problems are returned, not raised: saves 7 µs.
        if not is_uuid(id):
            detail = "The id is not a UUID in its 8-4-4-4-12 form, so it names no job."
            return problem_response(Problem(404, detail, details={"id": detail}))
        row = store.get(id)
        if row is None:
            return problem_response(Problem(404, "No bulk action job has this id."))
        body, etag, headers = _represent(*row)
        if len(body) > LONGEST_KEPT:
            _represent.cache_clear()
        if _client_has(etag):
            return messages.Response(b"", 304, headers)
        return messages.Response(body, 200, [*headers, ("Content-Type", "application/json")])


def _add_pages(app: Flask, store: JobStore, tokens: TokenFile) -> None:
    @app.get("/healthz")
    def health() -> Response:
        try:
            store.get("")
            tokens.read()
        except (StoreError, TokensError) as error:
            app.logger.exception("not healthy [request %s]", current_request().id)
            raise Problem(503, "The service cannot read its jobs or its tokens.") from error
        headers = {"Cache-Control": "no-store"}
        return Response('{"status": "ok"}\n', headers=headers, mimetype="application/json")

    @app.get("/openapi.yaml")
    def openapi_document() -> Response:
        document = (_HERE / "openapi.yaml").read_text("utf-8")
        if request.root_path:  # mounted under a path
            server = json.dumps(current_request().reference(""))
            document = document.replace("- url: http://127.0.0.1:5000\n", f"- url: {server}\n", 1)
        response = Response(document, mimetype="application/yaml")
        response.add_etag()
        if _client_has(etag := response.headers["ETag"]):
            return Response(status=304, headers={"ETag": etag})
        return response

    @app.get("/")
    @app.get("/docs")
    def home() -> WerkzeugResponse:
        return redirect(current_request().reference("/docs/"))

    @app.get("/docs/", defaults={"name": "index.html"})
    @app.get("/docs/<path:name>")
    def page(name: str) -> Response:
        folder = _PAGE if name in ("index.html", "page.js", "page.css") else _ASSETS
        response = send_from_directory(folder, name, conditional=False, etag=False, max_age=3600)
        response.headers["Content-Security-Policy"] = _POLICY
        return response


@lru_cache(maxsize=1024, typed=True)  # else 1.0 and True would be served as 1
def _represent(*row: Any) -> tuple[bytes, str, list[tuple[str, str]]]:
    """Return a job's body, ETag and headers; raise ValueError that names job and bad members."""
    job = members(row)
    try:
        body = to_json(_SCHEMA.dump(job)).encode() + b"\n"
    except ValidationError as error:
        raise ValueError(f"job {row[0]} breaks the contract: {error.messages}") from None
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = [("ETag", etag), ("Cache-Control", "private, no-cache"), ("Vary", "Authorization")]
    if not has_ended(job):
        headers.append(("Retry-After", RETRY_AFTER))
    return body, etag, headers


def _client_has(etag: str) -> bool:
    """Return True if the request's If-None-Match names `etag` (RFC 9110, 13.1.2)."""
    condition: str = current_request().environ.get("HTTP_IF_NONE_MATCH", "")
    if condition in ("", etag) or len(condition) > LONGEST_CONDITION:
        return condition == etag  # saves 7 µs of parsing
    return bool(current_request().if_none_match.contains_weak(etag.strip('"')))


def _finish(response: Response) -> Response:
    """Add X-Request-Id and nosniff where they are missing; log the request if that is on."""
    if not isinstance(response, messages.Response):  # that class adds them
        response.headers.extend([("X-Request-Id", current_request().id), messages.NOSNIFF])
    if _log.isEnabledFor(logging.INFO):
        request = current_request()
        client = g.get("flask_httpauth_user") or "-"
        took = (time.perf_counter_ns() - request.started) // 1000
        what = f"{quote(request.method)} {request.reference()} {response.status_code}"
        _log.info("%s %s %s %d", request.id, client, what, took)
    return response
