"""The last 24 hours in memory: mergeable aggregates per site and hour.

A site is one sensor within one tile of the finest zoom, so that what a sensor measured stays where
it was measured when it moves. The window is the current hour and the 23 before it. One hour more is
kept, so that whatever is younger than 24 hours has its site; and one slot takes what a clock
slightly ahead already counts to the next hour. Sums are integers, so they are exact in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from urbanos_edge.aqi import NO_INDEX
from urbanos_edge.batch import Batch
from urbanos_edge.clock import HOUR_US

HOURS: Final = 24
KEPT_HOURS: Final = HOURS + 1
_SLOTS: Final = KEPT_HOURS + 1
_TILE_BITS: Final = 18

Ints = npt.NDArray[np.int64]
Table = dict[str, npt.NDArray[Any]]

_SITE: Final = {
    "sensor": np.int64,
    "x18": np.int64,
    "y18": np.int64,
    "lng": np.float64,
    "lat": np.float64,
    "last_at_us": np.int64,
    "revision": np.int64,
}
_HOURLY: Final = {"readings": 0, "graded": 0, "aqi_sum": 0, "aqi_max": -1}
"""What a slot counts, and what an empty one holds: unflagged readings, those with an index, the
sum of the indexes and the highest."""


def aggregate(batch: Batch, sensors: Ints) -> Table:
    """Aggregate graded rows per site and hour.

    `sensors` maps the batch's labels to sensor numbers. The columns returned, each of shape (n,):
    `sensor, x18, y18, hour`; `lng, lat, last_at_us` of the newest row; and the hourly counts.
    """
    hour = batch["timestamp_us"] // HOUR_US
    sensor, x18, y18 = sensors[batch["sensor"]], batch["x18"], batch["y18"]
    order = np.lexsort((batch["timestamp_us"], hour, y18, x18, sensor))
    keys = np.stack([column[order].astype(np.int64) for column in (sensor, x18, y18, hour)])
    starts = np.flatnonzero(
        np.append(True, (keys[:, 1:] != keys[:, :-1]).any(axis=0))[: len(order)]
    )
    newest = order[np.append(starts[1:], len(order))[: len(starts)] - 1]
    good = batch["flags"][order] == 0
    index = np.where(good, batch["aqi_value"][order], NO_INDEX).astype(np.int64)
    return {
        **dict(zip(("sensor", "x18", "y18", "hour"), keys[:, starts], strict=True)),
        "lng": batch["lng"][newest],
        "lat": batch["lat"][newest],
        "last_at_us": batch["timestamp_us"][newest],
        "readings": _per_group(np.add, good.astype(np.int64), starts),
        "graded": _per_group(np.add, (index != NO_INDEX).astype(np.int64), starts),
        "aqi_sum": _per_group(np.add, np.where(index != NO_INDEX, index, 0), starts),
        "aqi_max": _per_group(np.maximum, index, starts),
    }


def within(table: Table, sensors: Ints, hours: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Which rows are of one of the sensors in one of the hours."""
    mask: npt.NDArray[np.bool_] = np.isin(table["sensor"], sensors) & np.isin(table["hour"], hours)
    return mask


def rows_of(table: Table, rows: npt.NDArray[Any]) -> Table:
    """The same columns with only these rows, by index or by mask."""
    return {name: column[rows] for name, column in table.items()}


class Window:
    """Grows with sites, forgets them when they have been silent for the whole window."""

    def __init__(self) -> None:
        self._row_by_key: dict[int, int] = {}
        self.sites: Table = {name: np.empty(0, dtype) for name, dtype in _SITE.items()}
        self._hour_of_slot: Ints = np.full(_SLOTS, -1)
        self._hourly: Table = {name: np.empty((_SLOTS, 0), np.int64) for name in _HOURLY}
        self.hour = -1
        self.went_back = False
        """Whether the clock was set back by hours: some that count again are forgotten."""

    def advance(self, hour: int) -> bool:
        """Make `hour` the current one; return whether that changed anything."""
        if hour == self.hour:
            return False
        self.went_back |= hour < self.hour
        self.hour = hour
        gone = (self._hour_of_slot <= hour - KEPT_HOURS) | (self._hour_of_slot > hour + 1)
        self._clear(np.flatnonzero(gone))
        self._hour_of_slot[gone] = -1
        self._forget_silent_sites()
        return True

    def add(self, aggregates: Table, revision: int) -> None:
        """Merge what lies in the window; the rest is left out."""
        if not aggregates:
            return
        hour = aggregates["hour"]
        inside = (hour > self.hour - KEPT_HOURS) & (hour <= self.hour + 1)
        if not inside.any():
            return
        picked = rows_of(aggregates, inside)
        rows = self._rows(picked)
        self._note_place(rows, picked, revision)
        slots = self._slots(picked["hour"])
        for name in ("readings", "graded", "aqi_sum"):
            np.add.at(self._hourly[name], (slots, rows), picked[name])
        np.maximum.at(self._hourly["aqi_max"], (slots, rows), picked["aqi_max"])

    def erase(self, sensors: Sequence[int], hours: Sequence[int]) -> None:
        """Forget what is known of some sensors in some hours, to count them anew."""
        rows = np.flatnonzero(np.isin(self.sites["sensor"], sensors))
        slots = np.flatnonzero(np.isin(self._hour_of_slot, hours))
        for name, empty in _HOURLY.items():
            self._hourly[name][np.ix_(slots, rows)] = empty

    def touch(self, sensor: int, x18: int, y18: int, revision: int) -> None:
        """Mark a site as changed, if it is known."""
        row = self._row_by_key.get(int(_key(sensor, x18, y18)))
        if row is not None:
            self.sites["revision"][row] = revision

    def totals(self, hour: int | None = None) -> Table:
        """Per site: its place and the sums over the window, or over one hour of it, as copies."""
        hours = self._hour_of_slot
        current = np.flatnonzero((hours > self.hour - HOURS) & (hours <= self.hour))
        if hour is not None:
            current = current[hours[current] == hour]
        table = {name: column.copy() for name, column in self.sites.items()}
        for name in ("readings", "graded", "aqi_sum"):
            table[name] = self._hourly[name][current].sum(axis=0)
        table["aqi_max"] = self._hourly["aqi_max"][current].max(axis=0, initial=-1)
        return table

    def _rows(self, picked: Table) -> Ints:
        keys = _key(picked["sensor"], picked["x18"], picked["y18"])
        fresh = [key for key in np.unique(keys).tolist() if key not in self._row_by_key]
        if fresh:
            self._grow(fresh)
        return np.array([self._row_by_key[key] for key in keys.tolist()], dtype=np.int64)

    def _grow(self, fresh: list[int]) -> None:
        start = len(self.sites["sensor"])
        self._row_by_key.update({key: start + i for i, key in enumerate(fresh)})
        for name, dtype in _SITE.items():
            self.sites[name] = np.concatenate([self.sites[name], np.zeros(len(fresh), dtype)])
        for name, empty in _HOURLY.items():
            more = np.full((_SLOTS, len(fresh)), empty, np.int64)
            self._hourly[name] = np.concatenate([self._hourly[name], more], axis=1)

    def _note_place(self, rows: Ints, picked: Table, revision: int) -> None:
        sites = self.sites
        for name in ("sensor", "x18", "y18"):
            sites[name][rows] = picked[name]
        sites["revision"][rows] = revision
        newer = picked["last_at_us"] >= sites["last_at_us"][rows]
        for name in ("lng", "lat", "last_at_us"):
            sites[name][rows[newer]] = picked[name][newer]

    def _slots(self, hours: Ints) -> Ints:
        slots = hours % _SLOTS
        for slot, hour in set(zip(slots.tolist(), hours.tolist(), strict=True)):
            if self._hour_of_slot[slot] != hour:
                self._clear(np.array([slot]))
                self._hour_of_slot[slot] = hour
        return slots

    def _clear(self, slots: npt.NDArray[Any]) -> None:
        for name, empty in _HOURLY.items():
            self._hourly[name][slots] = empty

    def _forget_silent_sites(self) -> None:
        alive = np.flatnonzero(self.sites["last_at_us"] // HOUR_US > self.hour - KEPT_HOURS)
        if len(alive) == len(self.sites["sensor"]):
            return
        self.sites = {name: column[alive] for name, column in self.sites.items()}
        self._hourly = {name: column[:, alive] for name, column in self._hourly.items()}
        keys = _key(self.sites["sensor"], self.sites["x18"], self.sites["y18"])
        self._row_by_key = {key: row for row, key in enumerate(keys.tolist())}


def _per_group(reduction: np.ufunc, values: Ints, starts: npt.NDArray[np.intp]) -> Ints:
    if not len(starts):
        return values
    reduced: Ints = reduction.reduceat(values, starts)
    return reduced


def _key(sensor: Any, x18: Any, y18: Any) -> Any:
    """One integer per site: 18 bits each for column and row, the rest for the sensor.

    Of 64 bits: files keep columns and rows in 32, where the shift would lose the highest.
    """
    column = np.asarray(x18, np.int64)
    return np.asarray(sensor, np.int64) << 2 * _TILE_BITS | column << _TILE_BITS | y18
