"""A screen in a hall: large, current or honest about it, and by itself for ever."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.pages import STALE_GREY, Picture, Visit, reading
from tests.browser.standing import stand
from tests.processes import NodeProcess

Open = Callable[..., Visit]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("1080p", {"width": 1920, "height": 1080}),
        ("4k", {"width": 3840, "height": 2160}),
        ("portrait", {"width": 1080, "height": 1920}),
    ],
)
def test_the_number_is_large_on_every_screen_and_nothing_is_cut_off(
    demo: NodeProcess, visit: Open, picture: Picture, name: str, size: dict[str, int]
) -> None:
    page = visit(demo, "/kiosk", viewport=size, locale="de-DE").page
    number = page.locator(".number")
    expect(number).to_have_text(re.compile(r"^\d+$"))
    height = float(number.evaluate("e => parseFloat(getComputedStyle(e).fontSize)"))
    assert height >= 0.25 * size["height"]
    for part in (".site h2", ".number", ".word", ".advice", ".last", ".clock"):
        box = page.locator(part).bounding_box()
        assert box is not None
        assert box["x"] >= 0 and box["x"] + box["width"] <= size["width"]
        assert box["y"] >= 0 and box["y"] + box["height"] <= size["height"]
    expect(page.locator(".bar")).to_contain_text("Simuliert")
    picture(page, f"kiosk-{name}")


def test_a_tour_goes_from_site_to_site(demo: NodeProcess, gateway: str, visit: Open) -> None:
    pair = [reading(f"tour-{n}", 60.40, 24.30 + n / 100, 9.0) for n in (1, 2)]
    demo.post(pair, gateway).raise_for_status()
    demo.flush()
    page = visit(demo, "/kiosk?sites=tour-1,tour-2&every=2").page
    expect(page.locator(".site h2")).to_have_text("tour-1")
    expect(page.locator(".beside li")).to_have_count(1)
    expect(page.locator(".site h2")).to_have_text("tour-2")
    expect(page.locator(".site h2")).to_have_text("tour-1")


def test_a_kiosk_outlives_its_node(
    start_node: Callable[..., NodeProcess], monkeypatch: pytest.MonkeyPatch, visit: Open
) -> None:
    first = start_node(flush_interval_s=0.2)
    token = first.token()
    first.post(reading("a", 60.17, 24.94, 9.0), token).raise_for_status()
    first.flush()
    shown = visit(first, "/kiosk")
    number, last = shown.page.locator(".number"), shown.page.locator(".last")
    expect(number).to_have_text("50")
    expect(last).to_contain_text(re.compile(r"Last data \d\d:\d\d:\d\d"))
    shown.wait_until_subscribed()
    first.stop()
    expect(last).to_contain_text("No connection. Last data")
    expect(number).to_have_text("50")  # as long as it is current
    monkeypatch.setattr("tests.processes.free_port", lambda: first.port)
    second = start_node(flush_interval_s=0.2)
    expect(last).not_to_contain_text("No connection")
    second.post(reading("a", 60.17, 24.94, 80.0), token).raise_for_status()
    second.client.close()
    expect(number).to_have_text("168")


TOMORROW_NOON = """(() => {
  const day_ms = 86_400_000, now = Date.now.bind(Date);
  const ahead_ms = (Math.floor(now() / day_ms) + 1.5) * day_ms - now();
  Date.now = () => now() + ahead_ms;
})()"""


def test_what_has_become_old_is_grey_on_the_map_behind_and_its_day_is_named(
    start_node: Callable[..., NodeProcess], visit: Open
) -> None:
    """A day on the wall without a node that has anything to say."""
    node = start_node(flush_interval_s=0.2)
    node.post(reading("a", 60.17, 24.94, 9.0), node.token()).raise_for_status()
    node.flush()
    shown = visit(node, "/kiosk", viewport={"width": 1920, "height": 1080})
    expect(shown.page.locator(".number")).to_have_text("50")
    shown.wait_until_subscribed()
    node.stop()
    shown.page.evaluate(TOMORROW_NOON)
    last = re.compile(r"^No connection\. Last data \d+ \w+ \d{4}, \d\d:\d\d$")
    expect(shown.page.locator(".last")).to_have_text(last)
    expect(shown.page.locator(".word")).to_have_text("No sensor has current data")
    shown.wait_until(lambda: shown.pixels_in_middle(STALE_GREY, 500) > 100)


def test_a_screen_stays_current_and_the_same_page_through_a_killed_node(tmp_path: Path) -> None:
    figures = stand(tmp_path, minutes=0.3, weighed_every_s=1, restarts=1)
    assert not figures.complaints
    assert figures.more["other_times_seen"] > 2


def test_a_touch_opens_the_map(demo: NodeProcess, visit: Open) -> None:
    page = visit(demo, "/kiosk").page
    expect(page.locator(".number")).to_have_text(re.compile(r"^\d+$"))
    page.mouse.click(200, 200)
    expect(page.locator(".topbar")).to_be_visible()
    assert "from=kiosk" in page.url
