"""The job with flask-smorest, as its documentation would write it."""

import sqlite3
from contextlib import closing
from typing import Any
from uuid import UUID

from flask import Flask
from flask.views import MethodView
from flask_httpauth import HTTPTokenAuth
from flask_smorest import Api, Blueprint, abort
from marshmallow import Schema, fields

TOKENS = {"demo-token": "demo"}

app = Flask(__name__)
app.config.from_prefixed_env()  # FLASK_DATABASE
app.config |= {"API_TITLE": "Jobs", "API_VERSION": "v1", "OPENAPI_VERSION": "3.0.2"}
api = Api(app)
auth = HTTPTokenAuth()
blp = Blueprint("jobs", "jobs", url_prefix="/api/actions/bulk/jobs")


class JobSchema(Schema):
    """A job: the times are text, for they have nanoseconds."""

    job_id = fields.String(required=True)
    criteria_json = fields.String(required=True)
    action_type = fields.String(required=True)
    action_duration = fields.Integer(required=True)
    action_reason = fields.String(required=True)
    scheduled_at = fields.String(required=True)
    executed_at = fields.String()
    completed_at = fields.String()
    max_limit = fields.Integer(required=True)
    preview_count = fields.Integer(required=True)
    affected_count = fields.Integer(required=True)
    status = fields.String(required=True)
    progress_percent = fields.Integer(required=True)
    created_by = fields.String(required=True)
    created_at = fields.String(required=True)
    updated_at = fields.String(required=True)


@auth.verify_token
def verify_token(token: str) -> str | None:
    """Return the client that holds `token`."""
    return TOKENS.get(token)


@blp.route("/<uuid:job_id>")
class Job(MethodView):
    """The resource."""

    @auth.login_required
    @blp.response(200, JobSchema)
    def get(self, job_id: UUID) -> dict[str, Any]:
        """Return one job."""
        with closing(sqlite3.connect(app.config["DATABASE"])) as connection:
            connection.row_factory = sqlite3.Row
            row = connection.execute(
                "SELECT * FROM bulk_action_jobs WHERE job_id = ?", (str(job_id),)
            ).fetchone()
        if row is None:
            abort(404, message="No job has this id.")
        return {name: row[name] for name in row.keys() if row[name] is not None}  # noqa: SIM118


api.register_blueprint(blp)
