"""The document and the service, held against each other by tools that know neither."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import schemathesis
from checking import DOCUMENT
from flask import Flask, Response
from openapi_spec_validator import validate

import demo
import store
from app import create_app

AUTHORIZATION = {"Authorization": f"Bearer {demo.TOKEN}"}
JOB = "GET /api/actions/bulk/jobs/{id}"
DOCUMENTED = {200, 304, 401, 404, 405, 500}


class Service:
    """Stands for the service where pytest collects: there is no database yet."""

    app: Flask
    statuses: set[int]

    def __call__(self, *args: Any) -> Any:
        return self.app.wsgi_app(*args)


SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.app = Service()
SCHEMA.config.update(base_url="http://localhost")
SCHEMA.config.generation.update(max_examples=40)


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[int]]]:
    """Serve the demo's jobs and collect the statuses met, by operation."""
    database = tmp_path_factory.mktemp("conformance") / "jobs.db"
    store.create(database, demo.jobs(datetime.now(UTC)))
    app = create_app({"DATABASE": database, "TOKENS_FILE": demo.TOKENS_FILE})

    @app.after_request
    def note(response: Response) -> Response:
        Service.statuses.add(response.status_code)
        return response

    Service.app = app
    met: dict[str, set[int]] = {}
    yield met
    app.extensions["bulk_action_jobs"].close()
    assert met.get(JOB, DOCUMENTED) == DOCUMENTED  # another process may have tested it


def test_the_document_is_openapi() -> None:
    validate(DOCUMENT)


@SCHEMA.parametrize()
def test_the_demo_conforms(case: schemathesis.Case[Any], met: dict[str, set[int]]) -> None:
    Service.statuses = met.setdefault(case.operation.label, set())
    is_broken = (case.path_parameters or {}).get("id") == demo.job_id(9)
    excluded: Any = [schemathesis.checks.not_a_server_error] if is_broken else []
    for headers in (AUTHORIZATION, AUTHORIZATION | {"If-None-Match": "*"}):
        case.call_and_validate(headers=headers, excluded_checks=excluded)
