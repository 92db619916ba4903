"""One connection, where bytes that are ready are written without asking the routes.

HTTP/1.1: the answer to a request that equals an earlier one. WebSocket: frames that go to many.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, cast

import msgspec
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.protocol import State

from urbanos_edge.access.crowd import Crowd, Seat
from urbanos_edge.access.refusals import PLAIN_PORT, TLS_PORT
from urbanos_edge.api.export import LINE
from urbanos_edge.cache.answers import Answers
from urbanos_edge.ws import WAY

PIECE_BYTES: Final = 8 << 10
"""What the parser gets at a time: each request in it that must wait costs some kilobytes."""

MAX_UNSENT_BYTES: Final = 64 << 10
"""What may wait in a connection for a client that does not read."""
HEAD_WITHIN_S: Final = 20.0
"""How long a request's head may take, from the connection or its first byte on."""
BODY_WITHIN_S: Final = 20.0
"""How long a body may take at least, and pause at most."""
BODY_BYTES_PER_S: Final = 500
"""What it must bring on average after that."""
TAKE_WITHIN_S: Final = 60.0
"""How long a client may take nothing of what it is sent."""
MAX_HEAD_BYTES: Final = 64 << 10
"""A request's head, and what follows its body."""
MAX_FRAMING: Final = 8
"""Bytes of chunks for each of the body; pieces of one byte take six."""
WORTH_JOINING: Final = 16 << 10
"""A smaller body is copied behind its head; a larger one is handed over as a second piece."""
FAREWELL_S: Final = 2.0
"""How long a client may still send after a frame that was refused."""


def _last_words(status: HTTPStatus, code: str, message: str) -> bytes:
    """An answer after which the connection is closed."""
    body = msgspec.json.encode({"error": {"code": code, "message": message, "details": None}})
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
    head += f"content-length: {len(body)}\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
    return head.encode() + body


_TOO_SLOW: Final = _last_words(
    HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "the request came too slowly"
)
_TOO_LARGE: Final = _last_words(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", "the request's head is too large"
)
_TOO_MANY: Final = _last_words(
    HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections", "too many connections are open"
)
_TLS_HANDSHAKE: Final = b"\x16\x03"
"""What who wants HTTPS says first: a record of a handshake, of SSL 3 or any TLS (RFC 8446, 5.1)."""
_NO_TLS: Final = "it speaks HTTPS; switch it off"
_NO_HTTP: Final = "that is no proper HTTP; begin the path with '/'"


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, which everything that is not ready still goes through unchanged.

    But for its patience: Uvicorn waits for ever for the rest of a request and for a client to take
    its answer, and keeps a head of any size.

    And for its flow control: Uvicorn reads on after every answer, however many requests wait, so
    that a client that sends without reading fills the memory. Here nothing is parsed while a
    request waits for the one before it, and nothing is read while bytes wait to be parsed.
    """

    def __init__(self, answers: Answers, crowd: Crowd, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answers = answers
        self._crowd = crowd
        self._seat: Seat | None = None
        self._in_message = self._speaks_tls = False
        self._answered_at_s = 0.0
        self._unparsed = memoryview(b"")
        self._due_at_s = math.inf
        """When the rest of a request must be there; for ever where nothing is begun."""
        self._is_in_body = False
        self._message_bytes = self._body_bytes = 0
        """Of the request that comes in: all of it, and its body."""
        self._uptake = _Uptake()
        self._is_last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport, self._nothing_waits)
        transport.set_write_buffer_limits(MAX_UNSENT_BYTES)  # over TLS it would be eight times it
        peer = self.client[0] if self.client else ""
        self._link = self._answers.link(peer, self.server[0] if self.server else "")
        self._due_at_s = self.loop.time() + HEAD_WITHIN_S
        self._seat = self._crowd.enter(peer)
        if self._seat is None:
            self._end(_TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unparsed = memoryview(b"")
        if self._seat is not None:
            self._seat.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """The one place where a request is answered or sent on; `data` is what just came in."""
        if (
            self._may_answer_at_once()
            and (answer := self._answers.ready(data, self._link)) is not None
        ):
            self._due_at_s = math.inf
            self.transport.write(b"".join(answer))  # one piece costs less than writing three
            self.server_state.total_requests += 1
            self._note_answered()
        else:
            self._unparsed = memoryview(bytes(self._unparsed) + data if self._unparsed else data)
            self._parse()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._parse()

    def _parse(self) -> None:
        """Parse what was read until a request must wait; the rest has its turn after an answer."""
        while self._unparsed and not self.pipeline and not self.transport.is_closing():
            piece, self._unparsed = self._unparsed[:PIECE_BYTES], self._unparsed[PIECE_BYTES:]
            self._speaks_tls = bytes(piece[:2]) == _TLS_HANDSHAKE and not self._in_message
            super().data_received(bytes(piece))
            self._message_bytes += len(piece)
            most_bytes = MAX_HEAD_BYTES + MAX_FRAMING * self._body_bytes
            if self._in_message and self._message_bytes > most_bytes:
                self._end(_TOO_LARGE)
        if self._is_idle() and not self.transport.is_closing():
            self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """Who is not understood may not understand the answer either: the operator gets one."""
        refusals, peer = self._answers.door.refusals, self.client[0] if self.client else ""
        port = TLS_PORT if self.scheme == "https" else PLAIN_PORT
        why = _NO_TLS if self._speaks_tls else _NO_HTTP
        refusals.note(peer, port, "", HTTPStatus.BAD_REQUEST, why)
        super().send_400_response(msg)

    def _nothing_waits(self) -> bool:
        return not self.pipeline and not self._unparsed

    def _is_idle(self) -> bool:
        """Every request that came in whole has its answer."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is None or cycle.response_complete

    def handle_websocket_upgrade(self) -> None:
        self._unparsed = memoryview(b"")
        self._due_at_s = math.inf
        super().handle_websocket_upgrade()
        successor = cast("WebSocketProtocol", self.transport.get_protocol())
        successor.seat, self._seat = self._seat, None
        if self.flow.write_paused:
            successor.pause_writing()  # the transport says it once, and said it here
        if not successor.handshake_initiated:
            # What reads it anew is stricter, says nothing, and would wait for ever.
            self.send_400_response("This is no request for a WebSocket.")

    def _may_answer_at_once(self) -> bool:
        """Nothing came before these bytes that is not answered yet, and the client is reading."""
        is_free = self._is_idle() and not self._in_message and not self._is_last
        return is_free and not self.flow.write_paused

    def let_go(self) -> None:
        """Answer what comes in, and close with the next answer."""
        self._is_last = True
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and not cycle.response_started:
            cycle.keep_alive = False

    @property
    def waiting_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    def drop(self) -> None:
        """As `export.Line`; an answer that is whole stays so."""
        if not self._is_idle():
            self.transport.abort()

    def on_message_begin(self) -> None:
        self._in_message, self._is_in_body = True, False
        self._message_bytes = self._body_bytes = 0
        self._due_at_s = self.loop.time() + HEAD_WITHIN_S
        super().on_message_begin()
        cast("dict[str, object]", self.scope)["extensions"] = {LINE: self}

    def on_headers_complete(self) -> None:
        self._is_in_body = True
        self._due_at_s = self.loop.time() + BODY_WITHIN_S
        super().on_headers_complete()
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None:
            cycle.transport = cast(asyncio.Transport, _HeadAndBody(self.transport, self.loop))
            cycle.keep_alive = cycle.keep_alive and not self._is_last

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        earned_s = self._due_at_s + len(body) / BODY_BYTES_PER_S
        self._due_at_s = min(earned_s, self.loop.time() + BODY_WITHIN_S)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message, self._due_at_s = False, math.inf
        super().on_message_complete()

    def look(self, now_s: float) -> None:
        """End the connection where the client has been too slow; called every second or so."""
        if self._uptake.has_ended(self.transport, now_s):
            self.transport.abort()
        elif self.flow.read_paused:
            self._due_at_s = max(self._due_at_s, now_s + BODY_WITHIN_S)  # it is us who are slow
        elif now_s > self._due_at_s and (self._is_in_body or self._is_idle()):
            self._end(_TOO_SLOW if self._in_message else b"")

    def _end(self, answer: bytes) -> None:
        """Close the connection, with these words where nothing was said of this request yet."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        has_spoken = not self._is_idle() and cycle is not None and cycle.response_started
        if self.pipeline or has_spoken:
            self.transport.abort()
        else:
            self.transport.write(answer)
            self.transport.close()

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


class _Uptake:
    """Whether a client takes what it is sent."""

    def __init__(self) -> None:
        self._unsent_bytes = 0
        self._stuck_since_s = math.inf

    def has_ended(self, transport: asyncio.Transport, now_s: float) -> bool:
        """Whether nothing was taken for `TAKE_WITHIN_S`; to be asked every second or so."""
        before, self._unsent_bytes = self._unsent_bytes, transport.get_write_buffer_size()
        if not self._unsent_bytes or self._unsent_bytes < before:
            self._stuck_since_s = math.inf
        else:
            self._stuck_since_s = min(self._stuck_since_s, now_s)
        return now_s - self._stuck_since_s > TAKE_WITHIN_S


class _HeadAndBody:
    """What an application's answer is written to: the head leaves with the body's first piece.

    Uvicorn writes them one after the other, uvloop sends each at once, and a second call of the
    system costs more than an answer's head takes to make. Where no body follows in this turn of the
    loop, as in a stream of events, the head leaves alone.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None
        self._has_begun = False

    def write(self, data: bytes) -> None:
        if not self._has_begun:
            self._has_begun, self._head = True, data
            self._loop.call_soon(self._let_go)
        elif self._head is None:
            self._transport.write(data)
        else:
            head, self._head = self._head, None
            if len(data) < WORTH_JOINING:
                self._transport.write(head + data)
            else:
                self._transport.writelines((head, data))

    def _let_go(self) -> None:
        head, self._head = self._head, None
        if head is not None and not self._transport.is_closing():
            self._transport.write(head)

    def close(self) -> None:
        self._let_go()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


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

    And for its patience: Uvicorn answers every ping, so that a client that sends them without
    reading fills the memory, and a connection that is closed waits for ever until all was taken.
    """

    _has_refused = False
    seat: Seat | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._owed_pong = b""
        self._uptake = _Uptake()
        if self.ping_interval:
            # Who came together, as after an outage, would be asked together for ever after.
            self.ping_interval *= random.uniform(0.5, 1.0)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.seat is not None:
            self.seat.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._has_refused:
            super().data_received(data)

    async def send(self, message: Any) -> None:
        """Uvicorn logs a refusal in HTTP as an error: a handshake that was forgotten."""
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True

    def look(self, now_s: float) -> None:
        """As `HttpProtocol.look`, also once it is closed and only waits for the client."""
        if self._uptake.has_ended(self.transport, now_s):
            self.transport.abort()

    def handle_ping(self) -> None:
        """Answer at once, or as soon as the client takes what it is sent.

        Then the last ping alone is answered (RFC 6455 5.5.3).
        """
        if self.writable.is_set() or self.conn.close_rcvd is not None:
            super().handle_ping()
        elif pongs := self.conn.data_to_send():
            self._owed_pong = pongs[-1]

    def handle_cont(self, event: Frame) -> None:
        """Keep no empty pieces, of which a text may have any number."""
        if event.data or event.fin:
            super().handle_cont(event)

    def resume_writing(self) -> None:
        super().resume_writing()
        owed, self._owed_pong = self._owed_pong, b""
        if owed and self.is_free():
            self.transport.write(owed)

    def send_receive_event_to_app(self) -> None:
        """Refuse a text that is none (RFC 6455 8.1).

        Uvicorn does, too, but with a traceback in the log for each, and anybody can send many.
        """
        text = b"".join(self.frames)
        self.frames = [text]
        if self.curr_msg_data_type != "text" or _is_utf8(text):
            super().send_receive_event_to_app()
            return
        self.frames = []
        if self.conn.state is State.OPEN:  # else a close frame came along with it
            self.conn.send_close(CloseCode.INVALID_DATA)
            self.handle_parser_exception()

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


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


@lru_cache(maxsize=256)
def _head(size: int) -> bytes:
    """Of a whole text frame of so many bytes (RFC 6455 5.2)."""
    if size < 126:
        return bytes([0x81, size])
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")
