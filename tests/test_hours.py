"""Hourly aggregates equal what whole-number arithmetic over the stored readings gives, always."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import anyio
import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.damage import WAYS, spoil
from tests.readings import NOW_US, reading
from tests.test_flush import store, stored
from urbanos_edge.clock import DAY_US, HOUR_US, Correction
from urbanos_edge.engine import statement
from urbanos_edge.grid import FINEST_ZOOM, tile_at
from urbanos_edge.hours.hours import FINAL, GATHER_AFTER_US, QUIET_US, hours_in
from urbanos_edge.node import Node
from urbanos_edge.reading import QUANTITY_NAMES, Reading
from urbanos_edge.store.changed import hours_between, mark
from urbanos_edge.store.store import day_of

Key = tuple[str, int, int, int, str]
Sums = tuple[int, int, int, int, int, int]
MEASURED = ("aqi", *QUANTITY_NAMES)
PARTS = ("count", "sum", "sum_sq", "min", "max", "flagged")
START_US = NOW_US - NOW_US % DAY_US - DAY_US
OLD_US = (time.time_ns() // 1000 // DAY_US - 10) * DAY_US
"""A day that is past a retention of a day by the real clock."""
"""The beginning of a day that is over."""


def arrivals(count: int, seed: int, days: int = 2) -> list[Reading]:
    """Readings of five sensors, two of which move, at awkward values, some out of range."""
    chance = random.Random(seed)
    return [
        reading(
            f"sensor-{chance.randrange(5)}",
            START_US + chance.randrange(days * 24) * HOUR_US + chance.randrange(HOUR_US),
            lat=60.17 + chance.choice([0, 0, 0.01]),
            lng=24.94 + chance.choice([0, 0, -0.01]),
            values={
                name: round(chance.uniform(-1, 40), chance.randrange(6))
                for name in chance.sample(QUANTITY_NAMES, 3)
            },
        )
        for _ in range(count)
    ]


def expected(rows: Iterable[tuple[Any, ...]]) -> dict[Key, Sums]:
    """Count, sum, sum of squares, lowest, highest and flagged, in exact whole numbers."""
    values: dict[Key, list[int]] = defaultdict(list)
    flagged: dict[Key, int] = defaultdict(int)
    for sensor_id, at_us, lng, lat, flags, *measured in rows:
        cell = tile_at(lat, lng, FINEST_ZOOM)
        for name, value in zip(MEASURED, measured, strict=True):
            key = (sensor_id, at_us // HOUR_US, cell.x, cell.y, name)
            if value is not None and flags:
                flagged[key] += 1
            elif value is not None:
                scaled = Decimal(value * 10_000).quantize(Decimal(1), ROUND_HALF_UP)
                values[key].append(int(scaled))
    return {
        key: (
            len(values[key]),
            sum(values[key]),
            sum(value**2 for value in values[key]),
            min(values[key], default=0),
            max(values[key], default=0),
            flagged[key],
        )
        for key in values.keys() | flagged.keys()
    }


def from_readings(node: Node) -> dict[Key, Sums]:
    columns = (
        f"sensor_id, epoch_us(timestamp), lng, lat, flags, aqi_value, {', '.join(QUANTITY_NAMES)}"
    )
    return expected(stored(node, columns))


def from_aggregates(node: Node, hours: Iterable[int] | None = None) -> dict[Key, Sums]:
    """What `hourly` says of the days of `arrivals`, where it says anything."""
    asked = list(hours) if hours is not None else list(span())
    names = [f"{name}_{part}" for name in MEASURED for part in PARTS]
    query = f"SELECT sensor_id, hour, x18, y18, {', '.join(names)} FROM hourly"

    def work(cursor: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
        return cursor.execute(query).fetchall()

    found: dict[Key, Sums] = {}
    for sensor_id, hour, x18, y18, *numbers in node.hours.read(asked, work) or []:
        for i, name in enumerate(MEASURED):
            count, *rest, flagged = (int(n or 0) for n in numbers[i * 6 : i * 6 + 6])
            if count or flagged:
                key = (sensor_id, hour, x18, y18, name)
                assert key not in found, "a bucket stands there once"
                found[key] = (count, rest[0], rest[1], rest[2], rest[3], flagged)
    return found


def span() -> range:
    return hours_between(START_US, OLD_US + 3 * DAY_US)


@pytest.mark.parametrize("seed", range(3))
def test_aggregates_are_exact_before_and_after_they_are_counted(node: Node, seed: int) -> None:
    store(node, *arrivals(300, seed))
    assert from_aggregates(node) == from_readings(node)
    assert node.hours.count_all() > 0
    assert node.hours.changed() == []
    assert from_aggregates(node) == from_readings(node)
    assert [node.hours.differing(day_of(START_US + n * DAY_US)) for n in range(2)] == [[], []]


def test_late_and_corrected_readings_are_counted_exactly(node: Node) -> None:
    first = arrivals(200, 1)
    store(node, *first)
    node.hours.count_all()
    late = reading("late", START_US + 5 * HOUR_US + 7)
    corrected = reading(first[0].sensor_id, first[0].timestamp_us, values={"pm25": 33.3})
    store(node, late, corrected)
    assert {one.hour for one in node.hours.changed()} == {
        late.timestamp_us // HOUR_US,
        corrected.timestamp_us // HOUR_US,
    }
    assert from_aggregates(node) == from_readings(node)
    node.hours.count_all()
    assert from_aggregates(node) == from_readings(node)


def test_a_restart_finds_what_was_counted_and_what_was_not(
    open_node: Callable[..., Node],
) -> None:
    node = open_node()
    store(node, *arrivals(100, 1))
    node.hours.count_all()
    store(node, *arrivals(30, 2))
    changed = node.hours.changed()
    node = open_node()
    assert node.hours.changed() == changed
    assert from_aggregates(node) == from_readings(node)


def test_rows_that_move_in_time_leave_their_hour(node: Node) -> None:
    doubted = reading(timestamp_us=START_US + HOUR_US, received_us=START_US + HOUR_US, timing=2)
    store(node, doubted, reading("other", START_US + HOUR_US + 5))
    node.hours.count_all()
    shift = Correction(START_US, START_US + DAY_US, 26 * HOUR_US)
    assert anyio.run(node.restamp, shift) == 1
    assert {one.hour for one in node.hours.changed()} == {
        START_US // HOUR_US + 1,
        START_US // HOUR_US + 27,
    }
    node.hours.count_all()
    assert from_aggregates(node) == from_readings(node)


def test_an_hour_is_counted_once_it_is_quiet_and_a_day_over_becomes_one_file(node: Node) -> None:
    for hour in range(3):
        store(node, reading(timestamp_us=START_US + hour * HOUR_US))
        age(node, QUIET_US)
        assert node.hours.step()
    store(node, reading("noisy", timestamp_us=START_US))
    assert node.clock.now_us() > START_US + DAY_US + GATHER_AFTER_US
    assert len(node.hours.store.files) == 3
    assert node.hours.step(), "the three files become one; the hour just changed waits"
    [file] = node.hours.store.files
    assert [one.hour for one in node.hours.changed()] == []
    assert not node.hours.step()
    assert from_aggregates(node) == from_readings(node)


def age(node: Node, by_us: int) -> None:
    """Let every mark be older than it is."""
    node.database.write_and_wait(
        lambda connection: connection.execute(
            "UPDATE changed_hours SET changed_us = changed_us - ?", (by_us,)
        )
    )


def test_a_change_while_an_hour_is_counted_keeps_it_marked(node: Node) -> None:
    store(node, reading(timestamp_us=START_US))
    [before] = node.hours.changed()
    write = node.hours._write

    def write_late(*arguments: Any, **more: Any) -> None:
        node.hours._write = write  # type: ignore[method-assign]
        store(node, reading("late", START_US + 1))
        write(*arguments, **more)

    node.hours._write = write_late  # type: ignore[method-assign]
    node.hours.count_all()
    assert [one.hour for one in node.hours.changed()] == [before.hour]
    assert from_aggregates(node) == from_readings(node)


def test_aggregates_stay_when_their_readings_expire(open_node: Callable[..., Node]) -> None:
    node = open_node(retention_days=1)
    store(node, *(old(one) for one in arrivals(200, 3)))
    before = from_aggregates(node)
    assert len(node.expiry.drop()) == 2
    assert stored_files(node) == []
    assert from_aggregates(node) == before
    assert from_aggregates(open_node()) == before


def old(one: Reading) -> Reading:
    """The same reading in the days from `OLD_US` on, as it arrived then."""
    at_us = one.timestamp_us - START_US + OLD_US
    return reading(one.sensor_id, at_us, lat=one.lat, lng=one.lng, values=one.values)


def stored_files(node: Node) -> list[Path]:
    return sorted((node.data_dir / "readings").glob("*/*"))


def test_what_is_final_is_not_counted_twice_when_it_comes_again(
    open_node: Callable[..., Node],
) -> None:
    node = open_node(retention_days=1)
    store(node, *(old(one) for one in arrivals(100, 4)))
    before = from_aggregates(node)
    node.expiry.drop()
    newcomer = reading("newcomer", OLD_US + 5)
    store(node, *(old(one) for one in arrivals(100, 4)), newcomer)
    for _ in range(2):
        after = from_aggregates(node)
        assert {key: sums for key, sums in after.items() if key[0] != "newcomer"} == before
        assert {key[0] for key in after.keys() - before.keys()} == {"newcomer"}
        node.hours.count_all()
    node.expiry.drop()
    assert from_aggregates(node) == after


def test_aggregates_go_after_their_own_retention(open_node: Callable[..., Node]) -> None:
    node = open_node(retention_days=1, rollup_retention_days=2)
    store(node, *(old(one) for one in arrivals(50, 5)), old(reading(timestamp_us=NOW_US)))
    node.expiry.drop()
    assert node.hours.store.files == []
    assert list((node.data_dir / "hours").iterdir()) == []
    assert from_aggregates(node, span()) == {}


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_file_of_aggregates_is_counted_anew(
    open_node: Callable[..., Node], way: str
) -> None:
    node = open_node()
    store(node, *arrivals(100, 6, days=1))
    node.hours.count_all()
    [file] = node.hours.store.files
    if way == "flipped":
        node.hours.store.set_aside([(file, "was flipped")])  # the scrub's part
    else:
        spoil(node.data_dir / file.path, way)
        node = open_node()
    assert from_aggregates(node) == from_readings(node)
    assert node.hours.count_all() > 0
    assert from_aggregates(node) == from_readings(node)


def test_readings_that_are_set_aside_are_not_counted_any_more(node: Node) -> None:
    store(node, *arrivals(50, 7, days=1))
    store(node, *arrivals(50, 8, days=1))
    node.hours.count_all()
    node.store.set_aside([(node.store.files[0], "was damaged")])
    assert from_aggregates(node) == from_readings(node)
    node.hours.count_all()
    assert from_aggregates(node) == from_readings(node)


def test_a_change_of_no_readings_is_counted_as_none(node: Node) -> None:
    store(node, reading(timestamp_us=START_US))
    empty = [START_US // HOUR_US + 9]
    node.database.write_and_wait(lambda connection: mark(connection, empty, 0))
    node.hours.count_all()
    assert from_aggregates(node, empty) == {}
    assert node.hours.changed() == []


def test_nothing_is_known_of_an_empty_node(node: Node) -> None:
    assert node.hours.read(hours_in("2026-01-01"), lambda cursor: 1) is None
    assert not node.hours.step()


@given(
    lat=st.floats(-90, 90) | st.sampled_from([85.05112878, -85.05112878, 85.06, 0.0]),
    lng=st.floats(-180, 180) | st.sampled_from([-180.0, 180.0, 0.0]),
)
def test_the_cell_of_a_place_is_the_tile_at_it(lat: float, lng: float) -> None:
    query = f"SELECT {statement('cell_columns')} FROM (SELECT ?::DOUBLE AS lng, ?::DOUBLE AS lat)"
    tile = tile_at(lat, lng, FINEST_ZOOM)
    assert duckdb.execute(query, [lng, lat]).fetchone() == (tile.x, tile.y)


def test_the_file_of_a_final_day_says_so_in_its_name(open_node: Callable[..., Node]) -> None:
    node = open_node(retention_days=1)
    store(node, *(old(one) for one in arrivals(10, 9, days=1)))
    node.expiry.drop()
    assert [file.kind for file in node.hours.store.files] == [FINAL]


def test_squares_of_what_a_mistaken_calibration_left_unflagged_are_exact(
    open_node: Callable[..., Node],
) -> None:
    """Files of older versions have such values; the largest gain is 1e6, the largest shift 1e9."""
    node = open_node()
    readings = [reading(timestamp_us=START_US + n, values={"so2": 4000.0 - n}) for n in range(9)]
    store(node, *readings)
    (file,) = node.store.files
    path = node.store.full(file)
    copy = f"COPY (SELECT * REPLACE (so2 * 1e6 + 1e9 AS so2) FROM '{path}') TO '{path}.new'"
    duckdb.connect().execute(f"{copy} (FORMAT parquet)")
    Path(f"{path}.new").rename(path)
    size = path.stat().st_size
    noted = "UPDATE files SET bytes = ?, checksum = NULL"
    node.database.write_and_wait(lambda connection: connection.execute(noted, (size,)))
    node = open_node()
    assert from_aggregates(node) == from_readings(node)
    assert node.hours.count_all() > 0
    assert from_aggregates(node) == from_readings(node)


@pytest.mark.parametrize("value", [1e300, -1e300, 9.3e14, 5e-324])
def test_a_value_no_integer_holds_is_counted_as_flagged(node: Node, value: float) -> None:
    absurd = reading("odd", START_US, values={"pm25": value, "no2": 1.5})
    store(node, absurd, reading("good", START_US, values={"pm25": 7.0}))
    node.hours.count_all()
    is_credible = abs(value) < 1
    sums = node.hours.read(
        hours_in(day_of(START_US)),
        lambda cursor: cursor.execute(
            "SELECT sensor_id, pm25_count, pm25_sum::BIGINT, pm25_flagged, no2_flagged"
            " FROM hourly ORDER BY sensor_id"
        ).fetchall(),
    )
    odd = ("odd", 1, 0, 0, 0) if is_credible else ("odd", 0, None, 1, 1)
    assert sums == [("good", 1, 70_000, 0, 0), odd]
