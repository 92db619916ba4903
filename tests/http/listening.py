"""Clients that follow grids: over `/ws`, as bare bytes, and over server-sent events."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.http.sending import Spot, reading
from tests.processes import NodeProcess

WITHIN_S: Final = 10.0
Frame = dict[str, Any]


class Client:
    """One WebSocket connection; `hear` returns the next frame."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    def say(self, kind: str, **more: Any) -> None:
        self.send(json.dumps({"type": kind, **more}))

    def send(self, frame: str | bytes) -> None:
        self._connection.send(frame)

    def hear(self, within_s: float = WITHIN_S) -> Frame:
        frame: Frame = json.loads(self._connection.recv(timeout=within_s))
        return frame

    def subscribe(self, *grids: str) -> None:
        """Follow grids; on return the node knows it."""
        self.say("subscribe-grid", gridIds=list(grids))
        assert self.heard_until_now() == []

    def heard_until_now(self) -> list[Frame]:
        """What came before the answer to a ping that is sent now."""
        self.say("ping")
        return list(iter(self.hear, {"type": "pong"}))

    def close_code(self) -> int | None:
        """Read to the end and return the code the node closed with."""
        try:
            while True:
                self._connection.recv(timeout=WITHIN_S)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


@contextmanager
def listening(node: NodeProcess, *grids: str) -> Iterator[Client]:
    """A connection that follows these grids, which the node knows already."""
    with connect(node.url.replace("http", "ws") + "/ws", max_size=None) as connection:
        client = Client(connection)
        if grids:
            client.subscribe(*grids)
        yield client


def sensors_of(frame: Frame) -> set[str]:
    """The sensors whose readings an update shows."""
    return {row["sensor_id"] for row in frame["data"]["readings"]}


def crowd(spot: Spot, count: int) -> list[dict[str, Any]]:
    """Readings of as many sensors at one spot, new ones each time."""
    return [reading(spot, f"{spot.grid_id}-{n}") for n in range(count)]


@contextmanager
def narrow_link(node: NodeProcess) -> Iterator[socket.socket]:
    """A bare connection with the smallest receive buffer there is."""
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.settimeout(WITHIN_S)
        link.connect(("127.0.0.1", node.port))
        yield link


UPGRADE: Final = (
    b"Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
"""What follows the first line of a request for a WebSocket."""


@contextmanager
def raw_listener(node: NodeProcess) -> Iterator[socket.socket]:
    """A WebSocket as bare bytes on a narrow link."""
    with narrow_link(node) as link:
        link.sendall(b"GET /ws HTTP/1.1\r\n" + UPGRADE)
        assert link.recv(1000).startswith(b"HTTP/1.1 101 ")
        yield link


def reset(link: socket.socket) -> None:
    """Break a connection off: the other side gets no farewell."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


def masked(opcode: int, content: bytes) -> bytes:
    """A client's frame (RFC 6455 5.2) under a mask of zeros."""
    size = len(content)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes([opcode]) + length + b"\0\0\0\0" + content


def subscription(*grids: str) -> bytes:
    return masked(0x81, json.dumps({"type": "subscribe-grid", "gridIds": grids}).encode())


def end_of(link: socket.socket) -> int | None:
    """Read what is left; return the code of the node's close frame, if it ends with one."""
    received = b""
    try:
        while piece := link.recv(1 << 20):
            received = (received + piece)[-200:]
    except ConnectionError:
        return None
    start = received.rfind(b"\x88")
    is_close = start >= 0 and received[start + 1] == len(received) - start - 2
    return int.from_bytes(received[start + 2 : start + 4], "big") if is_close else None


@contextmanager
def events(
    node: NodeProcess, *grids: str, last_event: str | None = None
) -> Iterator[Callable[[], tuple[str, Frame]]]:
    """Follow grids over `/api/v1/live`; what is yielded returns the next event's id and content."""
    headers = {} if last_event is None else {"Last-Event-ID": last_event}
    address, query = f"{node.url}/api/v1/live", {"gridIds": ",".join(grids)}
    with httpx.stream("GET", address, params=query, headers=headers, timeout=WITHIN_S) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines).startswith(("retry:", ":"))
        yield lambda: next_event(lines)


def next_event(lines: Iterator[str]) -> tuple[str, Frame]:
    """By the rules of the HTML standard, 9.2.6, as far as one line of content needs them."""
    event_id = ""
    for line in lines:
        if line.startswith("id:"):
            event_id = line.removeprefix("id:").strip()
        if line.startswith("data:"):
            return event_id, json.loads(line.removeprefix("data:"))
    raise AssertionError("the stream ended")
