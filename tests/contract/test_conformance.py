"""The document and the service, held against each other by tools that know neither."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from checking import DOCUMENT, EXAMPLES
from flask import Flask, Response
from openapi_spec_validator import OpenAPIV31SpecValidator

import demo

AUTHORIZATION = {"Authorization": f"Bearer {demo.TOKEN}"}
DEMO: list[Flask] = []  # the latest one serves
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.app = lambda *args: DEMO[-1](*args)
SCHEMA.config.update(base_url="http://localhost")
SCHEMA.config.generation.update(max_examples=EXAMPLES)


def test_the_document_is_openapi() -> None:
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


@pytest.fixture
def demo_app(request: pytest.FixtureRequest, make_demo: Callable[..., Flask]) -> Iterator[None]:
    """Serve the demo, and see that a job is answered with each documented status."""
    statuses = set()
    DEMO.append(app := make_demo())

    @app.after_request
    def note(response: Response) -> Response:
        statuses.add(response.status_code)
        return response

    yield
    assert "[GET /api" not in request.node.name or statuses == {200, 304, 401, 404, 405, 500}


@SCHEMA.parametrize()
@pytest.mark.usefixtures("demo_app")
def test_the_demo_conforms(case: schemathesis.Case[Any]) -> None:
    is_broken = (case.path_parameters or {}).get("id") == demo.job_id(9)
    excluded: Any = [schemathesis.checks.not_a_server_error] if is_broken else []
    for headers in (AUTHORIZATION, AUTHORIZATION | {"If-None-Match": "*"}):
        case.call_and_validate(headers=headers, excluded_checks=excluded)
