"""Whose address a request comes from, when proxies pass it on.

What a client writes into X-Forwarded-For is its own word; only what a trusted proxy adds, at the
right end, is worth something.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

MAX_HOPS: Final = 32
"""Entries of X-Forwarded-For that are looked at, from the right."""
_REMEMBERED: Final = 4096


class Proxies:
    """Those whose word is believed."""

    def __init__(self, trusted: Sequence[str]) -> None:
        """`trusted` are addresses and networks, as the settings have checked them."""
        self._networks = [ipaddress.ip_network(network, strict=False) for network in trusted]
        self.trusts = lru_cache(_REMEMBERED)(self._trusts)
        """Whether an address is that of a trusted proxy."""

    def client(self, peer: str, forwarded_for: str) -> str:
        """The nearest address that is no trusted proxy's, from the connection's own end on.

        `forwarded_for` is the whole of X-Forwarded-For, several fields joined by commas. Where a
        trusted proxy passes on something that is no address, the client is that proxy.
        """
        if not self._networks or not forwarded_for:
            return peer
        hops, client = forwarded_for.split(",")[-MAX_HOPS:], peer
        while hops and self.trusts(client):
            before = _address(hops.pop())
            if before is None:
                break
            client = before
        return client

    def _trusts(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self._networks)


def _address(hop: str) -> str | None:
    """The address in one entry, which may have a port: `192.0.2.1:80`, `[2001:db8::1]:80`."""
    text = hop.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
