"""A plain HTTP/1.1 client on one kept connection: little of its own time is in what it measures."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Final

_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; `ms` runs from the first byte sent to the last received."""

    status: int
    head: bytes
    body: bytes
    ms: float

    @property
    def is_miss(self) -> bool:
        """Whether the node had to work for it."""
        return b"x-cache: miss" in self.head.lower()


class Connection:
    """One connection to a port of this machine."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = f"127.0.0.1:{port}"

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def get(self, path: str) -> Answer:
        return self._ask(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    def post(self, path: str, body: bytes, **headers: str) -> Answer:
        lines = [f"POST {path} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return self._ask("\r\n".join([*lines, "", ""]).encode() + body)

    def drain(self, path: str) -> tuple[int, int]:
        """GET something large without keeping it; return its status and how many bytes came."""
        request = f"GET {path} HTTP/1.0\r\nHost: {self._host}\r\n\r\n".encode()
        self._socket.sendall(request)
        room = bytearray(_CHUNK)
        received, status = 0, 0
        while count := self._socket.recv_into(room):
            status = status or int(bytes(room[9:12]))
            received += count
        return status, received

    def _ask(self, request: bytes) -> Answer:
        started_ns = time.perf_counter_ns()
        self._socket.sendall(request)
        received = self._socket.recv(_CHUNK)
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head, body = received[:end], received[end + 4 :]
        body = self._body(head.lower(), body)
        ms = (time.perf_counter_ns() - started_ns) / 1e6
        return Answer(int(head[9:12]), head, body, ms)

    def _body(self, head: bytes, body: bytes) -> bytes:
        if b"transfer-encoding: chunked" in head:
            while not body.endswith(b"0\r\n\r\n"):
                body += self._more()
            return body
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r", 1)[0]) if at >= 0 else 0
        parts, missing = [body], length - len(body)
        while missing > 0:
            parts.append(self._more())
            missing -= len(parts[-1])
        return b"".join(parts)

    def _more(self) -> bytes:
        piece = self._socket.recv(_CHUNK)
        if not piece:
            raise ConnectionError("the connection was closed in the middle of an answer")
        return piece
