"""The readings' vector tiles and their TileJSON.

A tile is drawn in less time than the framework takes to find its route. So it is a bare ASGI
application, which the router knows like any other and `past_the_router` leads to directly.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from functools import partial
from typing import Any, Final

import anyio.to_thread
from litestar import Request, Response, get
from litestar.types import ASGIApp, ControllerRouterHandler, Receive, Scope, Send

from urbanos_edge import tiles
from urbanos_edge.api.respond import json, send_cached, send_error
from urbanos_edge.cache import Entry
from urbanos_edge.errors import Unprocessable
from urbanos_edge.grid import Tile, checked_tile
from urbanos_edge.node import Node

MVT: Final = "application/vnd.mapbox-vector-tile"
MAX_ZOOM: Final = 16
"""Maps stretch this zoom's tiles beyond it; the node answers up to zoom 18 all the same."""
DRAWN_AT_ONCE: Final = 250
"""Features drawn within half a millisecond; a worker thread would take that long to ask."""
_PATH: Final = re.compile(r"/tiles/readings/([0-9]{1,2})/([0-9]{1,6})/([0-9]{1,7}\.mvt)")
_ROUTE: Final = "/tiles/readings/{z}/{x}/{file}"
_FIELDS: Final = {
    "clusters": {
        "count": "readings in the last 24 h",
        "avg_aqi": "their mean index",
        "max_aqi": "their highest index",
        "sensors": "sensors reporting",
        "latest_aqi": "mean of the sensors' latest unflagged indexes",
        "latest_max_aqi": "the highest of them",
        "at": "moment of the newest reading, epoch seconds",
        "color": "the standard's colour for latest_aqi",
    },
    "sensors": {
        "id": "sensor id",
        "name": "sensor name",
        "aqi": "index of the latest reading",
        "level": "category, 1 is best",
        "dominant": "the pollutant that sets the index",
        "at": "moment of the reading, epoch seconds",
        "flags": "why it is not trusted, joined by commas",
        "source": "where the reading comes from",
    },
}


def routes(node: Node) -> list[ControllerRouterHandler]:
    @get("/tiles/readings.json", sync_to_thread=False, tags=["tiles"])
    def tilejson(request: Request[Any, Any, Any]) -> Response[bytes]:
        """TileJSON 3.0 of the readings' tiles."""
        base = str(request.base_url).rstrip("/")
        return json(
            {
                "tilejson": "3.0.0",
                "name": node.settings.node_name,
                "tiles": [f"{base}/tiles/readings/{{z}}/{{x}}/{{y}}.mvt"],
                "minzoom": 0,
                "maxzoom": MAX_ZOOM,
                "attribution": "",
                "vector_layers": [
                    {"id": layer, "fields": fields} for layer, fields in _FIELDS.items()
                ],
            }
        )

    @get("/tiles/readings/{z:int}/{x:int}/{file:str}", tags=["tiles"])
    async def tile(request: Request[Any, Any, Any], z: int, x: int, file: str) -> ASGIApp:
        """One vector tile, `{y}.mvt`: layers `clusters` and `sensors`; empty where nothing is."""
        return _door(node, z, x, file)

    return [tilejson, tile]


def past_the_router(app: ASGIApp, node: Node) -> ASGIApp:
    """Draw tiles before the application is asked; the rest is its own."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        wanted = _PATH.fullmatch(scope["path"]) if scope.get("method") == "GET" else None
        if wanted is None:
            await app(scope, receive, send)
            return
        scope["path_template"] = _ROUTE
        await _door(node, int(wanted[1]), int(wanted[2]), wanted[3])(scope, receive, send)

    return wrapped


def _door(node: Node, z: int, x: int, file: str) -> ASGIApp:
    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            entry, hit = await _drawn(node, checked_tile(z, x, row_number(file, ".mvt")))
        except Exception as error:
            await send_error(scope, receive, send, error)
        else:
            await send_cached(scope, send, node.answers, entry, hit, MVT)

    return door


async def _drawn(node: Node, wanted: Tile) -> tuple[Entry, bool]:
    """The tile, and whether it was there."""
    view = node.view()
    draw = partial(tiles.render, view, wanted, node.standard, node.sensors.name_of)
    key, ttl_s = ("tile", wanted), node.settings.cache_ttl_grid_s

    def revision() -> Hashable:
        return view.hour, view.revision_in(wanted)

    async def build() -> bytes:
        return await anyio.to_thread.run_sync(draw)

    if tiles.weight(view, wanted) <= DRAWN_AT_ONCE:
        return node.cache.get_at_once(key, ttl_s, revision, draw)
    return await node.cache.get(key, ttl_s, revision, build)


def row_number(file: str, suffix: str) -> int:
    """The row in a tile's file name; raises Unprocessable when there is none."""
    name = file.removesuffix(suffix)
    if not (name.isascii() and name.isdigit() and len(name) < 8):
        raise Unprocessable(f"expected a row number as in '1185{suffix}'", code="invalid_tile")
    return int(name)
