"""What a published index is made of: bands with words and colours, and breakpoints.

An index is an integer ≥ 0; `NO_INDEX` stands for 'cannot be computed'. The tables of a scale and of
a standard end in `NO_INDEX`, so that looking it up (or -1, for no concentration) gives it back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge.units import MOLAR_MASS, ugm3_per_ppb

NO_INDEX: Final = -1
_HIGHEST: Final = int(np.iinfo(np.int16).max)
_EUROPEAN_CELSIUS: Final = 20
"""Of gases by mass: Directive 2008/50/EC, annex VI."""
_HAIR: Final = 1e-6
"""Of a step: what binary fractions may lack of a breakpoint."""
_DIGITS: Final = 9
"""Of a converted breakpoint: what they leave out is less than the hair."""

Index = npt.NDArray[np.int16]
Period = Literal["15min", "1h", "8h running", "24h", "24h running", "NowCast"]
"""What a concentration is the mean of; NowCast is the weighted one of `averages.nowcast`."""


class Band(msgspec.Struct, frozen=True):
    """One category: indexes from `low` to `high` inclusive (none: open) have this word, colour.

    `assist_color` is of the palette for people who do not tell red from green.
    """

    level: int
    word: str
    low: int
    high: int | None
    color: str
    assist_color: str


class Scale(msgspec.Struct, frozen=True):
    """Breakpoints of one pollutant and averaging period.

    `bounds` are (concentration low, high, index low, high), rising, in `step`s of `unit`, which is
    that of the printed table; one of the quantity's own unit is `per_unit` of them, for a gas by
    mass at `celsius`. A concentration is brought to `step` by `rounding` before it is looked up.
    Above the last row the same line goes on, unless `ends` says that the scale defines nothing
    higher. `current` is what stands for `period` before that is over; none: it needs no stand-in.
    """

    period: Period
    unit: str
    step: float
    bounds: tuple[tuple[float, float, int, int], ...]
    ends: bool = False
    rounding: Literal["down", "half up"] = "down"
    current: Period | None = None
    per_unit: float = 1.0
    celsius: int | None = None

    @property
    def highest(self) -> int:
        """The highest index there is: of an open line, what a stored index has room for."""
        *_, first, last = self.bounds[-1]
        return last if self.ends or first == last else _HIGHEST

    def steps(self, concentration: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Concentrations, in the quantity's own unit, as whole steps ≥ 0; NaN stays."""
        half = 0.5 if self.rounding == "half up" else 0.0
        with np.errstate(over="ignore"):  # what is beyond a float is beyond the table, too
            steps = concentration * (self.per_unit / self.step)
        steps += half + _HAIR
        np.floor(steps, out=steps)
        return np.maximum(steps, 0, out=steps)

    def least(self, bound: float) -> float:
        """The lowest concentration, in the quantity's own unit, that is rounded to `bound`."""
        slack = self.step / 2 if self.rounding == "half up" else 0.0
        return round(max(bound - slack, 0.0) / self.per_unit, _DIGITS)

    def index(self, concentration: npt.NDArray[Any]) -> Index:
        """The index of each concentration; `NO_INDEX` where there is none, or none is defined."""
        table = _table(self)
        steps = np.minimum(self.steps(concentration), len(table) - 2)
        steps[np.isnan(steps)] = NO_INDEX
        found: Index = table[steps.astype(np.int32)]
        return found


def in_whole_ugm3(
    pollutant: str, period: Period, upper: tuple[int, ...], current: Period | None = None
) -> Scale:
    """The points 1, 2, … of an index that ascends by the step, as the European ones do.

    `upper` are the last whole µg/m³, gases at 20 °C, of all points but the open last one.
    """
    is_gas = pollutant in MOLAR_MASS
    lower = (0, *(bound + 1 for bound in upper))
    points = range(1, len(lower) + 1)
    return Scale(
        period,
        "µg/m³",
        1,
        tuple(zip(lower, (*upper, math.inf), points, points, strict=True)),
        rounding="half up",
        current=current,
        per_unit=ugm3_per_ppb(pollutant, _EUROPEAN_CELSIUS) if is_gas else 1.0,
        celsius=_EUROPEAN_CELSIUS if is_gas else None,
    )


class _MeanColors(dict[int, str]):
    """Written when first asked for: as many as there are different means."""

    def __init__(self, colors: Sequence[str]) -> None:
        super().__init__()
        self._colors = colors

    def __missing__(self, tenths: int) -> str:
        self[tenths] = color = self._colors[min((tenths + 5) // 10, len(self._colors) - 1)]
        return color


@dataclass(frozen=True)
class Standard:
    """A published air quality index: its tables, words and colours, and where they stand.

    `assist` says where the palette for the colour-blind comes from.
    """

    id: str
    name: str
    publisher: str
    document: str
    date: str
    version: str
    assist: str
    bands: tuple[Band, ...]
    scales: Mapping[str, tuple[Scale, ...]]

    @property
    def grading(self) -> str:
        """What a stored reading names as its grader."""
        return f"{self.id}/{self.version}"

    @cached_property
    def colors(self) -> list[str]:
        """The colour of each index from 0 on; the last one is that of all above, too."""
        return [self.bands[place].color for place in self._places()]

    @cached_property
    def mean_colors(self) -> Mapping[int, str]:
        """The colour of each mean index in tenths: that of the index it is rounded to."""
        return _MeanColors(self.colors)

    @cached_property
    def levels(self) -> Index:
        """The level of each index from 0 on, the last one that of all above, then `NO_INDEX`."""
        levels = [self.bands[place].level for place in self._places()]
        return np.array([*levels, NO_INDEX], np.int16)

    @property
    def pollutants(self) -> tuple[str, ...]:
        """The quantities that count towards the index, in the order that settles a tie."""
        return tuple(self.scales)

    def periods(self, quantity: str) -> tuple[Period, ...]:
        """Over what the index of a quantity is defined; empty when the standard has none of it."""
        return tuple(scale.period for scale in self.scales.get(quantity, ()))

    def current_periods(self, quantity: str) -> tuple[Period, ...]:
        """The same for a number shown now, before a day is over."""
        return tuple(scale.current or scale.period for scale in self.scales.get(quantity, ()))

    def _places(self) -> list[int]:
        """The band of each index from 0 to the last one's lowest; below the first is the first."""
        lows = np.array([band.low for band in self.bands])
        found = np.searchsorted(lows, np.arange(lows[-1] + 1), side="right") - 1
        return [max(place, 0) for place in found.tolist()]


@cache
def _table(scale: Scale) -> Index:
    """The index of each whole step from 0 on, the last one that of all above, then `NO_INDEX`.

    Equation 1 of 40 CFR 58, appendix G, rounded half up, in integers: there is nothing to lose.
    """
    below, above, first, last = np.array(scale.bounds).T
    low = np.rint(below / scale.step).astype(np.int64)
    is_open = np.isinf(above)
    width = np.rint(np.where(is_open, scale.step, above - below) / scale.step).astype(np.int64)
    rise = (last - first).astype(np.int64)
    highest = scale.highest
    climb = (highest - int(first[-1])) * width[-1] // rise[-1] + 1 if rise[-1] else 0
    steps = np.arange(low[-1] + climb + 1)
    row = np.searchsorted(low, steps, side="right") - 1
    along = (2 * rise[row] * (steps - low[row]) + width[row]) // (2 * width[row])
    index = np.minimum(first[row] + along, highest)
    return np.append(np.where(row < 0, NO_INDEX, index), NO_INDEX).astype(np.int16)
