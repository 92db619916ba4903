"""AirGradient monitors: what they push, and what they show at `/measures/current`.

Both have the same fields and no time. Values are as measured: what the monitor itself corrected
(`pm02Compensated`, `atmpCompensated`) is set aside, so that a correction has one place only.
Source: airgradienthq/arduino, docs/local-server.md and src/AgValue.cpp; for version 1 of the local
API, the PyPI package `airgradient`.
"""

from __future__ import annotations

from typing import Any, Final

from urbanos_edge.adapters import Candidate, Message
from urbanos_edge.adapters.parts import (
    Values,
    disagree,
    json_object,
    malformed,
    mean,
    number,
    sender,
)
from urbanos_edge.names import Meaning
from urbanos_edge.units import NODE_UNITS

SOURCE: Final = "airgradient"
_QUANTITIES: Final = {
    "pm01": "pm1",
    "pm02": "pm25",
    "pm10": "pm10",
    "atmp": "temperature",
    "rhum": "humidity",
    # Version 1 of the local API.
    "pm25": "pm25",
    "temperature": "temperature",
    "humidity": "humidity",
}
_MEANINGS: Final = {
    name: Meaning(quantity, NODE_UNITS[quantity]) for name, quantity in _QUANTITIES.items()
}
_NOT_MEASURED: Final = frozenset(
    (
        "serialno",
        "serialNumber",
        "firmware",
        "firmwareVersion",
        "model",
        "fwMode",
        "ledMode",
        "channels",
    )
)


def read(body: bytes, serial: str = "") -> Message:
    """Read a monitor's measures; the serial is in the URL of a push, else in the message.

    A monitor with two particle sensors gives their mean, and both in `channels`; where the mean of
    a quantity is missing it is taken from there.

    Raises:
        BadRequest: no JSON object.
    """
    measures = json_object(body)
    named = (serial, measures.get("serialno"), measures.get("serialNumber"))
    sensor_id = next(filter(None, map(sensor_named, named)), None)
    if sensor_id is None:
        return [malformed("the message has no serial number", "no_sensor_id", body)]
    values = Values()
    for name, given in measures.items():
        if name not in _NOT_MEASURED:
            values.take(name, given, _MEANINGS.get(name))
    channels = _channels(measures)
    for name, meaning in _MEANINGS.items():
        both = mean(meaning.quantity, _given(channels, name).values())
        if both is not None and meaning.quantity not in values.quantities:
            values.take(name, both, meaning)
    pm25 = _given(channels, "pm02")
    return [
        Candidate(
            sensor_id=sensor_id,
            source=SOURCE,
            values=values.all(),
            channels_disagree=disagree(pm25.get("1"), pm25.get("2")),
        )
    ]


def sensor_named(serial: object) -> str | None:
    """`airgradient-ecda3b1eaaaf`; None where there is no serial."""
    name = sender(serial)
    return sender(f"{SOURCE}-{name.lower()}") if name else None


def _channels(measures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What each particle sensor says, by its number: "1" and "2"."""
    channels = measures.get("channels")
    if not isinstance(channels, dict):
        return {}
    return {which: said for which, said in channels.items() if isinstance(said, dict)}


def _given(channels: dict[str, dict[str, Any]], name: str) -> dict[str, float]:
    """The values of one field, by the number of the sensor."""
    given = {which: number(said.get(name)) for which, said in channels.items()}
    return {which: value for which, value in given.items() if value is not None}
