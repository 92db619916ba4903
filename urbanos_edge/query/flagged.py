"""Which sensors were flagged, for what and how often: what to look at first."""

from __future__ import annotations

import duckdb
import msgspec

from urbanos_edge.engine import Engine, statement
from urbanos_edge.store.damage import read_intact
from urbanos_edge.store.store import Store


class Flagged(msgspec.Struct, frozen=True):
    """The readings of a sensor with one flag in a span; `readings` are all it has there.

    PM is in µg/m³, None where these readings have none.
    """

    flag: str
    sensor_id: str
    flagged: int
    readings: int
    first_at_us: int
    last_at_us: int
    lowest_pm25: float | None
    highest_pm25: float | None
    lowest_pm10: float | None
    highest_pm10: float | None


def flagged(store: Store, engine: Engine, since_us: int, until_us: int) -> list[Flagged]:
    """The flags of what is stored with since ≤ moment < until, by flag, most readings first.

    Raises:
        StorageUnavailable: a file could not be read.
    """

    def work(cursor: duckdb.DuckDBPyConnection, paths: list[str]) -> list[Flagged]:
        if not paths:
            return []
        span = {"files": paths, "since_us": since_us, "until_us": until_us}
        found = cursor.execute(statement("flagged_readings"), span).fetchall()
        return [Flagged(**dict(zip(Flagged.__struct_fields__, row, strict=True))) for row in found]

    return read_intact(
        store, engine, lambda file: file.min_at_us < until_us and file.max_at_us >= since_us, work
    )
