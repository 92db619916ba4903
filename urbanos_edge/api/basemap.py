"""The installed basemap: TileJSON, tiles, and a PMTiles file as it is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Final

import anyio.to_thread
import msgspec
from litestar import Request, Response, get
from litestar.datastructures import Headers
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.document import KEPT, described, empty, refused
from urbanos_edge.api.respond import cached, made
from urbanos_edge.api.shapes import TileJson, told
from urbanos_edge.api.tiles import row_number
from urbanos_edge.basemap.basemap import Basemap
from urbanos_edge.basemap.tileset import Pmtiles
from urbanos_edge.cache.answers import held_etag
from urbanos_edge.errors import NotFound
from urbanos_edge.grid import checked_tile
from urbanos_edge.node import Node
from urbanos_edge.tiles.mvt import MVT

KEEP_S: Final = 3600
PMTILES: Final = "application/vnd.pmtiles"
PIECE_BYTES: Final = 256 << 10
"""Of a file that are in memory for one client at a time."""
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_MEDIA_TYPES: Final = {
    "pbf": MVT,
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
}

_PARTS: Final = {
    206: ResponseSpec(bytes, description="the range that was asked for", media_type=PMTILES),
    416: ResponseSpec(None, description="the file has no such range"),
}


def routes(node: Node) -> list[ControllerRouterHandler]:
    return [_tilejson(node), _tile(node), _file(node)]


def _tilejson(node: Node) -> ControllerRouterHandler:
    @get(
        "/basemap.json",
        responses=told(TileJson) | KEPT | refused(404),
        tags=["basemap"],
    )
    async def tilejson(request: Request[Any, Any, Any]) -> Response[bytes]:
        """TileJSON 3.0 of the basemap; 404 when none is installed."""
        described = _installed(node).tilejson(str(request.base_url).rstrip("/"))
        return await made(request, msgspec.json.encode(described))

    return tilejson


def _tile(node: Node) -> ControllerRouterHandler:
    @get(
        "/basemap/{z:int}/{x:int}/{y:str}",
        media_type=MVT,
        responses=KEPT | empty(204, "the basemap has no such tile"),
        operation_class=described(answers=_MEDIA_TYPES.values()),
        tags=["basemap"],
    )
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

    return tile


def _file(node: Node) -> ControllerRouterHandler:
    @get(
        "/basemap.pmtiles",
        media_type=PMTILES,
        responses=KEPT | _PARTS | refused(404),
        tags=["basemap"],
    )
    async def pmtiles(request: Request[Any, Any, Any]) -> Response[Any]:
        """The file itself, whole or a range of its bytes; 404 when the basemap is no PMTiles."""
        basemap = _installed(node)
        if basemap.original is None:
            raise NotFound("the installed basemap is no PMTiles file; its tiles are at /basemap")
        return _part(request.headers, basemap.original, basemap.revision)

    return pmtiles


def _installed(node: Node) -> Basemap:
    if node.basemap is None:
        raise NotFound("no basemap is installed; see 'urbanos-edge basemap import'")
    return node.basemap


def _part(asked: Headers, file: Pmtiles, revision: tuple[int, ...]) -> Response[Any]:
    """The file, or the one range of it that is asked for (RFC 9110, 14)."""
    etag = '"' + "-".join(f"{part:x}" for part in revision) + '"'
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": f"public, max-age={KEEP_S}",
        "ETag": etag,
    }
    if held_etag(asked.get("if-none-match"), etag) is not None:
        return Response(b"", status_code=304, headers=headers, media_type=PMTILES)
    is_current = asked.get("if-range", etag) == etag
    wanted = _RANGE.fullmatch(asked.get("range", "")) if is_current else None
    first, last = (0, file.size - 1) if wanted is None else _span(wanted, file.size)
    if first > last:
        headers["Content-Range"] = f"bytes */{file.size}"
        return Response(b"", status_code=416, headers=headers, media_type=PMTILES)
    headers["Content-Length"] = str(last - first + 1)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {first}-{last}/{file.size}"
    status = 200 if wanted is None else 206
    pieces = _pieces(file, first, last)
    return Stream(pieces, status_code=status, headers=headers, media_type=PMTILES)


def _span(wanted: re.Match[str], size: int) -> tuple[int, int]:
    """First and last byte of a range; the last comes before the first where there are none."""
    first, last = wanted.groups()
    if first:
        return int(first), min(int(last or size), size - 1)
    return (max(size - int(last), 0), size - 1) if last.strip("0") else (size, 0)


async def _pieces(file: Pmtiles, first: int, last: int) -> AsyncIterator[bytes]:
    """From `first` to `last`; once another basemap is installed, this breaks off."""
    for at in range(first, last + 1, PIECE_BYTES):
        length = min(PIECE_BYTES, last + 1 - at)
        yield await anyio.to_thread.run_sync(file.piece, at, length)
