"""The clients of the fan-out, a process of their own: `python -m bench.listeners`.

Frames are not decoded, only counted by their lengths, so that a thousand clients take little from
the machine that the node runs on as well. Commands come as lines on stdin, answers as JSON lines.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from contextlib import suppress
from typing import Any, Final

import uvloop

AT_ONCE: Final = 50
WITHIN_S: Final = 10.0
_TEXT: Final = 0x81
_LONG: Final = 127
_LONGER: Final = 126


class Listener(asyncio.Protocol):
    """One WebSocket that notes when its next frame is complete."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._waiting = b""
        self._skip = 0
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_open = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._crowd.handshake)

    def data_received(self, received: bytes) -> None:
        if not self.is_open:
            end = received.find(b"\r\n\r\n")
            self.is_open = True
            self.opened.set_result(None)
            self._transport.write(self._crowd.subscription)
            received = received[end + 4 :]
        if self._skip >= len(received):
            self._skip -= len(received)
        else:
            self._waiting += received[self._skip :]
            self._skip = 0
            self._read_heads()
        if received and not self._skip and not self._waiting:
            self._crowd.reached()

    def _read_heads(self) -> None:
        """Step over whole frames; what is missing of the last one is skipped when it comes."""
        while len(self._waiting) >= 2:
            length, head = self._waiting[1], 2
            if length == _LONGER:
                length, head = int.from_bytes(self._waiting[2:4], "big"), 4
            elif length == _LONG:
                length, head = int.from_bytes(self._waiting[2:10], "big"), 10
            if len(self._waiting) < head:
                return
            self._skip = max(head + length - len(self._waiting), 0)
            self._waiting = self._waiting[head + length :]


class Crowd:
    """All listeners of one room, and the moments at which a change reached them."""

    def __init__(self, port: int, grid_id: str) -> None:
        self._port = port
        self._reached_ns: list[int] = []
        self._all = asyncio.Event()
        self._stalled: list[socket.socket] = []
        self._listeners: list[Listener] = []
        subscribe = json.dumps({"type": "subscribe-grid", "gridId": grid_id}).encode()
        self.handshake = (
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()
        self.subscription = bytes([_TEXT, 0x80 | len(subscribe)]) + b"\0\0\0\0" + subscribe

    async def join(self, listeners: int, stalled: int) -> None:
        """Connect those that read and those that never do."""
        loop = asyncio.get_running_loop()
        for start in range(0, listeners, AT_ONCE):
            count = min(AT_ONCE, listeners - start)
            made = [
                loop.create_connection(lambda: Listener(self), "127.0.0.1", self._port)
                for _ in range(count)
            ]
            fresh = [pair[1] for pair in await asyncio.gather(*made)]
            await asyncio.gather(*(listener.opened for listener in fresh))
            self._listeners += fresh
        for _ in range(stalled):
            self._stalled.append(await asyncio.to_thread(self._stall))

    def _stall(self) -> socket.socket:
        link = socket.socket()
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.connect(("127.0.0.1", self._port))
        link.sendall(self.handshake)
        link.recv(1000)
        link.sendall(self.subscription)
        return link

    def reached(self) -> None:
        self._reached_ns.append(time.monotonic_ns())
        if len(self._reached_ns) >= len(self._listeners):
            self._all.set()

    def forget(self) -> None:
        self._reached_ns = []
        self._all.clear()

    async def wait(self) -> dict[str, Any]:
        """When the first and the last were reached since `forget`, by the machine's clock."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._all.wait(), WITHIN_S)
        moments = sorted(self._reached_ns)
        return {
            "reached": len(moments),
            "first_ns": moments[0] if moments else 0,
            "last_ns": moments[-1] if moments else 0,
        }


async def main() -> None:
    port, grid_id, listeners, stalled = sys.argv[1:]
    crowd = Crowd(int(port), grid_id)
    await crowd.join(int(listeners), int(stalled))
    await asyncio.sleep(1)
    _say({"joined": int(listeners)})
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip() == "forget":
            crowd.forget()
            _say({})
        else:
            _say(await crowd.wait())


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main())
