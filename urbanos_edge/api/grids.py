"""Readings, statistics and clusters by grid and by box."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Annotated, Any

import anyio.to_thread
import msgspec
from litestar import Request, Response, get
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from urbanos_edge import clusters
from urbanos_edge.api.parameters import bounds
from urbanos_edge.api.respond import JSON, cached
from urbanos_edge.api.shapes import RowList, told
from urbanos_edge.clock import DAY_US
from urbanos_edge.errors import Unprocessable
from urbanos_edge.grid import Bounds, Tile, checked_zoom, parse_grid_id, spanned, tile_range
from urbanos_edge.node import Node
from urbanos_edge.query import MAX_ROWS

MAX_GRIDS = 1024

MinLat = Annotated[float, QueryParameter(name="minLat")]
MaxLat = Annotated[float, QueryParameter(name="maxLat")]
MinLng = Annotated[float, QueryParameter(name="minLng")]
MaxLng = Annotated[float, QueryParameter(name="maxLng")]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_ROWS)]
GridSize = Annotated[float, QueryParameter(name="gridSize")]


def routes(node: Node) -> list[ControllerRouterHandler]:
    async def answer(
        request: Request[Any, Any, Any],
        key: Hashable,
        ttl_s: float,
        area: Tile | Bounds,
        build: Callable[[], Awaitable[bytes]],
    ) -> Response[bytes]:
        def revision() -> Hashable:
            view = node.view()
            return view.hour, view.revision_in(area)

        entry, hit = await node.cache.get(key, ttl_s, revision, build)
        return await cached(request, entry, hit, JSON)

    @get("/api/v1/grids/{grid_id:str}/data", tags=["grids"])
    async def grid_rows(
        request: Request[Any, Any, Any], grid_id: str, limit: Limit = MAX_ROWS
    ) -> Response[bytes]:
        """The readings of a grid in the last 24 hours, newest first."""
        tile = parse_grid_id(grid_id)
        return await answer(
            request,
            ("rows", tile, limit),
            node.settings.cache_ttl_grid_s,
            tile,
            partial(anyio.to_thread.run_sync, _rows, node, tile, limit),
        )

    @get("/api/v1/grids/bounds", responses=told(RowList), tags=["grids"])
    async def rows_in_bounds(
        request: Request[Any, Any, Any],
        min_lat: MinLat,
        max_lat: MaxLat,
        min_lng: MinLng,
        max_lng: MaxLng,
        zoom: int = 12,
    ) -> Response[bytes]:
        """The same rows of all grids that meet a box, at most 1,000 of each."""
        corners = _corners(bounds(min_lat, max_lat, min_lng, max_lng), zoom)
        area = spanned(*corners)
        return await answer(
            request,
            ("bounds", *corners),
            node.settings.cache_ttl_grid_s,
            area,
            partial(anyio.to_thread.run_sync, _rows_of_grids, node, *corners),
        )

    @get("/api/v1/grids/{grid_id:str}", tags=["grids"])
    async def grid_statistics(request: Request[Any, Any, Any], grid_id: str) -> Response[bytes]:
        """Where a grid lies, and count, mean and highest index of its last 24 hours."""
        tile = parse_grid_id(grid_id)

        async def build() -> bytes:
            return msgspec.json.encode(clusters.statistics(node.view(), tile))

        ttl_s = node.settings.cache_ttl_aggregated_s
        return await answer(request, ("statistics", tile), ttl_s, tile, build)

    @get("/api/v1/clusters", tags=["grids"])
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
        if not (math.isfinite(grid_size) and clusters.MIN_CELL_DEG <= grid_size <= 180):
            raise Unprocessable(
                f"gridSize must lie between {clusters.MIN_CELL_DEG} and 180 degrees",
                code="invalid_grid_size",
            )

        async def build() -> bytes:
            return msgspec.json.encode(clusters.clusters(node.view(), box, grid_size))

        ttl_s = node.settings.cache_ttl_aggregated_s
        return await answer(request, ("clusters", box, grid_size), ttl_s, box, build)

    return [grid_rows, rows_in_bounds, grid_statistics, clusters_in_bounds]


def _rows(node: Node, tile: Tile, limit: int) -> bytes:
    since_us = node.clock.now_us() - DAY_US
    return msgspec.json.encode(node.query.rows(tile, since_us, limit))


def _rows_of_grids(node: Node, first: Tile, last: Tile) -> bytes:
    rows = node.query.rows_by_grid(first, last, node.clock.now_us() - DAY_US)
    return msgspec.json.encode({"tiles": rows, "count": len(rows)})


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
