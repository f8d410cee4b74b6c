"""Ask with the Python client that openapi-generator made: see test_clients.py."""

import json
import sys
from typing import Any

from made import ApiClient, ApiException, Configuration, Job, JobsApi, Problem


def ask(token: str, job_id: str, etag: str) -> dict[str, Any]:
    api = JobsApi(ApiClient(Configuration(host=sys.argv[1], access_token=token or None)))
    try:
        job: Job = api.get_bulk_action_job(job_id, if_none_match=etag or None)
    except ApiException as error:  # a 304, too
        if error.status is None:
            return {"raised": type(error).__name__}
        problem: Problem | None = error.data
        return {"status": error.status, "body": problem and json.loads(problem.to_json())}
    return {
        "status": 200,
        "body": {"completed_at": str(job.completed_at)} | json.loads(job.to_json()),
    }


for request in json.load(sys.stdin):
    try:
        print(json.dumps(ask(*request)))
    except ValueError as error:
        print(json.dumps({"raised": type(error).__name__}))
