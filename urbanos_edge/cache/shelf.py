"""Bodies on the disk: for what is dear to make and stays right for minutes or longer.

Bytes and nothing else: diskcache's own serializer would execute what it reads (CVE-2025-69872).
Whatever is wrong with the shelf costs a body made anew, never an answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import diskcache

MAX_BYTES: Final = 256 << 20
"""What the shelf may hold; the oldest gives way."""
MAX_BODY_BYTES: Final = 32 << 20
_FAILURES: Final = (sqlite3.Error, OSError, diskcache.Timeout, TypeError)
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class _BytesOnly(diskcache.Disk):  # type: ignore[misc]
    """Raises TypeError on anything that would need pickle, in either direction."""

    def put(self, key: Any) -> tuple[str, bool]:
        return _checked(key, str), True

    def get(self, key: Any, raw: bool) -> str:
        return _checked(key, str)

    def store(self, value: Any, read: bool, key: Any = diskcache.UNKNOWN) -> Any:
        return super().store(_checked(value, bytes), False, key=key)

    def fetch(self, mode: int, filename: Any, value: Any, read: bool) -> bytes:
        if mode not in (diskcache.core.MODE_RAW, diskcache.core.MODE_BINARY):
            raise TypeError("the shelf holds bytes only")
        return _checked(super().fetch(mode, filename, value, False), bytes)


class Shelf:
    """A bounded folder of bodies by key and revision; used from the event loop."""

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._is_closed = False
        # One thread of its own: a slow disk holds up nobody else, and SQLite's connection, which
        # belongs to the thread that made it, can be closed.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shelf")
        self._disk = self._thread.submit(_open, folder, max_bytes).result()

    async def get(self, key: object, revision: object) -> bytes | None:
        """The body, when it is there and of this revision."""
        name = _name(key, revision)
        return await self._try(lambda disk: _checked_or_none(disk.get(name)))

    async def put(self, key: object, revision: object, body: bytes, ttl_s: float) -> None:
        """Keep a body for so long, unless it is too large."""
        if len(body) <= MAX_BODY_BYTES:
            name = _name(key, revision)
            await self._try(lambda disk: disk.set(name, body, expire=ttl_s))

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._disk is not None:
            self._thread.submit(self._disk.close).result()
        self._thread.shutdown()

    async def _try(self, work: Callable[[diskcache.Cache], _T]) -> _T | None:
        def attempt() -> _T | None:
            if self._disk is None:
                return None
            try:
                return work(self._disk)
            except _FAILURES as error:
                _log.warning("the shelf of cached bodies failed: %s", error)
                return None

        return await asyncio.get_running_loop().run_in_executor(self._thread, attempt)


def _open(folder: Path, max_bytes: int) -> diskcache.Cache | None:
    """Open the folder; one that cannot be read is emptied, for nothing in it is needed."""
    for _ in range(2):
        try:
            return diskcache.Cache(str(folder), disk=_BytesOnly, size_limit=max_bytes)
        except _FAILURES as error:
            _log.warning("the shelf of cached bodies is emptied: %s", error)
            shutil.rmtree(folder, ignore_errors=True)
    return None


def _name(key: object, revision: object) -> str:
    """What key and revision are called on the disk; both are made of words, numbers and tuples."""
    return hashlib.blake2b(repr((key, revision)).encode(), digest_size=20).hexdigest()


def _checked(value: Any, kind: type[_T]) -> _T:
    if type(value) is not kind:
        raise TypeError("the shelf holds bytes only")
    return value


def _checked_or_none(value: Any) -> bytes | None:
    return None if value is None else _checked(value, bytes)
