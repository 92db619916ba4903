"""Rows of one hour in as few bytes as hold them exactly, sorted by origin and time.

An origin is who measured where: sensor, source, type and place, numbered elsewhere. A segment never
changes once it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from urbanos_edge.batch import RAW_NAMES
from urbanos_edge.clock import HOUR_US
from urbanos_edge.store.identity import MERGED

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]
Table = dict[str, npt.NDArray[Any]]

_SCALES: Final = (1, 10, 100, 1000)
"""Sensors send a few decimals, so most columns are small integers over one of these."""
_NUMBERS: Final = (*MERGED, *RAW_NAMES.values())
_LARGE: Final = 2.0**31
_ABSENT: Final[dict[np.dtype[Any], int]] = {
    np.dtype(np.int16): -(2**15),
    np.dtype(np.int32): -(2**31),
}


@dataclass(frozen=True, slots=True)
class Packed:
    """Numbers as integers over `scale`, or as they were where `scale` is 0; NaN is kept."""

    values: npt.NDArray[Any]
    scale: int

    def at(self, rows: Rows) -> npt.NDArray[np.float64]:
        """The numbers in these rows, bit for bit those that were packed."""
        return _unpacked(self.values[rows], self.scale)

    def taken(self, kept: npt.NDArray[np.bool_]) -> Packed:
        """Some of them, as they are."""
        return Packed(self.values[kept], self.scale)


def packed(numbers: npt.NDArray[np.float64]) -> Packed | None:
    """Pack float64 numbers; None when all are NaN."""
    is_absent = np.isnan(numbers)
    if is_absent.all():
        return None
    present = np.where(is_absent, 0.0, numbers)
    for scale in _SCALES if np.abs(present).max() < _LARGE else ():
        scaled = np.rint(present * scale)
        if (scaled / scale == present).all() and not np.signbit(present[present == 0]).any():
            for dtype, absent in _ABSENT.items():
                if np.abs(scaled).max() < -absent:
                    return Packed(np.where(is_absent, absent, scaled).astype(dtype), scale)
    return Packed(numbers, 0)


@dataclass(frozen=True, slots=True)
class Segment:
    """`n` rows, each column of shape (n,); `offset` counts µs since the hour began."""

    hour: int
    origin: npt.NDArray[Any]
    offset: npt.NDArray[np.uint32]
    lag: Packed
    """Arrival after the moment, in µs."""

    flags: npt.NDArray[np.uint8]
    columns: dict[str, Packed]

    def __len__(self) -> int:
        return len(self.origin)

    @property
    def bytes(self) -> int:
        packed_values = sum(column.values.nbytes for column in self.columns.values())
        own = self.origin.nbytes + self.offset.nbytes + self.flags.nbytes
        return own + self.lag.values.nbytes + packed_values

    def rows_of(self, origins: Ints) -> Rows:
        """The rows of some origins, which are sorted."""
        wanted = origins[origins <= np.iinfo(self.origin.dtype).max]
        wanted = wanted.astype(self.origin.dtype)  # of another type, all of ours would be converted
        starts = self.origin.searchsorted(wanted, "left")
        lengths = self.origin.searchsorted(wanted, "right") - starts
        if len(wanted) == 1:
            return np.arange(starts[0], starts[0] + lengths[0])
        first = np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
        return first + np.arange(len(first))

    def at_us(self, rows: Rows) -> Ints:
        """The moments of rows."""
        return self.offset[rows].astype(np.int64) + self.hour * HOUR_US

    def without(self, dropped: npt.NDArray[np.bool_]) -> Segment:
        """The other rows."""
        return segment(self.hour, taken([(self, np.flatnonzero(~dropped))]))

    def since(self, moment_us: int) -> Segment:
        """The rows from a moment on; none is unpacked for it."""
        kept = self.offset >= moment_us - self.hour * HOUR_US
        columns = {name: column.taken(kept) for name, column in self.columns.items()}
        own = (self.origin[kept], self.offset[kept], self.lag.taken(kept), self.flags[kept])
        return Segment(self.hour, *own, columns)

    def renumbered(self, numbers: npt.NDArray[np.int32]) -> Segment:
        """The same with new numbers of origins, in the same order as the old ones."""
        origin = _smallest(numbers[self.origin])
        return Segment(self.hour, origin, self.offset, self.lag, self.flags, self.columns)


def segment(hour: int, rows: Table) -> Segment:
    """Rows of an hour, in any order.

    They have `origin, timestamp_us, received_us, flags` and MERGED, and what the sensors said of
    what was corrected.
    """
    offset = rows["timestamp_us"] - hour * HOUR_US
    lag = rows["received_us"] - rows["timestamp_us"]
    return _sorted(hour, rows["origin"], offset, lag, rows["flags"], rows.get)


def taken(picks: Sequence[tuple[Segment, Rows]]) -> Table:
    """Rows of several segments one after the other, as the columns that `segment` takes."""
    at_us = np.concatenate([part.at_us(rows) for part, rows in picks])
    lag = _gathered([(part.lag, rows) for part, rows in picks])
    return {
        "origin": np.concatenate([part.origin[rows] for part, rows in picks]),
        "timestamp_us": at_us,
        "received_us": at_us + lag.astype(np.int64),
        "flags": np.concatenate([part.flags[rows] for part, rows in picks]),
        **{
            name: _gathered([(part.columns.get(name), rows) for part, rows in picks])
            for name in _NUMBERS
            if name in MERGED or any(name in part.columns for part, _ in picks)
        },
    }


def merged(parts: Sequence[Segment]) -> Segment:
    """Segments of one hour as one."""
    every = [np.arange(len(part)) for part in parts]

    def column_of(name: str) -> npt.NDArray[np.float64] | None:
        columns = [part.columns.get(name) for part in parts]
        if columns.count(None) == len(columns):
            return None
        return _gathered(list(zip(columns, every, strict=True)))

    return _sorted(
        parts[0].hour,
        np.concatenate([part.origin.astype(np.int32) for part in parts]),
        np.concatenate([part.offset for part in parts]),
        _gathered([(part.lag, rows) for part, rows in zip(parts, every, strict=True)]),
        np.concatenate([part.flags for part in parts]),
        column_of,
    )


def _sorted(
    hour: int,
    origin: npt.NDArray[Any],
    offset: npt.NDArray[Any],
    lag: npt.NDArray[Any],
    flags: npt.NDArray[np.uint8],
    column_of: Callable[[str], npt.NDArray[np.float64] | None],
) -> Segment:
    """A segment of rows in any order; its columns are packed one at a time, to save memory."""
    order = np.lexsort((offset, origin))
    packed_lag = packed(lag[order].astype(np.float64))
    given = ((name, column_of(name)) for name in _NUMBERS)
    columns = {name: packed(column[order]) for name, column in given if column is not None}
    return Segment(
        hour,
        _smallest(origin[order]),
        offset[order].astype(np.uint32),
        packed_lag or Packed(np.empty(0), 0),
        flags[order].astype(np.uint8),
        {name: column for name, column in columns.items() if column is not None},
    )


def _gathered(picks: Sequence[tuple[Packed | None, Rows]]) -> npt.NDArray[np.float64]:
    """Numbers from several columns, unpacked all at once where they are packed alike."""
    kinds = {None if packed is None else (packed.scale, packed.values.dtype) for packed, _ in picks}
    if kinds == {None}:
        return np.full(sum(len(rows) for _, rows in picks), np.nan)
    if len(kinds) == 1:
        values = np.concatenate([packed.values[rows] for packed, rows in picks if packed])
        return _unpacked(values, next(packed.scale for packed, _ in picks if packed))
    return np.concatenate(
        [
            np.full(len(rows), np.nan) if packed is None else packed.at(rows)
            for packed, rows in picks
        ]
    )


def _unpacked(values: npt.NDArray[Any], scale: int) -> npt.NDArray[np.float64]:
    if not scale:
        return values
    numbers = values / scale
    numbers[values == _ABSENT[values.dtype]] = np.nan
    return numbers


def _smallest(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Numbers from 0 as uint16 where they fit, else as int32."""
    return numbers.astype(np.uint16 if numbers.max(initial=0) < 1 << 16 else np.int32)
