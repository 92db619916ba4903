"""How the node is, and what its index means."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import anyio.to_thread
import msgspec
from litestar import Request, Response, get
from litestar.types import ControllerRouterHandler

from urbanos_edge.api import shapes
from urbanos_edge.api.document import KEPT, Refusal, refused
from urbanos_edge.api.respond import JSON, cached, json
from urbanos_edge.api.shapes import NodeStatus, told
from urbanos_edge.aqi import STANDARDS, Scale, Standard, band_starts
from urbanos_edge.cache.cache import Cache
from urbanos_edge.health import health
from urbanos_edge.node import Node
from urbanos_edge.query.history import UNITS


class Readiness(msgspec.Struct):
    """Whether the node can take readings and answer, and why not."""

    status: Literal["ready", "unready"]
    reasons: list[str]


def routes(node: Node) -> list[ControllerRouterHandler]:
    @get("/health/live", sync_to_thread=False, responses=told(dict[str, str]), tags=["status"])
    def alive() -> Response[bytes]:
        """The process answers."""
        return json({"status": "alive"})

    @get(
        "/health/ready",
        responses=told(Readiness) | refused(503, shape=Readiness | Refusal),
        tags=["status"],
    )
    async def ready() -> Response[bytes]:
        """The node can take readings and answer; 503 with reasons otherwise."""
        faults = await anyio.to_thread.run_sync(node.faults)
        reasons = [fault.text for fault in faults]
        status = 503 if reasons else 200
        return json(Readiness("unready" if reasons else "ready", reasons), status)

    @get("/api/v1/status", responses=told(NodeStatus), tags=["status"])
    async def status() -> Response[bytes]:
        """What an operator or a page wants to know at a glance."""
        return json(await anyio.to_thread.run_sync(health.status, node))

    return [alive, ready, status, *standards(node.standard, node.cache)]


def standards(used: Standard, cache: Cache) -> list[ControllerRouterHandler]:
    """What the index means, whoever grades by it; it is the same as long as the process runs."""

    async def constant(
        request: Request[Any, Any, Any], content: Callable[[], Any]
    ) -> Response[bytes]:
        def build() -> bytes:
            return msgspec.json.encode(content())

        key = ("constant", request.scope["path_template"])
        entry, hit = cache.get_at_once(key, math.inf, lambda: None, build)
        return await cached(request, entry, hit, JSON)

    @get("/api/v1/standard", responses=told(shapes.Standard) | KEPT, tags=["status"])
    async def standard(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The air quality index in use: bands, words, colours, periods, and where they stand."""
        return await constant(request, lambda: _told(used))

    @get("/api/v1/standards", responses=told(list[shapes.Standard]) | KEPT, tags=["status"])
    async def all_standards(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The same of every index that `aqi_standard` may name."""
        return await constant(request, lambda: [_told(known) for known in STANDARDS.values()])

    return [standard, all_standards]


def _told(standard: Standard) -> dict[str, Any]:
    """A standard, and from which concentration on its bands apply."""
    return {
        "id": standard.id,
        "name": standard.name,
        "publisher": standard.publisher,
        "document": standard.document,
        "date": standard.date,
        "version": standard.version,
        "assist": standard.assist,
        "pollutants": standard.pollutants,
        "periods": {
            pollutant: [_period(standard, pollutant, scale) for scale in scales]
            for pollutant, scales in standard.scales.items()
        },
        "bands": standard.bands,
    }


def _period(standard: Standard, pollutant: str, scale: Scale) -> dict[str, Any]:
    return {
        "period": scale.period,
        "current": scale.current or scale.period,
        "unit": scale.unit,
        "celsius": scale.celsius,
        "starts_unit": UNITS[pollutant],
        "starts": band_starts(standard, scale),
    }
