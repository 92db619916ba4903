"""The parts of a vendor's message, however they are spelled: objects, numbers, names and places.

Vendors' messages come from firmware that nobody will mend, so nothing here refuses a message for
one strange part: what cannot be read is None.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import numpy as np

from urbanos_edge.adapters import NOWHERE, Location, Malformed
from urbanos_edge.errors import BadRequest, ReadingRejected
from urbanos_edge.names import LONGEST_NAME, Meaning
from urbanos_edge.quality.quality import channels_disagree
from urbanos_edge.reading import QUANTITIES, QUANTITY_NAMES

LONGEST_NUMBER: Final = 40
"""Characters of a number that came as text."""
LONGEST_SENDER: Final = 120
MAX_ASIDE: Final = 100
"""Fields of one message that are set aside; what is more is not even counted."""
_LONGEST_INTEGER: Final = 18
_BOUNDS: Final = {quantity.name: quantity for quantity in QUANTITIES}
_SPOILED: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters and halves of characters: no name has them."""
_NO_NUMBER: Final = re.compile(
    r'("[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z))|[-+]?\b(?:nan|inf(?:inity)?)\b',
    re.DOTALL | re.IGNORECASE,
)
"""Texts, to step over, and what firmware prints for a number that is none (C: `nan`, `-nan`)."""
_SINCE_1970: Final = (
    (5_000_000_000, 1_000_000_000),
    (5_000_000_000_000, 1_000_000),
    (5_000_000_000_000_000, 1_000),
)
"""Below which count since 1970 it is of which unit, in ns, as InfluxDB 3 guesses; others are ns."""


def json_value(body: bytes) -> Any:
    """Read JSON; numbers beyond a double are let through, and NaN and Infinity are null.

    Raises:
        BadRequest: not JSON.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _lenient(body)


def json_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object, as `json_value` does.

    Raises:
        BadRequest: not JSON, or no object.
    """
    found = json_value(body)
    if not isinstance(found, dict):
        raise BadRequest("the body is no JSON object", code="invalid_json")
    return found


def number(given: object) -> float | None:
    """A finite number, also one in a text; None for anything else, truth values among it."""
    if type(given) is float:
        return given if math.isfinite(given) else None
    if isinstance(given, str) and len(given) <= LONGEST_NUMBER and "_" not in given:
        try:
            given = float(given)
        except ValueError:
            return None
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    try:
        value = float(given)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def sender(given: object) -> str | None:
    """A sender's name for itself; None when it has none, or none that can be kept."""
    name = str(given) if isinstance(given, int) and not isinstance(given, bool) else given
    if not isinstance(name, str):
        return None
    name = name.strip()
    return name if 0 < len(name) <= LONGEST_SENDER and not _SPOILED.search(name) else None


def place(lat: object, lng: object) -> Location | None:
    """A place on the globe; none for a unit that does not know where it stands."""
    north, east = number(lat), number(lng)
    if north is None or east is None or abs(north) > 90 or abs(east) > 180:
        return None
    found = Location(north, east)
    return None if found == NOWHERE else found


def mean(quantity: str, given: Collection[float]) -> float | None:
    """The mean of what is possible: a failed measurement, often -1, would hide in it.

    Where nothing is possible, the mean of all shows it.
    """
    bounds = _BOUNDS.get(quantity)
    possible = [value for value in given if bounds and bounds.low <= value <= bounds.high]
    counted = possible or given
    return number(sum(counted) / len(counted)) if counted else None


def moment(given: object) -> datetime | None:
    """A moment in RFC 3339; one without a zone is in UTC."""
    if not isinstance(given, str):
        return None
    try:
        found = datetime.fromisoformat(given.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def unit_ns(count: float) -> int:
    """In which unit somebody counts since 1970: its nanoseconds, by the size of the number."""
    return next((unit for limit, unit in _SINCE_1970 if abs(count) < limit), 1)


def disagree(a_ugm3: float | None, b_ugm3: float | None) -> bool:
    """Whether the two channels of a monitor disagree about PM2.5, where both say something."""
    if a_ugm3 is None or b_ugm3 is None:
        return False
    with np.errstate(over="ignore"):
        return bool(channels_disagree(np.array([a_ugm3]), np.array([b_ugm3]))[0])


def malformed(message: str, code: str, payload: bytes) -> Malformed:
    return Malformed(ReadingRejected(message, code=code), payload)


class _Field(msgspec.Struct, gc=False):
    """A field as it was given, and what was measured, in the node's unit."""

    name: str
    value: float | None
    measured: float
    is_told: bool


class Values:
    """What one message measured: one value of each quantity, and what was set aside."""

    def __init__(self) -> None:
        self._found: dict[str, _Field] = {}
        self._aside: dict[str, float | None] = {}

    def take(self, name: str, given: object, meaning: Meaning | None) -> None:
        """Note a field; what means nothing, is no number or repeats a quantity is set aside.

        The first field of a quantity counts, but for one that a map tells of.
        """
        value = number(given)
        measured = number(meaning.value(value)) if meaning and value is not None else None
        if meaning is None or measured is None:
            self.set_aside(name, value)
            return
        earlier = self._found.get(meaning.quantity)
        if earlier is not None and (earlier.is_told or not meaning.is_told):
            self.set_aside(name, value)
            return
        if earlier is not None:
            self.set_aside(earlier.name, earlier.value)
        self._found[meaning.quantity] = _Field(name, value, measured, meaning.is_told)

    def set_aside(self, name: str, value: float | None = None) -> None:
        """Keep a value under a name that no quantity has, so that ingest counts it."""
        if len(self._aside) < MAX_ASIDE:
            kept = _SPOILED.sub("?", name[:LONGEST_NAME])
            self._aside[kept] = None if kept in QUANTITY_NAMES else value

    def join(self, others: Values) -> bool:
        """Add others, unless both have the same quantity."""
        if not self._found.keys().isdisjoint(others._found):
            return False
        self._found |= others._found
        for name, value in others._aside.items():
            self.set_aside(name, value)
        return True

    def all(self) -> dict[str, float | None]:
        return {**self._aside, **{name: field.measured for name, field in self._found.items()}}

    @property
    def quantities(self) -> frozenset[str]:
        return frozenset(self._found)


def _lenient(body: bytes) -> Any:
    text = _NO_NUMBER.sub(lambda found: found[1] or "null", body.decode("utf-8", "replace"))
    try:
        return json.loads(text, parse_int=_integer)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadRequest("the body is not JSON", code="invalid_json") from error


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)
