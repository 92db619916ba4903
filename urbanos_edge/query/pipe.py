"""A named pipe: written by whoever opens its path, read from the event loop."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio

CAPACITY_BYTES: Final = 1 << 20
"""The most that Linux grants without privilege; the usual 64 KiB would cost many more turns."""


class Pipe:
    """Made at `path`, which must be free. A writer that comes never waits for a reader."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path, 0o600)
        self._reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        # A writer of our own, so that the end is where we say and not before the other one begins.
        self._writing = os.open(path, os.O_WRONLY)
        with suppress(OSError):
            fcntl.fcntl(self._reading, fcntl.F_SETPIPE_SZ, CAPACITY_BYTES)

    def end(self) -> None:
        """Nothing more will be written; called once, from any thread."""
        os.close(self._writing)

    async def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer at the end, and none after it."""
        parts: list[bytes] = []
        while size:
            try:
                part = os.read(self._reading, size)
            except BlockingIOError:
                await anyio.wait_readable(self._reading)
                continue
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def drain(self) -> None:
        """Throw away what is there, so that a writer that waits for room goes on."""
        with suppress(BlockingIOError):
            while os.read(self._reading, CAPACITY_BYTES):
                pass

    def close(self) -> None:
        """Stop reading; `end` was called before."""
        os.close(self._reading)
