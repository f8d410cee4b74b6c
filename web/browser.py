"""What browsers need: the contract and its page; CORS (the Fetch standard), by flask-cors."""

import json
import re
from pathlib import Path

import flask_swagger_ui
from flask import Flask, Response, redirect, request, send_from_directory
from flask_cors import CORS
from werkzeug.wrappers import Response as WerkzeugResponse

from errors import InputError
from web import framework

CONTRACT = "/openapi.yaml"
_ADDRESS = "http://127.0.0.1:5000"  # in the file
# A line that names the demo, and those below it that are indented more.
_DEMO = re.compile(r"(?m)^( *).*\bdemo\b.*\n(?:\1 .*\n|\n)*")
_PAGE = Path(__file__).with_name("page")
_ASSETS = Path(flask_swagger_ui.__file__).with_name("dist")
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self'; "
    "script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._~-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


def add_pages(app: Flask) -> None:
    """Add the contract and its page. With a database of its own, `app` does not show the demo."""
    text = Path(__file__).parent.with_name("openapi.yaml").read_text("utf-8")
    contract = text if app.config["DATABASE"] is None else _DEMO.sub("", text)

    @app.get(CONTRACT)
    def openapi_document() -> WerkzeugResponse:
        path = framework.reference(request.environ, "")
        address = f"{request.scheme}://{request.host}{path}".rstrip("/")
        # A path is right behind any proxy. But RapiDoc and Elements, on a page of another origin,
        # would ask that page's host: they need the whole address.
        server = address if "Origin" in request.headers else path
        document = contract.replace(f"- url: {_ADDRESS}", f"- url: {json.dumps(server)}")
        document = document.replace(_ADDRESS, address)  # of the curl command
        response = Response(document, mimetype="application/yaml", headers={"Vary": "Origin"})
        response.add_etag()
        return response.make_conditional(request)

    @app.get("/")
    @app.get("/docs")
    def home() -> WerkzeugResponse:
        return redirect(framework.reference(request.environ, "/docs/"), code=302)

    @app.get("/docs/")
    @app.get("/docs/<path:name>")
    def page(name: str = "index.html") -> Response:
        folder = _PAGE if name in ("index.html", "page.js", "page.css") else _ASSETS
        response = send_from_directory(folder, name, conditional=False, etag=False, max_age=3600)
        response.headers["Content-Security-Policy"] = _POLICY
        return response


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
        vary_header=False,  # see `vary`: flask-cors has none for an origin kept out
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
