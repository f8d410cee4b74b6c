"""What people run on the contract itself: Prism, and imports by Bruno and Postman."""

import json
from collections.abc import Iterator
from contextlib import closing
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from conftest import url
from serving import Server
from toolbox import CONTRACT, NOWHERE, run, service, started

import demo

RUNNING = demo.job_id(2)
BEARER = f"Bearer {demo.TOKEN}"


def ask(
    server: Server, job_id: str = RUNNING, authorization: str = BEARER, **headers: str
) -> tuple[int, Any, Message]:
    """Return the status, the body from JSON, and the headers."""
    headers |= {"Authorization": authorization} if authorization else {}
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        connection.request("GET", url(job_id), headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or "null"), answer.headers


@pytest.fixture(scope="module")
def mock() -> Iterator[Server]:
    with started("prism", "mock", CONTRACT) as server:
        yield server


def test_a_poller_of_prisms_mock_goes_on_until_it_asks_for_the_completed_job(mock: Server) -> None:
    status, job, headers = ask(mock)
    assert (status, job["status"], headers["Retry-After"]) == (200, "running", "2")
    status, job, _ = ask(mock, Prefer="example=completed")
    assert (status, job["status"], "completed_at" in job) == (200, "completed", True)


@pytest.mark.parametrize("code", [401, 404, 405, 500])
def test_a_problem_of_prisms_mock_has_its_own_headers(mock: Server, code: int) -> None:
    status, problem, headers = ask(mock, Prefer=f"code={code}")
    assert (status, problem["status"], headers["Cache-Control"]) == (code, code, "no-store")
    assert headers["Content-Type"] == "application/problem+json"
    assert ("WWW-Authenticate" in headers) == (code == 401)


def test_prisms_mock_challenges_a_request_without_a_token(mock: Server) -> None:
    status, _, headers = ask(mock, authorization="")
    assert (status, headers["Cache-Control"]) == (401, "no-store")
    assert headers["WWW-Authenticate"] == 'Bearer realm="bulk-action-jobs"'


def test_prism_between_a_client_and_the_service_finds_no_violation(service: Server) -> None:
    """Left out: a 405, which Prism answers itself, and HEAD, whose empty body it tries to parse."""
    with started("prism", "proxy", CONTRACT, f"http://127.0.0.1:{service.port}") as proxy:
        for code, request in [
            *((200, {"job_id": demo.job_id(digit)}) for digit in range(1, 7)),
            (304, {"If-None-Match": "*"}),
            (401, {"authorization": ""}),
            (401, {"authorization": "Bearer unknown"}),
            (404, {"job_id": NOWHERE}),
            (404, {"job_id": "42"}),
            (500, {"job_id": demo.job_id(9)}),
        ]:
            status, _, headers = ask(proxy, **request)
            assert (status, "X-Request-Id" in headers) == (code, True)  # the service answered
            found = json.loads(headers["sl-violations"] or "[]")
            expected = [["request"]] if "" in request.values() else []  # the token is missing
            assert [violation["location"] for violation in found] == expected


def test_brunos_import_fetches_the_example_job(service: Server, tmp_path: Path) -> None:
    run("bru", "import", "openapi", "--source", CONTRACT, "--output", tmp_path, cwd=tmp_path)
    (collection,) = tmp_path.iterdir()
    (environment,) = (collection / "environments").iterdir()
    assert "value: http://127.0.0.1:5000\n" in environment.read_text()

    base, token = f"baseUrl=http://127.0.0.1:{service.port}", f"token={demo.TOKEN}"
    options = ("--env", environment.stem, "--env-var", base, "--env-var", token)
    run("bru", "run", *options, "--output", "out.json", cwd=collection)
    results = json.loads((collection / "out.json").read_text())[0]["results"]
    assert [result["response"]["status"] for result in results] == [200] * 4
    assert results[0]["response"]["data"]["status"] == "running"
    unasked = {"If-None-Match", "X-Request-Id"}
    assert not any(unasked & result["request"]["headers"].keys() for result in results)


@pytest.mark.parametrize(
    "options", ["", "parametersResolution=Example,enableOptionalParameters=false"]
)
def test_postmans_import_fetches_the_example_job(
    service: Server, tmp_path: Path, options: str
) -> None:
    """By default it has a placeholder for each parameter."""
    asked = ("-O", options) if options else ()
    file = tmp_path / "made.json"
    run("openapi2postmanv2", "-s", CONTRACT, "-o", file, *asked, cwd=tmp_path)
    assert json.loads(file.read_text())["variable"][0]["value"] == "http://127.0.0.1:5000"
    if not options:  # its user fills in the id
        empty = '"value":"<string>","key":"id"'
        file.write_text(file.read_text().replace(empty, empty.replace("<string>", RUNNING)))

    base, token = f"baseUrl=http://127.0.0.1:{service.port}", f"bearerToken={demo.TOKEN}"
    report = ("--reporters", "json", "--reporter-json-export", "out.json")
    run("newman", "run", file, "--env-var", base, "--env-var", token, *report, cwd=tmp_path)
    results = json.loads((tmp_path / "out.json").read_text())["run"]["executions"]
    assert [result["response"]["code"] for result in results] == [200] * 4
    assert json.loads(bytes(results[0]["response"]["stream"]["data"]))["status"] == "running"
    headers = [header for result in results for header in result["request"]["header"]]
    sent = {header["key"]: header["value"] for header in headers if not header.get("disabled")}
    assert "If-None-Match" not in sent
    assert sent.get("X-Request-Id") == (None if options else "<string>")
