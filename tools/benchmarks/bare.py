"""What Flask itself costs: one route, and bytes that are ready."""

import os
from pathlib import Path

from flask import Flask, Response


def make_app(body: bytes) -> Flask:
    """Return an application that answers every job with `body`."""
    app = Flask(__name__)

    @app.get("/api/actions/bulk/jobs/<id>")
    def get_job(id: str) -> Response:  # noqa: A002 (the documented name)
        return Response(body, mimetype="application/json")

    return app


def create_app() -> Flask:
    """Return it for a server: the bytes are those of the file that BENCH_BODY names."""
    return make_app(Path(os.environ["BENCH_BODY"]).read_bytes())
