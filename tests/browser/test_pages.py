"""The page as a person uses it, and a front end on another port: in Chromium, without a network."""

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from typing import NamedTuple

import pytest
from conftest import url
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from serving import FLASK_RUN, ROOT, free_port, serving

import demo
import store

DESK: ViewportSize = {"width": 1280, "height": 8000}  # so high that axe need not scroll: it is slow
PHONE: ViewportSize = {"width": 390, "height": 8000}
AXE = """([exclude, enabled]) =>
    axe.run({exclude}, {resultTypes: ["violations"], rules: {"color-contrast": {enabled}}})"""


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


class Visit(NamedTuple):
    """What came of a walk over the page, in the order of its steps."""

    asked: list[str]  # addresses
    complaints: list[str]  # of the browser
    statuses: list[object]  # of the jobs and problems shown
    widths: list[int]  # of the whole page, on a phone
    rows: list[str]
    faults: dict[tuple[str, ...], str]  # axe's rule and the element that breaks it: the impact


@pytest.fixture(scope="module")
def visit(browser: Browser, service: str) -> Visit:
    """Walk over the page as a person does, with axe at each step."""
    visit = Visit([], [], [], [], [], {})
    with browser.new_context(viewport=PHONE) as context:
        page = context.new_page()
        page.on("console", lambda message: visit.complaints.append(message.text))
        page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        page.on("request", lambda request: visit.asked.append(request.url))
        page.goto(service)
        page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
        page.locator("#operations-Jobs-getBulkActionJob .opblock-summary").click()
        audit(page, visit)
        for token, digits in (("", [2]), (demo.TOKEN, [1, 9])):
            page.get_by_role("button", name="Authorize").click()
            if token:
                page.get_by_label("auth-bearer-value").fill(token)
                page.get_by_role("button", name="Apply credentials").click()
            audit(page, visit, exclude="#operations", contrast=True)
            page.get_by_role("button", name="Close").click()
            visit.statuses.extend(execute(page, demo.job_id(digit)) for digit in digits)
        page.get_by_role("button", name="Expand all").first.click()
        audit(page, visit, contrast=True)
        rows = page.locator(".opblock-summary-method:visible").all()
        visit.rows.extend(row.inner_text() for row in rows)
    return visit


def execute(page: Page, job_id: str) -> object:
    """Return the status of the job, or of the problem, that the page shows."""
    page.locator("tr[data-param-name=id] input").fill(job_id)
    page.locator(".execute").click()
    answer = page.locator(".live-responses-table .response")
    answer.locator("code", has_text=job_id).first.wait_for()
    return json.loads(answer.locator(".highlight-code code").first.inner_text())["status"]


def audit(page: Page, visit: Visit, exclude: str = "", *, contrast: bool = False) -> None:
    """Note what axe finds at both widths, contrast on a phone alone, and how wide that page is."""
    for size in (DESK, PHONE):
        page.set_viewport_size(size)
        found = page.evaluate(AXE, [[exclude] if exclude else [], contrast and size is PHONE])
        for rule in found["violations"]:
            nodes = [tuple(node["target"]) for node in rule["nodes"]]
            visit.faults.update({(rule["id"], *node): rule["impact"] for node in nodes})
    visit.widths.append(page.evaluate("document.scrollingElement.scrollWidth"))


def test_a_job_can_be_tried_out(visit: Visit) -> None:
    assert visit.statuses == [401, "completed", 500]
    assert visit.rows == ["GET", "GET"]  # and none for HEAD


def test_a_phone_never_scrolls_sideways(visit: Visit) -> None:
    assert set(visit.widths) == {390}


def test_axe_finds_the_faults_that_are_listed_and_no_other(visit: Visit) -> None:
    faults = (ROOT / "docs/faults.md").read_text("utf-8").partition("## The page")[2]
    listed = re.findall(r"^\| `(.+?)` \| `(.+?)` \|", faults, re.MULTILINE)
    assert visit.faults == dict.fromkeys(listed, "moderate")


def test_no_other_host_is_asked_and_the_browser_complains_of_nothing(
    visit: Visit, service: str
) -> None:
    assert {url for url in visit.asked if not url.startswith((service, "data:"))} == set()
    # The browser itself notes each answer of an error status.
    assert {text for text in visit.complaints if "responded with a status" not in text} == set()


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
