"""The simulated fleet behaves as a city's sensors do, faults included."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urbanos_edge.aqi import US_EPA_2024, grade
from urbanos_edge.demo.fleet import PERIOD_S, SLOT_S, DemoSensor, Fleet
from urbanos_edge.reading import QUANTITIES, Reading

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
MONDAY = int(datetime(2026, 11, 23, tzinfo=UTC).timestamp()) * SECOND


def flat(batches: Iterable[list[Reading]]) -> Iterator[Reading]:
    for batch in batches:
        yield from batch


@cache
def week() -> list[Reading]:
    """Seven days from a Monday, every five minutes."""
    return list(flat(Fleet().history(MONDAY, MONDAY + 7 * DAY, 300)))


@cache
def series(quantity: str) -> dict[str, np.ndarray]:
    """One array per sensor that measures the quantity, over the week, gaps as NaN."""
    columns: dict[str, np.ndarray] = defaultdict(lambda: np.full(7 * 288, np.nan))
    for reading in week():
        if quantity in reading.values:
            step = (reading.timestamp_us - MONDAY) // (300 * SECOND)
            columns[reading.sensor_id][step] = reading.values[quantity]
    return dict(columns)


def healthy(quantity: str) -> list[DemoSensor]:
    return [s for s in Fleet().sensors if quantity in s.quantities and s.fault is None]


def faulty(fault: str) -> DemoSensor:
    (sensor,) = [sensor for sensor in Fleet().sensors if sensor.fault == fault]
    return sensor


def distance_m(a: DemoSensor, b: DemoSensor) -> float:
    return float(
        np.hypot((a.lat - b.lat) * 111_320, (a.lng - b.lng) * 111_320 * np.cos(np.radians(60.17)))
    )


def city_mean(quantity: str, days: range, local_hours: range) -> float:
    """The mean over the healthy sensors in these hours of Helsinki's winter time, UTC+2."""
    hour_of = np.arange(7 * 288) // 12
    local_hour, day = (hour_of + 2) % 24, (hour_of + 2) // 24
    chosen = np.isin(local_hour, local_hours) & np.isin(day, days)
    columns = series(quantity)
    return float(np.mean([columns[sensor.id][chosen] for sensor in healthy(quantity)]))


# --- who reports, and when ---


def test_every_reading_says_that_it_is_simulated() -> None:
    sensors = Fleet().sensors

    assert len(sensors) == 60
    assert all(sensor.id.startswith("demo-") and sensor.id.isascii() for sensor in sensors)
    assert {reading.source for reading in week()} == {"simulated"}


@pytest.mark.parametrize("size", [1, 7, 60, 500])
def test_sensors_differ_and_stand_within_the_streets_that_are_drawn(size: int) -> None:
    sensors = Fleet(size=size).sensors

    assert len({sensor.id for sensor in sensors}) == size
    assert len({sensor.name for sensor in sensors}) == size
    assert len({(sensor.lat, sensor.lng) for sensor in sensors}) == size
    assert all(24.935 < s.lng < 24.9535 and 60.164 < s.lat < 60.179 for s in sensors)


def test_sensors_are_of_several_kinds() -> None:
    kinds = {sensor.quantities for sensor in Fleet().sensors}

    assert ("pm25", "pm10") in kinds
    assert any("o3" in kind and "pm25" not in kind for kind in kinds)
    assert any({"pm25", "o3", "no2", "so2", "co"} <= set(kind) for kind in kinds)


def test_something_changes_every_few_seconds_and_each_sensor_once_a_minute() -> None:
    fleet = Fleet()
    slots = [fleet.readings(MONDAY + at * SLOT_S * SECOND) for at in range(PERIOD_S // SLOT_S)]

    assert all(slots)
    reported = [reading.sensor_id for slot in slots for reading in slot]
    assert sorted(reported) == sorted(sensor.id for sensor in fleet.sensors)


@given(at_us=st.integers(0, 4_000_000_000 * SECOND))
def test_readings_are_never_from_the_future_and_at_most_one_slot_old(at_us: int) -> None:
    for reading in Fleet(size=60).readings(at_us):
        assert at_us - SLOT_S * SECOND < reading.timestamp_us <= at_us


def test_the_same_seed_gives_the_same_readings_and_another_gives_others() -> None:
    first, again, other = Fleet(seed=7), Fleet(seed=7), Fleet(seed=8)

    assert first.readings(MONDAY) == again.readings(MONDAY)
    assert first.readings(MONDAY) != other.readings(MONDAY)


def test_history_is_what_was_reported_live() -> None:
    fleet = Fleet()
    start = MONDAY + 7 * HOUR + 13 * SECOND
    history = list(flat(fleet.history(start, start + HOUR, 300)))

    assert len(history) > 600
    for reading in history:
        assert start <= reading.timestamp_us < start + HOUR
        assert reading in Fleet().readings(reading.timestamp_us)


def test_a_day_of_history_comes_in_bounded_batches_within_two_seconds() -> None:
    fleet = Fleet()
    began = time.perf_counter()

    sizes = [len(batch) for batch in fleet.history(MONDAY, MONDAY + DAY, 300)]

    assert time.perf_counter() - began < 2
    assert sum(sizes) == 59 * 288 + 4 * 12  # the silent one lasts four hours
    assert max(sizes) <= 2000


# --- the air ---


def test_traffic_makes_peaks_on_working_days_but_not_at_night_or_on_sunday() -> None:
    working, sunday = range(5), range(6, 7)
    for quantity in ("no2", "co", "pm10"):
        morning = city_mean(quantity, working, range(7, 10))
        evening = city_mean(quantity, working, range(15, 18))
        night = city_mean(quantity, working, range(1, 4))
        assert morning > 1.3 * night
        assert evening > 1.3 * night
        assert morning > 1.2 * city_mean(quantity, sunday, range(7, 10))


def test_ozone_falls_where_nitrogen_dioxide_rises() -> None:
    ozone, dioxide = series("o3"), series("no2")

    assert len(healthy("no2")) >= 10
    for sensor in healthy("no2"):
        assert np.corrcoef(ozone[sensor.id], dioxide[sensor.id])[0, 1] < -0.5


def test_afternoons_are_warmer_and_drier_than_nights() -> None:
    week_days, afternoon, night = range(7), range(14, 17), range(2, 5)

    assert city_mean("temperature", week_days, afternoon) > 4 + city_mean(
        "temperature", week_days, night
    )
    assert city_mean("humidity", week_days, afternoon) < city_mean("humidity", week_days, night)


def residuals(quantity: str) -> dict[str, np.ndarray]:
    """How each sensor departs from the city's median of the moment."""
    logs = {sensor.id: np.log(series(quantity)[sensor.id] + 1) for sensor in healthy(quantity)}
    median = np.median(np.stack(list(logs.values())), axis=0)
    return {sensor_id: values - median for sensor_id, values in logs.items()}


def test_neighbours_agree_more_than_sensors_far_apart() -> None:
    departures = residuals("pm25")
    sensors = healthy("pm25")
    by_distance: dict[str, list[float]] = defaultdict(list)
    for index, a in enumerate(sensors):
        for b in sensors[index + 1 :]:
            metres = distance_m(a, b)
            ring = "near" if metres < 200 else "middle" if metres < 500 else "far"
            by_distance[ring].append(np.corrcoef(departures[a.id], departures[b.id])[0, 1])

    near, middle, far = (float(np.mean(by_distance[key])) for key in ("near", "middle", "far"))
    assert near > 0.5
    assert near > middle + 0.2
    assert middle > far + 0.1
    assert abs(far) < 0.3


def test_what_is_upwind_arrives_downwind_later() -> None:
    """By distance over wind speed: 400 m at 0.6 m/s are 11 minutes. Sundays have no traffic."""
    fleet, start, hours = Fleet(), MONDAY + 6 * DAY + 18 * HOUR, 6
    wind_ms = np.mean([fleet.wind(start + hour * HOUR) for hour in range(hours + 1)], axis=0)
    speed_ms = float(np.hypot(*wind_ms))
    departures = departures_without_plumes(fleet.history(start, start + hours * HOUR, 60))

    ratios = []
    for a in healthy("pm25"):
        for b in healthy("pm25"):
            east_m = (b.lng - a.lng) * 111_320 * np.cos(np.radians(60.17))
            north_m = (b.lat - a.lat) * 111_320
            along_m = (east_m * wind_ms[0] + north_m * wind_ms[1]) / speed_ms
            across_m = abs(east_m * wind_ms[1] - north_m * wind_ms[0]) / speed_ms
            if 200 < along_m < 800 and across_m < 150 and {a.id, b.id} <= departures.keys():
                lag_s = 60 * best_lag(departures[a.id], departures[b.id])
                ratios.append(lag_s / (along_m / speed_ms))

    assert len(ratios) >= 20
    assert 0.75 < float(np.median(ratios)) < 1.25


def departures_without_plumes(batches: Iterable[list[Reading]]) -> dict[str, np.ndarray]:
    """By sensor, log PM2.5 above the city's median; only sensors that no plume ever reached."""
    values: dict[str, list[float]] = defaultdict(list)
    well = {sensor.id for sensor in healthy("pm25")}
    for reading in flat(batches):
        if reading.sensor_id in well:
            values[reading.sensor_id].append(reading.values["pm25"])
    columns = {name: np.log(column) for name, column in values.items() if max(column) < 20}
    median = np.median(np.stack(list(columns.values())), axis=0)
    return {name: column - median for name, column in columns.items()}


def best_lag(first: np.ndarray, second: np.ndarray, most: int = 45) -> int:
    """By how many steps `second` follows `first` when they agree best."""
    inner = slice(most, len(first) - most)
    scores = [
        np.corrcoef(first[inner], np.roll(second, -lag)[inner])[0, 1] for lag in range(-most, most)
    ]
    return int(np.argmax(scores)) - most


def test_the_map_shows_good_to_unhealthy_at_any_time() -> None:
    pm25 = series("pm25")
    for step in range(0, 7 * 288, 2):
        values = np.array([pm25[sensor.id][step] for sensor in healthy("pm25")])
        absent = np.full(len(values), np.nan)
        columns = dict.fromkeys(US_EPA_2024.pollutants, absent) | {"pm25": values}
        levels = set(grade(US_EPA_2024, columns).level.tolist())
        assert {1, 4} <= levels, f"step {step}"
        assert levels <= {1, 2, 3, 4, 5}


def test_healthy_sensors_stay_within_what_is_credible() -> None:
    well = {sensor.id for sensor in Fleet().sensors if sensor.fault is None}
    bounds = {quantity.name: (quantity.low, quantity.high) for quantity in QUANTITIES}
    for reading in week():
        if reading.sensor_id in well:
            for name, value in reading.values.items():
                low, high = bounds[name]
                assert low <= value <= high


def test_values_have_the_decimals_that_sensors_send() -> None:
    for reading in week()[:5000]:
        for name, value in reading.values.items():
            assert value == round(value, 2 if name == "co" else 1)


# --- the faulty ones ---


def test_the_stuck_sensor_never_changes() -> None:
    stuck = faulty("stuck")

    assert all(len(np.unique(series(name)[stuck.id])) == 1 for name in stuck.quantities)


def test_the_spiking_sensor_saturates_now_and_then_and_is_right_otherwise() -> None:
    spiking = series("pm25")[faulty("spiking").id]
    saturated = spiking == 999.9

    assert 0.08 < saturated.mean() < 0.17
    assert spiking[~saturated].max() < 150
    assert set(series("pm10")[faulty("spiking").id][saturated]) == {1999.9}


def test_the_offset_sensor_reads_thirty_more_than_its_neighbours() -> None:
    offset = faulty("offset")
    nearest = min(healthy("pm25"), key=lambda sensor: distance_m(offset, sensor))

    difference = series("pm25")[offset.id] - series("pm25")[nearest.id]

    assert float(np.median(difference)) == pytest.approx(30, abs=2)


def test_the_silent_sensor_stops_four_hours_after_midnight() -> None:
    silent = faulty("silent")
    moments = {reading.timestamp_us for reading in week() if reading.sensor_id == silent.id}

    assert len(moments) == 7 * 4 * 12
    assert all((moment - MONDAY) % DAY < 4 * HOUR for moment in moments)
