"""Rows of text: plain CSV, the archive of sensor.community, and tables known by their columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, BinaryIO, Final

from urbanos_edge.archives.columns import Columns
from urbanos_edge.archives.records import Records
from urbanos_edge.archives.rows import (
    MapError,
    Refused,
    Rejected,
    Row,
    Stations,
    parse_number,
    parse_time,
)

SENSOR_COMMUNITY_HEADER: Final = {"sensor_id", "sensor_type", "location", "lat", "lon", "timestamp"}
_PARTICLE_COUNTERS: Final = {"PPD42NS"}
"""Chips whose P1 and P2 are particles per 0.01 cubic foot (airrohr-firmware), not a mass."""


class CellReader:
    """Reads rows of cells whose columns are settled.

    Raises:
        MapError: there is no column with the sensor's id, the time or any quantity.
    """

    def __init__(
        self, header: Sequence[str], columns: Columns, stations: Stations, delimiter: str
    ) -> None:
        _require(columns, header)
        self._delimiter = delimiter
        self._decimal_comma = delimiter != ","
        self._stations = stations
        self._quantities = [
            (name, header.index(source.column), source.unit.convert if source.unit else None)
            for name, source in columns.quantities.items()
        ]
        where = {target: header.index(name) for target, name in columns.who_where_when.items()}
        self._sensor = where["sensor_id"]
        self._time = where["timestamp"]
        self._place = (where["lat"], where["lng"]) if {"lat", "lng"} <= where.keys() else None
        self._chip = header.index("sensor_type") if set(header) >= SENSOR_COMMUNITY_HEADER else None

    def rows(self, stream: BinaryIO, after: int) -> Iterator[Row | Rejected]:
        """Yield what each row after line `after` says; the stream begins with the header.

        Raises:
            UnicodeDecodeError: the stream is not UTF-8.
        """
        with io.TextIOWrapper(stream, "utf-8-sig", newline="") as lines:
            table = csv.reader(lines, delimiter=self._delimiter, skipinitialspace=True)
            next(table, None)
            for cells in _records(table):
                if table.line_num > after and cells != []:
                    yield self._row(table.line_num, cells or ())

    def _row(self, line: int, cells: Sequence[str]) -> Row | Rejected:
        try:
            timestamp, ingest = self._read(cells)
        except Refused as refused:
            return Rejected(line, refused.reason)
        except IndexError:
            return Rejected(line, "unreadable_row")
        return Row(line, timestamp, ingest)

    def _read(self, cells: Sequence[str]) -> tuple[datetime, dict[str, Any]]:
        timestamp = parse_time(cells[self._time])
        sensor_id = cells[self._sensor]
        if not sensor_id:
            raise Refused("no_sensor_id")
        if self._chip is not None and cells[self._chip] in _PARTICLE_COUNTERS:
            raise Refused("particle_counts")
        ingest = {"sensor_id": sensor_id, "timestamp": timestamp, "values": self._values(cells)}
        location = self._location(cells) or self._stations.get(sensor_id)
        if location is not None:
            ingest["location"] = location
        return timestamp, ingest

    def _values(self, cells: Sequence[str]) -> dict[str, float]:
        values = {}
        decimal_comma = self._decimal_comma
        for name, index, convert in self._quantities:
            cell = cells[index]
            if cell and (value := parse_number(cell, decimal_comma)) is not None:
                values[name] = value if convert is None else convert(value)
        if not values:
            raise Refused("no_value")
        return values

    def _location(self, cells: Sequence[str]) -> dict[str, float] | None:
        if self._place is None:
            return None
        try:
            lat = parse_number(cells[self._place[0]], self._decimal_comma)
            lng = parse_number(cells[self._place[1]], self._decimal_comma)
        except Refused:
            raise Refused("unreadable_place") from None
        return None if lat is None or lng is None else {"lat": lat, "lng": lng}


class TableReader:
    """Reads rows of cells as records by the names of their columns, each cell as it stands."""

    def __init__(self, header: Sequence[str], records: Records, delimiter: str) -> None:
        self._header = header
        self._records = records
        self._delimiter = delimiter

    def rows(self, stream: BinaryIO, after: int) -> Iterator[Row | Rejected]:
        """Yield what each row after line `after` says; the stream begins with the header.

        Raises:
            UnicodeDecodeError: the stream is not UTF-8.
        """
        with io.TextIOWrapper(stream, "utf-8-sig", newline="") as lines:
            table = csv.reader(lines, delimiter=self._delimiter)
            next(table, None)
            for cells in _records(table):
                if table.line_num > after and cells != []:
                    yield self._row(table.line_num, cells or ())

    def _row(self, line: int, cells: Sequence[str]) -> Row | Rejected:
        if len(cells) != len(self._header):
            return Rejected(line, "unreadable_row")
        try:
            ingest = self._records.read(dict(zip(self._header, cells, strict=True)))
        except Refused as refused:
            return Rejected(line, refused.reason)
        return Row(line, ingest["timestamp"], ingest)


def _records(table: Any) -> Iterator[list[str] | None]:
    """Yield the records of a csv reader; None for one it cannot read, then go on."""
    while True:
        try:
            yield next(table)
        except StopIteration:
            return
        except csv.Error:
            yield None


def _require(columns: Columns, header: Sequence[str]) -> None:
    there = f"the file has: {', '.join(header)}"
    for target, what in (("sensor_id", "the sensor's id"), ("timestamp", "the time")):
        if target not in columns.who_where_when:
            raise MapError(f"no column is {what}; name it with --map {target}=COLUMN; {there}")
    if not columns.quantities:
        raise MapError(f"no column is a quantity; name one with --map pm25=COLUMN; {there}")
