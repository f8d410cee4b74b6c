"""Ask with the client that openapi-python-client made: see test_clients.py."""

import json
import sys

from made import AuthenticatedClient, Client
from made.api.jobs import get_bulk_action_job
from made.models import Job, Problem
from made.types import UNSET

base, how = sys.argv[1:]
for token, job_id, etag in json.load(sys.stdin):
    headers = {"If-None-Match": etag} if etag else {}
    known = AuthenticatedClient(base, token, headers=headers)
    client = known if token else Client(base, headers=headers)
    try:
        if how == "text":
            response = client.get_httpx_client().request(**get_bulk_action_job._get_kwargs(job_id))
            shown = response.text
        else:
            response = get_bulk_action_job.sync_detailed(job_id, client=client)
            parsed: Job | Problem | None = response.parsed
            shown = parsed and parsed.to_dict()
            if isinstance(parsed, Job) and parsed.completed_at is UNSET:
                shown["completed_at"] = "UNSET"
        print(json.dumps({"status": response.status_code, "body": shown}))
    except ValueError as error:
        print(json.dumps({"raised": type(error).__name__}))
