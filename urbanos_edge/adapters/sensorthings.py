"""SensorThings observations (OGC 18-088, version 1.1), as FROST and its clients create them.

An observation says which datastream it belongs to and little else: what that measures is known
from the node's field map (`pm25=sta-999`), or from what the message itself says of its datastream.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from urbanos_edge.adapters import Candidate, Location, Message
from urbanos_edge.adapters.parts import (
    Values,
    json_object,
    malformed,
    moment,
    place,
    sender,
)
from urbanos_edge.names import FieldMap, Meaning
from urbanos_edge.units import UnknownUnit, unit_named

SOURCE: Final = "sensorthings"
_PREFIX: Final = "sta"


def read(body: bytes, fields: FieldMap, datastream: str = "") -> Message:
    """Read one observation; `datastream` is the id in the URL, where there is one.

    Raises:
        BadRequest: no JSON object.
    """
    observation = json_object(body)
    inline = _object(observation, "Datastream")
    sensor_id = sensor_named(datastream.strip("'")) or sensor_named(inline.get("@iot.id"))
    if sensor_id is None:
        return [malformed("the observation names no datastream", "no_sensor_id", body)]
    values = Values()
    meaning = fields.quantities.get(sensor_id) or _meaning(fields, inline)
    values.take(sensor_id, observation.get("result"), meaning)
    return [
        Candidate(
            sensor_id=sensor_id,
            location=_location(observation),
            timestamp=_moment(observation),
            source=SOURCE,
            values=values.all(),
        )
    ]


def sensor_named(datastream: object) -> str | None:
    """`sta-999`; ids of datastreams are numbers or texts."""
    name = sender(datastream)
    return sender(f"{_PREFIX}-{name}") if name else None


def _meaning(fields: FieldMap, inline: dict[str, Any]) -> Meaning | None:
    """What a datastream measures by the name of its property, or its own, and by its unit."""
    symbol = _object(inline, "unitOfMeasurement").get("symbol")
    for name in (_object(inline, "ObservedProperty").get("name"), inline.get("name")):
        meaning = fields.meaning(name) if isinstance(name, str) else None
        if meaning is not None:
            return _in_unit(meaning, symbol) if symbol else meaning
    return None


def _in_unit(meaning: Meaning, symbol: object) -> Meaning | None:
    try:
        return Meaning(meaning.quantity, unit_named(meaning.quantity, str(symbol)))
    except UnknownUnit:
        return None


def _moment(observation: dict[str, Any]) -> datetime | None:
    """When it was observed, of an interval its end, else when the result was there."""
    for name in ("phenomenonTime", "resultTime"):
        given = observation.get(name)
        if isinstance(given, str):
            found = moment(given.rpartition("/")[2])
            if found is not None:
                return found
    return None


def _location(observation: dict[str, Any]) -> Location | None:
    """The place of the feature of interest, where it is a point."""
    feature = _object(_object(observation, "FeatureOfInterest"), "feature")
    point = feature.get("coordinates")
    if feature.get("type") != "Point" or not isinstance(point, list) or len(point) < 2:
        return None
    return place(lat=point[1], lng=point[0])


def _object(parent: dict[str, Any], name: str) -> dict[str, Any]:
    found = parent.get(name)
    return found if isinstance(found, dict) else {}
