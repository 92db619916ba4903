"""What a map and its readers ask, whoever answers: a node, or the centre of many.

The routes of the read API know nothing else of what is behind them, so that both answer alike.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Any, Protocol

from urbanos_edge import aqi
from urbanos_edge.cache.cache import Cache, Entry
from urbanos_edge.grid import Bounds, Tile
from urbanos_edge.query.history import Asked, Buckets, Readings
from urbanos_edge.query.rows import Row
from urbanos_edge.settings import Settings
from urbanos_edge.tiles.clusters import Cluster

Layer = str | int | None
"""What a tile shows: a pollutant, an hour since 1970, or the latest readings."""


class Atlas(Protocol):
    """Used from the event loop.

    All that reads raises an `Unavailable` when what is behind it does not answer.
    """

    settings: Settings
    standard: aqi.Standard
    cache: Cache

    def revision_in(self, area: Tile | Bounds) -> Hashable:
        """What tells apart the answers about an area."""

    async def rows(self, tile: Tile, limit: int) -> list[Row]:
        """The readings of a grid in the last 24 hours, newest first."""

    async def rows_by_grid(self, first: Tile, last: Tile) -> list[Row]:
        """The same of all grids from the north-west to the south-east one, so many of each."""

    async def statistics(self, tile: Tile) -> dict[str, Any]:
        """A grid's place and its last 24 hours, under the names of `grid_metadata`."""

    async def clusters(self, box: Bounds, cell_deg: float) -> list[Cluster]:
        """The readings of 24 hours in cells of so many degrees, row by row."""

    async def tile(self, wanted: Tile, layer: Layer) -> tuple[Entry, bool]:
        """A vector tile, and whether it was there."""

    def sensors_revision(self) -> Hashable:
        """What tells apart the lists of sensors."""

    async def sensors(self, limit: int, after: str) -> dict[str, Any]:
        """Sensors by id, those after an id."""

    def sensor_revision(self) -> Hashable:
        """What tells apart the answers about any one sensor."""

    async def sensor(self, sensor_id: str) -> dict[str, Any]:
        """One sensor with its latest values; raises NotFound."""

    async def asked(
        self,
        sensor_id: str,
        from_us: int | None,
        to_us: int | None,
        resolution: str | None,
        quantities: Collection[str] | None,
    ) -> Asked:
        """What is wanted of a sensor; raises NotFound, or Unprocessable where it makes no sense."""

    def history_revision(self, asked: Asked) -> Hashable:
        """What tells apart the answers to one question."""

    def is_settled(self, asked: Asked) -> bool:
        """Whether the answer may be kept on the disk."""

    async def history(self, asked: Asked) -> Readings | Buckets:
        """What a sensor measured."""
