"""Readings side by side: packed into bytes for the spool, unpacked as columns for the flush.

A payload carries everything it needs (its strings travel with it), so it can be read long after
the registry changed. Rows have a fixed width: unpacking a million of them is one copy, without a
Python object per reading.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge.grid import BEYOND_LAT, FINEST_ZOOM, tile_at
from urbanos_edge.reading import QUANTITY_NAMES, Reading, Timing

NAN: Final = math.nan
_FIRST_QUANTITIES: Final = 10
"""How many a payload has that does not say it."""


@cache
def layout(quantities: int) -> np.dtype[Any]:
    """A row with room for so many quantities; those that this version does not know are unnamed."""
    unknown = [f"unknown_{number}" for number in range(len(QUANTITY_NAMES), quantities)]
    return np.dtype(
        [
            ("timestamp_us", "<i8"),
            ("received_us", "<i8"),
            ("lng", "<f8"),
            ("lat", "<f8"),
            ("reported_aqi", "<f8"),
            *((name, "<f8") for name in (*QUANTITY_NAMES[:quantities], *unknown)),
            ("x18", "<u4"),
            ("y18", "<u4"),
            ("sensor", "<u4"),
            ("source", "<u2"),
            ("pollution_type", "<u2"),
            ("timing", "<u1"),
        ]
    )


ROW: Final = layout(len(QUANTITY_NAMES))
CHANNELS_DISAGREE: Final = 0x80
"""The bit that a packed `timing` has where the channels of a monitor disagree."""
_PACKER: Final = struct.Struct(f"<2q3d{len(QUANTITY_NAMES)}d3I2HB")
assert _PACKER.size == ROW.itemsize
_SAID: Final = slice(ROW.fields["reported_aqi"][1], ROW.fields["x18"][1])  # type: ignore[index]
_CLOSE: Final = 1e-6
"""Share of a tile's height; the projection's error at the finest zoom is below 1e-8 of it."""

_LABELLED: Final = ("sensor", "source", "pollution_type")
TYPES: Final = {
    **{name: ROW[name] for name in ROW.names or ()},
    **dict.fromkeys(_LABELLED, np.dtype(np.uint32)),
}
"""Of a batch's columns. In a row 16 bits number the strings of its payload; those of several need
more."""
CORRECTION: Final = "correction"
RAW_NAMES: Final = {name: f"{name}_raw" for name in QUANTITY_NAMES}
"""By quantity, the column with what the sensor said where a correction changed it."""

Column = npt.NDArray[Any]


class Payload(msgspec.Struct, array_like=True, frozen=True):
    """What one spool entry holds: distinct strings, and rows that point into them.

    `quantities` is how many of them the rows have room for, the first ones of what is known.
    """

    labels: list[str]
    rows: bytes
    quantities: int = _FIRST_QUANTITIES


@dataclass(slots=True)
class Batch:
    """`n` readings as columns, each of shape (n,); absent values are NaN.

    `sensor`, `source` and `pollution_type` index into `labels`; `x18`, `y18` are the tile at the
    finest zoom; `channels_disagree` is a mask. Where anything was corrected there is `correction`,
    which indexes into `labels`, too, and `<quantity>_raw` for each quantity that was: what the
    sensor said, or NaN where that is the value itself.
    """

    labels: list[str]
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.columns["timestamp_us"])

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def take(self, rows: npt.NDArray[Any]) -> Batch:
        """The same columns with only these rows, by index or by mask."""
        return Batch(self.labels, {name: column[rows] for name, column in self.columns.items()})

    def strings(self, name: str) -> list[str]:
        """A label column spelled out."""
        return [self.labels[index] for index in self.columns[name].tolist()]


@dataclass(slots=True)
class Rows:
    """Readings laid out as in a payload, with the strings they will point to beside them."""

    rows: Column
    sensor_ids: list[str]
    sources: list[str]
    pollution_types: list[str]

    def __len__(self) -> int:
        return len(self.rows)

    def put(self, index: int, reading: Reading) -> None:
        """Let a reading stand at this place."""
        self.rows[index] = np.frombuffer(_packed(reading, 0, 0, 0), ROW)[0]
        self.sensor_ids[index] = reading.sensor_id
        self.sources[index] = reading.source
        self.pollution_types[index] = reading.pollution_type

    def without(self, dropped: Collection[int]) -> Rows:
        """The others, in order."""
        kept = [index for index in range(len(self)) if index not in dropped]
        return Rows(
            self.rows[kept],
            [self.sensor_ids[index] for index in kept],
            [self.sources[index] for index in kept],
            [self.pollution_types[index] for index in kept],
        )


class Packing:
    """A payload in the making; `unpack` gives its readings back in the order they were added."""

    def __init__(self) -> None:
        self._labels: dict[str, int] = {}
        self._packed: list[bytes] = []
        self._bytes = 0

    def __len__(self) -> int:
        return self._bytes // ROW.itemsize

    def add(self, readings: Iterable[Reading]) -> bytes:
        """Add readings; return their rows."""
        known = self._labels
        number = known.setdefault
        return self._append(
            b"".join(
                _packed(
                    reading,
                    number(reading.sensor_id, len(known)),
                    number(reading.source, len(known)),
                    number(reading.pollution_type, len(known)),
                )
                for reading in readings
            )
        )

    def add_rows(self, given: Rows) -> bytes:
        """Add what is laid out already, giving its strings their numbers; return its rows."""
        given.rows["sensor"] = self._numbers(given.sensor_ids)
        given.rows["source"] = self._numbers(given.sources)
        given.rows["pollution_type"] = self._numbers(given.pollution_types)
        return self._append(given.rows.tobytes())

    def payload(self) -> bytes:
        """What goes into the spool."""
        return msgspec.msgpack.encode(
            Payload(list(self._labels), b"".join(self._packed), len(QUANTITY_NAMES))
        )

    def _numbers(self, labels: Sequence[str]) -> Column | int:
        """The number of each, one for all where all are the same."""
        known = self._labels
        distinct = dict.fromkeys(labels)
        for label in distinct:
            known.setdefault(label, len(known))
        if len(distinct) == 1:
            return known[labels[0]]
        return np.fromiter(map(known.__getitem__, labels), np.uint32, len(labels))

    def _append(self, rows: bytes) -> bytes:
        self._packed.append(rows)
        self._bytes += len(rows)
        return rows


def said(rows: bytes) -> list[bytes]:
    """What each row says of its moment: the quantities and the reported index, as they lie."""
    size = ROW.itemsize
    return [rows[at + _SAID.start : at + _SAID.stop] for at in range(0, len(rows), size)]


def pack(readings: Sequence[Reading]) -> bytes:
    """Return the payload of these readings; `unpack` gives them back, in order."""
    packing = Packing()
    packing.add(readings)
    return packing.payload()


def reading_at(batch: Batch, index: int) -> Reading:
    """Row `index` as a reading; its priority is not kept in a batch."""
    values = {name: float(batch[name][index]) for name in QUANTITY_NAMES}
    reported = float(batch["reported_aqi"][index])
    return Reading(
        sensor_id=batch.labels[batch["sensor"][index]],
        timestamp_us=int(batch["timestamp_us"][index]),
        received_us=int(batch["received_us"][index]),
        lat=float(batch["lat"][index]),
        lng=float(batch["lng"][index]),
        values={name: value for name, value in values.items() if not math.isnan(value)},
        source=batch.labels[batch["source"][index]],
        pollution_type=batch.labels[batch["pollution_type"][index]],
        reported_aqi=None if math.isnan(reported) else reported,
        timing=Timing(int(batch["timing"][index])),
        channels_disagree=bool(batch["channels_disagree"][index]),
    )


def unpack(payloads: Iterable[bytes]) -> Batch:
    """Lay the readings of several payloads side by side, in order."""
    decoded = [_DECODER.decode(payload) for payload in payloads]
    count = sum(len(one.rows) // layout(one.quantities).itemsize for one in decoded)
    columns = {name: np.empty(count, dtype) for name, dtype in TYPES.items()}
    labels: dict[str, int] = {}
    start = 0
    for payload in decoded:  # one after the other, for each is small enough for the cache
        rows = np.frombuffer(payload.rows, dtype=layout(payload.quantities))
        known, end = rows.dtype.names or (), start + len(rows)
        for name, column in columns.items():
            column[start:end] = rows[name] if name in known else NAN
        numbers = np.array([labels.setdefault(name, len(labels)) for name in payload.labels])
        for name in _LABELLED:
            columns[name][start:end] = numbers[rows[name]]
        start = end
    columns["channels_disagree"] = columns["timing"] >= CHANNELS_DISAGREE
    columns["timing"] &= CHANNELS_DISAGREE - 1
    return Batch(list(labels), columns)


def from_columns(found: Mapping[str, Column]) -> Batch:
    """A batch of stored rows, given as queries return them: with their strings spelled out."""
    labels: dict[str, int] = {}
    columns: dict[str, Column] = {}
    for name in ROW.names or ():
        if name in found:
            columns[name] = np.asarray(found[name])
    for name, source in (
        ("sensor", "sensor_id"),
        ("source", "source"),
        ("pollution_type", "pollution_type"),
    ):
        numbers = [labels.setdefault(label, len(labels)) for label in found[source].tolist()]
        columns[name] = np.array(numbers, np.int64)
    columns["x18"], columns["y18"] = finest_tiles(found["lng"], found["lat"])
    columns["timing"] = np.zeros(len(columns["sensor"]), np.uint8)
    columns["channels_disagree"] = np.asarray(found["channels_disagree"], bool)
    if CORRECTION in found and (found[CORRECTION] != "").any():
        numbers = [labels.setdefault(label, len(labels)) for label in found[CORRECTION].tolist()]
        columns[CORRECTION] = np.array(numbers, np.int64)
        raw = {name: np.asarray(found[name]) for name in RAW_NAMES.values()}
        columns |= {name: column for name, column in raw.items() if not np.isnan(column).all()}
    return Batch(list(labels), columns)


def as_said(columns: Mapping[str, Column], quantity: str) -> Column:
    """What sensors said of a quantity, before any correction."""
    raw = columns.get(RAW_NAMES[quantity])
    if raw is None:
        return columns[quantity]
    return np.where(np.isnan(raw), columns[quantity], raw)


def uncorrected(batch: Batch) -> Batch:
    """The same readings as their sensors sent them; the batch itself if nothing was corrected."""
    if CORRECTION not in batch.columns:
        return batch
    added = {CORRECTION, *RAW_NAMES.values()}
    kept = {name: column for name, column in batch.columns.items() if name not in added}
    said = {name: as_said(batch.columns, name) for name in QUANTITY_NAMES}
    return Batch(batch.labels, kept | said)


def finest_tiles(lng: Column, lat: Column) -> tuple[Column, Column]:
    """Column and row of each place at the finest zoom, as `tile_at` gives them.

    NumPy's functions may differ from the C library's in the last bits: what comes that close to
    the edge of a tile, and what lies beyond the projection, is left to `tile_at` itself.
    """
    count = 1 << FINEST_ZOOM
    angle = np.clip(lat, -BEYOND_LAT, BEYOND_LAT) * math.pi / 180
    projected = np.log(np.tan(angle) + 1 / np.cos(angle))
    column = (lng + 180) / 360 * count
    row = (1 - projected / math.pi) / 2 * count
    is_close = np.abs(row - np.rint(row)) < _CLOSE
    x = np.clip(np.floor(column), 0, count - 1).astype(np.int64)
    y = np.clip(np.floor(row), 0, count - 1).astype(np.int64)
    for index in np.flatnonzero(is_close | (np.abs(lat) > BEYOND_LAT)).tolist():
        x[index], y[index] = finest_tile(float(lat[index]), float(lng[index]))
    return x, y


@lru_cache(maxsize=1 << 14)
def finest_tile(lat: float, lng: float) -> tuple[int, int]:
    """Column and row of a place at the finest zoom; sensors hardly move, so it is remembered."""
    tile = tile_at(lat, lng, FINEST_ZOOM)
    return tile.x, tile.y


_DECODER: Final = msgspec.msgpack.Decoder(Payload)


def _packed(reading: Reading, sensor: int, source: int, pollution_type: int) -> bytes:
    value_of = reading.values.get
    return _PACKER.pack(
        reading.timestamp_us,
        reading.received_us,
        reading.lng,
        reading.lat,
        NAN if reading.reported_aqi is None else reading.reported_aqi,
        *[value_of(name, NAN) for name in QUANTITY_NAMES],
        *finest_tile(reading.lat, reading.lng),
        sensor,
        source,
        pollution_type,
        reading.timing | CHANNELS_DISAGREE if reading.channels_disagree else reading.timing,
    )
