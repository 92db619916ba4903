"""/ws: text frames both ways over one listener."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, cast

import anyio
import msgspec
from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.handlers import WebsocketRouteHandler

from urbanos_edge.allowance import network
from urbanos_edge.api.arrival import address
from urbanos_edge.api.gate import may_stay
from urbanos_edge.errors import EdgeError, Unprocessable
from urbanos_edge.grid import Tile, parse_grid_id
from urbanos_edge.live import Listener, Live, Way

TRY_AGAIN_LATER: Final = 1013
NOT_ALLOWED: Final = 1008
WAY: Final = "urbanos.way"
"""The ASGI extension by which the server offers a `live.Way`."""
CLOSE_WITHIN_S: Final = 1.0


class Frame(msgspec.Struct, rename="camel"):
    """What a client may send; which fields count depends on `type`."""

    type: str
    grid_id: str | None = None
    grid_ids: list[str] = []
    seq: int = 0
    boot: str = ""

    def tiles(self) -> list[Tile]:
        named = [*self.grid_ids, *([self.grid_id] if self.grid_id is not None else [])]
        if not named:
            raise Unprocessable("name a gridId or gridIds", code="no_grid_id")
        return [parse_grid_id(grid_id) for grid_id in named]


_DECODER: Final = msgspec.json.Decoder(Frame)


def route(live: Live) -> WebsocketRouteHandler:
    @websocket("/ws")
    async def follow(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        scope = socket.scope
        way = (scope.get("extensions") or {}).get(WAY)
        listener = Listener(cast("Way | None", way), network(address(scope)), may_stay(scope))
        live.join(listener)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_send, socket, listener)
                tasks.start_soon(_cut, socket, listener, tasks.cancel_scope)
                await _receive(socket, listener, live)
                tasks.cancel_scope.cancel()
        finally:
            live.leave(listener)

    return follow


async def _receive(socket: WebSocket[Any, Any, Any], listener: Listener, live: Live) -> None:
    try:
        while True:
            text = await socket.receive_data(mode="text")
            _obey(text, listener, live)
            await listener.has_room()
    except WebSocketDisconnect:
        return


async def _send(socket: WebSocket[Any, Any, Any], listener: Listener) -> None:
    """Write what waits, until nobody is there any more; `_receive` hears of that, too."""
    with suppress(WebSocketDisconnect):
        while (frame := await listener.next()) is not None:
            await socket.send_data(frame.decode(), mode="text")


async def _cut(
    socket: WebSocket[Any, Any, Any], listener: Listener, scope: anyio.CancelScope
) -> None:
    """End a listener that cannot keep up, and may come back, or that may not listen any more.

    A task of its own: the one that sends may be stuck in a frame that nobody takes.
    """
    await listener.cut.wait()
    why = (TRY_AGAIN_LATER, "too slow; fetch anew")
    if listener.is_dismissed:
        why = (NOT_ALLOWED, "the token or the login is over")
    with suppress(WebSocketDisconnect), anyio.move_on_after(CLOSE_WITHIN_S) as closing:
        await socket.close(*why)
    if closing.cancelled_caught and listener.way is not None:
        listener.way.drop()
    scope.cancel()


def _obey(text: str | bytes, listener: Listener, live: Live) -> None:
    try:
        frame = _DECODER.decode(text)
        match frame.type:
            case "subscribe-grid":
                live.subscribe(listener, frame.tiles())
            case "unsubscribe-grid":
                live.unsubscribe(listener, frame.tiles())
            case "resume":
                live.resume(listener, frame.seq, frame.boot)
            case "ping":
                _say(listener, {"type": "pong"})
            case _:
                raise Unprocessable(f"'{frame.type[:40]}' is not understood", code="unknown_type")
    except EdgeError as error:
        _say(listener, _error(error.code, error.message))
    except msgspec.MsgspecError as error:
        _say(listener, _error("invalid_frame", str(error)))
    except RecursionError:
        _say(listener, _error("invalid_frame", "the JSON is nested too deeply"))


def _error(code: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"code": code, "message": message}}


def _say(listener: Listener, content: dict[str, Any]) -> None:
    listener.put(msgspec.json.encode(content))
