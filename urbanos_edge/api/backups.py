"""Having a backup made now, for operators; how it goes and what came of it is in the status."""

from __future__ import annotations

from litestar import Response, post
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.acting import AnyRequest, acting
from urbanos_edge.api.document import needs
from urbanos_edge.api.respond import json
from urbanos_edge.api.shapes import told
from urbanos_edge.errors import BadRequest
from urbanos_edge.node import Node


def routes(node: Node) -> list[ControllerRouterHandler]:
    @post(
        "/api/v1/backups",
        status_code=202,
        responses=told(dict[str, bool], 202),
        tags=["backups"],
        security=needs("operator"),
    )
    async def make(request: AnyRequest) -> Response[bytes]:
        """Back up to `backup_target` and rehearse the restore, as every day; once at a time."""
        async with acting(node, request, "operator", "backup"):
            if not node.settings.backup_target:
                raise BadRequest("there is no place for it: set backup_target", code="no_target")
            node.backups.ask()
        return json({"begun": True}, 202)

    return [make]
