"""What is set, and who set it, for admins."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from litestar import Response, get
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.acting import AnyRequest, demand
from urbanos_edge.api.document import needs, refused
from urbanos_edge.api.respond import json
from urbanos_edge.api.shapes import told
from urbanos_edge.node import Node
from urbanos_edge.secrecy import SECRET, shown


class ShownSetting(msgspec.Struct):
    """One setting; of a secret one `value` only says whether it is set."""

    name: str
    value: Any
    source: Literal["default", "file", "environment", "flag"]
    is_secret: bool


class SettingList(msgspec.Struct):
    """All settings, in the order of docs/settings.md."""

    settings: list[ShownSetting]
    count: int


def routes(node: Node) -> list[ControllerRouterHandler]:
    @get(
        "/api/v1/settings",
        sync_to_thread=False,
        responses=told(SettingList) | refused(403),
        tags=["status"],
        security=needs("admin"),
    )
    def list_settings(request: AnyRequest) -> Response[bytes]:
        """What the node runs with, and where each value comes from."""
        demand(node, request, "admin")
        found = [
            ShownSetting(name, value, node.origins.get(name, "default"), name in SECRET)
            for name, value in shown(node.settings).items()
        ]
        return json(SettingList(found, len(found)))

    return [list_settings]
