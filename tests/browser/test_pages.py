"""The page as people use it: in Chromium, with no network."""

import json
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page, ViewportSize, sync_playwright
from samples import demo_id
from serving import FLASK_RUN, ROOT, serving

import demo

POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self'; "
    "script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@pytest.fixture(params=[390, 1280])
def page(request: pytest.FixtureRequest, copy: Path) -> Iterator[Page]:
    """Yield the demo's page at a width; then fail for a complaint, as of a request elsewhere."""
    complaints = set()
    with (
        serving(*FLASK_RUN, cwd=copy) as server,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path="/usr/bin/chromium") as browser,
    ):
        size: ViewportSize = {"width": request.param, "height": 900}
        page = browser.new_page(viewport=size, is_mobile=request.param == 390)
        page.on("console", lambda message: complaints.add(message.text))
        page.on("pageerror", lambda error: complaints.add(str(error)))
        page.goto(f"http://127.0.0.1:{server.port}")
        page.evaluate(Path(__file__).with_name("probes.js").read_text("utf-8"))
        page.locator("#operations-Jobs-getBulkActionJob .opblock-summary-control").click()
        yield page
    # The browser itself notes each answer of an error status.
    assert {text for text in complaints if "responded with a status" not in text} == set()


def execute(page: Page, digit: int) -> object:
    """Ask for a demo job. Return the status of the job, or of the problem, that the page shows."""
    page.locator("tr[data-param-name=id] input").fill(demo_id(digit))
    page.locator(".execute").first.click()
    answer = page.locator(".live-responses-table .response")
    answer.locator("code", has_text=demo_id(digit)).first.wait_for()
    return json.loads(answer.locator(".highlight-code code").first.inner_text())["status"]


def authorize(page: Page) -> None:
    page.get_by_label("auth-bearer-value").fill(demo.TOKEN)
    page.get_by_role("button", name="Apply credentials").click()


def audit(page: Page, part: str) -> None:
    """Fail for what axe finds in a part in either colour scheme, and what is cut or too wide."""
    for is_dark, ground in ((False, "rgba(0, 0, 0, 0)"), (True, "rgb(28, 32, 34)")):
        page.emulate_media(color_scheme="dark" if is_dark else "light")
        assert page.evaluate("part => faults(part)", part) == []
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == ground
    assert page.evaluate("cut()") == []
    assert page.evaluate("document.scrollingElement.scrollWidth == screen.width")


def test_a_job_can_be_tried_out_and_axe_finds_no_fault_on_the_way(page: Page) -> None:
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    assert execute(page, 2) == 401
    page.get_by_role("button", name="Authorize").click()
    audit(page, ".modal-ux")
    authorize(page)
    audit(page, ".modal-ux")
    page.get_by_role("button", name="Close").click()
    assert [execute(page, digit) for digit in (1, 9)] == ["completed", 500]
    page.locator("#operations-Service-getHealth .opblock-summary-control").click()
    page.get_by_role("tab", name="Schema").first.click()
    audit(page, "body")
    assert page.request.get(page.url).headers["content-security-policy"] == POLICY


def test_the_page_shows_every_member_and_no_markdown_or_empty_column(page: Page) -> None:
    titles = page.locator("option, .opblock-summary").all_inner_texts()
    assert [title for title in titles if "`" in title] == []
    assert "links" not in page.locator("main").inner_text().lower()
    assert min(page.evaluate("gaps()")) >= 8  # pixels between two columns
    page.get_by_role("tab", name="Schema").first.click()
    contract = yaml.safe_load((ROOT / "openapi.yaml").read_text("utf-8"))
    shown = " ".join(page.locator(".model-container").first.inner_text().split())
    for name, member in contract["components"]["schemas"]["Job"]["properties"].items():
        assert name in shown
        assert " ".join(member["description"].replace("`", "").split()) in shown


def test_whatever_has_the_focus_shows_it(page: Page) -> None:
    page.get_by_role("tab", name="Schema").first.click()
    page.evaluate("document.activeElement.blur()")
    stops: list[tuple[str, bool]] = []
    while not stops or not stops[-1][0].startswith("<body"):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("focused()"))
    assert len(stops) > 40
    assert [element for element, is_shown in stops[:-1] if not is_shown] == []


def test_the_dialog_takes_the_focus_and_gives_it_back(page: Page) -> None:
    leaves = (("button:text('Close')", "Enter"), (".close-modal", "Enter"), (".modal-ux", "Escape"))
    for opener in (".auth-wrapper > .authorize", ".authorization__btn"):
        for part, key in leaves:
            page.locator(opener).press("Enter")
            assert page.evaluate("document.activeElement.matches('.modal-ux *')")
            if page.get_by_label("auth-bearer-value").count():
                authorize(page)
            for _ in range(5):
                assert page.evaluate("document.activeElement.matches('.modal-ux *, body')")
                page.keyboard.press("Tab")
            page.locator(part).press(key)
            assert page.locator(".modal-ux").count() == 0
            assert page.evaluate(f"document.activeElement.matches('{opener}')")


@pytest.mark.parametrize("page", [760], indirect=True)
def test_the_picture_of_a_running_job_is_small_enough(page: Page, tmp_path: Path) -> None:
    """Where SAVE_PICTURE is set, it becomes the README's."""
    picture = ROOT / "docs/page.png" if "SAVE_PICTURE" in os.environ else tmp_path / "page.png"
    page.locator(".auth-wrapper > .authorize").click()
    authorize(page)
    page.keyboard.press("Escape")
    assert execute(page, 2) == "running"
    documented = page.locator(".responses-inner > table, .responses-inner > div > h4")
    documented.evaluate_all("elements => elements.forEach(element => element.remove())")
    page.locator("#operations-Jobs-getBulkActionJob").screenshot(path=picture)
    assert picture.stat().st_size < 150_000
