"""GET /metrics for Prometheus, and the counting of requests around the application."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any, Final

import anyio.to_thread
from litestar import Request, Response, get
from litestar.enums import ScopeType
from litestar.types import ASGIApp, ControllerRouterHandler, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from urbanos_edge.api.document import described
from urbanos_edge.cache.traffic import UNMATCHED, Traffic

_ANY_PAGE: Final = "/{path}"
"""The route of the web pages, which takes what no other does."""


def routes(numbers: CollectorRegistry) -> list[ControllerRouterHandler]:
    @get(
        "/metrics",
        media_type="text/plain",
        operation_class=described(answers=("application/openmetrics-text",)),
        tags=["status"],
    )
    async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        """All numbers in Prometheus' text format, or as OpenMetrics where asked for."""
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        body = await anyio.to_thread.run_sync(encode, numbers)
        headers = {"Content-Type": media_type, "Cache-Control": "no-store"}
        return Response(body, headers=headers, media_type=media_type)

    return [metrics]


def counted(app: ASGIApp, traffic: Traffic) -> ASGIApp:
    """Count what the application answers, and how long it takes to the head of each answer.

    Streams and slow clients would otherwise show as a slow node.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        began_s = time.perf_counter()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = message["status"]
                took_s = time.perf_counter() - began_s
                traffic.note(scope["method"], _route(scope, status), status, took_s)
                if scope["method"] == "GET" and status == HTTPStatus.OK:
                    query = scope["query_string"]
                    traffic.note_target(scope["raw_path"] + (b"?" + query if query else b""))
            await send(message)

        await app(scope, receive, noted)

    return wrapped


def _route(scope: Scope, status: int) -> str:
    """The pattern that the router found; what none is for shares one name."""
    route = scope.get("path_template") or UNMATCHED
    return UNMATCHED if route == _ANY_PAGE and status == HTTPStatus.NOT_FOUND else route
