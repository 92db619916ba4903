"""How to trust the box: its authority's certificate, and a page that says what to do with it.

Both are answered in the clear, too: who does not trust the box yet has no other way.
"""

from __future__ import annotations

from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final

from litestar import Request, Response, get
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.pages import PAGE_HEADERS, secure_address
from urbanos_edge.errors import NotFound
from urbanos_edge.node import Node

CERTIFICATE: Final = "application/x-x509-ca-cert"
"""What makes a phone offer to install it."""
_HEADERS: Final = {"Cache-Control": "no-store"}


def routes(node: Node) -> list[ControllerRouterHandler]:
    page = Template((files("urbanos_edge.api") / "trust.html").read_text(encoding="utf-8"))

    @get("/ca.crt", sync_to_thread=True, include_in_schema=False)
    def certificate() -> Response[bytes]:
        """The authority's certificate, in PEM."""
        return Response(node.tls.authority().public_pem, headers=_HEADERS, media_type=CERTIFICATE)

    @get("/trust", sync_to_thread=True, include_in_schema=False)
    def trust(request: Request[Any, Any, Any]) -> Response[bytes]:
        """What to do, for each kind of device, and what to compare before."""
        standing = node.tls.standing()
        if standing.port is None:
            raise NotFound("HTTPS is not switched on; the setting is tls_port")
        told = {
            "box": node.settings.node_name,
            "authority": standing.authority,
            "words": standing.words,
            "sha256": standing.sha256.replace(":", " "),
            "until": standing.authority_expires_at[:10],
            "address": f"{secure_address(request, standing.port)}/",
            "names": ", ".join(standing.names),
        }
        text = page.substitute({key: escape(value) for key, value in told.items()})
        headers = _HEADERS | PAGE_HEADERS
        return Response(text.encode(), headers=headers, media_type="text/html")

    return [certificate, trust]
