"""The contract as it is served, and the page that shows it."""

import json
import re
from pathlib import Path

import flask_swagger_ui
from flask import Flask, Response, redirect, request, send_from_directory
from werkzeug.wrappers import Response as WerkzeugResponse

from web.framework import reference

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


def add_pages(app: Flask) -> None:
    """Add the contract and its page. With a database of its own, `app` does not show the demo."""
    text = Path(__file__).parent.with_name("openapi.yaml").read_text("utf-8")
    contract = text if app.config["DATABASE"] is None else _DEMO.sub("", text)

    @app.get(CONTRACT)
    def openapi_document() -> WerkzeugResponse:
        path = reference(request.environ, "")
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
        return redirect(reference(request.environ, "/docs/"), code=302)

    @app.get("/docs/")
    @app.get("/docs/<path:name>")
    def page(name: str = "index.html") -> Response:
        folder = _PAGE if name in ("index.html", "page.js", "page.css") else _ASSETS
        response = send_from_directory(folder, name, conditional=False, etag=False, max_age=3600)
        response.headers["Content-Security-Policy"] = _POLICY
        return response
