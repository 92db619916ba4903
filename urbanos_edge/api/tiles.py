"""The readings' vector tiles and their TileJSON."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from urbanos_edge import aqi
from urbanos_edge.api.document import KEPT
from urbanos_edge.api.respond import cached, made
from urbanos_edge.api.shapes import TileJson, told
from urbanos_edge.clock import HOUR_US, moment_us
from urbanos_edge.errors import Unprocessable
from urbanos_edge.grid import checked_tile
from urbanos_edge.query.atlas import Atlas, Layer
from urbanos_edge.tiles.mvt import MVT

MAX_ZOOM: Final = 16
"""Maps stretch this zoom's tiles beyond it; the node answers up to zoom 18 all the same."""
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
_FIELDS: Final = {
    "clusters": {
        "count": "readings in the last 24 h",
        "avg_aqi": "their mean index",
        "max_aqi": "their highest index",
        "sensors": "sensors reporting",
        "latest_aqi": "mean of the sensors' latest unflagged indexes, on a node of the last"
        " 15 minutes where there are any",
        "latest_max_aqi": "the highest of them",
        "at": "moment of the newest of them, epoch seconds; of flagged ones if there are none",
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


def routes(atlas: Atlas) -> list[ControllerRouterHandler]:
    @get(
        "/tiles/readings.json",
        responses=told(TileJson) | KEPT,
        tags=["tiles"],
    )
    async def tilejson(request: Request[Any, Any, Any]) -> Response[bytes]:
        """TileJSON 3.0 of the readings' tiles."""
        described = _described(atlas, str(request.base_url).rstrip("/"))
        return await made(request, msgspec.json.encode(described))

    @get(
        "/tiles/readings/{z:int}/{x:int}/{file:str}", media_type=MVT, responses=KEPT, tags=["tiles"]
    )
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
        entry, hit = await atlas.tile(wanted, _layer(atlas.standard, quantity, at))
        return await cached(request, entry, hit, MVT)

    return [tilejson, tile]


def _described(atlas: Atlas, base: str) -> dict[str, Any]:
    """The TileJSON of a node that is reached at this address."""
    return {
        "tilejson": "3.0.0",
        "name": atlas.settings.node_name,
        "tiles": [f"{base}/tiles/readings/{{z}}/{{x}}/{{y}}.mvt"],
        "minzoom": 0,
        "maxzoom": MAX_ZOOM,
        "attribution": "",
        "vector_layers": [{"id": layer, "fields": fields} for layer, fields in _FIELDS.items()],
    }


def _layer(standard: aqi.Standard, quantity: str | None, at: str | None) -> Layer:
    """What a tile is asked for of: a pollutant, an hour since 1970, or the latest readings."""
    at_us = moment_us("at", at)
    if quantity is not None and at_us is not None:
        raise Unprocessable(
            "leave out 'quantity' or 'at': of past hours only the overall index is at hand",
            code="invalid_query",
        )
    if quantity is not None and quantity not in standard.pollutants:
        raise Unprocessable(
            f"'quantity' is one of {', '.join(standard.pollutants)}; "
            f"{standard.name} grades no '{quantity[:40]}'",
            code="unknown_quantity",
        )
    return quantity if at_us is None else at_us // HOUR_US


def row_number(file: str, suffix: str) -> int:
    """The row in a tile's file name; raises Unprocessable when there is none."""
    name = file.removesuffix(suffix)
    if not (name.isascii() and name.isdigit() and len(name) < 8):
        raise Unprocessable(f"expected a row number as in '1185{suffix}'", code="invalid_tile")
    return int(name)
