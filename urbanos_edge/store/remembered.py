"""What sensors said last, read back from the store, so that a restart is not a new beginning."""

from __future__ import annotations

from typing import Final

import duckdb

from urbanos_edge.batch import Batch, from_columns
from urbanos_edge.clock import HOUR_US
from urbanos_edge.engine import Engine, statement
from urbanos_edge.quality.course import SILENCE_US, STUCK_US
from urbanos_edge.store.damage import read_intact
from urbanos_edge.store.store import Store

_DAY_US: Final = STUCK_US + HOUR_US
"""How far back it is looked for since when a value is the same."""


def last_readings(store: Store, engine: Engine, now_us: int) -> Batch | None:
    """The readings that a watch needs to go on from, by sensor and time; None when there are none.

    These are the last twelve of each sensor that was heard in the last three hours of what is
    stored. Where something did not change in these hours, there are some of the day before as well:
    one in ten minutes, which cannot tell a value that changed in between and came back.

    Raises:
        StorageUnavailable, OutOfMemory, duckdb.Error: they could not be read.
    """
    until_us = min(now_us, store.newest_at_us())
    since_us, day_since_us = until_us - SILENCE_US, until_us - _DAY_US
    newest = {str(store.full(file)) for file in store.files if file.max_at_us >= since_us}

    def work(cursor: duckdb.DuckDBPyConnection, paths: list[str]) -> Batch | None:
        files = [path for path in paths if path in newest]
        if not files:
            return None
        span = {"files": files, "since_us": since_us}
        cursor.execute(statement("heard_sensors"), span)
        day = {"day_files": paths, "day_since_us": day_since_us}
        found = cursor.execute(statement("last_readings"), span | day).fetchnumpy()
        return from_columns(found) if len(found["sensor_id"]) else None

    return read_intact(store, engine, lambda file: file.max_at_us >= day_since_us, work)
