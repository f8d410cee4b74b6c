"""Holds every answer that a test receives to `openapi.yaml`."""

import re
from typing import Any

import jsonschema_rs
import yaml
from flask.testing import FlaskClient
from serving import ROOT
from werkzeug.test import TestResponse

DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "openapi.yaml").read_text("utf-8"))
COMPONENTS = DOCUMENT["components"]


def validator(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    """Return what checks a value against `schema`, formats included."""
    return jsonschema_rs.Draft202012Validator(
        schema | {"components": COMPONENTS}, validate_formats=True
    )


VALIDATORS = {
    name: validator({"$ref": f"#/components/schemas/{name}"}) for name in COMPONENTS["schemas"]
}
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
PATHS = {re.compile(path.replace("{id}", "[^/]+"), re.DOTALL): path for path in DOCUMENT["paths"]}


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
    elif response.status_code >= 400:
        described = {"content": PROBLEM, "headers": {}}
    else:
        return  # the pages that show the document
    for name, reference in described["headers"].items():
        header = COMPONENTS["headers"][reference["$ref"].rpartition("/")[2]]
        assert name in response.headers or not header["required"], f"no {name}"
        if name in response.headers and header["schema"]["type"] == "integer":
            assert response.headers[name].isdigit(), f"{name} is no number"
    if operations:
        named = {*described["headers"], "Content-Type", "Content-Length"}
        assert set(response.headers.keys()) <= named, "an undocumented header"
    if method == "head" or "content" not in described:
        assert response.data == b""
    else:
        kind = response.headers["Content-Type"]
        assert kind in described["content"], "no documented content type"
        schema = described["content"][kind]["schema"]["$ref"].rpartition("/")[2]
        VALIDATORS[schema].validate(response.get_json(force=True))


class CheckedClient(FlaskClient):
    """A test client whose answers are checked before a test sees them."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        check(response)
        return response
