import json
import os
import subprocess
import sys
from typing import Any
from urllib.parse import quote, unquote

import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient
from serving import ROOT
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client
from werkzeug.wrappers import Response

COMMITTED = (ROOT / "openapi.yaml").read_text("utf-8")
DOCUMENT: dict[str, Any] = yaml.safe_load(COMMITTED)
PATH = "/api/actions/bulk/jobs/{id}"
GET: dict[str, Any] = DOCUMENT["paths"][PATH]["get"]

# The file


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_the_committed_file_is_the_one_that_the_schemas_build(seed: str) -> None:
    command = [sys.executable, "-m", "flask", "openapi"]
    environment = os.environ | {"PYTHONHASHSEED": seed}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    assert built.stdout.decode() == COMMITTED
    assert built.stderr == b""


def test_flask_openapi_prints_it_whatever_is_served(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_TRUSTED_HOSTS", '["jobs.example"]')
    assert app.test_cli_runner().invoke(args=["openapi"]).stdout == COMMITTED


# What the reference states


def test_the_operation_is_the_references() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert GET["operationId"] == "getBulkActionJob"
    assert GET["summary"] == "Get details of a specific bulk action job"
    (path_parameter,) = [p for p in DOCUMENT["paths"][PATH]["parameters"] if p["in"] == "path"]
    assert path_parameter["name"] == "id"
    assert path_parameter["required"] is True
    assert path_parameter["schema"] == {"type": "string"}
    assert {"200", "401", "404", "500"} < GET["responses"].keys()


def stated(schema: str, *keywords: str) -> dict[str, tuple[object, ...]]:
    properties = DOCUMENT["components"]["schemas"][schema]["properties"]
    return {name: tuple(member.get(k) for k in keywords) for name, member in properties.items()}


def test_the_job_has_the_references_members() -> None:
    text, integer, moment = ("string", None), ("integer", None), ("string", "date-time")
    members = stated("Job", "type", "format")
    assert members == {
        "job_id": ("string", "uuid"),
        "criteria_json": text,
        "action_type": text,
        "action_duration": integer,
        "action_reason": text,
        "scheduled_at": moment,
        "executed_at": moment,
        "completed_at": moment,
        "max_limit": integer,
        "preview_count": integer,
        "affected_count": integer,
        "status": text,
        "progress_percent": integer,
        "created_by": text,
        "created_at": moment,
        "updated_at": moment,
    }
    job = DOCUMENT["components"]["schemas"]["Job"]
    assert set(members) - set(job["required"]) == {"executed_at", "completed_at"}
    assert "additionalProperties" not in job


def test_the_problem_has_the_references_members() -> None:
    text = ("string", None, None, None, None)
    assert stated("Problem", "type", "format", "default", "minimum", "maximum") == {
        "type": ("string", "uri-reference", "about:blank", None, None),
        "title": text,
        "status": ("integer", "int32", None, 100, 599),
        "detail": text,
        "instance": ("string", "uri-reference", None, None, None),
        "error": text,
        "details": ("object", None, None, None, None),
        "requestId": text,
    }
    problem = DOCUMENT["components"]["schemas"]["Problem"]
    assert problem["properties"]["details"]["additionalProperties"] == {"type": "string"}
    deprecated = [n for n, m in problem["properties"].items() if m.get("deprecated")]
    assert deprecated == ["error", "details"]
    assert "required" not in problem
    assert "additionalProperties" not in problem


def test_everything_has_a_description() -> None:
    components = DOCUMENT["components"]
    things = [
        DOCUMENT["info"],
        *DOCUMENT["servers"],
        *DOCUMENT["tags"],
        *DOCUMENT["paths"][PATH]["parameters"],
        *components["headers"].values(),
        *components["securitySchemes"].values(),
    ]
    for schema in components["schemas"].values():
        things += [schema, *schema["properties"].values()]
    for method in ("get", "head"):
        operation = DOCUMENT["paths"][PATH][method]
        things += [operation, *operation["responses"].values()]
    assert all(thing["description"].endswith((".", ".\n", "operator")) for thing in things)


# Its examples


EXAMPLES = {
    (status, name): example["value"]
    for status, response in GET["responses"].items()
    for content in response.get("content", {}).values()
    for name, example in content["examples"].items()
}


def test_there_is_an_example_of_each_state_and_each_error() -> None:
    states = [value["status"] for (status, _), value in EXAMPLES.items() if status == "200"]
    assert states == ["completed", "running", "scheduled", "failed", "cancelled", "cancelled"]
    assert {status for status, _ in EXAMPLES} == {"200", "401", "404", "405", "500"}


@pytest.mark.parametrize(("status", "name"), EXAMPLES)
def test_each_example_is_what_the_service_answers(
    demo_client: FlaskClient, status: str, name: str
) -> None:
    example = EXAMPLES[status, name]
    path = example.get("instance", PATH.replace("{id}", example.get("job_id", "")))
    token = {"noToken": None, "invalidToken": "Bearer no", "anotherMethod": None}
    headers = {"X-Request-Id": example.get("requestId", "r-1")}
    if authorization := token.get(name, "Bearer demo-token"):
        headers["Authorization"] = authorization
    method = "PUT" if status == "405" else "GET"
    response = demo_client.open(path, method=method, headers=headers)
    assert response.status_code == int(status)
    assert response.text == json.dumps(example, ensure_ascii=False) + "\n"
    described = GET["responses"][status]["headers"]
    assert set(response.headers.keys()) - {"Content-Type", "Content-Length"} <= set(described)


# Served


def test_it_is_served_without_a_token(client: FlaskClient) -> None:
    response = client.get("/openapi.yaml")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/yaml"
    assert response.text == COMMITTED
    condition = {"If-None-Match": response.headers["ETag"]}
    assert client.get("/openapi.yaml", headers=condition).status_code == 304


def test_the_root_leads_to_the_page(client: FlaskClient) -> None:
    response = client.get("/")
    assert response.status_code == 302
    assert response.headers["Location"] == "/docs/"


def test_the_page_and_its_assets_are_served(client: FlaskClient) -> None:
    page = client.get("/docs/")
    assert page.status_code == 200
    assert "../openapi.yaml" in page.text
    for asset in ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js"):
        assert f'"./{asset}"' in page.text
        with client.get(f"/docs/{asset}") as response:
            assert response.status_code == 200


def test_the_page_names_no_other_host(client: FlaskClient) -> None:
    page = client.get("/docs/", headers={"Host": "elsewhere.example"}).text
    assert "elsewhere" not in page
    assert "http" not in page


@pytest.mark.parametrize("mount", ["/mount", "/two/levels", "/a b: c"])
def test_under_a_mount_point_all_of_it_points_there(app: Flask, mount: str) -> None:
    client = Client(DispatcherMiddleware(Response("nothing", 404), {mount: app.wsgi_app}))
    document = yaml.safe_load(client.get(f"{mount}/openapi.yaml").text)
    assert document["servers"][0]["url"] == quote(mount, safe="/:")
    assert document | {"servers": DOCUMENT["servers"]} == DOCUMENT
    assert unquote(client.get(f"{mount}/").headers["Location"]) == f"{mount}/docs/"
