"""What was found in the local network, for operators."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.acting import demand
from urbanos_edge.api.document import needs, refused
from urbanos_edge.api.respond import json
from urbanos_edge.api.shapes import told
from urbanos_edge.clock import spelled
from urbanos_edge.discovery.nearby import MAX_DEVICES, Device
from urbanos_edge.node import Node


class Found(msgspec.Struct):
    """What announced itself: see `nearby.Device`."""

    kind: str
    name: str
    serial: str
    sender: str
    sensor_id: str | None
    address: str
    port: int
    url: str | None
    model: str
    firmware: str
    first_seen_at: str
    last_seen_at: str
    is_here: bool
    is_asked: bool
    misses: int


class FoundList(msgspec.Struct):
    """Those that are here first."""

    devices: list[Found]
    here: int
    known: int
    turned_away: int
    limit: int


def routes(node: Node) -> list[ControllerRouterHandler]:
    @get(
        "/api/v1/discovered",
        responses=told(FoundList) | refused(403),
        tags=["inbox"],
        security=needs("operator"),
    )
    async def list_discovered(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Sensors and other nodes that announce themselves by mDNS, those that are here first."""
        demand(node, request, "operator")
        return json(
            {
                "devices": [_told(device) for device in node.nearby.list()],
                **node.nearby.counts(),
                "limit": MAX_DEVICES,
            }
        )

    return [list_discovered]


def _told(device: Device) -> dict[str, Any]:
    return spelled(msgspec.structs.asdict(device))
