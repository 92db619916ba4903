"""A reading as clients see it: the same fields in the API, in WebSocket frames and in exports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from urbanos_edge.batch import CORRECTION, RAW_NAMES, Batch
from urbanos_edge.clock import all_to_rfc3339, to_rfc3339
from urbanos_edge.grid import FINEST_ZOOM, STORED_ZOOM, Tile
from urbanos_edge.quality.quality import FLAG_LABELS
from urbanos_edge.reading import QUANTITY_NAMES, reading_id, reading_ids

_STORED_SHIFT = FINEST_ZOOM - STORED_ZOOM


class Row(msgspec.Struct, gc=False):
    """One graded reading. Quantities are in the units of `reading.QUANTITIES`, null when absent.

    `aqi_value` grades this reading's own concentrations; `reported_aqi` is what the client said.
    Only where something was corrected there are `correction`, which names how, and, for what it
    changed, what the sensor said.
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
    correction: str | UnsetType = UNSET
    pm1_raw: float | UnsetType = UNSET
    pm25_raw: float | UnsetType = UNSET
    pm10_raw: float | UnsetType = UNSET
    o3_raw: float | UnsetType = UNSET
    no2_raw: float | UnsetType = UNSET
    so2_raw: float | UnsetType = UNSET
    co_raw: float | UnsetType = UNSET
    temperature_raw: float | UnsetType = UNSET
    humidity_raw: float | UnsetType = UNSET
    pressure_raw: float | UnsetType = UNSET


_INDEXES = (
    *("aqi_value", "level"),
    *(name for name in Row.__struct_fields__ if name.endswith("_aqi") and name != "reported_aqi"),
)
_NUMBERS = ("reported_aqi", *QUANTITY_NAMES)
ADDED = (CORRECTION, *RAW_NAMES.values())
"""Fields that are there only where something was corrected."""
_FIELDS = Row.__struct_fields__[: -len(ADDED)]


def rows_of(batch: Batch) -> list[Row]:
    """The rows of a graded batch, in order."""
    at_us = batch["timestamp_us"].tolist()
    columns: dict[str, Iterable[Any]] = {
        "sensor_id": (sensor_ids := batch.strings("sensor")),
        "id": reading_ids(sensor_ids, at_us),
        "grid_id": map(_grid_id, batch["x18"].tolist(), batch["y18"].tolist()),
        "timestamp": all_to_rfc3339(batch["timestamp_us"]),
        "received_at": all_to_rfc3339(batch["received_us"]),
        "source": batch.strings("source"),
        "pollution_type": batch.strings("pollution_type"),
        "flags": [_FLAGS[bits] for bits in batch["flags"].tolist()],
        "lat": batch["lat"].tolist(),
        "lng": batch["lng"].tolist(),
        **{name: _present(batch[name], batch[name] >= 0) for name in _INDEXES},
        **{name: _present(batch[name], ~np.isnan(batch[name])) for name in _NUMBERS},
    }
    fields = _FIELDS
    if CORRECTION in batch.columns:
        fields = Row.__struct_fields__
        columns |= _corrections(batch)
    return [Row(*values) for values in zip(*(columns[name] for name in fields), strict=True)]


def row_of(batch: Batch, index: int) -> Row:
    """Row `index` of a graded batch."""
    return rows_of(batch.take(np.array([index])))[0]


def stored_row(columns: dict[str, Any]) -> Row:
    """The row of what `sql/row_columns.sql` found, or its counterpart at the centre."""
    timestamp_us, received_us = columns.pop("timestamp_us"), columns.pop("received_us")
    columns["flags"] = split_flags(columns["flags"])
    columns.setdefault("id", reading_id(columns["sensor_id"], timestamp_us))
    for name in ADDED:
        if columns[name] is None:
            del columns[name]
    return Row(**columns, timestamp=to_rfc3339(timestamp_us), received_at=to_rfc3339(received_us))


def _corrections(batch: Batch) -> dict[str, Iterable[Any]]:
    """What is added to the rows of a batch where something was corrected."""
    absent = np.full(len(batch), np.nan)
    raw = {name: batch.columns.get(name, absent) for name in RAW_NAMES.values()}
    return {
        CORRECTION: [text or UNSET for text in batch.strings(CORRECTION)],
        **{name: _present(column, ~np.isnan(column), UNSET) for name, column in raw.items()},
    }


@lru_cache(maxsize=1 << 14)
def _grid_id(x18: int, y18: int) -> str:
    return Tile(STORED_ZOOM, x18 >> _STORED_SHIFT, y18 >> _STORED_SHIFT).grid_id


def _present(
    column: npt.NDArray[Any], is_there: npt.NDArray[np.bool_], absent: Any = None
) -> Sequence[Any]:
    """Numbers, and what stands where there is none."""
    if not is_there.any():
        return [absent] * len(column)
    values: list[Any] = column.tolist()
    if is_there.all():
        return values
    return [
        value if there else absent for value, there in zip(values, is_there.tolist(), strict=True)
    ]


def split_flags(flags: str) -> list[str]:
    """Flags as stored, one by one."""
    return flags.split(",") if flags else []


_FLAGS = [split_flags(label) for label in FLAG_LABELS]
