"""mDNS: tell the local network where this node is, so that sensors find it by name.

Nothing secret and nothing about a person is announced.
"""

from __future__ import annotations

import logging
import re
import socket
from typing import Final

import anyio
import ifaddr
from zeroconf import NonUniqueNameException
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from urbanos_edge import __version__

SERVICES: Final = ("_urbanos._tcp.local.", "_http._tcp.local.")
_log = logging.getLogger(__name__)


async def announced(name: str, port: int) -> None:
    """Announce the node until cancelled; a network without multicast is only logged."""
    try:
        zeroconf = AsyncZeroconf()
    except OSError as error:
        _log.warning("this node is not announced by mDNS: %s", error)
        return
    services = [service_info(name, port, kind) for kind in SERVICES]
    try:
        for service in services:
            await (await zeroconf.async_register_service(service, allow_name_change=True))
        await anyio.sleep_forever()
    except (OSError, NonUniqueNameException) as error:
        _log.warning("this node is not announced by mDNS: %s", error)
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await zeroconf.async_unregister_all_services()
            await zeroconf.async_close()


def service_info(name: str, port: int, kind: str) -> AsyncServiceInfo:
    """What is announced under one service type."""
    return AsyncServiceInfo(
        kind,
        f"{name}.{kind}",
        port=port,
        properties={
            "version": __version__,
            "api": "/api/v1",
            "ingest": "/api/v1/data/ingest",
            "tls": "0",
        },
        server=f"{host_label(name)}.local.",
        addresses=[socket.inet_aton(address) for address in own_addresses()],
    )


def own_addresses() -> list[str]:
    """The IPv4 addresses others can reach this machine at; loopback when there is no network."""
    found = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    outward = [address for address in found if isinstance(address, str) and address[:4] != "127."]
    return outward or ["127.0.0.1"]


def host_label(name: str) -> str:
    """A name for people as a DNS label: `UrbanOS Edge` → `urbanos-edge`."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return label[:63] or "urbanos"
