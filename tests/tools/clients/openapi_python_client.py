"""Ask with the client that openapi-python-client made: see test_clients.py."""

import json
import sys
from typing import Any

from made import AuthenticatedClient, Client
from made.api.jobs import get_bulk_action_job
from made.models import Job, Problem
from made.types import UNSET

base, how = sys.argv[1:]


def ask(token: str, job_id: str, etag: str) -> dict[str, Any]:
    client = AuthenticatedClient(base, token) if token else Client(base)
    if how == "text":
        request = get_bulk_action_job._get_kwargs(job_id, if_none_match=etag or UNSET)
        response = client.get_httpx_client().request(**request)
        return {"status": response.status_code, "body": response.text}
    answer = get_bulk_action_job.sync_detailed(job_id, client=client, if_none_match=etag or UNSET)
    body: Job | Problem | None = answer.parsed
    shown = body and body.to_dict()
    if isinstance(body, Job) and body.completed_at is UNSET:
        shown["completed_at"] = "UNSET"
    return {"status": answer.status_code, "body": shown}


for request in json.load(sys.stdin):
    try:
        print(json.dumps(ask(*request)))
    except ValueError as error:
        print(json.dumps({"raised": type(error).__name__}))
