"""How a request came, as far as it says who sent it."""

from __future__ import annotations

from litestar.types import Scope

from urbanos_edge.ingest.reception import Arrival


def arrival(scope: Scope, protocol: str, user: str = "", secret: str = "") -> Arrival:
    """What `reception` wants to know of a request; `user` and `secret` come from its query."""
    headers = dict(scope["headers"])
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    return Arrival(protocol, address(scope), authorization, user, secret)


def address(scope: Scope) -> str:
    """The address on the other side of the connection, empty if there is none."""
    client = scope.get("client")
    return client[0] if client else ""
