"""What the node answers about its readings: rows, statistics and clusters."""

from __future__ import annotations

import random
from typing import Any

import mercantile
import pytest

from tests.http.sending import (
    INDEX_OF_PM25,
    SECOND_US,
    Box,
    Spot,
    assert_is_error,
    box_around,
    moment,
    now_us,
    reading,
    rows,
    send,
    stored,
)
from tests.processes import NodeProcess

HOUR_US = 3600 * SECOND_US
ROW_FIELDS = {"id", "grid_id", "sensor_id", "lat", "lng", "aqi_value", "timestamp", "flags"}


# --- rows ---


def test_rows_come_newest_first(server: NodeProcess, gateway: str, spot: Spot) -> None:
    end_us = now_us()
    ages_s = [30, 5, 7200, 60, 1]
    sent = [reading(spot, f"s{age_s}", end_us - age_s * SECOND_US) for age_s in ages_s]
    send(server, gateway, *sent)
    found = rows(server, spot.grid_id)
    assert [row["sensor_id"] for row in found] == ["s1", "s5", "s30", "s60", "s7200"]
    assert found[0].keys() >= ROW_FIELDS


def test_rows_carry_what_was_sent_and_its_index(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    at_us = now_us() // SECOND_US * SECOND_US
    readings = [
        reading(spot, f"pm-{index}", at_us, values={"pm25": pm25})
        for pm25, index in INDEX_OF_PM25.items()
    ]
    send(server, gateway, *readings)
    found = {row["sensor_id"]: row for row in rows(server, spot.grid_id)}
    for pm25, index in INDEX_OF_PM25.items():
        row = found[f"pm-{index}"]
        assert (row["pm25"], row["aqi_value"], row["flags"]) == (pm25, index, [])
        assert (row["lat"], row["lng"], row["grid_id"]) == (spot.lat, spot.lng, spot.grid_id)
        assert row["timestamp"] == moment(at_us)[:19] + "Z"


def test_rows_are_found_by_the_grid_of_any_zoom(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    """As the newest of all, the row comes first even in the grid of the whole world."""
    send(server, gateway, reading(spot, "anywhere", now_us() + 200 * SECOND_US))
    for zoom in range(19):
        found = rows(server, spot.at_zoom(zoom), limit=1)
        assert [row["sensor_id"] for row in found] == ["anywhere"], zoom


def test_a_grid_shows_nothing_of_its_neighbour(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    send(server, gateway, reading(spot, "here"))
    for neighbour in mercantile.neighbors(mercantile.tile(spot.lng, spot.lat, 12)):
        assert rows(server, f"z12-x{neighbour.x}-y{neighbour.y}") == []


def test_the_limit_of_rows_is_kept(server: NodeProcess, gateway: str, spot: Spot) -> None:
    end_us = now_us()
    send(server, gateway, *[reading(spot, "busy", end_us - n) for n in range(1200)])
    found = rows(server, spot.grid_id)
    assert len(found) == 1000
    assert found[0]["timestamp"] == moment(end_us).replace("+00:00", "Z").replace(".000000", "")
    for limit in (1, 7, 1000):
        assert rows(server, spot.grid_id, limit=limit) == found[:limit]


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "1.5", "x", "", "9" * 400])
def test_a_limit_out_of_bounds_is_refused(server: NodeProcess, limit: str) -> None:
    answer = server.client.get("/api/v1/grids/z12-x1-y1/data", params={"limit": limit})
    assert_is_error(answer, 400, 422)


def test_rows_reach_back_24_hours(server: NodeProcess, gateway: str, spot: Spot) -> None:
    end_us = now_us()
    ages_s = {"fresh": 60, "in time": 24 * 3600 - 60, "too old": 24 * 3600 + 1, "old": 90_000}
    sent = [reading(spot, name, end_us - age * SECOND_US) for name, age in ages_s.items()]
    send(server, gateway, *sent)
    assert [row["sensor_id"] for row in rows(server, spot.grid_id)] == ["fresh", "in time"]
    where = "WHERE lat = ? AND lng = ?"
    assert stored(server.data_dir, "count(*)", where, spot.lat, spot.lng) == [(4,)]


@pytest.mark.parametrize("zoom", [11, 12, 13, 18])
def test_a_row_on_the_edge_of_two_grids_is_in_one_and_costs_the_other_nothing(
    server: NodeProcess, gateway: str, zoom: int
) -> None:
    """The meridian of Greenwich is the edge; a tile owns its western one."""
    east, west = Spot("", 12.3456, 0.0), Spot("", 12.3456, -0.00001)
    end_us = now_us() + 100 * SECOND_US
    readings = [reading(east, "east", end_us + n) for n in range(3)]
    send(server, gateway, *readings, reading(west, "west", end_us))
    assert {row["sensor_id"] for row in rows(server, east.at_zoom(zoom), limit=1)} == {"east"}
    assert [row["sensor_id"] for row in rows(server, west.at_zoom(zoom), limit=1)] == ["west"]


# --- rows of a box ---


def test_a_box_shows_the_rows_of_its_grids(server: NodeProcess, gateway: str, spot: Spot) -> None:
    """It meets the grid of the spot and, at its corner, three more; none of those beyond."""
    tile = mercantile.tile(spot.lng, spot.lat, 12)
    corner = mercantile.bounds(tile)
    step_lng, step_lat = (corner.east - corner.west) / 2, (corner.north - corner.south) / 2
    places = [
        Spot(f"{x},{y}", spot.lat - y * 2 * step_lat, spot.lng + x * 2 * step_lng)
        for x in (-1, 0, 1)
        for y in (-1, 0, 1)
    ]
    end_us = now_us()
    send(
        server,
        gateway,
        *[reading(place, place.grid_id, end_us - n) for n, place in enumerate(places)],
    )
    box = {
        "minLat": corner.south - step_lat / 10,
        "maxLat": corner.south + step_lat / 10,
        "minLng": corner.east - step_lng / 10,
        "maxLng": corner.east + step_lng / 10,
    }
    answer = server.client.get("/api/v1/grids/bounds", params=box | {"zoom": 12}).json()
    expected = ["0,0", "0,1", "1,0", "1,1"]
    assert [row["sensor_id"] for row in answer["tiles"]] == expected
    assert answer["count"] == 4
    grids = [f"z12-x{tile.x + x}-y{tile.y + y}" for x in (0, 1) for y in (0, 1)]
    assert answer["tiles"] == [row for grid in grids for row in rows(server, grid)]


def test_a_box_shows_no_row_on_the_far_edge_of_its_grids(server: NodeProcess, gateway: str) -> None:
    """What lies on the meridian belongs to the grid east of it, which the box does not meet."""
    east, west = Spot("", -12.3456, 0.0), Spot("", -12.3456, -0.01)
    send(server, gateway, reading(east, "edge-east"), reading(west, "edge-west"))
    box = box_around(west, 0.001) | {"zoom": 12}
    answer = server.client.get("/api/v1/grids/bounds", params=box).json()
    assert [row["sensor_id"] for row in answer["tiles"]] == ["edge-west"]


def test_a_box_of_1024_grids_is_answered_and_a_larger_one_is_not(server: NodeProcess) -> None:
    world = {"minLat": -85.0, "maxLat": 85.0, "minLng": -180.0, "maxLng": 179.9}
    answer = server.client.get("/api/v1/grids/bounds", params=world | {"zoom": 5})
    assert answer.status_code == 200  # 32 × 32
    assert answer.json()["count"] == len(answer.json()["tiles"])
    refused = server.client.get("/api/v1/grids/bounds", params=world | {"zoom": 6})
    assert_is_error(refused, 422)


# --- statistics ---


def test_a_grid_tells_where_it_is_and_what_it_holds(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    end_us = now_us() // SECOND_US * SECOND_US
    concentrations = list(INDEX_OF_PM25)
    sent = [
        reading(spot, f"stat-{n}", end_us - n * SECOND_US, values={"pm25": pm25})
        for n, pm25 in enumerate(concentrations)
    ]
    send(server, gateway, *sent)
    grid = server.client.get(f"/api/v1/grids/{spot.grid_id}").json()
    indexes = list(INDEX_OF_PM25.values())
    assert grid["grid_id"] == spot.grid_id
    assert grid["zoom_level"] == 12
    assert grid["data_count"] == len(indexes)
    assert grid["avg_aqi"] == pytest.approx(sum(indexes) / len(indexes), abs=0.01)
    assert grid["max_aqi"] == max(indexes)
    assert grid["last_updated"] == moment(end_us)[:19] + "Z"
    assert_bounds(grid, mercantile.bounds(mercantile.tile(spot.lng, spot.lat, 12)))


def assert_bounds(grid: dict[str, Any], box: Any) -> None:
    shown, centre = grid["bounds"], grid["center"]
    expected = {"minLat": box.south, "maxLat": box.north, "minLng": box.west, "maxLng": box.east}
    assert shown == pytest.approx(expected, abs=1e-9)
    assert box.south < centre["lat"] < box.north
    assert centre["lng"] == pytest.approx((box.west + box.east) / 2)


def test_an_empty_grid_has_no_index(server: NodeProcess) -> None:
    grid = server.client.get("/api/v1/grids/z12-x3-y3").json()
    assert (grid["data_count"], grid["avg_aqi"], grid["max_aqi"]) == (0, None, None)
    assert grid["last_updated"] is None
    assert rows(server, "z12-x3-y3") == []


def test_a_flagged_reading_is_shown_and_not_averaged(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    good = reading(spot, "good", values={"pm25": 9.0})
    bad = reading(spot, "bad", values={"pm25": 225.4, "humidity": 150})
    send(server, gateway, good, bad)
    assert {row["sensor_id"] for row in rows(server, spot.grid_id)} == {"good", "bad"}
    grid = server.client.get(f"/api/v1/grids/{spot.grid_id}").json()
    assert (grid["avg_aqi"], grid["max_aqi"]) == (50, 50)
    box = box_around(spot, 0.001) | {"gridSize": 1.0}
    (cluster,) = server.client.get("/api/v1/clusters", params=box).json()
    assert (cluster["count"], cluster["avg_aqi"], cluster["max_aqi"]) == (1, 50, 50)


# --- clusters ---

SOURCE_DESIGN = """
    floor(lat / $size) * $size + $size / 2 AS cluster_lat,
    floor(lng / $size) * $size + $size / 2 AS cluster_lng,
    count(*), avg(aqi_value), max(aqi_value)
"""
"""`get_pollution_clusters_in_bounds` of the source design, on the columns of the files."""
IN_BOX = """
    WHERE lat BETWEEN $minLat AND $maxLat AND lng BETWEEN $minLng AND $maxLng
        AND timestamp > now() - INTERVAL 24 hours AND flags = ''
    GROUP BY floor(lat / $size), floor(lng / $size)
"""


@pytest.fixture(scope="module")
def scattered(server: NodeProcess, gateway: str) -> list[Spot]:
    """Readings around two centres, one south-west of zero; several a sensor, some flagged."""
    centres = [Spot("", -33.4, -70.6), Spot("", 48.2, 16.4)]
    dice = random.Random(20)
    end_us = now_us()
    sent = []
    for number in range(400):
        centre = centres[number % 2]
        lat, lng = (round(dice.gauss(at, 0.02), 6) for at in (centre.lat, centre.lng))
        values: dict[str, float] = {"pm25": dice.choice(list(INDEX_OF_PM25))}
        if number % 10 == 0:
            values = {"temperature": 20.0}
        if number % 15 == 0:
            values["humidity"] = 150.0
        at_us = end_us - dice.randrange(22 * HOUR_US)
        sent.append(reading(Spot("", lat, lng), f"c{number % 120}", at_us, values=values))
    send(server, gateway, *sent)
    return centres


@pytest.mark.parametrize("size", [0.001, 0.01, 0.05, 0.3, 1.0, 180.0])
@pytest.mark.parametrize("centre", [0, 1])
@pytest.mark.parametrize("reach", [0.01, 0.03, 1.0])
def test_clusters_are_those_of_the_source_design(
    server: NodeProcess, scattered: list[Spot], centre: int, size: float, reach: float
) -> None:
    box = box_around(scattered[centre], reach)
    answer = server.client.get("/api/v1/clusters", params=box | {"gridSize": size})
    fields = ("lat", "lng", "count", "avg_aqi", "max_aqi")
    found = sorted(tuple(cluster[field] for field in fields) for cluster in answer.json())
    expected = sorted(source_design(server, box, size))
    assert len(found) == len(expected) > 0
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


def source_design(server: NodeProcess, box: Box, size: float) -> list[tuple[Any, ...]]:
    """The answer of the source design's SQL over the files."""
    text = SOURCE_DESIGN + "|" + IN_BOX
    for name, value in (box | {"size": size}).items():
        text = text.replace(f"${name}", f"{value!r}::DOUBLE")
    columns, tail = text.split("|")
    return stored(server.data_dir, columns, tail)


def test_a_box_without_readings_has_no_clusters(server: NodeProcess) -> None:
    box = {"minLat": -80, "maxLat": -79, "minLng": 0, "maxLng": 1, "gridSize": 0.1}
    assert server.client.get("/api/v1/clusters", params=box).json() == []
