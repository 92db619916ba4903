"""A sensor's history is what plain arithmetic over its stored readings gives, wherever they are."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import anyio.to_thread
import duckdb
import numpy as np
import pytest

from tests.readings import reading
from tests.test_flush import store, stored
from tests.test_recent import load
from urbanos_edge.clock import DAY_US, HOUR_US, SECOND_US, all_to_rfc3339, to_us
from urbanos_edge.errors import Unprocessable
from urbanos_edge.node import Node
from urbanos_edge.query.history import MAX_READINGS, UNITS, Buckets, Readings
from urbanos_edge.query.resolution import FIVE_MINUTES_US, RESOLUTIONS
from urbanos_edge.reading import QUANTITY_NAMES, Reading

SENSOR = "sensor-1"
MEASURED = ("aqi", *QUANTITY_NAMES)
Row = tuple[int, str, list[float | None]]


def moment(text: str) -> int:
    return to_us(datetime.fromisoformat(text))


def arrivals(end_us: int, hours: int, count: int, seed: int) -> list[Reading]:
    """Readings of three sensors that move and change their source, some of them out of range."""
    chance = random.Random(seed)
    return [
        reading(
            f"sensor-{chance.randrange(3)}",
            end_us - 1 - chance.randrange(hours * HOUR_US),
            lat=60.17 + chance.choice([0, 0, 0.01]),
            lng=24.94 + chance.choice([0, 0, -0.01]),
            values={
                name: round(chance.uniform(-1, 40), chance.randrange(6))
                for name in chance.sample(QUANTITY_NAMES, 3)
            },
            source=chance.choice(["api", "other"]),
        )
        for _ in range(count)
    ]


def asked(node: Node, from_us: int, to_us: int, resolution: str, *quantities: str) -> Any:
    question = node.history.asked(SENSOR, from_us, to_us, resolution, quantities or None)
    return node.history.read(question)


def rows_of(node: Node, from_us: int, to_us: int) -> list[Row]:
    """The sensor's stored rows of a span as plain DuckDB reads them, by time."""
    columns = f"epoch_us(timestamp), flags, aqi_value, {', '.join(QUANTITY_NAMES)}"
    tail = f"WHERE sensor_id = '{SENSOR}' ORDER BY timestamp"
    found = [(row[0], row[1], list(row[2:])) for row in stored(node, columns, tail)]
    return [row for row in found if from_us <= row[0] < to_us]


def assert_is_arithmetic(
    answer: Buckets, rows: Iterable[Row], bucket_of: Callable[[int], int]
) -> None:
    """Count, mean, lowest, highest and flagged of each bucket, summed in whole ten-thousandths."""
    values: dict[tuple[str, int], list[int]] = defaultdict(list)
    flagged: dict[tuple[str, int], int] = defaultdict(int)
    for at_us, flags, measured in rows:
        for name, value in zip(MEASURED, measured, strict=True):
            key = name, bucket_of(at_us)
            if value is not None and flags:
                flagged[key] += 1
            elif value is not None:
                values[key].append(int(Decimal(value * 10_000).quantize(Decimal(1), ROUND_HALF_UP)))
    keys = values.keys() | flagged.keys()
    buckets = sorted({bucket for _, bucket in keys})
    assert answer.at == spelled(buckets)
    assert answer.series.keys() == {name for name, _ in keys} | {"aqi"}
    for name, series in answer.series.items():
        found = [values[name, bucket] for bucket in buckets]
        assert series.unit == UNITS[name]
        assert series.count == [len(one) for one in found]
        assert series.avg == [sum(one) / (len(one) * 10_000) if one else None for one in found]
        assert series.min == [min(one) / 10_000 if one else None for one in found]
        assert series.max == [max(one) / 10_000 if one else None for one in found]
        assert series.flagged == [flagged[name, bucket] for bucket in buckets]


def spelled(moments_us: list[int]) -> list[str]:
    return all_to_rfc3339(np.array(moments_us, np.int64))


def buckets_of(length_us: int) -> Callable[[int], int]:
    return lambda at_us: at_us // length_us * length_us


def assert_all_right(node: Node, from_us: int, to_us: int) -> None:
    rows = rows_of(node, from_us, to_us)
    assert rows
    for resolution, length_us in (("5m", FIVE_MINUTES_US), ("1h", HOUR_US), ("1d", DAY_US)):
        answer = asked(node, from_us, to_us, resolution)
        assert_is_arithmetic(answer, rows, buckets_of(length_us))
    assert_rows(asked(node, from_us, to_us, "raw"), rows)


def assert_rows(answer: Readings, rows: list[Row]) -> None:
    assert answer.at == spelled([at_us for at_us, _, _ in rows])
    assert answer.flags == [flags.split(",") if flags else [] for _, flags, _ in rows]
    for number, name in enumerate(MEASURED):
        column = [measured[number] for _, _, measured in rows]
        assert (name in answer.series) == (name == "aqi" or any(v is not None for v in column))
        if name in answer.series:
            assert answer.series[name].value == column


def whole_days(node: Node) -> tuple[int, int]:
    """From the beginning of the day before yesterday to the end of today."""
    end_us = (node.clock.now_us() // DAY_US + 1) * DAY_US
    return end_us - 3 * DAY_US, end_us


@pytest.mark.parametrize("seed", range(2))
def test_every_resolution_is_plain_arithmetic(node: Node, seed: int) -> None:
    span = whole_days(node)
    store(node, *arrivals(node.clock.now_us(), 40, 400, seed))
    assert_all_right(node, *span)
    node.hours.count_all()
    load(node)
    assert_all_right(node, *span)


def test_what_is_all_in_memory_needs_no_file(node: Node) -> None:
    load(node)
    store(node, *arrivals(node.clock.now_us(), 10, 200, 9))
    to_us = node.clock.now_us() // FIVE_MINUTES_US * FIVE_MINUTES_US
    span = to_us - 8 * HOUR_US, to_us
    rows = rows_of(node, *span)
    node.store.set_aside([(file, "was taken away") for file in node.store.files])
    answer = asked(node, *span, "5m")
    assert_is_arithmetic(answer, rows, buckets_of(FIVE_MINUTES_US))
    assert_rows(asked(node, *span, "raw"), rows)


def test_revised_and_late_readings_count_as_they_are_stored(node: Node) -> None:
    load(node)
    first = arrivals(node.clock.now_us(), 40, 200, 5)
    store(node, *first)
    node.hours.count_all()
    revised = [reading(one.sensor_id, one.timestamp_us, values={"pm25": 33.3}) for one in first]
    store(node, *revised, *arrivals(node.clock.now_us() - DAY_US, 20, 50, 6))
    assert_all_right(node, *whole_days(node))


def test_a_value_beyond_all_numbers_is_flagged_and_costs_nothing_else(node: Node) -> None:
    now_us = node.clock.now_us()
    values = [{"pm25": 1e300}, {"pm25": 12.5}]
    store(node, *[reading(SENSOR, now_us - n, values=one) for n, one in enumerate(values)])
    answer = asked(node, now_us - 5, now_us + 1, "5m", "pm25")
    [series] = answer.series.values()
    assert (sum(series.count), sum(series.flagged)) == (1, 1)
    assert [value for value in series.max if value is not None] == [12.5]


def test_no_reading_is_doubled_or_missing_where_memory_begins(node: Node) -> None:
    store(node, *arrivals(node.clock.now_us(), 30, 600, 7))
    span = whole_days(node)
    horizons = set()
    for _ in range(6):
        assert_all_right(node, *span)
        horizons.add(node.recent.horizon_us)
        node.recent.load_more(node.clock.now_us())
    assert len(horizons) == 6
    horizon_us = node.recent.horizon_us
    edges_us = [horizon_us - 1, horizon_us, horizon_us + 1]
    store(node, *[reading(SENSOR, at_us, values={"o3": 31.0}) for at_us in edges_us])
    for from_us in edges_us:
        for until_us in [one + 1 for one in edges_us if one >= from_us]:
            assert_rows(asked(node, from_us, until_us, "raw"), rows_of(node, from_us, until_us))


def test_nothing_flickers_while_memory_is_loaded_forgotten_and_added_to(node: Node) -> None:
    """Readers see at least what was stored when they began, and nothing twice."""
    now_us = node.clock.now_us()
    parts = [
        [reading(SENSOR, now_us - (n * 20 + part) * 60 * SECOND_US) for n in range(60)]
        for part in range(20)
    ]
    flushed = seen = 0

    async def change(done: anyio.Event) -> None:
        nonlocal flushed
        for number, part in enumerate(parts):
            await node.ingest.keep(part)
            await node.flush()
            flushed += len(part)
            async with node.flushing:
                for _ in range(3):
                    await anyio.to_thread.run_sync(node.recent.load_more, now_us)
                if number % 7 == 6:
                    node.reload()
        done.set()

    async def read(done: anyio.Event) -> None:
        nonlocal seen
        question = node.history.asked(SENSOR, now_us - DAY_US, now_us + 1, "raw", None)
        while not done.is_set():
            known = flushed
            answer = await anyio.to_thread.run_sync(node.history.read, question)
            assert answer.at == sorted(set(answer.at))
            assert len(answer.at) >= known
            seen += 1

    async def work() -> None:
        done = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change, done)
            tasks.start_soon(read, done)

    anyio.run(work)
    assert seen > 3
    assert len(asked(node, now_us - DAY_US, now_us + 1, "raw").at) == 1200


def test_hours_and_days_stay_when_their_readings_are_gone(open_node: Callable[..., Node]) -> None:
    node = open_node(retention_days=1)
    end_us = (node.clock.now_us() // DAY_US - 10) * DAY_US
    store(node, *[old for old in arrivals(end_us, 48, 200, 8)])
    span = end_us - 2 * DAY_US, end_us
    before = [asked(node, *span, name) for name in ("1h", "1d")]
    assert len(before[0].at) > 10
    assert len(node.expiry.drop()) == 2
    assert [asked(node, *span, name) for name in ("1h", "1d")] == before
    assert asked(node, *span, "5m").at == asked(node, *span, "raw").at == []


@pytest.mark.parametrize(
    ("zone", "first", "hours"),
    [
        ("Europe/Berlin", "2026-03-28T00:00:00+01:00", [24, 23, 24]),
        ("Europe/Berlin", "2026-10-24T00:00:00+02:00", [24, 25, 24]),
        ("America/Havana", "2026-03-07T00:00:00-05:00", [24, 23, 24]),
        ("America/Havana", "2026-10-31T00:00:00-04:00", [24, 25, 24]),
        ("Asia/Kolkata", "2026-10-24T00:00:00+05:30", [24, 24, 24]),
        ("UTC", "2026-10-24T00:00:00+00:00", [24, 24, 24]),
    ],
)
def test_a_day_has_the_hours_that_begin_in_it(
    open_node: Callable[..., Node], zone: str, first: str, hours: list[int]
) -> None:
    """One reading in each hour of three local days, a minute after the hour in UTC."""
    node = open_node(time_zone=zone)
    begin_us = moment(first)
    hour_us = -(-begin_us // HOUR_US) * HOUR_US
    moments_us = [hour_us + n * HOUR_US + 60 * SECOND_US for n in range(sum(hours))]
    store(
        node,
        reading(SENSOR, hour_us - HOUR_US + 60 * SECOND_US),
        *[  # not always the same, or it would be stuck
            reading(SENSOR, at_us, values={"pm25": 12.0 + number % 2})
            for number, at_us in enumerate(moments_us)
        ],
        reading(SENSOR, moments_us[-1] + HOUR_US),
    )
    answer = asked(node, begin_us + 5, moments_us[-1], "1d", "pm25")
    assert answer.series["pm25"].count == hours
    local = [datetime.fromisoformat(at).astimezone(ZoneInfo(zone)) for at in answer.at]
    assert answer.at[0] == datetime.fromisoformat(first).astimezone(UTC).isoformat()[:19] + "Z"
    assert [at.day for at in local] == [local[0].day + n for n in range(3)] or local[-1].day < 3
    assert (answer.from_, answer.time_zone) == (answer.at[0], zone)


def test_a_span_is_widened_to_whole_buckets(node: Node) -> None:
    from_us, to_us = moment("2026-10-24T10:02:00+00:00"), moment("2026-10-24T12:58:00+00:00")
    spans = {name: asked(node, from_us, to_us, name) for name in RESOLUTIONS}
    shown = {name: (answer.from_[8:16], answer.to[8:16]) for name, answer in spans.items()}
    assert shown == {
        "raw": ("24T10:02", "24T12:58"),
        "5m": ("24T10:00", "24T13:00"),
        "1h": ("24T10:00", "24T13:00"),
        "1d": ("24T00:00", "25T00:00"),
    }


@pytest.mark.parametrize(
    ("hours", "resolution"),
    [(6, "raw"), (7, "5m"), (72, "5m"), (73, "1h"), (120 * 24, "1h"), (120 * 24 + 1, "1d")],
)
def test_the_resolution_follows_from_the_span(node: Node, hours: int, resolution: str) -> None:
    now_us = node.clock.now_us()
    question = node.history.asked(SENSOR, now_us - hours * HOUR_US, now_us, None, None)
    assert question.resolution == resolution


@pytest.mark.parametrize(("name", "days"), [("raw", 7), ("5m", 31), ("1h", 400), ("1d", 7320)])
def test_more_than_is_given_at_once_is_refused(node: Node, name: str, days: int) -> None:
    now_us = node.clock.now_us()
    assert asked(node, now_us - days * DAY_US, now_us, name).at == []
    with pytest.raises(Unprocessable, match=f"at most {days} days") as refused:
        asked(node, now_us - days * DAY_US - 1, now_us, name)
    assert refused.value.code == "range_too_large"


def test_what_does_not_fit_follows_from_where_the_answer_ends(node: Node) -> None:
    now_us = node.clock.now_us()
    count = 2 * MAX_READINGS + 50
    sent = [reading(SENSOR, now_us - n * SECOND_US) for n in range(count)]
    store(node, *sent)
    from_us, found, pages = now_us - count * SECOND_US, [], 0
    while True:
        answer = asked(node, from_us, now_us + 1, "raw", "pm25")
        found += answer.at
        pages += 1
        if not answer.truncated:
            break
        from_us = moment(answer.next_from)
    assert pages == 3
    assert answer.next_from is None
    assert found == spelled(sorted(one.timestamp_us for one in sent))


def test_only_what_is_asked_for_is_answered_and_all_of_it(node: Node) -> None:
    now_us = node.clock.now_us()
    store(
        node,
        reading(SENSOR, now_us - 2, values={"pm25": 9.0}),
        reading(SENSOR, now_us - 1, values={"temperature": 4.5}),
    )
    for name in RESOLUTIONS:
        everything = asked(node, now_us - HOUR_US, now_us, name)
        assert list(everything.series) == ["aqi", "pm25", "temperature"]
        some = asked(node, now_us - HOUR_US, now_us, name, "temperature", "co", "co")
        assert list(some.series) == ["co", "temperature"]
    raw = asked(node, now_us - HOUR_US, now_us, "raw", "temperature", "co")
    assert {name: one.value for name, one in raw.series.items()} == {
        "co": [None],
        "temperature": [4.5],
    }
    hourly = asked(node, now_us - HOUR_US, now_us, "1h", "co")
    assert (hourly.at, hourly.series["co"].count) == ([], [])


def test_a_sensor_that_measured_nothing_has_an_empty_history(node: Node) -> None:
    store(node, reading("another"))
    now_us = node.clock.now_us()
    for name in RESOLUTIONS:
        answer = asked(node, now_us - HOUR_US, now_us, name)
        assert answer.at == []
        assert list(answer.series) == ["aqi"]


def test_a_revision_changes_with_its_span_and_means_the_same_after_a_restart(
    open_node: Callable[..., Node],
) -> None:
    node = open_node(cache_ttl_historical_s=1)
    now_us = node.clock.now_us()
    old_us = now_us - 5 * DAY_US
    store(node, reading(SENSOR, old_us))
    old = node.history.asked(SENSOR, old_us - HOUR_US, old_us + HOUR_US, "raw", None)
    before = node.history.revision(old)
    assert node.history.is_settled(old)
    store(node, reading(SENSOR, now_us), reading(SENSOR, old_us - 3 * HOUR_US))
    assert node.history.revision(old) == before
    store(node, reading("another", old_us + 1))
    after = node.history.revision(old)
    assert after != before
    store(node, reading(SENSOR, old_us, values={"pm25": 1.0}))
    revised = node.history.revision(old)
    assert revised != after
    assert open_node(cache_ttl_historical_s=1).history.revision(old) == revised


def test_a_revision_names_a_file_only_once_memory_has_it(node: Node) -> None:
    """What is answered between a flush's commit and then must not pass for an answer of after."""
    load(node)
    at_us = node.clock.now_us() - 6 * HOUR_US
    question = node.history.asked(SENSOR, at_us - HOUR_US, at_us + HOUR_US, "raw", None)
    before = node.history.revision(question)
    anyio.run(node.ingest.keep, [reading(SENSOR, at_us)])
    drained = node.drain.step()
    assert drained is not None
    assert node.history.revision(question) == before
    node._roll_up(drained.parts, [])
    assert node.history.revision(question) != before
    assert len(node.history.read(question).at) == 1


def test_the_last_hour_is_told_apart_by_its_slot(open_node: Callable[..., Node]) -> None:
    node = open_node(cache_ttl_historical_s=1)
    now_us = node.clock.now_us()
    question = node.history.asked(SENSOR, now_us - DAY_US, now_us, "5m", None)
    slots = []
    for _ in range(2):
        slots.append(node.history.revision(question)[1])
        anyio.run(anyio.sleep, 1)
    assert not node.history.is_settled(question)
    assert slots[0] < slots[1]


def test_requests_without_a_span_within_a_slot_are_one(open_node: Callable[..., Node]) -> None:
    node = open_node(cache_ttl_historical_s=86_400)
    first, second = (node.history.asked(SENSOR, None, None, None, None) for _ in range(2))
    assert first == second
    assert first.to_us - first.from_us == DAY_US
    assert first.from_us <= node.clock.now_us() < first.to_us


def test_the_means_of_a_real_archive_are_those_another_tool_gives(node: Node, data: Path) -> None:
    """A month of dust of one sensor in Aberdeen, with values that the flags leave out."""
    table = f"""(
        SELECT DISTINCT ON (timestamp) timestamp AT TIME ZONE 'UTC' AS taken, P1 AS pm10, P2 AS pm25
        FROM read_csv('{data / "readings/aberdeen/sds011.csv.gz"}', delim = ';')
        WHERE sensor_id = 15092 AND P1 IS NOT NULL AND timestamp < '2019-03-20'
        ORDER BY timestamp
    )"""
    rows = duckdb.sql(f"SELECT epoch_us(taken), pm10, pm25 FROM {table}").fetchall()
    store(
        node,
        *[
            reading(SENSOR, at_us, lat=56.963, lng=-2.211, values={"pm10": pm10, "pm25": pm25})
            for at_us, pm10, pm25 in rows
        ],
    )
    assert len(rows) > 10_000
    left_out = [row[0] for row in stored(node, "epoch_us(timestamp)", "WHERE flags <> ''")]
    assert 0 < len(left_out) < 100
    span = rows[0][0], rows[-1][0] + 1
    for name, width in (("5m", "5 minutes"), ("1h", "1 hour"), ("1d", "1 day")):
        answer = asked(node, *span, name, "pm10")
        theirs = duckdb.sql(
            f"""SELECT epoch_us(time_bucket(INTERVAL '{width}', taken)) AS bucket_us, count(*),
                avg(pm10), min(pm10), max(pm10)
            FROM {table} WHERE epoch_us(taken) NOT IN {tuple(left_out)}
            GROUP BY bucket_us ORDER BY bucket_us"""
        ).fetchall()
        ours = answer.series["pm10"]
        listed = [n for n, count in enumerate(ours.count) if count]
        assert [answer.at[n] for n in listed] == spelled([row[0] for row in theirs])
        assert [ours.count[n] for n in listed] == [row[1] for row in theirs]
        for column, number in ((ours.avg, 2), (ours.min, 3), (ours.max, 4)):
            expected = [row[number] for row in theirs]
            assert [column[n] for n in listed] == pytest.approx(expected, rel=1e-12)
