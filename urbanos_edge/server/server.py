"""The HTTP server around a node: its sockets, its limits, and its orderly stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, Final, NamedTuple, cast

import uvicorn

from urbanos_edge.access.crowd import Crowd, room_for
from urbanos_edge.app import create_app
from urbanos_edge.errors import EdgeError
from urbanos_edge.node import Node
from urbanos_edge.server.protocol import HttpProtocol, WebSocketProtocol
from urbanos_edge.server.systemd import Supervisor, inherited
from urbanos_edge.settings import Settings

BACKLOG: Final = 2048
STOP_WITHIN_S: Final = 5
LOOKS_WHO_LEFT: Final = 20
LOOK_WHO_LEFT_EVERY_S: Final = 0.05
"""So long connections are still answered at a stop, where another node takes over the port."""
SHAKE_HANDS_WITHIN_S: Final = 10
"""Who has opened a connection for TLS and then says nothing is cut."""
SAY_GOODBYE_WITHIN_S: Final = 2
"""How long the end of a TLS connection waits for the other side to agree."""
LOOK_EVERY_TICKS: Final = 10
"""Ticks, of which Uvicorn has ten a second, between two looks for clients that are too slow."""
MAX_FRAME_BYTES: Final = 64 << 10
"""The largest WebSocket frame a client may send."""
OPTIONS: Final[dict[str, Any]] = {
    "loop": "uvloop",
    "ws_max_size": MAX_FRAME_BYTES,
    "ws_per_message_deflate": False,
    "access_log": False,
    "log_config": None,
    "log_level": "error",  # below, it names who opens a WebSocket, and anybody can fill the log
    "server_header": False,
    "date_header": False,
    "proxy_headers": False,
    "lifespan": "on",
    "timeout_graceful_shutdown": STOP_WITHIN_S,
}
"""What Uvicorn is told whatever its protocols are."""
_log = logging.getLogger(__name__)


class Listeners(NamedTuple):
    """The sockets that the node is reached at."""

    plain: socket.socket
    secure: socket.socket | None = None
    """For TLS."""
    are_kept: bool = False
    """Whether somebody else holds them open when the node ends, so that nobody is refused."""

    @property
    def port(self) -> int:
        return _port(self.plain)


@contextmanager
def listening(settings: Settings) -> Iterator[Listeners]:
    """Listen before the node is opened, so that a taken port is told at once.

    A socket that was handed over counts for more than the setting: the first one is the plain one,
    the second one is for TLS.

    Raises:
        EdgeError: an address is taken or not this machine's, or what was handed over is no socket.
    """
    with ExitStack() as stack:
        given = [stack.enter_context(one) for one in inherited()]
        plain = given[0] if given else None
        secure = given[1] if len(given) > 1 else None
        if plain is None:
            plain = stack.enter_context(listener(settings.host, settings.port, "--port"))
        if secure is None and settings.tls_port is not None:
            chosen_by = "the setting tls_port"
            secure = stack.enter_context(listener(settings.host, settings.tls_port, chosen_by))
        yield Listeners(plain, secure, are_kept=bool(given))


def listener(host: str, port: int, chosen_by: str, *, is_shared: bool = False) -> socket.socket:
    """Listen at an address, which other processes that share it may do as well.

    Raises:
        EdgeError: it is taken or not this machine's.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server(
            (host, port), family=family, backlog=BACKLOG, reuse_port=is_shared
        )
    except OSError as error:
        raise EdgeError(
            f"cannot listen on {host} port {port}: {error.strerror};"
            f" choose another with --host and {chosen_by}"
        ) from error


def secure(node: Node, listeners: Listeners) -> None:
    """Make ready for TLS; where that fails, the node serves without, and says so.

    Readings must not stay away because of a damaged certificate.
    """
    if listeners.secure is None:
        return
    try:
        node.tls.open(_port(listeners.secure))
    except EdgeError as error:
        listeners.secure.close()
        _log.error("there is no HTTPS until the next start: %s", error.message)


def serve_forever(node: Node, listeners: Listeners) -> None:
    """Serve until SIGINT or SIGTERM; the node is flushed and closed at the end.

    Raises:
        EdgeError: the application could not start; the log says why.
    """
    try:
        _serve(node, listeners)
    finally:
        node.close()  # where the application did not come so far as to do so


def _serve(node: Node, listeners: Listeners) -> None:
    port = listeners.port
    crowd = Crowd(room_for(node.settings.max_connections), node.access.door.proxies)
    config = uvicorn.Config(
        create_app(node, f"http://127.0.0.1:{port}", port),
        http=cast(type[asyncio.Protocol], partial(HttpProtocol, node.answers, crowd)),
        ws=WebSocketProtocol,
        **OPTIONS,
    )
    _Server(config, node, listeners, Supervisor()).run(sockets=[listeners.plain])


def _port(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


class PatientServer(uvicorn.Server):
    """Ends with 0 when it is told to stop; Uvicorn would die of the signal once it is done.

    It ends connections whose client is too slow.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Raises EdgeError when the application fails; Uvicorn would end the process with 3."""
        with suppress(SystemExit):
            await super().startup(sockets)
        if self.lifespan.should_exit:
            raise EdgeError("it could not start; the lines above say why")
        _log.info("serving")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        _log.info("stopping")
        await super().shutdown(sockets)
        _log.info("stopped")

    async def on_tick(self, counter: int) -> bool:
        if counter % LOOK_EVERY_TICKS == 0:
            now_s = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, HttpProtocol | WebSocketProtocol):
                    connection.look(now_s)
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        stopping = (signal.SIGINT, signal.SIGTERM)
        former = {number: signal.signal(number, self.handle_exit) for number in stopping}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


class _Server(PatientServer):
    """It serves the same on a second socket, over TLS; Uvicorn knows only one way for all."""

    def __init__(
        self,
        config: uvicorn.Config,
        node: Node,
        listeners: Listeners,
        supervisor: Supervisor,
    ) -> None:
        super().__init__(config)
        self._node = node
        self._secure = listeners.secure
        self._are_kept = listeners.are_kept
        self._supervisor = supervisor

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        context = self._node.tls.context
        if self._secure is not None and context is not None:
            try:
                self.servers.append(await self._serve_securely(self._secure, context))
            except BaseException:
                await self.lifespan.shutdown()
                raise
        self._supervisor.tell("READY=1", "STATUS=serving")
        self._beating = asyncio.create_task(self._supervisor.beat_forever())

    async def _serve_securely(
        self, listener: socket.socket, context: ssl.SSLContext
    ) -> asyncio.base_events.Server:
        def connection() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )

        return await asyncio.get_running_loop().create_server(
            connection,
            sock=listener,
            ssl=context,
            backlog=BACKLOG,
            ssl_handshake_timeout=SHAKE_HANDS_WITHIN_S,
            ssl_shutdown_timeout=SAY_GOODBYE_WITHIN_S,
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._supervisor.tell("STOPPING=1", "STATUS=moving what waits into the store")
        self._node.live.end()
        self._node.exports.stopping.set()
        if self._are_kept:
            await self._let_go()
        await super().shutdown(sockets)
        self._beating.cancel()

    async def _let_go(self) -> None:
        """Take no new connection, and let those there are end with an answer.

        One that is closed as it is would lose the request that is on its way to it. New ones wait
        in the kernel for the node that comes after.
        """
        for server in self.servers:
            server.close()
        for _ in range(LOOKS_WHO_LEFT):
            if not self.server_state.connections:
                break
            for connection in list(self.server_state.connections):
                if isinstance(connection, HttpProtocol):
                    connection.let_go()
            await asyncio.sleep(LOOK_WHO_LEFT_EVERY_S)
