"""The job with APIFlask, as its documentation would write it."""

import sqlite3
from contextlib import closing
from typing import Any
from uuid import UUID

from apiflask import APIFlask, HTTPTokenAuth, Schema, abort
from apiflask.fields import Integer, String

TOKENS = {"demo-token": "demo"}

app = APIFlask(__name__)
app.config.from_prefixed_env()  # FLASK_DATABASE
auth = HTTPTokenAuth()


class JobOut(Schema):
    """A job: the times are text, for they have nanoseconds."""

    job_id = String(required=True)
    criteria_json = String(required=True)
    action_type = String(required=True)
    action_duration = Integer(required=True)
    action_reason = String(required=True)
    scheduled_at = String(required=True)
    executed_at = String()
    completed_at = String()
    max_limit = Integer(required=True)
    preview_count = Integer(required=True)
    affected_count = Integer(required=True)
    status = String(required=True)
    progress_percent = Integer(required=True)
    created_by = String(required=True)
    created_at = String(required=True)
    updated_at = String(required=True)


@auth.verify_token
def verify_token(token: str) -> str | None:
    """Return the client that holds `token`."""
    return TOKENS.get(token)


@app.get("/api/actions/bulk/jobs/<uuid:job_id>")
@app.auth_required(auth)
@app.output(JobOut)
def get_job(job_id: UUID) -> dict[str, Any]:
    """Return one job."""
    with closing(sqlite3.connect(app.config["DATABASE"])) as connection:
        connection.row_factory = sqlite3.Row
        row = connection.execute(
            "SELECT * FROM bulk_action_jobs WHERE job_id = ?", (str(job_id),)
        ).fetchone()
    if row is None:
        abort(404)
    return {name: row[name] for name in row.keys() if row[name] is not None}  # noqa: SIM118
