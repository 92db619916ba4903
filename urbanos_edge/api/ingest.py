"""POST /api/v1/data/ingest: one reading, an array of them, or NDJSON.

Readings come in here thousands of times a second, so this is a bare ASGI application: the
framework's routing and rendering cost more than all that is done with a reading. The router knows
it like any other route; `past_the_router` leads there directly.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import msgspec
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from litestar import Request, post
from litestar.types import ASGIApp, ControllerRouterHandler, Receive, Scope, Send

from urbanos_edge.adapters import Candidate, Message, node_json
from urbanos_edge.api.arrival import address
from urbanos_edge.api.body import ClientGone, read_body
from urbanos_edge.api.document import SENT, described
from urbanos_edge.api.respond import JSON, error_response
from urbanos_edge.api.shapes import told
from urbanos_edge.errors import EdgeError, Forbidden, UnsupportedMedia
from urbanos_edge.ingest.receipt import Receipt
from urbanos_edge.ingest.reception import Arrival
from urbanos_edge.node import Node

PATH: Final = "/api/v1/data/ingest"
ASIDE_BYTES: Final = 256 << 10
"""From here on, some 2,000 readings, a body is read in a worker thread, one at a time: it may be
made to take seconds."""
_NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_JSON = (JSON, "text/json", "application/octet-stream", "")
"""The last two say nothing of what it is; Home Assistant's `rest_command` sends so."""


class Queued(msgspec.Struct, rename="camel"):
    """One reading is durable, or waits in the inbox; then its grid may be unknown."""

    success: bool
    grid_id: str | None
    message: str


class Tally(msgspec.Struct):
    """What became of many; `rejected` names those that can never be kept."""

    success: bool
    accepted: int
    duplicates: int
    rejected: list[Any]
    held: int | msgspec.UnsetType = msgspec.UNSET


def routes(node: Node) -> list[ControllerRouterHandler]:
    door = _door(node)

    @post(
        PATH,
        status_code=202,
        responses=told(Queued | Tally, 202),
        operation_class=described({JSON: Candidate | list[Candidate], _NDJSON[0]: str}),
        tags=["ingest"],
        security=SENT,
    )
    async def ingest(request: Request[Any, Any, Any]) -> ASGIApp:
        """Accept readings. They are durable when the answer arrives."""
        return door

    return [ingest]


def past_the_router(app: ASGIApp, node: Node) -> ASGIApp:
    """Take readings before the application is asked; the rest is its own."""
    door = _door(node)

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        is_ours = scope.get("method") == "POST" and scope["path"] == PATH
        if is_ours:
            scope["path_template"] = PATH
        await (door if is_ours else app)(scope, receive, send)

    return wrapped


def _door(node: Node) -> ASGIApp:
    aside = CapacityLimiter(1)

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            status, body = await _take(node, aside, scope, receive)
        except ClientGone:
            return
        except Exception as error:
            request = Request[Any, Any, Any](scope)
            answer = error_response(request, error).to_asgi_response(None, request)
            await answer(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": status, "headers": _headers(body)})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return door


async def _take(
    node: Node, aside: CapacityLimiter, scope: Scope, receive: Receive
) -> tuple[int, bytes]:
    """Read a request and make its readings durable; return status and body of the answer."""
    headers = dict(scope["headers"])
    token = scope.get("auth") or node.reception.token(_text(headers, b"authorization"))
    token.demand("sensor", "gateway")
    bodies, came = node.access.bodies, Arrival("json", address(scope))
    encoding = _text(headers, b"content-encoding")
    with bodies.one(came.address) as room:
        body = await read_body(receive, encoding, room, bodies.largest_bytes)
        read = partial(_read, _text(headers, b"content-type"), body)
        is_large = len(body) >= ASIDE_BYTES
        message, is_many = await run_sync(read, limiter=aside) if is_large else read()
    receipt = await node.ingest.accept(message, token, came)
    return _many(receipt) if is_many else _one(receipt)


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _headers(body: bytes) -> Iterable[tuple[bytes, bytes]]:
    length = str(len(body)).encode()
    return (*_ANSWER, (b"content-length", length))


_ANSWER: Final = ((b"cache-control", b"no-store"), (b"content-type", JSON.encode()))


def _read(content_type: str, body: bytes) -> tuple[Message, bool]:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in _NDJSON:
        return node_json.read_lines(body), True
    if media_type in _JSON:
        return node_json.read_object_or_array(body)
    raise UnsupportedMedia(f"'{media_type[:60]}' is not read here; send JSON or NDJSON")


_HELD: Final = "The sensor is unknown and no location was given; it waits in the inbox for a claim"


def _one(receipt: Receipt) -> tuple[int, bytes]:
    receipt.demand_all()
    message = "Data queued for processing" if receipt.accepted else _HELD
    return 202, msgspec.json.encode(
        {"success": True, "gridId": receipt.grid_id, "message": message}
    )


def _many(receipt: Receipt) -> tuple[int, bytes]:
    tally: dict[str, Any] = {
        "accepted": receipt.accepted,
        "duplicates": receipt.duplicates,
        "rejected": receipt.refused,
    }
    if receipt.held:
        tally["held"] = receipt.held
    if receipt.accepted or receipt.held or not receipt.refused:
        return 202, msgspec.json.encode({"success": True, **tally})
    error: EdgeError = receipt.errors[0]
    everywhere = all(isinstance(other, Forbidden) for other in receipt.errors)
    body = {"code": error.code, "message": f"nothing was accepted: {error.message}"}
    status = Forbidden.status if everywhere else 422
    answer = {"success": False, **tally, "error": body | {"details": None}}
    return status, msgspec.json.encode(answer)
