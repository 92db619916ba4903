"""Lists of readings: from memory what is there, by DuckDB from the files what is older.

What the live map asks is answered by the rollup instead.
"""

from __future__ import annotations

from typing import Any, Final

import duckdb

from urbanos_edge import aqi
from urbanos_edge.batch import Batch
from urbanos_edge.engine import Engine, statement
from urbanos_edge.errors import Unprocessable
from urbanos_edge.grid import STORED_ZOOM, Bounds, Tile, spanned, tile_at
from urbanos_edge.quality.grading import grade
from urbanos_edge.query.rows import Row, rows_of, stored_row
from urbanos_edge.rollup.recent import NOTHING_HERE_US, Recent
from urbanos_edge.store.damage import read_intact
from urbanos_edge.store.manifest import File
from urbanos_edge.store.store import Store

MAX_ROWS: Final = 1000
MAX_ROWS_AT_ONCE: Final = 50_000
"""Of all grids of a box; as JSON they are some 26 MB, and take as much again while it is made."""


class Query:
    """Reads the recent rows, then the live files under a lease; safe from several threads."""

    def __init__(
        self, store: Store, engine: Engine, recent: Recent, standard: aqi.Standard
    ) -> None:
        self._store = store
        self._engine = engine
        self._recent = recent
        self._standard = standard

    def rows(self, tile: Tile, since_us: int, limit: int = MAX_ROWS) -> list[Row]:
        """Return the readings of a grid after `since_us`, newest first, at most `limit`.

        Raises:
            StorageUnavailable: a file could not be read.
        """
        batch, horizon_us = self._recent.newest(tile, since_us, limit)
        rows = self._graded(batch)
        if len(rows) < limit and horizon_us > since_us:
            grid_id = tile.grid_id if tile.z == STORED_ZOOM else None
            parameters = {"limit": limit - len(rows), "grid_id": grid_id}
            span_us = (since_us, horizon_us)
            older = self._find("rows_in_area", tile.reach, span_us, parameters)
            rows += [row for row in older if _belongs(row, tile)]
        return rows

    def rows_by_grid(self, first: Tile, last: Tile, since_us: int) -> list[Row]:
        """Return the readings of all grids from the north-west to the south-east one, newest first.

        At most `MAX_ROWS` of each.

        Raises:
            StorageUnavailable: a file could not be read.
            Unprocessable: they are more than `MAX_ROWS_AT_ONCE`.
        """
        parts, count = [], 0
        for tile in self._recent.tiles_between(first, last):
            parts.append(self._recent.newest(tile, since_us, MAX_ROWS))
            count += len(parts[-1][0])
            demand_few(count)
        if max(self._recent.horizon_us, *(horizon_us for _, horizon_us in parts), 0) > since_us:
            span_us = (since_us, NOTHING_HERE_US)
            found = self._find("rows_by_grid", spanned(first, last), span_us, per_grid(first.z))
            demand_few(len(found))
            return found
        moments = [-at_us for batch, _ in parts for at_us in batch["timestamp_us"].tolist()]
        rows = [row for batch, _ in parts for row in self._graded(batch)]
        order = sorted(range(len(rows)), key=lambda i: (moments[i], rows[i].sensor_id))
        return [rows[i] for i in order]

    def _graded(self, batch: Batch) -> list[Row]:
        flags = batch["flags"]
        grade(self._standard, batch)
        batch.columns["flags"] = flags  # as they were fixed at the flush
        return rows_of(batch)

    def _find(
        self, name: str, box: Bounds, span_us: tuple[int, int], parameters: dict[str, Any]
    ) -> list[Row]:
        since_us, until_us = span_us

        def wanted(file: File) -> bool:
            return file.max_at_us > since_us and file.min_at_us < until_us and file.meets(box)

        def work(cursor: duckdb.DuckDBPyConnection, paths: list[str]) -> list[Row]:
            if not paths:
                return []
            where = {"files": paths, "since_us": since_us, "until_us": until_us, **box._asdict()}
            found = cursor.execute(statement(name), where | parameters)
            names = [column[0] for column in found.description]
            return [
                stored_row(dict(zip(names, values, strict=True))) for values in found.fetchall()
            ]

        return read_intact(self._store, self._engine, wanted, work)


def per_grid(zoom: int) -> dict[str, int]:
    """What the statements for rows by grid take beside a box and a span.

    They find one more than may be answered at once, so that `demand_few` sees that there are.
    """
    return {"n": 1 << zoom, "per_grid": MAX_ROWS, "at_most": MAX_ROWS_AT_ONCE + 1}


def demand_few(rows: int) -> None:
    """Raise Unprocessable where there are more than are answered at once."""
    if rows > MAX_ROWS_AT_ONCE:
        raise Unprocessable(
            f"there are more than {MAX_ROWS_AT_ONCE:,} readings in this box; ask for a smaller one",
            code="area_too_large",
        )


def _belongs(row: Row, tile: Tile) -> bool:
    """A point on the edge of two tiles lies in the box of both and in one of them only."""
    return tile_at(row.lat, row.lng, tile.z) == tile
