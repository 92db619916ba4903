"""The installed basemap: TileJSON and tiles."""

from __future__ import annotations

from typing import Any, Final

import anyio.to_thread
from litestar import Request, Response, get
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.respond import cached, json
from urbanos_edge.api.tiles import MVT, row_number
from urbanos_edge.basemap import Basemap
from urbanos_edge.errors import NotFound
from urbanos_edge.grid import checked_tile
from urbanos_edge.node import Node

KEEP_S: Final = 3600
_MEDIA_TYPES: Final = {
    "pbf": MVT,
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
}


def routes(node: Node) -> list[ControllerRouterHandler]:
    @get("/basemap.json", sync_to_thread=False, tags=["basemap"])
    def tilejson(request: Request[Any, Any, Any]) -> Response[bytes]:
        """TileJSON 3.0 of the basemap; 404 when none is installed."""
        return json(_installed(node).tilejson(str(request.base_url).rstrip("/")))

    @get("/basemap/{z:int}/{x:int}/{y:str}", tags=["basemap"])
    async def tile(request: Request[Any, Any, Any], z: int, x: int, y: str) -> Response[bytes]:
        """One tile of the basemap; 204 where it has none."""
        basemap = _installed(node)
        wanted = checked_tile(z, x, row_number(y, ""))

        async def build() -> bytes:
            return await anyio.to_thread.run_sync(basemap.tile, *wanted) or b""

        entry, hit = await node.cache.get(
            ("basemap", *wanted),
            KEEP_S,
            lambda: basemap.revision,
            build,
            lasting=True,
            coding="gzip" if basemap.format == "pbf" else "",
        )
        media_type = _MEDIA_TYPES[basemap.format]
        if not entry.body:
            headers = {"Cache-Control": f"public, max-age={KEEP_S}"}
            return Response(b"", status_code=204, headers=headers, media_type=media_type)
        return await cached(request, entry, hit, media_type, KEEP_S)

    return [tilejson, tile]


def _installed(node: Node) -> Basemap:
    if node.basemap is None:
        raise NotFound("no basemap is installed; see 'urbanos-edge basemap import'")
    return node.basemap
