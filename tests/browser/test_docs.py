"""The page as a person uses it: in Chromium, with no network but the service itself."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright
from serving import serving

import demo


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, copy: Path) -> Iterator[Page]:
    """Open the page of a service of its own; fail the test on any complaint of the browser's."""
    complaints = []
    with serving(cwd=copy) as server, browser.new_context() as context:
        home = f"http://127.0.0.1:{server.port}/"
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))

        def guard(route: Route) -> None:
            if route.request.url.startswith((home, "data:")):
                route.continue_()
            else:
                complaints.append(route.request.url)
                route.abort()

        page.route("**/*", guard)
        page.goto(home)
        yield page
    # The browser itself notes each answer of an error status.
    assert [text for text in complaints if "the server responded with a status" not in text] == []


def authorize(page: Page, token: str) -> None:
    page.get_by_role("button", name="Authorize").click()
    page.get_by_label("auth-bearer-value").fill(token)
    page.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close").click()


def execute(page: Page, job_id: str) -> tuple[str, dict[str, object]]:
    """Return the status and the body that the page shows for the job."""
    page.locator("tr[data-param-name=id] input").fill(job_id)
    page.locator(".execute").click()
    answer = page.locator(".live-responses-table .response")
    answer.locator("code", has_text=job_id).first.wait_for()
    body = json.loads(answer.locator(".highlight-code code").first.inner_text())
    return answer.locator(".response-col_status").inner_text().split()[0], body


def test_each_demo_job_can_be_tried_out(page: Page) -> None:
    authorize(page, demo.TOKEN)
    page.locator("#operations-Jobs-getBulkActionJob .opblock-summary").click()
    for digit in (1, 2, 3, 4, 5, 6):
        status, job = execute(page, demo.job_id(digit))
        assert (status, job["job_id"]) == ("200", demo.job_id(digit))
    status, problem = execute(page, demo.job_id(9))
    assert (status, problem["status"]) == ("500", 500)


def test_a_wrong_token_shows_the_problem(page: Page) -> None:
    authorize(page, "wrong")
    page.locator("#operations-Jobs-getBulkActionJob .opblock-summary").click()
    status, problem = execute(page, demo.job_id(1))
    assert (status, problem["title"]) == ("401", "Unauthorized")


def test_on_a_phone_nothing_scrolls_sideways(page: Page) -> None:
    def width() -> object:
        return page.evaluate("document.scrollingElement.scrollWidth")

    page.set_viewport_size({"width": 390, "height": 844})
    authorize(page, demo.TOKEN)
    assert width() == 390
    page.locator("#operations-Jobs-getBulkActionJob .opblock-summary").click()
    execute(page, demo.job_id(1))
    assert width() == 390


def test_each_path_has_one_row(page: Page) -> None:
    page.locator(".opblock").first.wait_for()
    shown = [row.inner_text() for row in page.locator(".opblock-summary-method:visible").all()]
    assert shown == ["GET", "GET"]
