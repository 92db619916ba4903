"""The page serves whoever looks at it: by keyboard, on a phone, in their language, and safely."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import GREEN, YELLOW, Picture, Visit, box_at_rest, reading
from tests.processes import NodeProcess

Open = Callable[..., Visit]

WIDE = {"width": 1920, "height": 1080}
PHONE = {"width": 390, "height": 844}
PORTRAIT = {"width": 1080, "height": 1920}
FIRST_LOAD_BYTES = 1_500_000
"""Compressed, before any tile."""
HELSINKI = "/#14.5/60.1716/24.9443"
"""Where the simulated fleet stands."""


def focused(page: Page, role: str) -> str:
    """The name of the focused element, which must have this role."""
    element = page.locator(":focus")
    expect(element).to_have_role(role)  # type: ignore[arg-type]
    return element.get_attribute("aria-label") or element.inner_text()


def test_the_keyboard_alone_finds_opens_and_closes_a_sensor(
    demo: NodeProcess, gateway: str, visit: Open
) -> None:
    demo.post(reading("school-12", 60.35, 25.20, 9.0), gateway).raise_for_status()
    demo.flush()
    page = visit(demo).page
    expect(page.locator("canvas")).to_be_visible()
    page.keyboard.press("Tab")
    assert focused(page, "region") == "Map of the sensors"
    page.keyboard.press("Tab")
    assert focused(page, "button") == "List of sensors"
    page.keyboard.press("Enter")
    assert focused(page, "searchbox") == "Find a sensor"
    page.keyboard.type("SCHOOL-12")
    page.keyboard.press("Tab")
    assert focused(page, "button") == "school-12"
    page.keyboard.press("Enter")
    assert focused(page, "heading") == "school-12"
    expect(page.locator(".panel .index-badge")).to_have_text("50")
    assert "sensor=school-12" in page.url
    page.keyboard.press("Escape")
    expect(page.locator(".panel")).to_be_hidden()
    assert focused(page, "searchbox") == "Find a sensor"
    page.keyboard.press("Escape")
    expect(page.locator(".list")).to_be_hidden()
    assert focused(page, "button") == "List of sensors"


def test_a_phone_held_upright_shows_the_map_and_a_sheet_below_it(
    demo: NodeProcess, gateway: str, visit: Open, picture: Picture
) -> None:
    demo.post(reading("phone-1", 60.36, 25.22, 9.0), gateway).raise_for_status()
    demo.flush()
    shown = visit(demo, "/?sensor=phone-1", viewport=PHONE, has_touch=True, is_mobile=True)
    page = shown.page
    sheet = page.locator(".panel")
    expect(sheet.locator(".index-badge")).to_have_text("50")
    box = box_at_rest(sheet)
    assert box is not None
    assert (box["x"], box["width"]) == (0, PHONE["width"])
    assert PHONE["height"] * 0.3 < box["y"] and box["y"] + box["height"] == PHONE["height"]
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    picture(page, "phone-sensor")
    page.get_by_role("button", name="Close").tap()
    expect(sheet).to_be_hidden()


def test_the_attribution_stays_in_sight_above_the_sheet(
    demo: NodeProcess, gateway: str, visit: Open
) -> None:
    if demo.client.get("/basemap.json").status_code == 404:
        pytest.skip("there are no streets here to draw a basemap from")
    demo.post(reading("phone-2", 60.37, 25.24, 9.0), gateway).raise_for_status()
    demo.flush()
    page = visit(demo, "/?sensor=phone-2", viewport=PHONE).page
    expect(page.locator(".panel .index-badge")).to_have_text("50")
    attribution = page.get_by_text("OpenStreetMap contributors")
    expect(attribution).to_be_visible()
    text, sheet = attribution.bounding_box(), box_at_rest(page.locator(".panel"))
    assert text is not None and sheet is not None
    assert text["y"] + text["height"] <= sheet["y"]


def test_the_page_asks_nothing_of_any_other_host(demo: NodeProcess, visit: Open) -> None:
    shown = visit(demo)
    page = shown.page
    shown.wait_until_subscribed()
    page.get_by_role("button", name="List of sensors").click()
    page.locator(".list tbody button").first.click()
    page.get_by_role("button", name="Colours").click()
    page.get_by_label("Language").select_option("de")
    page.get_by_role("button", name="Vergrößern").click()
    shown.wait_until(lambda: "#" in page.url)
    assert any("/tiles/readings/" in url for url in shown.requests)
    own = (f"{demo.url}/", demo.url.replace("http", "ws") + "/ws")
    assert [url for url in shown.requests if not url.startswith(own)] == []


@pytest.mark.parametrize("address", ["/", "/kiosk"])
def test_the_first_load_is_small_enough_for_a_slow_line(
    demo: NodeProcess, visit: Open, address: str
) -> None:
    shown = visit(demo, address)
    shown.wait_until_subscribed()
    assets = {url for url in shown.requests if "/assets/" in url} | {demo.url + address}
    sizes = {}
    for url in assets:
        with demo.client.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as answer:
            for _ in answer.iter_raw():
                pass
            sizes[url] = answer.num_bytes_downloaded
    assert any(url.endswith(".js") for url in sizes)
    assert sum(sizes.values()) <= FIRST_LOAD_BYTES, sizes


def test_a_sensors_name_is_text_and_runs_no_script(
    demo: NodeProcess, gateway: str, visit: Open
) -> None:
    name = '<img src=x onerror="window.hacked=1">'
    demo.post(reading(name, 60.38, 25.26, 9.0), gateway).raise_for_status()
    demo.flush()
    page = visit(demo, "/#15/60.38/25.26").page
    page.get_by_role("button", name="List of sensors").click()
    page.get_by_label("Find a sensor").fill("onerror")
    page.get_by_role("button", name=name).click()
    expect(page.locator(".panel h2")).to_have_text(name)
    expect(page.locator(".panel .index-badge")).to_have_text("50")
    assert page.locator("img").count() == 0
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize(("locale", "word"), [("en-GB", "Simulated"), ("de-AT", "Simuliert")])
def test_simulated_is_written_wherever_a_number_shows(
    demo: NodeProcess, visit: Open, locale: str, word: str
) -> None:
    page = visit(demo, locale=locale).page
    for part in (".topbar", ".legend"):
        expect(page.locator(part)).to_contain_text(word)
    page.locator(".tools button").first.click()
    expect(page.locator(".list")).to_contain_text(word)
    page.locator(".list tbody button").first.click()
    expect(page.locator(".panel")).to_contain_text(word)


def test_the_top_bar_tells_of_a_median_that_lies_among_the_indexes_of_the_sensors(
    demo: NodeProcess, visit: Open
) -> None:
    page = visit(demo).page
    expect(page.locator(".city")).to_contain_text("median of")
    shown = int(page.locator(".city .index-badge").inner_text())
    listed = demo.client.get("/api/v1/sensors?limit=10000").json()["sensors"]
    indexes = [sensor["latest"]["aqi_value"] for sensor in listed if sensor["latest"]]
    assert min(indexes) <= shown <= max(indexes)


def test_language_and_colours_are_remembered(demo: NodeProcess, visit: Open) -> None:
    page = visit(demo, color_scheme="light").page
    page.get_by_label("Language").select_option("de")
    expect(page.locator(".legend")).to_contain_text("Ungesund für empfindliche Gruppen")
    page.get_by_role("button", name="Farben: wie das Gerät").click()
    page.get_by_role("button", name="Farben: hell").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.get_by_role("button", name="Farben: dunkel")).to_be_visible()
    expect(page.locator(".topbar")).to_have_css("background-color", "rgb(26, 34, 43)")


@pytest.mark.parametrize(
    ("name", "size", "locale", "scheme"),
    [
        ("wide", WIDE, "en-GB", "light"),
        ("wide", WIDE, "en-GB", "dark"),
        ("phone", PHONE, "de-DE", "dark"),
        ("portrait", PORTRAIT, "de-DE", "light"),
    ],
)
def test_every_screen_shows_place_value_map_and_legend(
    demo: NodeProcess,
    visit: Open,
    picture: Picture,
    name: str,
    size: dict[str, int],
    locale: str,
    scheme: str,
) -> None:
    shown = visit(demo, HELSINKI, viewport=size, locale=locale, color_scheme=scheme)
    page = shown.page
    expect(page.locator("h1")).to_have_text(demo.status()["node"]["name"])
    expect(page.locator(".city .index-badge")).to_have_text(re.compile(r"^\d+$"))
    shown.wait_until(
        lambda: any(shown.pixels_in_middle(color, 180) > 500 for color in (GREEN, YELLOW))
    )
    expect(page.locator(".legend")).to_be_visible()
    picture(page, f"{name}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
