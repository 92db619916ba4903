"""What the node is called by, and from whose pages a browser asks.

A page of another site can make its name mean this node's address (DNS rebinding), and then reads
and writes here as if it were ours. The name that the browser asks for gives it away.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

ANY: Final = "*"
_REMEMBERED: Final = 256
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Hosts:
    """The names and addresses of this node."""

    def __init__(self, label: str, allowed: Sequence[str]) -> None:
        """`label` is how mDNS calls the node; another node's label may have made it get a number.

        `allowed` are names that an operator adds; `*.example.org` stands for all below.
        """
        machine = socket.gethostname().lower()
        own = {"localhost", machine, machine.partition(".")[0]}
        self._names = own | {f"{name}.local" for name in own}
        self._names |= {_plain(name) for name in allowed if not name.startswith("*.")}
        self._endings = tuple(_plain(name)[1:] for name in allowed if name.startswith("*."))
        self._announced = re.compile(rf"{re.escape(label)}(-[0-9]+)?\.local")
        self._is_open = ANY in allowed
        self.knows = lru_cache(_REMEMBERED)(self._knows)
        """Whether a Host field names this node.

        The second argument is where the connection came in, and so an address of this machine.
        """

    def _knows(self, host: str, local_address: str) -> bool:
        if self._is_open:
            return True
        name = host_name(host)
        if name in self._names or name == _plain(local_address.partition("%")[0]):
            return True
        has_ending = bool(self._endings) and name.endswith(self._endings)
        return has_ending or self._announced.fullmatch(name) is not None


def host_name(host: str) -> str:
    """A Host field without its port, brackets and case."""
    if host.startswith("["):
        return _plain(host[1:].partition("]")[0])
    return _plain(host.partition(":")[0])


def is_same_origin(origin: str, host: str) -> bool:
    """Whether a page of this origin was asked for under this Host.

    Schemes are not compared: behind a proxy that ends TLS the node cannot know its own.
    """
    try:
        parts = urlsplit(origin)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
        asked = urlsplit(f"{parts.scheme}://{host}")
        asked_port = asked.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return False
    return bool(parts.hostname) and (parts.hostname, port) == (asked.hostname, asked_port)


def is_listed(origin: str, origins: Collection[str]) -> bool:
    """Whether pages of this origin may read the API though they are not ours."""
    return origin in origins or ANY in origins


def _plain(name: str) -> str:
    return name.lower().rstrip(".").removeprefix("::ffff:")
