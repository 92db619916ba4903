"""Readings side by side: packed into bytes for the spool, unpacked as columns for the flush.

A payload carries everything it needs (its strings travel with it), so it can be read long after
the registry changed. Rows have a fixed width: unpacking a million of them is one copy, without a
Python object per reading.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge.grid import FINEST_ZOOM, tile_at
from urbanos_edge.reading import QUANTITY_NAMES, Reading, Timing

NAN: Final = math.nan
ROW: Final = np.dtype(
    [
        ("timestamp_us", "<i8"),
        ("received_us", "<i8"),
        ("lng", "<f8"),
        ("lat", "<f8"),
        ("reported_aqi", "<f8"),
        *((name, "<f8") for name in QUANTITY_NAMES),
        ("x18", "<u4"),
        ("y18", "<u4"),
        ("sensor", "<u4"),
        ("source", "<u2"),
        ("pollution_type", "<u2"),
        ("timing", "<u1"),
    ]
)
_PACKER: Final = struct.Struct(f"<2q3d{len(QUANTITY_NAMES)}d3I2HB")
assert _PACKER.size == ROW.itemsize

Column = npt.NDArray[Any]


class Payload(msgspec.Struct, array_like=True, frozen=True):
    """What one spool entry holds: distinct strings, and rows that point into them."""

    labels: list[str]
    rows: bytes


@dataclass(slots=True)
class Batch:
    """`n` readings as columns, each of shape (n,); absent values are NaN.

    `sensor`, `source` and `pollution_type` index into `labels`; `x18`, `y18` are the tile at the
    finest zoom.
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


def pack(readings: Sequence[Reading]) -> bytes:
    """Return the payload of these readings; `unpack` gives them back, in order."""
    labels: dict[str, int] = {}
    rows = b"".join([_pack_row(reading, labels) for reading in readings])
    return msgspec.msgpack.encode(Payload(list(labels), rows))


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
    )


def unpack(payloads: Iterable[bytes]) -> Batch:
    """Lay the readings of several payloads side by side, in order."""
    labels: dict[str, int] = {}
    parts = []
    for payload in payloads:
        decoded = _DECODER.decode(payload)
        part = np.frombuffer(decoded.rows, dtype=ROW).copy()
        renumber = np.array([labels.setdefault(name, len(labels)) for name in decoded.labels])
        for name in ("sensor", "source", "pollution_type"):
            part[name] = renumber[part[name]]
        parts.append(part)
    rows = np.concatenate(parts) if parts else np.empty(0, dtype=ROW)
    return Batch(list(labels), {name: np.ascontiguousarray(rows[name]) for name in ROW.names or ()})


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
    return Batch(list(labels), columns)


def finest_tiles(lng: Column, lat: Column) -> tuple[Column, Column]:
    """Column and row of each place at the finest zoom."""
    tiles = [tile_at(y, x, FINEST_ZOOM) for x, y in zip(lng.tolist(), lat.tolist(), strict=True)]
    return (
        np.array([tile.x for tile in tiles], np.int64),
        np.array([tile.y for tile in tiles], np.int64),
    )


_DECODER: Final = msgspec.msgpack.Decoder(Payload)


def _pack_row(reading: Reading, labels: dict[str, int]) -> bytes:
    tile = tile_at(reading.lat, reading.lng, FINEST_ZOOM)
    value_of = reading.values.get
    return _PACKER.pack(
        reading.timestamp_us,
        reading.received_us,
        reading.lng,
        reading.lat,
        NAN if reading.reported_aqi is None else reading.reported_aqi,
        *[value_of(name, NAN) for name in QUANTITY_NAMES],
        tile.x,
        tile.y,
        labels.setdefault(reading.sensor_id, len(labels)),
        labels.setdefault(reading.source, len(labels)),
        labels.setdefault(reading.pollution_type, len(labels)),
        reading.timing,
    )
