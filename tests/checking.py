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
    reference: jsonschema_rs.Draft202012Validator(
        {"$ref": reference, "components": COMPONENTS}, validate_formats=True
    )
    for reference in [f"#/components/schemas/{name}" for name in COMPONENTS["schemas"]]
}
PATHS = {re.compile(p.replace("{id}", "[^/]+"), re.DOTALL): i for p, i in DOCUMENT["paths"].items()}
PROBLEM = DOCUMENT["paths"]["/healthz"]["get"]["responses"]["503"]
UNNAMED = {"Content-Type", "Content-Length", "X-Content-Type-Options"}  # no client acts on them


def check(response: TestResponse) -> None:
    """Fail where the document does not say what `response` is. A HEAD is a GET without a body."""
    status, headers, environ = response.status_code, response.headers, response.request.environ
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    described = PROBLEM
    documented = next((item for pattern, item in PATHS.items() if pattern.fullmatch(path)), None)
    if documented and method in ("GET", "HEAD"):
        described = documented["get"]["responses"].get(str(status))
        assert described, "no documented status"
        assert set(headers.keys()) <= {*described["headers"], *UNNAMED}, "an undocumented header"
    elif status < 400:
        return  # the pages that show the document, and preflights
    for name, reference in described["headers"].items():
        header = COMPONENTS["headers"][reference["$ref"].rpartition("/")[2]]
        assert name in headers or not header["required"], f"no {name}"
    assert headers.get("Retry-After", "0").isdigit(), "Retry-After is no number"
    if method == "HEAD" or "content" not in described:
        assert response.data == b""
    else:
        kind = headers["Content-Type"]
        assert kind in described["content"], "no documented content type"
        schema = described["content"][kind]["schema"]["$ref"]
        VALIDATORS[schema].validate(response.get_json(force=True))


class CheckedClient(FlaskClient):
    """A test client whose answers are checked before a test sees them."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        check(response)
        return response
