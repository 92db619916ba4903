"""Mutated messages of devices: nothing but the errors that are meant ever comes out of a reader."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import devices, published
from urbanos_edge.adapters import (
    Candidate,
    Location,
    Malformed,
    Message,
    airgradient,
    airrohr,
    line_protocol,
    mqtt,
    openaq,
    purpleair,
    records,
    sensor_community,
    sensorthings,
)
from urbanos_edge.archives.columns import parse_map
from urbanos_edge.errors import EdgeError
from urbanos_edge.names import parse_field_map
from urbanos_edge.reading import QUANTITY_NAMES

CASES: Final = 50_000
FIELDS: Final = parse_field_map("pm25=sta-999")
[STATION] = openaq.read_locations(published.OPENAQ_LOCATIONS, published.SINCE)
WHOLE: Final = records.Plan("json", "town", sensor_id="roof")
FEATURES: Final = records.Plan(
    "json",
    "town",
    parse_map(
        "sensor_id=properties.station,timestamp=properties.measured,pm25=properties.dust.PM2.5,"
        "lng=geometry.coordinates.0,lat=geometry.coordinates.1"
    ),
    records="features",
    time_format="%d.%m.%Y %H:%M",
)
TABLE: Final = records.Plan(
    "csv", "town", parse_map("sensor_id=Station,timestamp=Zeit,pm10=PM10,humidity=Feuchte")
)
READERS: Final[dict[str, Callable[[bytes], Message]]] = {
    "airrohr": lambda body: airrohr.read(body, ""),
    "push": lambda body: airrohr.read_push(body, "esp8266-1", "11"),
    "airgradient": lambda body: airgradient.read(body, ""),
    "airgradient push": lambda body: airgradient.read(body, "ecda3b1eaaaf"),
    "purpleair": purpleair.read,
    "sensorthings": lambda body: sensorthings.read(body, FIELDS),
    "mqtt airgradient": lambda body: mqtt.read("airgradient/readings/1", body, FIELDS),
    "mqtt tasmota": lambda body: mqtt.read("tele/yard/SENSOR", body, FIELDS),
    "mqtt zigbee": lambda body: mqtt.read("zigbee2mqtt/balcony", body, FIELDS),
    "mqtt other": lambda body: mqtt.read("city/mast/state", body, FIELDS),
    "sensor.community": sensor_community.read,
    "openaq": lambda body: openaq.read_latest(body, STATION, FIELDS, published.SINCE),
    "records": lambda body: records.read_json(body, WHOLE),
    "features": lambda body: records.read_json(body, FEATURES),
    "table": lambda body: records.read_csv(body, TABLE),
    "lines": lambda body: line_protocol.read(body, "auto", FIELDS).message,
}
JUNK: Final = (
    *(b"NaN", b"-1e999", b"1" * 400, b"null", b"true", b"{}", b"[[[[", b'""', b'"\\ud800"'),
    *(b"\xff\xfe", b"\0", b"\n", b"\r\n", b"\\", b'"', b",", b"=", b" ", b"#", b"\xc3\xa4"),
    *(b"1e-400", b"-0.0", b"999", b"1999.9", b"9223372036854775807", b"sensordatavalues"),
)
UNWANTED: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just("\ud800")
)
_anything = st.recursive(
    _scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


def mutated(body: bytes, chance: random.Random) -> bytes:
    """A body with up to four bytes, spans or words changed."""
    changed = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        end = min(len(changed), at + chance.choice((0, 1, 1, 4, 30)))
        match chance.randrange(4):
            case 0:
                changed[at:end] = chance.choice(JUNK)
            case 1:
                changed[at:end] = bytes(chance.randrange(256) for _ in range(end - at))
            case 2:
                changed[at:at] = changed[at:end]
            case _:
                del changed[at:end]
    return bytes(changed)


def assert_is_well_formed(message: Message) -> None:
    """What ingest relies on: names that can be kept, places on the globe, finite quantities."""
    for element in message:
        if isinstance(element, Malformed):
            assert isinstance(element.payload, bytes)
            continue
        assert isinstance(element, Candidate)
        if element.sensor_id is not None:
            assert 0 < len(element.sensor_id) <= 120
            assert not UNWANTED.search(element.sensor_id), element
        assert_is_place(element.location)
        assert element.timestamp is None or is_zoned(element.timestamp)
        for name, value in element.values.items():
            name.encode()
            assert value is None or math.isfinite(value), element
            assert name in QUANTITY_NAMES or len(name) <= 120


def assert_is_place(location: Location | None) -> None:
    assert location is None or (abs(location.lat) <= 90 and abs(location.lng) <= 180)


def is_zoned(moment: datetime) -> bool:
    return moment.utcoffset() is not None


def read_safely(read: Callable[[bytes], Message], body: bytes) -> None:
    try:
        message = read(body)
    except EdgeError as error:
        assert error.status in (400, 413), body
    else:
        assert_is_well_formed(message)


def cases(count: int) -> Iterator[tuple[str, bytes]]:
    """Every reader in turn with every fixture, also with those of others, mutated."""
    chance = random.Random(20261125)
    bodies = [
        *devices.JSON_DEVICES.values(),
        *devices.LINES.values(),
        *published.PUBLISHED.values(),
    ]
    names = list(READERS)
    for number in range(count):
        yield names[number % len(names)], mutated(chance.choice(bodies), chance)


def test_fifty_thousand_mutated_messages_raise_nothing_else() -> None:
    for name, body in cases(CASES):
        read_safely(READERS[name], body)


@pytest.mark.parametrize("name", READERS)
@given(content=_anything)
def test_no_json_at_all_upsets_a_reader(name: str, content: Any) -> None:
    read_safely(READERS[name], json.dumps(content).encode())


@pytest.mark.parametrize("fixture", devices.JSON_DEVICES)
@given(field=st.integers(0, 30), strange=_anything)
def test_one_strange_field_never_refuses_a_message(fixture: str, field: int, strange: Any) -> None:
    """Whatever one field becomes, the other quantities are those of the message as it was."""
    known = json.loads(devices.JSON_DEVICES[fixture])
    names = sorted(known.keys() - NEEDED)
    if not names:
        return
    name = names[field % len(names)]
    body = json.dumps(known | {name: strange}).encode()
    for read in READERS.values():
        before = _quantities(read, devices.JSON_DEVICES[fixture])
        after = _quantities(read, body)
        lost = before.keys() - after.keys()
        assert len(lost) <= 1, (name, strange)


NEEDED: Final = {
    *("esp8266id", "sensordatavalues", "channels", "SensorId", "serialno", "serialNumber"),
    *("place", "Datastream", "result"),
    *("BME280", "PMS5003", "SDS0X1", "SCD30", "BMP280"),
}
"""Who sent it, and where all the values are."""


def _quantities(read: Callable[[bytes], Message], body: bytes) -> dict[str, float | None]:
    try:
        message = read(body)
    except EdgeError:
        return {}
    return {
        name: value
        for element in message
        if isinstance(element, Candidate)
        for name, value in element.values.items()
        if name in QUANTITY_NAMES
    }
