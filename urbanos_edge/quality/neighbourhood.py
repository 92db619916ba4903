"""Who stands near whom, and what those said at about the same time.

Each sensor has a list of its nearest others within a radius. Lists are renewed where sensors come
or move, so that they cost as much as there is news, not as there are sensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from urbanos_edge.clock import HOUR_US, SECOND_US
from urbanos_edge.grid import FINEST_ZOOM
from urbanos_edge.quality.course import NEVER_US

NEAREST: Final = 12
"""Neighbours that a sensor has at most."""
SPAN_S: Final = 2 * HOUR_US // SECOND_US
"""How far apart in time neighbours may have measured."""
NOBODY: Final = -1
_ENOUGH: Final = 4 * NEAREST
"""With so many close around a sensor, its nearest are, but for odd cases, among them."""
_MOST: Final = 256
"""Looked at in one row of close tiles: sensors may stand in any number on the same spot."""
_PAIRS: Final = 1 << 19
"""Looked at in one go, which bounds the memory it takes."""
_METRES_PER_DEGREE: Final = 111_195.0
"""Of latitude, on a sphere with the Earth's mean radius of 6,371 km."""
_EQUATOR_M: Final = 360 * _METRES_PER_DEGREE
_SPREAD_OF_MAD: Final = 1.4826
"""From the median absolute deviation to the standard deviation, where values are normal."""
_TIME_BITS: Final = 40
_EPOCH_S: Final = 1 << 38
"""Added to seconds since 1970, so that any date of the calendar is positive in `_TIME_BITS`."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]


class Neighbourhood:
    """The nearest of each of `n` sensors: `lists` of shape (n, NEAREST), nearest first.

    Nobody is near across the 180th meridian.
    """

    def __init__(self, radius_m: float) -> None:
        self._radius_m = radius_m
        self.lists: Ints = np.empty((0, NEAREST), np.int64)
        self._x: Ints = np.empty(0, np.int64)
        self._y: Ints = np.empty(0, np.int64)
        self._lat: Floats = np.empty(0)
        self._lng: Floats = np.empty(0)

    def __len__(self) -> int:
        return len(self._x)

    def grow(self, count: int) -> None:
        """Make room for sensors up to `count`; they stand nowhere until they are placed."""
        more = count - len(self)
        self.lists = np.concatenate([self.lists, np.full((more, NEAREST), NOBODY)])
        self._x = np.append(self._x, np.full(more, NOBODY))
        self._y = np.append(self._y, np.full(more, NOBODY))
        self._lat = np.append(self._lat, np.full(more, np.nan))
        self._lng = np.append(self._lng, np.full(more, np.nan))

    def keep(self, sensors: Ints) -> None:
        """Forget all others; those that stay are numbered anew, in the order given."""
        number = np.full(len(self) + 1, NOBODY)  # its last one stands for nobody
        number[sensors] = np.arange(len(sensors))
        self.lists = number[self.lists[sensors]]
        self._x, self._y = self._x[sensors], self._y[sensors]
        self._lat, self._lng = self._lat[sensors], self._lng[sensors]

    def place(self, sensors: Ints, places: dict[str, npt.NDArray[Any]]) -> None:
        """Say where sensors stand (`lat, lng, x18, y18`) and renew the lists of whom it concerns.

        These are those that are in another tile now, whom they have near, who had them near, and
        who has room in its list. So whoever has no more than `NEAREST` near has them all.
        """
        x, y = places["x18"].astype(np.int64), places["y18"].astype(np.int64)
        is_moved = (self._x[sensors] != x) | (self._y[sensors] != y)
        moved = sensors[is_moved]
        if not len(moved):
            return
        is_concerned: Rows = np.asarray(np.isin(self.lists, moved).any(axis=1))
        self._x[moved], self._y[moved] = x[is_moved], y[is_moved]
        self._lat[moved], self._lng[moved] = places["lat"][is_moved], places["lng"][is_moved]
        self.lists[moved] = nearest = self._nearest(moved)
        is_concerned[nearest[nearest != NOBODY]] = True
        is_concerned |= (self.lists[:, -1] == NOBODY) & self._may_reach(moved)
        is_concerned[moved] = False
        others = np.flatnonzero(is_concerned)
        self.lists[others] = self._nearest(others)

    def distance_m(self, sensors: Ints, lat: Floats, lng: Floats) -> Floats:
        """How far places are from where these sensors stand, as on flat land."""
        east = (self._lng[sensors] - lng) * np.cos(np.radians(lat))
        distance: Floats = np.hypot(self._lat[sensors] - lat, east) * _METRES_PER_DEGREE
        return distance

    def _may_reach(self, sensors: Ints) -> Rows:
        """Who stands in the box around these, with the radius on each side."""
        lat, lng = self._lat[sensors], self._lng[sensors]
        north = self._radius_m / _METRES_PER_DEGREE
        east = north / max(float(np.cos(np.radians(np.abs(lat).max()))), 1e-6)
        box: Rows = (
            (self._lat >= lat.min() - north)
            & (self._lat <= lat.max() + north)
            & (self._lng >= lng.min() - east)
            & (self._lng <= lng.max() + east)
        )
        return box

    def _nearest(self, sensors: Ints) -> Ints:
        """The lists of these sensors.

        Around each one a block of 3 x 3 tiles is searched: of the finest zoom with enough sensors
        in a block that lies within the radius, or of one whose tiles are as wide as the radius.
        """
        lists = np.full((len(sensors), NEAREST), NOBODY)
        waiting = np.arange(len(sensors) if self._radius_m else 0)
        for shift in range(FINEST_ZOOM + 1):
            if not len(waiting):
                break
            block = self._block(sensors[waiting], shift)
            width_m = (
                _EQUATOR_M
                * np.cos(np.radians(self._lat[sensors[waiting]]))
                / (1 << (FINEST_ZOOM - shift))
            )
            is_wide = (width_m >= self._radius_m) | (shift == FINEST_ZOOM)
            is_close = ~is_wide & (3 * width_m <= self._radius_m) & (block.count > _ENOUGH)
            block.lengths[is_close] = np.minimum(block.lengths[is_close], _MOST)
            is_done = is_wide | is_close
            for some in _in_portions(np.flatnonzero(is_done), block.count):
                rows = waiting[some]
                self._choose(lists, rows, sensors[rows], *block.pairs(some))
            waiting = waiting[~is_done]
        return lists

    def _block(self, sensors: Ints, shift: int) -> _Block:
        """Who stands in the 3 x 3 tiles around each: a row of three is one interval."""
        keys = self._y >> shift << FINEST_ZOOM | self._x >> shift
        order = np.argsort(keys, kind="stable")
        x, y = self._x[sensors] >> shift, self._y[sensors] >> shift
        row = (y[:, None] + np.array([-1, 0, 1])) << FINEST_ZOOM
        west, east = np.maximum(x - 1, 0), np.minimum(x + 1, (1 << FINEST_ZOOM) - 1)
        starts = keys[order].searchsorted(row | west[:, None], "left")
        ends = keys[order].searchsorted(row | east[:, None], "right")
        return _Block(order, starts, ends - starts)

    def _choose(
        self, lists: Ints, rows: Ints, sensors: Ints, owner: Ints, candidates: Ints
    ) -> None:
        """Put the nearest of the candidates into the lists' rows; `owner` counts within these."""
        at = sensors[owner]
        distance = self.distance_m(candidates, self._lat[at], self._lng[at])
        is_near = (distance <= self._radius_m) & (candidates != at)
        owner, candidates, distance = owner[is_near], candidates[is_near], distance[is_near]
        order = np.lexsort((distance, owner))
        owner, candidates = owner[order], candidates[order]
        rank = np.arange(len(owner)) - owner.searchsorted(owner)
        is_listed = rank < NEAREST
        lists[rows[owner[is_listed]], rank[is_listed]] = candidates[is_listed]


@dataclass(frozen=True, slots=True)
class _Block:
    """Intervals of an order of sensors around each of `m`: starts and lengths of shape (m, 3)."""

    order: Ints
    starts: Ints
    lengths: Ints

    @property
    def count(self) -> Ints:
        count: Ints = self.lengths.sum(axis=1)
        return count

    def pairs(self, chosen: Ints) -> tuple[Ints, Ints]:
        """For the chosen ones, by their number among these: who is in the block of each."""
        lengths, starts = self.lengths[chosen].ravel(), self.starts[chosen].ravel()
        owner = np.repeat(np.arange(len(lengths)) // 3, lengths)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return owner, self.order[np.repeat(starts, lengths) + within]


def _in_portions(rows: Ints, count: Ints) -> list[Ints]:
    """Split rows so that a portion counts about `_PAIRS` together, or is one row."""
    portion = (np.cumsum(count[rows]) - count[rows]) // _PAIRS
    return np.split(rows, np.flatnonzero(portion[1:] != portion[:-1]) + 1)


class Sightings:
    """What sensors said of one quantity and when, to be asked for a moment.

    Of each sensor there are values by time in a batch, sorted by `number` and `at_us`, and the
    last one before; `number_of` maps sensors to numbers.
    """

    def __init__(
        self,
        number_of: Ints,
        number: Ints,
        at_us: Ints,
        values: Floats,
        known: dict[str, npt.NDArray[Any]],
    ) -> None:
        self._number_of = number_of
        keys = _key(number, at_us)
        seen = np.flatnonzero(known["at_us"] > NEVER_US)
        seen_keys = _key(number_of[seen], known["at_us"][seen])
        order = np.argsort(seen_keys)
        places = keys.searchsorted(seen_keys[order])
        self._keys = np.insert(keys, places, seen_keys[order])
        self._values = np.insert(values, places, known["value"][seen[order]])

    def near(self, lists: Ints, at_us: Ints) -> Floats:
        """What the sensors in `lists`, of shape (m, k), said around `at_us`, of shape (m,).

        It is the newest up to that moment, or else the next after it; NaN where there is none
        within the span, or nobody.
        """
        if not len(self._keys):
            return np.full(lists.shape, np.nan)
        wanted = _key(self._number_of[lists], at_us[:, None])
        after = self._keys.searchsorted(wanted, "right")
        before = np.maximum(after - 1, 0)
        after = np.minimum(after, len(self._keys) - 1)
        is_before = np.abs(wanted - self._keys[before]) <= SPAN_S
        is_after = np.abs(self._keys[after] - wanted) <= SPAN_S
        found = np.where(is_after, self._values[after], np.nan)
        found = np.where(is_before, self._values[before], found)
        said: Floats = np.where(lists == NOBODY, np.nan, found)
        return said


@dataclass(frozen=True, slots=True)
class Consensus:
    """What neighbours agree on, each of shape (m,): how many, their median, their spread.

    The spread is that of a normal distribution with their median absolute deviation. Half of them
    but one may be broken without moving either far; a mean and its deviation move with each.
    """

    count: Ints
    median: Floats
    spread: Floats


def consensus(said: Floats) -> Consensus:
    """Of values of shape (m, k), NaN where absent."""
    count = (~np.isnan(said)).sum(axis=1)
    median = _median(said, count)
    spread = _SPREAD_OF_MAD * _median(np.abs(said - median[:, None]), count)
    return Consensus(count, median, spread)


def _median(values: Floats, count: Ints) -> Floats:
    """The median of each row's first `count` values in order; NaN sorts last."""
    ordered = np.sort(values, axis=1)
    rows = np.arange(len(ordered))
    median: Floats = (ordered[rows, (count - 1) // 2] + ordered[rows, count // 2]) / 2
    return median


def _key(number: Ints, at_us: Ints) -> Ints:
    """Sensor and second as one number; of two sensors they are further apart than any span."""
    key: Ints = (number << _TIME_BITS) + (at_us // SECOND_US + _EPOCH_S)
    return key
