"""Tiles and grid ids against the source design's formulas and an independent library."""

from __future__ import annotations

import math

import mercantile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urbanos_edge.errors import Unprocessable
from urbanos_edge.grid import Bounds, Tile, checked_tile, parse_grid_id, tile_at, tile_range

EDGE_LAT = 85.0511287798066
latitudes = st.floats(-EDGE_LAT, EDGE_LAT)
longitudes = st.floats(-180, 180)
zooms = st.integers(0, 18)


def near_an_edge(lat: float, lng: float, zoom: int) -> bool:
    """Where two right formulas may disagree by the last bit of a floating-point number."""
    column = (lng + 180) / 360 * 2**zoom
    row = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**zoom
    return any(abs(value - round(value)) < 1e-8 for value in (column, row))


@given(latitudes, longitudes, zooms)
def test_tiles_agree_with_mercantile(lat: float, lng: float, zoom: int) -> None:
    if near_an_edge(lat, lng, zoom):
        return
    expected = mercantile.tile(lng, lat, zoom)
    assert tile_at(lat, lng, zoom) == (zoom, expected.x, expected.y)


@given(latitudes, longitudes, zooms)
def test_a_tile_is_its_descendant_shifted(lat: float, lng: float, zoom: int) -> None:
    finest = tile_at(lat, lng, 18)
    shift = 18 - zoom
    assert tile_at(lat, lng, zoom) == (zoom, finest.x >> shift, finest.y >> shift)


@given(zooms, st.floats(-90, 90), longitudes)
def test_every_point_of_the_world_has_a_tile(zoom: int, lat: float, lng: float) -> None:
    tile = tile_at(lat, lng, zoom)
    assert checked_tile(*tile) == tile


@pytest.mark.parametrize("zoom", [0, 1, 12, 18])
def test_poles_and_antimeridian_fall_into_the_outermost_tiles(zoom: int) -> None:
    last = 2**zoom - 1
    assert tile_at(90, 0, zoom).y == 0
    assert tile_at(-90, 0, zoom).y == last
    assert tile_at(0, -180, zoom).x == 0
    assert tile_at(0, 180, zoom).x == last
    assert tile_at(89.9, 180, zoom) == (zoom, last, 0)


@given(zooms, st.data())
def test_bounds_agree_with_mercantile(zoom: int, data: st.DataObject) -> None:
    x, y = (data.draw(st.integers(0, 2**zoom - 1)) for _ in range(2))
    expected = mercantile.bounds(x, y, zoom)
    found = Tile(zoom, x, y).bounds
    assert found == pytest.approx(
        (expected.west, expected.south, expected.east, expected.north), abs=1e-9
    )


@given(zooms, st.data())
def test_a_grid_id_reads_back(zoom: int, data: st.DataObject) -> None:
    x, y = (data.draw(st.integers(0, 2**zoom - 1)) for _ in range(2))
    assert parse_grid_id(f"z{zoom}-x{x}-y{y}") == (zoom, x, y)
    assert Tile(zoom, x, y).grid_id == f"z{zoom}-x{x}-y{y}"


@pytest.mark.parametrize(
    "text",
    ["", "z12", "z99-x-1-y0", "z99-x1-y0", "z19-x0-y0", "z1-x2-y0", "z1-x0-y2", "z1-x0-y0 "]
    + ["Z1-x0-y0", "z1-x0-y0\n", "z-x-y", "z1-x٣-y0", "z12-x2048-y1536'; DROP TABLE files"],
)
def test_what_is_no_grid_id_is_refused(text: str) -> None:
    with pytest.raises(Unprocessable) as refusal:
        parse_grid_id(text)
    assert refusal.value.code == "invalid_grid_id"


def test_neighbours_wrap_at_the_antimeridian_and_stop_at_the_poles() -> None:
    assert Tile(2, 0, 0).neighbours() == sorted(
        [Tile(2, 1, 0), Tile(2, 0, 1), Tile(2, 1, 1), Tile(2, 3, 0), Tile(2, 3, 1)]
    )
    assert len(Tile(12, 2048, 1536).neighbours()) == 8
    assert Tile(0, 0, 0).neighbours() == []


def test_a_box_spans_from_its_north_west_to_its_south_east_tile() -> None:
    first, last = tile_range(Bounds(24.9, 60.1, 25.1, 60.2), 12)
    assert (first.x, first.y) == mercantile.tile(24.9, 60.2, 12)[:2]
    assert (last.x, last.y) == mercantile.tile(25.1, 60.1, 12)[:2]
