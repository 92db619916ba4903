"""What systemd, or whoever starts the node in its manner, hands over and is told.

Sockets come as descriptors from 3 on (sd_listen_fds(3)), so that nobody is refused while one node
ends and the next one starts. Back go, as datagrams (sd_notify(3)): that the node is ready, that it
still turns, and that it stops. Nothing of this is there when a person starts the node.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping, MutableMapping
from typing import Final

from urbanos_edge.errors import EdgeError

FIRST_DESCRIPTOR: Final = 3
BEATS: Final = 3
"""In the time after which systemd believes that the node hangs."""
_log = logging.getLogger(__name__)


def inherited(environment: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """The listening sockets that were handed over, in the order of the socket unit's lines.

    The words that announce them are taken out of the environment: they are for this process only.

    Raises:
        EdgeError: a descriptor is no listening TCP socket, or there are more than two.
    """
    count, names = environment.pop("LISTEN_FDS", ""), environment.pop("LISTEN_FDNAMES", "")
    if environment.pop("LISTEN_PID", "") != str(os.getpid()) or not count.isdecimal():
        return []
    numbers = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count))
    if len(numbers) > 2:
        raise EdgeError(f"{count} sockets were handed over ({names}); one, or one more for TLS")
    return [_taken(number) for number in numbers]


def _taken(number: int) -> socket.socket:
    os.set_inheritable(number, False)
    try:
        found = socket.socket(fileno=number)
        is_listening = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise EdgeError(f"descriptor {number}, handed over, is no socket") from error
    if not is_listening or found.family not in (socket.AF_INET, socket.AF_INET6):
        raise EdgeError(f"descriptor {number}, handed over, is not a TCP socket that listens")
    return found


class Supervisor:
    """Who started the node and wants to hear of it; silent where nobody does."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._patience_s = _patience_s(environment) if self._address else None

    def tell(self, *words: str) -> None:
        """Send assignments like `READY=1`; that nobody takes them is logged, and no more."""
        if not self._address:
            return
        # An abstract address is written with an @ for its first byte, which is zero.
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto("\n".join(words).encode(), address)
        except OSError as error:
            _log.warning("the supervisor cannot be told %s: %s", words[0], error.strerror)

    async def beat_forever(self) -> None:
        """Say that the event loop turns, as long as it does; return if nobody wants to know."""
        while self._patience_s is not None:
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self._patience_s / BEATS)


def _patience_s(environment: Mapping[str, str]) -> float | None:
    """After how long without a beat the supervisor acts (sd_watchdog_enabled(3)); None: never."""
    patience_us = environment.get("WATCHDOG_USEC", "")
    is_for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(patience_us) / 1e6 if is_for_us and patience_us.isdecimal() else None
