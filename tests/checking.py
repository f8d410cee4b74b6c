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

LENIENT = settings(  # the machine may be busy, and a database may serve all examples of a test
    max_examples=int(os.environ.get("EXAMPLES", "20")),  # `make torture` tries more
    deadline=None,
    suppress_health_check=list(HealthCheck),
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


class CheckedClient(FlaskClient):
    """A test client that fails where the document does not say what an answer is."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        environ = response.request.environ
        is_read = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        documented = [item for path, item in PATHS.items() if path.fullmatch(environ["PATH_INFO"])]
        if documented and is_read:
            described = documented[0]["get"]["responses"][str(response.status_code)]
            assert set(response.headers.keys()) <= {*described["headers"], *UNNAMED}
        elif response.status_code >= 400:
            described = PROBLEM
        else:
            return response  # the pages that show the document, and preflights
        for name, reference in described["headers"].items():
            header = COMPONENTS["headers"][reference["$ref"].rpartition("/")[2]]
            assert name in response.headers or not header["required"]
        assert response.headers.get("Retry-After", "0").isdigit()
        if environ["REQUEST_METHOD"] == "HEAD" or "content" not in described:
            assert response.data == b""
        else:
            schema = described["content"][response.headers["Content-Type"]]["schema"]["$ref"]
            VALIDATORS[schema].validate(response.get_json(force=True))
        return response
