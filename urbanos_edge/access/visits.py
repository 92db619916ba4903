"""Browsers that our pages are open in, told apart by a cookie that says nothing else.

An office has one address and many browsers; each gets its own allowance. The cookie is signed, so
that one which was made up is worth nothing, and given out sparingly, so that gathering genuine ones
gains little.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import time
from collections.abc import Callable
from typing import Final

from urbanos_edge.allowance import Allowance, Rate, network

COOKIE: Final = "urbanos_visit"
LIVES_H: Final = 24 * 30
"""After half of it a page gets a new one, whether it is loaded or still open and asks."""
NEW_VISITS: Final = Rate(100, 3600)
"""That one address may begin; who comes later shares the address's allowance."""
_ID_BYTES: Final = 12
_HOUR_BYTES: Final = 4
_SEAL_BYTES: Final = 16


class Visits:
    """Makes and reads the cookies."""

    def __init__(
        self,
        key: bytes,
        now_s: Callable[[], float] = time.time,
        new_visits: Rate = NEW_VISITS,
    ) -> None:
        self._key = key
        self._now_s = now_s
        self._begun = Allowance(new_visits)

    def begin(self, address: str) -> str | None:
        """A new cookie's value, or None when that address has had its share."""
        if not self._begun.ask(network(address).encode()).is_allowed:
            return None
        said = os.urandom(_ID_BYTES) + self._hour().to_bytes(_HOUR_BYTES, "big")
        return base64.urlsafe_b64encode(said + self._seal(said)).decode()

    def read(self, value: str) -> bytes | None:
        """Whose visit it is; None where the cookie is not ours or too old."""
        said = self._opened(value)
        return said[:_ID_BYTES] if said and self._age_h(said) <= LIVES_H else None

    def is_young(self, value: str) -> bool:
        """Whether the cookie need not be renewed yet."""
        said = self._opened(value)
        return bool(said) and self._age_h(said) <= LIVES_H // 2

    def _opened(self, value: str) -> bytes:
        try:
            whole = base64.b64decode(value, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return b""
        said, seal = whole[: _ID_BYTES + _HOUR_BYTES], whole[_ID_BYTES + _HOUR_BYTES :]
        return said if hmac.compare_digest(seal, self._seal(said)) else b""

    def _age_h(self, said: bytes) -> int:
        return self._hour() - int.from_bytes(said[_ID_BYTES:], "big")

    def _hour(self) -> int:
        return int(self._now_s()) // 3600

    def _seal(self, said: bytes) -> bytes:
        return hashlib.blake2b(said, key=self._key, digest_size=_SEAL_BYTES).digest()
