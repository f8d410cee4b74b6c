"""Holds every answer that a test receives to `openapi.yaml`, and how often hypothesis asks."""

import os
import re
from typing import Any

import jsonschema_rs
import yaml
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from serving import ROOT
from werkzeug.test import TestResponse

EXAMPLES = int(os.environ.get("EXAMPLES", "20"))  # `make torture` tries more
LENIENT = settings(  # the machine may be busy, and a database may serve all examples of a test
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck)
)
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "openapi.yaml").read_text("utf-8"))
COMPONENTS = DOCUMENT["components"]
VALIDATORS = {
    name: jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": COMPONENTS}, validate_formats=True
    )
    for name in COMPONENTS["schemas"]
}
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
PATHS = {re.compile(path.replace("{id}", "[^/]+"), re.DOTALL): path for path in DOCUMENT["paths"]}


def name_of(reference: dict[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]


def check(response: TestResponse) -> None:
    """Fail where the document does not say what `response` is."""
    path, method = (response.request.environ[n] for n in ("PATH_INFO", "REQUEST_METHOD"))
    method = method.lower() if method in ("GET", "HEAD") else method  # they are case-sensitive
    operations = next((DOCUMENT["paths"][p] for r, p in PATHS.items() if r.fullmatch(path)), None)
    if operations:
        responses = operations.get(method, operations["get"])["responses"]
        assert str(response.status_code) in responses, "no documented status"
        described = responses[str(response.status_code)]
        assert method in operations or response.status_code == 405
        named = {*described["headers"], "Content-Type", "Content-Length"}
        assert set(response.headers.keys()) <= named, "an undocumented header"
    elif response.status_code >= 400:
        described = {"content": PROBLEM, "headers": {}}
    else:
        return  # the pages that show the document
    for name, reference in described["headers"].items():
        header = COMPONENTS["headers"][name_of(reference)]
        assert name in response.headers or not header["required"], f"no {name}"
    assert response.headers.get("Retry-After", "0").isdigit(), "Retry-After is no number"
    if method == "head" or "content" not in described:
        assert response.data == b""
    else:
        kind = response.headers["Content-Type"]
        assert kind in described["content"], "no documented content type"
        schema = name_of(described["content"][kind]["schema"])
        VALIDATORS[schema].validate(response.get_json(force=True))


class CheckedClient(FlaskClient):
    """A test client whose answers are checked before a test sees them."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        check(response)
        return response
