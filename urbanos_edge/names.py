"""What a column of an archive, or a field of a message, means: a quantity in a unit, or a place.

Names are compared as `plain_name` writes them. What a name does not say is in the node's own unit,
but never a gas by mass: its factor depends on the temperature, which nobody can guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from urbanos_edge.errors import EdgeError
from urbanos_edge.reading import QUANTITIES, QUANTITY_NAMES
from urbanos_edge.units import BY_MASS, NODE_UNITS, UNITS, Unit, UnknownUnit, unit_named

LAT: Final = ("lat", "latitude", "gpslat")
LNG: Final = ("lng", "lon", "long", "longitude", "gpslon", "gpslng")
LONGEST_NAME: Final = 80
"""A longer name means nothing to the node."""
_SENSOR: Final = ("sensorid", "sensor", "node", "deviceid", "device", "station", "host")
_CHIP: Final = re.compile(
    r"(?:sds|pms|sps|sen5|hpm|npm|ips|bm[ep]|dht|htu|sht|scd|ds18b|aht|gps)[a-z0-9]*[_-]", re.I
)
"""What a field's name begins with when it says which chip measured it."""
OUTSIDE: Final = "(?!HECA_)"
"""Of the names of airRohr's chips, as a regular expression: HECA is the heater of a Nettigo unit,
whose own chip measures the air that it has warmed (nettigo/namf, src/sensors/heca)."""
_AIRROHR: Final = re.compile(
    rf"(?:[A-Z][A-Z0-9]*_)?(P[012])|{OUTSIDE}[A-Z][A-Z0-9]*_(temperature|humidity|pressure)"
)
"""A chip of an airRohr unit, in capitals, and what it measured."""
_SIGNS: Final = str.maketrans(
    "₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹µμ",  # noqa: RUF001
    "01234567890123456789uu",
)
"""CO₂ without its digit would be carbon monoxide."""
MAP_ITEM: Final = re.compile(r",(?=\s*\w+\s*=)")
"""A comma that starts the next item: a field may have commas in its name (`PM2,5`)."""

Known = Mapping[str, tuple[str, str]]
"""By plain name: the quantity, and the name of its unit ('' for the node's)."""


class FieldMapError(EdgeError):
    """A map of fields names what is no quantity, no unit, or nothing at all."""

    status = 422
    code = "bad_field_map"


class Meaning(msgspec.Struct, frozen=True):
    """A quantity, and the unit that it comes in; `is_told` when a map says so, not the name."""

    quantity: str
    unit: Unit
    is_told: bool = False

    def value(self, given: float) -> float:
        """What was given, in the node's unit."""
        unit = self.unit
        return (given + unit.before) * unit.times / unit.per


class FieldMap(msgspec.Struct, frozen=True):
    """How the devices of this node name things; `quantities` comes before what names mean anyway.

    `sensor` are the tags that may name a sensor, in order of preference; like `lat` and `lng` they
    are as `plain_key` writes them.
    """

    quantities: dict[str, Meaning] = {}
    sensor: tuple[str, ...] = _SENSOR
    lat: tuple[str, ...] = LAT
    lng: tuple[str, ...] = LNG

    def meaning(self, name: str) -> Meaning | None:
        return self.quantities.get(name) or meaning_of(name)


def parse_field_map(spec: str) -> FieldMap:
    """Read `pm25=fine dust,temperature=T1:f,sensor_id=station`: target, field and unit.

    A target may be named more than once.

    Raises:
        FieldMapError: not of that form, or an unknown target or unit.
    """
    quantities: dict[str, Meaning] = {}
    words: dict[str, list[str]] = {"sensor_id": [], "lat": [], "lng": []}
    for item in MAP_ITEM.split(spec) if spec.strip() else ():
        target, _, field = (part.strip() for part in item.partition("="))
        if not field:
            raise FieldMapError(f"'{item}' is not of the form quantity=field or …=field:unit")
        if target in words:
            words[target].append(plain_key(field))
        elif target in QUANTITY_NAMES:
            name, meaning = _mapped(target, field)
            quantities[name] = meaning
        else:
            targets = ", ".join((*words, *QUANTITY_NAMES))
            raise FieldMapError(f"'{target}' is neither a quantity nor a place in it ({targets})")
    sensor, lat, lng = (tuple(names) for names in words.values())
    return FieldMap(quantities, sensor + _SENSOR, lat + LAT, lng + LNG)


@lru_cache(maxsize=4096)
def _meaning_of(name: str) -> Meaning | None:
    vendors = _AIRROHR.fullmatch(name)
    if vendors:
        return airrohr_meaning(vendors[1] or vendors[2])
    plain = plain_name(name)
    chip = _CHIP.match(name)
    known = NAMES.get(plain) or (NAMES.get(plain_name(name[chip.end() :])) if chip else None)
    return _meaning(*known) if known else None


def meaning_of(name: str) -> Meaning | None:
    """What a field of this name is, None if that cannot be told."""
    return _meaning_of(name) if len(name) <= LONGEST_NAME else None


def airrohr_meaning(name: str) -> Meaning | None:
    """What a value of an airRohr unit is, by its name without the chip's; pressure is in Pa."""
    known = SENSOR_COMMUNITY_NAMES.get(name.lower())
    return _meaning(*known) if known else None


def plain_name(name: str) -> str:
    """Return `pm2.5ugm3` for `PM2_5 (µg/m³)`: lower case, a point only between digits."""
    folded = name.lower().translate(_SIGNS)
    between_digits = re.sub(r"(?<=\d)[^a-z0-9@]+(?=\d)", ".", folded)
    return re.sub(r"[^a-z0-9@.]|(?<!\d)\.|\.(?!\d)", "", between_digits)


@lru_cache(maxsize=4096)
def _plain_key(name: str) -> str:
    return plain_name(name)


def plain_key(name: str) -> str:
    """`plain_name` of a field or tag; nothing for one that is longer than any name in use."""
    return _plain_key(name) if len(name) <= LONGEST_NAME else ""


def _meaning(quantity: str, unit: str) -> Meaning | None:
    try:
        return Meaning(quantity, unit_named(quantity, unit) if unit else NODE_UNITS[quantity])
    except UnknownUnit:
        return None


def _mapped(quantity: str, field: str) -> tuple[str, Meaning]:
    name, colon, unit = field.rpartition(":")
    if not colon:
        return field, Meaning(quantity, NODE_UNITS[quantity], is_told=True)
    try:
        return name.strip(), Meaning(quantity, unit_named(quantity, unit), is_told=True)
    except UnknownUnit as error:
        raise FieldMapError(error.message) from error


def _names_with_units() -> dict[str, tuple[str, str]]:
    known = {}
    for quantity in QUANTITIES:
        for synonym in (quantity.name, *quantity.others):
            known[synonym] = (quantity.name, "")
            for unit in (*UNITS[quantity.name], *BY_MASS):
                known.setdefault(synonym + plain_name(unit), (quantity.name, unit))
    return known


NAMES: Final[Known] = _names_with_units()
"""Names in use, with or without a unit in them."""

SENSOR_COMMUNITY_NAMES: Final[Known] = {
    "p0": ("pm1", ""),
    "p1": ("pm10", ""),
    "p2": ("pm25", ""),
    "temperature": ("temperature", ""),
    "humidity": ("humidity", ""),
    "pressure": ("pressure", "Pa"),
}
"""Values of sensor.community (opendata-stuttgart/sensors-software, airrohr-firmware)."""
