"""Passwords of devices: dear to try for who does not know them, cheap for who does."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import OrderedDict
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Final

import anyio
import anyio.to_thread
import msgspec

from urbanos_edge.allowance import Allowance, Rate
from urbanos_edge.database import Database
from urbanos_edge.errors import TooManyRequests

MAX_REMEMBERED: Final = 10_000
"""Pairs that were right, so that a device's password costs its work once; 2 MiB at most."""
GUESSES: Final = Rate(30, 60)
"""Wrong pairs of one network; beyond these its pairs are not tried."""
_SCRYPT: Final = partial(hashlib.scrypt, n=1 << 14, r=8, p=1, dklen=32)
"""16 MiB and some 40 ms a password: as RFC 7914 asks for what people log in with."""


class Passwords:
    """Makes of a user and a password what can be compared with what is stored.

    The work is done in one thread, however many ask. What was right is remembered apart from what
    was not, so that wrong passwords hold up nothing else.
    """

    def __init__(self, database: Database) -> None:
        query = "SELECT value FROM node WHERE name = 'password_salt'"
        self._salt = bytes.fromhex(database.read().execute(query).get)
        self._key = os.urandom(32)
        self._right: OrderedDict[bytes, bytes] = OrderedDict()
        self._guesses = Allowance(GUESSES)
        self._lane = anyio.Lock()

    async def proof(self, user: str, password: str) -> bytes:
        """Hash a pair with this node's salt."""
        work: Callable[[], bytes] = partial(_SCRYPT, _pair(user, password), salt=self._salt)
        return await anyio.to_thread.run_sync(work)

    async def tried(
        self, user: str, password: str, address: str, right: Collection[bytes]
    ) -> bytes:
        """The same of a pair that somebody at `address` says, where one of `right` is right.

        Raises:
            TooManyRequests: that network said too many wrong ones.
        """
        key = hashlib.blake2b(_pair(user, password), key=self._key).digest()
        if self._right.get(key) in right:
            self._right.move_to_end(key)
            return self._right[key]
        async with self._lane:
            self._guesses.check(address)
            proof = await self.proof(user, password)
            if any(hmac.compare_digest(proof, one) for one in right):
                self._remember(key, proof)
            else:
                with suppress(TooManyRequests):
                    self._guesses.take(address)
        return proof

    def _remember(self, key: bytes, proof: bytes) -> None:
        self._right[key] = proof
        if len(self._right) > MAX_REMEMBERED:
            self._right.popitem(last=False)


def _pair(user: str, password: str) -> bytes:
    return msgspec.msgpack.encode((user, password))
