"""The contract as an OpenAPI 3.1 document, built from the schemas that serve."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import demo
from schemas import JobSchema, ProblemSchema

_JOB = "/api/actions/bulk/jobs/{id}"
_HEALTH = "/healthz"
_UNKNOWN = "00000000-0000-4000-8000-000000000000"

_DESCRIPTION = """\
Serves a bulk action job of the DHCP Shield Pro appliance: the criteria that select the clients,
the action taken on each, its schedule, its limit and its progress.

**Tokens.** Every request for a job carries `Authorization: Bearer TOKEN`. The demo takes the
public token `demo-token`; any other service takes the tokens that its operator gives out.

**Polling.** Send the `ETag` of the last answer as `If-None-Match`, and wait `Retry-After` seconds
between two requests. A 200 or 304 without `Retry-After` is final: the job has ended.

**Errors.** Every error is a problem details object (RFC 9457, formerly RFC 7807) with the id of
its request, under which the service's log has more.
"""

_REQUEST_ID = "0f8fad5bd9cb469fa16570867728950e"

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
        "The request's id, as in the service's log: the client's own where it is fit, else 32 new "
        "hexadecimal digits."
    ),
    "X-Content-Type-Options": "`nosniff`: the content is what Content-Type says (Fetch, 3.6).",
    "WWW-Authenticate": (
        'The challenge (RFC 6750, 3), with `error="invalid_token"` where a bearer token was '
        "presented."
    ),
    "Allow": "The methods that are allowed (RFC 9110, 10.2.1).",
}
_EVERY = ("X-Request-Id", "X-Content-Type-Options")
_JOB_HEADERS = ("ETag", "Cache-Control", "Vary", "Retry-After", *_EVERY)
_ERROR_HEADERS = ("Cache-Control", *_EVERY)

# path: status: description, headers
_RESPONSES: dict[str, dict[int, tuple[str, tuple[str, ...]]]] = {
    _JOB: {
        200: ("The job as it is now.", _JOB_HEADERS),
        304: ("The job is as `If-None-Match` says: the client has it already.", _JOB_HEADERS),
        401: (
            "Authentication is required or the supplied token is invalid.",
            ("WWW-Authenticate", *_ERROR_HEADERS),
        ),
        404: (
            "The requested resource was not found: no job has this id, or it is no UUID, which "
            "`details` then says.",
            _ERROR_HEADERS,
        ),
        405: ("The answer to any method but GET and HEAD.", ("Allow", *_ERROR_HEADERS)),
        500: (
            "Internal server error: the job in the file breaks this contract, or the file cannot "
            "be read. The service's log has the cause under the request's id.",
            _ERROR_HEADERS,
        ),
    },
    _HEALTH: {
        200: ("The service can read its jobs and its tokens.", _ERROR_HEADERS),
        405: ("The answer to any method but GET and HEAD.", ("Allow", *_ERROR_HEADERS)),
        503: ("The service cannot read its jobs, or its tokens; its log says why.", _ERROR_HEADERS),
    },
}


class _Example(NamedTuple):
    """A request, and what its answer is an example of."""

    status: int
    summary: str
    id: str = ""
    token: str | None = demo.TOKEN
    method: str = "GET"


_EXAMPLES = {
    _JOB: {
        "completed": _Example(200, "Completed", demo.job_id(1)),
        "running": _Example(200, "Running: no `completed_at` yet", demo.job_id(2)),
        "scheduled": _Example(200, "Scheduled: no `executed_at` yet", demo.job_id(3)),
        "failed": _Example(200, "Failed", demo.job_id(4)),
        "cancelled": _Example(200, "Cancelled before it started", demo.job_id(5)),
        "cancelledHalfWay": _Example(200, "Cancelled half-way", demo.job_id(6)),
        "noToken": _Example(401, "No bearer token", demo.job_id(1), None),
        "invalidToken": _Example(
            401, "An unknown, expired or revoked token", demo.job_id(1), "unknown"
        ),
        "unknownId": _Example(404, "No job has this id", _UNKNOWN),
        "malformedId": _Example(404, "The id is no UUID", "42"),
        "anotherMethod": _Example(405, "Another method", demo.job_id(1), None, "DELETE"),
        "brokenJob": _Example(500, "The demo's broken job", demo.job_id(9)),
    },
    _HEALTH: {
        "healthy": _Example(200, "Healthy"),
        "anotherMethod": _Example(405, "Another method", method="DELETE"),
        "unhealthy": _Example(503, "The file is missing"),
    },
}

_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": (
        "The job's id: a UUID (RFC 9562) in its 8-4-4-4-12 form, in any letter case. Anything "
        "else names no job."
    ),
    "schema": {"type": "string"},
    "examples": {
        name: {"summary": example.summary, "value": example.id}
        for name, example in _EXAMPLES[_JOB].items()
        if example.status == 200
    },
}
_X_REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "description": (
        "An id of the client's own for this request: 1 to 128 characters of "
        "`A-Z a-z 0-9 . _ -`. Any other is replaced."
    ),
    "schema": {"type": "string", "examples": [_REQUEST_ID]},
}

_Answers = Mapping[str, TestResponse]


def build(client: FlaskClient) -> str:
    """Return the document as YAML text; its examples are what `client` is answered.

    `client` is of the demo, with a database of its own: the last example is of its absence.
    """
    job_answers, health_answers = _ask(client, _JOB), _ask(client, _HEALTH)
    spec = APISpec(
        title="Bulk action jobs",
        version="1.0.0",
        openapi_version="3.1.0",
        plugins=[MarshmallowPlugin()],
    )
    spec.components.schema("Job", schema=JobSchema)
    spec.components.schema("Problem", schema=ProblemSchema)
    spec.components.schema(
        "Health",
        {
            "type": "object",
            "title": "Health",
            "description": "Whether the service can read its jobs and its tokens.",
            "properties": {"status": {"type": "string", "description": "Always `ok`."}},
            "required": ["status"],
        },
    )
    for name, description in _HEADERS.items():
        spec.components.header(name, _header(name, description, job_answers))
    spec.components.security_scheme(
        "bearer",
        {"type": "http", "scheme": "bearer", "description": "A bearer token (RFC 6750)."},
    )
    spec.path(
        _JOB,
        operations=_operations(
            operationId="getBulkActionJob",
            tags=["Jobs"],
            summary="Get details of a specific bulk action job",
            description="Get details of a specific bulk action job.",
            responses=_responses(_JOB, job_answers),
        ),
    )
    spec.path(
        _HEALTH,
        operations=_operations(
            operationId="getHealth",
            tags=["Service"],
            summary="Get whether the service can read its jobs and its tokens",
            description="Get whether it can: it tries to read both. Needs no token.",
            security=[],
            responses=_responses(_HEALTH, health_answers),
        ),
    )
    built = spec.to_dict()
    schemas = built["components"]["schemas"]
    _add_examples(schemas["Job"], job_answers["running"], job_answers["completed"])
    _add_examples(schemas["Problem"], job_answers["malformedId"])
    _add_examples(schemas["Health"], health_answers["healthy"])
    if_none_match = {
        "name": "If-None-Match",
        "in": "header",
        "description": (
            "The `ETag` of the job that the client has, a list of such, or `*` "
            "(RFC 9110, 13.1.2): where one matches, the answer is a 304."
        ),
        "schema": {"type": "string", "examples": [job_answers["running"].headers["ETag"]]},
    }
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
        "tags": [
            {"name": "Jobs", "description": "Bulk action jobs."},
            {"name": "Service", "description": "The service itself."},
        ],
        "paths": {
            _JOB: {"parameters": [_ID, if_none_match, _X_REQUEST_ID], **built["paths"][_JOB]},
            _HEALTH: {"parameters": [_X_REQUEST_ID], **built["paths"][_HEALTH]},
        },
        "components": built["components"],
    }
    plain = json.loads(json.dumps(document))  # no types of apispec's, no YAML aliases
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=96)


def _ask(client: FlaskClient, path: str) -> dict[str, TestResponse]:
    """Return the answer to the request of each example, by the example's name."""
    answers = {}
    logging.disable()  # what is broken is broken on purpose
    try:
        for name, example in _EXAMPLES[path].items():
            if example.status == 503:
                Path(client.application.config["DATABASE"]).unlink()
            headers = {"X-Request-Id": _REQUEST_ID}
            if example.token:
                headers["Authorization"] = f"Bearer {example.token}"
            url = path.format(id=example.id)
            answers[name] = client.open(url, method=example.method, headers=headers)
    finally:
        logging.disable(logging.NOTSET)
    return answers


def _header(name: str, description: str, answers: _Answers) -> dict[str, Any]:
    """Return the Header Object of `name`, with the first value that an answer has for it."""
    value: str = next(r.headers[name] for r in answers.values() if name in r.headers)
    optional = name == "Retry-After"
    return {
        "description": description,
        "required": not optional,
        "schema": {"type": "integer"} if optional else {"type": "string"},
        "example": int(value) if optional else value,
    }


def _responses(path: str, answers: _Answers) -> dict[str, Any]:
    """Return the Responses Object of GET."""
    responses: dict[str, Any] = {}
    for status, (description, headers) in _RESPONSES[path].items():
        responses[str(status)] = {
            "description": description,
            "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        }
        examples = {
            name: {"summary": example.summary, "value": answers[name].json}
            for name, example in _EXAMPLES[path].items()
            if example.status == status
        }
        if examples:
            kind = "application/problem+json" if status >= 400 else "application/json"
            schema = "Problem" if status >= 400 else "Job" if path == _JOB else "Health"
            responses[str(status)]["content"] = {kind: {"schema": schema, "examples": examples}}
    return responses


def _operations(**get: Any) -> dict[str, Any]:
    """Return the Operation Objects of GET and of HEAD, which is GET without the bodies."""
    head = get | {
        "operationId": get["operationId"].replace("get", "head"),
        "summary": f"{get['summary']}: headers alone",
        "description": "What GET answers, without its body.",
        "responses": {
            status: {"description": response["description"], "headers": response["headers"]}
            for status, response in get["responses"].items()
        },
    }
    return {"get": get, "head": head}


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
