"""HTTP: parse a request, call the node, render the answer. No rules live here."""

from __future__ import annotations

from litestar.types import ControllerRouterHandler

from urbanos_edge.api import (
    aggregates,
    alerts,
    audit,
    basemap,
    dead_letters,
    explain,
    export,
    grids,
    history,
    inbox,
    ingest,
    line_protocol,
    live,
    metrics,
    nearby,
    pages,
    reports,
    sensors,
    session,
    status,
    tiles,
    trust,
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
        *explain.routes(node),
        *aggregates.routes(node),
        *export.routes(node),
        *tiles.routes(node),
        *basemap.routes(node),
        *live.routes(node),
        *alerts.routes(node),
        *reports.routes(node),
        *dead_letters.routes(node),
        *inbox.routes(node),
        *nearby.routes(node),
        *session.routes(node),
        *audit.routes(node),
        *status.routes(node),
        *metrics.routes(node),
        *trust.routes(node),
        *pages.routes(lambda: node.tls.page_port),
    ]
