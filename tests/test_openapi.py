import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
import yaml
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient
from serving import FLASK, ROOT
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client
from werkzeug.wrappers import Response

import demo
import openapi
import store

COMMITTED = (ROOT / "openapi.yaml").read_text("utf-8")
DOCUMENT: dict[str, Any] = yaml.safe_load(COMMITTED)
SCHEMAS = DOCUMENT["components"]["schemas"]
REQUEST_ID = "0f8fad5bd9cb469fa16570867728950e"
PATH = "/api/actions/bulk/jobs/{id}"


@pytest.fixture
def demo_at_moment(make_app: Callable[..., Flask], database: Path) -> FlaskClient:
    """Ask the demo as it is at the time of the examples."""
    store.put(database, demo.jobs(openapi.MOMENT))
    return make_app(DATABASE=database, TOKENS_FILE=demo.TOKENS_FILE).test_client()


@pytest.fixture
def contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let `flask openapi` work on a copy of the file."""
    path = tmp_path / "openapi.yaml"
    path.write_text(COMMITTED, "utf-8")
    monkeypatch.setattr(openapi, "CONTRACT", path)
    return path


def update(app: Flask) -> Result:
    return app.test_cli_runner().invoke(args=["openapi"])


# What builds the file


def test_the_committed_file_is_the_one_that_the_schemas_and_the_demo_build(
    demo_at_moment: FlaskClient,
) -> None:
    assert openapi.build(COMMITTED, demo_at_moment) == COMMITTED


def test_the_command_leaves_a_file_that_is_up_to_date_as_it_is(copy: Path) -> None:
    environment = os.environ | {"PYTHONHASHSEED": "4711"}
    built = subprocess.run(
        [*FLASK, "openapi"], cwd=copy, env=environment, capture_output=True, check=True
    )
    assert (built.stdout, built.stderr) == (b"", b"")
    assert (copy / "openapi.yaml").read_bytes() == COMMITTED.encode()


def test_the_command_renews_types_and_examples_and_keeps_words(app: Flask, contract: Path) -> None:
    words = COMMITTED.replace("The job's UUID", "The id")
    contract.write_text(
        words.replace("          format: uuid\n", "").replace("status: failed", "status: lost")
    )
    assert update(app).exit_code == 0
    assert contract.read_text("utf-8") == words


@pytest.mark.parametrize(
    ("old", "new", "lacks"),
    [
        ("        created_by:\n", "        x:\n", "Job.created_by has no description"),
        ("jobs/42\n", f"jobs/{demo.job_id(1)}\n", "Problem.details has no example"),
    ],
)
def test_a_member_without_words_or_example_is_named_and_the_file_left_as_it_is(
    app: Flask, contract: Path, old: str, new: str, lacks: str
) -> None:
    before = COMMITTED.replace(old, new)
    contract.write_text(before, "utf-8")
    result = update(app)
    assert result.exit_code == 1
    assert re.fullmatch(f"Error: openapi.yaml: {lacks}s?.\n", result.stderr)
    assert contract.read_text("utf-8") == before


# What it says


def test_it_is_an_openapi_document() -> None:
    validator = pytest.importorskip("openapi_spec_validator").OpenAPIV31SpecValidator
    assert list(validator(DOCUMENT).iter_errors()) == []


def test_it_has_every_route_but_those_that_show_it(app: Flask) -> None:
    routes = {re.sub("<(?:.*:)?(.*)>", r"{\1}", rule.rule) for rule in app.url_map.iter_rules()}
    shown = {"/", "/docs", "/docs/", "/docs/{name}", "/openapi.yaml"}
    assert routes == DOCUMENT["paths"].keys() | shown


def test_the_operation_is_the_references() -> None:
    operation = DOCUMENT["paths"][PATH]["get"]
    assert operation["operationId"] == "getBulkActionJob"
    assert operation["summary"] == "Get details of a specific bulk action job"
    (parameter,) = [p for p in DOCUMENT["paths"][PATH]["parameters"] if p["in"] == "path"]
    assert (parameter["name"], parameter["required"]) == ("id", True)
    assert {"200", "401", "404", "500"} < operation["responses"].keys()


MEMBERS = {  # as the appliance's documentation has them: name, type, format
    "Job": """
        job_id string uuid, criteria_json string, action_type string, action_duration integer,
        action_reason string, scheduled_at string date-time, executed_at string date-time,
        completed_at string date-time, max_limit integer, preview_count integer,
        affected_count integer, status string, progress_percent integer, created_by string,
        created_at string date-time, updated_at string date-time
    """,
    "Problem": """
        type string uri-reference, title string, status integer int32, detail string,
        instance string uri-reference, error string, details object, requestId string
    """,
}


@pytest.mark.parametrize("schema", MEMBERS)
def test_the_members_are_the_references_in_its_order(schema: str) -> None:
    written = SCHEMAS[schema]["properties"].items()
    stated = [(name, member["type"], member.get("format")) for name, member in written]
    assert stated == [(*member.split(), None)[:3] for member in MEMBERS[schema].split(",")]


def test_what_a_job_has_not_reached_is_not_required() -> None:
    job, problem = SCHEMAS["Job"], SCHEMAS["Problem"]
    assert set(job["properties"]) - set(job["required"]) == {"executed_at", "completed_at"}
    assert "required" not in problem


def test_more_members_may_come() -> None:
    assert [schema for schema in MEMBERS if "additionalProperties" in SCHEMAS[schema]] == []


def test_the_problem_has_the_references_bounds() -> None:
    problem = SCHEMAS["Problem"]["properties"]
    assert problem["type"]["default"] == "about:blank"
    assert (problem["status"]["minimum"], problem["status"]["maximum"]) == (100, 599)
    assert problem["details"]["additionalProperties"] == {"type": "string"}
    assert [n for n, m in problem.items() if m.get("deprecated")] == ["error", "details"]


# Its examples

RESPONSES = {
    (path, status): response
    for path, operations in DOCUMENT["paths"].items()
    for status, response in operations["get"]["responses"].items()
}
EXAMPLES = [
    (content["schema"], example["value"])
    for response in RESPONSES.values()
    for content in response.get("content", {}).values()
    for example in content["examples"].values()
]


def test_there_is_an_example_of_each_state_the_running_one_first() -> None:
    examples = RESPONSES[PATH, "200"]["content"]["application/json"]["examples"]
    states = [example["value"]["status"] for example in examples.values()]
    assert states == ["running", "completed", "scheduled", "failed", "cancelled", "cancelled"]


def test_an_error_is_not_to_be_kept() -> None:
    """A server that is made from the document alone answers with the headers' examples."""
    errors = [r for (_, status), r in RESPONSES.items() if status >= "400"]
    no_store = {"$ref": "#/components/headers/NoStore"}
    assert all(response["headers"]["Cache-Control"] == no_store for response in errors)
    assert DOCUMENT["components"]["headers"]["NoStore"]["example"] == "no-store"


@pytest.mark.parametrize(("schema", "value"), EXAMPLES)
def test_each_example_is_of_its_type(schema: dict[str, str], value: object) -> None:
    validator = pytest.importorskip("jsonschema_rs").Draft202012Validator
    whole = schema | {"components": DOCUMENT["components"]}
    validator(whole, validate_formats=True).validate(value)


def test_each_headers_example_is_sent_and_so_are_the_problems_that_are_written_by_hand(
    demo_at_moment: FlaskClient, database: Path
) -> None:
    sent: dict[str, set[str]] = {}
    headers = {"Authorization": f"Bearer {demo.TOKEN}", "X-Request-Id": REQUEST_ID}
    for method, asked in [("GET", headers), ("GET", {}), ("PUT", {})]:
        answer = demo_at_moment.open(PATH.format(id=demo.job_id(2)), method=method, headers=asked)
        for name, value in answer.headers:
            sent.setdefault(name, set()).add(value)
    for name, header in DOCUMENT["components"]["headers"].items():
        assert str(header["example"]) in sent[name.replace("NoStore", "Cache-Control")]
    broken = demo_at_moment.get(PATH.format(id=demo.job_id(9)), headers=headers)
    database.unlink()
    unhealthy = demo_at_moment.get("/healthz", headers=headers)
    for answer in (broken, unhealthy):
        assert answer.get_json(force=True) in [value for _, value in EXAMPLES]


# Served


def test_it_is_served_without_a_token_until_the_client_has_it(client: FlaskClient) -> None:
    response = client.get("/openapi.yaml")
    assert (response.status_code, response.text) == (200, COMMITTED)
    assert response.headers["Content-Type"] == "application/yaml"
    condition = {"If-None-Match": response.headers["ETag"]}
    response = client.get("/openapi.yaml", headers=condition)
    assert (response.status_code, response.data) == (304, b"")
    assert response.headers["ETag"] == condition["If-None-Match"]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_root_leads_to_the_page(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.headers["Location"]) == (302, "/docs/")


def test_the_page_and_its_assets_are_served_and_name_no_other_host(client: FlaskClient) -> None:
    def fetch(name: str) -> str:
        with client.get(f"/docs/{name}", headers={"Host": "elsewhere.example"}) as response:
            assert response.status_code == 200
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            return response.get_data().decode("latin-1")

    page = fetch("")
    assets = {name: fetch(name) for name in re.findall('(?:href|src)="./([^"]*)"', page)}
    assert len(assets) == page.count("href=") + page.count("src=") == 5
    assert '"../openapi.yaml"' in assets["page.js"]
    assert not re.search(r":?//\w|elsewhere", page + assets["page.js"] + assets["page.css"])


@pytest.mark.parametrize("name", ["none", "../app.py", "/etc/passwd", "%2e%2e/app.py", "%00"])
def test_what_is_no_asset_is_not_there(client: FlaskClient, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404


@pytest.mark.parametrize("mount", ["/mount", "/two/levels", "/a b: c"])
def test_under_a_mount_point_all_of_it_points_there(app: Flask, mount: str) -> None:
    client = Client(DispatcherMiddleware(Response("nothing", 404), {mount: app.wsgi_app}))
    document = yaml.safe_load(client.get(f"{mount}/openapi.yaml").text)
    assert document["servers"][0]["url"] == quote(mount, safe="/:")
    assert document | {"servers": DOCUMENT["servers"]} == DOCUMENT
    assert unquote(client.get(f"{mount}/").headers["Location"]) == f"{mount}/docs/"
