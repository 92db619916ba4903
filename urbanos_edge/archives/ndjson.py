"""One JSON object a line: readings as the node takes them, or flat objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, BinaryIO

import msgspec

from urbanos_edge.archives.columns import Columns, Source, assign
from urbanos_edge.archives.rows import (
    Refused,
    Rejected,
    Row,
    Stations,
    finite,
    parse_number,
    parse_time,
)
from urbanos_edge.names import NAMES

_SHAPES_KEPT = 256


class ObjectReader:
    """Reads JSON objects, each by its own keys.

    An object in the shape of `POST /api/v1/data/ingest` passes as it is; with a map, or in any
    other shape, its keys are columns, those of `values` and `location` among them.
    """

    def __init__(self, chosen: Mapping[str, Source], stations: Stations) -> None:
        self._chosen = chosen
        self._stations = stations
        self._columns_of = lru_cache(_SHAPES_KEPT)(self._assign)

    def rows(self, stream: BinaryIO, after: int) -> Iterator[Row | Rejected]:
        """Yield what each line after line `after` says; empty lines are nothing."""
        for number, line in enumerate(stream, start=1):
            if number <= after or not line.strip():
                continue
            try:
                ingest = self._read(line)
            except Refused as refused:
                yield Rejected(number, refused.reason)
            else:
                yield Row(number, ingest["timestamp"], ingest)

    def keys(self, lines: Iterable[bytes]) -> list[str]:
        """Return the columns that occur in these lines, in order."""
        names: dict[str, None] = {}
        for line in lines:
            try:
                names |= dict.fromkeys(_flatten(_decode(line)))
            except Refused:
                continue
        return list(names)

    def _read(self, line: bytes) -> dict[str, Any]:
        fields = _decode(line)
        if self._chosen or not _is_ingest(fields):
            return self._from_columns(_flatten(fields))
        if not any(value is not None for value in fields.get("values", {"aqi": 0}).values()):
            raise Refused("no_value")
        ingest = {**fields, "timestamp": _moment(fields.get("timestamp"))}
        self._place(ingest, fields.get("sensor_id"))
        return ingest

    def _from_columns(self, fields: dict[str, Any]) -> dict[str, Any]:
        columns = self._columns_of(tuple(fields))
        named = {target: fields.get(name) for target, name in columns.who_where_when.items()}
        ingest: dict[str, Any] = {"timestamp": _moment(named.get("timestamp"))}
        if named.get("sensor_id") in (None, ""):
            raise Refused("no_sensor_id")
        ingest["sensor_id"] = str(named["sensor_id"])
        ingest["values"] = _values(fields, columns)
        lat, lng = _degrees(named.get("lat")), _degrees(named.get("lng"))
        if lat is not None and lng is not None:
            ingest["location"] = {"lat": lat, "lng": lng}
        self._place(ingest, ingest["sensor_id"])
        return ingest

    def _place(self, ingest: dict[str, Any], sensor_id: Any) -> None:
        if ingest.get("location") is None and sensor_id in self._stations:
            ingest["location"] = self._stations[sensor_id]

    def _assign(self, names: tuple[str, ...]) -> Columns:
        return assign(names, self._chosen, NAMES)


def _decode(line: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(line)
    except msgspec.DecodeError:
        raise Refused("unreadable_row") from None
    if not isinstance(fields, dict):
        raise Refused("unreadable_row")
    return fields


def _is_ingest(fields: dict[str, Any]) -> bool:
    source_design = {"location", "type", "aqi"} <= fields.keys()
    return isinstance(fields.get("values"), dict) or source_design


def _flatten(fields: dict[str, Any]) -> dict[str, Any]:
    flat = dict(fields)
    for group in ("location", "values"):
        if isinstance(flat.get(group), dict):
            flat |= flat.pop(group)
    return flat


def _moment(value: Any) -> datetime:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Refused("unreadable_time")
    return parse_time(str(value))


def _values(fields: dict[str, Any], columns: Columns) -> dict[str, float]:
    values = {}
    for name, source in columns.quantities.items():
        value = _number(fields.get(source.column))
        if value is not None:
            convert = source.unit.convert if source.unit else None
            values[name] = value if convert is None else convert(value)
    if not values:
        raise Refused("no_value")
    return values


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
