"""The readings' vector tiles and their TileJSON."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any, Final

import anyio.to_thread
from litestar import Request, Response, get
from litestar.types import ControllerRouterHandler

from urbanos_edge import tiles
from urbanos_edge.api.respond import cached, json
from urbanos_edge.errors import Unprocessable
from urbanos_edge.grid import checked_tile
from urbanos_edge.node import Node

MVT: Final = "application/vnd.mapbox-vector-tile"
MAX_ZOOM: Final = 16
"""Maps stretch this zoom's tiles beyond it; the node answers up to zoom 18 all the same."""
DRAWN_AT_ONCE: Final = 200
"""Rows that are drawn within half a millisecond; a worker thread would take that long to ask."""
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
    async def tile(request: Request[Any, Any, Any], z: int, x: int, file: str) -> Response[bytes]:
        """One vector tile, `{y}.mvt`: layers `clusters` and `sensors`; empty where nothing is."""
        wanted = checked_tile(z, x, row_number(file, ".mvt"))

        def revision() -> Hashable:
            view = node.view()
            return view.hour, view.revision_in(wanted)

        async def build() -> bytes:
            view = node.view()
            draw = partial(tiles.render, view, wanted, node.standard, node.sensors.name_of)
            if tiles.weight(view, wanted) <= DRAWN_AT_ONCE:
                return draw()
            return await anyio.to_thread.run_sync(draw)

        ttl_s = node.settings.cache_ttl_grid_s
        entry, hit = await node.cache.get(("tile", wanted), ttl_s, revision, build)
        return await cached(request, entry, hit, MVT)

    return [tilejson, tile]


def row_number(file: str, suffix: str) -> int:
    """The row in a tile's file name; raises Unprocessable when there is none."""
    name = file.removesuffix(suffix)
    if not (name.isascii() and name.isdigit() and len(name) < 8):
        raise Unprocessable(f"expected a row number as in '1185{suffix}'", code="invalid_tile")
    return int(name)
