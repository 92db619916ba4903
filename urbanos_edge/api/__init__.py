"""HTTP: parse a request, call the node, render the answer. No rules live here."""

from __future__ import annotations

from litestar.types import ControllerRouterHandler

from urbanos_edge.api import (
    aggregates,
    alerts,
    audit,
    backups,
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
    settings,
    status,
    tiles,
    trust,
    vendors,
)
from urbanos_edge.health.metrics import registry
from urbanos_edge.live import Live
from urbanos_edge.node import Node
from urbanos_edge.own_atlas import OwnAtlas
from urbanos_edge.query.atlas import Atlas


def routes(node: Node) -> list[ControllerRouterHandler]:
    """Every HTTP route of the node."""
    atlas = OwnAtlas(node)
    return [
        *ingest.routes(node),
        *vendors.routes(node),
        *line_protocol.routes(node),
        *reading(atlas, node.live),
        *explain.routes(node),
        *aggregates.routes(node),
        *export.routes(node),
        *basemap.routes(node),
        *alerts.routes(node),
        *reports.routes(node),
        *dead_letters.routes(node),
        *inbox.routes(node),
        *nearby.routes(node),
        *session.routes(node),
        *audit.routes(node),
        *settings.routes(node),
        *backups.routes(node),
        *status.routes(node),
        *metrics.routes(registry(node)),
        *trust.routes(node),
        *pages.routes(lambda: node.tls.page_port),
    ]


def reading(atlas: Atlas, news: Live) -> list[ControllerRouterHandler]:
    """The routes that a node and the centre of many answer alike."""
    return [
        *grids.routes(atlas),
        *sensors.routes(atlas),
        *history.routes(atlas),
        *tiles.routes(atlas),
        *live.routes(news),
    ]
