"""The readings' vector tiles and their TileJSON.

Most tiles are drawn in less time than the framework takes to find their route. `drawing` is how the
connection itself draws them; the rest, and requests that are not plain, go through the route.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from functools import partial
from typing import Annotated, Any, Final

import anyio.to_thread
from litestar import Request, Response, get
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from urbanos_edge import tiles
from urbanos_edge.answers import Drawing, Drawn, Kind
from urbanos_edge.api.parameters import moment_us
from urbanos_edge.api.respond import cached, json
from urbanos_edge.api.shapes import TileJson, told
from urbanos_edge.cache import Entry
from urbanos_edge.clock import HOUR_US
from urbanos_edge.errors import Unprocessable
from urbanos_edge.grid import FINEST_ZOOM, Tile, checked_tile
from urbanos_edge.layers import Layers
from urbanos_edge.node import Node
from urbanos_edge.rollup import View

MVT: Final = "application/vnd.mapbox-vector-tile"
MAX_ZOOM: Final = 16
"""Maps stretch this zoom's tiles beyond it; the node answers up to zoom 18 all the same."""
DRAWN_AT_ONCE: Final = 250
"""Features drawn within half a millisecond; a worker thread would take that long to ask."""
Pollutant = Annotated[
    str | None,
    QueryParameter(description="a pollutant, whose own index then stands for the overall one"),
]
At = Annotated[
    str | None,
    QueryParameter(
        description="RFC 3339 with a zone: the mean index of that hour, one of the last 24"
    ),
]
_KIND: Final = Kind(MVT)
_TARGET: Final = re.compile(rb"/tiles/readings/([0-9]{1,2})/([0-9]{1,6})/([0-9]{1,6})\.mvt")
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
    @get(
        "/tiles/readings.json",
        sync_to_thread=False,
        responses=told(TileJson),
        tags=["tiles"],
    )
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
    async def tile(
        request: Request[Any, Any, Any],
        z: int,
        x: int,
        file: str,
        quantity: Pollutant = None,
        at: At = None,
    ) -> Response[bytes]:
        """One vector tile, `{y}.mvt`: layers `clusters` and `sensors`; empty where nothing is."""
        wanted = checked_tile(z, x, row_number(file, ".mvt"))
        layer = _layer(node, quantity, at)
        if layer is None:
            entry, hit = await _drawn(node, wanted)
        else:
            entry, hit = await _drawn_of(node, layers, wanted, layer)
        return await cached(request, entry, hit, MVT)

    layers = Layers(node.standard, node.rollup.during)
    return [tilejson, tile]


def _layer(node: Node, quantity: str | None, at: str | None) -> str | int | None:
    """What a tile is asked for of: a pollutant, an hour since 1970, or the latest readings."""
    at_us = moment_us("at", at)
    if quantity is not None and at_us is not None:
        raise Unprocessable(
            "leave out 'quantity' or 'at': of past hours only the overall index is at hand",
            code="invalid_query",
        )
    if quantity is not None and quantity not in node.standard.pollutants:
        raise Unprocessable(
            f"'quantity' is one of {', '.join(node.standard.pollutants)}; "
            f"{node.standard.name} grades no '{quantity[:40]}'",
            code="unknown_quantity",
        )
    return quantity if at_us is None else at_us // HOUR_US


async def _drawn_of(
    node: Node, layers: Layers, wanted: Tile, layer: str | int
) -> tuple[Entry, bool]:
    """The tile of another layer than the latest readings, and whether it was there."""
    view = node.view()

    async def build() -> bytes:
        return await anyio.to_thread.run_sync(lambda: _draw(node, layers.of(view, layer), wanted))

    revision, ttl_s = partial(_revision, view, wanted), node.settings.cache_ttl_grid_s
    return await node.cache.get(("tile", wanted, layer), ttl_s, revision, build)


async def _drawn(node: Node, wanted: Tile) -> tuple[Entry, bool]:
    """The tile, and whether it was there."""
    view = node.view()
    if tiles.weight(view, wanted) <= DRAWN_AT_ONCE:
        return _drawn_at_once(node, view, wanted)

    async def build() -> bytes:
        return await anyio.to_thread.run_sync(_draw, node, view, wanted)

    revision, ttl_s = partial(_revision, view, wanted), node.settings.cache_ttl_grid_s
    return await node.cache.get(("tile", wanted), ttl_s, revision, build)


def drawing(node: Node) -> Drawing:
    """Finds the tiles that are drawn without leaving the event loop, by their targets."""

    def find(target: bytes) -> Callable[[], Drawn] | None:
        named = _TARGET.fullmatch(target)
        if named is None:
            return None
        z, x, y = map(int, named.groups())
        if z > FINEST_ZOOM or max(x, y) >> z:
            return None
        wanted, view = Tile(z, x, y), node.view()
        if tiles.weight(view, wanted) > DRAWN_AT_ONCE:
            return None
        return lambda: Drawn(*_drawn_at_once(node, view, wanted), _KIND, _ROUTE)

    return find


def _drawn_at_once(node: Node, view: View, wanted: Tile) -> tuple[Entry, bool]:
    return node.cache.get_at_once(
        ("tile", wanted),
        node.settings.cache_ttl_grid_s,
        partial(_revision, view, wanted),
        partial(_draw, node, view, wanted),
    )


def _draw(node: Node, view: View, wanted: Tile) -> bytes:
    return tiles.render(view, wanted, node.standard, node.sensors.name_of)


def _revision(view: View, wanted: Tile) -> Hashable:
    return view.hour, view.revision_in(wanted)


def row_number(file: str, suffix: str) -> int:
    """The row in a tile's file name; raises Unprocessable when there is none."""
    name = file.removesuffix(suffix)
    if not (name.isascii() and name.isdigit() and len(name) < 8):
        raise Unprocessable(f"expected a row number as in '1185{suffix}'", code="invalid_tile")
    return int(name)
