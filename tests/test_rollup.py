"""What the live map reads equals what plain SQL finds in the stored files."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import anyio
import mapbox_vector_tile
import pytest

from tests.readings import reading
from tests.test_flush import store, stored
from urbanos_edge.batch import pack, unpack
from urbanos_edge.clock import HOUR_US
from urbanos_edge.errors import OutOfMemory
from urbanos_edge.grid import Bounds, Tile, tile_at
from urbanos_edge.node import Node
from urbanos_edge.reading import Reading
from urbanos_edge.rollup.rollup import View
from urbanos_edge.tiles.clusters import clusters, statistics
from urbanos_edge.tiles.tiles import render

CITY = Bounds(24.8, 60.1, 25.1, 60.3)


def recent(node: Node, count: int, seed: int) -> list[Reading]:
    """Readings of ten sensors over the last 26 hours, some moving, some out of range."""
    chance = random.Random(seed)
    now_us = node.clock.now_us()
    return [
        reading(
            f"sensor-{chance.randrange(10)}",
            now_us - chance.randrange(26 * HOUR_US),
            lat=60.2 + chance.randrange(3) / 100,
            lng=24.9 + chance.randrange(3) / 100,
            values={"pm25": float(chance.choice([5, 20, 60, 999]))}
            if chance.random() < 0.9
            else {},
        )
        for _ in range(count)
    ]


def source_clusters(node: Node, size: float) -> dict[tuple[float, float], tuple[Any, ...]]:
    """The source design's cluster query, over the window and without flagged readings."""
    since_s = node.view().since_us / 1e6
    rows = stored(
        node,
        f"floor(lat / {size}) * {size} + {size} / 2, floor(lng / {size}) * {size} + {size} / 2,"
        " count(*), avg(aqi_value), max(aqi_value)",
        f"WHERE epoch(timestamp) >= {since_s} AND flags = '' GROUP BY 1, 2",
    )
    return {(round(row[0], 9), round(row[1], 9)): row[2:] for row in rows}


def rollup_clusters(node: Node, size: float) -> dict[tuple[float, float], tuple[Any, ...]]:
    found = clusters(node.view(), CITY, size)
    return {
        (round(one.lat, 9), round(one.lng, 9)): (one.count, one.avg_aqi, one.max_aqi)
        for one in found
    }


@pytest.mark.parametrize("size", [0.005, 0.1])
def test_clusters_equal_the_source_designs_query(node: Node, size: float) -> None:
    for seed in range(3):
        store(node, *recent(node, 80, seed))
    assert rollup_clusters(node, size) == source_clusters(node, size)


def test_a_restart_changes_nothing(open_node: Callable[..., Node]) -> None:
    node = open_node()
    store(node, *recent(node, 100, 1))
    before = rollup_clusters(node, 0.01)
    latest = {one: node.view().latest["aqi_value"][i] for one, i in by_sensor(node).items()}
    node = open_node()
    assert rollup_clusters(node, 0.01) == before == source_clusters(node, 0.01)
    assert {o: node.view().latest["aqi_value"][i] for o, i in by_sensor(node).items()} == latest


def test_what_memory_could_not_follow_is_there_after_the_next_flush(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored is stored: no later flush brings it again."""
    now_us = node.clock.now_us()
    store(node, reading("revised", now_us))
    with monkeypatch.context() as engine:
        engine.setattr(node.hours, "read", failing)
        with pytest.raises(OutOfMemory):
            store(node, reading("revised", now_us, values={"pm25": 80.0}), reading("new", now_us))
    assert stored(node, "count(*)") == [(2,)]
    anyio.run(node.flush)
    assert sorted(by_sensor(node)) == ["new", "revised"]
    assert node.rollup.differences() == 0
    assert rollup_clusters(node, 0.01) == source_clusters(node, 0.01)


def failing(*_: object) -> None:
    raise OutOfMemory("the query engine ran out of memory")


def test_sources_keep_their_names_however_many_strings_there_were(node: Node) -> None:
    """Strings are numbered for the whole life of the process: 16 bits are not enough of them."""
    now_us = node.clock.now_us()
    many = [
        reading(f"sensor-{n}", now_us, source=f"source-{n}", pollution_type=f"type-{n}")
        for n in range(22_000)
    ]
    for half in (many[::2], many[1::2]):
        store(node, *half)
    store(node, reading("last", now_us, source="rare"))
    latest = node.view().latest
    assert latest.strings("source")[by_sensor(node)["last"]] == "rare"


def test_a_sensor_that_the_map_never_met_is_a_difference(node: Node) -> None:
    store(node, reading("known"))
    now_us = node.clock.now_us()
    node.mover.store(unpack([pack([reading("unknown", now_us)])]), lambda _: None)
    assert node.rollup.differences() == 1


def test_what_arrives_after_a_restart_belongs_to_the_places_that_were_there(
    open_node: Callable[..., Node],
) -> None:
    node = open_node()
    now_us = node.clock.now_us()
    store(node, reading(timestamp_us=now_us - HOUR_US, values={"pm25": 9.0}))
    node = open_node()
    store(node, reading(timestamp_us=now_us, values={"pm25": 80.0}))
    assert len(node.view().sites["sensor"]) == 1
    assert node.rollup.differences() == 0


def by_sensor(node: Node) -> dict[str, int]:
    return node.view().row_by_sensor


def test_a_revision_is_counted_anew(node: Node) -> None:
    now_us = node.clock.now_us()
    store(node, reading(timestamp_us=now_us, values={"pm25": 80.0}))
    store(node, reading(timestamp_us=now_us - 1, values={"pm25": 5.0}))
    store(node, reading(timestamp_us=now_us, values={"pm25": 9.0}))
    [cluster] = clusters(node.view(), CITY, 0.1)
    assert (cluster.count, cluster.avg_aqi, cluster.max_aqi) == (2, (50 + 28) / 2, 50)
    assert node.view().latest["aqi_value"].tolist() == [50]


def test_the_latest_reading_stays_when_an_older_one_arrives(node: Node) -> None:
    now_us = node.clock.now_us()
    store(node, reading(timestamp_us=now_us, values={"pm25": 9.0}))
    store(node, reading(timestamp_us=now_us - HOUR_US, values={"pm25": 80.0}))
    assert node.view().latest["timestamp_us"].tolist() == [now_us]


def test_what_is_older_than_the_window_is_left_out(node: Node) -> None:
    store(node, reading(timestamp_us=node.clock.now_us() - 25 * HOUR_US))
    assert clusters(node.view(), CITY, 0.1) == []
    assert node.view().sensors_in(Tile(0, 0, 0)).tolist() == []


def test_the_window_moves_on_without_new_data(node: Node) -> None:
    now_us = node.clock.now_us()
    store(node, reading(timestamp_us=now_us))
    later = node.rollup.view(now_us + 23 * HOUR_US)
    assert sum(cluster.count for cluster in clusters(later, CITY, 0.1)) == 1
    much_later = node.rollup.view(now_us + 24 * HOUR_US)
    assert clusters(much_later, CITY, 0.1) == []


def test_a_grids_statistics_count_what_lies_in_it(node: Node) -> None:
    now_us = node.clock.now_us()
    store(
        node,
        reading("inside", now_us, values={"pm25": 9.0}),
        reading("inside", now_us - 1, values={"pm25": 35.4}),
        reading("flagged", now_us, values={"pm25": 999.9}),
        reading("outside", now_us, lat=61.0),
    )
    tile = tile_at(60.171, 24.941, 12)
    found = statistics(node.view(), tile)
    assert (found["data_count"], found["avg_aqi"], found["max_aqi"]) == (2, 75.0, 100)
    assert found["grid_id"] == tile.grid_id


def test_a_change_marks_its_own_grids_and_no_other(node: Node) -> None:
    now_us = node.clock.now_us()
    here, there = tile_at(60.171, 24.941, 12), tile_at(61.0, 25.0, 12)
    store(node, reading("here", now_us), reading("there", now_us, lat=61.0, lng=25.0))
    before = node.view().revision_in(here), node.view().revision_in(there)
    store(node, reading("here", now_us + 1))
    assert node.view().revision_in(here) > before[0]
    assert node.view().revision_in(there) == before[1]


def test_a_reading_that_grows_old_marks_its_grids_though_nothing_comes_in(node: Node) -> None:
    now_us, minute_us = node.clock.now_us(), HOUR_US // 60
    here, there = tile_at(60.171, 24.941, 12), tile_at(61.0, 25.0, 12)
    store(
        node,
        reading("older", now_us - 10 * minute_us, values={"pm25": 125.4}),
        reading("newer", now_us, values={"pm25": 9.0}),
        reading("there", now_us, lat=61.0, lng=25.0),
    )
    before = node.view()
    later = node.rollup.view(now_us + 6 * minute_us)
    assert later.revision_in(here) > before.revision_in(here)
    assert later.revision_in(there) == before.revision_in(there)
    assert (worst_of(node, before, here), worst_of(node, later, here)) == (200, 50)
    assert node.rollup.view(now_us + 6 * minute_us + 1) is later


def worst_of(node: Node, view: View, tile: Tile) -> int:
    """The highest latest index of the only cluster on a tile."""
    drawn = render(view, tile, node.standard, node.sensors.name_of)
    [cluster] = mapbox_vector_tile.decode(drawn)["clusters"]["features"]
    return int(cluster["properties"]["latest_max_aqi"])


def test_a_sensor_that_moves_marks_the_grid_it_left(node: Node) -> None:
    now_us = node.clock.now_us()
    left = tile_at(60.171, 24.941, 12)
    store(node, reading("tram", now_us))
    before = node.view().revision_in(left)
    store(node, reading("tram", now_us + 1, lat=61.0))
    assert node.view().revision_in(left) > before
    assert node.view().sensors_in(left).tolist() == []
