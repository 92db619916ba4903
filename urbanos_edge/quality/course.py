"""The course of one quantity at each sensor: what it was last, since when, and what is unusual.

All of it follows from the past alone, so however a stream is split over flushes, the findings are
the same. A silence of more than three hours ends what is known: what comes then is a new course.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from urbanos_edge.clock import HOUR_US

SILENCE_US: Final = 3 * HOUR_US
STUCK_US: Final = 24 * HOUR_US
DEPTH: Final = 12
"""Values that the next one is compared with."""
SPIKE_MADS: Final = 5.0
SPIKE_UGM3: Final = 30 - 1e-9
"""30, but for the last bits of a difference such as 42.3 - 12.3."""
NEVER_US: Final = -(2**61)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Table = dict[str, npt.NDArray[Any]]

_KEPT: Final = {"at_us": NEVER_US, "value": 0.0, "said": 0.0, "since_us": NEVER_US}
_KEPT_OF_PARTICLES: Final = {**_KEPT, "depth": np.int8(0), "side": np.int8(0)}


def nothing_known(count: int, *, of_particles: bool) -> Table:
    """What is kept for each of `count` sensors, before any reading.

    The last moment and value, what the sensor said then, and since when that is the same; for
    particles also `held`, the last values (count, DEPTH), oldest first, `depth`, how many of them
    no silence parts, and `side`, on which side of those before it the last one lay far out: 1
    above, -1 below, 0 neither.
    """
    kept = _KEPT_OF_PARTICLES if of_particles else _KEPT
    table: Table = {name: np.full(count, empty) for name, empty in kept.items()}
    if of_particles:
        table["held"] = np.zeros((count, DEPTH))
    return table


@dataclass(frozen=True, slots=True)
class Stretch:
    """`n` values of one quantity by sensor and time, each newer than what is known of its sensor.

    `sensor` counts the rows of a table of what is known. `said` is what the sensors said, `values`
    what corrections made of it: what hangs stays the same however the humidity corrects it.
    """

    sensor: Ints
    at_us: Ints
    values: Floats
    said: Floats

    def firsts(self) -> Mask:
        """Where the values of a sensor begin."""
        is_first = np.ones(len(self.sensor), bool)
        is_first[1:] = self.sensor[1:] != self.sensor[:-1]
        return is_first


@dataclass(frozen=True, slots=True)
class Outliers:
    """Values far from the twelve before them: their rows in a stretch, each of shape (n,)."""

    rows: Ints
    median: Floats
    side: npt.NDArray[np.int8]
    goes_on: Mask
    """Whether the value before it was as far out, on the same side."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What a stretch shows: values that have been the same for a day, outliers, and the news.

    `sensors` are those of the stretch, `known` what is known of them after it.
    """

    unchanged: Mask
    outliers: Outliers | None
    sensors: Ints
    known: Table


def follow(stretch: Stretch, known: Table) -> Followed:
    """Compare each value of a stretch, of at least one value, with those before it."""
    is_first = stretch.firsts()
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(is_first)) - 1
    is_new = stretch.at_us - _before(stretch, stretch.at_us, known["at_us"], first) > SILENCE_US
    since_us = _since(stretch, known, is_first, is_new)
    after: Table = {
        "at_us": stretch.at_us[last],
        "value": stretch.values[last],
        "said": stretch.said[last],
        "since_us": since_us[last],
    }
    outliers = None
    if "held" in known:
        depth = _depth(stretch, known, is_first, is_new)
        line = _Line(stretch, known, first)
        outliers, side = _outliers(stretch, known, first, line, depth, is_new)
        after |= {
            "depth": np.minimum(depth[last] + 1, DEPTH).astype(np.int8),
            "side": side[last],
            "held": line.until(last),
        }
    unchanged: Mask = stretch.at_us - since_us >= STUCK_US
    return Followed(unchanged, outliers, stretch.sensor[first], after)


def _before(
    stretch: Stretch, column: npt.NDArray[Any], known: npt.NDArray[Any], first: Ints
) -> npt.NDArray[Any]:
    """The column one value earlier, for a sensor's first value as it is known."""
    before = np.empty_like(column)
    before[1:] = column[:-1]
    before[first] = known[stretch.sensor[first]]
    return before


def _since(stretch: Stretch, known: Table, is_first: Mask, is_new: Mask) -> Ints:
    """Since when each sensor has said the same."""
    first = np.flatnonzero(is_first)
    before = _before(stretch, stretch.said, known["said"], first)
    is_change = is_new | (stretch.said != before)
    begun_us = np.where(is_change, stretch.at_us, known["since_us"][stretch.sensor])
    since_us: Ints = begun_us[_latest(is_change | is_first)]
    return since_us


def _depth(stretch: Stretch, known: Table, is_first: Mask, is_new: Mask) -> Ints:
    """How many values lie before each one since the last silence."""
    start = _latest(is_first | is_new)
    earlier = np.where(is_new[start], 0, known["depth"][stretch.sensor])
    depth: Ints = np.arange(len(start)) - start + earlier
    return depth


def _latest(marks: Mask) -> npt.NDArray[np.intp]:
    """The last marked row up to each one; the first is marked."""
    return np.maximum.accumulate(np.where(marks, np.arange(len(marks)), 0))


class _Line:
    """The values of a stretch behind those that are held of each sensor, in one line."""

    def __init__(self, stretch: Stretch, known: Table, first: Ints) -> None:
        ordinal = np.zeros(len(stretch.values), np.int64)
        ordinal[first] = 1
        self._place = np.arange(len(ordinal)) + DEPTH * np.cumsum(ordinal)
        self._values = np.empty(len(ordinal) + DEPTH * len(first))
        self._values[self._place] = stretch.values
        heads = first + DEPTH * np.arange(len(first))
        held = known["held"][stretch.sensor[first]]
        self._values[heads[:, None] + np.arange(DEPTH)] = held
        self._windows = np.lib.stride_tricks.sliding_window_view(self._values, DEPTH)

    def before(self, rows: Ints) -> Floats:
        """The values before these rows, of shape (n, DEPTH)."""
        before: Floats = self._windows[self._place[rows] - DEPTH]
        return before

    def until(self, rows: Ints) -> Floats:
        """The last values up to these rows and with them."""
        until: Floats = self._windows[self._place[rows] - DEPTH + 1]
        return until

    def extreme_before(self, reduction: np.ufunc) -> Floats:
        """The lowest or highest value before each row: of 2, 4 and 8 to get at 12."""
        two = reduction(self._values[1:], self._values[:-1])
        four = reduction(two[2:], two[:-2])
        eight = reduction(four[4:], four[:-4])
        twelve = reduction(eight[: len(self._windows)], four[8:])
        before: Floats = twelve[self._place - DEPTH]
        return before


def _outliers(
    stretch: Stretch, known: Table, first: Ints, line: _Line, depth: Ints, is_new: Mask
) -> tuple[Outliers, npt.NDArray[np.int8]]:
    """The outliers, and for each row the side on which it is one."""
    low, high = line.extreme_before(np.minimum), line.extreme_before(np.maximum)
    is_far = (stretch.values - low >= SPIKE_UGM3) | (high - stretch.values >= SPIKE_UGM3)
    rows = np.flatnonzero(is_far & (depth >= DEPTH))
    before = line.before(rows)
    median = np.median(before, axis=1)
    deviation = np.median(np.abs(before - median[:, None]), axis=1)
    apart = stretch.values[rows] - median
    is_out = (np.abs(apart) >= SPIKE_UGM3) & (np.abs(apart) > SPIKE_MADS * deviation)
    rows, median = rows[is_out], median[is_out]
    side = np.zeros(len(stretch.values), np.int8)
    side[rows] = np.sign(apart[is_out])
    side_before = np.where(is_new, 0, _before(stretch, side, known["side"], first))
    return Outliers(rows, median, side[rows], side_before[rows] == side[rows]), side
