"""Why a sensor shows what it shows."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, Any

import anyio.to_thread
import msgspec
from litestar import Request, Response, get
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.document import KEPT
from urbanos_edge.api.respond import JSON, cached
from urbanos_edge.api.shapes import told
from urbanos_edge.clock import moment_us
from urbanos_edge.node import Node
from urbanos_edge.query.explanation import Explanation, known_quantity

At = Annotated[
    str | None,
    QueryParameter(name="at", description="RFC 3339 with a zone; now, and the latest reading"),
]
Quantity = Annotated[
    str | None,
    QueryParameter(name="quantity", description="one name, aqi among them; all that occur"),
]


def routes(node: Node) -> list[ControllerRouterHandler]:
    @get(
        "/api/v1/sensors/{sensor_id:str}/explain",
        responses=told(Explanation) | KEPT,
        tags=["sensors"],
    )
    async def explain(
        request: Request[Any, Any, Any], sensor_id: str, at: At = None, quantity: Quantity = None
    ) -> Response[bytes]:
        """From what was measured to the index: correction, flags, averages, tables, all numbers."""
        known = node.sensors.get(sensor_id).id
        at_us, name = moment_us("at", at), known_quantity(quantity)

        def revision() -> Hashable:
            return node.explanations.revision(known, at_us, node.view())

        def read() -> bytes:
            found = node.explanations.read(known, at_us, name, node.view())
            return msgspec.json.encode(found)

        async def build() -> bytes:
            return await anyio.to_thread.run_sync(read)

        key = ("explain", node.standard.grading, known, at_us, name)
        entry, hit = await node.cache.get(key, node.settings.cache_ttl_grid_s, revision, build)
        return await cached(request, entry, hit, JSON)

    return [explain]
