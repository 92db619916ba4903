"""Whether something grows: the slope of a series, and how sure that is.

What is measured each minute depends on the minute before, so the plain least-squares interval is
too narrow. The line is laid through the means of eight blocks instead: what passes within a block's
length is gone from them, and what stays in them counts as six degrees of freedom, no more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

WARM_UP: Final = 0.2
"""The share at the beginning that is not looked at: caches fill, pools reach their size."""
CONFIDENCE: Final = 0.95
BLOCKS: Final = 8
LEAST: Final = 4
"""Fewer values tell nothing of a slope and its spread."""


@dataclass(frozen=True, slots=True)
class Slope:
    """Units of the values for each unit of time, with the ends of the 95 % confidence interval."""

    value: float
    low: float
    high: float

    @property
    def is_upward(self) -> bool:
        """Whether it is distinguishable from zero, upward."""
        return self.low > 0

    def told(self, name: str) -> dict[str, float]:
        """The three numbers as figures of a run."""
        shown = {name: self.value, f"{name} from": self.low, f"{name} to": self.high}
        return {what: round(number, 3) for what, number in shown.items()}


def settled(at: Sequence[float], values: Sequence[float]) -> Slope:
    """The slope after the first fifth of the time."""
    begin = at[0] + (at[-1] - at[0]) * WARM_UP
    kept = [(moment, value) for moment, value in zip(at, values, strict=True) if moment >= begin]
    return slope([moment for moment, _ in kept], [value for _, value in kept])


def slope(at: Sequence[float], values: Sequence[float]) -> Slope:
    """The least-squares slope of `values` over the ascending moments `at`.

    Raises:
        ValueError: there are fewer than four values, or as many moments as values there are not.
    """
    if len(at) != len(values) or len(values) < LEAST:
        raise ValueError(f"{len(at)} moments and {len(values)} values give no slope")
    x, y = _block_means(at), _block_means(values)
    x, y = x - x.mean(), y - y.mean()
    value = float(x @ y / (x @ x))
    residuals = y - value * x
    degrees = len(x) - 2
    half = _t_quantile(degrees) * math.sqrt(residuals @ residuals / degrees / (x @ x))
    return Slope(value, value - half, value + half)


def _block_means(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Of neighbours, about as many in each block."""
    blocks = np.array_split(np.asarray(values, np.float64), min(BLOCKS, len(values)))
    return np.array([block.mean() for block in blocks])


def _t_quantile(degrees: int) -> float:
    """Student's t that 97.5 % stay below (Abramowitz and Stegun 26.7.5; at 2 degrees 0.03 off)."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return float(z + sum(term / degrees**power for power, term in enumerate(terms, 1)))
