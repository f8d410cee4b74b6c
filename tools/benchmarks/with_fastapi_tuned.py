"""The job with FastAPI, as fast as it goes: no thread, one open connection, no response model."""

import json
import os
import sqlite3
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

TOKENS = {"demo-token": "demo"}
SELECT = """SELECT job_id, criteria_json, action_type, action_duration, action_reason, scheduled_at,
    executed_at, completed_at, max_limit, preview_count, affected_count, status, progress_percent,
    created_by, created_at, updated_at FROM bulk_action_jobs WHERE job_id = ?"""

app = FastAPI()
bearer = HTTPBearer()
connection = sqlite3.connect(os.environ["FLASK_DATABASE"], check_same_thread=False)
connection.row_factory = sqlite3.Row


async def get_client(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    """Return the client that holds the token."""
    client = TOKENS.get(credentials.credentials)
    if client is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return client


@app.get("/api/actions/bulk/jobs/{job_id}", dependencies=[Depends(get_client)])
async def get_job(job_id: UUID) -> Response:
    """Return one job."""
    row = connection.execute(SELECT, (str(job_id),)).fetchone()
    if row is None:
        raise HTTPException(404, "No job has this id.")
    job = {name: row[name] for name in row.keys() if row[name] is not None}  # noqa: SIM118
    return Response(json.dumps(job), media_type="application/json")
