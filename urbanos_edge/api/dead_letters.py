"""Dead letters over HTTP, for operators."""

from __future__ import annotations

from typing import Annotated, Any

import anyio.to_thread
import msgspec
from litestar import Request, Response, delete, get, post
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.acting import acting, demand
from urbanos_edge.api.document import needs, refused
from urbanos_edge.api.respond import json
from urbanos_edge.api.shapes import told
from urbanos_edge.clock import to_rfc3339
from urbanos_edge.errors import Unprocessable
from urbanos_edge.ingest.dead_letters import Kept
from urbanos_edge.node import Node

Limit = Annotated[int, QueryParameter(ge=1, le=1000)]


class Chosen(msgspec.Struct, forbid_unknown_fields=True):
    """Which letters: by number, or all of them."""

    ids: list[int] | None = None
    all: bool = False

    def numbers(self) -> list[int] | None:
        if self.all == (self.ids is not None):
            raise Unprocessable("name letters in 'ids', or say 'all': true")
        return self.ids


class Letter(msgspec.Struct):
    """What was refused, and why; `payload` is what was sent."""

    id: int
    rejected_at: str
    code: str
    message: str
    payload: Any


class LetterList(msgspec.Struct):
    """Dead letters, the newest first."""

    letters: list[Letter]
    count: int


def routes(node: Node) -> list[ControllerRouterHandler]:
    return [_list(node), *_decisions(node)]


def _list(node: Node) -> ControllerRouterHandler:
    @get(
        "/api/v1/dead-letters",
        responses=told(LetterList) | refused(403),
        tags=["dead letters"],
        security=needs("operator"),
    )
    async def list_letters(
        request: Request[Any, Any, Any], limit: Limit = 100, before: int | None = None
    ) -> Response[bytes]:
        """The newest dead letters; `before` a number goes on where the last answer ended."""
        demand(node, request, "operator")
        kept = await anyio.to_thread.run_sync(node.dead_letters.list, limit, before)
        return json(LetterList([_shown(letter) for letter in kept], len(kept)))

    return list_letters


def _decisions(node: Node) -> list[ControllerRouterHandler]:
    @post(
        "/api/v1/dead-letters/requeue",
        status_code=200,
        responses=told(dict[str, int]),
        tags=["dead letters"],
        security=needs("operator"),
    )
    async def requeue(request: Request[Any, Any, Any], data: Chosen) -> Response[bytes]:
        """Send letters through the door again."""
        async with acting(node, request, "operator", "requeue", data):
            return json({"accepted": await node.requeue(data.numbers())})

    @delete(
        "/api/v1/dead-letters",
        status_code=200,
        responses=told(dict[str, int]),
        tags=["dead letters"],
        security=needs("operator"),
    )
    async def purge(request: Request[Any, Any, Any], data: Chosen) -> Response[bytes]:
        """Throw letters away for good."""
        async with acting(node, request, "operator", "purge", data):
            return json({"purged": await node.dead_letters.purge(data.numbers())})

    return [requeue, purge]


def _shown(letter: Kept) -> Letter:
    return Letter(
        id=letter.id,
        rejected_at=to_rfc3339(letter.rejected_at_us),
        code=letter.code,
        message=letter.message,
        payload=letter.payload,
    )
