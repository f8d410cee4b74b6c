"""The page for all: what axe-core finds in Chromium, on a phone and on a desk."""

import re
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page
from serving import ROOT
from test_docs import authorize, browser, execute, page  # noqa: F401 (two are fixtures)

import demo

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


def listed() -> set[tuple[str, str]]:
    """Return the faults that docs/faults.md lists: axe's rule and the element's selector."""
    section = (ROOT / "docs/faults.md").read_text("utf-8").partition("## The page")[2]
    return set(re.findall(r"^\| `(.+?)` \| `(.+?)` \|", section, re.MULTILINE))


@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_the_faults_that_are_listed_and_no_other(page: Page, width: int) -> None:  # noqa: F811 (the fixture)
    found: dict[Any, str] = {}

    def audit(*exclude: str) -> None:
        page.evaluate(AXE)
        result = page.evaluate("exclude => axe.run({ exclude })", [[name] for name in exclude])
        for rule in result["violations"]:
            found.update({(rule["id"], *node["target"]): rule["impact"] for node in rule["nodes"]})

    def audit_dialog() -> None:
        page.get_by_role("button", name="Authorize").click()
        page.locator(".modal-ux-content").wait_for()
        audit("#operations")
        page.get_by_role("button", name="Dismiss").click()

    page.set_viewport_size({"width": width, "height": 844})
    page.locator(".opblock").first.wait_for()
    audit()
    audit_dialog()
    authorize(page, demo.TOKEN)
    audit_dialog()
    page.locator("#operations-Jobs-getBulkActionJob .opblock-summary").click()
    page.get_by_role("button", name="Expand all").first.click()
    execute(page, demo.job_id(1))
    audit()
    assert found == dict.fromkeys(listed(), "moderate")
