"""What a reader yields for each row of an archive, and how it reads single cells."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
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
_EPOCH_DIGITS: Final = {10: 1, 13: 1_000, 16: 1_000_000, 19: 1_000_000_000}
"""How many digits a count since 1970 has in our time, and its ticks per second."""
_COUNT: Final = re.compile(r"(\d+)(?:\.(\d*))?")
_DAY_END: Final = re.compile(r"(?<![\d:])24(?=[:.]?00)")
"""The hour 24, with which some end a day."""


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


def moment_of(given: object, zone: tzinfo = UTC, time_format: str = "") -> datetime:
    """Read a time as a record has it: a moment, or text or a number as `parse_time` reads it.

    Raises:
        Refused: anything else.
    """
    if isinstance(given, datetime):
        return given
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise Refused("unreadable_time")
    text = format(given, "f") if isinstance(given, float) else str(given).strip()
    return parse_time(text, zone, time_format)


def parse_time(text: str, zone: tzinfo = UTC, time_format: str = "") -> datetime:
    """Read ISO 8601 or a count of s, ms, µs or ns since 1970, or what is written in a format.

    Without a zone it is in `zone`.

    Raises:
        Refused: anything else.
    """
    # First, for fromisoformat takes some counts for compact dates.
    if text[4:5] != "-" and not time_format and (count := _COUNT.fullmatch(text)):
        return _from_epoch(count[1], count[2] or "")
    try:
        moment = _read_time(text, time_format)
    except ValueError:
        moment = _unusual_time(text, time_format)
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment


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


def _from_epoch(whole: str, fraction: str) -> datetime:
    ticks_per_s = _EPOCH_DIGITS.get(len(whole))
    if ticks_per_s is None:
        raise Refused("unreadable_time")
    finer = fraction[:6]
    ticks_per_s *= 10 ** len(finer)
    seconds, ticks = divmod(int(whole + finer), ticks_per_s)
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.replace(microsecond=ticks * 1_000_000 // ticks_per_s)


def _read_time(text: str, time_format: str) -> datetime:
    return datetime.strptime(text, time_format) if time_format else datetime.fromisoformat(text)


def _unusual_time(text: str, time_format: str) -> datetime:
    """Read the hour 24, `2026/05/17T22:23:06z` (PurpleAir) and `… 22:23:06 UTC` (SQL exports)."""
    plain = text.strip()
    if not time_format:
        plain = plain.upper().replace("/", "-")
        if plain.endswith("UTC"):
            plain = plain.removesuffix("UTC").rstrip() + "Z"
    day_begin = _DAY_END.sub("00", plain, count=1)
    try:
        return _read_time(day_begin, time_format) + timedelta(days=day_begin != plain)
    except (ValueError, OverflowError):
        raise Refused("unreadable_time") from None


def _unusual_number(text: str, decimal_comma: bool) -> float | None:
    if text.strip().lower() in _ABSENT:
        return None
    if decimal_comma and "." not in text:
        return parse_number(text.replace(",", "."))
    raise Refused("unreadable_value")
