"""GET /api/v1/live: server-sent events with the same content as `/ws`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import anyio
import msgspec
from litestar import Request, get
from litestar.params import QueryParameter
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from urbanos_edge.errors import Unprocessable
from urbanos_edge.grid import parse_grid_id
from urbanos_edge.live import MAX_GRIDS, Listener, Live
from urbanos_edge.node import Node

KEEP_ALIVE_S: Final = 15
GridIds = Annotated[str, QueryParameter(name="gridIds", min_length=1, max_length=32 * MAX_GRIDS)]


class _Numbered(msgspec.Struct):
    seq: int = 0
    boot: str = ""


def routes(node: Node) -> list[ControllerRouterHandler]:
    @get("/api/v1/live", tags=["live"])
    async def live(request: Request[Any, Any, Any], grid_ids: GridIds) -> Stream:
        """Changes of the grids in `gridIds` (comma-separated); resumes from `Last-Event-ID`."""
        tiles = [parse_grid_id(grid_id) for grid_id in grid_ids.split(",")]
        listener = Listener()
        node.live.subscribe(listener, tiles)
        last_event = request.headers.get("last-event-id")
        if last_event:
            _resume(node.live, listener, last_event)
        return Stream(
            _events(node.live, listener),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return [live]


def _resume(live: Live, listener: Listener, last_event: str) -> None:
    boot, _, seq = last_event.partition(":")
    if not (seq.isascii() and seq.isdigit()):
        raise Unprocessable("Last-Event-ID is not one of this node's", code="invalid_event_id")
    live.resume(listener, int(seq), boot)


async def _events(live: Live, listener: Listener) -> AsyncIterator[bytes]:
    live.listeners += 1
    try:
        yield b"retry: 2000\n\n"
        while True:
            frame: bytes | None = b""
            with anyio.move_on_after(KEEP_ALIVE_S):
                frame = await listener.next()
            if frame is None:
                return
            yield _event(frame) if frame else b": still here\n\n"
    finally:
        live.listeners -= 1
        live.leave(listener)


def _event(frame: bytes) -> bytes:
    numbered = msgspec.json.decode(frame, type=_Numbered)
    return b"id: %s:%d\ndata: %s\n\n" % (numbered.boot.encode(), numbered.seq, frame)
