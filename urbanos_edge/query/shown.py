"""Which reading was shown of a sensor at a moment, with all that is stored of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import duckdb

from urbanos_edge.batch import CORRECTION, RAW_NAMES
from urbanos_edge.clock import DAY_US
from urbanos_edge.engine import Engine, statement
from urbanos_edge.errors import NotFound
from urbanos_edge.quality.quality import FLAG_LABELS
from urbanos_edge.reading import QUANTITY_NAMES
from urbanos_edge.rollup.recent import Recent
from urbanos_edge.rollup.rollup import View
from urbanos_edge.store.damage import read_intact
from urbanos_edge.store.store import Store

LOOKS_BACK_US: Final = DAY_US
"""How long before a moment the reading may lie that was shown then."""

Row = Mapping[str, Any]
"""The columns of a stored reading, moments in microseconds since 1970, None where there is nothing.

One that is not stored yet has no `grading`, and files from before there were corrections have no
columns for them.
"""


class Shown:
    """Read by any number of threads."""

    def __init__(self, store: Store, engine: Engine, recent: Recent) -> None:
        self._store = store
        self._engine = engine
        self._recent = recent

    def row(self, sensor_id: str, at_us: int | None, view: View) -> Row:
        """The reading that was shown at a moment, or is now: one that is stored, or an urgent one.

        Raises:
            NotFound: there is none in the 24 hours before.
            StorageUnavailable: a file could not be read.
        """
        latest_us = _latest_us(view, sensor_id)
        if at_us is None:
            span_us = None if latest_us is None else (latest_us, latest_us)
        else:
            is_shown = latest_us is not None and at_us - LOOKS_BACK_US < latest_us <= at_us
            span_us = self._span_us(sensor_id, at_us, latest_us if is_shown else None)
        stored = None if span_us is None else self._stored(sensor_id, *span_us)
        if stored is not None:
            return stored
        if span_us is not None and latest_us is not None and span_us[1] == latest_us:
            return _row_of(view, sensor_id)
        raise NotFound(
            "there is no reading of this sensor in the 24 hours before; 'at' names another moment"
        )

    def _span_us(self, sensor_id: str, at_us: int, latest_us: int | None) -> tuple[int, int]:
        """Between which moments the last reading up to a moment lies; the same when it is known."""
        from_us = at_us - LOOKS_BACK_US
        batch, horizon_us = self._recent.of_sensor(sensor_id, from_us, at_us + 1)
        known = batch["timestamp_us"].tolist() + ([] if latest_us is None else [latest_us])
        if known:
            return max(known), max(known)
        return from_us, min(at_us, max(horizon_us, from_us))

    def _stored(self, sensor_id: str, from_us: int, until_us: int) -> Row | None:
        bounds = {"sensor_id": sensor_id, "from_us": from_us, "until_us": until_us}

        def work(cursor: duckdb.DuckDBPyConnection, paths: list[str]) -> Row | None:
            if not paths:
                return None
            found = cursor.execute(statement("explained_reading"), {"files": paths} | bounds)
            names = [column[0] for column in found.description]
            row = found.fetchone()
            return None if row is None else dict(zip(names, row, strict=True))

        return read_intact(
            self._store,
            self._engine,
            lambda file: file.min_at_us <= until_us and file.max_at_us >= from_us,
            work,
        )


def _latest_us(view: View, sensor_id: str) -> int | None:
    """The moment of the newest reading that is shown of a sensor."""
    number = view.row_by_sensor.get(sensor_id)
    at_us = -1 if number is None else int(view.latest["timestamp_us"][number])
    return None if at_us < 0 else at_us


def _row_of(view: View, sensor_id: str) -> Row:
    """The newest reading that is shown, with the columns of a stored one."""
    number, latest = view.row_by_sensor[sensor_id], view.latest
    columns = latest.columns
    numbers = [*QUANTITY_NAMES, *(name for name in RAW_NAMES.values() if name in columns)]
    row: dict[str, Any] = {name: _or_none(float(latest[name][number])) for name in numbers}
    row |= {
        "sensor_id": sensor_id,
        "timestamp": int(latest["timestamp_us"][number]),
        "received_at": int(latest["received_us"][number]),
        "source": latest.labels[latest["source"][number]],
        "lat": float(latest["lat"][number]),
        "lng": float(latest["lng"][number]),
        "flags": FLAG_LABELS[int(latest["flags"][number])],
    }
    if CORRECTION in columns:
        row[CORRECTION] = latest.labels[latest[CORRECTION][number]]
    return row


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
