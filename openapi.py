"""The contract as an OpenAPI 3.1 document, built from the schemas that serve."""

import json
import logging
from collections.abc import Mapping
from typing import Any

import yaml
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import demo
from schemas import JobSchema, ProblemSchema

_PATH = "/api/actions/bulk/jobs/{id}"
_UNKNOWN = "00000000-0000-4000-8000-000000000000"

_DESCRIPTION = """\
Serves a bulk action job of the DHCP Shield Pro appliance: the criteria that select the clients,
the action taken on each, its schedule, its limit and its progress.

**Tokens.** Every request for a job carries `Authorization: Bearer TOKEN`. The demo takes the
public token `demo-token`; any other service takes the tokens that its operator gives out.

**Polling.** Send the `ETag` of the last answer as `If-None-Match`, and wait `Retry-After` seconds
between two requests. An answer without `Retry-After` is final: the job has ended.

**Errors.** Every error is a problem details object (RFC 9457, formerly RFC 7807) with the id of
its request, under which the service's log has more.
"""

_REQUEST_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"

_HEADERS = {
    "ETag": "A strong validator: it changes when the job changes (RFC 9110, 8.8.3).",
    "Cache-Control": (
        "`private, no-cache` for a job: keep it, for this client alone, and ask again before use. "
        "`no-store` for an error."
    ),
    "Vary": "The answer depends on who asks (RFC 9110, 12.5.5).",
    "Retry-After": (
        "After how many seconds it is worth asking again (RFC 9110, 10.2.3). Left out once the "
        "job has ended."
    ),
    "X-Request-Id": (
        "The request's id, as in the service's log: the client's own where it is fit, else a new "
        "UUID."
    ),
    "WWW-Authenticate": (
        'The challenge (RFC 6750, 3), with `error="invalid_token"` where a bearer token was '
        "presented."
    ),
    "Allow": "The methods that are allowed (RFC 9110, 10.2.1).",
}
_JOB_HEADERS = ("ETag", "Cache-Control", "Vary", "Retry-After", "X-Request-Id")

# status: description, headers
_RESPONSES: dict[int, tuple[str, tuple[str, ...]]] = {
    200: ("The job as it is now.", _JOB_HEADERS),
    304: ("The job is as `If-None-Match` says: the client has it already.", _JOB_HEADERS),
    401: (
        "Authentication is required or the supplied token is invalid.",
        ("WWW-Authenticate", "Cache-Control", "X-Request-Id"),
    ),
    404: (
        "The requested resource was not found: no job has this id, or it is no UUID, which "
        "`details` then says.",
        ("Cache-Control", "X-Request-Id"),
    ),
    405: (
        "The answer to any method but GET and HEAD on this path.",
        ("Allow", "Cache-Control", "X-Request-Id"),
    ),
    500: (
        "Internal server error: the job in the file breaks this contract, or the file cannot be "
        "read. The service's log has the cause under the request's id.",
        ("Cache-Control", "X-Request-Id"),
    ),
}

# name: status, summary, method, id, token
_EXAMPLES: dict[str, tuple[int, str, str, str, str | None]] = {
    "completed": (200, "Completed", "GET", demo.job_id(1), demo.TOKEN),
    "running": (200, "Running: no `completed_at` yet", "GET", demo.job_id(2), demo.TOKEN),
    "scheduled": (200, "Scheduled: no `executed_at` yet", "GET", demo.job_id(3), demo.TOKEN),
    "failed": (200, "Failed", "GET", demo.job_id(4), demo.TOKEN),
    "cancelled": (200, "Cancelled before it started", "GET", demo.job_id(5), demo.TOKEN),
    "cancelledHalfWay": (200, "Cancelled half-way", "GET", demo.job_id(6), demo.TOKEN),
    "noToken": (401, "No bearer token", "GET", demo.job_id(1), None),
    "invalidToken": (401, "An unknown, expired or revoked token", "GET", demo.job_id(1), "unknown"),
    "unknownId": (404, "No job has this id", "GET", _UNKNOWN, demo.TOKEN),
    "malformedId": (404, "The id is no UUID", "GET", "42", demo.TOKEN),
    "anotherMethod": (405, "Another method than GET and HEAD", "DELETE", demo.job_id(1), None),
    "brokenJob": (500, "The demo's broken job", "GET", demo.job_id(9), demo.TOKEN),
}


def build(client: FlaskClient) -> str:
    """Return the document as YAML text; its examples are what `client`, of the demo, answers."""
    answers = _ask(client)
    spec = APISpec(
        title="Bulk action jobs",
        version="1.0.0",
        openapi_version="3.1.0",
        plugins=[MarshmallowPlugin()],
    )
    spec.components.schema("Job", schema=JobSchema)
    spec.components.schema("Problem", schema=ProblemSchema)
    for name, description in _HEADERS.items():
        spec.components.header(name, _header(name, description, answers))
    spec.components.security_scheme(
        "bearer",
        {"type": "http", "scheme": "bearer", "description": "A bearer token (RFC 6750)."},
    )
    spec.path(
        _PATH,
        operations={
            "get": {
                "operationId": "getBulkActionJob",
                "tags": ["Jobs"],
                "summary": "Get details of a specific bulk action job",
                "description": "Get details of a specific bulk action job.",
                "responses": {str(status): _response(status, answers) for status in _RESPONSES},
            },
            "head": {
                "operationId": "headBulkActionJob",
                "tags": ["Jobs"],
                "summary": "Get the headers of a specific bulk action job",
                "description": "What GET answers, without its body: enough to see, by its `ETag`, "
                "whether the job has changed.",
                "responses": {str(status): _response(status) for status in _RESPONSES},
            },
        },
    )
    built = spec.to_dict()
    members = built["components"]["schemas"]
    _add_examples(members["Job"], answers["running"], answers["completed"])
    _add_examples(members["Problem"], answers["malformedId"])
    document = {
        "openapi": built["openapi"],
        "info": {
            **built["info"],
            "summary": "One bulk action job of a network appliance.",
            "description": _DESCRIPTION,
            "contact": {"name": "The operator of the service"},
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The service that serves this document."}],
        "security": [{"bearer": []}],
        "tags": [{"name": "Jobs", "description": "Bulk action jobs."}],
        "paths": {_PATH: {"parameters": _parameters(answers), **built["paths"][_PATH]}},
        "components": built["components"],
    }
    plain = json.loads(json.dumps(document))  # no types of apispec's, no YAML aliases
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=96)


def _ask(client: FlaskClient) -> dict[str, TestResponse]:
    """Return the answer to the request of each example, by the example's name."""
    answers = {}
    logging.disable()  # the broken job is broken on purpose
    try:
        for name, (_, _, method, job_id, token) in _EXAMPLES.items():
            headers = {"X-Request-Id": _REQUEST_ID}
            if token:
                headers["Authorization"] = f"Bearer {token}"
            answers[name] = client.open(_PATH.format(id=job_id), method=method, headers=headers)
    finally:
        logging.disable(logging.NOTSET)
    return answers


def _header(name: str, description: str, answers: Mapping[str, TestResponse]) -> dict[str, Any]:
    """Return the Header Object of `name`, with the first value that an answer has for it."""
    value: str = next(r.headers[name] for r in answers.values() if name in r.headers)
    optional = name == "Retry-After"
    return {
        "description": description,
        "required": not optional,
        "schema": {"type": "integer"} if optional else {"type": "string"},
        "example": int(value) if optional else value,
    }


def _response(status: int, answers: Mapping[str, TestResponse] | None = None) -> dict[str, Any]:
    """Return the Response Object of `status`; without `answers`, one without a body."""
    description, headers = _RESPONSES[status]
    response: dict[str, Any] = {
        "description": description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
    }
    examples = {
        name: {"summary": _EXAMPLES[name][1], "value": answer.json}
        for name, answer in (answers or {}).items()
        if _EXAMPLES[name][0] == status
    }
    if examples:
        kind = "application/json" if status == 200 else "application/problem+json"
        schema = JobSchema if status == 200 else ProblemSchema
        response["content"] = {kind: {"schema": schema, "examples": examples}}
    return response


def _parameters(answers: Mapping[str, TestResponse]) -> list[dict[str, Any]]:
    """Return the Parameter Objects of the path."""
    return [
        {
            "name": "id",
            "in": "path",
            "required": True,
            "description": "The job's id: a UUID (RFC 9562) in its 8-4-4-4-12 form, in any letter "
            "case. Anything else names no job.",
            "schema": {"type": "string"},
            "examples": {
                name: {"summary": summary, "value": job_id}
                for name, (status, summary, _, job_id, _) in _EXAMPLES.items()
                if status == 200
            },
        },
        {
            "name": "If-None-Match",
            "in": "header",
            "description": "The `ETag` of the job that the client has, a list of such, or `*` "
            "(RFC 9110, 13.1.2): where one matches, the answer is a 304.",
            "schema": {"type": "string", "examples": [answers["running"].headers["ETag"]]},
        },
        {
            "name": "X-Request-Id",
            "in": "header",
            "description": "An id of the client's own for this request: 1 to 128 characters of "
            "`A-Z a-z 0-9 . _ -`. Any other is replaced.",
            "schema": {"type": "string", "examples": [_REQUEST_ID]},
        },
    ]


def _add_examples(schema: dict[str, Any], *answers: TestResponse) -> None:
    """Give each member of `schema` the value that it has in the first answer that has it."""
    for name, member in schema["properties"].items():
        member["examples"] = [next(b[name] for a in answers if name in (b := a.get_json()))]


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = "|" if "\n" in text else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)
