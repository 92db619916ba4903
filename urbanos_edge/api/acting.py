"""Who asks for something that not everybody may do, and the line in the log that it leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Request

from urbanos_edge.api.arrival import address
from urbanos_edge.audit import Actor
from urbanos_edge.node import Node
from urbanos_edge.tokens import Scope, Token

AnyRequest = Request[Any, Any, Any]


def holder(node: Node, request: AnyRequest) -> Token:
    """The token that a request carries, or that its login stands for.

    Raises:
        Unauthorized: neither; or the token is unknown or revoked, or the login over.
    """
    headers = request.headers
    return node.access.token(headers.get("authorization", ""), headers.get("cookie", ""))


def demand(node: Node, request: AnyRequest, scope: Scope | None) -> Token:
    """The same where a scope is needed; raises Forbidden where it has another, but admin's."""
    token = holder(node, request)
    if scope is not None:
        token.demand(scope)
    return token


@asynccontextmanager
async def acting(
    node: Node, request: AnyRequest, scope: Scope | None, act: str, details: Any = None
) -> AsyncIterator[None]:
    """Let an administrative act be done by who may; a line in the log comes before it.

    Raises:
        Unauthorized, Forbidden: they may not.
        Unavailable, StorageUnavailable, DiskFull: the line was not written; nothing is done.
    """
    actor = Actor.holding(demand(node, request, scope), address(request.scope))
    async with node.access.audit.act(actor, act, details):
        yield
