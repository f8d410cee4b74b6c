"""The Flask application: its settings, its routes, and how a job is answered."""

import hashlib
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, request
from marshmallow import ValidationError, fields

if sys.version_info < (3, 11):  # noqa: UP036 (who installs by hand may have an older one)
    raise SystemExit(f"Python 3.11 or later is needed: this is {sys.version.split()[0]}.")

import commands
import demo
from auth import bearer_auth
from errors import InputError, StoreError
from schemas import FINAL_STATUSES, MEMBERS, JobSchema, is_uuid
from store import JobStore
from web import browser
from web.framework import JOB, Response, ServiceFlask, answer_error, log_requests, problem, to_json

SETTINGS = ("DATABASE", "CORS_ORIGINS", "REQUEST_LOG")
JOB_PATH = "/api/actions/bulk/jobs/<id>"
LONGEST_KEPT = 4096  # characters of a job's two long members: a longer job is not cached

_CRITERIA, _REASON = MEMBERS.index("criteria_json"), MEMBERS.index("action_reason")
_SCHEMA = JobSchema()


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return the service as a WSGI application.

    `config` overrides the settings, which the environment gives as `FLASK_...`: `DATABASE`, the
    path of the SQLite file (None: the demo); `CORS_ORIGINS`, see `web.browser`; `REQUEST_LOG`, 1 to
    log each request to standard output. Raises `InputError` for one that cannot be used. A file
    that cannot be read is logged, and ends `flask run` alone.
    """
    with commands.one_line():
        app = ServiceFlask(__name__, static_folder=None)
        _load_settings(app, config)
        app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
        app.url_map.merge_slashes = False  # // within a path is a 404, not a redirect
        store = JobStore(app.config["DATABASE"] or Path(app.instance_path, "demo.db"))
        app.extensions["bulk_action_jobs"] = store
        app.register_error_handler(Exception, answer_error)
        _add_routes(app, store)
        browser.add_pages(app)
        browser.allow_origins(app, app.config["CORS_ORIGINS"], [JOB_PATH, browser.CONTRACT])
        app.cli.add_command(commands.jobs)
        app.cli.add_command(commands.tokens)
        _check(app, store)
    return app


def _load_settings(app: Flask, config: Mapping[str, Any] | None) -> None:
    app.config.from_prefixed_env()
    app.config["SECRET_KEY"] = None  # no sessions: the cookies of others are not read
    for name in SETTINGS:  # as text: Flask would read the path 0.10 as a number
        app.config[name] = os.environ.get(f"FLASK_{name}")
    for name in config or {}:
        if name not in app.config:
            raise InputError(f"create_app: {name!r} is no setting: there are {', '.join(SETTINGS)}")
    app.config.from_mapping(config)
    if app.config["DATABASE"] == "":
        raise InputError("FLASK_DATABASE is empty: set it to a path, or unset it for the demo")
    log = app.config["REQUEST_LOG"]
    try:
        if fields.Boolean().deserialize(log or False):
            log_requests()
    except ValidationError:
        raise InputError(f"FLASK_REQUEST_LOG is {log!r}: set it to 1 or 0") from None


def _check(app: Flask, store: JobStore) -> None:
    """Make the demo if it is served, and say what is wrong with the file."""
    command = commands.flask_command()
    if command not in (None, "run"):
        return  # this command may be the one that mends the file
    try:
        if app.config["DATABASE"] is None:
            demo.make(store.path)
            app.logger.warning(commands.demo_hint())
        if not store.check():
            app.logger.warning("%s has no token: flask tokens create NAME makes one", store.path)
    except StoreError as error:
        if command == "run":
            raise
        app.logger.error("%s", error)  # noqa: TRY400 (it has no more to tell)
    finally:
        store.close()  # a forked worker must not inherit the connection


def _add_routes(app: ServiceFlask, store: JobStore) -> None:
    @app.get(JOB_PATH)
    @bearer_auth(store)
    def get_bulk_action_job(id: str) -> Response:  # noqa: A002 (the documented name)
        if not is_uuid(id):
            detail = "The id is not a UUID in its 8-4-4-4-12 form, so it names no job."
            return problem(404, detail, id=detail)
        environ = request.environ
        job = environ[JOB]  # bearer_auth has read it
        if job is None:
            return problem(404, "No bulk action job has this id.")
        is_long = len(f"{job[_CRITERIA]}{job[_REASON]}") > LONGEST_KEPT
        represent = _represent.__wrapped__ if is_long else _represent
        body, etag, headers = represent(*job)
        condition = environ.get("HTTP_IF_NONE_MATCH", "")
        if etag in condition or condition == "*":  # in a list, weak or strong (RFC 9110, 13.1.2)
            return Response(b"", 304, headers)
        return Response(body, 200, [("Content-Type", "application/json"), *headers])

    @app.get("/healthz")
    def health() -> Response:
        try:
            store.check()
        except StoreError as error:
            request_id = request.headers["X-Request-Id"]
            app.logger.error("not healthy: %s [request %s]", error, request_id)  # noqa: TRY400
            return problem(503, "The service cannot read its jobs or its tokens.")
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        return Response(b'{"status": "ok"}\n', 200, headers)

    app.job_rule = next(rule for rule in app.url_map.iter_rules() if rule.rule == JOB_PATH)


@lru_cache(maxsize=256, typed=True)  # by type, too: else 1.0 would be served as 1
def _represent(*job: Any) -> tuple[bytes, str, list[tuple[str, str]]]:
    """Return a job's body, ETag and headers, or raise a ValueError that names its bad members."""
    try:
        members = _SCHEMA.dump(dict(zip(MEMBERS, job, strict=True)))
    except ValidationError as error:
        raise ValueError(f"job {job[0]} breaks the contract: {error.messages}") from None
    body = f"{to_json(members)}\n".encode()
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = [("ETag", etag), ("Cache-Control", "private, no-cache"), ("Vary", "Authorization")]
    if "completed_at" not in members and members["status"] not in FINAL_STATUSES:
        headers.append(("Retry-After", "2"))  # seconds to wait before polling again
    return body, etag, headers
