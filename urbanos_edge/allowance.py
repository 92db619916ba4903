"""How often somebody may: so many times in a second, a minute or an hour, without knowing who.

What is kept of a client is one number, in memory. Where it is an address, `take` keeps it under a
hash, whose key is made anew every day: who would try all addresses against it needs the key of that
day.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from urbanos_edge.errors import TooManyRequests

MAX_CLIENTS: Final = 10_000
"""Beyond this, who asked longest ago is forgotten and may begin anew: 2 MiB at most."""
KEY_LIVES_S: Final = 86_400
NETWORK_BITS: Final = 64
"""Of an IPv6 address: what lies behind them is one household's to choose from."""
_ROUNDING: Final = 1e-6
"""Of a time; what clocks and floats lose must not take away a whole one."""
_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600}


class Rate(msgspec.Struct, frozen=True):
    """So many times in so long."""

    times: int
    period_s: int

    @classmethod
    def read(cls, text: str) -> Rate:
        """Read `N/second`, `N/minute` or `N/hour`, as the settings have checked it."""
        times, _, period = text.partition("/")
        return cls(int(times), _SECONDS[period])


class Ruling(NamedTuple):
    """Whether a client may, how often it still may at once, and when it may again.

    `full_in_s` is how long until it has all its times back, `wait_s` until it has one.
    """

    is_allowed: bool
    remaining: int
    full_in_s: float
    wait_s: float


class Allowance:
    """Counts each client by the generic cell rate algorithm (ITU-T I.371, annex A).

    All `times` may be used at once; one comes back every `period_s / times` seconds. Used from the
    event loop only.
    """

    def __init__(
        self,
        rate: Rate,
        max_clients: int = MAX_CLIENTS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._period_s = rate.period_s
        self._spacing_s = rate.period_s / rate.times
        self._burst_s = rate.period_s - self._spacing_s
        self._latest_s = self._burst_s + self._spacing_s * _ROUNDING
        self._max_clients = max_clients
        self._monotonic = monotonic
        self._full_at_s: OrderedDict[bytes, float] = OrderedDict()
        """When a client will have all its times back, by its hash; who asked last comes last."""
        self._key = os.urandom(32)
        self._key_ends_s = monotonic() + KEY_LIVES_S

    def __len__(self) -> int:
        return len(self._full_at_s)

    def take(self, address: str) -> None:
        """Use up one of the times that an address has.

        Raises:
            TooManyRequests: it has none now; nothing was used up.
        """
        ruling = self.ask(self._pseudonym(address, self._monotonic()))
        if not ruling.is_allowed:
            raise _too_often(ruling.wait_s)

    def check(self, address: str) -> None:
        """Use up nothing.

        Raises:
            TooManyRequests: where `take` would.
        """
        now_s = self._monotonic()
        wait_s = self._full_at_s.get(self._pseudonym(address, now_s), now_s) - now_s
        if wait_s > self._latest_s:
            raise _too_often(wait_s - self._burst_s)

    def ask(self, client: bytes) -> Ruling:
        """Use up one of the times of a client that has a name; none is used up when it has none."""
        full_in_s = self.use(client)
        if full_in_s >= 0:
            return Ruling(True, self.remaining(full_in_s), full_in_s, 0.0)
        return Ruling(False, 0, self._burst_s - full_in_s, -full_in_s)

    def use(self, client: bytes) -> float:
        """The same for who has no time to lose: in how many seconds all times will be back.

        Less than none: so long the client must wait, and nothing was used up.
        """
        full_at_s, now_s = self._full_at_s, self._monotonic()
        full_in_s = full_at_s.pop(client, now_s) - now_s
        if full_in_s < 0:
            full_in_s = 0.0
        if full_in_s > self._latest_s:
            full_at_s[client] = now_s + full_in_s
            return self._burst_s - full_in_s
        full_in_s += self._spacing_s
        full_at_s[client] = now_s + full_in_s
        if len(full_at_s) > self._max_clients:
            full_at_s.popitem(last=False)
        return full_in_s

    def remaining(self, full_in_s: float) -> int:
        """How many times are left to who will have all back in so many seconds."""
        return int((self._period_s - full_in_s) / self._spacing_s + _ROUNDING)

    def _pseudonym(self, address: str, now_s: float) -> bytes:
        """A name for an address that is good for today."""
        if now_s >= self._key_ends_s:
            self._key, self._key_ends_s = os.urandom(32), now_s + KEY_LIVES_S
            self._full_at_s.clear()
        return hashlib.blake2b(network(address).encode(), key=self._key, digest_size=16).digest()


def _too_often(wait_s: float) -> TooManyRequests:
    return TooManyRequests("that is too often; wait a while", math.ceil(wait_s))


def network(address: str) -> str:
    """Whom an address stands for: itself in IPv4, its /64 in IPv6."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, NETWORK_BITS), strict=False))
