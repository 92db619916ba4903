"""mDNS: what the local network is told of this node, so that sensors find it by name.

Nothing secret and nothing about a person is announced.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

import anyio
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from urbanos_edge import __version__
from urbanos_edge.discovery.networks import Address, Network

NODE_SERVICE: Final = "_urbanos._tcp.local."
WEB_SERVICE: Final = "_http._tcp.local."
SERVICES: Final = (NODE_SERVICE, WEB_SERVICE)
LONGEST_LABEL: Final = 63
"""Bytes; RFC 1035, 2.3.4."""
_ROOM_FOR_NUMBER: Final = 4
"""Bytes that are kept free for the number behind a name that another node has already."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")


class Announcement:
    """One node as it is announced: under each service type, at the addresses it listens on."""

    def __init__(self, name: str, host: str, port: int, tls_port: int | None = None) -> None:
        """`host` is the numeric address that the node listens on; it may be any (`0.0.0.0`)."""
        self._instances = dict.fromkeys(SERVICES, instance_name(name))
        self._host = host
        self._port = port
        self._tls = {"tls": "0"} if tls_port is None else {"tls": "1", "tls_port": str(tls_port)}
        self._addresses: frozenset[Address] = frozenset()
        self._services: dict[str, AsyncServiceInfo] = {}

    @property
    def names(self) -> frozenset[str]:
        """The names it has, or asks for, in lower case."""
        return frozenset(service.name.lower() for service in self._services.values())

    async def follow(self, zeroconf: AsyncZeroconf, known: Iterable[Network]) -> None:
        """Announce the addresses in these networks; without any there is nothing to tell.

        A name that another node has already gets a number, and so does the name of the host.
        """
        addresses = listening_addresses(known, self._host)
        if not addresses or addresses == self._addresses:
            return
        self._addresses = addresses
        if self._services:
            await self._announce_anew(zeroconf)
        else:
            await self._announce(zeroconf)

    async def _announce(self, zeroconf: AsyncZeroconf) -> None:
        wanted = self._instances
        self._services = {kind: self._service(kind) for kind in SERVICES}
        async with anyio.create_task_group() as tasks:
            for service in self._services.values():
                tasks.start_soon(_register, zeroconf, service)
        self._instances = {
            kind: service.name.removesuffix(f".{kind}") for kind, service in self._services.items()
        }
        if self._instances != wanted:
            await self._announce_anew(zeroconf)

    async def _announce_anew(self, zeroconf: AsyncZeroconf) -> None:
        self._services = {kind: self._service(kind) for kind in SERVICES}
        for service in self._services.values():
            await (await zeroconf.async_update_service(service))

    def _service(self, kind: str) -> AsyncServiceInfo:
        host = host_label(self._instances[NODE_SERVICE])
        return AsyncServiceInfo(
            kind,
            f"{self._instances[kind]}.{kind}",
            port=self._port,
            properties={
                "version": __version__,
                "api": "/api/v1",
                "ingest": "/api/v1/data/ingest",
                **self._tls,
            },
            server=f"{host}.local.",
            addresses=[address.packed for address in self._addresses],
        )


async def _register(zeroconf: AsyncZeroconf, service: AsyncServiceInfo) -> None:
    await (await zeroconf.async_register_service(service, allow_name_change=True))


def listening_addresses(known: Iterable[Network], host: str) -> frozenset[Address]:
    """This machine's addresses that a server listening on `host`, a numeric address, is at."""
    bound = ipaddress.ip_address(host)
    return frozenset(
        network.address.ip
        for network in known
        if network.address.version == bound.version
        and (bound.is_unspecified or network.address.ip == bound)
    )


def instance_name(name: str) -> str:
    """A node's name as mDNS can carry it: `UrbanOS Edge` for one that has nothing to show."""
    shown = _CONTROL.sub(" ", name).strip()
    cut = shown.encode()[: LONGEST_LABEL - _ROOM_FOR_NUMBER].decode(errors="ignore")
    return cut.strip(". ") or "UrbanOS Edge"


def host_label(name: str) -> str:
    """A name for people as a DNS label: `UrbanOS Edge` → `urbanos-edge`."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return label[:LONGEST_LABEL] or "urbanos"
