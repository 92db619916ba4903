"""How much of what is being sent may lie in memory: so much in all, a fourth of it of one network.

A connection may bring its body slowly, and a body of a few hundred bytes may unpack to megabytes:
without this, as many of the largest as there are connections would have to fit.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final

from urbanos_edge.access.shares import Shares
from urbanos_edge.allowance import network
from urbanos_edge.errors import Unavailable

AT_ONCE: Final = 8
"""So many bodies of the largest size."""
FREE_BYTES: Final = 64 << 10
"""Of each body are not counted: who may have a connection may send a reading."""
UNKNOWN_BYTES: Final = 1 << 20
"""The largest body of who shows no token; a device's message has a few kilobytes."""


class Bodies:
    """The bytes of bodies that are not dealt with yet; used from the event loop only."""

    def __init__(self, largest_bytes: int) -> None:
        self.largest_bytes = largest_bytes
        self._shares = Shares(AT_ONCE * largest_bytes)

    @property
    def held_bytes(self) -> int:
        return self._shares.taken

    def one(self, address: str) -> Room:
        """Room for one body, in a `with` block; there is none in it yet."""
        return Room(self._shares, address)


class Room:
    """What one body takes of it, until the block ends."""

    __slots__ = ("_address", "_bytes", "_network", "_shares")

    def __init__(self, shares: Shares, address: str) -> None:
        self._shares = shares
        self._address = address
        self._network: str | None = None
        self._bytes = 0

    def __enter__(self) -> Room:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()

    def reach(self, size_bytes: int) -> None:
        """Have room for a body that is so large by now.

        Raises:
            Unavailable: too much of others lies here.
        """
        more = size_bytes - FREE_BYTES - self._bytes
        if more <= 0:
            return
        if self._network is None:
            self._network = network(self._address)
        if not self._shares.take(self._network, more):
            raise Unavailable("too many large bodies come in at once", code="too_many_bodies")
        self._bytes += more

    def leave(self) -> None:
        """Give all of it back; a body that is refused is only read to its end."""
        if self._network is not None and self._bytes:
            self._shares.give_back(self._network, self._bytes)
            self._bytes = 0
