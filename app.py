"""The Flask application: its routes, and how a job is answered."""

import hashlib
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, request
from marshmallow import ValidationError

if sys.version_info < (3, 11):  # noqa: UP036 (who installs by hand may have an older one)
    raise SystemExit(f"Python 3.11 or later is needed: this is {sys.version.split()[0]}.")

import commands
import demo
from auth import bearer_auth
from schemas import Job, JobSchema, is_uuid
from store import JobStore, StoreError
from web import cors, middleware, page, settings
from web.framework import Response, ServiceFlask
from web.problems import answer_error, problem, to_json

JOB_PATH = "/api/actions/bulk/jobs/<id>"
RETRY_AFTER = "2"  # seconds to wait before polling again; sent until the job has ended
LONGEST_KEPT = 4096  # characters of a job: what is sent of a longer one is not kept

_SCHEMA = JobSchema()


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return the service as a WSGI application.

    `config` overrides the settings, which the environment gives as `FLASK_...`: `DATABASE`, the
    path of the SQLite file (without it, the demo is served); `CORS_ORIGINS`, see `web.cors`;
    `REQUEST_LOG`, 1 to log each request to standard output.

    Raises `SettingError` for a setting that cannot be used. A file that cannot be read does not
    stop a server: it is logged, and each request is a 500 until it can be read. A command under
    `flask` ends with one line instead.
    """
    with commands.one_line():
        app = ServiceFlask(__name__, static_folder=None)
        settings.load(app, config)
        # No OPTIONS, and no redirect of //.
        app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
        app.url_map.merge_slashes = False
        store = JobStore(app.config["DATABASE"] or Path(app.instance_path, "demo.db"))
        app.extensions["bulk_action_jobs"] = store
        app.register_error_handler(Exception, answer_error)
        _add_job(app, store)
        _add_health(app, store)
        page.add_pages(app)
        cors.allow_origins(app, app.config["CORS_ORIGINS"], [JOB_PATH, page.CONTRACT])
        app.wsgi_app = middleware.identified(app.wsgi_app)  # type: ignore[assignment]
        if settings.is_on(app, "REQUEST_LOG"):
            middleware.log_requests()
        app.cli.add_command(commands.jobs)
        app.cli.add_command(commands.tokens)
        _check(app, store)
    return app


def _check(app: Flask, store: JobStore) -> None:
    """Make the demo if it is served, and say what is wrong with the file."""
    command = commands.flask_command()
    if command not in (None, "run"):
        return  # this command may be the one that mends the file
    try:
        if app.config["DATABASE"] is None:
            demo.make(store.path)
            app.logger.warning(demo.hint(commands.flask_run_address()))
        if not store.check():
            app.logger.warning("%s has no token: flask tokens create NAME makes one", store.path)
    except StoreError as error:
        if command == "run":
            raise
        app.logger.error("%s", error)  # noqa: TRY400 (it has no more to tell)
    finally:
        store.close()  # a forked worker must not inherit the connection


def _add_job(app: ServiceFlask, store: JobStore) -> None:
    @app.get(JOB_PATH)
    @bearer_auth(store)
    def get_bulk_action_job(id: str) -> Response:  # noqa: A002 (the documented name)
        if not is_uuid(id):
            detail = "The id is not a UUID in its 8-4-4-4-12 form, so it names no job."
            return problem(404, detail, details={"id": detail})
        job = store.get(id, look=False)  # the read of its token has looked just now
        if job is None:
            return problem(404, "No bulk action job has this id.")
        size = sum([len(value) for value in job if isinstance(value, str)])
        represent = _represent_once if size <= LONGEST_KEPT else _represent
        body, etag, headers = represent(*job)
        if _client_has(etag):
            return Response(b"", 304, headers)
        return Response(body, 200, [*headers, ("Content-Type", "application/json")])

    app.job_rule = next(rule for rule in app.url_map.iter_rules() if rule.rule == JOB_PATH)


def _represent(*values: Any) -> tuple[bytes, str, list[tuple[str, str]]]:
    """Return a job's body, ETag and headers; raise ValueError that names job and bad members."""
    job = Job(values)
    try:
        body = to_json(_SCHEMA.dump(job.members)).encode() + b"\n"
    except ValidationError as error:
        raise ValueError(f"job {values[0]} breaks the contract: {error.messages}") from None
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = [("ETag", etag), ("Cache-Control", "private, no-cache"), ("Vary", "Authorization")]
    if not job.has_ended:
        headers.append(("Retry-After", RETRY_AFTER))
    return body, etag, headers


# The values are told apart by type, too: else 1.0 would be served as 1.
_represent_once = lru_cache(maxsize=1024, typed=True)(_represent)


def _client_has(etag: str) -> bool:
    """Return True if the request's If-None-Match names the strong `etag` (RFC 9110, 13.1.2)."""
    condition: str = request.environ.get("HTTP_IF_NONE_MATCH", "")
    if condition in ("", etag):
        return condition == etag  # Werkzeug need not parse it
    return request.if_none_match.contains_weak(etag.strip('"'))


def _add_health(app: Flask, store: JobStore) -> None:
    @app.get("/healthz")
    def health() -> Response:
        try:
            store.check()
        except StoreError as error:
            request_id = request.environ[middleware.REQUEST_ID]
            app.logger.error("not healthy: %s [request %s]", error, request_id)  # noqa: TRY400
            return problem(503, "The service cannot read its jobs or its tokens.")
        headers = [("Cache-Control", "no-store"), ("Content-Type", "application/json")]
        return Response(b'{"status": "ok"}\n', 200, headers)
