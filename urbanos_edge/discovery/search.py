"""mDNS: ask the local network for devices and nodes, and each that answers for what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from zeroconf import Error, IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from urbanos_edge.discovery import nearby
from urbanos_edge.discovery.announcement import Announcement
from urbanos_edge.discovery.nearby import Announced, Key, Nearby
from urbanos_edge.discovery.networks import Network

ANSWER_WITHIN_MS: Final = 3000
MAX_WAITING: Final = 256
"""Names that wait to be asked for details; what is more waits until all are asked anew."""


class Search:
    """Finds what `nearby` keeps; the node's own names are passed over."""

    def __init__(self, found: Nearby, own: Announcement) -> None:
        self._nearby = found
        self._own = own
        self._networks: frozenset[Network] = frozenset()
        self._browser: AsyncServiceBrowser | None = None
        self._questions: asyncio.Queue[Key] = asyncio.Queue(MAX_WAITING)
        self._waiting: set[Key] = set()

    async def begin_anew(self, zeroconf: AsyncZeroconf, known: Iterable[Network]) -> None:
        """Ask these networks who is there, and whoever is known for details."""
        self._networks = frozenset(known)
        if self._browser is not None:
            await self._browser.async_cancel()
        self._browser = AsyncServiceBrowser(
            zeroconf.zeroconf, list(nearby.SERVICES), handlers=[self._note_change]
        )
        for key in self._nearby.keys():
            self._ask_about(key)

    async def ask_forever(self, zeroconf: AsyncZeroconf) -> None:
        """Ask for the details of one after the other."""
        while True:
            key = await self._questions.get()
            self._waiting.discard(key)
            await self._ask(zeroconf, key)

    def _note_change(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        key = Key(service_type, name)
        if state_change is ServiceStateChange.Removed:
            self._nearby.note_gone(key)
        elif nearby.may_be_one(key):
            self._ask_about(key)

    def _ask_about(self, key: Key) -> None:
        if key in self._waiting or key.name.lower() in self._own.names:
            return
        try:
            self._questions.put_nowait(key)
            self._waiting.add(key)
        except asyncio.QueueFull:
            self._nearby.turned_away += 1

    async def _ask(self, zeroconf: AsyncZeroconf, key: Key) -> None:
        try:
            answer = AsyncServiceInfo(key.service, key.name)
            is_answered = await answer.async_request(zeroconf.zeroconf, ANSWER_WITHIN_MS)
        except Error:
            return  # no name that a service can have
        if not is_answered:
            self._nearby.note_missed(key)
            return
        device = nearby.read(_announced(key, answer), self._networks)
        if device is not None:
            self._nearby.note(key, device)


def _announced(key: Key, answer: AsyncServiceInfo) -> Announced:
    return Announced(
        service=key.service,
        instance=key.instance,
        addresses=tuple(answer.ip_addresses_by_version(IPVersion.All)),
        port=answer.port or 0,
        properties=answer.decoded_properties,
    )
