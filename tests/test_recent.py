"""Lists from memory are those that the files give, however the readings came."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.readings import reading
from tests.test_flush import store
from urbanos_edge.clock import DAY_US, HOUR_US, all_to_rfc3339, to_rfc3339
from urbanos_edge.errors import Unprocessable
from urbanos_edge.grid import Tile, tile_at
from urbanos_edge.node import Node
from urbanos_edge.query import query
from urbanos_edge.query.rows import Row
from urbanos_edge.reading import Reading
from urbanos_edge.rollup import recent
from urbanos_edge.rollup.recent import NOTHING_HERE_US
from urbanos_edge.rollup.segment import merged, packed, segment, taken
from urbanos_edge.store.identity import MERGED
from urbanos_edge.upkeep import rounds

WORLD = Tile(0, 0, 0)
TILES = [WORLD, *(tile_at(60.171, 24.941, zoom) for zoom in (8, 12, 16, 18))]


def arrivals(node: Node, count: int, seed: int, hours: int = 26) -> list[Reading]:
    """Readings of the last hours at a few places, some of them from a sensor on the move."""
    chance, now_us = random.Random(seed), node.clock.now_us()
    return [
        reading(
            f"sensor-{chance.randrange(6)}",
            now_us - chance.randrange(hours * HOUR_US),
            lat=60.171 + chance.choice([0, 0, 0.0001, 0.02]),
            lng=24.941 + chance.choice([0, 0, 0.0001, 0.02]),
            values={"pm25": chance.choice([0.1, 12.3, 999.9, 1 / 3]), "o3": 31.0},
            source=chance.choice(["api", "other"]),
            reported_aqi=chance.choice([None, 40.0]),
        )
        for _ in range(count)
    ]


def load(node: Node) -> None:
    while node.recent.load_more(node.clock.now_us()):
        pass


def answers(node: Node, since_us: int, limits: tuple[int, ...]) -> list[list[Row]]:
    return [node.query.rows(tile, since_us, limit) for tile in TILES for limit in limits]


def assert_same(node: Node, limits: tuple[int, ...] = (1, 7, 1000)) -> None:
    """Memory as it is, and as it is once loaded anew, gives what the files give."""
    since_us = node.clock.now_us() - DAY_US
    found = answers(node, since_us, limits)
    node.recent.forget()
    expected = answers(node, since_us, limits)
    load(node)
    assert found == expected
    assert answers(node, since_us, limits) == expected


@pytest.mark.parametrize("seed", range(2))
def test_lists_are_the_same_from_memory_and_from_files(node: Node, seed: int) -> None:
    load(node)
    for part in range(4):
        store(node, *arrivals(node, 60, 10 * seed + part))
        assert_same(node, limits=(1000,))
    assert node.recent.horizon_us <= node.clock.now_us() - DAY_US
    assert_same(node)


def test_corrected_readings_stand_there_once_and_where_they_belong(node: Node) -> None:
    load(node)
    first = arrivals(node, 100, 1, hours=20)
    store(node, *first)
    moved = [
        reading(one.sensor_id, one.timestamp_us, lat=60.3, lng=25.1, values={"no2": 5.0})
        for one in first[:20]
    ]
    store(node, *moved)
    since_us = node.clock.now_us() - 26 * HOUR_US
    found = node.recent.newest(WORLD, since_us, 1000)[0]
    assert len(found) == len({(r.sensor_id, r.timestamp_us) for r in first})
    assert_same(node)


def test_what_is_not_loaded_yet_comes_from_the_files(node: Node) -> None:
    store(node, *arrivals(node, 200, 2))
    since_us = node.clock.now_us() - DAY_US
    node.recent.forget()
    expected = node.query.rows(WORLD, since_us, 150)
    horizons = set()
    for _ in range(5):
        assert node.query.rows(WORLD, since_us, 150) == expected
        horizons.add(node.recent.horizon_us)
        node.recent.load_more(node.clock.now_us())
    assert len(horizons) == 5
    assert max(horizons) == NOTHING_HERE_US


@pytest.mark.parametrize("hours", [1, 12])
def test_when_memory_is_full_the_oldest_readings_give_way(
    open_node: Callable[..., Node], hours: int
) -> None:
    """Also where one hour is more than there is room for: of that, the newest stay."""
    node = open_node(recent_memory_mib=1)
    load(node)
    for part in range(3):
        store(node, *arrivals(node, 20_000, part, hours=hours))
    assert (1 << 20) / 2 < node.recent.bytes <= 1 << 20
    assert node.recent.horizon_us > node.clock.now_us() - (hours + 1) * HOUR_US
    load(node)
    assert node.recent.bytes <= 2 << 20, "what does not fit is not loaded again"
    assert_same(node, limits=(1000,))


def test_what_is_too_dense_to_be_loaded_comes_from_the_files(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "LOAD_ROWS", 5)
    monkeypatch.setattr(recent, "MOST_ROWS", 50)
    at_us = node.clock.now_us() - 2 * HOUR_US
    store(node, *[reading(f"s{n}", at_us + n) for n in range(100)])
    store(node, *arrivals(node, 30, 7, hours=1))
    node.recent.forget()
    load(node)
    assert node.recent.horizon_us > at_us and node.recent.rows <= 30
    assert not node.recent.is_loading
    assert_same(node)


def test_readings_that_come_late_are_not_forgotten(node: Node) -> None:
    load(node)
    store(node, *arrivals(node, 50, 3))
    store(node, reading("late", node.clock.now_us() - 23 * HOUR_US))
    assert_same(node)


def test_the_pieces_of_an_hour_that_is_over_are_gathered(node: Node) -> None:
    at_us = node.clock.now_us() // HOUR_US * HOUR_US - 3 * HOUR_US
    load(node)
    for count in (40, 11, 4, 1):
        store(node, *[reading(f"s{n}", at_us + 100 * count + n) for n in range(count)])
    assert node.recent.tidy(node.clock.now_us())
    assert not node.recent.tidy(node.clock.now_us()), "16 rows of 40 are laid to them"
    store(node, reading("late", at_us))
    assert not node.recent.tidy(node.clock.now_us()), "a single one is not worth it"
    assert node.recent.rows == 57
    assert_same(node)


def test_the_running_hour_is_left_in_pieces(node: Node) -> None:
    load(node)
    at_us = node.clock.now_us() // HOUR_US * HOUR_US
    for count in (40, 11, 4, 1):
        store(node, *[reading(f"s{n}", at_us - 100 * count - n) for n in range(count)])
    assert not node.recent.tidy(at_us - 1)


def test_lists_of_several_grids_are_those_of_the_files(node: Node) -> None:
    store(node, *arrivals(node, 300, 4))
    first, last = tile_at(60.2, 24.9, 14), tile_at(60.1, 25.0, 14)
    since_us = node.clock.now_us() - DAY_US
    expected = node.query.rows_by_grid(first, last, since_us)
    load(node)
    assert len(expected) > 100
    assert node.query.rows_by_grid(first, last, since_us) == expected
    east = Tile(14, last.x + 3, last.y)
    assert node.query.rows_by_grid(east, east, since_us) == []


@pytest.mark.parametrize("is_loaded", [True, False])
def test_lists_of_several_grids_have_a_bound_in_all(
    node: Node, is_loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(node, *arrivals(node, 300, 4))
    if is_loaded:
        load(node)
    asked = tile_at(60.2, 24.9, 14), tile_at(60.1, 25.0, 14), node.clock.now_us() - DAY_US
    count = len(node.query.rows_by_grid(*asked))
    monkeypatch.setattr(query, "MAX_ROWS_AT_ONCE", count)
    assert len(node.query.rows_by_grid(*asked)) == count
    monkeypatch.setattr(query, "MAX_ROWS_AT_ONCE", count - 1)
    with pytest.raises(Unprocessable, match="ask for a smaller one"):
        node.query.rows_by_grid(*asked)


def test_a_serving_node_loads_by_itself_and_flushes_meanwhile(node: Node) -> None:
    store(node, *arrivals(node, 200, 5, hours=20))
    node.recent.forget()

    async def serve() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rounds.load_recent_forever, node)
            await node.ingest.keep(arrivals(node, 100, 6, hours=20))
            await node.flush()
            for _ in range(3000):
                if node.recent.horizon_us <= node.clock.now_us() - DAY_US:
                    break
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()

    anyio.run(serve)
    assert node.recent.rows == 300
    assert_same(node)


numbers = st.lists(
    st.just(float("nan"))
    | st.floats(allow_nan=False)
    | st.integers(-40_000, 40_000).map(lambda n: n / 10)
    | st.decimals(-2000, 2000, places=3).map(float),
    max_size=20,
)


@given(numbers)
def test_packed_numbers_come_back_bit_for_bit(values: list[float]) -> None:
    column = np.array(values, np.float64)
    small = packed(column)
    if small is None:
        assert np.isnan(column).all()
        return
    found = small.at(np.arange(len(column)))
    present = ~np.isnan(column)
    assert (np.isnan(found) == ~present).all()
    assert found[present].tobytes() == column[present].tobytes()


def test_numbers_with_few_decimals_take_two_bytes() -> None:
    small = packed(np.array([12.3, 999.9, float("nan")]))
    assert small is not None
    assert small.values.dtype == np.int16


def table(count: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "origin": rng.integers(0, 9, count),
        "timestamp_us": 5 * HOUR_US + rng.integers(0, HOUR_US, count),
        "received_us": 5 * HOUR_US + rng.integers(0, 90 * DAY_US, count),
        "flags": rng.integers(0, 128, count).astype(np.uint8),
        **{name: rng.normal(20, 9, count).round(1) for name in MERGED},
    }


def test_merged_segments_hold_the_rows_of_all() -> None:
    first, second = table(50, 1), table(70, 2)
    one = merged([segment(5, first), segment(5, second)])
    rows = taken([(one, one.rows_of(np.array([2, 7])))])
    for name, column in rows.items():
        both = np.concatenate([first[name], second[name]])
        origin = np.concatenate([first["origin"], second["origin"]])
        assert sorted(column.tolist()) == sorted(both[np.isin(origin, [2, 7])].tolist())


@given(st.lists(st.integers(0, 4_000_000_000_000_000), max_size=5))
def test_many_moments_are_spelled_like_one(moments_us: list[int]) -> None:
    spelled = all_to_rfc3339(np.array(moments_us, np.int64))
    assert spelled == [to_rfc3339(moment_us) for moment_us in moments_us]
