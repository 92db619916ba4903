"""mDNS, both ways: this node is announced, and devices and other nodes are found.

Interfaces come and go while the node runs. Which of them carry something is looked at every
second; sockets, announced addresses and questions follow, and where nothing has changed nobody
notices.
"""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import anyio
import anyio.to_thread
from zeroconf.asyncio import AsyncZeroconf

from urbanos_edge.discovery.announcement import Announcement
from urbanos_edge.discovery.nearby import Nearby
from urbanos_edge.discovery.networks import Network, networks
from urbanos_edge.discovery.search import Search
from urbanos_edge.settings import Settings

LOOK_S: Final = 1
UNSETTLED_LOOKS: Final = 4
"""After a change: an IPv6 address is of use only once nobody else has turned out to have it."""
ASK_ANEW_S: Final = 300
ASKERS: Final = 8
CLOSE_WITHIN_S: Final = 2
_log = logging.getLogger(__name__)

Part = Callable[[AsyncZeroconf, Iterable[Network]], Awaitable[None]]


async def run_discovery(found: Nearby, settings: Settings, port: int, tls_port: int | None) -> None:
    """Announce the node that listens on these ports, and keep `found` up to date, until cancelled.

    Without any network, and without multicast, it waits for some.
    """
    own = Announcement(settings.node_name, await _numeric(settings.host), port, tls_port)
    search = Search(found, own)
    parts = [own.follow] if settings.announce else []
    zeroconf = await _opened()
    try:
        async with anyio.create_task_group() as tasks:
            if settings.discover:
                parts.append(search.begin_anew)
                for _ in range(ASKERS):
                    tasks.start_soon(search.ask_forever, zeroconf)
            await _follow_forever(zeroconf, parts)
    finally:
        with anyio.move_on_after(CLOSE_WITHIN_S, shield=True):
            await zeroconf.async_close()


async def _follow_forever(zeroconf: AsyncZeroconf, parts: Sequence[Part]) -> None:
    known: frozenset[Network] = frozenset()
    unsettled, asked_s = 0, -math.inf
    while True:
        found = await anyio.to_thread.run_sync(networks)
        if found != known:
            known, unsettled = found, UNSETTLED_LOOKS
        if unsettled or anyio.current_time() > asked_s + ASK_ANEW_S:
            await zeroconf.async_update_interfaces(_interfaces(known))
            for part in parts:
                await part(zeroconf, known)
            unsettled, asked_s = max(unsettled - 1, 0), anyio.current_time()
        await anyio.sleep(LOOK_S)


async def _opened() -> AsyncZeroconf:
    """Open the sockets in the networks there are, once there are some."""
    is_told = False
    while True:
        known = await anyio.to_thread.run_sync(networks)
        try:
            if known:
                return AsyncZeroconf(interfaces=_interfaces(known))
        except OSError as error:
            if not is_told:
                _log.warning("no mDNS, will be tried again: %s", error)
            is_told = True
        await anyio.sleep(LOOK_S)


def _interfaces(known: Iterable[Network]) -> list[str | int | tuple[tuple[str, int, int], int]]:
    """As zeroconf wants them: IPv4 by address, IPv6 by the number of the interface."""
    found: set[str | int] = {
        str(one.address.ip) if one.address.version == 4 else one.interface for one in known
    }
    return list(found)


async def _numeric(host: str) -> str:
    """The address that a host name stands for here."""
    if ":" in host:
        return host
    return await anyio.to_thread.run_sync(socket.gethostbyname, host)
