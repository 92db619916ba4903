"""One reading from one record: named fields, in whatever kind of file they stood."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from urbanos_edge.archives.columns import Columns, Source, assign, check_map
from urbanos_edge.archives.rows import Refused, Stations, finite, moment_of, parse_number
from urbanos_edge.names import NAMES
from urbanos_edge.reading import QUANTITY_NAMES
from urbanos_edge.units import NODE_UNITS, UnknownUnit, unit_named

OWN: Final = frozenset(("sensor_id", "timestamp", "received_at", "stored_at", "grid_id", "grading"))
"""Columns that together only an export of a node has."""
OPENAQ: Final = frozenset(
    "location_id sensors_id location datetime lat lon parameter units value".split()
)
"""Columns of OpenAQ's archive: a row for each quantity (docs.openaq.org, 'About Open Data on AWS',
2025)."""
_SHAPES_KEPT: Final = 256


class Records:
    """Reads records, each by its own fields.

    A row of a node's own export and one of OpenAQ's archive are known by their columns, a reading
    in the shape of `POST /api/v1/data/ingest` passes as it is; with a map, or of anything else, the
    fields are columns, those of `values` and `location` among them.
    """

    def __init__(self, chosen: Mapping[str, Source], stations: Stations) -> None:
        self._chosen = chosen
        self._stations = stations
        self._columns_of = lru_cache(_SHAPES_KEPT)(self._assign)

    def read(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return a record as the node takes readings.

        Raises:
            Refused: it is none.
        """
        if fields.keys() >= OPENAQ:
            ingest = self._from_openaq(fields)
        elif self._chosen or not (_is_ingest(fields) or fields.keys() >= OWN):
            ingest = self._from_columns(flatten(fields))
        elif fields.keys() >= OWN:
            ingest = _from_export(fields)
        else:
            ingest = _as_it_is(fields)
        if ingest.get("location") is None and ingest.get("sensor_id") in self._stations:
            ingest["location"] = self._stations[ingest["sensor_id"]]
        return ingest

    def describe(self, names: Sequence[str]) -> str:
        """Say in one sentence what is read from where.

        Raises:
            MapError: the map names a column that is not among them.
        """
        if set(names) >= OPENAQ:
            return "columns of OpenAQ, reads sensor_id from 'location_id', each row's own parameter"
        check_map(self._chosen, names)
        if set(names) >= OWN and not self._chosen:
            return "an export of a node, reads what its sensors said"
        return assign(names, self._chosen, NAMES).describe()

    def _from_columns(self, fields: dict[str, Any]) -> dict[str, Any]:
        columns = self._columns_of(tuple(fields))
        named = {target: fields.get(name) for target, name in columns.who_where_when.items()}
        ingest = _who_where_when(*map(named.get, ("sensor_id", "timestamp", "lat", "lng")))
        values = {}
        for name, source in columns.quantities.items():
            value = _number(fields.get(source.column))
            if value is not None:
                convert = source.unit.convert if source.unit else None
                values[name] = value if convert is None else convert(value)
        if not values:
            raise Refused("no_value")
        return ingest | {"values": values}

    def _from_openaq(self, fields: dict[str, Any]) -> dict[str, Any]:
        """One quantity of a reading: the node puts together what is of one moment."""
        who = (fields["location_id"], fields["datetime"], fields["lat"], fields["lon"])
        parameter = str(fields["parameter"])
        quantity, _ = NAMES.get(parameter.lower(), ("", ""))
        if not quantity:
            raise Refused("unknown_quantity")
        ingest = _who_where_when(*who)
        value = _number(fields["value"])
        if value is None:
            raise Refused("no_value")
        convert = self._unit(quantity, parameter, str(fields["units"])).convert
        return ingest | {"values": {quantity: value if convert is None else convert(value)}}

    def _unit(self, quantity: str, parameter: str, units: str) -> Any:
        """The unit that a row names, or that the map has for its parameter."""
        source = self._chosen.get(quantity)
        if source is not None and source.column == parameter and source.unit is not None:
            return source.unit
        try:
            return unit_named(quantity, units) if units else NODE_UNITS[quantity]
        except UnknownUnit:
            raise Refused("unknown_unit") from None

    def _assign(self, names: tuple[str, ...]) -> Columns:
        return assign(names, self._chosen, NAMES)


def flatten(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with those of `location` and `values` among them."""
    flat = dict(fields)
    for group in ("location", "values"):
        if isinstance(flat.get(group), dict):
            flat |= flat.pop(group)
    return flat


def _is_ingest(fields: dict[str, Any]) -> bool:
    source_design = {"location", "type", "aqi"} <= fields.keys()
    return isinstance(fields.get("values"), dict) or source_design


def _as_it_is(fields: dict[str, Any]) -> dict[str, Any]:
    if not any(value is not None for value in fields.get("values", {"aqi": 0}).values()):
        raise Refused("no_value")
    return {**fields, "timestamp": moment_of(fields.get("timestamp"))}


def _from_export(fields: dict[str, Any]) -> dict[str, Any]:
    """What a sensor said, before anything was made of it: `<quantity>_raw` where it was corrected.

    Indexes and flags are left out: the node that takes it in has its own, but that two channels
    disagreed cannot be found out again.
    """
    ingest = _who_where_when(*map(fields.get, ("sensor_id", "timestamp", "lat", "lng")))
    given = {name: (fields.get(f"{name}_raw"), fields.get(name)) for name in QUANTITY_NAMES}
    values = {}
    for name, (raw, shown) in given.items():
        value = _number(raw)
        value = _number(shown) if value is None else value
        if value is not None:
            values[name] = value
    reported_aqi = _number(fields.get("reported_aqi"))
    if not values and reported_aqi is None:
        raise Refused("no_value")
    said = {"source": fields.get("source"), "type": fields.get("pollution_type")}
    ingest |= {name: word for name, word in said.items() if word is not None}
    if "channels" in str(fields.get("flags")).split(","):
        ingest["channels_disagree"] = True
    return ingest | {"aqi": reported_aqi, "values": values}


def _who_where_when(sensor_id: Any, timestamp: Any, lat: Any, lng: Any) -> dict[str, Any]:
    ingest: dict[str, Any] = {"timestamp": moment_of(timestamp)}
    name = _name(sensor_id)
    if not name:
        raise Refused("no_sensor_id")
    ingest["sensor_id"] = name
    degrees = {"lat": _degrees(lat), "lng": _degrees(lng)}
    if None not in degrees.values():
        ingest["location"] = degrees
    return ingest


def _name(sensor_id: Any) -> str:
    """A sensor's name; the numbers of a column with gaps may have become floats."""
    if isinstance(sensor_id, float):
        if not math.isfinite(sensor_id):
            return ""
        return str(int(sensor_id)) if sensor_id.is_integer() else str(sensor_id)
    return "" if sensor_id is None else str(sensor_id)


def _degrees(value: Any) -> float | None:
    try:
        return _number(value)
    except Refused:
        raise Refused("unreadable_place") from None


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        return parse_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("unreadable_value")
    return finite(float(value))
