"""A slope is told from none as often as its interval says, and no more often."""

from __future__ import annotations

import numpy as np
import pytest

from tests.faults.growth import settled, slope

MINUTES = range(80)


def wandering(rng: np.random.Generator, correlation: float) -> list[float]:
    """Values each of which keeps that share of the one before."""
    values = [float(rng.normal())]
    for _ in MINUTES[1:]:
        values.append(correlation * values[-1] + float(rng.normal()))
    return values


def test_the_slope_and_its_interval_are_those_of_a_textbook() -> None:
    """Residuals of 1 that no line explains: 8 squares, 6 degrees, of which Student's t is 2.447."""
    residuals = [1, -1, -1, 1, 1, -1, -1, 1]
    found = slope(range(8), [2.0 * moment + residuals[moment] for moment in range(8)])
    assert found.value == pytest.approx(2)
    assert found.high - found.value == pytest.approx(2.447 * (8 / 6 / 42) ** 0.5, abs=0.001)
    assert found.is_upward


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_what_only_wanders_is_seldom_called_growing(correlation: float) -> None:
    rng = np.random.default_rng(6)
    found = [slope(MINUTES, wandering(rng, correlation)).is_upward for _ in range(1000)]
    assert sum(found) / len(found) < 0.05  # 0.025 at its own level


def test_a_leak_is_found_beneath_what_wanders_even_one_that_speeds_up() -> None:
    rng = np.random.default_rng(6)
    leaking = np.array(wandering(rng, 0.5)) + 0.1 * np.array(MINUTES)
    assert slope(MINUTES, leaking.tolist()).is_upward
    assert slope(MINUTES, [float(minute) ** 2 for minute in MINUTES]).is_upward


def test_what_fills_in_the_first_fifth_is_no_growth() -> None:
    filling = [min(minute, 15.0) for minute in MINUTES]
    assert slope(MINUTES, filling).value > 0.05
    assert settled(MINUTES, filling).value == 0


def test_three_values_are_no_series() -> None:
    with pytest.raises(ValueError, match="3 moments"):
        slope([1, 2, 3], [1.0, 2.0, 3.0])
