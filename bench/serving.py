"""A node behind a server of choice: `python -m bench.serving SERVER DIR PORT [DESCRIPTOR]`.

SERVER is `node` (what `urbanos-edge serve` runs), `uvicorn` or `granian`. With a DESCRIPTOR it
takes over that listening socket, which its parent opened on the port, instead of opening one.
"""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvicorn
from litestar.types import ASGIApp

from bench.tools import peers_packages
from urbanos_edge.app import create_app
from urbanos_edge.control import own
from urbanos_edge.node import Node
from urbanos_edge.server.server import BACKLOG, OPTIONS, Listeners, serve_forever
from urbanos_edge.settings import Settings, load

HOST: Final = "127.0.0.1"
KILL_AFTER_S: Final = 15
"""Granian would wait for ever for a worker that does not end."""


def main() -> None:
    server, directory, port, *handed = sys.argv[1:]
    data_dir, descriptor = Path(directory), int(handed[0]) if handed else None
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    with own(data_dir):
        _SERVERS[server](load({"host": HOST, "port": int(port)}), data_dir, descriptor)


def _as_shipped(settings: Settings, data_dir: Path, descriptor: int | None) -> None:
    """Uvicorn with the node's own protocols."""
    if descriptor is None:
        listener = socket.create_server((HOST, settings.port), backlog=BACKLOG)
    else:
        listener = socket.socket(fileno=descriptor)
    with listener:
        serve_forever(Node(settings, data_dir), Listeners(listener))


def _uvicorn(settings: Settings, data_dir: Path, descriptor: int | None) -> None:
    """Uvicorn with its stock protocols, and otherwise set as the node sets it."""
    config = uvicorn.Config(
        _application(settings, data_dir),
        host=HOST,
        port=settings.port,
        fd=descriptor,
        http="httptools",
        ws="websockets-sansio",
        backlog=BACKLOG,
        **OPTIONS,
    )
    uvicorn.Server(config).run()


def _granian(settings: Settings, data_dir: Path, descriptor: int | None) -> None:
    """Granian as it comes, with one worker, which opens the node itself: threads survive no fork.

    Granian lies in the peers' environment. Its folder comes last in the search, so that all it
    shares with the node is what the node runs with under the other servers.
    """
    sys.path.append(peers_packages())
    from granian import Granian
    from granian.constants import Interfaces, Loops

    server = Granian(
        "node",
        HOST,
        settings.port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        websockets=True,
        workers_kill_timeout=KILL_AFTER_S,
    )
    if descriptor is not None:
        _hand_down(server, descriptor)
    server.serve(target_loader=partial(_application, settings, data_dir), wrap_loader=False)


def _hand_down(server: Any, descriptor: int) -> None:
    """Let Granian's worker listen on a socket that is there.

    It takes no descriptor, on its command line or in its class (its issue 786); its worker does.
    So this stands in for the private method that makes the socket, in the version that is locked.
    """
    from granian.net import SocketHolder

    def take_over() -> None:
        server._ssp, server._sfd = None, descriptor
        server._shd = SocketHolder(descriptor, False, BACKLOG)
        server._sso = socket.socket(fileno=descriptor)

    server._init_shared_socket = take_over


def _application(settings: Settings, data_dir: Path) -> ASGIApp:
    """The node's own application, which closes the node when its life ends."""
    url = f"http://{HOST}:{settings.port}"
    return create_app(Node(settings, data_dir), url, settings.port)


_SERVERS: Final[dict[str, Callable[[Settings, Path, int | None], None]]] = {
    "node": _as_shipped,
    "uvicorn": _uvicorn,
    "granian": _granian,
}


if __name__ == "__main__":
    main()
