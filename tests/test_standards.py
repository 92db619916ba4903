"""A node set to any standard shows its index everywhere, with its colours, also after a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.readings import reading
from tests.test_flush import store, stored
from tests.test_live import waiting
from tests.test_tiles import HELSINKI, decode
from urbanos_edge.clock import HOUR_US
from urbanos_edge.grid import Bounds, tile_at
from urbanos_edge.live import Listener
from urbanos_edge.node import Node
from urbanos_edge.tiles.clusters import clusters, statistics

CITY = Bounds(24.8, 60.1, 25.1, 60.3)
BAD = {"pm25": 60.0, "no2": 100.0, "co": 400.0}
"""NO2 is 100 × 46.01 / 24.04 = 191 µg/m³ at 20 °C."""
GOOD = {"pm25": 3.0}


@dataclass
class Shown:
    """What a standard makes of the two."""

    bad: int
    dominant: str
    by_pollutant: tuple[int, int, int | None]
    good: int
    color_of_mean: str

    @property
    def mean(self) -> float:
        return (self.bad + self.good) / 2


SHOWN = {
    # 400 ppm: 199/19.9 × (400 − 30.5) + 301 = 3996; PM2.5 60.0: 49/69.9 × 4.5 + 151 = 154;
    # NO2 100: 100; PM2.5 3.0: 50/9 × 3 = 16.67; their mean 2006.5 is beyond all bands.
    "us-epa-2024": Shown(3996, "co", (154, 100, 3996), 17, "#7e0023"),
    "eu-eea-2024": Shown(6, "no2", (4, 6, None), 1, "#ff5050"),
    "uk-defra-2013": Shown(8, "pm25", (8, 3, None), 1, "#ffcf00"),
}


@pytest.fixture(params=SHOWN)
def shown(request: pytest.FixtureRequest) -> tuple[str, Shown]:
    return request.param, SHOWN[request.param]


def test_a_standard_is_followed_from_the_flush_to_the_tile(
    open_node: Callable[..., Node], shown: tuple[str, Shown]
) -> None:
    name, expected = shown
    node, listener = open_node(aqi_standard=name), Listener()
    node.live.subscribe(listener, [tile_at(*HELSINKI, 12)])
    now_us = node.clock.now_us()
    store(node, reading("bad", now_us, values=BAD), reading("good", now_us, values=GOOD))

    columns = "aqi_value, pm25_aqi, no2_aqi, co_aqi, grading"
    [bad] = stored(node, columns, "WHERE sensor_id = 'bad'")
    assert bad == (expected.bad, *expected.by_pollutant, f"{name}/1")

    [frame] = waiting(listener)
    assert (frame["data"]["avgAqi"], frame["data"]["maxAqi"]) == (expected.mean, expected.bad)
    assert {row["sensor_id"]: row["aqi_value"] for row in frame["data"]["readings"]} == {
        "bad": expected.bad,
        "good": expected.good,
    }
    assert_shown(node, expected)
    assert_shown(open_node(aqi_standard=name), expected)


def assert_shown(node: Node, expected: Shown) -> None:
    """In clusters, statistics, lists and tiles."""
    [cluster] = clusters(node.view(), CITY, 0.5)
    assert (cluster.avg_aqi, cluster.max_aqi) == (expected.mean, expected.bad)
    here = tile_at(*HELSINKI, 12)
    assert statistics(node.view(), here)["max_aqi"] == expected.bad

    since_us = node.clock.now_us() - HOUR_US
    while node.recent.load_more(node.clock.now_us()):
        pass
    rows = {row.sensor_id: row for row in node.query.rows(here, since_us)}
    bad = rows["bad"]
    assert (bad.aqi_value, rows["good"].aqi_value) == (expected.bad, expected.good)
    assert (bad.pm25_aqi, bad.no2_aqi, bad.co_aqi) == expected.by_pollutant

    layers = decode(node, here)
    sensors = {one["properties"]["id"]: one["properties"] for one in layers["sensors"]}
    assert (sensors["bad"]["aqi"], sensors["bad"]["dominant"]) == (expected.bad, expected.dominant)
    [drawn] = layers["clusters"]
    assert drawn["properties"]["avg_aqi"] == drawn["properties"]["latest_aqi"] == expected.mean
    assert drawn["properties"]["color"] == expected.color_of_mean
