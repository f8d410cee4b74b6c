"""The page as a person uses it, and a front end on another port: in Chromium, without a network."""

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest
from conftest import url
from playwright.sync_api import Browser, Page, sync_playwright
from serving import FLASK_RUN, ROOT, free_port, serving

import demo
import store


@pytest.fixture(scope="module")
def front_end(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve an empty folder on a port of its own."""
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port := free_port())]
    with serving(*command, port=port, cwd=tmp_path_factory.mktemp("front-end")):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, front_end: str) -> Iterator[str]:
    database = tmp_path_factory.mktemp("demo") / "jobs.db"
    store.create(database, demo.jobs(datetime.now(UTC)))
    settings = {"DATABASE": database, "TOKENS_FILE": demo.TOKENS_FILE, "CORS_ORIGINS": front_end}
    variables = {f"FLASK_{name}": str(value) for name, value in settings.items()}
    with serving(*FLASK_RUN, settings=variables) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, service: str) -> Iterator[Page]:
    """Open the page; fail on a complaint of the browser's and on a request of another host."""
    complaints, asked = [], []
    with browser.new_context() as context:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(service)
        yield page
    assert {u for u in asked if not u.startswith((service, "data:"))} == set()
    # The browser itself notes each answer of an error status.
    assert [text for text in complaints if "the server responded with a status" not in text] == []


def authorize(page: Page) -> None:
    page.get_by_role("button", name="Authorize").click()
    page.get_by_label("auth-bearer-value").fill(demo.TOKEN)
    page.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close").click()


def execute(page: Page, job_id: str) -> object:
    """Return the status of the job, or of the problem, that the page shows."""
    page.locator("tr[data-param-name=id] input").fill(job_id)
    page.locator(".execute").click()
    answer = page.locator(".live-responses-table .response")
    answer.locator("code", has_text=job_id).first.wait_for()
    return json.loads(answer.locator(".highlight-code code").first.inner_text())["status"]


def test_a_job_can_be_tried_out_also_on_a_phone(page: Page) -> None:
    page.locator("#operations-Jobs-getBulkActionJob .opblock-summary").click()
    assert execute(page, demo.job_id(2)) == 401
    authorize(page)
    assert execute(page, demo.job_id(1)) == "completed"
    assert execute(page, demo.job_id(9)) == 500
    shown = [row.inner_text() for row in page.locator(".opblock-summary-method:visible").all()]
    assert shown == ["GET", "GET"]  # and no row for HEAD
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.scrollingElement.scrollWidth") == 390


AUDIT = """([exclude, enabled]) =>
    axe.run({exclude}, {resultTypes: ["violations"], rules: {"color-contrast": {enabled}}})"""


def test_axe_finds_the_faults_that_are_listed_and_no_other(page: Page) -> None:
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    found: dict[Any, str] = {}

    def audit(*exclude: str) -> None:
        for width, contrast in ((390, True), (1280, False)):  # contrast is slow, and the same
            page.set_viewport_size({"width": width, "height": 844})
            result = page.evaluate(AUDIT, [[[name] for name in exclude], contrast])
            for rule in result["violations"]:
                nodes = [tuple(node["target"]) for node in rule["nodes"]]
                found.update({(rule["id"], *node): rule["impact"] for node in nodes})

    def audit_dialog() -> None:
        page.get_by_role("button", name="Authorize").click()
        page.locator(".modal-ux-content").wait_for()
        audit("#operations")
        page.get_by_role("button", name="Dismiss").click()

    page.locator(".opblock").first.wait_for()
    audit()
    audit_dialog()
    authorize(page)
    audit_dialog()
    page.locator("#operations-Jobs-getBulkActionJob .opblock-summary").click()
    page.get_by_role("button", name="Expand all").first.click()
    execute(page, demo.job_id(1))
    audit()
    faults = (ROOT / "docs/faults.md").read_text("utf-8").partition("## The page")[2]
    listed = re.findall(r"^\| `(.+?)` \| `(.+?)` \|", faults, re.MULTILINE)
    assert found == dict.fromkeys(listed, "moderate")


READ = """async ([url, headers]) => {
    const answer = await fetch(url, {headers, cache: "no-store"});
    const names = ["ETag", "Retry-After", "X-Request-Id", "WWW-Authenticate"];
    const body = await answer.text();
    return [answer.status, names.map(name => answer.headers.get(name)), body && JSON.parse(body)];
}"""


def test_a_front_end_on_another_port_polls_a_job_and_reads_a_problem(
    browser: Browser, front_end: str, service: str
) -> None:
    job = f"{service}{url(demo.job_id(2))}"
    bearer = {"Authorization": f"Bearer {demo.TOKEN}", "X-Request-Id": "front-end-1"}
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(front_end)
        status, (etag, retry, request_id, _), body = page.evaluate(READ, [job, bearer])
        assert (status, retry, request_id) == (200, "2", "front-end-1")
        assert body["status"] == "running"
        again = page.evaluate(READ, [job, bearer | {"If-None-Match": etag}])
        assert again == [304, [etag, "2", "front-end-1", None], ""]
        status, (_, _, request_id, challenge), problem = page.evaluate(READ, [job, {}])
        assert (status, problem["requestId"]) == (401, request_id)
        assert challenge == 'Bearer realm="bulk-action-jobs"'
