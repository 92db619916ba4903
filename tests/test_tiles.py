"""Tiles, read by an independent decoder."""

from __future__ import annotations

from typing import Any

import mapbox_vector_tile
import mercantile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.readings import reading
from tests.test_flush import store
from urbanos_edge.clock import HOUR_US
from urbanos_edge.grid import Tile, tile_at
from urbanos_edge.node import Node
from urbanos_edge.tiles.layers import Layers
from urbanos_edge.tiles.mvt import EXTENT, double, points
from urbanos_edge.tiles.tiles import render

HELSINKI = (60.171, 24.941)
MINUTE_US = 60_000_000


def decode(node: Node, tile: Tile, layer: str | int | None = None) -> dict[str, list[Any]]:
    view = node.view()
    shown = view if layer is None else Layers(node.standard, node.rollup.during).of(view, layer)
    body = render(shown, tile, node.standard, node.sensors.name_of)
    decoded = mapbox_vector_tile.decode(body, default_options={"y_coord_down": True})
    return {name: layer["features"] for name, layer in decoded.items()}


_COLUMN = (
    st.lists(st.none() | st.text(max_size=300), min_size=5, max_size=5)
    | st.lists(st.none() | st.integers(0, 2**53), min_size=5, max_size=5)
    | st.lists(st.none() | st.floats(allow_nan=False), min_size=5, max_size=5)
)


@given(
    st.lists(
        st.tuples(st.integers(0, EXTENT - 1), st.integers(0, EXTENT - 1)), min_size=1, max_size=5
    ),
    st.dictionaries(st.text(max_size=8), _COLUMN, max_size=4),
)
def test_any_points_and_properties_survive_the_encoding(
    places: list[tuple[int, int]], columns: dict[str, list[Any]]
) -> None:
    columns = {name: column[: len(places)] for name, column in columns.items()}
    x, y = [x for x, _ in places], [y for _, y in places]
    encoded = {name: list(map(as_value, column)) for name, column in columns.items()}
    decoded = mapbox_vector_tile.decode(
        points("any", x, y, encoded), default_options={"y_coord_down": True}
    )
    found = [
        (tuple(feature["geometry"]["coordinates"]), feature["properties"])
        for feature in decoded["any"]["features"]
    ]
    properties = [
        {name: column[n] for name, column in columns.items() if column[n] is not None}
        for n in range(len(places))
    ]
    assert found == list(zip(places, properties, strict=True))
    assert decoded["any"]["extent"] == EXTENT
    assert decoded["any"]["version"] == 2


def as_value(value: Any) -> Any:
    return double(value) if isinstance(value, float) else value


@pytest.mark.parametrize("zoom", range(19))
def test_a_sensor_stands_where_it_is(node: Node, zoom: int) -> None:
    lat, lng = HELSINKI
    store(node, reading(timestamp_us=node.clock.now_us(), lat=lat, lng=lng))
    tile = tile_at(lat, lng, zoom)
    [feature] = decode(node, tile)["sensors"]
    x, y = feature["geometry"]["coordinates"]
    box = mercantile.xy_bounds(tile.x, tile.y, zoom)
    east, north = mercantile.xy(lng, lat)
    assert x == int((east - box.left) / (box.right - box.left) * EXTENT)
    assert y == int((box.top - north) / (box.top - box.bottom) * EXTENT)


def test_a_sensor_carries_what_the_map_shows(node: Node) -> None:
    now_us = node.clock.now_us()
    store(node, reading(timestamp_us=now_us, values={"pm25": 35.5, "no2": 10.0}))
    [feature] = decode(node, tile_at(*HELSINKI, 12))["sensors"]
    assert feature["properties"] == {
        "id": "school-12",
        "name": "school-12",
        "aqi": 101,
        "level": 3,
        "dominant": "pm25",
        "at": now_us // 1_000_000,
        "flags": "",
        "source": "api",
    }


def test_a_flagged_sensor_is_shown_and_counts_in_no_cluster(node: Node) -> None:
    store(node, reading(timestamp_us=node.clock.now_us(), values={"pm25": 999.9}))
    layers = decode(node, tile_at(*HELSINKI, 12))
    assert layers["sensors"][0]["properties"]["flags"] == "range"
    assert "clusters" not in layers


def test_a_cluster_counts_and_averages(node: Node) -> None:
    now_us = node.clock.now_us()
    store(
        node,
        reading("a", now_us, values={"pm25": 9.0}),
        reading("a", now_us - 1, values={"pm25": 35.4}),
        reading("b", now_us, values={"pm25": 55.4}),
    )
    [feature] = decode(node, tile_at(*HELSINKI, 8))["clusters"]
    assert feature["properties"] == {
        "count": 3,
        "sensors": 2,
        "avg_aqi": 100.0,
        "max_aqi": 150,
        "latest_aqi": 100.0,
        "latest_max_aqi": 150,
        "at": now_us // 1_000_000,
        "color": "#ffff00",
    }


def test_who_fell_silent_does_not_count_beside_who_is_current(node: Node) -> None:
    now_us = node.clock.now_us()
    store(
        node,
        reading("dead", now_us - 16 * MINUTE_US, values={"pm25": 225.4, "pm10": 54.0}),
        reading("alive", now_us, values={"pm25": 9.0, "pm10": 154.0}),
    )
    [feature] = decode(node, tile_at(*HELSINKI, 8))["clusters"]
    told = feature["properties"]
    assert (told["sensors"], told["latest_aqi"], told["latest_max_aqi"]) == (2, 100.0, 100)
    assert (told["color"], told["at"]) == ("#ffff00", now_us // 1_000_000)
    assert (told["count"], told["avg_aqi"], told["max_aqi"]) == (2, 200.0, 300), "of 24 hours"
    [feature] = decode(node, tile_at(*HELSINKI, 8), "pm25")["clusters"]
    assert feature["properties"]["latest_max_aqi"] == 50


@pytest.mark.parametrize("sensors", [2, 60])
def test_where_all_fell_silent_they_count_as_they_were_then(node: Node, sensors: int) -> None:
    then_us = node.clock.now_us() - HOUR_US
    arrivals = [reading(f"{n}", then_us + n, values={"pm25": 9.0}) for n in range(sensors - 1)]
    store(node, *arrivals, reading("worst", then_us - MINUTE_US, values={"pm25": 35.4}))
    [feature] = decode(node, tile_at(*HELSINKI, 8))["clusters"]
    told = feature["properties"]
    assert told["latest_aqi"] == pytest.approx(50 + 50 / sensors, abs=0.05)
    assert (told["latest_max_aqi"], told["at"]) == (100, then_us // 1_000_000)


def test_a_flagged_reading_makes_no_older_index_look_current(node: Node) -> None:
    now_us = node.clock.now_us()
    store(
        node,
        reading("silent", now_us - HOUR_US, values={"pm25": 35.4}),
        reading("odd", now_us, values={"pm25": 1999.9}),
    )
    [feature] = decode(node, tile_at(*HELSINKI, 8))["clusters"]
    assert feature["properties"]["latest_aqi"] == 100.0
    assert feature["properties"]["at"] == (now_us - HOUR_US) // 1_000_000


def test_a_layer_of_one_pollutant_shows_its_own_index_and_who_measures_it(node: Node) -> None:
    now_us = node.clock.now_us()
    store(
        node,
        reading("a", now_us, values={"pm25": 55.4, "pm10": 54.0}),
        reading("b", now_us, values={"pm10": 154.0}),
        reading("c", now_us, values={"pm25": 9.0}),
        reading("d", now_us, values={"pm10": 27.0, "pm25": 1999.9}),
    )
    layers = decode(node, tile_at(*HELSINKI, 12), "pm10")
    shown = {one["properties"]["id"]: one["properties"] for one in layers["sensors"]}
    assert {name: (of["aqi"], of["level"], of["dominant"]) for name, of in shown.items()} == {
        "a": (50, 1, "pm10"),
        "b": (100, 2, "pm10"),
        "d": (25, 1, "pm10"),
    }
    assert shown["d"]["flags"] == "range"
    [cluster] = layers["clusters"]
    assert cluster["properties"]["latest_aqi"] == 75.0
    assert cluster["properties"]["latest_max_aqi"] == 100
    assert cluster["properties"]["color"] == "#ffff00"
    assert decode(node, tile_at(*HELSINKI, 12), "co") == {}


def test_an_hour_that_is_over_shows_the_mean_of_its_unflagged_readings(node: Node) -> None:
    hour = node.clock.now_us() // HOUR_US - 3
    then_us = hour * HOUR_US
    store(
        node,
        reading("a", then_us + 1, values={"pm25": 9.0}),
        reading("a", then_us + 2, values={"pm25": 35.5}),
        reading("a", then_us + 3, values={"pm25": 1999.9}),
        reading("a", then_us + HOUR_US, values={"pm25": 125.4}),
        reading("b", then_us - 1, values={"pm25": 9.0}),
    )
    layers = decode(node, tile_at(*HELSINKI, 12), hour)
    [sensor] = layers["sensors"]
    # (50 + 101) / 2, rounded half up
    assert (sensor["properties"]["id"], sensor["properties"]["aqi"]) == ("a", 76)
    assert sensor["properties"]["level"] == 2
    assert sensor["properties"]["at"] == then_us // 1_000_000
    [cluster] = layers["clusters"]
    assert cluster["properties"]["latest_aqi"] == 76.0
    assert decode(node, tile_at(*HELSINKI, 12), hour - 30) == {}


def test_low_zooms_show_sensors_only_where_they_are_few(node: Node) -> None:
    now_us = node.clock.now_us()
    store(node, *[reading(f"sensor-{number}", now_us) for number in range(201)])
    assert "sensors" not in decode(node, tile_at(*HELSINKI, 11))
    assert len(decode(node, tile_at(*HELSINKI, 12))["sensors"]) == 201


def test_a_tile_without_anything_is_empty(node: Node) -> None:
    assert render(node.view(), Tile(5, 0, 0), node.standard, node.sensors.name_of) == b""


def test_children_count_what_their_parent_counts(node: Node) -> None:
    now_us = node.clock.now_us()
    store(
        node,
        *[
            reading(f"s{number}", now_us, lat=60 + number % 7 / 10, lng=24 + number % 11 / 10)
            for number in range(77)
        ],
    )
    parent = tile_at(60.3, 24.5, 6)
    children = [Tile(7, 2 * parent.x + dx, 2 * parent.y + dy) for dx in (0, 1) for dy in (0, 1)]
    assert total(node, parent) == sum(total(node, child) for child in children) > 0


def total(node: Node, tile: Tile) -> int:
    return sum(one["properties"]["count"] for one in decode(node, tile).get("clusters", []))


def test_a_mean_between_two_bands_has_the_colour_of_the_rounded_index(node: Node) -> None:
    colors = [node.standard.mean_colors[tenths] for tenths in (504, 506, 9_990)]
    assert colors == ["#00e400", "#ffff00", "#7e0023"]
