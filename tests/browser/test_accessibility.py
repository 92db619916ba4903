"""What axe-core, an independent judge of WCAG 2.2, finds: nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import Visit, box_at_rest, reading
from tests.processes import NodeProcess

Open = Callable[..., Visit]

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"


def violations(page: Page) -> list[tuple[str, Any]]:
    """What the judge complains of, and where."""
    page.evaluate(AXE.read_text(encoding="utf-8") + "; null")
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [(one["id"], [node["target"] for node in one["nodes"]]) for one in found["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_part_of_the_page_keeps_anybody_out(
    demo: NodeProcess, gateway: str, visit: Open, scheme: str
) -> None:
    demo.post(reading("reader-1", 60.45, 24.40, 35.4), gateway).raise_for_status()
    demo.flush()
    page = visit(demo, "/?sensor=reader-1", color_scheme=scheme).page
    expect(page.locator(".chart canvas")).to_be_visible()
    for part in page.locator(".panel details").all():
        part.locator("summary").click()
    expect(page.locator(".steps code")).to_be_visible()
    box_at_rest(page.locator(".panel"))
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="List of sensors").click()
    box_at_rest(page.locator(".list"))
    assert violations(page) == []
    page.get_by_role("button", name="Report what").click()
    box_at_rest(page.locator(".report-form"))
    assert violations(page) == []


def test_neither_does_the_kiosk(demo: NodeProcess, visit: Open) -> None:
    page = visit(demo, "/kiosk").page
    expect(page.locator(".number")).to_have_text(re.compile(r"^\d+$"))
    assert violations(page) == []
