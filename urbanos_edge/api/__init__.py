"""HTTP: parse a request, call the node, render the answer. No rules live here."""

from __future__ import annotations

from litestar.types import ControllerRouterHandler

from urbanos_edge.api import (
    alerts,
    basemap,
    dead_letters,
    export,
    grids,
    history,
    inbox,
    ingest,
    line_protocol,
    live,
    metrics,
    pages,
    sensors,
    status,
    tiles,
    vendors,
)
from urbanos_edge.node import Node


def routes(node: Node) -> list[ControllerRouterHandler]:
    """Every HTTP route of the node."""
    return [
        *ingest.routes(node),
        *vendors.routes(node),
        *line_protocol.routes(node),
        *grids.routes(node),
        *sensors.routes(node),
        *history.routes(node),
        *export.routes(node),
        *tiles.routes(node),
        *basemap.routes(node),
        *live.routes(node),
        *alerts.routes(node),
        *dead_letters.routes(node),
        *inbox.routes(node),
        *status.routes(node),
        *metrics.routes(node),
        *pages.routes(),
    ]
