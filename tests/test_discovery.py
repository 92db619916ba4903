"""mDNS between machines: namespaces of the kernel, joined by cables that are pulled and plugged in.

The node runs on one of them. On the second is a stack of zeroconf's, with a monitor that serves its
measures; on the third is avahi, alone, because two stacks on one machine share its answers.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import anyio
import pytest
from zeroconf import DNSOutgoing, DNSPointer, DNSQuestionType, IPVersion, Zeroconf
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf
from zeroconf.const import _CLASS_IN, _FLAGS_AA, _FLAGS_QR_RESPONSE, _TYPE_PTR

from tests.namespaces import Machine, can_make_machines, connect, machine
from tests.processes import command, wait_until
from urbanos_edge import control
from urbanos_edge.discovery.announcement import SERVICES, Announcement
from urbanos_edge.discovery.nearby import AIRGRADIENT_SERVICE
from urbanos_edge.discovery.networks import networks

PROGRAMS = ("ip", "avahi-daemon", "avahi-browse", "dbus-daemon")
MEASURES = (
    b'{"wifi":-46,"serialno":"ecda3b1eaaaf","rco2":447,"pm01":3,"pm02":7,"pm10":8,"atmp":25.87,'
    b'"rhum":43,"model":"I-9PSL","firmware":"3.1.3"}'
)
"""As `/measures/current` shows them (airgradienthq/arduino, docs/local-server.md)."""
MONITOR = ("airgradient_84fce612f5b8", "serialno=84fce612f5b8", "model=O-1PST", "fw_ver=3.3.9")
BUS = """<busconfig>
  <type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>"""
AVAHI = "[server]\nhost-name=box\nuse-ipv6=no\n[publish]\npublish-workstation=no\n"
OWN_RUN = "mkdir -p /run/avahi-daemon && mount -t tmpfs none /run/avahi-daemon && exec avahi-daemon"
"""Its folder for itself: another avahi may run on the machine that the tests run on."""

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)) or not can_make_machines(),
    reason="needs avahi, and root to make networks of its own",
)


class Avahi:
    """avahi-daemon on a machine, with a message bus of its own."""

    def __init__(self, at: Machine, folder: Path) -> None:
        self._at = at
        self._bus = folder / "bus"
        self._variables = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self._bus}"}
        (folder / "bus.conf").write_text(BUS.format(path=self._bus))
        (folder / "avahi.conf").write_text(AVAHI)
        self._config = folder / "avahi.conf"

    @contextmanager
    def running(self) -> Iterator[None]:
        bus_config = str(self._bus.with_suffix(".conf"))
        daemon = f"{OWN_RUN} --no-drop-root --no-chroot --no-rlimits -f {self._config}"
        with self._program("dbus-daemon", "--nofork", "--config-file", bus_config):
            wait_until(self._bus.exists, 10)
            with self._program("sh", "-c", daemon):
                wait_until(lambda: self._run("avahi-browse", "-at").returncode == 0, 10)
                yield

    @contextmanager
    def announcing(self, name: str, *properties: str) -> Iterator[None]:
        service = AIRGRADIENT_SERVICE.removesuffix(".local.")
        with self._program("avahi-publish", "-s", name, service, "80", *properties):
            yield

    def found(self, service: str) -> list[list[str]]:
        """What it has resolved, each as interface, …, host, address, port and properties."""
        words = ("avahi-browse", "-rpt", service.removesuffix(".local."))
        lines = self._run(*words).stdout.splitlines()
        return [line.split(";") for line in lines if line.startswith("=")]

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        inside = ["ip", "netns", "exec", self._at.name, *words]
        variables = self._variables
        return subprocess.run(inside, env=variables, capture_output=True, text=True, timeout=30)

    @contextmanager
    def _program(self, *words: str) -> Iterator[None]:
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with self._at.start(list(words), env=self._variables, **quiet) as process:
            try:
                yield
            finally:
                process.terminate()


@dataclass
class City:
    """A node on its machine, and the two machines beside it."""

    home: Machine
    street: Machine
    harbour: Machine
    avahi: Avahi
    data_dir: Path
    log: Path

    def ask(self, name: str, /, **arguments: Any) -> Any:
        return control.request(self.data_dir, name, arguments)

    def here(self) -> dict[str, dict[str, Any]]:
        """By name, what the node found that is there now."""
        return {one["name"]: one for one in self.ask("nearby") if one["is_here"]}

    def last_seen_us(self, name: str) -> int:
        at_us: int = max(
            one["last_seen_at_us"] for one in self.ask("nearby") if one["name"] == name
        )
        return at_us

    def wait_for(self, name: str) -> dict[str, Any]:
        wait_until(lambda: name in self.here(), 15, self.log.read_text)
        return self.here()[name]

    def asked(self, sender: str) -> Any:
        """Have a monitor asked at once, without waiting for its minute; how it stands then."""
        [standing] = self.ask("pull_now", name=sender)
        return standing

    def is_up(self) -> bool:
        with suppress(control.NotRunning):
            return bool(self.ask("status"))
        return False


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """The node starts without any network; it gets one when all the others are there."""
    folder = tmp_path_factory.mktemp("city")
    with ExitStack() as stack:
        home, street, harbour = (stack.enter_context(machine(name)) for name in "hsp")
        connect(home, "lan0", street, "lan0")
        connect(home, "lan1", harbour, "lan0")
        place = City(
            home, street, harbour, Avahi(harbour, folder), folder / "node", folder / "node.log"
        )
        stack.enter_context(serving(place))
        for where, port, address in (
            (street, "lan0", "10.77.1.2/24"),
            (street, "lan0", "fd00:77::2/64"),
            (harbour, "lan0", "10.77.2.2/24"),
        ):
            give_address(where, port, address)
        stack.enter_context(place.avahi.running())
        wait_until(place.is_up, 30, place.log.read_text)
        give_address(home, "lan0", "10.77.1.1/24")
        give_address(home, "lan0", "fd00:77::1/64")
        give_address(home, "lan1", "10.77.2.1/24")
        yield place
    assert "Traceback" not in place.log.read_text()


@contextmanager
def serving(place: City) -> Iterator[None]:
    words = [*command(), "serve", "--data-dir", str(place.data_dir)]
    variables = os.environ | {"URBANOS_TLS_PORT": "8443"}
    with place.log.open("w") as log:
        process = place.home.start(
            [*words, "--host", "0.0.0.0", "--port", "8080"], stdout=log, stderr=log, env=variables
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def give_address(where: Machine, port: str, address: str) -> None:
    where.ip("address", "add", address, "dev", port, *["nodad"] * (":" in address))


async def look(service: str) -> AsyncServiceInfo:
    """Ask for a node and wait for its answer.

    Everybody is to hear it: what is sent to one address, the stacks there would share.
    """
    async with AsyncZeroconf() as zeroconf:
        info = AsyncServiceInfo(service, f"UrbanOS Edge.{service}")
        with anyio.fail_after(10):
            while not await info.async_request(zeroconf.zeroconf, 1500, DNSQuestionType.QM):
                pass
    return info


def test_avahi_finds_a_node_that_had_no_network_when_it_started(city: City) -> None:
    heard: list[list[str]] = []

    def is_heard() -> bool:
        heard.extend(city.avahi.found(SERVICES[0]))
        return bool(heard)

    wait_until(is_heard, 15, city.log.read_text)
    _, interface, _, name, _, _, host, address, port, properties = heard[0]
    assert (interface, name) == ("lan0", r"UrbanOS\032Edge")
    assert (host, port) == ("urbanos-edge.local", "8080")
    assert address in ("10.77.1.1", "10.77.2.1")  # avahi-browse shows one of them
    for one in ("api=/api/v1", "ingest=/api/v1/data/ingest", "tls=1", "tls_port=8443"):
        assert f'"{one}"' in properties
    assert "mDNS" not in city.log.read_text()


@pytest.mark.parametrize("service", SERVICES)
def test_zeroconf_finds_a_node_where_it_listens(city: City, service: str) -> None:
    info = city.street.do(partial(look, service))
    assert (info.server, info.port) == ("urbanos-edge.local.", 8080)
    assert info.decoded_properties["ingest"] == "/api/v1/data/ingest"
    assert set(info.parsed_addresses(IPVersion.All)) == {"10.77.1.1", "10.77.2.1"}


def test_the_certificate_is_for_the_name_and_the_addresses_that_are_announced(city: City) -> None:
    announced = {"urbanos-edge.local", "10.77.1.1", "10.77.2.1"}
    wait_until(lambda: announced <= set(city.ask("tls_status")["names"]), 30)


def test_a_monitor_is_found_and_its_measures_wait_until_it_is_claimed(city: City) -> None:
    name, sender = "airgradient_ecda3b1eaaaf", "airgradient-ecda3b1eaaaf"

    def claim() -> tuple[dict[str, Any], Any]:
        found, _ = city.wait_for(name), city.asked(sender)
        [unknown] = [one for one in city.ask("inbox") if one["sender"] == sender]
        assert (unknown["address"], unknown["last"]["values"]["pm25"]) == ("10.77.1.2", 7)
        city.ask("inbox_claim", sender=sender, lat=60.16, lng=24.95, rule="address")
        return found, city.asked(sender)

    async def measure() -> tuple[dict[str, Any], Any]:
        async with AsyncZeroconf() as zeroconf, await asyncio.start_server(show, "10.77.1.2", 80):
            announce_nonsense(zeroconf.zeroconf)
            await zeroconf.async_register_service(monitor(), cooperating_responders=True)
            return await anyio.to_thread.run_sync(claim)

    found, standing = city.street.do(measure)
    assert (found["model"], found["firmware"], found["is_asked"]) == ("I-9PSL", "3.1.3", True)
    assert found["url"] == "http://10.77.1.2:80/measures/current"
    assert (standing["held"], standing["accepted"]) == (1, 1)
    wait_until(lambda: name not in city.here(), 5)
    [left] = [one for one in city.ask("nearby") if one["name"] == name]
    assert (left["sensor_id"], left["is_asked"]) == (sender, False)


async def show(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request as a monitor does."""
    asked = await reader.readuntil(b"\r\n\r\n")
    assert asked.startswith(b"GET /measures/current ")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    writer.write(head % len(MEASURES) + MEASURES)
    writer.close()


def monitor() -> AsyncServiceInfo:
    return AsyncServiceInfo(
        AIRGRADIENT_SERVICE,
        f"airgradient_ecda3b1eaaaf.{AIRGRADIENT_SERVICE}",
        port=80,
        properties={"serialno": "ecda3b1eaaaf", "model": "I-9PSL", "fw_ver": "3.1.3"},
        server="airgradient_ecda3b1eaaaf.local.",
        addresses=[ip_address("10.77.1.2").packed],
    )


def announce_nonsense(zeroconf: Zeroconf) -> None:
    """Say that services are called what no service can be called."""
    out = DNSOutgoing(_FLAGS_QR_RESPONSE | _FLAGS_AA)
    for name in ("nothing", "x" * 63 + ".local.", AIRGRADIENT_SERVICE, "a\x07b._tcp.local."):
        record = DNSPointer(AIRGRADIENT_SERVICE, _TYPE_PTR, _CLASS_IN, 4500, name)
        out.add_answer_at_time(record, 0)
    zeroconf.async_send(out)


def test_two_nodes_of_one_name_are_told_apart_and_find_each_other(city: City) -> None:
    async def announce() -> frozenset[str]:
        async with AsyncZeroconf(ip_version=IPVersion.All) as zeroconf:
            other = Announcement("UrbanOS Edge", "::", 8080)
            await other.follow(zeroconf, networks())
            await anyio.to_thread.run_sync(city.wait_for, "UrbanOS Edge-2")
        return other.names

    assert city.street.do(announce) == {f"urbanos edge-2.{service}" for service in SERVICES}
    [found] = [one for one in city.ask("nearby") if one["kind"] == "node"]
    assert (found["name"], found["address"]) == ("UrbanOS Edge-2", "fd00:77::2")


def test_a_node_is_found_and_finds_again_when_its_cable_and_address_change(city: City) -> None:
    with city.avahi.announcing(*MONITOR):
        city.wait_for(MONITOR[0])
        city.home.ip("link", "set", "lan1", "down")
        city.home.ip("address", "flush", "dev", "lan1")
        give_address(city.home, "lan1", "10.77.2.9/24")
        time.sleep(1.5)  # the node has seen that the cable is out
        before_us = time.time_ns() // 1000
        city.home.ip("link", "set", "lan1", "up")
        wait_until(lambda: city.last_seen_us(MONITOR[0]) > before_us, 15, city.log.read_text)
        assert city.here()[MONITOR[0]]["address"] == "10.77.2.2"
        announced = {"10.77.1.1", "10.77.2.9"}
        ask = partial(look, SERVICES[0])
        wait_until(lambda: set(city.harbour.do(ask).parsed_addresses()) == announced, 10)
        assert city.avahi.found(SERVICES[0])
    wait_until(lambda: MONITOR[0] not in city.here(), 5)
