"""Who may hold a connection open: so many in all, and of them a quarter from one address.

An IPv6 address counts as its /64: who has one of these addresses has them all.
"""

from __future__ import annotations

import resource
from collections import Counter
from typing import Final

from urbanos_edge.access.proxies import Proxies
from urbanos_edge.allowance import network

SHARE: Final = 4
"""One address may have a fourth: nobody keeps all others out by opening what is not used."""
FOR_FILES: Final = 512
"""Descriptors that connections leave to files."""
WANTED_DESCRIPTORS: Final = 1 << 16


class Crowd:
    """The connections that are open, by whom the address on their other side stands for."""

    def __init__(self, most: int, proxies: Proxies) -> None:
        """A trusted proxy's connections are many people's, and only counted with all others."""
        self.most = most
        self._most_of_one = max(1, most // SHARE)
        self._proxies = proxies
        self._by_network: Counter[str] = Counter()
        self.open = 0

    def enter(self, address: str) -> Seat | None:
        """A seat for a new connection; None when there is no room for it."""
        is_shared, whose = self._proxies.trusts(address), network(address)
        if self.open >= self.most:
            return None
        if not is_shared and self._by_network[whose] >= self._most_of_one:
            return None
        self.open += 1
        self._by_network[whose] += 1
        return Seat(self, whose)

    def leave(self, whose: str) -> None:
        self.open -= 1
        self._by_network[whose] -= 1
        if not self._by_network[whose]:
            del self._by_network[whose]


class Seat:
    """One open connection's place, left once."""

    __slots__ = ("_crowd", "_whose")

    def __init__(self, crowd: Crowd, whose: str) -> None:
        self._crowd: Crowd | None = crowd
        self._whose = whose

    def leave(self) -> None:
        crowd, self._crowd = self._crowd, None
        if crowd is not None:
            crowd.leave(self._whose)


def room_for(wanted: int) -> int:
    """How many connections there are descriptors for, of those wanted; asks for more of them.

    The system's usual 1,024 are meant for programs that wait with `select`, which we do not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, WANTED_DESCRIPTORS)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return max(1, min(wanted, soft - FOR_FILES))
