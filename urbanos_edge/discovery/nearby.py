"""What was found in the local network by mDNS: sensors, and other nodes.

Anybody in the network can announce anything. So names are cleaned, the list is bounded, and only
an address in a network of our own is ever asked for readings, at a path that is known beforehand.

What devices announce, by their sources: AirGradient `_airgradient._tcp` with `serialno`, `model`
and `fw_ver` (airgradienthq/arduino, examples/OneOpenAir); airRohr and its offspring `_http._tcp`
under the name of their own network, with their number in it (opendata-stuttgart/sensors-software,
airrohr-firmware; nettigo/namf). PurpleAir and Tasmota units announce nothing that tells what they
are.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from urbanos_edge.adapters import airgradient, airrohr
from urbanos_edge.clock import Clock
from urbanos_edge.discovery import announcement
from urbanos_edge.discovery.networks import Address, Network, has_neighbour
from urbanos_edge.ingest.sources import Sources

AIRGRADIENT_SERVICE: Final = "_airgradient._tcp.local."
SERVICES: Final = (AIRGRADIENT_SERVICE, *announcement.SERVICES)
"""Those that are looked for."""
MAX_DEVICES: Final = 200
MISSES: Final = 3
"""Times that a device does not answer before it counts as not here."""
_LONGEST_TEXT: Final = 63
_UNSHOWN: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200b-\u200f\u2028-\u202e\u2066-\u2069]"
)
"""Control characters, halves of characters, and what turns the direction of a text."""
_SERIAL: Final = re.compile(r"[0-9A-Za-z]{1,32}")
_AIRGRADIENT_NAME: Final = re.compile(r"airgradient[_-](\w+)", re.IGNORECASE)
_AIRROHR_NAME: Final = re.compile(r"(?:airRohr|Feinstaubsensor|NAM)-(\d{1,20})", re.IGNORECASE)


class Polls(Protocol):
    """Who fetches readings from devices that were found."""

    def found(self, kind: str, serial: str, url: str) -> None: ...

    def lost(self, kind: str, serial: str) -> None: ...


class Key(NamedTuple):
    """What a service is announced under: its type, and its own name before that."""

    service: str
    name: str

    @property
    def instance(self) -> str:
        return self.name[: -len(self.service) - 1]


class Announced(msgspec.Struct, frozen=True):
    """One service as it was heard: its type, its instance's name, and its records."""

    service: str
    instance: str
    addresses: tuple[Address, ...]
    port: int
    properties: Mapping[str, str | None]


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One device or node: `sender` is what the inbox calls it, `url` where its readings are.

    `sensor_id` is the sensor it was claimed for, if it was, and `is_asked` whether it is the one
    that is asked for the readings of its serial number; both are of the moment of `list`.
    """

    kind: str
    name: str
    address: str
    port: int
    serial: str = ""
    sender: str = ""
    url: str | None = None
    model: str = ""
    firmware: str = ""
    first_seen_at_us: int = 0
    last_seen_at_us: int = 0
    is_here: bool = True
    misses: int = 0
    sensor_id: str | None = None
    is_asked: bool = False


class Nearby:
    """The devices that were found, by the name they are announced under.

    At most `MAX_DEVICES`: a new one takes the place of the one that has been away longest, and is
    turned away while all of them are here. A device that is silent is asked for readings as long
    as it is in the list, because many go on measuring when their mDNS has died; one that said
    goodbye is not.
    """

    def __init__(self, polls: Polls, sources: Sources, clock: Clock) -> None:
        self._polls = polls
        self._sources = sources
        self._clock = clock
        self._devices: dict[Key, Device] = {}
        self._asked: dict[tuple[str, str], Key] = {}
        """By kind and serial the one that is asked, the first of that serial that is here."""
        self.turned_away = 0

    def list(self) -> Sequence[Device]:
        """Those that are here first."""
        asked = set(self._asked.values())
        shown = [
            replace(one, sensor_id=self._sources.sensor_of(one.sender), is_asked=key in asked)
            for key, one in self._devices.items()
        ]
        return sorted(shown, key=lambda device: (not device.is_here, device.kind, device.name))

    def keys(self) -> Sequence[Key]:
        return list(self._devices)

    def counts(self) -> dict[str, int]:
        here = sum(device.is_here for device in self._devices.values())
        return {"here": here, "known": len(self._devices), "turned_away": self.turned_away}

    def note(self, key: Key, device: Device) -> None:
        """A device was heard of under that name, for the first time or again."""
        known = self._devices.get(key)
        if known is None and not self._has_room():
            self.turned_away += 1
            return
        now_us = self._clock.now_us()
        first_us = known.first_seen_at_us if known else now_us
        if known and (known.serial, known.url) != (device.serial, device.url):
            self._stop_asking(key, known)
        noted = replace(device, first_seen_at_us=first_us, last_seen_at_us=now_us)
        self._devices[key] = noted
        self._ask(key, noted)

    def note_missed(self, key: Key) -> None:
        """A device did not answer."""
        known = self._devices.get(key)
        if known is not None:
            misses = known.misses + 1
            is_here = known.is_here and misses < MISSES
            self._devices[key] = replace(known, misses=misses, is_here=is_here)

    def note_gone(self, key: Key) -> None:
        """A device said goodbye, or, where it had not answered before, was silent too long."""
        known = self._devices.get(key)
        if known is not None:
            if not known.misses:
                self._stop_asking(key, known)
            self._devices[key] = replace(known, is_here=False)

    def _has_room(self) -> bool:
        if len(self._devices) < MAX_DEVICES:
            return True
        away = [(d.last_seen_at_us, key) for key, d in self._devices.items() if not d.is_here]
        if not away:
            return False
        key = min(away)[1]
        self._stop_asking(key, self._devices.pop(key))
        return True

    def _ask(self, key: Key, device: Device) -> None:
        one = (device.kind, device.serial)
        asked = self._asked.get(one, key)
        is_taken = asked != key and self._devices[asked].is_here
        if device.url is not None and not is_taken:
            self._asked[one] = key
            self._polls.found(device.kind, device.serial, device.url)

    def _stop_asking(self, key: Key, device: Device) -> None:
        one = (device.kind, device.serial)
        if self._asked.get(one) == key:
            del self._asked[one]
            self._polls.lost(device.kind, device.serial)


def may_be_one(key: Key) -> bool:
    """Whether the name alone allows it: offices are full of printers that serve a web page."""
    return key.service != announcement.WEB_SERVICE or bool(_AIRROHR_NAME.fullmatch(key.instance))


def read(heard: Announced, known: Iterable[Network]) -> Device | None:
    """Make out what an announcement is of; None when it is nothing that is looked for."""
    near = [one for one in heard.addresses if has_neighbour(known, one)]
    address = min(near or heard.addresses, key=lambda one: one.version, default=None)
    if address is None or not 0 < heard.port < 65536:
        return None
    found = Device(kind="node", name=clean(heard.instance), address=str(address), port=heard.port)
    match heard.service:
        case announcement.NODE_SERVICE:
            return replace(found, firmware=_text(heard, "version"))
        case announcement.WEB_SERVICE:
            return _airrohr(found, heard)
        case _:
            return _airgradient(found, heard, _origin(address, heard.port) if near else None)


def _airgradient(found: Device, heard: Announced, origin: str | None) -> Device | None:
    named = _AIRGRADIENT_NAME.fullmatch(heard.instance)
    serial = (_text(heard, "serialno") or (named[1] if named else "")).lower()
    sender = airgradient.sensor_named(serial)
    if sender is None or not _SERIAL.fullmatch(serial):
        return None
    return replace(
        found,
        kind=airgradient.SOURCE,
        serial=serial,
        sender=sender,
        url=f"{origin}/measures/current" if origin else None,
        model=_text(heard, "model"),
        firmware=_text(heard, "fw_ver"),
    )


def _airrohr(found: Device, heard: Announced) -> Device | None:
    """It pushes what it measures, and is listed so that somebody can tell it where to."""
    named = _AIRROHR_NAME.fullmatch(heard.instance)
    if named is None:
        return None
    model = _text(heard, "manufacturer")
    return replace(
        found, kind=airrohr.SOURCE, serial=named[1], sender=f"esp8266-{named[1]}", model=model
    )


def clean(text: str) -> str:
    """A text from the network as it can be shown: of one line, and not too long."""
    return _UNSHOWN.sub("?", text)[:_LONGEST_TEXT]


def _text(heard: Announced, name: str) -> str:
    return clean(heard.properties.get(name) or "")


def _origin(address: Address, port: int) -> str:
    host = f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else str(address)
    return f"http://{host}:{port}"
