"""From concentration to index: sourced tables, applied to whole columns at once.

An index is an integer ≥ 0; `NO_INDEX` stands for 'cannot be computed'. What is graded here is the
concentration as given: an index of one reading is not a NowCast, and a caller says which it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

NO_INDEX: Final = -1

Index = npt.NDArray[np.int16]


class Band(msgspec.Struct, frozen=True):
    """One category: indexes from `low` to `high` inclusive (none: open) have this word, colour."""

    level: int
    word: str
    low: int
    high: int | None
    color: str


class Scale(msgspec.Struct, frozen=True):
    """Breakpoints of one pollutant and averaging period.

    `bounds` are (concentration low, high, index low, high), rising, in `step`s of the unit the
    table is printed in; a concentration is truncated to `step` before it is looked up. Above the
    last row the same line goes on, unless `ends` says that the scale defines nothing there.
    """

    step: float
    bounds: tuple[tuple[float, float, int, int], ...]
    ends: bool = False


@dataclass(frozen=True)
class Standard:
    """A published air quality index: its tables, words and colours, and where they stand."""

    id: str
    name: str
    publisher: str
    document: str
    version: str
    bands: tuple[Band, ...]
    scales: Mapping[str, tuple[Scale, ...]]

    @property
    def grading(self) -> str:
        """What a stored reading names as its grader."""
        return f"{self.id}/{self.version}"

    @cached_property
    def colors(self) -> list[str]:
        """The colour of each index from 0 on; the last one is that of all above, too."""
        return [
            band.color for band in self.bands for _ in range(band.low, (band.high or band.low) + 1)
        ]

    @property
    def pollutants(self) -> tuple[str, ...]:
        """The quantities that count towards the index, in the order that settles a tie."""
        return tuple(self.scales)


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

    The overall index is the highest sub-index, its pollutant the dominant one.
    """
    by_pollutant = {
        pollutant: sub_index(scales, columns[pollutant])
        for pollutant, scales in standard.scales.items()
    }
    stacked = np.stack(list(by_pollutant.values()))
    overall = stacked.max(axis=0)
    dominant = np.where(overall == NO_INDEX, NO_INDEX, stacked.argmax(axis=0)).astype(np.int16)
    return Grades(by_pollutant, overall, dominant, level_of(standard, overall))


def sub_index(scales: tuple[Scale, ...], concentration: npt.NDArray[Any]) -> Index:
    """The highest index that any of these scales gives, per concentration."""
    graded: Index = np.full(len(concentration), NO_INDEX, dtype=np.int16)
    present = np.flatnonzero(~np.isnan(concentration))
    if present.size:
        values = concentration[present]
        graded[present] = np.maximum.reduce([_on_scale(scale, values) for scale in scales])
    return graded


def level_of(standard: Standard, index: npt.NDArray[Any]) -> Index:
    """The level (1 = best) of each index; `NO_INDEX` stays."""
    lows = np.array([band.low for band in standard.bands])
    level = np.searchsorted(lows, index, side="right")
    return np.where(index == NO_INDEX, NO_INDEX, level).astype(np.int16)


def _on_scale(scale: Scale, concentration: npt.NDArray[Any]) -> Index:
    low, high, index_low, index_high = np.array(scale.bounds, dtype=float).T
    truncated = np.floor(concentration / scale.step + 1e-6) * scale.step
    clipped = np.maximum(truncated, 0)
    row = np.searchsorted(low, clipped + scale.step * 1e-3, side="right") - 1
    below = row < 0
    row = np.maximum(row, 0)
    slope = (index_high[row] - index_low[row]) / (high[row] - low[row])
    index = np.floor(slope * (clipped - low[row]) + index_low[row] + 0.5)
    if scale.ends:
        index = np.minimum(index, index_high[-1])
    return np.where(below, NO_INDEX, np.minimum(index, np.iinfo(np.int16).max)).astype(np.int16)


US_EPA_2024: Final = Standard(
    id="us-epa-2024",
    name="US AQI",
    publisher="US Environmental Protection Agency",
    document="Technical Assistance Document for the Reporting of Daily Air Quality, "
    "EPA-454/B-24-002, May 2024",
    version="1",
    bands=(
        Band(1, "Good", 0, 50, "#00e400"),
        Band(2, "Moderate", 51, 100, "#ffff00"),
        Band(3, "Unhealthy for Sensitive Groups", 101, 150, "#ff7e00"),
        Band(4, "Unhealthy", 151, 200, "#ff0000"),
        Band(5, "Very Unhealthy", 201, 300, "#8f3f97"),
        Band(6, "Hazardous", 301, None, "#7e0023"),
    ),
    scales={
        "pm25": (
            Scale(
                0.1,
                (
                    (0.0, 9.0, 0, 50),
                    (9.1, 35.4, 51, 100),
                    (35.5, 55.4, 101, 150),
                    (55.5, 125.4, 151, 200),
                    (125.5, 225.4, 201, 300),
                    (225.5, 325.4, 301, 500),
                ),
            ),
        ),
        "pm10": (
            Scale(
                1,
                (
                    (0, 54, 0, 50),
                    (55, 154, 51, 100),
                    (155, 254, 101, 150),
                    (255, 354, 151, 200),
                    (355, 424, 201, 300),
                    (425, 604, 301, 500),
                ),
            ),
        ),
        "o3": (  # in ppb; the 8-hour table ends at 0.200 ppm, the 1-hour one starts at 0.125 ppm
            Scale(
                1,
                (
                    (0, 54, 0, 50),
                    (55, 70, 51, 100),
                    (71, 85, 101, 150),
                    (86, 105, 151, 200),
                    (106, 200, 201, 300),
                ),
                ends=True,
            ),
            Scale(
                1,
                (
                    (125, 164, 101, 150),
                    (165, 204, 151, 200),
                    (205, 404, 201, 300),
                    (405, 604, 301, 500),
                ),
            ),
        ),
        "no2": (
            Scale(
                1,
                (
                    (0, 53, 0, 50),
                    (54, 100, 51, 100),
                    (101, 360, 101, 150),
                    (361, 649, 151, 200),
                    (650, 1249, 201, 300),
                    (1250, 2049, 301, 500),
                ),
            ),
        ),
        "so2": (
            Scale(
                1,
                (
                    (0, 35, 0, 50),
                    (36, 75, 51, 100),
                    (76, 185, 101, 150),
                    (186, 304, 151, 200),
                    (305, 604, 201, 300),
                    (605, 1004, 301, 500),
                ),
            ),
        ),
        "co": (
            Scale(
                0.1,
                (
                    (0.0, 4.4, 0, 50),
                    (4.5, 9.4, 51, 100),
                    (9.5, 12.4, 101, 150),
                    (12.5, 15.4, 151, 200),
                    (15.5, 30.4, 201, 300),
                    (30.5, 50.4, 301, 500),
                ),
            ),
        ),
    },
)

STANDARDS: Final = {standard.id: standard for standard in (US_EPA_2024,)}
