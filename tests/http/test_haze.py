"""The haze of Beijing in December 2016 through the generic door: the daily index of each station.

It is computed twice. Once from what the node shows of each hour, by the node's averages and tables.
And once from the file, by the formula and the breakpoints as EPA prints them (EPA-454/B-24-002, May
2024, table 6 and equation 1), and by `aqi-hub`, which cuts an index off where EPA rounds it, and
ends at 500 where EPA goes on. Hours that the node has flagged are left out of both.
"""

from __future__ import annotations

import csv
import gzip
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from aqi_hub.aqi_usa.aqi import cal_iaqi_usa

from tests.http.sending import stored
from tests.http.test_history import measured
from tests.processes import NodeProcess
from urbanos_edge.aqi import US_EPA_2024, complete_mean, running_mean
from urbanos_edge.aqi.standard import Scale

COLUMNS: Final = {
    "pm25": ("PM2.5", Fraction(1)),
    "pm10": ("PM10", Fraction(1)),
    "o3": ("O3", Fraction("22.41") / Fraction("48.00")),
    "no2": ("NO2", Fraction("22.41") / Fraction("46.01")),
    "so2": ("SO2", Fraction("22.41") / Fraction("64.07")),
    "co": ("CO", Fraction("22.41") / Fraction("28.01") / 1000),
}
"""By quantity, its column, and what one µg/m³ at 0 °C is (GB 3095-2012), in ppb and CO in ppm."""
AREA: Final = timezone(timedelta(hours=8))
FIRST: Final = datetime(2016, 12, 14, tzinfo=AREA)
DAYS: Final = 27
INDEX: Final = (0, 50, 100, 150, 200, 300, 500)


class Table(NamedTuple):
    """Breakpoints of the mean of some hours: upper ends of bands, the first at index `above`.

    They are in our unit, in printed steps; `item` is what `aqi-hub` calls it, `per` its unit.
    """

    quantity: str
    hours: int
    ends: str
    step: str
    item: str
    above: int = 0
    per: int = 1


TABLES: Final = (
    Table("pm25", 24, "0 9.0 35.4 55.4 125.4 225.4 325.4", "0.1", "PM25_24H"),
    Table("pm10", 24, "0 54 154 254 354 424 604", "1", "PM10_24H"),
    Table("o3", 8, "0 54 70 85 105 200", "1", "O3_8H", per=1000),
    Table("o3", 1, "124 164 204 404 604", "1", "O3_1H", above=100, per=1000),
    Table("no2", 1, "0 53 100 360 649 1249 2049", "1", "NO2_1H"),
    Table("so2", 1, "0 35 75 185 304", "1", "SO2_1H"),
    Table("so2", 24, "304 604 1004", "1", "SO2_24H", above=200),
    Table("co", 8, "0 4.4 9.4 12.4 15.4 30.4 50.4", "0.1", "CO_8H"),
)
Hours = dict[int, Fraction]
"""By hour since the first day began, what was measured."""


class Day(NamedTuple):
    """The indexes of one station's day by pollutant, and the highest with its pollutant."""

    by_pollutant: dict[str, int]
    overall: int
    dominant: str


def day_of(indexes: Mapping[str, int]) -> Day | None:
    there = {name: index for name, index in indexes.items() if index >= 0}
    if not there:
        return None
    dominant = max(there, key=lambda name: there[name])
    return Day(there, there[dominant], dominant)


# --- from the file ---


def measurements(data: Path) -> Iterator[tuple[str, datetime, dict[str, Fraction]]]:
    with gzip.open(data / "readings/beijing/haze.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00"))
            values = {
                name: Fraction(row[column]) * unit
                for name, (column, unit) in COLUMNS.items()
                if row[column]
            }
            if values:
                yield row["station"], at, values


def mean_of(table: Table, hours: Hours, day: int) -> Fraction | None:
    """What the index of a day is of: its 24 hours, or the highest mean of 8 or of one."""

    def mean(last: int) -> Fraction | None:
        span = range(last - table.hours + 1, last + 1)
        there = [hours[hour] for hour in span if hour in hours]
        return sum(there, Fraction()) / len(there) if 4 * len(there) >= 3 * len(span) else None

    if table.hours == 24:
        return mean(24 * day + 23)
    found = map(mean, range(24 * day, 24 * day + 24))
    return max((one for one in found if one is not None), default=None)


def by_formula(table: Table, concentration: Fraction) -> int | None:
    step, ends = Fraction(table.step), list(map(Fraction, table.ends.split()))
    indexes = INDEX[INDEX.index(table.above) :]
    cut = concentration // step * step
    if table.above and cut <= ends[0]:
        return None
    band = next((n for n, end in enumerate(ends[1:]) if cut <= end), len(ends) - 2)
    is_lowest = band == 0 and not table.above
    low, first = (ends[band], 0) if is_lowest else (ends[band] + step, indexes[band] + 1)
    index = (indexes[band + 1] - first) / (ends[band + 1] - low) * (cut - low) + first
    return math.floor(index + Fraction(1, 2))


def by_aqi_hub(table: Table, concentration: Fraction) -> int | None:
    with warnings.catch_warnings(action="ignore"):  # that something is beyond the scale
        found: int | None = cal_iaqi_usa(float(concentration / table.per), table.item)
    return found


Formula = Callable[[Table, Fraction], int | None]


def from_the_file(
    data: Path, left_out: set[tuple[str, int]], formula: Formula
) -> dict[tuple[str, int], Day | None]:
    """By station and day."""
    hours: dict[tuple[str, str], Hours] = defaultdict(dict)
    for station, at, values in measurements(data):
        hour = (at - FIRST) // timedelta(hours=1)
        if (station, hour) not in left_out:
            for name, value in values.items():
                hours[station, name][hour] = value
    found = {}
    for station in {station for station, _ in hours}:
        for day in range(DAYS):
            indexes: dict[str, int] = {}
            for table in TABLES:
                mean = mean_of(table, hours[station, table.quantity], day)
                index = None if mean is None else formula(table, mean)
                if index is not None:
                    indexes[table.quantity] = max(index, indexes.get(table.quantity, index))
            found[station, day] = day_of(indexes)
    return found


# --- from the node ---


@pytest.fixture(scope="module")
def haze(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node in Beijing's time that was sent the whole file by one station after the other."""
    settings = {"time_zone": "Asia/Shanghai", "retention_days": 3650}
    node = NodeProcess(tmp_path_factory.mktemp("haze"), settings)
    try:
        places = (data / "readings/beijing/stations_coords.csv").read_text().splitlines()
        where = {row["station"]: row for row in csv.DictReader(places)}
        readings = [
            {
                "sensor_id": station,
                "location": {
                    "lat": float(where[station]["lat"]),
                    "lng": float(where[station]["lon"]),
                },
                "timestamp": at.isoformat(),
                "values": {name: float(value) for name, value in values.items()},
            }
            for station, at, values in measurements(data)
        ]
        answer = node.post(readings, node.token())
        assert answer.json()["accepted"] == len(readings)
        node.flush()
        yield node
    finally:
        node.stop()


def flagged(node: NodeProcess) -> set[tuple[str, int]]:
    """Which hours of which stations are not believed."""
    found = stored(node.data_dir, "sensor_id, epoch(timestamp)", "WHERE flags <> ''")
    return {(station, int(at_s - FIRST.timestamp()) // 3600) for station, at_s in found}


def from_the_node(node: NodeProcess, station: str) -> dict[int, Day | None]:
    """By day, the indexes that the node's averages and tables give."""
    span = {"from_": FIRST.isoformat(), "to": (FIRST + timedelta(days=DAYS)).isoformat()}
    shown = measured(node, station, **span, resolution="1h")
    hour = [datetime.fromisoformat(at.replace("Z", "+00:00")) - FIRST for at in shown["at"]]
    rows = [one // timedelta(hours=1) for one in hour]
    hourly = {}
    for name in COLUMNS:
        hourly[name] = np.full((24 * DAYS, 1), np.nan)
        hourly[name][rows, 0] = np.array(shown["series"][name]["avg"], float)
    found: dict[int, dict[str, int]] = {day: {} for day in range(DAYS)}
    for name, column in hourly.items():
        for scale in US_EPA_2024.scales[name]:
            for day, index in enumerate(scale.index(daily(scale, column)).tolist()):
                found[day][name] = max(index, found[day].get(name, index))
    return {day: day_of(indexes) for day, indexes in found.items()}


def daily(scale: Scale, hourly: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What a scale's index of each day is of."""
    if scale.period == "24h":
        return complete_mean(hourly.reshape(DAYS, 24).T)
    of_hours = running_mean(hourly, 8) if scale.period == "8h running" else hourly
    by_day = of_hours.reshape(DAYS, 24)
    there = ~np.isnan(by_day)
    highest = np.where(there, by_day, -np.inf).max(axis=1)
    return np.where(there.any(axis=1), highest, np.nan)


# --- both ---


def test_the_daily_index_and_its_pollutant_are_those_of_an_independent_computation(
    haze: NodeProcess, data: Path
) -> None:
    expected = from_the_file(data, flagged(haze), by_formula)
    stations = sorted({station for station, _ in expected})
    assert len(stations) == 12
    found = {
        (station, day): one
        for station in stations
        for day, one in from_the_node(haze, station).items()
    }
    assert found == expected
    days = [day for day in found.values() if day is not None]
    assert len(days) > 300
    assert max(day.overall for day in days) > 500


def test_the_daily_index_is_that_of_aqi_hub_or_one_more_up_to_500(
    haze: NodeProcess, data: Path
) -> None:
    """It cuts off what EPA rounds, so that of pollutants with one index another may come first."""
    theirs = from_the_file(data, flagged(haze), by_aqi_hub)
    for station in {station for station, _ in theirs}:
        for day, ours in from_the_node(haze, station).items():
            other = theirs[station, day]
            assert (ours is None) == (other is None)
            if ours is not None and other is not None:
                assert ours.by_pollutant.keys() == other.by_pollutant.keys()
                for name, index in ours.by_pollutant.items():
                    assert min(index, 500) - other.by_pollutant[name] in (0, 1), (station, day)
                assert other.by_pollutant[ours.dominant] == other.overall
