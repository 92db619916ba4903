"""The readings' vector tiles, decoded by an independent decoder."""

from __future__ import annotations

import math
import random
from typing import Any

import mapbox_vector_tile
import mercantile
import pytest

from tests.http.sending import (
    INDEX_OF_PM25,
    SECOND_US,
    Spot,
    moment,
    now_us,
    reading,
    send,
)
from tests.processes import NodeProcess

EPA_COLORS = {
    **{0: "#00e400", 50: "#00e400", 100: "#ffff00", 150: "#ff7e00"},
    **{200: "#ff0000", 300: "#8f3f97"},
}
"""By the index at the upper end of each category, from the same document as the table."""
Feature = dict[str, Any]


def fetch(server: NodeProcess, tile: mercantile.Tile) -> dict[str, Any]:
    """The layers of a tile, y downwards as on the wire."""
    answer = server.client.get(f"/tiles/readings/{tile.z}/{tile.x}/{tile.y}.mvt")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.mapbox-vector-tile"
    layers: dict[str, Any] = mapbox_vector_tile.decode(
        answer.content, default_options={"y_coord_down": True}
    )
    return layers


def features(server: NodeProcess, tile: mercantile.Tile, layer: str) -> list[Feature]:
    found: list[Feature] = fetch(server, tile).get(layer, {"features": []})["features"]
    return found


def tile_of(spot: Spot, zoom: int) -> mercantile.Tile:
    return mercantile.tile(spot.lng, spot.lat, zoom)


def pixel(lat: float, lng: float, tile: mercantile.Tile, extent: int) -> tuple[float, float]:
    """Where a point lies in a tile, by the formula of the source design (EPSG:3857)."""
    n = 2**tile.z
    x = (lng + 180) / 360 * n - tile.x
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * n - tile.y
    return x * extent, y * extent


@pytest.mark.parametrize("zoom", [0, 5, 11, 12, 14, 16, 18])
def test_a_sensor_is_drawn_where_it_stands(
    server: NodeProcess, gateway: str, spot: Spot, zoom: int
) -> None:
    send(server, gateway, reading(spot, "placed"))
    tile = tile_of(spot, zoom)
    layers = fetch(server, tile)
    for layer in layers.values():
        assert layer["version"] == 2
    extent = layers["sensors"]["extent"]
    expected = pixel(spot.lat, spot.lng, tile, extent)
    drawn = [each["geometry"] for each in layers["sensors"]["features"]]
    assert {geometry["type"] for geometry in drawn} == {"Point"}
    nearest = min(math.dist(expected, geometry["coordinates"]) for geometry in drawn)
    assert nearest <= math.sqrt(2)


def test_a_sensor_carries_the_attributes_of_the_contract(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    at_us = now_us()
    values = {"pm25": 55.4, "pm10": 20.0}
    send(server, gateway, reading(spot, "école-1", at_us, values=values))
    (sensor,) = features(server, tile_of(spot, 14), "sensors")
    expected = {
        **{"id": "école-1", "name": "école-1", "aqi": 150, "level": 3, "dominant": "pm25"},
        **{"at": at_us // SECOND_US, "flags": ""},
    }
    assert {name: sensor["properties"].get(name) for name in expected} == expected


def test_a_flagged_sensor_is_drawn_with_its_flags_and_not_clustered(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    send(server, gateway, reading(spot, "odd", values={"pm25": 9.0, "humidity": 150.0}))
    (sensor,) = features(server, tile_of(spot, 14), "sensors")
    assert sensor["properties"]["flags"] == "range"
    assert features(server, tile_of(spot, 14), "clusters") == []


def test_a_sensor_shows_its_latest_reading_once(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    end_us = now_us()
    newest = reading(spot, "moving", end_us, values={"pm25": 35.4})
    send(server, gateway, newest, reading(spot, "moving", end_us - SECOND_US))
    send(server, gateway, reading(spot, "moving", end_us - 2 * SECOND_US))
    (sensor,) = features(server, tile_of(spot, 14), "sensors")
    assert (sensor["properties"]["aqi"], sensor["properties"]["at"]) == (100, end_us // SECOND_US)


@pytest.mark.parametrize(("pm25", "index"), INDEX_OF_PM25.items())
def test_a_cluster_carries_the_attributes_of_the_contract(
    server: NodeProcess, gateway: str, spot: Spot, pm25: float, index: int
) -> None:
    """Three readings of one sensor a moment apart: the same index, so also its mean and colour."""
    end_us = now_us()
    values = {"pm25": pm25}
    name = f"one-{index}"  # of one sensor such different values would be spikes
    send(server, gateway, *[reading(spot, name, end_us - n, values=values) for n in range(3)])
    (cluster,) = features(server, tile_of(spot, 12), "clusters")
    expected = {"count": 3, "avg_aqi": index, "max_aqi": index, "color": EPA_COLORS[index]}
    assert {name: cluster["properties"].get(name) for name in expected} == expected


def test_a_cluster_averages_its_readings(server: NodeProcess, gateway: str, spot: Spot) -> None:
    sent = [
        reading(spot, f"part-{n}", values={"pm25": pm25}) for n, pm25 in enumerate(INDEX_OF_PM25)
    ]
    send(server, gateway, *sent)
    (cluster,) = features(server, tile_of(spot, 12), "clusters")
    indexes = list(INDEX_OF_PM25.values())
    properties = cluster["properties"]
    assert properties["count"] == len(indexes)
    assert properties["avg_aqi"] == pytest.approx(sum(indexes) / len(indexes), abs=0.01)
    assert properties["max_aqi"] == max(indexes)


def crowd(spot: Spot, count: int, prefix: str = "crowd") -> list[dict[str, Any]]:
    """Sensors spread over the grid of a spot, away from its edges."""
    box = mercantile.bounds(tile_of(spot, 12))
    dice = random.Random(count)
    sent = []
    for number in range(count):
        lat = box.south + dice.uniform(0.05, 0.95) * (box.north - box.south)
        lng = box.west + dice.uniform(0.05, 0.95) * (box.east - box.west)
        pm25 = dice.choice(list(INDEX_OF_PM25))
        place = Spot("", lat, lng)
        sent.append(reading(place, f"{prefix}-{number}", values={"pm25": pm25}))
    return sent


def test_sensors_are_drawn_from_zoom_12_or_where_they_are_few(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    send(server, gateway, *crowd(spot, 200))
    assert len(features(server, tile_of(spot, 11), "sensors")) == 200
    send(server, gateway, *crowd(spot, 1, "one-more"))
    assert features(server, tile_of(spot, 11), "sensors") == []
    assert len(features(server, tile_of(spot, 12), "sensors")) == 201


def test_every_reading_is_in_one_tile_of_each_zoom(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    """The clusters of four children count what their parent counts, from zoom 8 down to 17."""
    send(server, gateway, *crowd(spot, 300))
    parents = [tile_of(spot, 8)]
    for _ in range(8, 18):
        children = [child for parent in parents for child in mercantile.children(parent)]
        counts = {tile: counted(server, tile) for tile in [*parents, *children]}
        for parent in parents:
            assert counts[parent] == sum(counts[each] for each in mercantile.children(parent))
        parents = [child for child in children if counts[child]][:3]
    assert counted(server, tile_of(spot, 8)) >= 300


def counted(server: NodeProcess, tile: mercantile.Tile) -> int:
    return sum(each["properties"]["count"] for each in features(server, tile, "clusters"))


def test_clusters_lie_inside_their_tile(server: NodeProcess, gateway: str, spot: Spot) -> None:
    send(server, gateway, *crowd(spot, 100))
    layer = fetch(server, tile_of(spot, 12))["clusters"]
    for feature in layer["features"]:
        assert all(0 <= at < layer["extent"] for at in feature["geometry"]["coordinates"])


@pytest.mark.parametrize("place", [(89.9, 10.0), (-89.9, 10.0), (0.0, 180.0), (0.0, -180.0)])
def test_the_rim_of_the_world_is_drawn_in_the_outermost_tile(
    server: NodeProcess, gateway: str, place: tuple[float, float]
) -> None:
    lat, lng = place
    sensor_id = f"rim {place}"
    answer = server.post(reading(Spot("", lat, lng), sensor_id), gateway)
    server.flush()
    zoom, x, y = (int(part[1:]) for part in answer.json()["gridId"].split("-"))
    found = features(server, mercantile.Tile(x, y, zoom), "sensors")
    assert sensor_id in [each["properties"]["id"] for each in found]


def test_a_tile_without_readings_is_empty(server: NodeProcess) -> None:
    assert fetch(server, mercantile.Tile(7, 7, 14)) == {}


def test_the_tilejson_leads_to_the_tiles(server: NodeProcess, gateway: str, spot: Spot) -> None:
    send(server, gateway, reading(spot, "led"))
    described = server.client.get("/tiles/readings.json").json()
    assert described["tilejson"].startswith("3.")
    assert (described["minzoom"], described["maxzoom"] >= 12) == (0, True)
    fields = {layer["id"]: set(layer["fields"]) for layer in described["vector_layers"]}
    assert fields["clusters"] >= {"count", "avg_aqi", "max_aqi", "color"}
    assert fields["sensors"] >= {"id", "name", "aqi", "level", "dominant", "at", "flags"}
    tile = tile_of(spot, 12)
    (template,) = described["tiles"]
    for name, value in (("{z}", tile.z), ("{x}", tile.x), ("{y}", tile.y)):
        template = template.replace(name, str(value))
    assert template.startswith(server.url)
    assert "sensors" in mapbox_vector_tile.decode(server.client.get(template).content)


def test_a_tile_drawn_at_once_is_the_one_that_the_route_draws(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    send(server, gateway, reading(spot, "drawn"))
    z, x, y = tile_of(spot, 14).z, tile_of(spot, 14).x, tile_of(spot, 14).y
    path = f"/tiles/readings/{z}/{x}/{y}.mvt"
    answers = [
        server.client.get(path),
        server.client.get(path),
        server.client.get(path, headers={"Connection": "close"}),  # not plain: by the route
    ]
    assert [answer.headers["x-cache"] for answer in answers] == ["MISS", "HIT", "HIT"]
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["etag"] for answer in answers}) == 1


@pytest.mark.parametrize("tile", ["19/0/0", "3/8/0", "3/0/8", "99/1/1"])
def test_a_tile_outside_the_world_is_refused(server: NodeProcess, tile: str) -> None:
    answer = server.client.get(f"/tiles/readings/{tile}.mvt")
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid_grid_id"


def test_a_tile_can_be_asked_for_of_one_pollutant(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    send(server, gateway, reading(spot, "two", values={"pm25": 55.4, "pm10": 54.0}))
    tile = tile_of(spot, 14)
    address = f"/tiles/readings/{tile.z}/{tile.x}/{tile.y}.mvt"
    found = mapbox_vector_tile.decode(server.client.get(f"{address}?quantity=pm10").content)
    assert [one["properties"]["aqi"] for one in found["sensors"]["features"]] == [50]
    assert [one["properties"]["aqi"] for one in features(server, tile, "sensors")] == [150]
    refused = server.client.get(f"{address}?quantity=humidity")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "unknown_quantity")


def test_a_tile_can_be_asked_for_of_an_hour_that_is_over(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    then_us = now_us() - 5 * 3600 * SECOND_US
    send(server, gateway, reading(spot, "past", at_us=then_us, values={"pm25": 35.4}))
    send(server, gateway, reading(spot, "past", values={"pm25": 9.0}))
    tile = tile_of(spot, 14)
    address = f"/tiles/readings/{tile.z}/{tile.x}/{tile.y}.mvt"
    past = server.client.get(address, params={"at": moment(then_us)})
    found = mapbox_vector_tile.decode(past.content)["sensors"]["features"]
    assert [one["properties"]["aqi"] for one in found] == [100]
    assert [one["properties"]["aqi"] for one in features(server, tile, "sensors")] == [50]
    both = server.client.get(address, params={"at": moment(then_us), "quantity": "pm25"})
    assert (both.status_code, both.json()["error"]["code"]) == (422, "invalid_query")
