"""Cross-origin requests (CORS, in the Fetch standard), by flask-cors."""

import re
from collections.abc import Sequence

from flask import Flask, Response
from flask_cors import CORS

from web import framework
from web.settings import SettingError

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}  # browsers leave them out


def allow_origins(app: Flask, setting: object, paths: Sequence[str]) -> None:
    """Let pages of other origins read `paths`, rules of routes. A preflight needs no token.

    `setting` is "*", or origins: a list, or a string with spaces or commas between. A page may send
    any header: there are no cookies, and it needs a token. Raises `SettingError`.
    """
    origins = re.findall(r"[^\s,]+", setting) if isinstance(setting, str) else setting
    if not isinstance(origins, list | tuple | None):
        raise SettingError(f"FLASK_CORS_ORIGINS is {setting!r}: set it to origins, or to *")
    if not origins:
        return
    CORS(
        app,
        resources=[path.replace("<id>", r"[^/]+\Z") for path in paths],
        origins=[_pattern(origin) for origin in origins],
        methods=["GET", "HEAD"],
        expose_headers=["ETag", "Retry-After", "X-Request-Id", "WWW-Authenticate"],
        max_age=600,  # seconds that a browser remembers a preflight
        send_wildcard=True,
        vary_header=False,  # it would be missing for an origin that is not let in
        intercept_exceptions=False,  # answer_error does
    )

    @app.after_request
    def vary(response: Response) -> Response:
        if "*" not in origins:
            response.vary.add("Origin")
        return response

    for path in paths:
        app.add_url_rule(path, "preflight", _preflight, methods=["OPTIONS"])


def _pattern(origin: object) -> "str | re.Pattern[str]":
    """Return what flask-cors compares with the Origin that a browser sends (RFC 6454, 6.2)."""
    if origin == "*":
        return "*"
    match = _ORIGIN.fullmatch(str(origin).lower())
    if not match:
        raise SettingError(f"FLASK_CORS_ORIGINS: {origin!r} is no origin: write http://HOST:PORT")
    scheme, host, port = match.groups()
    suffix = "" if port in (None, _DEFAULT_PORTS.get(scheme)) else f":{port}"
    sent = re.escape(f"{scheme}://{host}{suffix}")
    return re.compile(rf"{sent}\Z")  # compiled: of a string, flask-cors guesses whether it is one


def _preflight(**_: str) -> Response:
    return framework.Response(b"", 204, [("Allow", "GET, HEAD, OPTIONS")])
