"""A reading as clients see it: the same fields in the API, in WebSocket frames and in exports."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from urbanos_edge.batch import Batch
from urbanos_edge.clock import to_rfc3339
from urbanos_edge.grid import FINEST_ZOOM, STORED_ZOOM, Tile
from urbanos_edge.quality import FLAG_LABELS
from urbanos_edge.reading import reading_id

_STORED_SHIFT = FINEST_ZOOM - STORED_ZOOM


class Row(msgspec.Struct, kw_only=True):
    """One graded reading. Quantities are in the units of `reading.QUANTITIES`, null when absent.

    `aqi_value` grades this reading's own concentrations; `reported_aqi` is what the client said.
    """

    id: str
    grid_id: str
    sensor_id: str
    lat: float
    lng: float
    aqi_value: int | None
    timestamp: str
    received_at: str
    source: str
    pollution_type: str
    level: int | None
    pm25_aqi: int | None
    pm10_aqi: int | None
    o3_aqi: int | None
    no2_aqi: int | None
    so2_aqi: int | None
    co_aqi: int | None
    reported_aqi: float | None
    pm1: float | None
    pm25: float | None
    pm10: float | None
    o3: float | None
    no2: float | None
    so2: float | None
    co: float | None
    temperature: float | None
    humidity: float | None
    pressure: float | None
    flags: list[str]


_INDEXES = (
    *("aqi_value", "level"),
    *(name for name in Row.__struct_fields__ if name.endswith("_aqi") and name != "reported_aqi"),
)
_NUMBERS = ("reported_aqi", *Row.__struct_fields__[-11:-1])


def row_of(batch: Batch, index: int) -> Row:
    """Row `index` of a graded batch."""
    sensor_id = batch.labels[batch["sensor"][index]]
    timestamp_us = int(batch["timestamp_us"][index])
    x, y = int(batch["x18"][index]), int(batch["y18"][index])
    numbers = {name: float(batch[name][index]) for name in _NUMBERS}
    indexes = {name: int(batch[name][index]) for name in _INDEXES}
    present: dict[str, Any] = {
        **{name: None if value < 0 else value for name, value in indexes.items()},
        **{name: None if math.isnan(value) else value for name, value in numbers.items()},
    }
    return Row(
        id=reading_id(sensor_id, timestamp_us),
        grid_id=Tile(STORED_ZOOM, x >> _STORED_SHIFT, y >> _STORED_SHIFT).grid_id,
        sensor_id=sensor_id,
        lat=float(batch["lat"][index]),
        lng=float(batch["lng"][index]),
        timestamp=to_rfc3339(timestamp_us),
        received_at=to_rfc3339(int(batch["received_us"][index])),
        source=batch.labels[batch["source"][index]],
        pollution_type=batch.labels[batch["pollution_type"][index]],
        flags=split_flags(FLAG_LABELS[batch["flags"][index]]),
        **present,
    )


def split_flags(flags: str) -> list[str]:
    """Flags as stored, one by one."""
    return flags.split(",") if flags else []
