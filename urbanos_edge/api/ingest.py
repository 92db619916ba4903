"""POST /api/v1/data/ingest: one reading, an array of them, or NDJSON."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, post
from litestar.types import ControllerRouterHandler

from urbanos_edge.adapters import Message, node_json
from urbanos_edge.api.body import read_body
from urbanos_edge.api.respond import json
from urbanos_edge.errors import EdgeError, Forbidden, Unauthorized, UnsupportedMedia
from urbanos_edge.ingest import Receipt
from urbanos_edge.node import Node
from urbanos_edge.tokens import Token

_NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_JSON = ("application/json", "text/json", "")


def routes(node: Node) -> list[ControllerRouterHandler]:
    @post("/api/v1/data/ingest", status_code=202, tags=["ingest"])
    async def ingest(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Accept readings. They are durable when the answer arrives."""
        token = bearer(node, request)
        token.demand("sensor", "gateway")
        body = await read_body(
            request.stream(),
            request.headers.get("content-encoding", ""),
            node.settings.max_body_bytes,
        )
        message, is_many = _read(request.headers.get("content-type", ""), body)
        receipt = await node.ingest.accept(message, token)
        return _many(receipt) if is_many else _one(receipt)

    return [ingest]


def bearer(node: Node, request: Request[Any, Any, Any]) -> Token:
    """The token a request carries.

    Raises:
        Unauthorized: none, or one that is not known.
    """
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise Unauthorized("send 'Authorization: Bearer <token>'")
    return node.tokens.authenticate(secret.strip())


def _read(content_type: str, body: bytes) -> tuple[Message, bool]:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in _NDJSON:
        return node_json.read_lines(body), True
    if media_type in _JSON:
        return node_json.read_object_or_array(body)
    raise UnsupportedMedia(f"'{media_type[:60]}' is not read here; send JSON or NDJSON")


def _one(receipt: Receipt) -> Response[bytes]:
    if receipt.errors:
        raise receipt.errors[0]
    return json(
        {
            "success": True,
            "gridId": receipt.grid_id,
            "message": "Data queued for processing",
        },
        202,
    )


def _many(receipt: Receipt) -> Response[bytes]:
    tally: dict[str, Any] = {
        "accepted": len(receipt.accepted),
        "duplicates": receipt.duplicates,
        "rejected": receipt.refused,
    }
    if receipt.accepted or not receipt.refused:
        return json({"success": True, **tally}, 202)
    error: EdgeError = receipt.errors[0]
    everywhere = all(isinstance(other, Forbidden) for other in receipt.errors)
    body = {"code": error.code, "message": f"nothing was accepted: {error.message}"}
    status = Forbidden.status if everywhere else 422
    return json({"success": False, **tally, "error": body | {"details": None}}, status)
