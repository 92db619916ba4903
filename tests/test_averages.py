"""Averages that indexes are defined over: EPA's worked NowCast, and sums done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urbanos_edge.aqi import complete_mean, nowcast, running_mean

EPA_EXAMPLE = [13.0, 16, 10, 21, 74, 64, 53, 82, 90, 75, 80, 50]
"""Newest first; EPA's fact sheet on the NowCast."""
NAN = math.nan


def column(values: list[float]) -> np.ndarray:
    return np.array(values, float)[:, np.newaxis]


def cut(mean: float) -> float:
    """To the five decimals that are published."""
    return math.floor(mean * 1e5) / 1e5


def without(*hours: int) -> list[float]:
    return [NAN if hour in hours else value for hour, value in enumerate(EPA_EXAMPLE)]


def test_the_nowcast_of_epas_example_is_the_published_one() -> None:
    assert cut(nowcast(column(EPA_EXAMPLE))[0]) == 17.41391


def test_a_missing_hour_is_left_out_of_the_nowcast_with_its_weight() -> None:
    assert cut(nowcast(column(without(2)))[0]) == 18.47334


@pytest.mark.parametrize(
    ("missing", "is_known"),
    [((0,), True), ((1,), True), ((0, 1), False), ((1, 2), False), (range(3, 12), True)]
    + [(range(12), False)],
)
def test_two_of_the_newest_three_hours_make_a_nowcast(
    missing: tuple[int, ...], is_known: bool
) -> None:
    assert math.isnan(nowcast(column(without(*missing)))[0]) is not is_known


def test_a_steady_series_weighs_all_hours_alike() -> None:
    values = [10.0, 8.0] * 6  # 8/10 is more than a half: the weight of an hour ago is 0.8
    weights = [0.8**hour for hour in range(12)]
    mean = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
    assert nowcast(column(values))[0] == pytest.approx(mean)
    assert nowcast(column([7.0] * 12))[0] == pytest.approx(7.0)


def test_clean_air_and_drift_below_zero_have_a_nowcast_of_zero() -> None:
    assert nowcast(np.array([[0.0, -1.5]] * 12)).tolist() == [0.0, 0.0]


@given(
    st.lists(
        st.lists(st.floats(0, 1000) | st.just(NAN), min_size=12, max_size=12),
        min_size=1,
        max_size=5,
    )
)
def test_many_series_at_once_have_the_nowcast_of_each(series: list[list[float]]) -> None:
    together = nowcast(np.array(series).T)
    for values, found in zip(series, together.tolist(), strict=True):
        assert found == pytest.approx(one_nowcast(values), nan_ok=True)


def one_nowcast(values: list[float]) -> float:
    """The published steps, one hour after the other."""
    hours = [(ago, value) for ago, value in enumerate(values) if not math.isnan(value)]
    if sum(ago < 3 for ago, _ in hours) < 2:
        return NAN
    low, high = min(value for _, value in hours), max(value for _, value in hours)
    weight = max(low / high if high else 1.0, 0.5)
    return sum(weight**ago * value for ago, value in hours) / sum(weight**ago for ago, _ in hours)


@pytest.mark.parametrize(("there", "mean"), [(24, 11.5), (18, 8.5), (17, NAN), (0, NAN)])
def test_a_day_has_a_mean_when_three_quarters_of_it_are_there(there: int, mean: float) -> None:
    hours = [float(hour) if hour < there else NAN for hour in range(24)]
    assert complete_mean(column(hours))[0] == pytest.approx(mean, nan_ok=True)


def test_a_running_mean_ends_with_each_hour() -> None:
    hours = column([float(hour) for hour in range(10)])
    found = running_mean(hours, 8)[:, 0].tolist()
    assert found == pytest.approx([NAN] * 5 + [2.5, 3.0, 3.5, 4.5, 5.5], nan_ok=True)


def test_six_of_eight_hours_make_a_running_mean_and_five_do_not() -> None:
    hours = column([NAN, 1, 2, 3, 4, 5, NAN, 6, 7, NAN, NAN])
    found = running_mean(hours, 8)[:, 0].tolist()
    # 1 to 6, 1 to 7, 2 to 7, and then 3 to 7, which are five.
    expected = [NAN] * 7 + [21 / 6, 28 / 7, 27 / 6, NAN]
    assert found == pytest.approx(expected, nan_ok=True)


def test_fewer_hours_than_a_running_mean_needs_have_none() -> None:
    assert np.isnan(running_mean(column([1.0, 2.0]), 8)).tolist() == [[True], [True]]
