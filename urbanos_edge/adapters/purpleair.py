"""PurpleAir monitors: what they show at `/json`.

Particles are the mean of both channels with the factor for standard particles (`cf_1`), which
EPA's correction starts from; what the monitor calls atmospheric is taken where that is missing.
Temperature is in °F, pressure in hPa.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from urbanos_edge.adapters import Candidate, Message
from urbanos_edge.adapters.parts import (
    Values,
    disagree,
    json_object,
    malformed,
    mean,
    number,
    place,
)
from urbanos_edge.names import Meaning
from urbanos_edge.units import NODE_UNITS, UNITS

SOURCE: Final = "purpleair"
_PARTICLES: Final = {"pm1": "pm1_0", "pm25": "pm2_5", "pm10": "pm10_0"}
_ALL_PARTICLES: Final = tuple(_PARTICLES.values())
_OTHERS: Final = {
    "current_temp_f": Meaning("temperature", UNITS["temperature"]["f"]),
    "current_humidity": Meaning("humidity", NODE_UNITS["humidity"]),
    "pressure": Meaning("pressure", NODE_UNITS["pressure"]),
}
_KNOWN: Final = frozenset(
    ("SensorId", "DateTime", "Geo", "Id", "lat", "lon", "place", "version", *_OTHERS)
)
_HARDWARE_ID: Final = re.compile(r"[0-9a-f]{1,2}(?::[0-9a-f]{1,2}){5}", re.I)
_TIME: Final = "%Y/%m/%dT%H:%M:%S"
_FIRST_YEAR: Final = 2015
"""There were no monitors before: an earlier time is that of a clock nobody has set."""


def read(body: bytes) -> Message:
    """Read a monitor's measures; one that stands inside a building gives none.

    Raises:
        BadRequest: no JSON object.
    """
    shown = json_object(body)
    if shown.get("place") == "inside":
        return []
    sensor_id = sensor_named(shown.get("SensorId"))
    if sensor_id is None:
        return [malformed("the message has no SensorId", "no_sensor_id", body)]
    return [
        Candidate(
            sensor_id=sensor_id,
            location=place(shown.get("lat"), shown.get("lon")),
            timestamp=_moment(shown.get("DateTime")),
            source=SOURCE,
            values=_values(shown).all(),
            channels_disagree=disagree(*channels(shown, _PARTICLES["pm25"])),
        )
    ]


def sensor_named(hardware_id: object) -> str | None:
    """`purpleair-84f3eb0801c2` for `84:f3:eb:8:1:c2`: firmware drops leading zeros."""
    if not isinstance(hardware_id, str) or not _HARDWARE_ID.fullmatch(hardware_id.strip()):
        return None
    octets = hardware_id.strip().lower().split(":")
    return f"{SOURCE}-{''.join(octet.zfill(2) for octet in octets)}"


def channels(shown: dict[str, Any], name: str) -> tuple[float | None, float | None]:
    """What channels A and B say of particles (`pm2_5`), in µg/m³."""
    for factor in ("cf_1", "atm"):
        a, b = number(shown.get(f"{name}_{factor}")), number(shown.get(f"{name}_{factor}_b"))
        if a is not None or b is not None:
            return a, b
    return None, None


def _values(shown: dict[str, Any]) -> Values:
    values = Values()
    for quantity, name in _PARTICLES.items():
        both = mean(quantity, [said for said in channels(shown, name) if said is not None])
        if both is not None:
            values.take(name, both, Meaning(quantity, NODE_UNITS[quantity]))
    for name, meaning in _OTHERS.items():
        if name in shown:
            values.take(name, shown[name], meaning)
    for name, given in shown.items():
        value = number(given)
        if name not in _KNOWN and (value is None or not name.startswith(_ALL_PARTICLES)):
            values.set_aside(name, value)
    return values


def _moment(given: object) -> datetime | None:
    """The time as `2026/05/17T22:23:06z`, in UTC."""
    if not isinstance(given, str):
        return None
    try:
        found = datetime.strptime(given.rstrip("zZ"), _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return found if found.year >= _FIRST_YEAR else None
