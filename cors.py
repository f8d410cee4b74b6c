"""Cross-origin requests (CORS), by flask-cors."""

import re
from collections.abc import Iterable

import click
from flask import Flask
from flask_cors import CORS

from messages import Response

PATHS = ("/api/actions/bulk/jobs/<id>", "/openapi.yaml")
_ORIGIN = re.compile(r"\*|https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")


def allow_origins(app: Flask, setting: str | Iterable[str]) -> None:
    """Let pages of other origins read the jobs and the contract; preflights need no token.

    `setting` is "*", or origins: a list, or a string with spaces or commas between. Raises
    `click.ClickException` if one is not an origin (RFC 6454, 6.2).
    """
    origins = re.findall(r"[^\s,]+", setting) if isinstance(setting, str) else setting
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise click.ClickException(f"FLASK_CORS_ORIGINS: {origin!r} is not http://HOST:PORT.")
    CORS(
        app,
        resources=[re.sub("<id>", r"[^/]+\\Z", path) for path in PATHS],
        # Compiled, as flask-cors only guesses which strings are patterns.
        origins=[o if o == "*" else re.compile(rf"(?i:{re.escape(o)})\Z") for o in origins],
        methods=["GET", "HEAD"],
        allow_headers=["Authorization", "If-None-Match", "X-Request-Id"],
        expose_headers=["ETag", "Retry-After", "X-Request-Id", "WWW-Authenticate"],
        max_age=600,  # seconds that a browser remembers a preflight
        send_wildcard=True,
        intercept_exceptions=False,  # problem_response answers exceptions
    )
    for path in PATHS:
        app.add_url_rule(path, "preflight", _preflight, methods=["OPTIONS"])


def _preflight(**_: str) -> Response:
    return Response(b"", 204, [("Allow", "GET, HEAD, OPTIONS")])
