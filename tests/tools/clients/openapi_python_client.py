"""Ask with the client that openapi-python-client made: see test_clients.py."""

import json
import sys

from made import AuthenticatedClient, Client
from made.api.jobs import get_bulk_action_job
from made.models import Job, Problem
from made.types import UNSET

for token, job_id, etag in json.load(sys.stdin):
    headers = {"If-None-Match": etag} if etag else {}
    known = AuthenticatedClient(sys.argv[1], token, headers=headers)
    client = known if token else Client(sys.argv[1], headers=headers)
    try:
        response = get_bulk_action_job.sync_detailed(job_id, client=client)
        parsed: Job | Problem | None = response.parsed
        shown = parsed and parsed.to_dict()
        if isinstance(parsed, Job) and parsed.completed_at is UNSET:
            shown["completed_at"] = "UNSET"
        print(json.dumps({"status": response.status_code, "body": shown}))
    except ValueError as error:
        print(json.dumps({"raised": type(error).__name__}))
