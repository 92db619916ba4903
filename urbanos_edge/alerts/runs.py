"""How long something has held: the last readings of each sensor that agree about it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from urbanos_edge.alerts.rules import INDEX
from urbanos_edge.aqi import NO_INDEX
from urbanos_edge.batch import Batch
from urbanos_edge.clock import HOUR_US
from urbanos_edge.grid import Bounds, Tile
from urbanos_edge.rollup.rollup import inside

GAP_US: Final = 3 * HOUR_US
"""Nothing is known of what lies between readings further apart; a sensor that reports every hour
may miss two."""

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Run(NamedTuple):
    """The last readings of one sensor that all meet a condition, or all do not.

    `row` is the last of them. One that `is_open` may go on from what was known before.
    """

    sensor: int
    row: int
    since_us: int
    until_us: int
    is_met: bool
    is_open: bool

    def held_since_us(self, since_us: int | None, last_us: int) -> int | None:
        """Since when the condition has held, by what was known before up to `last_us`."""
        if not self.is_met:
            return None
        goes_on = self.is_open and since_us is not None and self.since_us - last_us <= GAP_US
        return since_us if goes_on else self.since_us


class News:
    """Some rows of a graded batch, ordered by sensor and time, as rules look at them.

    Every column has shape (n,); `sensor` indexes the batch's labels.
    """

    def __init__(self, batch: Batch, rows: npt.NDArray[np.intp]) -> None:
        order = np.lexsort((batch["timestamp_us"][rows], batch["sensor"][rows]))
        self.labels = batch.labels
        self._batch = batch
        self._rows = rows[order]
        self.sensor = self["sensor"].astype(np.int64)
        self.at_us: Ints = self["timestamp_us"]
        self.flags = self["flags"]
        self._values: dict[str, npt.NDArray[np.float64]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """A column of the batch."""
        return self._batch[name][self._rows]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Where in `labels` each label stands."""
        return {label: number for number, label in enumerate(self.labels)}

    def values(self, quantity: str) -> npt.NDArray[np.float64]:
        """A quantity, or the index; NaN where it is absent, or not to be trusted."""
        if quantity not in self._values:
            name = "aqi_value" if quantity == INDEX else quantity
            column = self[name].astype(np.float64)
            is_absent = self.flags != 0
            if quantity == INDEX:
                is_absent |= column == NO_INDEX
            self._values[quantity] = np.where(is_absent, np.nan, column)
        return self._values[quantity]

    def of(self, sensors: list[int]) -> Bools:
        """Which rows are of these sensors."""
        chosen = np.zeros(len(self.labels), bool)
        chosen[sensors] = True
        mask: Bools = chosen[self.sensor]
        return mask

    def inside(self, area: Tile | Bounds) -> Bools:
        """Which rows were measured there."""
        names = ("x18", "y18") if isinstance(area, Tile) else ("lng", "lat")
        return inside(area, {name: self[name] for name in names})

    def last_runs(self, counts: Bools, is_met: Bools) -> Iterator[Run]:
        """The last run of each sensor among the rows that count."""
        rows = np.flatnonzero(counts)
        if not len(rows):
            return
        sensor, at_us, met = self.sensor[rows], self.at_us[rows], is_met[rows]
        is_first = np.append(True, sensor[1:] != sensor[:-1])
        turns = (met[1:] != met[:-1]) | (np.diff(at_us) > GAP_US)
        begins = np.flatnonzero(is_first | np.append(True, turns))
        ends = np.append(np.flatnonzero(is_first)[1:], len(rows)) - 1
        starts = begins[np.searchsorted(begins, ends, side="right") - 1]
        yield from map(
            Run,
            sensor[ends].tolist(),
            rows[ends].tolist(),
            at_us[starts].tolist(),
            at_us[ends].tolist(),
            met[ends].tolist(),
            is_first[starts].tolist(),
        )
