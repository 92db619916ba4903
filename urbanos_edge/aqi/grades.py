"""From concentration to index, whole columns at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
