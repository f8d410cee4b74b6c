"""Cross-origin requests (CORS, in the Fetch standard), by flask-cors."""

import re

from flask import Flask, Response
from flask_cors import CORS

from errors import InputError
from web import framework

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._~-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


def allow_origins(app: Flask, setting: object, paths: list[str]) -> None:
    """Let pages of other origins read `paths`, rules of routes. A preflight needs no token.

    `setting` is "*", or origins: a list, or a string with spaces or commas between. A page may send
    any header: there are no cookies, and it needs a token. Raises `InputError`.
    """
    origins = re.findall(r"[^\s,]+", setting) if isinstance(setting, str) else setting
    if not isinstance(origins, list | tuple | None):
        raise InputError(f"FLASK_CORS_ORIGINS is {setting!r}: set it to origins, or to *")
    if not origins:
        return
    CORS(
        app,
        resources=[path.replace("<id>", r"[^/]+\Z") for path in paths],
        origins=[origin if origin == "*" else _pattern(origin) for origin in origins],
        methods=["GET", "HEAD"],
        expose_headers=["ETag", "Retry-After", "X-Request-Id", "WWW-Authenticate"],
        max_age=600,  # seconds that a browser remembers a preflight
        send_wildcard=True,
        vary_header=False,  # it leaves it out for an origin that is not let in
        intercept_exceptions=False,  # answer_error does
    )

    @app.after_request
    def vary(response: Response) -> Response:
        if "*" not in origins:
            response.vary.add("Origin")
        return response

    def preflight(**_: str) -> Response:
        return framework.Response(b"", 204, [("Allow", "GET, HEAD, OPTIONS")])

    for path in paths:
        app.add_url_rule(path, "preflight", preflight, methods=["OPTIONS"])


def _pattern(origin: object) -> re.Pattern[str]:
    """Return a pattern of the Origin that a browser sends, without a default port (RFC 6454, 6.2).

    flask-cors takes a compiled one as it is. Of a string it guesses whether it is a pattern.
    """
    sent = re.sub(r"^(http:.+):80$|^(https:.+):443$", r"\1\2", str(origin).lower())
    if not _ORIGIN.fullmatch(sent):
        raise InputError(f"FLASK_CORS_ORIGINS: {origin!r} is no origin: write http://HOST:PORT")
    return re.compile(re.escape(sent) + r"\Z")
