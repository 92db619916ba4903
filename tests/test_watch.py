"""Flags from what came before and from what others say; expected by arithmetic."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.readings import NOW_US, reading
from tests.test_flush import store, stored
from tests.tripled import taichung, tripled_in_turn
from urbanos_edge.batch import Batch, pack, unpack
from urbanos_edge.clock import HOUR_US, SECOND_US
from urbanos_edge.node import Node
from urbanos_edge.quality.quality import FLAG_LABELS
from urbanos_edge.quality.watch import Watch
from urbanos_edge.reading import Reading, Timing
from urbanos_edge.store.identity import fold

MINUTE_US = 60 * SECOND_US
START_US = NOW_US - NOW_US % HOUR_US
CALM = [10.0] * 12
"""Twelve values whose median is 10 and whose median deviation is 0."""


@pytest.fixture
def watch() -> Watch:
    return Watch(radius_m=10_000)


def batch_of(readings: Sequence[Reading]) -> Batch:
    return fold(unpack([pack(readings)]), {}).batch


def flags(watch: Watch, readings: Sequence[Reading]) -> list[str]:
    """What the watch finds of a batch, in the order given; it takes it in."""
    batch = batch_of(readings)
    findings = watch.judge(batch)
    watch.take(findings)
    moments = zip(batch.strings("sensor"), batch["timestamp_us"].tolist(), strict=True)
    found = dict(zip(moments, findings.flags.tolist(), strict=True))
    return [FLAG_LABELS[found[one.sensor_id, one.timestamp_us]] for one in readings]


def series(
    values: Iterable[float],
    step_us: int = HOUR_US,
    start_us: int = START_US,
    quantity: str = "pm25",
    **more: Any,
) -> list[Reading]:
    """One value after the other, from one sensor."""
    return [
        reading(timestamp_us=start_us + step * step_us, values={quantity: value}, **more)
        for step, value in enumerate(values)
    ]


def at_once(
    values: Iterable[float], at_us: int = START_US, apart_deg: float = 0.01
) -> list[Reading]:
    """One value each from sensors in a row northwards; 0.01° are 1.1 km."""
    return [
        reading(
            f"s-{number}", at_us + number, lat=60.1 + number * apart_deg, values={"pm25": value}
        )
        for number, value in enumerate(values)
    ]


# --- stuck ---


def test_a_value_that_is_the_same_for_24_hours_is_stuck(watch: Watch) -> None:
    assert flags(watch, series([8.3] * 26)) == [""] * 24 + ["stuck"] * 2


def test_another_value_frees_it_and_its_return_begins_anew(watch: Watch) -> None:
    found = flags(watch, series([8.3] * 25 + [8.4] + [8.3] * 24))
    assert found == [""] * 24 + ["stuck"] + [""] * 25


def test_a_silence_of_more_than_three_hours_begins_anew(watch: Watch) -> None:
    assert flags(watch, series([8.3] * 9, step_us=3 * HOUR_US))[-1] == "stuck"
    apart = series([8.3] * 20, step_us=3 * HOUR_US + 1, sensor_id="other")
    assert flags(watch, apart) == [""] * 20


@pytest.mark.parametrize(
    ("quantity", "value", "expected"),
    [
        ("pm10", 0.0, "stuck"),
        ("o3", 0.0, ""),
        ("o3", 31.0, "stuck"),
        ("so2", 1.0, ""),
        ("so2", 2.0, "stuck"),
        ("co", 0.5, ""),
        ("humidity", 99.9, ""),
        ("humidity", 80.0, "stuck"),
        ("temperature", 4.0, "stuck"),
    ],
)
def test_some_things_may_stay_the_same_for_days(
    watch: Watch, quantity: str, value: float, expected: str
) -> None:
    assert flags(watch, series([value] * 25, quantity=quantity))[-1] == expected


def test_a_stuck_thermometer_does_not_take_a_dust_sensor_off_the_map(watch: Watch) -> None:
    readings = [
        reading(
            timestamp_us=START_US + hour * HOUR_US,
            values={"pm25": 10.0 + hour % 2, "temperature": 4.0},
        )
        for hour in range(30)
    ]
    assert flags(watch, readings) == [""] * 30


# --- spike ---


@pytest.mark.parametrize(("value", "expected"), [(40.0, "spike"), (39.9, ""), (12.0, "")])
def test_a_spike_is_30_or_more_from_the_median_of_the_last_twelve(
    watch: Watch, value: float, expected: str
) -> None:
    assert flags(watch, series([*CALM, value]))[-1] == expected


@pytest.mark.parametrize(("value", "expected"), [(60.1, "spike"), (60.0, ""), (0.0, "")])
def test_a_spike_is_more_than_five_median_deviations_away(
    watch: Watch, value: float, expected: str
) -> None:
    """Of 0 and 20 in turns the median is 10, and so is the median deviation."""
    assert flags(watch, series([*[0.0, 20.0] * 6, value]))[-1] == expected


def test_a_drop_is_a_spike_too(watch: Watch) -> None:
    assert flags(watch, series([*[50.0] * 12, 20.0]))[-1] == "spike"


def test_eleven_values_tell_nothing_nor_do_twelve_before_a_silence(watch: Watch) -> None:
    assert flags(watch, series([*CALM[1:], 90.0]))[-1] == ""
    later = series([90.0], start_us=START_US + 15 * HOUR_US)
    assert flags(watch, later) == [""]


def test_alone_the_second_in_a_row_confirms_itself(watch: Watch) -> None:
    found = flags(watch, series([*CALM, 90.0, 95.0, 10.0, 90.0]))
    assert found == [*[""] * 12, "spike", "", "", "spike"]


def test_a_neighbour_at_half_way_confirms(watch: Watch) -> None:
    """Half-way from 10 to 90 is 50."""
    flags(watch, series(CALM))
    at_us = START_US + 12 * HOUR_US
    near = reading("near", at_us - MINUTE_US, lat=60.18, values={"pm25": 50.0})
    assert flags(watch, [near, *series([90.0], start_us=at_us)]) == ["", ""]


def test_what_no_neighbour_confirms_is_a_spike_however_long_it_lasts(watch: Watch) -> None:
    """Until the median follows: with six of twelve new it is 50, and the deviation 40."""
    near = series([49.9] * 20, sensor_id="near", lat=60.18, start_us=START_US - 2 * MINUTE_US)
    found = flags(watch, [*near, *series([*CALM, *[90.0] * 8])])
    assert found == [""] * 32 + ["spike"] * 6 + [""] * 2


def test_what_is_out_of_range_is_no_value_to_compare_with(watch: Watch) -> None:
    found = flags(watch, series([*CALM[:6], *[999.9] * 2, *CALM[6:], 40.0]))
    assert found == [""] * 14 + ["spike"]


def test_particles_are_looked_at_each_for_itself(watch: Watch) -> None:
    readings = [
        reading(timestamp_us=START_US + hour * HOUR_US, values={"pm25": 10.0, "pm10": pm10})
        for hour, pm10 in enumerate([20.0] * 12 + [50.0])
    ]
    assert flags(watch, readings)[-1] == "spike"


# --- neighbours ---


@pytest.mark.parametrize(("value", "expected"), [(40.1, "neighbours"), (40.0, ""), (0.0, "")])
def test_who_is_more_than_30_from_three_neighbours_disagrees(
    watch: Watch, value: float, expected: str
) -> None:
    assert flags(watch, at_once([10.0, 10.0, 10.0, value])) == ["", "", "", expected]


def test_neighbours_that_differ_widely_allow_for_more(watch: Watch) -> None:
    """Median 60, median deviation 40: two spreads are 2 x 1.4826 x 40 = 118.6."""
    assert flags(watch, at_once([20.0, 60.0, 100.0, 178.6]))[-1] == ""
    assert flags(watch, at_once([20.0, 60.0, 100.0, 178.7], START_US + MINUTE_US))[-1] == (
        "neighbours"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [(199.9, "neighbours"), (200.0, ""), (600.0, ""), (600.1, "neighbours")],
)
def test_in_a_haze_half_of_what_neighbours_say_may_lie_between(
    watch: Watch, value: float, expected: str
) -> None:
    assert flags(watch, at_once([400.0, 400.0, 400.0, value])) == ["", "", "", expected]


def test_one_broken_sensor_flags_itself_and_no_other(watch: Watch) -> None:
    assert flags(watch, at_once([10.0, 12.0, 14.0, 11.0, 900.0])) == [*[""] * 4, "neighbours"]


@pytest.mark.parametrize(("value", "expected"), [(120.1, "neighbours"), (120.0, "")])
def test_coarse_dust_may_be_100_apart(watch: Watch, value: float, expected: str) -> None:
    readings = [
        reading(f"s-{number}", lat=60.1 + number / 100, values={"pm10": pm10})
        for number, pm10 in enumerate([20.0, 20.0, 20.0, value])
    ]
    assert flags(watch, readings) == ["", "", "", expected]


def test_two_neighbours_are_too_few(watch: Watch) -> None:
    assert flags(watch, at_once([10.0, 10.0, 100.0])) == [""] * 3


def test_who_is_farther_than_the_radius_is_no_neighbour(watch: Watch) -> None:
    """0.09° are 10.008 km."""
    assert flags(watch, at_once([10.0] * 3 + [100.0], apart_deg=0.03)) == [""] * 4
    nearer = at_once([10.0] * 3 + [100.0], apart_deg=0.0299)
    assert flags(Watch(radius_m=10_000), nearer) == [*[""] * 3, "neighbours"]


@pytest.mark.parametrize(
    ("later_us", "expected"), [(2 * HOUR_US, "neighbours"), (2 * HOUR_US + 2 * SECOND_US, "")]
)
def test_neighbours_have_measured_within_two_hours(
    watch: Watch, later_us: int, expected: str
) -> None:
    *others, last = at_once([10.0] * 3 + [100.0])
    flags(watch, others)
    last = reading("s-3", START_US + later_us, lat=last.lat, values=last.values)
    assert flags(watch, [last]) == [expected]


def test_a_late_reading_is_compared_with_what_neighbours_said_since(watch: Watch) -> None:
    flags(watch, at_once([10.0] * 4, START_US + HOUR_US))
    late = reading("s-3", START_US, lat=60.13, values={"pm25": 100.0})
    assert flags(watch, [late]) == ["neighbours"]


def test_a_reading_from_elsewhere_is_not_compared_with_the_neighbours_of_now(watch: Watch) -> None:
    flags(watch, at_once([10.0] * 4))
    there = reading("s-3", START_US - MINUTE_US, lat=60.5, values={"pm25": 100.0})
    assert flags(watch, [there]) == [""]


def test_whoever_has_moved_has_other_neighbours(watch: Watch) -> None:
    flags(watch, at_once([10.0] * 4))
    moved = reading("s-3", START_US + MINUTE_US, lat=60.5, values={"pm25": 100.0})
    assert flags(watch, [moved]) == [""]


# --- what is remembered ---


def test_late_readings_do_not_change_what_is_known(watch: Watch) -> None:
    flags(watch, series([8.3] * 24))
    flags(watch, series([9.9] * 24, start_us=START_US + 30 * MINUTE_US)[:-1])
    assert flags(watch, series([8.3], start_us=START_US + 24 * HOUR_US)) == ["stuck"]


def test_late_readings_are_compared_with_each_other(watch: Watch) -> None:
    flags(watch, series([10.0], start_us=START_US + 100 * HOUR_US))
    assert flags(watch, series([*CALM, 90.0]))[-1] == "spike"


def test_what_a_clock_in_doubt_stamped_is_not_compared(watch: Watch) -> None:
    flags(watch, series(CALM))
    ahead = reading(
        timestamp_us=START_US + 999 * HOUR_US, values={"pm25": 90.0}, timing=Timing.NODE_IN_DOUBT
    )
    assert flags(watch, [ahead]) == [""]
    assert flags(watch, series([90.0], start_us=START_US + 12 * HOUR_US)) == ["spike"]


def test_particles_that_two_channels_disagree_about_are_not_compared(watch: Watch) -> None:
    """Neither is the value an outlier, nor does it make one of what comes after it."""
    flags(watch, series(CALM))
    torn: dict[str, Any] = {"start_us": START_US + 12 * HOUR_US, "channels_disagree": True}
    assert flags(watch, series([90.0, 90.0], step_us=MINUTE_US, **torn)) == ["", ""]
    assert flags(watch, series([90.0], start_us=START_US + 13 * HOUR_US)) == ["spike"]


def test_what_could_not_be_stored_is_judged_again(watch: Watch) -> None:
    flags(watch, series(CALM))
    batch = batch_of(series([90.0, 90.0], start_us=START_US + 12 * HOUR_US))
    first = watch.judge(batch).flags.tolist()
    assert watch.judge(batch).flags.tolist() == first
    assert [FLAG_LABELS[mask] for mask in first] == ["spike", ""]


def test_who_was_silent_longest_is_forgotten_when_there_are_too_many() -> None:
    watch = Watch(radius_m=10_000, max_sensors=32)
    for number in range(100):
        start_us = START_US + number * MINUTE_US
        flags(watch, series(CALM, sensor_id=f"s-{number}", start_us=start_us))
        assert len(watch) <= 32
    spike: Any = {"start_us": START_US + 100 * MINUTE_US + 11 * HOUR_US, "lat": 61.0}
    assert flags(watch, series([90.0], sensor_id="s-99", **spike)) == ["spike"]
    assert flags(watch, series([90.0], sensor_id="s-1", **spike)) == [""]


values = st.sampled_from([8.0, 8.0, 8.0, 8.3, 10.0, 45.0, 90.0, 999.9])
streams = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([1, 5, 60, 200]), values, values),
    min_size=1,
    max_size=120,
)


def told(stream: list[tuple[str, int, float, float]]) -> list[Reading]:
    """Readings in the order of time, of sensors too far apart to be neighbours."""
    at_us, readings = START_US, []
    for name, minutes, pm25, pm10 in stream:
        at_us += minutes * MINUTE_US
        more = {"lat": 10.0 * "abc".index(name), "values": {"pm25": pm25, "pm10": pm10}}
        readings.append(reading(name, at_us, **more))
    return readings


@given(streams, st.sets(st.integers(1, 120)))
def test_however_a_stream_is_split_its_flags_are_the_same(
    stream: list[tuple[str, int, float, float]], cuts: set[int]
) -> None:
    readings = told(stream)
    whole = flags(Watch(10_000), readings)
    watch, ends = Watch(10_000), sorted({0, *cuts, len(readings)})
    parts = [readings[start:end] for start, end in pairwise(ends)]
    assert [flag for part in parts if part for flag in flags(watch, part)] == whole


@given(
    st.lists(st.sampled_from([8.0, 12.0, 45.0, 90.0, 300.0]), min_size=1, max_size=30), st.randoms()
)
def test_the_order_of_arrival_in_a_batch_does_not_matter(
    values: list[float], chance: random.Random
) -> None:
    readings = [
        reading(
            f"s-{number % 6}",
            START_US + number * MINUTE_US,
            lat=60.1 + number % 6 * 0.01,
            values={"pm25": value},
        )
        for number, value in enumerate(values)
    ]
    expected = dict(zip(readings_key(readings), flags(Watch(10_000), readings), strict=True))
    chance.shuffle(readings)
    found = dict(zip(readings_key(readings), flags(Watch(10_000), readings), strict=True))
    assert found == expected


said = st.tuples(st.integers(0, 5), st.integers(0, 400), st.sampled_from([8.0, 45.0, 90.0, 300.0]))


@given(st.lists(said, min_size=1, max_size=60, unique_by=lambda one: one[:2]))
def test_neighbours_are_found_as_one_by_one(told: list[tuple[int, int, float]]) -> None:
    """What each of the others said last before, or else first after; within two hours."""
    readings = [
        reading(f"s-{n}", START_US + m * MINUTE_US, lat=60.1 + n / 100, values={"pm25": pm25})
        for n, m, pm25 in told
    ]
    found = flags(Watch(10_000), readings)
    newest = {(n, m // 60): m for n, m, _ in sorted(told)}
    for (own, minute, pm25), flag in zip(told, found, strict=True):
        at = newest[own, minute // 60]
        others = [_nearest_in_time(told, number, at) for number in range(6) if number != own]
        present = [value for value in others if value is not None]
        expected = False
        if len(present) >= 3:
            agreed = median(present)
            spread = 1.4826 * median([abs(value - agreed) for value in present])
            expected = abs(pm25 - agreed) > max(30, agreed / 2, 2 * spread)
        assert ("neighbours" in flag) == expected


def _nearest_in_time(told: list[tuple[int, int, float]], number: int, at: int) -> float | None:
    near = [(m, pm25) for n, m, pm25 in told if n == number and abs(m - at) <= 120]
    before = [one for one in near if one[0] <= at]
    chosen = max(before, default=None) or min(near, default=None)
    return None if chosen is None else chosen[1]


def readings_key(readings: list[Reading]) -> list[tuple[str, int]]:
    return [(one.sensor_id, one.timestamp_us) for one in readings]


# --- in the node ---


def test_flags_are_stored_and_a_repeated_reading_changes_none(node: Node) -> None:
    readings = series([*CALM, 90.0, 10.0])
    for _ in range(3):
        store(node, *readings)
        found = stored(node, "flags", "ORDER BY timestamp")
        assert [row[0] for row in found] == [*[""] * 12, "spike", ""]


def test_a_restart_forgets_neither_values_nor_since_when_they_are_the_same(
    open_node: Callable[..., Node],
) -> None:
    stuck = [reading("stuck", START_US + h * HOUR_US, values={"no2": 12.0}) for h in range(25)]
    calm = series(CALM, start_us=START_US + 23 * HOUR_US, step_us=5 * MINUTE_US)
    store(open_node(), *stuck[:-1], *calm)
    spike = series([90.0], start_us=START_US + 24 * HOUR_US)
    store(open_node(), stuck[-1], *spike)
    query = "sensor_id, flags", f"WHERE epoch_us(timestamp) = {START_US + 24 * HOUR_US} ORDER BY 1"
    assert stored(open_node(), *query) == [("school-12", "spike"), ("stuck", "stuck")]


@pytest.mark.parametrize("every_s", [10, 45, 600])
def test_a_sensor_that_says_the_same_all_day_is_stuck_after_a_restart_however_often_it_says_so(
    open_node: Callable[..., Node], every_s: int
) -> None:
    count = 25 * 3600 // every_s
    same = series([7.3] * count, step_us=every_s * SECOND_US, start_us=START_US - 25 * HOUR_US)
    store(open_node(), *same)
    store(open_node(), *series([7.3], start_us=START_US))
    last = "flags", f"WHERE epoch_us(timestamp) = {START_US}"
    assert stored(open_node(), *last) == [("stuck",)]


@pytest.mark.parametrize(
    ("before", "flag"), [([8.3] * 25, "stuck"), ([10.0, 11.0] * 6 + [400.0], "spike")]
)
def test_what_was_found_of_a_reading_stands_while_it_is_only_added_to(
    node: Node, before: list[float], flag: str
) -> None:
    *_, last = readings = series(before)
    store(node, *readings)
    found = "flags, pm25, temperature", f"WHERE epoch_us(timestamp) = {last.timestamp_us}"
    store(node, reading(timestamp_us=last.timestamp_us, values={"temperature": 4.5}))
    assert stored(node, *found) == [(flag, before[-1], 4.5)]
    store(node, reading(timestamp_us=last.timestamp_us, values={"pm25": 9.5}))
    assert stored(node, *found) == [("", 9.5, 4.5)]


def test_a_revised_reading_is_flagged_by_its_new_values(node: Node) -> None:
    store(node, *at_once([10.0] * 4))
    store(node, reading("s-3", START_US + 3, lat=60.13, values={"pm25": 80.0}))
    assert stored(node, "flags, pm25", "WHERE sensor_id = 's-3'") == [("neighbours", 80.0)]


# --- real data ---


def test_of_123_sensors_the_one_that_reads_three_times_too_much_is_found(data: Path) -> None:
    """A month of hourly PM2.5 in Taichung. Three times 10 µg/m³ can be found by nobody, so what
    counts is whether most hours of a sensor are flagged; and who was flagged for others' faults.
    """
    figures = tripled_in_turn(taichung(data), range(5, 123, 13))
    assert (figures.rounds, figures.more["found"], figures.more["others_found"]) == (10, 10, 0)
    assert figures.more["recall_of_hours_percent"] > 85
    assert figures.more["precision_of_hours_percent"] > 95
