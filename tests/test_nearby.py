"""What is made of announcements: cleaned, bounded, and asked only in a network of our own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from urbanos_edge.clock import Clock
from urbanos_edge.database import Database
from urbanos_edge.discovery.announcement import (
    LONGEST_LABEL,
    NODE_SERVICE,
    WEB_SERVICE,
    host_label,
    instance_name,
    listening_addresses,
)
from urbanos_edge.discovery.nearby import (
    AIRGRADIENT_SERVICE,
    MAX_DEVICES,
    MISSES,
    Announced,
    Device,
    Key,
    Nearby,
    may_be_one,
    read,
)
from urbanos_edge.discovery.networks import Network
from urbanos_edge.ingest.sensors import Sensors
from urbanos_edge.ingest.sources import Sources

OWN = [Network(2, ipaddress.ip_interface("10.0.0.1/24"))]
MONITOR = {"serialno": "84fce612f5b8", "model": "I-9PSL", "fw_ver": "3.1.3"}
"""As the firmware announces itself (airgradienthq/arduino, examples/OneOpenAir)."""


class Told:
    """Notes what the ones that fetch readings are told."""

    def __init__(self) -> None:
        self.asked: dict[tuple[str, str], str] = {}

    def found(self, kind: str, serial: str, url: str) -> None:
        self.asked[kind, serial] = url

    def lost(self, kind: str, serial: str) -> None:
        del self.asked[kind, serial]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def found(told: Told, tmp_path: Path) -> Iterator[Nearby]:
    database, clock = Database(tmp_path / "urbanos.sqlite"), Clock()
    yield Nearby(told, Sources(database, Sensors(database), clock), clock)
    database.close()


def announced(
    *addresses: str,
    service: str = AIRGRADIENT_SERVICE,
    instance: str = "airgradient_84fce612f5b8",
    port: int = 80,
    properties: dict[str, str | None] | None = None,
) -> Announced:
    at = tuple(map(ipaddress.ip_address, addresses))
    return Announced(service, instance, at, port, MONITOR if properties is None else properties)


def made_out(*addresses: str, **more: Any) -> Device:
    device = read(announced(*addresses, **more), OWN)
    assert device is not None
    return device


def key(instance: str, service: str = AIRGRADIENT_SERVICE) -> Key:
    return Key(service, f"{instance}.{service}")


# --- what a device is ---


def test_an_airgradient_monitor_says_its_serial_model_and_firmware() -> None:
    device = made_out("10.0.0.7")
    assert (device.kind, device.serial, device.sender) == (
        "airgradient",
        "84fce612f5b8",
        "airgradient-84fce612f5b8",
    )
    assert (device.model, device.firmware) == ("I-9PSL", "3.1.3")
    assert device.url == "http://10.0.0.7:80/measures/current"


@pytest.mark.parametrize("instance", ["airgradient_84FCE612F5B8", "airgradient-84fce612f5b8"])
def test_a_monitor_that_says_nothing_has_its_serial_in_its_name(instance: str) -> None:
    assert made_out("10.0.0.7", instance=instance, properties={}).serial == "84fce612f5b8"


@pytest.mark.parametrize(
    "serial", ["", "../../admin", "a" * 33, "one two", "84fce612f5b8\n", "8\u202e4"]
)
def test_what_is_no_serial_number_is_no_monitor(serial: str) -> None:
    heard = announced("10.0.0.7", instance="kitchen", properties={"serialno": serial})
    assert read(heard, OWN) is None


@pytest.mark.parametrize(
    ("instance", "sender"),
    [
        ("airRohr-12345", "esp8266-12345"),
        ("Feinstaubsensor-777", "esp8266-777"),
        ("NAM-4242", "esp8266-4242"),
    ],
)
def test_an_airrohr_unit_is_listed_and_not_asked(instance: str, sender: str) -> None:
    assert may_be_one(key(instance, WEB_SERVICE))
    device = made_out("10.0.0.8", service=WEB_SERVICE, instance=instance, properties={})
    assert (device.kind, device.sender, device.url) == ("airrohr", sender, None)


@pytest.mark.parametrize("instance", ["HP LaserJet 4200", "airRohr-", "airRohr-12345-x", ""])
def test_what_only_serves_a_web_page_is_not_asked_what_it_is(instance: str) -> None:
    assert not may_be_one(key(instance, WEB_SERVICE))


def test_another_node_is_listed_with_its_version() -> None:
    device = made_out("10.0.0.9", service=NODE_SERVICE, properties={"version": "1.2"})
    assert (device.kind, device.firmware, device.url) == ("node", "1.2", None)


def test_names_from_the_network_cannot_spoil_a_terminal() -> None:
    spoiled = "\x1b[31mred\u202egnp.\ud800" + "x" * 100
    device = made_out("10.0.0.9", service=NODE_SERVICE, instance=spoiled, properties={})
    assert device.name == ("?[31mred?gnp.?" + "x" * 100)[:63]


# --- where it is ---


@pytest.mark.parametrize(
    "address",
    ["10.0.1.7", "127.0.0.1", "10.0.0.1", "192.0.2.1", "fe80::1", "2001:db8::7"],
)
def test_what_is_in_no_network_of_ours_is_not_asked(address: str) -> None:
    assert made_out(address).url is None


def test_an_address_in_our_network_comes_before_others_and_ipv4_before_ipv6() -> None:
    both = [*OWN, Network(2, ipaddress.ip_interface("fd00::1/64"))]
    device = read(announced("192.0.2.1", "fd00::7", "10.0.0.7"), both)
    assert device is not None and device.address == "10.0.0.7"
    device = read(announced("192.0.2.1", "fd00::7"), both)
    assert device is not None and device.url == "http://[fd00::7]:80/measures/current"


def test_an_announcement_without_an_address_or_a_port_is_none() -> None:
    assert read(announced(), OWN) is None
    assert read(announced("10.0.0.7", port=0), OWN) is None


# --- which are kept, and asked ---


def test_a_monitor_is_asked_where_it_is_now(found: Nearby, told: Told) -> None:
    one = key("one")
    found.note(one, made_out("10.0.0.7"))
    found.note(one, made_out("10.0.0.8"))
    assert told.asked == {("airgradient", "84fce612f5b8"): "http://10.0.0.8:80/measures/current"}
    [listed] = found.list()
    assert listed.is_asked and listed.sensor_id is None
    assert listed.first_seen_at_us < listed.last_seen_at_us


def test_a_monitor_that_said_goodbye_is_not_asked_until_it_is_back(
    found: Nearby, told: Told
) -> None:
    found.note(key("one"), made_out("10.0.0.7"))
    found.note_gone(key("one"))
    assert told.asked == {}
    assert found.counts() == {"here": 0, "known": 1, "turned_away": 0}
    found.note(key("one"), made_out("10.0.0.7"))
    assert len(told.asked) == found.counts()["here"] == 1


def test_a_monitor_whose_mdns_has_died_is_still_asked(found: Nearby, told: Told) -> None:
    found.note(key("one"), made_out("10.0.0.7"))
    for _ in range(MISSES):
        assert found.counts()["here"] == 1
        found.note_missed(key("one"))
    found.note_gone(key("one"))
    assert found.counts()["here"] == 0
    assert len(told.asked) == 1


def test_a_second_one_of_the_same_serial_is_asked_only_when_the_first_is_away(
    found: Nearby, told: Told
) -> None:
    found.note(key("one"), made_out("10.0.0.7"))
    found.note(key("two"), made_out("10.0.0.66"))
    assert list(told.asked.values()) == ["http://10.0.0.7:80/measures/current"]
    for _ in range(MISSES):
        found.note_missed(key("one"))
    found.note(key("two"), made_out("10.0.0.66"))
    assert list(told.asked.values()) == ["http://10.0.0.66:80/measures/current"]
    assert [device.is_asked for device in found.list()] == [True, False]


def test_a_network_that_announces_thousands_fills_the_list_and_no_more(
    found: Nearby, told: Told
) -> None:
    for number in range(MAX_DEVICES + 800):
        properties: dict[str, str | None] = {"serialno": f"{number:012x}"}
        found.note(key(str(number)), made_out("10.0.0.7", properties=properties))
    assert found.counts() == {"here": MAX_DEVICES, "known": MAX_DEVICES, "turned_away": 800}
    assert len(told.asked) == MAX_DEVICES
    found.note_gone(key("17"))
    found.note(key("late"), made_out("10.0.0.9", properties={"serialno": "late"}))
    assert found.counts() == {"here": MAX_DEVICES, "known": MAX_DEVICES, "turned_away": 800}
    assert ("airgradient", "late") in told.asked
    assert key("17") not in found.keys()


# --- what is announced ---


def test_only_addresses_that_the_node_listens_on_are_announced() -> None:
    own = [*OWN, Network(3, ipaddress.ip_interface("fd00::1/64"))]

    def texts(host: str) -> set[str]:
        return {str(address) for address in listening_addresses(own, host)}

    assert texts("0.0.0.0") == texts("10.0.0.1") == {"10.0.0.1"}
    assert texts("::") == {"fd00::1"}
    assert texts("127.0.0.1") == texts("10.0.0.9") == set()


@pytest.mark.parametrize(
    ("name", "label"),
    [("UrbanOS Edge", "urbanos-edge"), ("Rathaus Köln 2", "rathaus-k-ln-2"), ("臺中", "urbanos")],
)
def test_a_name_for_people_becomes_a_host_name(name: str, label: str) -> None:
    assert host_label(name) == label


@pytest.mark.parametrize("name", ["臺" * 80, "x" * 80, "St. Gallen", "", "...", "\x07"])
def test_any_name_of_a_node_can_be_announced(name: str) -> None:
    instance = instance_name(name)
    assert instance and len(f"{instance}-99".encode()) <= LONGEST_LABEL
    assert instance.isprintable()
