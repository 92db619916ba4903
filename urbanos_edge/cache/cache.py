"""Bodies by key: in memory, on the shelf what lasts; one builder per key; valid while unchanged.

An entry is served as it is until its time to live ends or anything in the node changed; then its
revision is asked for, and only a different one makes it be built anew. So a change invalidates
exactly the places it touches, at all zooms, without anyone keeping a list of them.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

import anyio.to_thread

from urbanos_edge.cache.shelf import Shelf
from urbanos_edge.zstd import zstd

MAX_BYTES: Final = 64 << 20
"""The bodies held at most, not counting their packed forms; the longest unused give way."""
LARGEST_SHARE: Final = 8
"""A body over this part of `MAX_BYTES` is not held: it would push out all others."""
CODINGS: Final = ("zstd", "gzip")
"""Content codings that a body is packed in, the preferred first."""
WORTH_PACKING: Final = 1024
"""Smaller bodies travel in one packet anyway."""
PACKED_ASIDE: Final = 16 << 10
"""From this size on packing takes a worker thread: a millisecond and more."""


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a body, plain or packed, with a strong ETag of its own (RFC 9110 8.8.3.3)."""

    body: bytes
    etag: str
    coding: str = ""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Entry:
    """A body, what it was built from, and its packed forms, made when first asked for.

    `coding` says how the body itself is packed; who cannot unpack it gets it unpacked, anew each
    time: they are few, and it is a multiple of what the cache counts.
    """

    body: bytes
    etag: str
    revision: Hashable
    epoch: int
    fresh_until_s: float
    coding: str = ""
    forms: dict[str, Form] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.forms[self.coding] = Form(self.body, tagged(self.etag, self.coding), self.coding)

    @property
    def codings(self) -> tuple[str, ...]:
        """The codings it is worth offering, the preferred first."""
        if self.coding:
            return (self.coding,)
        return CODINGS if len(self.body) >= WORTH_PACKING else ()

    async def form(self, coding: str) -> Form:
        """The body in a coding; plain when packing gains nothing."""
        if coding in self.forms or len(self.body) < PACKED_ASIDE:
            return self.form_at_once(coding)
        return self._kept(coding, await anyio.to_thread.run_sync(self._made, coding))

    def form_at_once(self, coding: str) -> Form:
        """As `form`, without asking how long it takes."""
        return self.forms.get(coding) or self._kept(coding, self._made(coding))

    def _kept(self, coding: str, made: Form) -> Form:
        if not self.coding:
            self.forms[coding] = made
        return made

    def _made(self, coding: str) -> Form:
        if self.coding:
            return Form(gzip.decompress(self.body), self.etag)
        packed = _pack(self.body, coding)
        if len(packed) >= len(self.body):
            return self.forms[""]
        return Form(packed, tagged(self.etag, coding), coding)


class Cache:
    """Used from the event loop only."""

    def __init__(self, shelf: Shelf | None = None, max_bytes: int = MAX_BYTES) -> None:
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self._building: dict[tuple[Hashable, Hashable], asyncio.Task[tuple[Entry, bool]]] = {}
        self._shelf = shelf
        self._max_bytes = max_bytes
        self._bytes = 0
        self._epoch = 0

    @property
    def entries(self) -> int:
        """How many bodies are held."""
        return len(self._entries)

    @property
    def held_bytes(self) -> int:
        """What they take, not counting their packed forms."""
        return self._bytes

    def something_changed(self) -> None:
        """Make every entry prove its revision before it is served again."""
        self._epoch += 1

    def is_fresh(self, entry: Entry) -> bool:
        """Whether an entry may be served without asking for its revision."""
        return entry.epoch == self._epoch and time.monotonic() < entry.fresh_until_s

    async def get(
        self,
        key: Hashable,
        ttl_s: float,
        revision: Callable[[], Hashable],
        build: Callable[[], Awaitable[bytes]],
        *,
        lasting: bool = False,
        coding: str = "",
    ) -> tuple[Entry, bool]:
        """Return the entry and whether it was there (a hit).

        `revision` is cheap and tells apart what `build` would return. A lasting entry is also
        kept on the disk, for what lives 300 s and longer: its key and its revision must then mean
        the same after a restart (names of files, ids, hours; no counters of this process), and be
        made of strings, numbers and tuples. `coding` is how `build` has packed the body: "gzip",
        or nothing.

        Raises:
            What `build` raises; nothing is kept then.
        """
        entry, current = self._proven(key, ttl_s, revision)
        if entry is not None:
            return entry, True
        flight = self._building.get((key, current))
        if flight is None:
            shelf = self._shelf if lasting else None
            flight = asyncio.create_task(self._build(key, ttl_s, current, build, shelf, coding))
            self._building[key, current] = flight
        return await asyncio.shield(flight)

    def get_at_once(
        self,
        key: Hashable,
        ttl_s: float,
        revision: Callable[[], Hashable],
        build: Callable[[], bytes],
    ) -> tuple[Entry, bool]:
        """As `get`, for what is built in less time than a task takes to begin."""
        entry, current = self._proven(key, ttl_s, revision)
        if entry is not None:
            return entry, True
        body = build()
        entry = Entry(body, etag_of(body), current, self._epoch, time.monotonic() + ttl_s)
        self._keep(key, entry)
        return entry, False

    def close(self) -> None:
        if self._shelf is not None:
            self._shelf.close()

    def _proven(
        self, key: Hashable, ttl_s: float, revision: Callable[[], Hashable]
    ) -> tuple[Entry | None, Hashable]:
        """The entry if it may be served, and the revision if it had to be asked for."""
        entry, current = self._entries.get(key), None
        if entry is None or not self.is_fresh(entry):
            current = revision()
            if entry is None or entry.revision != current:
                return None, current
            entry.epoch, entry.fresh_until_s = self._epoch, time.monotonic() + ttl_s
        self._entries.move_to_end(key)
        return entry, current

    async def _build(
        self,
        key: Hashable,
        ttl_s: float,
        revision: Hashable,
        build: Callable[[], Awaitable[bytes]],
        shelf: Shelf | None,
        coding: str,
    ) -> tuple[Entry, bool]:
        """Build in a task of its own: who asked first may leave, the others still wait."""
        epoch = self._epoch
        try:
            shelved = await shelf.get(key, revision) if shelf else None
            body = await build() if shelved is None else shelved
            entry = Entry(body, etag_of(body), revision, epoch, time.monotonic() + ttl_s, coding)
            self._keep(key, entry)
            if shelf and shelved is None:
                await shelf.put(key, revision, body, ttl_s)
            return entry, shelved is not None
        finally:
            del self._building[key, revision]

    def _keep(self, key: Hashable, entry: Entry) -> None:
        previous = self._entries.pop(key, None)
        if previous is not None:
            self._bytes -= len(previous.body)
        if len(entry.body) > self._max_bytes // LARGEST_SHARE:
            return
        self._entries[key] = entry
        self._bytes += len(entry.body)
        while self._bytes > self._max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self._bytes -= len(oldest.body)


def etag_of(body: bytes) -> str:
    """A strong ETag: the same bytes have the same one, across restarts too.

    Nobody gains by two bodies with one ETag, so the fastest hash will do: half a megabyte takes
    SHA-1 0.3 ms, BLAKE2b and SHA-256 on some processors twice as long and more.
    """
    return f'"{hashlib.sha1(body, usedforsecurity=False).hexdigest()[:24]}"'


def tagged(etag: str, coding: str) -> str:
    """The ETag of a packed form of what has this one."""
    return f'{etag[:-1]}-{coding}"' if coding else etag


def _pack(body: bytes, coding: str) -> bytes:
    if coding == "gzip":
        return gzip.compress(body, compresslevel=5, mtime=0)
    return zstd.compress(body, level=3)
