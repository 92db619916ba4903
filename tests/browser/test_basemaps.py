"""Real basemaps of each kind, imported by the command and drawn by the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.pages import Picture, Visit
from tests.conftest import DATA
from tests.processes import NodeProcess

Open = Callable[..., Visit]

FOLDER = DATA / "basemap"
MISSION_CREEK = "/#15/37.7745/-122.3940"
"""San Francisco, where an arm of the bay lies between streets."""
PONTE_VECCHIO = "/#14.6/43.7680/11.2531"
"""Florence, on both sides of the Arno."""
NORTH = "/#4/62.00/20.00"
"""Land and sea around the Gulf of Bothnia."""
ROAD, WATER, GREEN, LAND = "#ffffff", "#d2d9dc", "#e3e6da", "#efeeea"
"""In the light palette of `ink.ts`."""
DARK_WATER, DARK_LAND = "#0a1d2b", "#0f141a"
"""In the dark one."""
REACH_PX = 190
LEAST_PX = 1500
"""Of 144,400: a street is some 10 px wide and crosses the square many times."""
TOLD = {
    "firenze_protomaps_ODbL.pmtiles": "schema: protomaps-old",
    "sf-downtown_omt_z0-14.mbtiles": "schema: openmaptiles",
    "sf-downtown.osm.pbf": "schema: openmaptiles",
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path_factory.mktemp("basemaps"), {"node_name": "Town Hall"})
    yield process
    process.stop()


def drawn(shown: Visit) -> tuple[int, int]:
    """How many pixels in the middle are road and water."""
    return shown.pixels_in_middle(ROAD, REACH_PX), shown.pixels_in_middle(WATER, REACH_PX)


def test_without_a_basemap_there_are_neither_roads_nor_water(
    visit: Open, node: NodeProcess
) -> None:
    shown = visit(node, MISSION_CREEK, color_scheme="light")
    expect(shown.page.locator("canvas")).to_be_visible()
    shown.wait_until(lambda: shown.pixels_in_middle(LAND, REACH_PX) > 100_000)
    roads, water = drawn(shown)
    assert roads < LEAST_PX and water < LEAST_PX


def test_without_a_basemap_the_land_stays_when_the_colours_change(
    visit: Open, node: NodeProcess
) -> None:
    shown = visit(node, NORTH, color_scheme="light")
    shown.wait_until(lambda: shown.pixels_in_middle(LAND, REACH_PX) > LEAST_PX)
    shown.page.get_by_role("button", name="Colours: as the device").click()
    shown.page.get_by_role("button", name="Colours: light").click()
    expect(shown.page.get_by_role("button", name="Colours: dark")).to_be_visible()
    shown.wait_until(lambda: shown.pixels_in_middle(DARK_WATER, REACH_PX) > LEAST_PX)
    shown.page.wait_for_load_state("networkidle")
    shown.wait_until(lambda: shown.pixels_in_middle(DARK_LAND, REACH_PX) > LEAST_PX)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("firenze_protomaps_ODbL.pmtiles", PONTE_VECCHIO),
        ("sf-downtown_omt_z0-14.mbtiles", MISSION_CREEK),
        ("sf-downtown.osm.pbf", MISSION_CREEK),
    ],
)
def test_a_real_basemap_shows_its_roads_and_its_water(
    visit: Open, node: NodeProcess, picture: Picture, name: str, place: str
) -> None:
    if not (FOLDER / name).exists():
        pytest.skip(f"there is no {name} in {FOLDER}")
    assert TOLD[name] in node.run("basemap", "import", str(FOLDER / name)).stderr
    shown = visit(node, place, color_scheme="light")
    page = shown.page
    shown.wait_until(lambda: min(drawn(shown)) > LEAST_PX)
    assert shown.pixels_in_middle(GREEN, 2 * REACH_PX) > LEAST_PX
    expect(page.get_by_text("OpenStreetMap")).to_be_visible()
    page.wait_for_load_state("networkidle")
    picture(page, f"basemap-{name.rpartition('.')[2]}")
