"""Histories at the centre: of a cell by its aggregates, of a sensor by its readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from urbanos_edge.centre.servers import Connection, Servers
from urbanos_edge.clock import HOUR_US, SECOND_US
from urbanos_edge.engine import statement
from urbanos_edge.errors import NotFound
from urbanos_edge.grid import Tile
from urbanos_edge.query.history import (
    MAX_READINGS,
    UNITS,
    Asked,
    Buckets,
    Readings,
    Table,
    Terms,
    bucket_fields,
    no_rows,
    reading_fields,
)
from urbanos_edge.query.resolution import DAILY, FIVE_MINUTES_US, MINUTES, RAW, hours_within
from urbanos_edge.sync.link import to_moment

_PARTS: Final = ("count", "sum", "min", "max", "flagged")
_KNOWN: Final = "SELECT EXISTS (SELECT FROM pollution_data WHERE sensor_id = %s)"


class Series:
    """Answers questions that were put by these terms."""

    def __init__(self, servers: Servers, terms: Terms) -> None:
        self._servers = servers
        self._terms = terms

    async def check_known(self, sensor_id: str) -> None:
        """Raises NotFound where the centre has nothing of a sensor."""
        ((is_known,),) = await self._fetch(_KNOWN, (sensor_id,))
        if not is_known:
            raise NotFound(f"the centre knows no sensor '{sensor_id[:40]}'", code="unknown_sensor")

    async def of_cell(self, asked: Asked, cell: Tile) -> Buckets:
        """The hours or days of a cell over all nodes."""
        hours = hours_within(asked.from_us, asked.to_us)
        values = self._values(asked) | {
            "cell": cell.grid_id,
            "x": cell.x,
            "y": cell.y,
            "hours": [to_moment(hour * HOUR_US) for hour in hours],
        }
        found = await self._fetch(statement("central_history_cell"), values)
        return self._told(asked, found)

    async def of_sensor(self, asked: Asked) -> Readings | Buckets:
        """The readings of a sensor, or its buckets of any length."""
        values = self._values(asked)
        if asked.resolution != RAW.name:
            found = await self._fetch(statement("central_history_sensor"), values)
            return self._told(asked, found)
        values["limit"] = MAX_READINGS + 1
        found = await self._fetch(statement("central_history_raw"), values)
        return Readings(*self._terms.head(asked), **reading_fields(asked, _columns(asked, found)))

    def _told(self, asked: Asked, found: Sequence[tuple[Any, ...]]) -> Buckets:
        return Buckets(*self._terms.head(asked), **bucket_fields(asked, _table(asked, found)))

    def _values(self, asked: Asked) -> dict[str, Any]:
        since, until = to_moment(asked.from_us), to_moment(asked.to_us)
        length_us = FIVE_MINUTES_US if asked.resolution == MINUTES.name else HOUR_US
        return {
            "sensor_id": asked.sensor_id,
            "since": since,
            "until": until,
            "since_day": since.date(),
            "until_day": until.date(),
            "is_daily": asked.resolution == DAILY.name,
            "bucket_s": length_us / SECOND_US,
            "zone": self._terms.zone.key,
            "quantities": list(asked.names),
        }

    async def _fetch(
        self, text: str, values: Mapping[str, Any] | Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        async def work(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(text.encode(), values)).fetchall()

        return await self._servers.read(work)


def _table(asked: Asked, found: Sequence[tuple[Any, ...]]) -> Table:
    """Sums per bucket and quantity as columns: one row per bucket."""
    moments = sorted({at_us for at_us, *_ in found})
    place = {at_us: number for number, at_us in enumerate(moments)}
    names = [f"{name}_{part}" for name in asked.names for part in _PARTS]
    table: Table = {name: np.zeros(len(moments), np.int64) for name in names}
    for at_us, quantity, *numbers in found:
        for part, number in zip(_PARTS, numbers, strict=True):
            table[f"{quantity}_{part}"][place[at_us]] = number or 0
    return table | {"at_us": np.array(moments, np.int64)}


def _columns(asked: Asked, found: Sequence[tuple[Any, ...]]) -> Table:
    """Readings as columns, in the order of `sql/central_history_raw.sql`."""
    if not found:
        return no_rows(asked)
    names = ("timestamp_us", "flags", *UNITS)
    columns = zip(names, zip(*found, strict=True), strict=True)
    table = {name: np.array(column, object) for name, column in columns}
    return table | {"timestamp_us": table["timestamp_us"].astype(np.int64)}
