"""How fast the centre is sent what it is sent, so that a thin line stays free for the rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import anyio

MIB: Final = 1 << 20
BURST_S: Final = 0.25
"""What was not used lately may be sent at once, up to so many seconds' worth."""


class Pace:
    """Lets at most so many MiB pass in a second; all of them if that is 0."""

    def __init__(self, mib_per_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._bytes_per_s = mib_per_s * MIB
        self._monotonic = monotonic
        self._free_from_s = 0.0

    async def sent(self, size: int) -> None:
        """Wait until `size` bytes, which were just sent, are within the limit."""
        if not self._bytes_per_s:
            return
        now_s = self._monotonic()
        began_s = max(self._free_from_s, now_s - BURST_S)
        self._free_from_s = began_s + size / self._bytes_per_s
        if self._free_from_s > now_s:
            await anyio.sleep(self._free_from_s - now_s)
