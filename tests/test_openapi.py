import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
import yaml
from conftest import url
from flask import Flask
from flask.testing import FlaskClient
from serving import ROOT
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client
from werkzeug.wrappers import Response

import demo
import openapi
import store

COMMITTED = (ROOT / "openapi.yaml").read_text("utf-8")
DOCUMENT: dict[str, Any] = yaml.safe_load(COMMITTED)
SCHEMAS, HEADERS = (DOCUMENT["components"][kind] for kind in ("schemas", "headers"))
JOB = DOCUMENT["paths"]["/api/actions/bulk/jobs/{id}"]
HEALTH = DOCUMENT["paths"]["/healthz"]
Update = Callable[[str], tuple[str, str]]


# What builds the file


@pytest.fixture
def update(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Update:
    """Run `flask openapi` on a file of a text; return what it complains of, and its new text."""
    path = tmp_path / "openapi.yaml"
    monkeypatch.setattr(openapi, "CONTRACT", path)

    def update(text: str) -> tuple[str, str]:
        path.write_text(text, "utf-8")
        with path.open(encoding="utf-8") as reader:
            result = app.test_cli_runner().invoke(args=["openapi"])
            assert reader.read() == text  # who has the file open reads the old one whole
        return result.stderr, path.read_text("utf-8")

    return update


def test_the_command_renews_types_and_examples_and_keeps_words(update: Update) -> None:
    """So the committed file is what the schemas and the demo make of it."""
    words = COMMITTED.replace("The job's UUID", "Größe")
    old = words.replace("          format: uuid\n", "").replace("status: failed", "status: lost")
    assert update(old)[1] == words


@pytest.mark.parametrize(
    ("old", "new", "lack"),
    [
        ("        created_by:\n", "        x:\n", "Job.created_by has no description"),
        ("jobs/42\n", f"jobs/{demo.job_id(1)}\n", "Problem.details has no example"),
    ],
)
def test_a_member_without_words_or_example_is_named_and_the_file_left_as_it_is(
    update: Update, old: str, new: str, lack: str
) -> None:
    text = COMMITTED.replace(old, new)
    assert update(text) == (f"Error: openapi.yaml: {lack}.\n", text)


# What it says


def test_it_has_every_route_but_those_that_show_it(app: Flask) -> None:
    routes = {re.sub("<(?:.*:)?(.*)>", r"{\1}", rule.rule) for rule in app.url_map.iter_rules()}
    shown = {"/", "/docs", "/docs/", "/docs/{name}", "/openapi.yaml"}
    assert routes == DOCUMENT["paths"].keys() | shown


def test_the_operation_is_the_references() -> None:
    assert JOB["get"]["operationId"] == "getBulkActionJob"
    assert JOB["get"]["summary"] == "Get details of a specific bulk action job"
    assert [p["name"] for p in JOB["parameters"] if p["in"] == "path" and p["required"]] == ["id"]
    assert {"200", "401", "404", "500"} < JOB["get"]["responses"].keys()


MEMBERS = {  # as the appliance's documentation has them: name (a * if required), type, format
    "Job": """
        job_id* string uuid, criteria_json* string, action_type* string, action_duration* integer,
        action_reason* string, scheduled_at* string date-time, executed_at string date-time,
        completed_at string date-time, max_limit* integer, preview_count* integer,
        affected_count* integer, status* string, progress_percent* integer, created_by* string,
        created_at* string date-time, updated_at* string date-time
    """,
    "Problem": """
        type string uri-reference, title string, status integer int32, detail string,
        instance string uri-reference, error string, details object, requestId string
    """,
}


@pytest.mark.parametrize("name", MEMBERS)
def test_the_members_are_the_references_in_its_order_and_more_may_come(name: str) -> None:
    required = SCHEMAS[name].get("required", [])
    stated = [
        f"{member}{'*' * (member in required)} {value['type']} {value.get('format', '')}".strip()
        for member, value in SCHEMAS[name]["properties"].items()
    ]
    assert ", ".join(stated) == " ".join(MEMBERS[name].split())
    assert "additionalProperties" not in SCHEMAS[name]


def test_the_problem_has_the_references_bounds() -> None:
    problem = SCHEMAS["Problem"]["properties"]
    assert problem["type"]["default"] == "about:blank"
    assert (problem["status"]["minimum"], problem["status"]["maximum"]) == (100, 599)
    assert problem["details"]["additionalProperties"] == {"type": "string"}
    assert [n for n, m in problem.items() if m.get("deprecated")] == ["error", "details"]


def test_there_is_an_example_of_each_state_the_running_one_first() -> None:
    examples = JOB["get"]["responses"]["200"]["content"]["application/json"]["examples"]
    states = [example["value"]["status"] for example in examples.values()]
    assert states == ["running", "completed", "scheduled", "failed", "cancelled", "cancelled"]


def test_each_headers_example_is_sent_and_so_are_the_problems_that_are_written_by_hand(
    make_app: Callable[..., Flask], database: Path
) -> None:
    store.put(database, demo.jobs(openapi.MOMENT))
    client = make_app(DATABASE=database, TOKENS_FILE=demo.TOKENS_FILE).test_client()
    client.environ_base["HTTP_X_REQUEST_ID"] = HEADERS["X-Request-Id"]["example"]
    bearer = {"Authorization": f"Bearer {demo.TOKEN}"}
    path, broken = url(demo.job_id(2)), url(demo.job_id(9))
    answers = [client.get(path, headers=bearer), client.get(path), client.put(path)]
    for name, header in HEADERS.items():
        sent = [answer.headers.get(name.replace("NoStore", "Cache-Control")) for answer in answers]
        digest = re.compile('"[0-9a-f]{32}"')  # of a job, which a new member changes
        assert digest.sub("", str(header["example"])) in [digest.sub("", str(v)) for v in sent]
    problems = {"500": client.get(broken, headers=bearer).get_json(force=True)}
    database.unlink()
    problems["503"] = client.get("/healthz").get_json(force=True)
    for status, responses in {"500": JOB, "503": HEALTH}.items():
        (content,) = responses["get"]["responses"][status]["content"].values()
        (example,) = content["examples"].values()
        assert example["value"] == problems[status]


# Served


def test_it_is_served_without_a_token_until_the_client_has_it(client: FlaskClient) -> None:
    response = client.get("/openapi.yaml")
    assert (response.status_code, response.text) == (200, COMMITTED)
    assert response.headers["Content-Type"] == "application/yaml"
    condition = {"If-None-Match": response.headers["ETag"]}
    response = client.get("/openapi.yaml", headers=condition)
    assert (response.status_code, response.data) == (304, b"")
    assert response.headers["ETag"] == condition["If-None-Match"]


@pytest.mark.parametrize("mount", ["", "/two/levels", "/a b: c"])
def test_the_root_and_the_document_lead_to_where_the_service_is(app: Flask, mount: str) -> None:
    client = Client(DispatcherMiddleware(Response("nothing", 404), {mount: app.wsgi_app}))
    for path in ("/", "/docs"):
        response = client.get(mount + path)
        assert response.status_code == 302
        assert unquote(response.headers["Location"]) == f"{mount}/docs/"
    server = yaml.safe_load(client.get(f"{mount}/openapi.yaml").text)["servers"][0]
    assert server["url"] == (quote(mount, safe="/:") or "http://127.0.0.1:5000")


def test_the_page_and_its_assets_are_served_and_name_no_other_host(client: FlaskClient) -> None:
    def fetch(name: str) -> str:
        with client.get(f"/docs/{name}", headers={"Host": "elsewhere.example"}) as response:
            assert response.status_code == 200
            policy = response.headers["Content-Security-Policy"]
            for directive in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
                assert directive in policy.split("; ")
            return response.get_data().decode("latin-1")

    page = fetch("")
    assets = {name: fetch(name) for name in re.findall('(?:href|src)="./([^"]*)"', page)}
    assert len(assets) == page.count("href=") + page.count("src=") == 5
    assert '"../openapi.yaml"' in assets["page.js"]
    assert not re.search(r":?//\w|elsewhere", page + assets["page.js"] + assets["page.css"])


@pytest.mark.parametrize("name", ["none", "../app.py", "/etc/passwd", "%2e%2e/app.py", "%00"])
def test_what_is_no_asset_is_not_there(client: FlaskClient, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404
