"""Readings, statistics and clusters by grid and by box."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Hashable
from typing import Annotated, Any, Final

import anyio
import msgspec
from litestar import Request, Response, get
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.document import KEPT
from urbanos_edge.api.parameters import bounds
from urbanos_edge.api.respond import JSON, cached, encoded
from urbanos_edge.api.shapes import GridStatistics, RowList, told
from urbanos_edge.errors import Unprocessable
from urbanos_edge.grid import Bounds, Tile, checked_zoom, parse_grid_id, spanned, tile_range
from urbanos_edge.query.atlas import Atlas
from urbanos_edge.query.query import MAX_ROWS
from urbanos_edge.query.rows import Row
from urbanos_edge.tiles.clusters import MIN_CELL_DEG, Cluster

MAX_GRIDS: Final = 1024
BUILT_AT_ONCE: Final = 2
"""Lists of a box, which are the largest that are made in memory."""

MinLat = Annotated[float, QueryParameter(name="minLat")]
MaxLat = Annotated[float, QueryParameter(name="maxLat")]
MinLng = Annotated[float, QueryParameter(name="minLng")]
MaxLng = Annotated[float, QueryParameter(name="maxLng")]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_ROWS)]
GridSize = Annotated[float, QueryParameter(name="gridSize")]


def routes(atlas: Atlas) -> list[ControllerRouterHandler]:
    return [*_rows(atlas), *_sums(atlas)]


def _rows(atlas: Atlas) -> list[ControllerRouterHandler]:
    few_at_once = anyio.CapacityLimiter(BUILT_AT_ONCE)

    @get("/api/v1/grids/{grid_id:str}/data", responses=told(list[Row]) | KEPT, tags=["grids"])
    async def grid_rows(
        request: Request[Any, Any, Any], grid_id: str, limit: Limit = MAX_ROWS
    ) -> Response[bytes]:
        """The readings of a grid in the last 24 hours, newest first."""
        tile = parse_grid_id(grid_id)

        async def build() -> bytes:
            return await encoded(await atlas.rows(tile, limit))

        ttl_s = atlas.settings.cache_ttl_grid_s
        return await _answer(atlas, request, ("rows", tile, limit), ttl_s, tile, build)

    @get("/api/v1/grids/bounds", responses=told(RowList) | KEPT, tags=["grids"])
    async def rows_in_bounds(
        request: Request[Any, Any, Any],
        min_lat: MinLat,
        max_lat: MaxLat,
        min_lng: MinLng,
        max_lng: MaxLng,
        zoom: int = 12,
    ) -> Response[bytes]:
        """The same rows of all grids that meet a box: at most 1,000 of each, 50,000 of all."""
        corners = _corners(bounds(min_lat, max_lat, min_lng, max_lng), zoom)

        async def build() -> bytes:
            async with few_at_once:
                rows = await atlas.rows_by_grid(*corners)
                return await encoded({"tiles": rows, "count": len(rows)})

        ttl_s = atlas.settings.cache_ttl_grid_s
        return await _answer(atlas, request, ("bounds", *corners), ttl_s, spanned(*corners), build)

    return [grid_rows, rows_in_bounds]


def _sums(atlas: Atlas) -> list[ControllerRouterHandler]:
    @get("/api/v1/grids/{grid_id:str}", responses=told(GridStatistics) | KEPT, tags=["grids"])
    async def grid_statistics(request: Request[Any, Any, Any], grid_id: str) -> Response[bytes]:
        """Where a grid lies, and count, mean and highest index of its last 24 hours."""
        tile = parse_grid_id(grid_id)

        async def build() -> bytes:
            return msgspec.json.encode(await atlas.statistics(tile))

        ttl_s = atlas.settings.cache_ttl_aggregated_s
        return await _answer(atlas, request, ("statistics", tile), ttl_s, tile, build)

    @get("/api/v1/clusters", responses=told(list[Cluster]) | KEPT, tags=["grids"])
    async def clusters_in_bounds(
        request: Request[Any, Any, Any],
        min_lat: MinLat,
        max_lat: MaxLat,
        min_lng: MinLng,
        max_lng: MaxLng,
        grid_size: GridSize = 0.01,
    ) -> Response[bytes]:
        """Count, mean and highest index of the last 24 hours per cell of `gridSize` degrees."""
        box = bounds(min_lat, max_lat, min_lng, max_lng)
        if not (math.isfinite(grid_size) and MIN_CELL_DEG <= grid_size <= 180):
            raise Unprocessable(
                f"gridSize must lie between {MIN_CELL_DEG} and 180 degrees",
                code="invalid_grid_size",
            )

        async def build() -> bytes:
            return msgspec.json.encode(await atlas.clusters(box, grid_size))

        ttl_s = atlas.settings.cache_ttl_aggregated_s
        return await _answer(atlas, request, ("clusters", box, grid_size), ttl_s, box, build)

    return [grid_statistics, clusters_in_bounds]


async def _answer(
    atlas: Atlas,
    request: Request[Any, Any, Any],
    key: Hashable,
    ttl_s: float,
    area: Tile | Bounds,
    build: Callable[[], Awaitable[bytes]],
) -> Response[bytes]:
    def revision() -> Hashable:
        return atlas.revision_in(area)

    entry, hit = await atlas.cache.get(key, ttl_s, revision, build)
    return await cached(request, entry, hit, JSON)


def _corners(box: Bounds, zoom: int) -> tuple[Tile, Tile]:
    """The north-west and south-east grid of a box, when there are not too many in between."""
    first, last = tile_range(box, checked_zoom(zoom))
    count = (last.x - first.x + 1) * (last.y - first.y + 1)
    if count > MAX_GRIDS:
        raise Unprocessable(
            f"{count} grids at zoom {zoom}; at most {MAX_GRIDS} are answered at once",
            code="area_too_large",
        )
    return first, last
