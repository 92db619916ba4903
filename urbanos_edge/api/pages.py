"""The built web pages, held in memory and packed once."""

from __future__ import annotations

import gzip
import mimetypes
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.types import ControllerRouterHandler

from urbanos_edge.answers import held_etag
from urbanos_edge.cache import etag_of
from urbanos_edge.errors import NotFound

_CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "worker-src 'self' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "connect-src 'self' ws: wss:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)
_PACKED_TYPES: Final = ("text/", "application/json", "application/javascript", "image/svg")
_HASHED_FOLDER: Final = "assets/"
mimetypes.add_type("text/javascript", ".mjs")
mimetypes.add_type("application/manifest+json", ".webmanifest")
mimetypes.add_type("font/woff2", ".woff2")


class Asset(msgspec.Struct, frozen=True):
    """One built file; `packed` is its gzip form where that pays."""

    body: bytes
    packed: bytes | None
    media_type: str
    etag: str
    cache_control: str


def routes() -> list[ControllerRouterHandler]:
    assets = _load(Path(str(files("urbanos_edge"))) / "static")

    @get("/", sync_to_thread=False, include_in_schema=False)
    def index(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _answer(request, assets, "index.html")

    @get("/{path:path}", sync_to_thread=False, include_in_schema=False)
    def page(request: Request[Any, Any, Any], path: str) -> Response[bytes]:
        return _answer(request, assets, path.lstrip("/"))

    return [index, page]


def _load(folder: Path) -> dict[str, Asset]:
    return {
        path.relative_to(folder).as_posix(): _asset(path.relative_to(folder).as_posix(), path)
        for path in folder.rglob("*")
        if path.is_file()
    }


def _asset(name: str, path: Path) -> Asset:
    body = path.read_bytes()
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    packs = media_type.startswith(_PACKED_TYPES)
    immutable = "public, max-age=31536000, immutable"
    return Asset(
        body=body,
        packed=gzip.compress(body, mtime=0) if packs else None,
        media_type=media_type,
        etag=etag_of(body),
        cache_control=immutable if name.startswith(_HASHED_FOLDER) else "no-cache",
    )


def _answer(
    request: Request[Any, Any, Any], assets: dict[str, Asset], name: str
) -> Response[bytes]:
    asset = assets.get(name)
    if asset is None:
        if name == "index.html":
            raise NotFound("the web pages are not built; 'scripts/serve' builds them")
        raise NotFound("there is nothing at this address")
    headers = {
        "Cache-Control": asset.cache_control,
        "ETag": asset.etag,
        "Vary": "Accept-Encoding",
        "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
    }
    if held_etag(request.headers.get("if-none-match"), asset.etag):
        return Response(b"", status_code=304, headers=headers, media_type=asset.media_type)
    if asset.packed and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(asset.packed, headers=headers, media_type=asset.media_type)
    return Response(asset.body, headers=headers, media_type=asset.media_type)
