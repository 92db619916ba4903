"""The HTTP server around a node: its socket, its limits, and its orderly stop."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, cast

import uvicorn

from urbanos_edge.app import create_app
from urbanos_edge.errors import EdgeError
from urbanos_edge.node import Node
from urbanos_edge.protocol import HttpProtocol, WebSocketProtocol
from urbanos_edge.settings import Settings

BACKLOG: Final = 2048
STOP_WITHIN_S: Final = 5
MAX_FRAME_BYTES: Final = 64 << 10
"""The largest WebSocket frame a client may send."""
OPTIONS: Final[dict[str, Any]] = {
    "loop": "uvloop",
    "ws_max_size": MAX_FRAME_BYTES,
    "ws_per_message_deflate": False,
    "access_log": False,
    "log_config": None,
    "server_header": False,
    "date_header": False,
    "proxy_headers": False,
    "lifespan": "on",
    "timeout_graceful_shutdown": STOP_WITHIN_S,
}
"""What Uvicorn is told whatever its protocols are."""


@contextmanager
def listening_socket(settings: Settings) -> Iterator[socket.socket]:
    """Listen before the node is opened, so that a taken port is told at once.

    Raises:
        EdgeError: the address is taken or not this machine's.
    """
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.create_server(
            (settings.host, settings.port), family=family, backlog=BACKLOG, reuse_port=False
        )
    except OSError as error:
        raise EdgeError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror};"
            " choose another with --host and --port"
        ) from error
    with listener:
        yield listener


def serve_forever(node: Node, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; the node is flushed and closed at the end."""
    port = listener.getsockname()[1]
    config = uvicorn.Config(
        create_app(node, f"http://127.0.0.1:{port}", port),
        http=cast(type[asyncio.Protocol], partial(HttpProtocol, node.answers)),
        ws=WebSocketProtocol,
        **OPTIONS,
    )
    _Server(config, node).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Ends with 0 when it is told to stop; Uvicorn would die of the signal once it is done."""

    def __init__(self, config: uvicorn.Config, node: Node) -> None:
        super().__init__(config)
        self._node = node

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._node.live.end()
        self._node.exports.stopping.set()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        stopping = (signal.SIGINT, signal.SIGTERM)
        former = {number: signal.signal(number, self.handle_exit) for number in stopping}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
