"""Pages of a node that wants a login, or that goes by other rules than when they were begun."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.pages import Visit, reading
from tests.processes import NodeProcess

Open = Callable[..., Visit]
IMPATIENT = "const later = setTimeout; window.setTimeout = (act, ms) => later(act, ms / 10);"
"""A page that waits half a minute asks after three seconds then."""
LOG_IN = """async (token) => {
  const body = JSON.stringify({ token });
  const headers = { 'Content-Type': 'application/json' };
  return (await fetch('/api/v1/session', { method: 'POST', headers, body })).status;
}"""


@pytest.mark.parametrize("address", ["/?sensor=a", "/kiosk"])
def test_who_has_not_logged_in_is_told_so_and_sees_all_after_it(
    visit: Open, tmp_path: Path, address: str
) -> None:
    closed = NodeProcess(tmp_path / "closed", {"public_read": False})
    try:
        closed.post(reading("a", 60.17, 24.94, 9.0), closed.token()).raise_for_status()
        closed.flush()
        page = visit(closed, address, scripts=[IMPATIENT]).page
        expect(page.locator("body")).to_contain_text("only to those who log in")
        if address != "/kiosk":
            log_in = page.get_by_role("link", name="Log in", exact=True)
            expect(log_in).to_have_attribute("href", "/admin")
        assert page.evaluate(LOG_IN, closed.token("sync")) in (200, 201)
        expect(page.locator("body")).not_to_contain_text("only to those who log in")
        expect(page.get_by_text("50", exact=True).first).to_be_visible()
    finally:
        closed.stop()


@pytest.mark.parametrize(
    ("address", "number"), [("/?sensor=a", ".panel .index-badge"), ("/kiosk", ".number")]
)
def test_a_page_begins_anew_with_another_standard_and_with_nothing_else(
    visit: Open, tmp_path: Path, address: str, number: str
) -> None:
    """PM2.5 of 60 µg/m³: 154 of the US index, and the fourth of six categories of the EU's."""
    shown = {"us-epa-2024": ("154", "US AQI"), "eu-eea-2024": ("4", "European AQI")}
    port: int | None = None
    page = None
    begun = []
    for standard in ("us-epa-2024", "us-epa-2024", "eu-eea-2024"):
        node = NodeProcess(tmp_path / "node", {"aqi_standard": standard}, port=port)
        try:
            port = node.port
            node.post(reading("a", 60.17, 24.94, 60.0), node.token()).raise_for_status()
            node.flush()
            page = page or visit(node, address, scripts=[IMPATIENT]).page
            index, name = shown[standard]
            expect(page.locator("body")).to_contain_text(name)
            expect(page.locator(number)).to_have_text(index)
            expect(page.locator("body")).not_to_contain_text("onnecti")
            begun.append(page.evaluate("performance.timeOrigin"))
        finally:
            node.stop()
    assert begun[0] == begun[1] < begun[2]


@pytest.mark.parametrize("width", [720, 834, 1024, 1100])
def test_the_hours_have_a_slider_on_every_tablet(
    demo: NodeProcess, visit: Open, width: int
) -> None:
    page = visit(demo, "/", viewport={"width": width, "height": 1112}).page
    page.get_by_role("button", name="The last 24 hours").click()
    slider = page.get_by_role("slider")
    expect(slider).to_be_visible()
    box = slider.bounding_box()
    assert box is not None and box["width"] >= 100
    assert page.evaluate("document.documentElement.scrollWidth") == width
