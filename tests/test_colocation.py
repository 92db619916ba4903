"""A fit of one sensor to another: the line that arithmetic and another library find."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import duckdb
import numpy as np
import pytest

from tests.readings import NOW_US, reading
from tests.test_flush import store, stored
from urbanos_edge.clock import DAY_US, HOUR_US, to_us
from urbanos_edge.errors import NotFound, Unprocessable
from urbanos_edge.node import Node
from urbanos_edge.query.colocation import Pair, colocated, fitted
from urbanos_edge.reading import Reading
from urbanos_edge.upkeep.amends import Calibrate, Line, calibrate

START_US = NOW_US - NOW_US % HOUR_US
SPAN = {"from_us": START_US, "until_us": START_US + 14 * DAY_US}
WAVE = [10.0 + hour % 5 for hour in range(60)]


def hourly(sensor_id: str, values: list[float], per_hour: int = 4, **more: Any) -> list[Reading]:
    """So many readings an hour, all of an hour the same."""
    return [
        reading(
            sensor_id,
            START_US + hour * HOUR_US + part * HOUR_US // per_hour,
            **{"values": {"pm25": value}} | more,
        )
        for hour, value in enumerate(values)
        for part in range(per_hour)
    ]


def fit(node: Node, **more: Any) -> Any:
    names: dict[str, Any] = {"sensor_id": "a", "reference_id": "b", "quantity": "pm25"}
    pair = Pair(**names | SPAN | more)
    return colocated(node.store, node.engine, pair)


def test_a_straight_line_is_found_exactly(node: Node) -> None:
    truth = [2 * value + 3 for value in WAVE]
    store(node, *hourly("a", WAVE), *hourly("b", truth))
    found = fit(node)
    assert (found.hours, found.incomplete) == (60, 0)
    assert (found.gain, found.shift, found.r_squared) == pytest.approx((2, 3, 1))
    # the differences are WAVE + 3: 13 to 17, each as often
    assert found.rmse_before == pytest.approx(np.sqrt((13**2 + 14**2 + 15**2 + 16**2 + 17**2) / 5))
    assert found.rmse_after == pytest.approx(0, abs=1e-9)


def test_the_fit_is_that_of_least_squares(node: Node) -> None:
    chance = np.random.default_rng(1)
    said = chance.uniform(0, 80, 500)
    truth = 0.6 * said + 2 + chance.normal(0, 5, 500)
    found = fitted(said, truth)
    gain, shift = np.polyfit(said, truth, 1)
    assert (found.gain, found.shift) == pytest.approx((gain, shift))
    assert found.r_squared == pytest.approx(np.corrcoef(said, truth)[0, 1] ** 2)
    assert found.rmse_after == pytest.approx(np.sqrt(np.mean((gain * said + shift - truth) ** 2)))


def test_flagged_readings_and_incomplete_hours_are_left_out(node: Node) -> None:
    truth = [2 * value + 3 for value in WAVE]
    half_an_hour = hourly("a", [*WAVE, 40.0])[:-2]
    dead_fans = hourly("a", [999.0], per_hour=7)[1:6:2]
    store(node, *half_an_hour, *dead_fans, *hourly("b", [*truth, 1.0]))
    found = fit(node)
    assert (found.hours, found.incomplete) == (60, 1)
    assert (found.gain, found.shift) == pytest.approx((2, 3))


def test_a_sensor_is_fitted_as_it_said_and_its_reference_as_it_is_shown(node: Node) -> None:
    async def work() -> None:
        for sensor_id in ("a", "b"):
            span_us = (0, None)
            await node.corrections.add(sensor_id, "pm25", (3.0, 0.0), span_us, "by hand", NOW_US)

    anyio.run(work)
    store(node, *hourly("a", WAVE), *hourly("b", [value / 2 for value in WAVE]))
    found = fit(node)
    assert (found.gain, found.shift) == pytest.approx((1.5, 0), abs=1e-9)


def test_a_sensor_that_only_disagrees_with_its_neighbours_is_fitted(node: Node) -> None:
    values = [20.0 + hour % 5 for hour in range(50)]
    beside = [one for name in ("b", "c", "d") for one in hourly(name, values, lat=60.172)]
    store(node, *beside, *hourly("a", [3 * value for value in values]))
    assert stored(node, "count(*)", "WHERE sensor_id = 'a' AND flags <> 'neighbours'") == [(0,)]
    assert fit(node).gain == pytest.approx(1 / 3)


def test_what_says_too_little_is_refused_in_words(node: Node) -> None:
    store(node, *hourly("a", WAVE[:47]), *hourly("b", WAVE))
    level = [
        reading("level", START_US + n * HOUR_US // 2, values={"pm25": 4.0 + n % 2 * 2})
        for n in range(120)
    ]
    store(node, *level)
    with pytest.raises(Unprocessable, match="47 complete hours in common.* takes 48"):
        fit(node)
    with pytest.raises(Unprocessable, match="0 complete hours in common"):
        fit(node, sensor_id="nobody")
    with pytest.raises(Unprocessable, match="the sensor said the same in every hour"):
        fit(node, sensor_id="level")
    with pytest.raises(Unprocessable, match="not its own reference"):
        fit(node, sensor_id="b")


def test_real_sensors_side_by_side_give_numpys_line(node: Node, data: Path) -> None:
    """Two of Aberdeen's, in the fortnight from 1 March 2019, against means made in Python."""
    start_us, names = to_us_day("2019-03-01"), real_pair(data)
    readings = aberdeen(data, names, start_us)
    store(node, *readings)
    pair = Pair(*names, "pm25", start_us, start_us + 14 * DAY_US)
    found = colocated(node.store, node.engine, pair)
    said, truth = means(stored(node, "sensor_id, epoch_us(timestamp), pm25, flags"), names)
    gain, shift = np.polyfit(said, truth, 1)
    assert found.hours == len(said) > 200
    assert (found.gain, found.shift) == pytest.approx((gain, shift))
    assert found.rmse_before == pytest.approx(np.sqrt(np.mean((said - truth) ** 2)))
    assert found.rmse_after < found.rmse_before


def to_us_day(day: str) -> int:
    return to_us(datetime.fromisoformat(f"{day}T00:00:00+00:00"))


def aberdeen(data: Path, names: tuple[str, str], start_us: int) -> list[Reading]:
    rows = duckdb.sql(
        f"""SELECT sensor_id, epoch_us(timestamp::TIMESTAMP) AS at_us, lat::DOUBLE, lon::DOUBLE,
            P2::DOUBLE
        FROM read_csv('{data}/readings/aberdeen/sds011.csv.gz', delim = ';', all_varchar = true)
        WHERE sensor_id IN {names} AND P2 IS NOT NULL
            AND at_us >= {start_us} AND at_us < {start_us + 14 * DAY_US}"""
    ).fetchall()
    return [
        reading(sensor_id, at_us, values={"pm25": pm25}, lat=lat, lng=lng)
        for sensor_id, at_us, lat, lng, pm25 in rows
    ]


def real_pair(data: Path) -> tuple[str, str]:
    """The two sensors with the most readings in the archive, the most of all as the second."""
    second, first = duckdb.sql(
        f"""SELECT sensor_id::VARCHAR
        FROM read_csv('{data}/readings/aberdeen/sds011.csv.gz', delim = ';')
        GROUP BY ALL ORDER BY count(*) DESC LIMIT 2"""
    ).fetchall()
    return first[0], second[0]


def means(
    rows: list[tuple[Any, ...]], names: tuple[str, str]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Hourly means of both, of hours with at least three quarters of their usual number."""
    by_hour: dict[str, dict[int, list[float]]] = {name: defaultdict(list) for name in names}
    for sensor_id, at_us, value, flags in rows:
        if not flags or (sensor_id == names[0] and flags == "neighbours"):
            by_hour[sensor_id][at_us // HOUR_US].append(value)
    complete: dict[str, dict[int, float]] = {}
    for name, hours in by_hour.items():
        usual = np.median([len(values) for values in hours.values()])
        complete[name] = {h: sum(v) / len(v) for h, v in hours.items() if len(v) >= 0.75 * usual}
    common = sorted(complete[names[0]].keys() & complete[names[1]].keys())
    said, truth = (np.array([complete[name][hour] for hour in common]) for name in names)
    return said, truth


# --- the operator's side ---


def asked(node: Node, **more: Any) -> Any:
    return anyio.run(partial(calibrate, node, Calibrate(**{"id": "a"} | more)))


def registered(node: Node) -> None:
    async def work() -> None:
        for sensor_id in ("a", "b"):
            await node.registry.add(sensor_id, sensor_id, 60.171, 24.941)

    anyio.run(work)


def test_a_fit_is_applied_only_when_it_is_told_to(node: Node) -> None:
    registered(node)
    truth = [2 * value + 3 for value in WAVE]
    store(node, *hourly("a", WAVE), *hourly("b", truth))
    wanted = {"reference_id": "b", "until_us": START_US + 14 * DAY_US}
    assert asked(node, **wanted)["calibration"] is None
    assert node.corrections.of_sensor("a") == ()
    applied = asked(node, **wanted, is_applied=True, valid_from_us=START_US)["calibration"]
    assert (applied["gain"], applied["shift"], applied["version"]) == pytest.approx((2, 3, 1))
    assert applied["basis"].startswith("co-location with b, 2025-11-23 to 2025-12-07, 60 hours")
    store(node, reading("a", START_US + 70 * HOUR_US, values={"pm25": 10.0}))
    assert stored(node, "pm25, pm25_raw", "WHERE pm25_raw IS NOT NULL") == [(23.0, 10.0)]


def test_what_is_no_calibration_is_refused_in_words(node: Node) -> None:
    registered(node)
    line = Line(2.0, 0.0)
    with pytest.raises(NotFound, match="no sensor 'nobody'"):
        asked(node, id="nobody", line=line)
    with pytest.raises(NotFound, match="no correction of pm25"):
        asked(node, is_ended=True)
    with pytest.raises(Unprocessable, match="name a reference"):
        asked(node)
    with pytest.raises(Unprocessable, match="quantity must be one of pm1, pm25"):
        asked(node, line=line, quantity="noise")
    with pytest.raises(Unprocessable, match="must not end before it begins"):
        asked(node, line=line, valid_from_us=2, valid_until_us=2)
