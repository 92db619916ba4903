"""The map shows what the node knows, and changes when it does.

Indexes expected here are those of EPA-454/B-24-002: PM2.5 of 9.0 µg/m³ is 50, 35.4 is 100,
80.0 is 168.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.browser.pages import GREEN, HURRY, RED, STALE_GREY, YELLOW, Visit, reading
from tests.processes import NodeProcess

Open = Callable[..., Visit]
TILE_PIXELS = 512
"""Of a side of MapLibre's vector tiles at a whole zoom."""
COUNT_NUMBERS = """
window.drawn = {};
const draw = OffscreenCanvasRenderingContext2D.prototype.fillText;
OffscreenCanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
  window.drawn[text] = (window.drawn[text] ?? 0) + 1;
  return draw.call(this, text, ...where);
};"""
"""How often each number was drawn."""
HOLD = """
let held = null;
const draw = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (act) => (held ? -held.push(act) : draw(act));
window.hold = () => (held = []);
window.letGo = () => { held.forEach((act) => draw(act)); held = null; };"""
"""A machine that has no time to draw."""


def test_the_map_shows_a_sensor_as_a_number_in_its_categorys_colour(
    demo: NodeProcess, gateway: str, visit: Open
) -> None:
    demo.post(reading("north-1", 60.30, 25.10, 35.4), gateway).raise_for_status()
    demo.flush()
    shown = visit(demo, "/#15/60.30/25.10")
    shown.wait_for_color_in_middle(YELLOW)
    assert shown.pixels_in_middle("#000000") > 10, "no number is drawn in the circle"
    shown.click_middle()
    panel = shown.page.get_by_role("region", name="Sensor", exact=True)
    expect(panel.get_by_role("heading", level=2)).to_have_text("north-1")
    expect(panel.locator(".index-badge")).to_have_text("100")
    expect(panel).to_contain_text("Moderate")
    expect(panel).to_contain_text("Index of the latest reading (US AQI)")
    expect(panel.get_by_role("row", name="PM2.5")).to_contain_text("35\u00a0µg/m³")
    expect(panel.get_by_role("row", name="Temperature")).to_contain_text("4.5°C")


def test_a_posted_value_changes_the_map_without_a_reload(
    demo: NodeProcess, gateway: str, visit: Open
) -> None:
    demo.post(reading("north-2", 60.31, 25.12, 9.0), gateway).raise_for_status()
    demo.flush()
    shown = visit(demo, "/#15/60.31/25.12")
    shown.wait_for_color_in_middle(GREEN)
    shown.wait_until_subscribed()
    shown.page.evaluate("window.loadedOnce = true")
    demo.post(reading("north-2", 60.31, 25.12, 80.0), gateway).raise_for_status()
    shown.wait_for_color_in_middle(RED)
    assert shown.pixels_in_middle(GREEN) == 0
    assert any("?v=" in url for url in shown.requests), "no update led to a new tile"
    assert shown.page.evaluate("window.loadedOnce") is True


def test_a_tile_that_came_and_failed_before_it_was_drawn_is_shown_once_it_comes_again(
    demo: NodeProcess, gateway: str, visit: Open
) -> None:
    """`visit` holds that the map does not throw."""
    turn, asked = "", list[Route]()

    def say(pm25_ugm3: float) -> None:
        demo.post(reading("north-9", 60.39, 25.16, pm25_ugm3), gateway).raise_for_status()
        demo.flush()

    def answer(route: Route) -> None:
        asked.append(route)
        if turn == "comes":
            route.continue_()
        elif turn == "fails":
            route.abort()

    def hear(change: str, pm25_ugm3: float) -> None:
        nonlocal turn
        turn = change
        asked.clear()
        say(pm25_ugm3)
        shown.wait_until(lambda: asked)
        shown.page.wait_for_timeout(1000)  # until the page has what came of it

    say(9.0)
    shown = visit(demo, "/#15/60.39/25.16", scripts=[HOLD])
    shown.wait_for_color_in_middle(GREEN)
    shown.wait_until_subscribed()
    shown.page.route("**/tiles/readings/**", answer)
    shown.page.evaluate("hold()")
    hear("comes", 80.0)
    hear("fails", 80.1)
    shown.page.evaluate("letGo()")
    hear("waits", 35.4)
    shown.page.mouse.wheel(0, -30)  # draws
    shown.page.wait_for_timeout(500)
    turn, waiting = "comes", asked.copy()  # others that come meanwhile are let through at once
    for route in waiting:
        route.continue_()
    shown.wait_for_color_in_middle(YELLOW)


def test_a_posted_value_changes_the_open_panel(
    demo: NodeProcess, gateway: str, visit: Open
) -> None:
    demo.post(reading("north-3", 60.32, 25.14, 9.0), gateway).raise_for_status()
    demo.flush()
    shown = visit(demo, "/?sensor=north-3")
    number = shown.page.locator(".panel .index-badge")
    expect(number).to_have_text("50")
    shown.wait_until_subscribed()
    demo.post(reading("north-3", 60.32, 25.14, 80.0), gateway).raise_for_status()
    expect(number).to_have_text("168")
    expect(shown.page.locator(".panel")).to_contain_text("Unhealthy")


def test_the_page_hears_of_what_is_in_view_and_of_nothing_else(
    demo: NodeProcess, visit: Open
) -> None:
    shown = visit(demo, "/#14/60.40/25.10")
    shown.wait_until(lambda: shown.subscribed == grids(shown, 25.10, 60.40))
    shown.page.evaluate("location.hash = '#14/60.50/25.60'")
    shown.wait_until(lambda: shown.subscribed == grids(shown, 25.60, 60.50))


def test_what_lies_around_the_view_is_at_hand_before_anybody_goes_there(
    demo: NodeProcess, visit: Open
) -> None:
    shown = visit(demo, "/#14/60.45/25.10")
    around = {
        grid.replace("z14-x", "/14/").replace("-y", "/") for grid in grids(shown, 25.10, 60.45, 1)
    }
    shown.wait_until(
        lambda: all(any(f"{one}.mvt" in url for url in shown.requests) for one in around)
    )


def grids(shown: Visit, lng: float, lat: float, around: int = 0) -> set[str]:
    """Those of zoom 14 in a view of that zoom, and this many more on each side."""
    size = shown.page.locator("canvas.maplibregl-canvas").bounding_box()
    assert size is not None
    column, row = (0.5 + lng / 360) * 2**14, mercator_row(lat) * 2**14
    columns = range(*edges(column, size["width"] / TILE_PIXELS, around))
    rows = range(*edges(row, size["height"] / TILE_PIXELS, around))
    return {f"z14-x{x}-y{y}" for x in columns for y in rows}


def edges(middle: float, tiles: float, around: int) -> tuple[int, int]:
    """From the first column or row to beyond the last."""
    return math.floor(middle - tiles / 2) - around, math.floor(middle + tiles / 2) + around + 1


def mercator_row(lat: float) -> float:
    """Where a latitude lies on the square map, from 0 in the north to 1."""
    return (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2


def test_low_zooms_show_clusters_that_open_on_a_click(
    demo: NodeProcess, gateway: str, visit: Open
) -> None:
    near = [reading(f"east-{n}", 60.40 + n * 1e-4, 25.60, 35.4) for n in range(3)]
    demo.post(near, gateway).raise_for_status()
    demo.flush()
    shown = visit(demo, "/#9/60.40/25.60")
    shown.wait_for_color_in_middle(YELLOW)
    shown.click_middle()
    shown.wait_until(lambda: "#11/" in shown.page.url)


def test_an_old_reading_is_not_shown_as_a_current_one(
    demo: NodeProcess, gateway: str, visit: Open
) -> None:
    demo.post(reading("north-4", 60.33, 25.16, 80.0, age_s=3600), gateway).raise_for_status()
    demo.flush()
    shown = visit(demo, "/?sensor=north-4#15/60.33/25.16")
    expect(shown.page.locator(".panel .word")).to_contain_text("No data since")
    expect(shown.page.locator(".panel .index-badge")).to_have_class("index-badge big stale")
    shown.wait_until(lambda: shown.pixels_in_middle(STALE_GREY) > 100)
    assert shown.pixels_in_middle(RED) == 0


def test_a_circle_of_silent_sensors_is_grey_until_one_of_them_speaks_for_itself(
    demo: NodeProcess, gateway: str, visit: Open
) -> None:
    old = [reading(f"far-{n}", 60.55 + n * 1e-4, 25.90, 80.0, age_s=3600) for n in range(3)]
    demo.post(old, gateway).raise_for_status()
    demo.flush()
    shown = visit(demo, "/#9/60.55/25.90")
    shown.wait_until(lambda: shown.pixels_in_middle(STALE_GREY) > 100)
    assert shown.pixels_in_middle(RED) == 0
    demo.post(reading("far-1", 60.5501, 25.90, 35.4), gateway).raise_for_status()
    shown.wait_for_color_in_middle(YELLOW)
    assert shown.pixels_in_middle(RED) == 0


def test_a_doubtful_reading_says_why_it_is_doubted(
    demo: NodeProcess, gateway: str, visit: Open
) -> None:
    demo.post(reading("north-5", 60.34, 25.18, 1999.9), gateway).raise_for_status()
    demo.flush()
    shown = visit(demo, "/?sensor=north-5")
    panel = shown.page.locator(".panel")
    expect(panel.locator(".word")).to_have_text("Not trusted")
    expect(panel).to_contain_text("outside what is physically possible")


def test_a_node_that_goes_is_missed_and_one_that_returns_is_found(
    start_node: Callable[..., NodeProcess], monkeypatch: pytest.MonkeyPatch, visit: Open
) -> None:
    first = start_node(flush_interval_s=0.2)
    token = first.token()
    first.post(reading("a", 60.17, 24.94, 9.0), token).raise_for_status()
    first.flush()
    shown = visit(first, "/?sensor=a")
    number = shown.page.locator(".panel .index-badge")
    expect(number).to_have_text("50")
    shown.wait_until_subscribed()
    first.stop()
    first.client.close()
    link = shown.page.locator(".link")
    expect(link).to_contain_text("reconnecting")
    monkeypatch.setattr("tests.processes.free_port", lambda: first.port)
    second = start_node(flush_interval_s=0.2)
    expect(link).to_be_empty()
    second.post(reading("a", 60.17, 24.94, 80.0), token).raise_for_status()
    second.client.close()
    expect(number).to_have_text("168")


def test_a_link_to_a_sensor_that_is_not_there_says_so(demo: NodeProcess, visit: Open) -> None:
    shown = visit(demo, "/?sensor=gone")
    expect(shown.page.locator(".panel")).to_contain_text("This node has no sensor “gone”.")


def test_images_of_numbers_are_forgotten_and_those_in_view_drawn_again(
    visit: Open, tmp_path: Path
) -> None:
    """More different numbers than are kept in any case, all in one view."""
    settings = {"flush_interval_s": 0.5, "neighbour_radius_km": 0}
    node = NodeProcess(tmp_path / "many", settings)
    try:
        values = [*(125.5 + n for n in range(100)), *(225.5 + n / 2 for n in range(200))]
        places = [(60 + n // 20 * 6e-4, 25 + n % 20 * 1.2e-3) for n in range(len(values))]
        sensors = [
            reading(f"s{n}", *place, value)
            for n, (place, value) in enumerate(zip(places, values, strict=True))
        ]
        node.post(sensors, node.token()).raise_for_status()
        node.flush()
        shown = visit(node, "/#15/60.0042/25.0114", scripts=[HURRY, COUNT_NUMBERS])

        def drawn() -> list[int]:
            counted = shown.page.evaluate("Object.entries(window.drawn)")
            return [times for text, times in counted if text.isdecimal()]

        def has_settled() -> bool:
            before = drawn()
            shown.page.wait_for_timeout(2500)  # it looks every second
            return drawn() == before

        shown.wait_until(lambda: max(drawn(), default=0) > 1)
        shown.wait_until(has_settled)
        assert len(drawn()) > 256
        assert shown.pixels_in_middle("#000000") + shown.pixels_in_middle("#ffffff") > 10
    finally:
        node.stop()
