"""The job with FastAPI, as its documentation would write it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

TOKENS = {"demo-token": "demo"}

app = FastAPI()
bearer = HTTPBearer()


class Job(BaseModel):
    """A job: the times are text, for they have nanoseconds."""

    job_id: str
    criteria_json: str
    action_type: str
    action_duration: int
    action_reason: str
    scheduled_at: str
    executed_at: str | None = None
    completed_at: str | None = None
    max_limit: int
    preview_count: int
    affected_count: int
    status: str
    progress_percent: int
    created_by: str
    created_at: str
    updated_at: str


def get_client(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    """Return the client that holds the token."""
    client = TOKENS.get(credentials.credentials)
    if client is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return client


def get_connection() -> Iterator[sqlite3.Connection]:
    """Yield a connection to the database, for one request."""
    database = os.environ["FLASK_DATABASE"]
    with closing(sqlite3.connect(database, check_same_thread=False)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


@app.get(
    "/api/actions/bulk/jobs/{job_id}",
    response_model_exclude_none=True,
    dependencies=[Depends(get_client)],
)
def get_job(
    job_id: UUID, connection: Annotated[sqlite3.Connection, Depends(get_connection)]
) -> Job:
    """Return one job."""
    row: Any = connection.execute(
        "SELECT * FROM bulk_action_jobs WHERE job_id = ?", (str(job_id),)
    ).fetchone()
    if row is None:
        raise HTTPException(404, "No job has this id.")
    return Job(**row)
