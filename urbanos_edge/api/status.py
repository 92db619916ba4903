"""How the node is, and what its index means."""

from __future__ import annotations

import anyio.to_thread
from litestar import Response, get
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.respond import json
from urbanos_edge.node import Node


def routes(node: Node) -> list[ControllerRouterHandler]:
    @get("/health/live", sync_to_thread=False, tags=["status"])
    def alive() -> Response[bytes]:
        """The process answers."""
        return json({"status": "alive"})

    @get("/health/ready", tags=["status"])
    async def ready() -> Response[bytes]:
        """The node can take readings and answer; 503 with reasons otherwise."""
        reasons = await anyio.to_thread.run_sync(node.faults)
        status = 503 if reasons else 200
        return json({"status": "unready" if reasons else "ready", "reasons": reasons}, status)

    @get("/api/v1/status", tags=["status"])
    async def status() -> Response[bytes]:
        """What an operator or a page wants to know at a glance."""
        return json(await anyio.to_thread.run_sync(node.status))

    @get("/api/v1/standard", sync_to_thread=False, tags=["status"])
    def standard() -> Response[bytes]:
        """The air quality index in use: bands, words, colours and where they are published."""
        used = node.standard
        return json(
            {
                "id": used.id,
                "name": used.name,
                "publisher": used.publisher,
                "document": used.document,
                "version": used.version,
                "pollutants": used.pollutants,
                "bands": used.bands,
            }
        )

    return [alive, ready, status, standard]
