"""What people run on the contract itself: Prism, and imports by Bruno and Postman."""

import json
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from conftest import url
from serving import Server
from toolbox import CONTRACT, NOWHERE, run, service, started

import demo

RUNNING, COMPLETED = demo.job_id(2), demo.job_id(1)
BEARER = f"Bearer {demo.TOKEN}"


def ask(
    server: Server, job_id: str = RUNNING, authorization: str = BEARER, **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """Return the status, the body from JSON, and the headers, named in lower case."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent |= {"Authorization": authorization} if authorization else {}
    connection.request("GET", url(job_id), headers=sent)
    answer = connection.getresponse()
    body = json.loads(answer.read() or "null")
    connection.close()
    return answer.status, body, {name.lower(): value for name, value in answer.getheaders()}


@pytest.fixture(scope="module")
def mock() -> Any:
    with started("prism", "mock", CONTRACT) as server:
        yield server


def test_a_poller_of_prisms_mock_goes_on_until_it_asks_for_the_completed_example(
    mock: Server,
) -> None:
    status, job, headers = ask(mock)
    assert (status, job["status"], int(headers["retry-after"])) == (200, "running", 2)
    status, job, _ = ask(mock, Prefer="example=completed")
    assert (status, job["status"], "completed_at" in job) == (200, "completed", True)


@pytest.mark.parametrize("code", [401, 404, 405, 500])
def test_prisms_mock_makes_each_problem_with_its_own_headers(mock: Server, code: int) -> None:
    status, problem, headers = ask(mock, Prefer=f"code={code}")
    assert (status, problem["status"], headers["cache-control"]) == (code, code, "no-store")
    assert headers["content-type"] == "application/problem+json"
    assert ("www-authenticate" in headers) == (code == 401)


def test_prisms_mock_challenges_a_request_without_a_token(mock: Server) -> None:
    status, problem, headers = ask(mock, authorization="")
    assert (status, problem["status"], headers["cache-control"]) == (401, 401, "no-store")
    assert headers["www-authenticate"] == 'Bearer realm="bulk-action-jobs"'


def test_prism_between_client_and_service_finds_no_violation(service: Server) -> None:
    """A 405 it answers itself, and the body of a HEAD it wants to parse."""
    with started("prism", "proxy", CONTRACT, f"http://127.0.0.1:{service.port}") as proxy:
        etag = ask(service)[2]["etag"]
        for code, request in [
            *((200, {"job_id": demo.job_id(digit)}) for digit in range(1, 7)),
            (304, {"If_None_Match": etag}),
            (401, {"authorization": ""}),
            (401, {"authorization": "Bearer unknown"}),
            (404, {"job_id": NOWHERE}),
            (404, {"job_id": "42"}),
            (500, {"job_id": demo.job_id(9)}),
        ]:
            status, _, headers = ask(proxy, **request)
            assert (status, "x-request-id" in headers) == (code, True)  # the service answered
            found = json.loads(headers.get("sl-violations", "[]"))
            # A request without a token breaks the contract itself.
            assert [violation["location"] for violation in found] == [["request"]] * (
                request.get("authorization") == ""
            )


def test_brunos_import_fetches_the_example_job(service: Server, tmp_path: Path) -> None:
    run("bru", "import", "openapi", "--source", CONTRACT, "--output", tmp_path, cwd=tmp_path)
    (collection,) = tmp_path.iterdir()
    (environment,) = (collection / "environments").iterdir()
    assert "value: http://127.0.0.1:5000\n" in environment.read_text()

    settings = f"baseUrl=http://127.0.0.1:{service.port}", f"token={demo.TOKEN}"
    options = [option for setting in settings for option in ("--env-var", setting)]
    run("bru", "run", "--env", environment.stem, *options, "--output", "out.json", cwd=collection)
    (out,) = json.loads((collection / "out.json").read_text())
    sent = [result["request"]["headers"] for result in out["results"]]
    answers = [result["response"] for result in out["results"]]
    assert [answer["status"] for answer in answers] == [200] * 4
    assert answers[0]["data"]["status"] == "running"
    assert not any("if-none-match" in map(str.lower, headers) for headers in sent)


@pytest.mark.parametrize(
    "options", ["", "parametersResolution=Example,enableOptionalParameters=false"]
)
def test_postmans_import_fetches_the_example_job(
    service: Server,
    tmp_path: Path,
    options: str,
) -> None:
    """By default it has a placeholder for each parameter, If-None-Match among them."""
    asked = ("-O", options) if options else ()
    run("openapi2postmanv2", "-s", CONTRACT, "-o", "made.json", *asked, cwd=tmp_path)
    made = json.loads((tmp_path / "made.json").read_text())
    assert [variable["value"] for variable in made["variable"]] == ["http://127.0.0.1:5000"]
    if not options:  # its user fills in the id
        text = (tmp_path / "made.json").read_text()
        text = text.replace('"value":"<string>","key":"id"', f'"value":"{RUNNING}","key":"id"')
        (tmp_path / "made.json").write_text(text)

    settings = f"baseUrl=http://127.0.0.1:{service.port}", f"bearerToken={demo.TOKEN}"
    variables = [option for setting in settings for option in ("--env-var", setting)]
    report = ("--reporters", "json", "--reporter-json-export", "out.json")
    run("newman", "run", "made.json", *variables, *report, cwd=tmp_path)
    runs = json.loads((tmp_path / "out.json").read_text())["run"]["executions"]
    assert [done["response"]["code"] for done in runs] == [200] * 4
    assert json.loads(bytes(runs[0]["response"]["stream"]["data"]))["status"] == "running"
    headers = [header for done in runs for header in done["request"]["header"]]
    sent = {header["key"]: header["value"] for header in headers if not header.get("disabled")}
    assert sent.get("If-None-Match") == (None if options else "<string>")
