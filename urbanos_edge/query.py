"""Questions to the store, answered by DuckDB from the files that may hold the answer.

What the live map asks is answered by the rollup instead.
"""

from __future__ import annotations

from typing import Any, Final

import duckdb

from urbanos_edge.clock import to_rfc3339
from urbanos_edge.damage import read_intact
from urbanos_edge.engine import Engine, statement
from urbanos_edge.grid import STORED_ZOOM, Bounds, Tile, tile_at
from urbanos_edge.manifest import File
from urbanos_edge.reading import reading_id
from urbanos_edge.rows import Row, split_flags
from urbanos_edge.store import Store

MAX_ROWS: Final = 1000


class Query:
    """Reads the live files under a lease; safe from several threads."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store = store
        self._engine = engine

    def rows(self, tile: Tile, since_us: int, limit: int = MAX_ROWS) -> list[Row]:
        """Return the readings of a grid after `since_us`, newest first, at most `limit`.

        Raises:
            StorageUnavailable: a file could not be read.
        """
        is_stored = tile.z == STORED_ZOOM
        parameters = {"limit": limit, "grid_id": tile.grid_id if is_stored else None}
        rows = self._find("rows_in_area", tile.reach, since_us, parameters)
        return [row for row in rows if _belongs(row, tile)]

    def rows_by_grid(self, box: Bounds, zoom: int, since_us: int) -> list[Row]:
        """Return the readings of all grids in a box, newest first, at most `MAX_ROWS` of each.

        Raises:
            StorageUnavailable: a file could not be read.
        """
        return self._find("rows_by_grid", box, since_us, {"n": 1 << zoom, "per_grid": MAX_ROWS})

    def _find(self, name: str, box: Bounds, since_us: int, parameters: dict[str, Any]) -> list[Row]:
        def wanted(file: File) -> bool:
            return file.max_at_us > since_us and file.meets(box)

        def work(cursor: duckdb.DuckDBPyConnection, paths: list[str]) -> list[Row]:
            if not paths:
                return []
            where = {"files": paths, "since_us": since_us, **box._asdict()}
            found = cursor.execute(statement(name), where | parameters)
            names = [column[0] for column in found.description]
            return [_row(dict(zip(names, values, strict=True))) for values in found.fetchall()]

        return read_intact(self._store, self._engine, wanted, work)


def _row(columns: dict[str, Any]) -> Row:
    timestamp_us, received_us = columns.pop("timestamp_us"), columns.pop("received_us")
    columns["flags"] = split_flags(columns["flags"])
    return Row(
        **columns,
        id=reading_id(columns["sensor_id"], timestamp_us),
        timestamp=to_rfc3339(timestamp_us),
        received_at=to_rfc3339(received_us),
    )


def _belongs(row: Row, tile: Tile) -> bool:
    """A point on the edge of two tiles lies in the box of both and in one of them only."""
    return tile_at(row.lat, row.lng, tile.z) == tile
