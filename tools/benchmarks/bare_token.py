"""What Flask and a bearer token cost: `bare`, and Flask-HTTPAuth as its documentation uses it."""

from flask import Flask, Response
from flask_httpauth import HTTPTokenAuth

TOKENS = {"demo-token": "demo"}


def make_app(body: bytes) -> Flask:
    """Return an application that answers every job with `body`, to who has a token."""
    app = Flask(__name__)
    auth = HTTPTokenAuth()

    @auth.verify_token  # type: ignore[untyped-decorator]  # the library ships no types
    def verify_token(token: str) -> str | None:
        return TOKENS.get(token)

    @app.get("/api/actions/bulk/jobs/<id>")
    @auth.login_required  # type: ignore[untyped-decorator]  # the library ships no types
    def get_job(id: str) -> Response:  # noqa: A002 (the documented name)
        return Response(body, mimetype="application/json")

    return app
