"""The networks this machine is in: its addresses on interfaces that carry something now.

An address of a cable that is pulled out stays with its interface, so the kernel's flags are asked
too. Loopback, links without multicast and IPv6's link-local addresses are left out: nobody can be
told of them.
"""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Final

import ifaddr
import msgspec

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SIOCGIFFLAGS: Final = 0x8913
_IFF_LOOPBACK: Final = 0x8
_IFF_RUNNING: Final = 0x40
_IFF_MULTICAST: Final = 0x1000
"""linux/sockios.h and linux/if.h."""
_IFREQ: Final = struct.Struct("16sH14x")


class Network(msgspec.Struct, frozen=True):
    """One address of this machine, with the network it is in, and its interface's number."""

    interface: int
    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface


def has_neighbour(known: Iterable[Network], address: Address) -> bool:
    """Whether that is another machine's address in one of these networks."""
    own = [network.address for network in known]
    return address not in {one.ip for one in own} and any(address in one.network for one in own)


def networks() -> frozenset[Network]:
    """Those that can be reached at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return frozenset(
            network
            for adapter in ifaddr.get_adapters()
            if adapter.index and _is_running(probe, adapter.name)
            for network in _of(adapter, adapter.index)
        )


def _of(adapter: ifaddr.Adapter, interface: int) -> Iterator[Network]:
    for found in adapter.ips:
        text = found.ip if isinstance(found.ip, str) else found.ip[0]
        address = ipaddress.ip_interface(f"{text}/{found.network_prefix}")
        if address.version == 4 or not address.is_link_local:
            yield Network(interface, address)


def _is_running(probe: socket.socket, name: str) -> bool:
    try:
        answer = fcntl.ioctl(probe, _SIOCGIFFLAGS, _IFREQ.pack(name.encode(), 0))
    except OSError:
        return False  # gone since it was listed
    flags: int = _IFREQ.unpack(answer)[1]
    wanted = _IFF_RUNNING | _IFF_MULTICAST
    return flags & (wanted | _IFF_LOOPBACK) == wanted
