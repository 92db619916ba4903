"""airRohr units: their own format ('send data to own API') and that of sensor.community's push.

Both are JSON with a list of names and values, the values as text; neither has a time. A name is
that of the chip and of what it measured (`SDS_P1`); the push sends the chips one by one and leaves
their names out. P0, P1 and P2 are PM1, PM10 and PM2.5, pressure is in Pa.
Source: opendata-stuttgart/sensors-software, airrohr-firmware/airrohr-firmware.ino.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from urbanos_edge.adapters import Candidate, Message
from urbanos_edge.adapters.parts import Values, json_object, malformed, place, sender
from urbanos_edge.names import OUTSIDE, Meaning, airrohr_meaning

SOURCE: Final = "airrohr"
_CHIP: Final = re.compile(rf"{OUTSIDE}[A-Z][A-Z0-9]*_")
_SENDER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*-\S+")
"""As the headers have it: the board, and its number."""
_PARTICLES_PIN: Final = "1"
COUNTS: Final = frozenset(("P1", "P2"))
"""What a PPD42 calls its particles per volume, as other chips call a mass."""
_PPD_MARK: Final = "ratioP"
"""Only a PPD42 sends ratios."""


def read(body: bytes, x_sensor: str = "") -> Message:
    """Read what a unit sends to an API of one's own.

    The header names the board, `esp8266id` is so called on every board, and names it where the
    header is missing. A GPS's own time is left out: it stands still while there is no fix.

    Raises:
        BadRequest: no JSON object.
    """
    unit = json_object(body)
    sensor_id = _sender(x_sensor) or _sender_of(unit)
    return _message(body, sensor_id, unit)


def read_push(body: bytes, x_sensor: str, x_pin: str = "") -> Message:
    """Read what a unit pushes to sensor.community: one chip of it.

    The pin tells the chips of a unit apart. Each is a sensor of its own, as it is there, because
    they report one after the other; the one for particles (pin 1) has the unit's own name.

    Raises:
        BadRequest: no JSON object.
    """
    unit = json_object(body)
    sensor_id = _sender(x_sensor) or _sender_of(unit)
    pin = x_pin.strip()
    if sensor_id is not None and pin.isdecimal() and pin != _PARTICLES_PIN:
        sensor_id = sender(f"{sensor_id}-{pin}")
    return _message(body, sensor_id, unit)


def has_counts(names: Iterable[str]) -> bool:
    """Whether these are the fields of a unit with a PPD42."""
    return any(name.startswith(_PPD_MARK) for name in names)


def _message(body: bytes, sensor_id: str | None, unit: dict[str, Any]) -> Message:
    if sensor_id is None:
        return [malformed("the message does not say which unit sent it", "no_sensor_id", body)]
    fields = list(_fields(unit))
    is_ppd = has_counts(name for name, _ in fields)
    values, where = Values(), {}
    for name, given in fields:
        plain = name.removeprefix("GPS_")
        if plain in ("lat", "lon"):
            where[plain] = given
        else:
            values.take(name, given, _meaning(name, is_ppd))
    location = place(where.get("lat"), where.get("lon"))
    if location is not None and not values.all():
        return []  # the GPS of a push, alone
    return [Candidate(sensor_id=sensor_id, location=location, source=SOURCE, values=values.all())]


def _meaning(name: str, is_ppd: bool) -> Meaning | None:
    if is_ppd and name in COUNTS:
        return None
    return airrohr_meaning(_CHIP.sub("", name, count=1))


def _fields(unit: dict[str, Any]) -> Iterator[tuple[str, object]]:
    listed = unit.get("sensordatavalues")
    for field in listed if isinstance(listed, list) else ():
        if isinstance(field, dict) and isinstance(field.get("value_type"), str):
            yield field["value_type"], field.get("value")


def _sender(header: str) -> str | None:
    name = sender(header)
    return name if name and _SENDER.fullmatch(name) else None


def _sender_of(unit: dict[str, Any]) -> str | None:
    number = sender(unit.get("esp8266id"))
    return sender(f"esp8266-{number}") if number else None
