"""One connection, where bytes that are ready are written without asking the routes.

HTTP/1.1: the answer to a request that equals an earlier one. WebSocket: frames that go to many.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from urbanos_edge.answers import Answers
from urbanos_edge.api.export import LINE
from urbanos_edge.ws import WAY

PIECE_BYTES: Final = 8 << 10
"""What the parser gets at a time: each request in it that must wait costs some kilobytes."""

FAREWELL_S: Final = 2.0
"""How long a client may still send after a frame that was refused."""


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, which everything that is not ready still goes through unchanged.

    But for its flow control: Uvicorn reads on after every answer, however many requests wait, so
    that a client that sends without reading fills the memory. Here nothing is parsed while a
    request waits for the one before it, and nothing is read while bytes wait to be parsed.
    """

    def __init__(self, answers: Answers, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answers = answers
        self._in_message = False
        self._answered_at_s = 0.0
        self._unparsed = memoryview(b"")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport, self._nothing_waits)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unparsed = memoryview(b"")
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """The one place where a request is answered or sent on; `data` is what just came in."""
        if self._may_answer_at_once() and (answer := self._answers.ready(data)) is not None:
            self.transport.write(answer)
            self.server_state.total_requests += 1
            self._note_answered()
        else:
            self._unparsed = memoryview(bytes(self._unparsed) + data)
            self._parse()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._parse()

    def _parse(self) -> None:
        """Parse what was read until a request must wait; the rest has its turn after an answer."""
        while self._unparsed and not self.pipeline and not self.transport.is_closing():
            piece, self._unparsed = self._unparsed[:PIECE_BYTES], self._unparsed[PIECE_BYTES:]
            super().data_received(bytes(piece))
        if self._is_idle() and not self.transport.is_closing():
            self.flow.resume_reading()

    def _nothing_waits(self) -> bool:
        return not self.pipeline and not self._unparsed

    def _is_idle(self) -> bool:
        """Every request that came in whole has its answer."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is None or cycle.response_complete

    def handle_websocket_upgrade(self) -> None:
        self._unparsed = memoryview(b"")
        super().handle_websocket_upgrade()

    def _may_answer_at_once(self) -> bool:
        """Nothing came before these bytes that is not answered yet, and the client is reading."""
        return self._is_idle() and not self._in_message and not self.flow.write_paused

    @property
    def waiting_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    def drop(self) -> None:
        """As `export.Line`; an answer that is whole stays so."""
        if not self._is_idle():
            self.transport.abort()

    def on_message_begin(self) -> None:
        self._in_message = True
        super().on_message_begin()
        cast("dict[str, object]", self.scope)["extensions"] = {LINE: self}

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


class _Flow(FlowControl):
    """Reads on only when nothing waits, whoever asks for it."""

    def __init__(self, transport: asyncio.Transport, nothing_waits: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._nothing_waits = nothing_waits

    def resume_reading(self) -> None:
        if self._nothing_waits():
            super().resume_reading()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's protocol; itself the `live.Way` that it offers the application.

    But for how it refuses a frame: a socket that is closed while bytes come in answers them with a
    reset, which may reach the client before it has read why. So they are read and dropped.
    """

    _has_refused = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.ping_interval:
            # Who came together, as after an outage, would be asked together for ever after.
            self.ping_interval *= random.uniform(0.5, 1.0)

    def data_received(self, data: bytes) -> None:
        if not self._has_refused:
            super().data_received(data)

    def handle_parser_exception(self) -> None:
        """Say why, and close once the client has heard it or `FAREWELL_S` are over."""
        refused = self.conn.close_sent
        assert refused is not None
        self._has_refused = self.close_sent = True
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": refused.code, "reason": refused.reason}
        )
        self.transport.writelines(self.conn.data_to_send())
        self.close_timer = self.loop.call_later(FAREWELL_S, self.transport.close)
        self.read_paused = False
        self.transport.resume_reading()

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
