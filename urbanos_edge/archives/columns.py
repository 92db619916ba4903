"""Which column of an archive is what: by the user's map, else by its name."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from urbanos_edge.archives.rows import MapError
from urbanos_edge.names import LAT, LNG, MAP_ITEM, Known, plain_name
from urbanos_edge.reading import QUANTITY_NAMES
from urbanos_edge.units import NODE_UNITS, Unit, UnknownUnit, unit_named

_WHO_WHERE_WHEN: Final[dict[str, Sequence[str]]] = {
    "sensor_id": (
        "sensorid sensor stationid station siteid site deviceid device nodeid node "
        "locationid id name"
    ).split(),
    "lat": LAT,
    "lng": LNG,
    "timestamp": (
        "timestamp timestamputc time timeutc datetime datetimeutc utc observedat measuredat "
        "createdat date"
    ).split(),
}
"""Names in use, in order of preference, as `plain_name` writes them."""

TARGETS: Final = (*_WHO_WHERE_WHEN, *QUANTITY_NAMES)


class Source(msgspec.Struct, frozen=True):
    """Where a target comes from: a column, and for a quantity its unit."""

    column: str
    unit: Unit | None = None


class Columns(msgspec.Struct, frozen=True):
    """What each column of a file is; `ignored` names those that are nothing to us."""

    who_where_when: dict[str, str]
    quantities: dict[str, Source]
    ignored: list[str]

    def describe(self) -> str:
        """Say in one sentence what is read from where, in which unit."""
        parts = [
            f"{name} from '{source.column}'{f' ({source.unit.label})' if source.unit else ''}"
            for name, source in self.quantities.items()
        ]
        ignored = f"; ignores {', '.join(self.ignored)}" if self.ignored else ""
        sensor_id = self.who_where_when.get("sensor_id")
        return f"reads sensor_id from '{sensor_id}', {', '.join(parts)}{ignored}"


def parse_map(spec: str) -> dict[str, Source]:
    """Read `pm25=PM2.5,no2=NO2:ugm3@20C,lat=Y`: target, column and, for a quantity, unit.

    Raises:
        MapError: not of that form, an unknown target or unit, or a target named twice.
    """
    sources: dict[str, Source] = {}
    for item in MAP_ITEM.split(spec) if spec.strip() else ():
        target, equals, source = item.partition("=")
        target = target.strip()
        if not equals or not source.strip():
            raise MapError(
                f"'{item}' in the map is not of the form quantity=column or …=column:unit"
            )
        if target not in TARGETS:
            raise MapError(_unknown_target(target))
        if target in sources:
            raise MapError(f"the map names {target} twice")
        sources[target] = _parse_source(target, source)
    return sources


def assign(names: Sequence[str], chosen: Mapping[str, Source], known: Known) -> Columns:
    """Return what each of these columns is.

    Chosen sources come first. A map that names any quantity names all that are read; who, where
    and when are always found by name where the map is silent.

    Raises:
        MapError: a column whose name says µg/m³ of a gas, and no temperature.
    """
    by_name: dict[str, str] = {}
    for name in names:
        by_name.setdefault(plain_name(name), name)
    who_where_when = {
        target: by_name[synonym]
        for target, synonyms in reversed(_WHO_WHERE_WHEN.items())
        for synonym in reversed(synonyms)
        if synonym in by_name
    }
    quantities = {target: s for target, s in chosen.items() if target in QUANTITY_NAMES}
    who_where_when |= {t: s.column for t, s in chosen.items() if t not in QUANTITY_NAMES}
    if not quantities:
        quantities = _found(by_name, known, taken=set(who_where_when.values()))
    used = {*who_where_when.values(), *(source.column for source in quantities.values())}
    return Columns(who_where_when, quantities, [name for name in names if name not in used])


def split_header(line: str) -> tuple[list[str], str]:
    """Return the names of the columns and what separates them."""
    delimiter = max(",;\t|", key=line.count)
    cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    return [name.strip() for name in cells], delimiter


def check_map(chosen: Mapping[str, Source], names: Sequence[str]) -> None:
    """Refuse a map that names a column the file does not have.

    Raises:
        MapError: with the columns there are.
    """
    for source in chosen.values():
        if source.column not in names:
            raise MapError(f"there is no column '{source.column}'; there is: {', '.join(names)}")


def _found(by_name: Mapping[str, str], known: Known, taken: set[str]) -> dict[str, Source]:
    quantities: dict[str, Source] = {}
    for plain, column in by_name.items():
        if plain not in known or column in taken:
            continue
        quantity, unit = known[plain]
        if quantity not in quantities:
            quantities[quantity] = Source(
                column, _unit(quantity, unit) if unit else NODE_UNITS[quantity]
            )
    return quantities


def _parse_source(target: str, source: str) -> Source:
    column, colon, unit = source.strip().rpartition(":")
    if target not in QUANTITY_NAMES:
        return Source(source.strip())
    if not colon:
        return Source(unit, NODE_UNITS[target])
    return Source(column.strip(), _unit(target, unit))


def _unit(quantity: str, spelling: str) -> Unit:
    try:
        return unit_named(quantity, spelling)
    except UnknownUnit as error:
        raise MapError(error.message) from error


def _unknown_target(target: str) -> str:
    close = difflib.get_close_matches(target, TARGETS, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"'{target}' is neither a quantity nor a place in a reading{hint} ({', '.join(TARGETS)})"
