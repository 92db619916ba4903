"""Bodies by key, in memory: bounded by bytes, one builder per key, valid while nothing changed.

An entry is served as it is until its time to live ends or anything in the node changed; then its
revision is asked for, and only a different one makes it be built anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 64 << 20
"""The bodies held at most; the longest unused give way."""


@dataclass(slots=True)
class Entry:
    """A body, its strong ETag, and what it was built from."""

    body: bytes
    etag: str
    revision: Hashable
    epoch: int
    fresh_until_s: float


class Cache:
    """Used from the event loop only."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self._building: dict[tuple[Hashable, Hashable], asyncio.Task[Entry]] = {}
        self._max_bytes = max_bytes
        self._bytes = 0
        self._epoch = 0

    def something_changed(self) -> None:
        """Make every entry prove its revision before it is served again."""
        self._epoch += 1

    async def get(
        self,
        key: Hashable,
        ttl_s: float,
        revision: Callable[[], Hashable],
        build: Callable[[], Awaitable[bytes]],
    ) -> tuple[Entry, bool]:
        """Return the entry and whether it was there (a hit).

        Raises:
            What `build` raises; nothing is kept then.
        """
        entry = self._entries.get(key)
        now_s = time.monotonic()
        if entry is not None and entry.epoch == self._epoch and now_s < entry.fresh_until_s:
            self._entries.move_to_end(key)
            return entry, True
        current = revision()
        if entry is not None and entry.revision == current:
            entry.epoch, entry.fresh_until_s = self._epoch, now_s + ttl_s
            return entry, True
        flight = self._building.get((key, current))
        if flight is None:
            flight = asyncio.create_task(self._build(key, ttl_s, current, build))
            self._building[key, current] = flight
        return await asyncio.shield(flight), False

    async def _build(
        self,
        key: Hashable,
        ttl_s: float,
        revision: Hashable,
        build: Callable[[], Awaitable[bytes]],
    ) -> Entry:
        """Build in a task of its own: who asked first may leave, the others still wait."""
        epoch = self._epoch
        try:
            body = await build()
            entry = Entry(body, etag_of(body), revision, epoch, time.monotonic() + ttl_s)
            self._keep(key, entry)
            return entry
        finally:
            del self._building[key, revision]

    def _keep(self, key: Hashable, entry: Entry) -> None:
        previous = self._entries.pop(key, None)
        if previous is not None:
            self._bytes -= len(previous.body)
        self._entries[key] = entry
        self._bytes += len(entry.body)
        while self._bytes > self._max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self._bytes -= len(oldest.body)


def etag_of(body: bytes) -> str:
    """A strong ETag: the same bytes have the same one, across restarts too."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
