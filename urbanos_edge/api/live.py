"""GET /api/v1/live: server-sent events with the same content as `/ws`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import anyio
import msgspec
from litestar import Request, get
from litestar.params import QueryParameter
from litestar.response.base import ASGIResponse
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import ControllerRouterHandler, Receive, Send

from urbanos_edge.allowance import network
from urbanos_edge.api.arrival import address
from urbanos_edge.api.document import described
from urbanos_edge.api.gate import may_stay
from urbanos_edge.errors import EdgeError, Unprocessable
from urbanos_edge.grid import parse_grid_id
from urbanos_edge.live import MAX_GRIDS, Listener, Live

KEEP_ALIVE_S: Final = 15
END_WITHIN_S: Final = 1.0
MAX_SEQ_DIGITS: Final = 18
GridIds = Annotated[str, QueryParameter(name="gridIds", min_length=1, max_length=32 * MAX_GRIDS)]


class _Numbered(msgspec.Struct):
    seq: int = 0
    boot: str = ""


def routes(live: Live) -> list[ControllerRouterHandler]:
    @get("/api/v1/live", operation_class=described(answers=("text/event-stream",)), tags=["live"])
    async def follow(request: Request[Any, Any, Any], grid_ids: GridIds) -> ASGIResponse:
        """Changes of the grids in `gridIds` (comma-separated); resumes from `Last-Event-ID`."""
        tiles = [parse_grid_id(grid_id) for grid_id in grid_ids.split(",")]
        last_event = request.headers.get("last-event-id")
        since = _event_number(last_event) if last_event else None
        scope = request.scope
        listener = Listener(whose=network(address(scope)), may_stay=may_stay(scope))
        try:
            live.subscribe(listener, tiles)
            if since is not None:
                live.resume(listener, since[1], since[0])
        except EdgeError:
            live.leave(listener)
            raise
        return _EventStream(live, listener)

    return [follow]


def _event_number(last_event: str) -> tuple[str, int]:
    boot, _, seq = last_event.partition(":")
    if not (seq.isascii() and seq.isdigit() and len(seq) <= MAX_SEQ_DIGITS):
        raise Unprocessable("Last-Event-ID is not one of this node's", code="invalid_event_id")
    return boot, int(seq)


class _EventStream(ASGIStreamingResponse):
    """Streams a listener's frames, until it cannot keep up or may not listen any more."""

    def __init__(self, live: Live, listener: Listener) -> None:
        super().__init__(
            iterator=_events(listener),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self._live, self._listener = live, listener

    async def send_body(self, send: Send, receive: Receive) -> None:
        self._live.join(self._listener)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._cut, tasks.cancel_scope)
                await super().send_body(send, receive)
                tasks.cancel_scope.cancel()
        finally:
            self._live.leave(self._listener)

    async def _cut(self, scope: anyio.CancelScope) -> None:
        await self._listener.cut.wait()
        if self._listener.is_dismissed:
            await anyio.sleep(END_WITHIN_S)  # who keeps up sees a whole answer
        scope.cancel()


async def _events(listener: Listener) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    while True:
        frame: bytes | None = b""
        with anyio.move_on_after(KEEP_ALIVE_S):
            frame = await listener.next()
        if frame is None:
            return
        yield _event(frame) if frame else b": still here\n\n"


def _event(frame: bytes) -> bytes:
    numbered = msgspec.json.decode(frame, type=_Numbered)
    return b"id: %s:%d\ndata: %s\n\n" % (numbered.boot.encode(), numbered.seq, frame)
