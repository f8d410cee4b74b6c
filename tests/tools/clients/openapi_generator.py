"""Ask with the Python client that openapi-generator made: see test_clients.py."""

import json
import sys

from made import ApiClient, ApiException, Configuration, Job, JobsApi, Problem

for token, job_id, etag in json.load(sys.stdin):
    api = JobsApi(ApiClient(Configuration(host=sys.argv[1], access_token=token or None)))
    try:
        condition = {"If-None-Match": etag} if etag else {}
        job: Job = api.get_bulk_action_job(job_id, _headers=condition)
        body = {"completed_at": str(job.completed_at)} | json.loads(job.to_json())
        answer = {"status": 200, "body": body}
    except ApiException as error:  # a 304, too
        problem: Problem | None = error.data
        answer = {"status": error.status, "body": problem and json.loads(problem.to_json())}
    except ValueError as error:
        answer = {"raised": type(error).__name__}
    print(json.dumps(answer))
