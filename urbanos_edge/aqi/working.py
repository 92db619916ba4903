"""How one concentration comes to its index, step by step, for people who want to follow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal

import msgspec
import numpy as np

from urbanos_edge.aqi.grades import level_of
from urbanos_edge.aqi.standard import NO_INDEX, Period, Scale, Standard

_DIGITS: Final = 9
"""Of a rounded concentration: a step is 0.1 or 1, the rest is what binary fractions leave."""


class Line(msgspec.Struct, frozen=True):
    """One line of a table: between which concentrations which indexes lie; the last may be open."""

    concentration_low: float
    concentration_high: float | None
    index_low: int
    index_high: int


class Working(msgspec.Struct, frozen=True):
    """A concentration, in the quantity's own unit, along one scale.

    It is multiplied by `per_unit`, which brings it to the scale's `unit`, and rounded to `step`:
    that is `rounded`, never below 0. Along the `line` it falls into, the index is

        (index_high - index_low) / (concentration_high - concentration_low)
            × (rounded - concentration_low) + index_low

    rounded half up, at most `highest`. `is_beyond` the table the last line goes on. Without a line
    the concentration is too low for this scale. `current` is what stands for `period` before that
    is over.
    """

    period: Period
    current: Period
    concentration: float
    unit: str
    celsius: int | None
    per_unit: float
    rounding: Literal["down", "half up"]
    step: float
    rounded: float
    line: Line | None
    is_beyond: bool
    highest: int
    formula: str
    index: int | None


class Overall(msgspec.Struct, frozen=True):
    """What several sub-indexes come to: the highest, and the first pollutant that has it.

    `word_key` names the category in any language: the standard, and the level in it.
    """

    aqi_value: int | None
    dominant: str | None
    level: int | None
    word: str | None
    word_key: str | None
    color: str | None
    assist_color: str | None


def working(scale: Scale, concentration: float) -> Working:
    """Follow a concentration along a scale; it is a number, not NaN."""
    column = np.array([concentration])
    steps, index = float(scale.steps(column)[0]), int(scale.index(column)[0])
    rounded = round(steps * scale.step, _DIGITS)
    line = _line(scale, steps)
    is_beyond = line is not None and rounded > (line.concentration_high or math.inf)
    return Working(
        period=scale.period,
        current=scale.current or scale.period,
        concentration=concentration,
        unit=scale.unit,
        celsius=scale.celsius,
        per_unit=scale.per_unit,
        rounding=scale.rounding,
        step=scale.step,
        rounded=rounded,
        line=line,
        is_beyond=is_beyond,
        highest=scale.highest,
        formula=_formula(scale, line, rounded, index),
        index=None if index == NO_INDEX else index,
    )


def highest_of(standard: Standard, indexes: Mapping[str, int | None]) -> Overall:
    """Put sub-indexes together, by pollutant; nothing of anything where there is none."""
    given = {
        name: index for name in standard.pollutants if (index := indexes.get(name)) is not None
    }
    if not given:
        return Overall(*[None] * len(Overall.__struct_fields__))
    dominant = max(given, key=lambda name: given[name])  # the first of equals
    level = int(level_of(standard, np.array([given[dominant]]))[0])
    band = next(band for band in standard.bands if band.level == level)
    return Overall(
        aqi_value=given[dominant],
        dominant=dominant,
        level=level,
        word=band.word,
        word_key=f"{standard.id}.{level}",
        color=band.color,
        assist_color=band.assist_color,
    )


def plain(number: float) -> str:
    """A number as people write it."""
    return f"{number:.10g}"


def _line(scale: Scale, steps: float) -> Line | None:
    """The last line of the table that begins at or below so many steps."""
    begun = [bounds for bounds in scale.bounds if round(bounds[0] / scale.step) <= steps]
    if not begun:
        return None
    low, high, first, last = begun[-1]
    return Line(low, None if math.isinf(high) else high, first, last)


def _formula(scale: Scale, line: Line | None, rounded: float, index: int) -> str:
    if line is None:
        return f"below {plain(scale.bounds[0][0])} {scale.unit} there is no index of this scale"
    low, high = plain(line.concentration_low), line.concentration_high
    if high is None:
        return f"{low} {scale.unit} and more is {index}"
    if line.index_low == line.index_high:
        return f"{low} to {plain(high)} {scale.unit} is {index}"
    rise, width = line.index_high - line.index_low, high - line.concentration_low
    exact = rise / width * (rounded - line.concentration_low) + line.index_low
    text = (
        f"({line.index_high} - {line.index_low}) / ({plain(high)} - {low})"
        f" × ({plain(rounded)} - {low}) + {line.index_low} = {plain(round(exact, 2))}"
    )
    return f"{text}, and no more than {index}" if exact > scale.highest else f"{text}, so {index}"
