"""The audit log over HTTP, for admins."""

from __future__ import annotations

from typing import Annotated, Any

import anyio.to_thread
import msgspec
from litestar import Response, get
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.acting import AnyRequest, demand
from urbanos_edge.api.document import needs, refused
from urbanos_edge.api.respond import json
from urbanos_edge.api.shapes import told
from urbanos_edge.audit import Line
from urbanos_edge.clock import spelled
from urbanos_edge.node import Node

Limit = Annotated[int, QueryParameter(ge=1, le=1000)]
Before = Annotated[int | None, QueryParameter(ge=1, le=1 << 62)]


class ShownLine(msgspec.Struct):
    """One administrative act, or that one failed."""

    id: int
    at: str
    who: str
    token_id: int | None
    address: str
    act: str
    details: Any


class LineList(msgspec.Struct):
    """Acts, the newest first."""

    lines: list[ShownLine]
    count: int


def routes(node: Node) -> list[ControllerRouterHandler]:
    @get(
        "/api/v1/audit",
        responses=told(LineList) | refused(403),
        tags=["audit"],
        security=needs("admin"),
    )
    async def list_lines(
        request: AnyRequest, limit: Limit = 100, before: Before = None
    ) -> Response[bytes]:
        """The newest administrative acts; `before` a number goes on where the last answer ended."""
        demand(node, request, "admin")
        found = await anyio.to_thread.run_sync(node.access.audit.list, limit, before)
        return json(LineList([_shown(line) for line in found], len(found)))

    return [list_lines]


def _shown(line: Line) -> ShownLine:
    return ShownLine(**spelled(msgspec.structs.asdict(line)))
