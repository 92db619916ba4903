"""From concentration to index, whole columns at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge.aqi.standard import NO_INDEX, Index, Scale, Standard


@dataclass(slots=True)
class Grades:
    """Indexes of `n` readings: per pollutant, overall, the dominant one, and the level.

    `dominant` indexes the standard's `pollutants`; `level` starts at 1. All are `NO_INDEX` where
    nothing could be graded.
    """

    by_pollutant: dict[str, Index]
    overall: Index
    dominant: Index
    level: Index


class BandStart(msgspec.Struct, frozen=True):
    """From which concentration on, in the quantity's own unit, a scale gives a level."""

    level: int
    low: float


def grade(standard: Standard, columns: Mapping[str, npt.NDArray[Any]]) -> Grades:
    """Grade concentrations, one column of shape (n,) per pollutant, NaN where absent.

    The overall index is the highest sub-index, its pollutant the dominant one; of several as high
    the first of the standard's order.
    """
    by_pollutant = {
        pollutant: sub_index(scales, columns[pollutant])
        for pollutant, scales in standard.scales.items()
    }
    overall: Index = np.maximum.reduce(list(by_pollutant.values()))
    dominant: Index = np.full(len(overall), NO_INDEX, np.int16)
    for number, index in reversed(list(enumerate(by_pollutant.values()))):
        dominant[(index == overall) & (index != NO_INDEX)] = number
    return Grades(by_pollutant, overall, dominant, level_of(standard, overall))


def sub_index(scales: tuple[Scale, ...], concentration: npt.NDArray[Any]) -> Index:
    """The highest index that any of these scales gives, per concentration."""
    graded: Index = np.full(len(concentration), NO_INDEX, dtype=np.int16)
    present = np.flatnonzero(~np.isnan(concentration))
    if present.size:
        values = concentration[present]
        graded[present] = np.maximum.reduce([scale.index(values) for scale in scales])
    return graded


def level_of(standard: Standard, index: npt.NDArray[Any]) -> Index:
    """The level (1 = best) of each index; `NO_INDEX` stays."""
    levels = standard.levels
    found: Index = levels[np.minimum(index, len(levels) - 2)]
    return found


def band_starts(standard: Standard, scale: Scale) -> list[BandStart]:
    """Where the bands of a scale begin, rising; those that it has no index of are not among them.

    A band goes on to the next one, the last without end.
    """
    levels = level_of(standard, np.array([first for _, _, first, _ in scale.bounds]))
    starts: dict[int, float] = {}
    for level, (low, *_) in zip(levels.tolist(), scale.bounds, strict=True):
        starts.setdefault(level, scale.least(low))
    return [BandStart(level, low) for level, low in starts.items()]


def index_starts(standard: Standard, pollutant: str, highest: float) -> list[float]:
    """The lowest concentration of each index from 0 on, as far as `highest` gets, rising.

    In the quantity's own unit. How many of them a concentration reaches, less one, is its index:
    so a database grades that knows no standard.
    """
    starts = [_starts(scale, highest) for scale in standard.scales[pollutant]]
    longest = max(map(len, starts))
    padded = [np.pad(one, (0, longest - len(one)), constant_values=np.inf) for one in starts]
    found: list[float] = np.minimum.reduce(padded).tolist()
    return found


def _starts(scale: Scale, highest: float) -> npt.NDArray[np.float64]:
    last = int(scale.steps(np.array([highest]))[0])
    least = np.array([scale.least(step * scale.step) for step in range(last + 1)])
    index = scale.index(least)
    return least[np.searchsorted(index, np.arange(index[-1] + 1))]
