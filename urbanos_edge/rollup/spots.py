"""What lies where, as integers along the Z-order curve: ready to be drawn at any zoom.

Along that curve every tile of every zoom is one interval, and so is every cell of its raster: rows
that belong together lie side by side, and nothing has to be projected or sorted for a tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from urbanos_edge.grid import BEYOND_LAT, FINEST_ZOOM, Tile

UNIT_BITS: Final = 12
"""Places are counted in units of 1/4096 of a tile of the finest zoom."""
FEW: Final = 48
"""Up to so many rows are added up one by one: a call of NumPy costs as much as several rows."""
_SPREAD: Final = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)

Ints = npt.NDArray[np.int64]
Totals = dict[int, list[int]]


@dataclass(frozen=True, slots=True)
class Spots:
    """`n` rows in Z-order: `keys` of shape (n,), and per row what is told, summed and maximised.

    `told` has the shape (columns, n), `summed` and `highest` the shape (n, columns).
    """

    keys: Ints
    told: Ints
    summed: Ints
    highest: Ints

    def within(self, tile: Tile) -> slice:
        """The rows that lie in a tile."""
        start, end = self.keys.searchsorted(interval(tile)).tolist()
        return slice(start, end)

    def totals(self, rows: slice, bits: int) -> Totals:
        """Sums, then maxima, of the rows of each cell; a cell is a key without its last `bits`."""
        if rows.stop - rows.start <= FEW:
            return self._few_totals(rows, bits)
        cells = self.keys[rows] >> bits
        starts = np.append(0, np.flatnonzero(cells[1:] != cells[:-1]) + 1)
        sums = np.add.reduceat(self.summed[rows], starts, axis=0).tolist()
        tops = np.maximum.reduceat(self.highest[rows], starts, axis=0).tolist()
        found = zip(cells[starts].tolist(), sums, tops, strict=True)
        return {cell: total + top for cell, total, top in found}

    def _few_totals(self, rows: slice, bits: int) -> Totals:
        totals: Totals = {}
        columns = self.keys[rows].tolist(), self.summed[rows].tolist(), self.highest[rows].tolist()
        for key, sums, tops in zip(*columns, strict=True):
            other = totals.setdefault(key >> bits, sums)
            if other is sums:
                sums += tops
            else:
                _merge(other, sums, tops)
        return totals


def spots(keys: Ints, told: list[Any], summed: list[Any], highest: list[Any]) -> Spots:
    """Lay columns of shape (n,) side by side, in the order of the keys."""
    order = np.argsort(keys, kind="stable")
    return Spots(
        keys[order],
        _stacked(told, order),
        np.ascontiguousarray(_stacked(summed, order).T),
        np.ascontiguousarray(_stacked(highest, order).T),
    )


def positions(columns: dict[str, npt.NDArray[Any]]) -> tuple[Ints, Ints]:
    """Column and row of each place in units of `UNIT_BITS`, always inside its finest tile."""
    count, units = 1 << FINEST_ZOOM, 1 << UNIT_BITS
    x18, y18 = columns["x18"].astype(np.int64), columns["y18"].astype(np.int64)
    radians = np.radians(np.clip(columns["lat"], -BEYOND_LAT, BEYOND_LAT))
    x = ((columns["lng"] + 180) / 360 * count - x18) * units
    y = ((1 - np.arcsinh(np.tan(radians)) / np.pi) / 2 * count - y18) * units
    inside = (np.clip(part, 0, units - 1).astype(np.int64) for part in (x, y))
    x_units, y_units = inside
    return x18 << UNIT_BITS | x_units, y18 << UNIT_BITS | y_units


@lru_cache(maxsize=1 << 12)
def interval(tile: Tile) -> Ints:
    """The first key of a tile and the first one after it; remembered, and so not to be changed."""
    bits = 2 * (FINEST_ZOOM - tile.z)
    first = z_order(tile.x, tile.y) << bits
    return np.array((first, first + (1 << bits)))


def z_order(x: Any, y: Any) -> Any:
    """The bits of column and row in turns, of one tile or of many."""
    return _spread(x) | _spread(y) << 1


def _spread(number: Any) -> Any:
    """Put a 0 before each bit of numbers of up to 32 bits."""
    for shift, mask in _SPREAD:
        number = (number | number << shift) & mask
    return number


def _stacked(columns: list[Any], order: npt.NDArray[np.intp]) -> Ints:
    stacked = np.empty((len(columns), len(order)), np.int64)
    for row, column in zip(stacked, columns, strict=True):
        row[:] = column[order]
    return stacked


def _merge(totals: list[int], sums: list[int], tops: list[int]) -> None:
    for place, number in enumerate(sums):
        totals[place] += number
    for place, number in enumerate(tops, len(sums)):
        if number > totals[place]:
            totals[place] = number
