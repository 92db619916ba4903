"""US AQI: the published breakpoints and worked values."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from urbanos_edge.aqi import NO_INDEX, US_EPA_2024, grade

UNIT_STEPS = {"PM2.5": 0.1, "PM10": 1, "CO": 0.1, "SO2": 1, "NO2": 1, "O3": 0.001}
QUANTITY = {"PM2.5": "pm25", "PM10": "pm10", "CO": "co", "SO2": "so2", "NO2": "no2", "O3": "o3"}


def index_of(**concentrations: float) -> int:
    columns = {name: np.array([math.nan]) for name in US_EPA_2024.pollutants}
    columns |= {name: np.array([value]) for name, value in concentrations.items()}
    return int(grade(US_EPA_2024, columns).overall[0])


@pytest.mark.parametrize(
    ("pm25_ugm3", "index"),
    [(5.0, 28), (9.0, 50), (9.1, 51), (15.0, 62), (35.4, 100), (35.5, 101), (40.0, 112)]
    + [(55.4, 150), (55.5, 151), (80.0, 168), (125.4, 200), (0.0, 0), (-3.0, 0), (9.09, 50)],
)
def test_pm25_has_the_index_epa_publishes(pm25_ugm3: float, index: int) -> None:
    assert index_of(pm25=pm25_ugm3) == index


def test_no_concentration_has_no_index() -> None:
    assert index_of() == NO_INDEX
    assert index_of(pm25=math.nan) == NO_INDEX


def test_every_published_breakpoint_has_its_index(data: Path) -> None:
    table = data / "vectors/aqi/aqihub_breakpoints_us.csv"
    checked = 0
    with table.open(newline="") as stream:
        for row in csv.DictReader(stream):
            low, high = row["concentration_lower"], row["concentration_upper"]
            if not low or not high or (row["pollutant"], row["averaging_period"]) == ("O3", "1"):
                continue
            scale = 1000 if row["pollutant"] == "O3" else 1  # published in ppm, kept in ppb
            name = QUANTITY[row["pollutant"]]
            assert index_of(**{name: float(low) * scale}) == int(row["category_lower"])
            assert index_of(**{name: float(high) * scale}) == int(row["category_upper"])
            checked += 1
    assert checked == 30


def test_ozone_above_the_eight_hour_scale_is_graded_by_the_hour() -> None:
    assert index_of(o3=404) == 300
    assert index_of(o3=405) == 301


def test_the_highest_sub_index_is_the_overall_one_and_names_the_dominant() -> None:
    columns = {name: np.array([math.nan, math.nan]) for name in US_EPA_2024.pollutants}
    columns["pm25"] = np.array([9.0, math.nan])
    columns["no2"] = np.array([54.0, math.nan])
    grades = grade(US_EPA_2024, columns)
    assert grades.overall.tolist() == [51, NO_INDEX]
    assert US_EPA_2024.pollutants[grades.dominant[0]] == "no2"
    assert grades.dominant[1] == NO_INDEX
    assert grades.level.tolist() == [2, NO_INDEX]


def test_bands_meet_without_a_gap() -> None:
    bands = US_EPA_2024.bands
    for lower, upper in zip(bands, bands[1:], strict=False):
        assert lower.high is not None and lower.high + 1 == upper.low
        assert lower.level + 1 == upper.level
