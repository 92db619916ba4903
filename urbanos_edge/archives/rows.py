"""What a reader yields for each row of an archive, and how it reads single cells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from urbanos_edge.errors import EdgeError

REASONS: Final = {
    "no_value": "no value in the row",
    "no_sensor_id": "no sensor id",
    "unreadable_time": "unreadable or missing time",
    "unreadable_value": "a value that is no number",
    "unreadable_place": "a coordinate that is no number",
    "unreadable_row": "not a row of this format",
    "particle_counts": "particle counts, not µg/m³",
    "unknown_quantity": "a quantity that the node does not know",
    "unknown_unit": "a unit that the node does not know, or a gas in µg/m³ without its temperature",
}
"""Why a row of an archive is no reading: stable code, and the words for people."""

_ABSENT: Final = frozenset(
    ("", "na", "n/a", "#n/a", "nan", "null", "none", "-", "--", "unavailable", "unknown")
)
_EPOCH_DIGITS: Final = {10: 1, 13: 1_000, 16: 1_000_000}
"""How many digits a count since 1970 has in our time, and its ticks per second."""


Stations = Mapping[str, dict[str, float]]
"""Where sensors stand: by sensor id, `lat` and `lng` in degrees."""


class ArchiveError(EdgeError):
    """The file cannot be read, or not to its end."""

    status = 422
    code = "archive_unreadable"


class MapError(ArchiveError):
    """The map does not fit: a wrong quantity or unit, or a column the file does not have."""

    code = "bad_map"


class Row(msgspec.Struct, gc=False, tag=True):
    """One reading of an archive.

    `line` is where its row ends, counted from 1 with the header. `ingest` is the reading as the
    node takes it, in the node's units; its `timestamp` is the same aware moment as `timestamp`.
    """

    line: int
    timestamp: datetime
    ingest: dict[str, Any]


class Rejected(msgspec.Struct, gc=False, tag=True):
    """A row that is no reading; `reason` is a key of `REASONS`."""

    line: int
    reason: str


class Refused(Exception):
    """Raised inside a reader: this row is no reading."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_time(text: str) -> datetime:
    """Read ISO 8601 or a count of s, ms or µs since 1970; without a zone it is UTC.

    Raises:
        Refused: anything else.
    """
    if text.isdecimal():  # first: fromisoformat takes some epoch counts for compact dates
        return _from_epoch(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _unusual_time(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def parse_number(text: str, decimal_comma: bool = False) -> float | None:
    """Read a finite number; None when the cell says that there is no value.

    Raises:
        Refused: text that is no number, or an infinite one.
    """
    try:
        value = float(text)
    except ValueError:
        return _unusual_number(text, decimal_comma)
    return value if value - value == 0.0 else finite(value)  # the usual case without a call


def finite(value: float) -> float | None:
    """Return the value; None for NaN, which archives write for 'none'.

    Raises:
        Refused: an infinite value.
    """
    if value - value == 0.0:
        return value
    if math.isnan(value):
        return None
    raise Refused("unreadable_value")


def _from_epoch(text: str) -> datetime:
    ticks_per_s = _EPOCH_DIGITS.get(len(text))
    if ticks_per_s is None:
        raise Refused("unreadable_time")
    seconds, ticks = divmod(int(text), ticks_per_s)
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.replace(microsecond=ticks * 1_000_000 // ticks_per_s)


def _unusual_time(text: str) -> datetime:
    """Read `2026/05/17T22:23:06z` (PurpleAir) and `2026-05-17 22:23:06 UTC` (SQL exports)."""
    plain = text.strip().upper().replace("/", "-")
    if plain.endswith("UTC"):
        plain = plain.removesuffix("UTC").rstrip() + "Z"
    try:
        return datetime.fromisoformat(plain)
    except ValueError:
        raise Refused("unreadable_time") from None


def _unusual_number(text: str, decimal_comma: bool) -> float | None:
    if text.strip().lower() in _ABSENT:
        return None
    if decimal_comma and "." not in text:
        return parse_number(text.replace(",", "."))
    raise Refused("unreadable_value")
