"""Records of any JSON or CSV that somebody publishes, by a map that says what their fields are.

What is nested in a record is a field named by its way there (`properties.pm25`,
`geometry.coordinates.0`). The map and the names that mean something by themselves are those of
archives.
"""

from __future__ import annotations

import csv
import io
import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import chain, islice
from typing import Any, Final

import msgspec

from urbanos_edge.adapters import Candidate, Malformed, Message
from urbanos_edge.adapters.parts import Values, json_value, malformed, number, place, sender
from urbanos_edge.archives.columns import Columns, Source, assign, split_header
from urbanos_edge.archives.rows import Refused, moment_of
from urbanos_edge.errors import BadRequest
from urbanos_edge.names import NAMES, Meaning
from urbanos_edge.units import NODE_UNITS

MAX_RECORDS: Final = 10_000
MAX_FIELDS: Final = 200
"""Of one record; what is more is not looked at."""
MAX_NAMED: Final = 20
"""Fields that an error names."""

_AHEAD: Final = timedelta(minutes=5)
"""So far ahead of the node's clock a publisher's may be."""

Fields = Mapping[str, Any]


class Plan(msgspec.Struct, frozen=True):
    """How records are read.

    `prefix` begins the ids of all sensors; `sensor_id` is the one that all records are of, if they
    are. `records` is the way to their list in JSON, with points between the steps.
    """

    source: str
    prefix: str
    chosen: Mapping[str, Source] = {}
    records: str = ""
    sensor_id: str = ""
    time_format: str = ""
    zone: tzinfo = UTC


def read_json(body: bytes, plan: Plan, now: datetime | None = None) -> Message:
    """Read a list of objects, or one object.

    When summer time ends, an hour has the times of the one before; `now` tells which is meant.

    Raises:
        BadRequest: not JSON, no records there, or none of the fields that are needed.
        MapError: a field's name says µg/m³ of a gas, and no temperature.
    """
    found = _records(json_value(body), plan.records)
    return _read([_flat(record) for record in found], plan, now)


def read_csv(body: bytes, plan: Plan, now: datetime | None = None) -> Message:
    """Read rows under a header; where they are not separated by commas, numbers may have one.

    `now` is as in `read_json`.

    Raises:
        BadRequest: not UTF-8, no table, or none of the columns that are needed.
        MapError: a column's name says µg/m³ of a gas, and no temperature.
    """
    try:
        text = body.decode("utf-8-sig")
        lines = io.StringIO(text, newline="")
        header, delimiter = split_header(lines.readline())
        rows = csv.DictReader(lines, header, delimiter=delimiter, skipinitialspace=True)
        records = [_row(row, delimiter) for row in islice(rows, MAX_RECORDS + 1)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(f"what came is no table in UTF-8: {error}", code="invalid_csv") from error
    return _read(records, plan, now)


def _records(found: Any, way: str) -> list[dict[str, Any]]:
    for step in filter(None, way.split(".")):
        found = _inside(found, step)
    listed = found if isinstance(found, list) else [found]
    records = [record for record in listed if isinstance(record, dict)]
    if listed and not records:
        raise BadRequest("there are no records where they should be", code="changed_shape")
    return records


def _inside(found: Any, step: str) -> Any:
    if isinstance(found, dict) and step in found:
        return found[step]
    if isinstance(found, list) and step.isdecimal() and int(step) < len(found):
        return found[int(step)]
    there = ", ".join(list(found)[:MAX_NAMED]) if isinstance(found, dict) else "no object"
    raise BadRequest(f"there is no '{step}' in what came; there is: {there}", code="changed_shape")


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    waiting = deque(record.items())
    while waiting and len(flat) < MAX_FIELDS:
        way, value = waiting.popleft()
        if isinstance(value, dict):
            waiting.extend((f"{way}.{name}", inner) for name, inner in value.items())
        elif isinstance(value, list):
            waiting.extend((f"{way}.{index}", inner) for index, inner in enumerate(value))
        else:
            flat[way] = value
    return flat


def _row(row: Mapping[str | Any, Any], delimiter: str) -> dict[str, Any]:
    """A row without the cells that have no column; `1,5` becomes `1.5` where that is a number."""
    cells = {name: cell for name, cell in row.items() if name and cell}
    if delimiter == ",":
        return cells
    points = {name: cell.replace(",", ".") for name, cell in cells.items() if cell.count(",") == 1}
    return cells | {name: cell for name, cell in points.items() if number(cell) is not None}


def _read(records: Sequence[Fields], plan: Plan, now: datetime | None) -> Message:
    if len(records) > MAX_RECORDS:
        raise BadRequest(f"there are more than {MAX_RECORDS:,} records", code="too_many_readings")
    names = list(dict.fromkeys(chain.from_iterable(records)))
    if not names:
        return []
    columns = assign(names, plan.chosen, NAMES)
    _check(columns, names, plan)
    read = (_candidate(fields, columns, plan, now) for fields in records)
    return [element for element in read if element is not None]


def _check(columns: Columns, names: Sequence[str], plan: Plan) -> None:
    """Refuse what has changed its shape as a whole, rather than each record of it."""
    where = columns.who_where_when
    lacking = []
    if where.get("timestamp") not in names:
        lacking.append("the time")
    if not plan.sensor_id and where.get("sensor_id") not in names:
        lacking.append("the sensor")
    if not any(source.column in names for source in columns.quantities.values()):
        lacking.append("a quantity")
    if lacking:
        raise BadRequest(
            f"no field is {' or '.join(lacking)}; there is: {', '.join(names[:MAX_NAMED])}",
            code="changed_shape",
        )


def _candidate(
    fields: Fields, columns: Columns, plan: Plan, now: datetime | None
) -> Candidate | Malformed | None:
    """What a record says; None when it measured nothing."""
    values = _values(fields, columns.quantities.items())
    if not values.quantities:
        return None
    where = {target: fields.get(name) for target, name in columns.who_where_when.items()}
    named = sender(plan.sensor_id or where.get("sensor_id"))
    sensor_id = sender(f"{plan.prefix}-{named}") if named else None
    if sensor_id is None:
        return malformed("the record does not name its sensor", "no_sensor_id", _spelled(fields))
    timestamp = _moment(where.get("timestamp"), plan, now)
    if timestamp is None:
        return malformed("the record's time cannot be read", "no_timestamp", _spelled(fields))
    return Candidate(
        sensor_id=sensor_id,
        location=place(where.get("lat"), where.get("lng")),
        timestamp=timestamp,
        source=plan.source,
        values=values.all(),
    )


def _values(fields: Fields, quantities: Iterable[tuple[str, Source]]) -> Values:
    values = Values()
    for quantity, source in quantities:
        given = fields.get(source.column)
        if given is not None:
            unit = source.unit or NODE_UNITS[quantity]
            values.take(source.column, given, Meaning(quantity, unit))
    return values


def _moment(given: object, plan: Plan, now: datetime | None) -> datetime | None:
    """A time in UTC, of two that are called alike the second, once that has come."""
    try:
        moment = moment_of(given, plan.zone, plan.time_format)
        first, second = (moment.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    except (ValueError, OverflowError, Refused):
        return None
    has_come = now is None or second <= now + _AHEAD
    return second if second > first and has_come else first


def _spelled(fields: Fields) -> bytes:
    return json.dumps(fields).encode()
