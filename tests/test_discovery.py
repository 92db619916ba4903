"""mDNS, heard by a second stack on loopback."""

from __future__ import annotations

import anyio
import pytest
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from urbanos_edge.discovery import SERVICES, announced, host_label


def test_a_node_is_found_with_what_a_sensor_needs() -> None:
    async def listen() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(announced, "Test node", 8123)
            found = [await find(kind) for kind in SERVICES]
            tasks.cancel_scope.cancel()
        for info in found:
            assert info.port == 8123
            assert info.decoded_properties["ingest"] == "/api/v1/data/ingest"
            assert info.decoded_properties["api"] == "/api/v1"
            assert info.decoded_properties["tls"] == "0"
            assert info.parsed_addresses()

    anyio.run(listen)


async def find(kind: str) -> AsyncServiceInfo:
    listener = AsyncZeroconf(ip_version=IPVersion.V4Only)
    try:
        with anyio.fail_after(20):
            while True:
                info = AsyncServiceInfo(kind, f"Test node.{kind}")
                if await info.async_request(listener.zeroconf, 1000):
                    return info
    finally:
        await listener.async_close()


@pytest.mark.parametrize(
    ("name", "label"),
    [("UrbanOS Edge", "urbanos-edge"), ("Rathaus Köln 2", "rathaus-k-ln-2"), ("臺中", "urbanos")],
)
def test_a_name_for_people_becomes_a_host_name(name: str, label: str) -> None:
    assert host_label(name) == label
