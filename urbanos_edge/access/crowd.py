"""Who may hold a connection open: so many in all, and of them a quarter from one address.

An IPv6 address counts as its /64: who has one of these addresses has them all.
"""

from __future__ import annotations

import resource
from typing import Final

from urbanos_edge.access.proxies import Proxies
from urbanos_edge.access.shares import Shares
from urbanos_edge.allowance import network

FOR_FILES: Final = 512
"""Descriptors that connections leave to files."""
WANTED_DESCRIPTORS: Final = 1 << 16


class Crowd:
    """The connections that are open, by whom the address on their other side stands for."""

    def __init__(self, most: int, proxies: Proxies) -> None:
        """A trusted proxy's connections are many people's, and only counted with all others."""
        self._shares = Shares(most)
        self._proxies = proxies

    @property
    def most(self) -> int:
        return self._shares.most

    @property
    def open(self) -> int:
        return self._shares.taken

    def enter(self, address: str) -> Seat | None:
        """A seat for a new connection; None when there is no room for it."""
        is_many, whose = self._proxies.trusts(address), network(address)
        return Seat(self._shares, whose) if self._shares.take(whose, 1, is_many=is_many) else None


class Seat:
    """One open connection's place, left once."""

    __slots__ = ("_shares", "_whose")

    def __init__(self, shares: Shares, whose: str) -> None:
        self._shares: Shares | None = shares
        self._whose = whose

    def leave(self) -> None:
        shares, self._shares = self._shares, None
        if shares is not None:
            shares.give_back(self._whose, 1)


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
