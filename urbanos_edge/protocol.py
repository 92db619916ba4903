"""One connection, where bytes that are ready are written without asking the routes.

HTTP/1.1: the answer to a request that equals an earlier one. WebSocket: frames that go to many.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from urbanos_edge.answers import Answers
from urbanos_edge.ws import WAY


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, which everything that is not ready still goes through unchanged."""

    def __init__(self, answers: Answers, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answers = answers
        self._in_message = False
        self._answered_at_s = 0.0

    def data_received(self, data: bytes) -> None:
        """The one place where a request is answered or sent on; `data` is what just came in."""
        if self._may_answer_at_once() and (answer := self._answers.ready(data)) is not None:
            self.transport.write(answer)
            self.server_state.total_requests += 1
            self._note_answered()
        else:
            super().data_received(data)

    def _may_answer_at_once(self) -> bool:
        """Nothing came before these bytes that is not answered yet, and the client is reading."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        is_idle = cycle is None or cycle.response_complete
        return is_idle and not self._in_message and not self.flow.write_paused

    def on_message_begin(self) -> None:
        self._in_message = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def _note_answered(self) -> None:
        """Begin to count the idle time; a timer anew for each answer would cost a third of it."""
        self._answered_at_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._watch_idle_for(self.timeout_keep_alive)

    def _watch_idle_for(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        idle_s = self.loop.time() - self._answered_at_s
        if idle_s < self.timeout_keep_alive:
            self._watch_idle_for(self.timeout_keep_alive - idle_s)
        else:
            super().timeout_keep_alive_handler()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's protocol; itself the `live.Way` that it offers the application."""

    async def run_asgi(self) -> None:
        extensions = cast(dict[str, object], self.scope["extensions"])
        extensions[WAY] = self
        await super().run_asgi()

    def is_free(self) -> bool:
        return self.writable.is_set() and not (self.close_sent or self.transport.is_closing())

    def write(self, frames: Sequence[bytes]) -> None:
        """Write text frames; a server's are not masked, so that all clients get the same bytes."""
        pieces: list[bytes] = []
        for frame in frames:
            pieces += (_head(len(frame)), frame)
        self.transport.writelines(pieces)

    def drop(self) -> None:
        self.transport.abort()


@lru_cache(maxsize=256)
def _head(size: int) -> bytes:
    """Of a whole text frame of so many bytes (RFC 6455 5.2)."""
    if size < 126:
        return bytes([0x81, size])
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")
