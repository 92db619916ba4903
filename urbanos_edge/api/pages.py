"""The built web pages, held in memory; the build packs them."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.types import ControllerRouterHandler

from urbanos_edge.cache.answers import best_coding, held_etag
from urbanos_edge.cache.cache import Form, etag_of, tagged
from urbanos_edge.errors import NotFound

_CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "worker-src 'self' blob:",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-src 'none'",
    )
)
PAGE_HEADERS: Final = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), payment=(), usb=()",
}
_UNFRAMED: Final = {
    "admin.html": {
        **PAGE_HEADERS,
        "Content-Security-Policy": f"{_CONTENT_SECURITY_POLICY}; frame-ancestors 'none'",
    }
}
"""A page of the same site, where a login counts, could lay its own over the buttons in a frame."""
_FOLDER: Final = Path(str(files("urbanos_edge"))) / "static"
_OWN_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
"""Browsers count them as secure contexts: the kiosk on the box itself needs no TLS."""
_PACKED: Final = ".gz"
"""What the build adds to the name of a text for its packed form, which lies beside it."""
_HASHED_FOLDER: Final = "assets/"
_API_PAGE: Final = "schema.html"
_PAGE_FILES: Final = ("index.html", "kiosk.html", "admin.html", _API_PAGE)
_NAMED: Final = re.compile(rb"[\w.-]+\.(?:js|css|svg|woff2)\b")
"""A built file in the text of another."""
mimetypes.add_type("text/javascript", ".mjs")
mimetypes.add_type("application/manifest+json", ".webmanifest")
mimetypes.add_type("font/woff2", ".woff2")


class Asset(msgspec.Struct, frozen=True):
    """One built file, in its forms by coding: plain, and of a text gzip."""

    forms: dict[str, Form]
    media_type: str
    cache_control: str


def routes(secure_port: Callable[[], int | None] = lambda: None) -> list[ControllerRouterHandler]:
    """`secure_port` says where who asks in the clear is sent to; None: nowhere."""
    assets = _load(asset_names())

    @get("/", sync_to_thread=False, include_in_schema=False)
    def index(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _answer(request, assets, "index.html", secure_port())

    @get("/kiosk", sync_to_thread=False, include_in_schema=False)
    def kiosk(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _answer(request, assets, "kiosk.html", secure_port())

    @get("/admin", sync_to_thread=False, include_in_schema=False)
    def admin(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _answer(request, assets, "admin.html", secure_port())

    @get("/{path:path}", sync_to_thread=False, include_in_schema=False)
    def page(request: Request[Any, Any, Any], path: str) -> Response[bytes]:
        return _answer(request, assets, path.lstrip("/"), secure_port())

    return [index, kiosk, admin, _api_page(assets, secure_port), page]


def of_the_api() -> list[ControllerRouterHandler]:
    """The page of the API alone, for a server that has no other."""
    assets = _load(api_names())

    @get("/assets/{path:path}", sync_to_thread=False, include_in_schema=False)
    def asset(request: Request[Any, Any, Any], path: str) -> Response[bytes]:
        return _answer(request, assets, _HASHED_FOLDER + path.lstrip("/"), None)

    return [_api_page(assets, lambda: None), asset]


def _api_page(
    assets: dict[str, Asset], secure_port: Callable[[], int | None]
) -> ControllerRouterHandler:
    @get("/schema", sync_to_thread=False, include_in_schema=False)
    def api(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _answer(request, assets, _API_PAGE, secure_port())

    return api


def secure_address(request: Request[Any, Any, Any], port: int) -> str:
    """Where the host that was asked answers over TLS: `https://box.local:8443`."""
    host = request.url.hostname or "localhost"
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def asset_names() -> frozenset[str]:
    """The paths of the built files below `/`."""
    built = (path for path in _FOLDER.rglob("*") if path.is_file() and path.suffix != _PACKED)
    return frozenset(path.relative_to(_FOLDER).as_posix() for path in built)


def api_names() -> frozenset[str]:
    """The page of the API and every built file that it leads to."""
    built, found, waiting = asset_names(), set[str](), [_API_PAGE]
    while waiting:
        name = waiting.pop()
        if name in built and name not in found:
            found.add(name)
            named = _NAMED.findall((_FOLDER / name).read_bytes())
            waiting += [_HASHED_FOLDER + other.decode() for other in named]
    return frozenset(found)


def _load(names: Iterable[str]) -> dict[str, Asset]:
    return {name: _asset(name, _FOLDER / name) for name in names}


def _asset(name: str, path: Path) -> Asset:
    body = path.read_bytes()
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    forms = {"": Form(body, etag_of(body))}
    if (packed := path.with_name(path.name + _PACKED)).exists():
        forms["gzip"] = Form(packed.read_bytes(), tagged(etag_of(body), "gzip"), "gzip")
    immutable = "public, max-age=31536000, immutable"
    return Asset(
        forms=forms,
        media_type=media_type,
        cache_control=immutable if name.startswith(_HASHED_FOLDER) else "no-cache",
    )


def _answer(
    request: Request[Any, Any, Any],
    assets: dict[str, Asset],
    name: str,
    secure_port: int | None,
) -> Response[bytes]:
    asset = assets.get(name)
    if asset is None:
        if name in _PAGE_FILES:
            raise NotFound("the web pages are not built; 'scripts/serve' builds them")
        raise NotFound("there is nothing at this address")
    if secure_port is not None and asset.media_type == "text/html" and not _is_secure(request):
        return _elsewhere(request, secure_port)
    codings = [coding for coding in asset.forms if coding]
    form = asset.forms[best_coding(codings, request.headers.get("accept-encoding"))]
    etags = (form.etag, *(other.etag for other in asset.forms.values()))
    held = held_etag(request.headers.get("if-none-match"), *etags)
    headers = {
        "Cache-Control": asset.cache_control,
        "ETag": held or form.etag,
        "Vary": "Accept-Encoding",
        **_UNFRAMED.get(name, PAGE_HEADERS),
    }
    if held is not None:
        return Response(b"", status_code=304, headers=headers, media_type=asset.media_type)
    if form.coding:
        headers["Content-Encoding"] = form.coding
    return Response(form.body, headers=headers, media_type=asset.media_type)


def _is_secure(request: Request[Any, Any, Any]) -> bool:
    return request.url.scheme == "https" or request.url.hostname in _OWN_HOSTS


def _elsewhere(request: Request[Any, Any, Any], port: int) -> Response[bytes]:
    """The same page at another port, over TLS; nobody may keep this answer."""
    scope: Any = request.scope
    query = scope["query_string"].decode("latin-1")
    target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
    location = secure_address(request, port) + target
    headers = {"Location": location, "Cache-Control": "no-store"}
    return Response(b"", status_code=307, headers=headers)
