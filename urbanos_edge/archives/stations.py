"""The table of where sensors stand, for archives that do not say it themselves."""

from __future__ import annotations

import csv
from pathlib import Path

from urbanos_edge.archives.columns import Columns, assign, split_header
from urbanos_edge.archives.rows import ArchiveError, MapError, Refused, Stations, parse_number


def read_stations(path: Path) -> Stations:
    """Read a CSV with a column each for the sensor's id, its latitude and its longitude.

    Raises:
        ArchiveError: the file cannot be read, or a coordinate is no number.
        MapError: one of the three columns is missing.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ArchiveError(f"cannot read the stations in {path.name}: {error}") from error
    header, delimiter = split_header(lines[0] if lines else "")
    columns = assign(header, {}, {})
    _require(columns, header, path.name)
    return {
        record[columns.who_where_when["sensor_id"]]: _location(record, columns, path.name)
        for record in csv.DictReader(lines[1:], header, delimiter=delimiter, skipinitialspace=True)
    }


def _location(record: dict[str, str], columns: Columns, name: str) -> dict[str, float]:
    location = {}
    for target in ("lat", "lng"):
        cell = record[columns.who_where_when[target]] or ""
        try:
            degrees = parse_number(cell)
        except Refused:
            degrees = None
        if degrees is None:
            raise ArchiveError(f"'{cell}' in {name} is no {target}; correct or remove that row")
        location[target] = degrees
    return location


def _require(columns: Columns, header: list[str], name: str) -> None:
    missing = [t for t in ("sensor_id", "lat", "lng") if t not in columns.who_where_when]
    if missing:
        raise MapError(
            f"{name} has no column for {' and '.join(missing)}; it has: {', '.join(header)}"
        )
