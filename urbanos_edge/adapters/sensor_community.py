"""What sensor.community publishes of an area: the measurements of the last five minutes, a list.

Each is of one chip, which is a sensor of its own there and here. Values are text, the time is UTC
without saying so, pressure is in Pa. What stands inside a building gives nothing.
Source: the answers of `/airrohr/v1/filter/area=lat,lng,km` and of `/static/v1/data.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from urbanos_edge.adapters import Candidate, Malformed, Message
from urbanos_edge.adapters.parts import Values, json_value, malformed, moment, place, sender
from urbanos_edge.errors import BadRequest
from urbanos_edge.names import airrohr_meaning

SOURCE: Final = "sensor-community"
PREFIX: Final = "sensorcommunity"
_PARTICLE_COUNTERS: Final = frozenset(("PPD42NS",))
"""Their P1 and P2 are counts and no mass."""


def read(body: bytes) -> Message:
    """Read a list of measurements; what has none that the node knows is left out.

    Raises:
        BadRequest: not JSON, or no list of objects.
    """
    listed = json_value(body)
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise BadRequest("what came is no list of measurements", code="changed_shape")
    read = map(_candidate, listed)
    return [element for element in read if element is not None]


def _candidate(measured: dict[str, Any]) -> Candidate | Malformed | None:
    chip, where = _object(measured, "sensor"), _object(measured, "location")
    if str(where.get("indoor")) == "1":
        return None
    values = Values()
    for name, given in _fields(measured):
        values.take(name, given, airrohr_meaning(name))
    if not values.quantities or _object(chip, "sensor_type").get("name") in _PARTICLE_COUNTERS:
        return None
    number, at = sender(chip.get("id")), moment(measured.get("timestamp"))
    sensor_id = sender(f"{PREFIX}-{number}") if number else None
    if sensor_id is None or at is None:
        message = "the measurement names no sensor or no time"
        return malformed(message, "no_sensor_id", json.dumps(measured).encode())
    return Candidate(
        sensor_id=sensor_id,
        location=place(where.get("latitude"), where.get("longitude")),
        timestamp=at,
        source=SOURCE,
        values=values.all(),
    )


def _fields(measured: dict[str, Any]) -> Iterator[tuple[str, object]]:
    listed = measured.get("sensordatavalues")
    for field in listed if isinstance(listed, list) else ():
        if isinstance(field, dict) and isinstance(field.get("value_type"), str):
            yield field["value_type"], field.get("value")


def _object(found: dict[str, Any], name: str) -> dict[str, Any]:
    inner = found.get(name)
    return inner if isinstance(inner, dict) else {}
