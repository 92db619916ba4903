"""Three published indexes: their breakpoints, worked values, and what holds for all of them."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from aqi_hub.aqi_usa.aqi import cal_iaqi_usa
from hypothesis import given
from hypothesis import strategies as st

from urbanos_edge.aqi import (
    EU_EEA_2024,
    NO_INDEX,
    STANDARDS,
    UK_DEFRA_2013,
    US_EPA_2024,
    BandStart,
    Standard,
    band_starts,
    decimal_index,
    grade,
    index_starts,
)

QUANTITY = {"PM2.5": "pm25", "PM10": "pm10", "CO": "co", "SO2": "so2", "NO2": "no2", "O3": "o3"}
UGM3_PER_PPB = {"o3": 48.00 / 24.04, "no2": 46.01 / 24.04, "so2": 64.07 / 24.04}
"""At 20 °C and 1013 hPa; particles are in µg/m³ anyway."""
ALL = pytest.mark.parametrize("standard", STANDARDS.values(), ids=STANDARDS)


def index_of(standard: Standard = US_EPA_2024, **concentrations: float) -> int:
    columns = {name: np.array([math.nan]) for name in standard.pollutants}
    columns |= {name: np.array([value]) for name, value in concentrations.items()}
    return int(grade(standard, columns).overall[0])


def rows(data: Path, country: str, variant: str = "") -> Iterator[dict[str, str]]:
    """Breakpoints as OpenAQ's AQI Hub publishes them."""
    table = data / f"vectors/aqi/aqihub_breakpoints_{country}.csv"
    with table.open(newline="") as stream:
        yield from (row for row in csv.DictReader(stream) if row["variant"] == variant)


# --- US ---


@pytest.mark.parametrize(
    ("pm25_ugm3", "index"),
    [(5.0, 28), (9.0, 50), (9.1, 51), (15.0, 62), (35.4, 100), (35.5, 101), (40.0, 112)]
    + [(55.4, 150), (55.5, 151), (80.0, 168), (125.4, 200), (0.0, 0), (-3.0, 0), (9.09, 50)],
)
def test_pm25_has_the_index_epa_publishes(pm25_ugm3: float, index: int) -> None:
    assert index_of(pm25=pm25_ugm3) == index


def test_every_published_us_breakpoint_has_its_index(data: Path) -> None:
    checked = 0
    for row in rows(data, "us"):
        low, high = row["concentration_lower"], row["concentration_upper"]
        if not low or not high or (row["pollutant"], row["averaging_period"]) == ("O3", "1"):
            continue
        scale = 1000 if row["pollutant"] == "O3" else 1  # published in ppm, kept in ppb
        name = QUANTITY[row["pollutant"]]
        assert index_of(US_EPA_2024, **{name: float(low) * scale}) == int(row["category_lower"])
        assert index_of(US_EPA_2024, **{name: float(high) * scale}) == int(row["category_upper"])
        checked += 1
    assert checked == 30


def test_ozone_above_the_eight_hour_scale_is_graded_by_the_hour() -> None:
    assert index_of(o3=404) == 300
    assert index_of(o3=405) == 301


def test_sulphur_dioxide_above_the_one_hour_scale_is_graded_by_the_day() -> None:
    assert US_EPA_2024.periods("so2") == ("1h", "24h")
    assert index_of(so2=304) == 200
    assert index_of(so2=305) == 201


@pytest.mark.parametrize(
    ("concentration", "index"),
    [  # 40 CFR 58, appendix G, equation 1 on the table's last line: 199 points over its width
        ({"pm25": 325.4}, 500),
        ({"pm25": 425.4}, round(199 / 99.9 * (425.4 - 225.5) + 301)),
        ({"pm10": 999}, round(199 / 179 * (999 - 425) + 301)),
        ({"co": 100.0}, round(199 / 19.9 * (100.0 - 30.5) + 301)),
        ({"no2": 3000}, round(199 / 799 * (3000 - 1250) + 301)),
        ({"so2": 2000}, round(199 / 399 * (2000 - 605) + 301)),
        ({"o3": 1000}, round(199 / 199 * (1000 - 405) + 301)),
    ],
)
def test_beyond_the_us_scale_its_last_line_goes_on(
    concentration: dict[str, float], index: int
) -> None:
    assert index_of(US_EPA_2024, **concentration) == index


@pytest.mark.parametrize(
    ("name", "item", "step", "printed", "top"),
    [
        ("pm25", "PM25_24H", 0.1, 1, 3254),
        ("pm10", "PM10_24H", 1, 1, 604),
        ("no2", "NO2_1H", 1, 1, 1249),
        ("so2", "SO2_1H", 1, 1, 304),
        ("co", "CO_8H", 0.1, 1, 504),
        ("o3", "O3_8H", 1, 1000, 54),
    ],
)
def test_the_us_index_is_that_of_aqi_hub_but_rounded(
    name: str, item: str, step: float, printed: int, top: int
) -> None:
    """`aqi-hub` cuts the index off where EPA rounds it.

    Its ozone row from 55 ppb begins a step early, and its NO2 ends at 1249 ppb.
    """
    chance = np.random.default_rng(7)
    concentrations = (chance.integers(0, top, 2000) + chance.uniform(0.1, 0.9, 2000)) * step
    columns = {one: np.full(2000, math.nan) for one in US_EPA_2024.pollutants}
    indexes = grade(US_EPA_2024, columns | {name: concentrations}).by_pollutant[name]
    for concentration, index in zip(concentrations.tolist(), indexes.tolist(), strict=True):
        theirs = cal_iaqi_usa(concentration / printed, item)
        assert index in (theirs, theirs + 1), concentration


# --- EU ---


def test_every_sub_index_that_the_eea_published_is_reproduced(data: Path) -> None:
    pairs = json.loads((data / "vectors/aqi/eaqi_pairs.json").read_text())
    assert len(pairs) == 308
    for pair in pairs:
        name = QUANTITY[pair["pollutant"]]
        value = np.array([pair["value_ugm3"] / UGM3_PER_PPB.get(name, 1)])
        assert decimal_index(name, value)[0] == pytest.approx(pair["sub_index"], abs=1e-9)
        assert index_of(EU_EEA_2024, **{name: float(value[0])}) == math.floor(pair["sub_index"])


@pytest.mark.parametrize(
    ("pm25_ugm3", "decimal"),
    [(0.0, 1.0), (-2.0, 1.0), (5.49, 1.99), (5.5, 2.0), (16, 3.0), (50, 3.99), (140.5, 6.0)]
    + [(33, 3 + (33 - 16) / (50 - 16)), (900.0, 6.0)],
)
def test_the_decimal_index_tells_how_far_into_its_band_a_concentration_lies(
    pm25_ugm3: float, decimal: float
) -> None:
    value = np.array([pm25_ugm3])
    assert decimal_index("pm25", value)[0] == pytest.approx(decimal)
    assert index_of(EU_EEA_2024, pm25=pm25_ugm3) == math.floor(decimal)
    assert np.isnan(decimal_index("pm25", np.array([math.nan]))[0])


@pytest.mark.parametrize(
    ("standard", "country", "variant", "number"),
    [(EU_EEA_2024, "eu", "new", 25), (UK_DEFRA_2013, "gb", "", 45)],
)
def test_every_published_european_breakpoint_ends_its_band(
    data: Path, standard: Standard, country: str, variant: str, number: int
) -> None:
    file = {"gb": "uk"}.get(country, country)
    upper = [row for row in rows(data, file, variant) if row["concentration_upper"]]
    assert len(upper) == number
    for row in upper:
        name, index = QUANTITY[row["pollutant"]], int(row["category_lower"])
        end = int(row["concentration_upper"])
        for ugm3, expected in [(end, index), (end + 0.49, index), (end + 0.51, index + 1)]:
            assert index_of(standard, **{name: ugm3 / UGM3_PER_PPB.get(name, 1)}) == expected


def test_the_published_colours_are_used(data: Path) -> None:
    published = {int(row["category_lower"]): row["hex"] for row in rows(data, "eu", "new")}
    assert {band.low: band.color for band in EU_EEA_2024.bands} == published


# --- all ---


@ALL
def test_no_concentration_has_no_index(standard: Standard) -> None:
    assert index_of(standard) == NO_INDEX
    assert index_of(standard, pm25=math.nan) == NO_INDEX


@ALL
def test_nothing_and_less_has_the_lowest_index(standard: Standard) -> None:
    lowest = standard.bands[0].low
    for pollutant in standard.pollutants:
        graded = [index_of(standard, **{pollutant: value}) for value in (0.0, -0.1, -1e9)]
        assert graded == [lowest] * 3


@ALL
def test_a_number_beyond_all_is_graded_as_any_that_is_too_high(standard: Standard) -> None:
    for pollutant in standard.pollutants:
        most = [index_of(standard, **{pollutant: value}) for value in (1e12, 1.7e308, math.inf)]
        assert most[0] == most[1] == most[2] > 0, pollutant


def test_carbon_monoxide_has_an_index_in_the_us_alone() -> None:
    assert "co" in US_EPA_2024.pollutants
    for standard in (EU_EEA_2024, UK_DEFRA_2013):
        assert index_of(standard, co=50.0) == NO_INDEX
        assert standard.periods("co") == ()


@ALL
@given(low=st.floats(-100, 1e5), more=st.floats(0, 1e5))
def test_more_of_a_pollutant_never_has_a_lower_index(
    standard: Standard, low: float, more: float
) -> None:
    for name in standard.pollutants:
        assert index_of(standard, **{name: low}) <= index_of(standard, **{name: low + more})


@ALL
@given(values=st.lists(st.floats(-10, 3000) | st.just(math.nan), min_size=6, max_size=6))
def test_the_level_is_that_of_the_band_the_highest_index_lies_in(
    standard: Standard, values: list[float]
) -> None:
    concentrations = dict(zip(standard.pollutants, values, strict=False))
    columns = {name: np.array([value]) for name, value in concentrations.items()}
    grades = grade(standard, columns)
    single = [index_of(standard, **{name: value}) for name, value in concentrations.items()]
    assert grades.overall[0] == max(single)
    if max(single) == NO_INDEX:
        assert grades.level[0] == grades.dominant[0] == NO_INDEX
        return
    assert grades.dominant[0] == single.index(max(single))
    [band] = [one for one in standard.bands if one.level == grades.level[0]]
    assert band.low <= grades.overall[0] <= (math.inf if band.high is None else band.high)


def test_the_highest_sub_index_is_the_overall_one_and_names_the_dominant() -> None:
    columns = {name: np.array([math.nan, math.nan]) for name in US_EPA_2024.pollutants}
    columns["pm25"] = np.array([9.0, math.nan])
    columns["no2"] = np.array([54.0, math.nan])
    grades = grade(US_EPA_2024, columns)
    assert grades.overall.tolist() == [51, NO_INDEX]
    assert US_EPA_2024.pollutants[grades.dominant[0]] == "no2"
    assert grades.dominant[1] == NO_INDEX
    assert grades.level.tolist() == [2, NO_INDEX]


@ALL
def test_bands_meet_without_a_gap(standard: Standard) -> None:
    for lower, upper in zip(standard.bands, standard.bands[1:], strict=False):
        assert lower.high is not None and lower.high + 1 == upper.low
        assert lower.level + 1 == upper.level


@ALL
def test_a_band_begins_where_the_index_reaches_it(standard: Standard) -> None:
    """Also in a gas's own ppb, and where half a step is rounded up."""
    for name, scales in standard.scales.items():
        for scale in scales:
            starts = band_starts(standard, scale)
            lows = {band.level: band.low for band in standard.bands}
            for start in starts:
                at = np.array([start.low, start.low - 0.001])
                reached, missed = scale.index(at).tolist()
                assert reached == lows[start.level], (name, scale.period)
                assert start.low == 0 or missed < reached
            assert [start.low for start in starts] == sorted(start.low for start in starts)


def test_bands_begin_at_the_concentrations_that_are_published() -> None:
    """40 CFR 58, appendix G, table 2; and 5.5 µg/m³ is the least that is rounded to 6."""
    [pm25] = US_EPA_2024.scales["pm25"]
    assert [start.low for start in band_starts(US_EPA_2024, pm25)] == [
        *(0.0, 9.1, 35.5, 55.5, 125.5, 225.5)
    ]
    hourly_ozone = US_EPA_2024.scales["o3"][1]
    assert band_starts(US_EPA_2024, hourly_ozone)[0] == BandStart(3, 125.0)
    [pm25] = EU_EEA_2024.scales["pm25"]
    assert [start.low for start in band_starts(EU_EEA_2024, pm25)] == [
        *(0.0, 5.5, 15.5, 50.5, 90.5, 140.5)
    ]
    [no2] = EU_EEA_2024.scales["no2"]
    assert band_starts(EU_EEA_2024, no2)[1].low == pytest.approx(10.5 / UGM3_PER_PPB["no2"])


@ALL
def test_every_index_has_the_colour_and_the_level_of_its_band(standard: Standard) -> None:
    for band in standard.bands:
        for index in (band.low, band.low if band.high is None else band.high):
            assert standard.colors[min(index, len(standard.colors) - 1)] == band.color
            assert standard.levels[min(index, len(standard.levels) - 2)] == band.level


@ALL
def test_the_palette_for_the_colour_blind_darkens_with_every_band(standard: Standard) -> None:
    luminances = [luminance(band.assist_color) for band in standard.bands]
    assert luminances == sorted(luminances, reverse=True)
    assert len(set(luminances)) == len(luminances)


def luminance(color: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(
    ("standard", "quantity", "periods", "current"),
    [
        (US_EPA_2024, "pm25", ("24h",), ("NowCast",)),
        (US_EPA_2024, "o3", ("8h running", "1h"), ("8h running", "1h")),
        (EU_EEA_2024, "pm10", ("1h",), ("1h",)),
        (UK_DEFRA_2013, "pm25", ("24h",), ("24h running",)),
        (UK_DEFRA_2013, "so2", ("15min",), ("15min",)),
        (UK_DEFRA_2013, "o3", ("8h running",), ("8h running",)),
    ],
)
def test_a_standard_says_over_what_its_index_is_defined(
    standard: Standard, quantity: str, periods: tuple[str, ...], current: tuple[str, ...]
) -> None:
    assert standard.periods(quantity) == periods
    assert standard.current_periods(quantity) == current


@ALL
def test_how_many_starts_of_indexes_a_concentration_reaches_is_its_index(
    standard: Standard,
) -> None:
    for pollutant in standard.pollutants:
        starts = index_starts(standard, pollutant, 400.0)
        for value in np.linspace(0, 400, 1601).tolist():
            reached = sum(start <= value for start in starts)
            assert reached - 1 == index_of(standard, **{pollutant: value}), (pollutant, value)
