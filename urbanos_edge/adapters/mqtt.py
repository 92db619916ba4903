"""What comes over MQTT: the topic says who speaks, and in which of the formats.

Sources: airgradienthq/arduino (`airgradient/readings/<serial>`); arendst/Tasmota, the `xsns_*`
drivers and `support_command.ino` (`tele/<name>/SENSOR`); Koenkk/zigbee2mqtt, the MQTT topics and
`advanced.last_seen` of its documentation (`zigbee2mqtt/<name>`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from urbanos_edge.adapters import Candidate, Location, Malformed, Message, airgradient, node_json
from urbanos_edge.adapters.parts import (
    Values,
    json_object,
    malformed,
    moment,
    number,
    place,
    sender,
    unit_ns,
)
from urbanos_edge.names import FieldMap, Meaning, meaning_of, plain_key
from urbanos_edge.units import NODE_UNITS, UnknownUnit, unit_named

TASMOTA: Final = "tasmota"
ZIGBEE: Final = "zigbee2mqtt"
OTHER: Final = "mqtt"
"""Of topics that nothing is known about."""
_AIRGRADIENT_TOPIC: Final = re.compile(r"(?:.+/)?airgradient/readings/([^/]+)")
_TASMOTA_TOPIC: Final = re.compile(r"tele/(.+)/SENSOR|(.+)/tele/SENSOR")
_ZIGBEE_TOPIC: Final = re.compile(r"zigbee2mqtt/(?!bridge/)(.+)")
_OWN_TOPIC: Final = re.compile(r"urbanos/([^/]+)/readings")
_INSIDE: Final = frozenset(("ESP32",))
"""Parts of a Tasmota message that tell how warm its processor is (`xsns_127_esp32.ino`)."""
_MAY_BE_INSIDE: Final = frozenset(("ANALOG",))
"""A thermistor (`xsns_02_analog.ino`), which in a Shelly watches over the relay: it counts where no
other chip has measured the same."""
_RADIO: Final = re.compile(r".+-[0-9A-F]{6,}", re.I)
"""A sensor that Tasmota hears over Bluetooth, by its kind and its address (`ATC-a1b2c3`); two
digits are the address of a chip on its own board (`BMP280-77`)."""
_SET_SINCE: Final = datetime(2016, 1, 1, tzinfo=UTC)
"""A clock behind this is one that was never set: Tasmota's own bound, and Zigbee2MQTT says 1970."""
_ZONED: Final = re.compile(r"(?:Z|[+-]\d\d:?\d\d)\s*\Z", re.I)
_SECOND_NS: Final = 1_000_000_000
_LATEST_S: Final = 253_402_300_799
"""The end of the year 9999, since 1970."""

Read = Callable[[str, bytes, FieldMap], Message]


def read(topic: str, payload: bytes, fields: FieldMap) -> Message:
    """Read a message by its topic; nothing comes of one that measures nothing.

    Raises:
        BadRequest: not JSON.
        Unprocessable: more readings than one message may hold.
    """
    name, reader = _named(topic)
    return reader(name, payload, fields) if payload.strip() else ()


def sender_of(topic: str) -> str | None:
    """What the sender of a topic is called; None where its name is none that can be kept."""
    name, reader = _named(topic)
    if reader is _read_own:
        return sender(name)
    if reader is _read_airgradient:
        return airgradient.sensor_named(name)
    return sender(f"{_SOURCES[reader]}-{name}")


def _named(topic: str) -> tuple[str, Read]:
    """Whom a topic names, and how they speak."""
    for pattern, reader in _TOPICS:
        found = pattern.fullmatch(topic)
        if found:
            return next(filter(None, found.groups())), reader
    return topic, _read_other


def _read_airgradient(serial: str, payload: bytes, _: FieldMap) -> Message:
    return airgradient.read(payload, serial)


def _read_own(sensor_id: str, payload: bytes, _: FieldMap) -> Message:
    """The node's own JSON; nobody speaks for another there."""
    message, _is_many = node_json.read_object_or_array(payload)
    return [_spoken_by(sensor_id, element, payload) for element in message]


def _spoken_by(
    sensor_id: str, element: Candidate | Malformed, payload: bytes
) -> Candidate | Malformed:
    if isinstance(element, Malformed):
        return element
    if sender(sensor_id) != sensor_id:
        return malformed("the topic names no sensor", "no_sensor_id", payload)
    if element.sensor_id not in (None, sensor_id):
        refusal = f"on the topic of '{sensor_id}' nobody may write for another sensor"
        return malformed(refusal, "not_your_sensor", msgspec.json.encode(element))
    return msgspec.structs.replace(element, sensor_id=sensor_id)


def _read_tasmota(name: str, payload: bytes, fields: FieldMap) -> Message:
    """Each chip is an object by its name; the units stand beside them.

    What it only hears by radio stands somewhere else, so each of that is a sensor of its own.
    Without an offset (`SetOption52 1`) the time is that of a place nobody names, so it is not used.
    """
    telemetry = json_object(payload)
    units = _tasmota_units(telemetry)
    at = _zoned(telemetry.get("Time"))
    sensors: dict[str, Values] = {}
    for chip, measured in sorted(telemetry.items(), key=lambda one: one[0] in _MAY_BE_INSIDE):
        if isinstance(measured, dict) and chip not in _INSIDE:
            sensor = f"{name}-{chip}" if _RADIO.fullmatch(chip) else name
            values = sensors.setdefault(sensor, Values())
            for field, given in measured.items():
                values.take(f"{chip}_{field}", given, _tasmota_meaning(chip, field, units, fields))
    return [one for each, said in sensors.items() for one in _one(TASMOTA, each, said, at)]


def _tasmota_units(telemetry: dict[str, Any]) -> dict[str, Meaning | None]:
    return {
        "Temperature": _in_unit("temperature", telemetry.get("TempUnit", "C")),
        "Humidity": Meaning("humidity", NODE_UNITS["humidity"]),
        "Pressure": _in_unit("pressure", telemetry.get("PressureUnit", "hPa")),
    }


def _tasmota_meaning(
    chip: str, field: str, units: dict[str, Meaning | None], fields: FieldMap
) -> Meaning | None:
    mapped = fields.quantities.get(f"{chip}_{field}") or fields.quantities.get(field)
    if mapped or field in units:
        return mapped or units[field]
    return meaning_of(field) if field.startswith("PM") else None


def _in_unit(quantity: str, spelling: object) -> Meaning | None:
    """None for a unit that the node does not know: its values are set aside."""
    try:
        return Meaning(quantity, unit_named(quantity, str(spelling)))
    except UnknownUnit:
        return None


def _read_zigbee(name: str, payload: bytes, fields: FieldMap) -> Message:
    state = json_object(payload)
    seen = state.pop("last_seen", None)
    return _one(ZIGBEE, name, _flat(state, fields), _seen_at(seen))


def _read_other(topic: str, payload: bytes, fields: FieldMap) -> Message:
    """A JSON object of names and numbers, as the fields of line protocol are read."""
    measured = json_object(payload)
    at = _seen_at(measured.pop("timestamp", None))
    location = place(_take_out(measured, fields.lat), _take_out(measured, fields.lng))
    return _one(OTHER, topic, _flat(measured, fields), at, location)


def _take_out(measured: dict[str, Any], names: Sequence[str]) -> Any:
    """Take out the first field with one of these names, as `plain_key` writes them."""
    found = {plain_key(field): field for field in measured}
    field = next((found[name] for name in names if name in found), None)
    return None if field is None else measured.pop(field)


def _flat(measured: dict[str, Any], fields: FieldMap) -> Values:
    values = Values()
    for field, given in measured.items():
        values.take(field, given, fields.meaning(field))
    return values


def _one(
    source: str, name: str, values: Values, at: datetime | None, location: Location | None = None
) -> Sequence[Candidate]:
    """The one reading of a device; none where nothing is measured: most devices are no sensors."""
    sensor_id = sender(f"{source}-{name}")
    if not values.quantities or sensor_id is None:
        return ()
    measured = values.all()
    return [
        Candidate(
            sensor_id=sensor_id, source=source, timestamp=at, location=location, values=measured
        )
    ]


def _zoned(given: object) -> datetime | None:
    """A moment that says its zone, by a clock that was set."""
    if not isinstance(given, str) or not _ZONED.search(given):
        return None
    return _if_set(moment(given))


def _seen_at(given: object) -> datetime | None:
    """The same, or counted since 1970 in seconds or parts of them."""
    count = number(given)
    if count is None:
        return _zoned(given)
    seconds = count / (_SECOND_NS // unit_ns(count))
    return _if_set(datetime.fromtimestamp(seconds, UTC)) if 0 <= seconds <= _LATEST_S else None


def _if_set(at: datetime | None) -> datetime | None:
    return at if at is not None and at >= _SET_SINCE else None


_TOPICS: Final[tuple[tuple[re.Pattern[str], Read], ...]] = (
    (_AIRGRADIENT_TOPIC, _read_airgradient),
    (_OWN_TOPIC, _read_own),
    (_ZIGBEE_TOPIC, _read_zigbee),
    (_TASMOTA_TOPIC, _read_tasmota),
)
_SOURCES: Final[dict[Read, str]] = {
    _read_tasmota: TASMOTA,
    _read_zigbee: ZIGBEE,
    _read_other: OTHER,
}
