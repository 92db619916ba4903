"""InfluxDB's line protocol, and what the node's fields and tags are in it.

    measurement,tag=value,… field=value,… timestamp

A line becomes a reading of the sensor that a tag names. Lines that say different quantities of one
sensor at one moment are one reading, as they are one row in InfluxDB; a field called `value` has
the name of its measurement. A field whose value cannot be read is set aside and does not spoil its
line: airRohr sends times and words without the quotes that they need.
Source: InfluxData, line protocol reference; the escapes as models/points.go reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import msgspec

from urbanos_edge.adapters import Candidate, Location, Malformed, airrohr, parts
from urbanos_edge.adapters.parts import Values, malformed, number, place, sender
from urbanos_edge.clock import EPOCH
from urbanos_edge.errors import BadRequest, BodyTooLarge
from urbanos_edge.names import FieldMap, Meaning, plain_key

SOURCE: Final = "line-protocol"
MAX_LINES: Final = 10_000
PRECISIONS: Final = {
    **dict.fromkeys(("n", "ns", "nanosecond"), 1),
    **dict.fromkeys(("u", "µ", "us", "microsecond"), 1_000),
    **dict.fromkeys(("ms", "millisecond"), 1_000_000),
    **dict.fromkeys(("s", "second"), 1_000_000_000),
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    **dict.fromkeys(("", "auto"), 0),
}
"""Nanoseconds of a timestamp's unit, by its names in versions 1, 2 and 3 of the API; 0 is a guess.

Versions 1 and 2 take what comes without a unit for nanoseconds, and so seconds for 1970. A guess
takes real nanoseconds for the same."""
_LONGEST_TIME: Final = 20
_HOST: Final = "host"
"""The tag that every line of one Telegraf has, whichever device it is about."""
SHOWN: Final = 200
"""Characters of a line that are shown to its sender."""
_SKIPPED: Final = re.compile(r"(?:[ \t\r\n\0]++|#[^\n]*+)*+")
"""Before a line: blanks, blank lines, comments. A body of nothing else must leave no trail."""
_MEASUREMENT: Final = re.compile(r"((?:\\[^\n]|[^, \n\\]|\\)++)")
_TAG: Final = re.compile(r",((?:\\[^\n]|[^,= \n\\]|\\)++)=((?:\\[^\n]|[^,= \n\\]|\\)*+)")
_FIELD: Final = re.compile(
    r'((?:\\[^\n]|[^,= \n\\]|\\)++)=(?:"((?:\\.|[^"\\])*+)"|([^, \r\n"]*+))(?=[, \t\r\n]|\Z)',
    re.DOTALL,
)
"""Never backtracks: `++` gives nothing back, so what does not match costs no more than its length.
A text may have line feeds in it."""
_GAP: Final = re.compile(r"[ \t]+")
_TIME: Final = re.compile(r"[ \t]+(-?\d+)(?=[ \t\r\n]|\Z)", re.ASCII)
_END: Final = re.compile(r"[ \t]*\r?(?:\n|\Z)")
_ESCAPED: Final = re.compile(r"\\([,= ])")
_ESCAPED_TEXT: Final = re.compile(r'\\(["\\])')
_INTEGER: Final = re.compile(r"([+-]?\d+)[iu]", re.ASCII)


class Line(msgspec.Struct, gc=False):
    """A point; `number` is that of its line, from 1, `timestamp` in the precision of the body."""

    number: int
    text: str
    measurement: str
    tags: dict[str, str]
    fields: dict[str, float | str | None]
    timestamp: int | None


class BadLine(msgspec.Struct, gc=False):
    """A line that nobody can read."""

    number: int
    text: str
    reason: str


class Lines(msgspec.Struct):
    """A message, and for each of its elements number and text of the line it began with."""

    message: list[Candidate | Malformed]
    numbers: list[int]
    texts: list[str]


class _Unreadable(Exception):
    """Why a line is none."""


def read(body: bytes, precision: str, fields: FieldMap) -> Lines:
    """Read a body of lines; those that cannot be read are in the message, too, and say why.

    Raises:
        BadRequest: a precision that is none.
        BodyTooLarge: more than `MAX_LINES` lines.
    """
    unit_ns = PRECISIONS.get(precision)
    if unit_ns is None:
        raise BadRequest(f"'{precision[:40]}' is no precision", code="invalid")
    gathering = _Gathering(unit_ns, fields)
    for count, line in enumerate(parse(body.decode("utf-8", "surrogateescape"))):
        if count == MAX_LINES:
            raise BodyTooLarge(f"more than {MAX_LINES} lines; send them in parts")
        gathering.add(line)
    return gathering.lines()


def parse(text: str) -> Iterator[Line | BadLine]:
    """Read lines one after the other; comments and blank ones are stepped over."""
    at, number_of_line = 0, 1
    while True:
        start = _end_of(_SKIPPED, text, at)
        number_of_line += text.count("\n", at, start)
        if start == len(text):
            return
        try:
            line, at = _line(text, start, number_of_line)
            yield line
        except _Unreadable as error:
            at = text.find("\n", start) + 1 or len(text)
            yield BadLine(number_of_line, text[start:at].rstrip("\r\n"), str(error))
        number_of_line += text.count("\n", start, at)


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _line(text: str, start: int, number_of_line: int) -> tuple[Line, int]:
    """One line, and where the next begins."""
    measurement = _MEASUREMENT.match(text, start)
    if measurement is None:
        raise _Unreadable("it has no measurement")
    tags, at = _tags(text, measurement.end())
    fields, at = _fields(text, _end_of(_GAP, text, at))
    timestamp, at = _timestamp(text, at)
    end = _END.match(text, at)
    if end is None:
        raise _Unreadable("after its fields comes something that is no timestamp")
    name = _unescaped(measurement[1])
    return Line(number_of_line, text[start:at], name, tags, fields, timestamp), end.end()


def _tags(text: str, at: int) -> tuple[dict[str, str], int]:
    tags = {}
    while found := _TAG.match(text, at):
        tags[_unescaped(found[1])] = _unescaped(found[2])
        at = found.end()
    if text[at : at + 1] == ",":
        raise _Unreadable("a tag has no value")
    if text[at : at + 1] not in (" ", "\t"):
        raise _Unreadable("it has no fields")
    return tags, at


def _fields(text: str, at: int) -> tuple[dict[str, float | str | None], int]:
    fields: dict[str, float | str | None] = {}
    while True:
        found = _FIELD.match(text, at)
        if found is None:
            raise _Unreadable("a field has no value, or a text no end")
        key, words, bare = found.groups()
        fields[_unescaped(key)] = _bare(bare) if words is None else _text(words)
        at = found.end()
        if text[at : at + 1] != ",":
            return fields, at
        at += 1


def _timestamp(text: str, at: int) -> tuple[int | None, int]:
    found = _TIME.match(text, at)
    if found is None:
        return None, at
    if len(found[1]) > _LONGEST_TIME:
        raise _Unreadable("its timestamp has too many digits")
    return int(found[1]), found.end()


def _bare(given: str) -> float | None:
    integer = _INTEGER.fullmatch(given)
    return number(integer[1] if integer else given)


def _text(given: str) -> str:
    return _ESCAPED_TEXT.sub(r"\1", given) if "\\" in given else given


def _unescaped(given: str) -> str:
    return _ESCAPED.sub(r"\1", given) if "\\" in given else given


class _Point(msgspec.Struct):
    """What has been said so far of a sensor at a moment."""

    line: Line
    sensor_id: str | None
    is_named_by_host: bool
    timestamp: datetime | None
    location: Location | None
    values: Values


class _Gathering:
    """Lines becoming a message."""

    def __init__(self, unit_ns: int, fields: FieldMap) -> None:
        self._unit_ns = unit_ns
        self._fields = fields
        self._points: list[_Point] = []
        self._lines = Lines([], [], [])
        self._open: dict[tuple[str, datetime | None], _Point] = {}
        self._tags: dict[tuple[str | None, datetime, str], dict[str, str]] = {}
        """With which a host said a quantity of a moment."""

    def add(self, line: Line | BadLine) -> None:
        try:
            if isinstance(line, BadLine):
                raise _Unreadable(line.reason)
            point = self._point(line)
            self._tell_apart(point)
            self._join(point)
        except _Unreadable as error:
            self._put(line, malformed(str(error), "invalid_line", _bytes(line.text)))

    def lines(self) -> Lines:
        """All of them: the unreadable ones first, then the readings in order."""
        for point in self._points:
            self._put(point.line, _candidate(point))
        return self._lines

    def _put(self, line: Line | BadLine, element: Candidate | Malformed) -> None:
        self._lines.message.append(element)
        self._lines.numbers.append(line.number)
        self._lines.texts.append(_bytes(line.text[:SHOWN]).decode("utf-8", "replace"))

    def _tell_apart(self, point: _Point) -> None:
        """Refuse what would take the place of another device's values, all called as their host."""
        if not point.is_named_by_host or point.timestamp is None:
            return
        said = [
            (point.sensor_id, point.timestamp, quantity) for quantity in point.values.quantities
        ]
        tags = point.line.tags
        if any(self._tags.get(one, tags) != tags for one in said):
            raise _Unreadable(
                f"another device of host '{point.sensor_id}' has said this of the same moment; "
                "give each a tag of its own, like 'sensor'"
            )
        self._tags.update(dict.fromkeys(said, tags))

    def _join(self, point: _Point) -> None:
        """Add to what was said of the same sensor and moment, unless it says the same quantity."""
        if point.sensor_id is not None:
            key = point.sensor_id, point.timestamp
            earlier = self._open.get(key)
            if earlier is not None and earlier.values.join(point.values):
                earlier.location = earlier.location or point.location
                return
            self._open[key] = point
        self._points.append(point)

    def _point(self, line: Line) -> _Point:
        tags = {plain_key(name): value for name, value in line.tags.items()}
        where: dict[str, object] = {}
        values = Values()
        is_ppd = airrohr.has_counts(line.fields)
        for name, given in line.fields.items():
            key = plain_key(name)
            if key in self._fields.lat or key in self._fields.lng:
                where[key] = given
            else:
                meant = line.measurement if key == "value" else name
                values.take(meant, given, self._meaning(meant, is_ppd))
        where = tags | where
        named_by = next(filter(tags.get, self._fields.sensor), "")
        return _Point(
            line,
            _named(tags.get(named_by)),
            named_by == _HOST,
            self._moment(line.timestamp),
            place(_first(where, self._fields.lat), _first(where, self._fields.lng)),
            values,
        )

    def _meaning(self, name: str, is_ppd: bool) -> Meaning | None:
        """What a field is; the particles that a PPD42 counts are only what a map tells."""
        meaning = self._fields.meaning(name)
        is_count = is_ppd and name in airrohr.COUNTS
        return None if is_count and meaning and not meaning.is_told else meaning

    def _moment(self, timestamp: int | None) -> datetime | None:
        if timestamp is None:
            return None
        unit_ns = self._unit_ns or parts.unit_ns(timestamp)
        try:
            return EPOCH + timedelta(microseconds=timestamp * unit_ns // 1000)
        except OverflowError as error:
            raise _Unreadable("its timestamp is beyond the year 9999") from error


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _candidate(point: _Point) -> Candidate:
    return Candidate(
        sensor_id=point.sensor_id,
        location=point.location,
        timestamp=point.timestamp,
        source=SOURCE,
        values=point.values.all(),
    )


def _named(given: str | None) -> str | None:
    name = sender(given)
    if given is not None and name is None:
        raise _Unreadable("the name of its sensor is too long or has control characters")
    return name


def _first(given: dict[str, object], names: tuple[str, ...]) -> object:
    """What the first of these names has that is there and not empty."""
    return next((given[name] for name in names if given.get(name) not in (None, "")), None)
