"""OpenAQ, version 3: what its locations are, and the latest that each says.

A location has a sensor for each quantity; a latest value names the sensor, and only the list of
locations says what that measures, in which unit. All of a location at one moment is one reading.
A field is called by both (`no2_ugm3`); gases by mass are set aside unless a map tells their
temperature. Source: docs.openaq.org, resources Locations and Latest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from urbanos_edge.adapters import Candidate, Location, Message
from urbanos_edge.adapters.parts import Values, json_object, moment, place
from urbanos_edge.errors import BadRequest
from urbanos_edge.names import FieldMap
from urbanos_edge.units import plain_unit

SOURCE: Final = "openaq"


class Station(msgspec.Struct, frozen=True):
    """A location: its number, where it stands, and the names of what its sensors measure."""

    id: int
    location: Location
    fields: Mapping[int, str]


def read_locations(body: bytes, since: datetime) -> list[Station]:
    """Read a list of locations, without those that are silent since then or have no place.

    Raises:
        BadRequest: not JSON, or no list of results.
    """
    stations = []
    for found in _results(body):
        number, location = found.get("id"), _place(found)
        heard = _moment(found.get("datetimeLast"))
        if isinstance(number, int) and location is not None and heard is not None and heard > since:
            stations.append(Station(number, location, _fields(found)))
    return stations


def read_latest(body: bytes, station: Station, names: FieldMap, since: datetime) -> Message:
    """Read what a location said last; what is not newer than `since` is left out.

    Raises:
        BadRequest: not JSON, or no list of results.
    """
    said: dict[datetime, Values] = {}
    where: dict[datetime, Location] = {}
    for found in _results(body):
        number, at = found.get("sensorsId"), _moment(found.get("datetime"))
        field = station.fields.get(number) if isinstance(number, int) else None
        if field is None or at is None or at <= since:
            continue
        said.setdefault(at, Values()).take(field, found.get("value"), names.meaning(field))
        where.setdefault(at, _place(found) or station.location)
    return [
        Candidate(
            sensor_id=f"{SOURCE}-{station.id}",
            location=where[at],
            timestamp=at,
            source=SOURCE,
            values=values.all(),
        )
        for at, values in sorted(said.items())
        if values.quantities
    ]


def _results(body: bytes) -> Iterator[dict[str, Any]]:
    results = json_object(body).get("results")
    if not isinstance(results, list):
        raise BadRequest("there are no 'results' in what came", code="changed_shape")
    return (result for result in results if isinstance(result, dict))


def _fields(found: dict[str, Any]) -> dict[int, str]:
    sensors = found.get("sensors")
    fields = {}
    for sensor in sensors if isinstance(sensors, list) else ():
        parameter = sensor.get("parameter") if isinstance(sensor, dict) else None
        if isinstance(parameter, dict) and isinstance(sensor.get("id"), int):
            name, unit = str(parameter.get("name")), str(parameter.get("units"))
            fields[sensor["id"]] = f"{name}_{plain_unit(unit)}"
    return fields


def _place(found: dict[str, Any]) -> Location | None:
    coordinates = found.get("coordinates")
    if not isinstance(coordinates, dict):
        return None
    return place(coordinates.get("latitude"), coordinates.get("longitude"))


def _moment(given: object) -> datetime | None:
    return moment(given.get("utc")) if isinstance(given, dict) else None
