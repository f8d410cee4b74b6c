"""The page as people use it: in Chromium, with no network."""

import json
import os
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from samples import demo_id
from serving import FLASK_RUN, ROOT, serving

import demo

POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self'; "
    "script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PROBES = Path(__file__).with_name("probes.js").read_text("utf-8")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the demo from a copy of the project: its file is made there."""
    copy = tmp_path_factory.mktemp("demo") / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "instance", "tests"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FLASK_DATABASE", raising=False)
        with serving(*FLASK_RUN, cwd=copy) as server:
            yield f"http://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        with playwright.chromium.launch(executable_path="/usr/bin/chromium", args=options) as own:
            yield own


@pytest.fixture(params=[390, 1280])
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    size: ViewportSize = {"width": request.param, "height": 900}
    with browser.new_context(viewport=size, is_mobile=request.param == 390) as context:
        yield context.new_page()


def open_job(page: Page, address: str) -> None:
    page.goto(address)
    page.evaluate(PROBES)
    page.locator("#operations-Jobs-getBulkActionJob .opblock-summary-control").click()


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


def test_a_job_can_be_tried_out_and_axe_finds_no_fault_on_the_way(page: Page, service: str) -> None:
    asked, complaints = set(), set()
    page.on("console", lambda message: complaints.add(message.text))
    page.on("pageerror", lambda error: complaints.add(str(error)))
    page.on("request", lambda request: asked.add(request.url))
    open_job(page, service)
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
    headers = page.request.get(f"{service}/docs/").headers
    assert headers["content-security-policy"] == POLICY
    assert {url for url in asked if not url.startswith((service, "data:"))} == set()
    # The browser itself notes each answer of an error status.
    assert {text for text in complaints if "responded with a status" not in text} == set()


def test_the_page_shows_every_member_and_no_markdown_or_empty_column(
    page: Page, service: str
) -> None:
    open_job(page, service)
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


def test_whatever_has_the_focus_shows_it(page: Page, service: str) -> None:
    open_job(page, service)
    page.get_by_role("tab", name="Schema").first.click()
    page.evaluate("document.activeElement.blur()")
    stops: list[tuple[str, bool]] = []
    while not stops or not stops[-1][0].startswith("<body"):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("focused()"))
    assert len(stops) > 40
    assert [element for element, is_shown in stops[:-1] if not is_shown] == []


def test_the_dialog_takes_the_focus_and_gives_it_back(page: Page, service: str) -> None:
    page.goto(service)
    for opener in (".auth-wrapper > .authorize", ".authorization__btn"):
        for leave in ("Close", "Dismiss", "Escape"):
            page.locator(opener).press("Enter")
            assert page.evaluate("document.activeElement.matches('.modal-ux *')")
            if page.get_by_label("auth-bearer-value").count():
                authorize(page)
            for _ in range(5):
                assert page.evaluate("document.activeElement.matches('.modal-ux *, body')")
                page.keyboard.press("Tab")
            if leave == "Escape":
                page.keyboard.press(leave)
            else:
                page.get_by_role("button", name=leave).click()
            assert page.locator(".modal-ux").count() == 0
            assert page.evaluate(f"document.activeElement.matches('{opener}')")


@pytest.mark.parametrize("page", [1280], indirect=True)
def test_the_picture_of_a_running_job_is_small_enough_for_the_readme(
    page: Page, service: str, tmp_path: Path
) -> None:
    """Where SAVE_PICTURE is set, it becomes the README's."""
    picture = ROOT / "docs/page.png" if "SAVE_PICTURE" in os.environ else tmp_path / "page.png"
    page.set_viewport_size({"width": 760, "height": 900})
    open_job(page, service)
    page.locator(".auth-wrapper > .authorize").click()
    authorize(page)
    page.keyboard.press("Escape")
    assert execute(page, 2) == "running"
    documented = page.locator(".responses-inner > table, .responses-inner > div > h4")
    documented.evaluate_all("elements => elements.forEach(element => element.remove())")
    page.locator("#operations-Jobs-getBulkActionJob").screenshot(path=picture)
    assert picture.stat().st_size < 150_000
