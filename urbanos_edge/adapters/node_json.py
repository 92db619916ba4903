"""The node's own format: one JSON object, an array of them, or one per line (NDJSON).

The usual message is decoded in one go, a large one as plain readings where it can be. Only when
that fails is it taken apart, so that what is good in it is kept and what is bad is named by its
place.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

import msgspec

from urbanos_edge.adapters import Candidate, Malformed, Message, plain
from urbanos_edge.adapters.parts import number
from urbanos_edge.clock import to_rfc3339
from urbanos_edge.errors import BadRequest, ReadingRejected, Unprocessable
from urbanos_edge.reading import Reading

MAX_READINGS: Final = 10_000
_MAX_LINES: Final = 2 * MAX_READINGS
"""Blank ones among them."""
_MAX_BRACES: Final = 8 * MAX_READINGS
"""What has more opening braces is taken apart, which ends at the first reading that is too many: of
two bytes each may become an object of a hundred. A usual reading has three."""
_MAX_LENIENT_BYTES: Final = 64 << 10
"""A longer reading that is no strict JSON is not looked at closer."""
_ONE: Final = msgspec.json.Decoder(Candidate)
_MANY: Final = msgspec.json.Decoder(list[Candidate])
_PLAIN: Final = msgspec.json.Decoder(list[plain.PlainReading])
_PLAIN_LINES: Final = msgspec.json.Decoder(plain.PlainReading)
LARGE_BYTES: Final = 4096
"""From here on, some thirty readings, columns are cheaper than one reading after the other."""
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_WITH_NUMBERS: Final = frozenset(("values", "location"))
_STRUCTURE: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{]+|[\]}]+|,', re.DOTALL)
"""What cuts an array into its elements: strings (to step over), runs of brackets, commas.

A string that nobody ends goes to the end of the text: else each quote in it would be tried anew."""


def read_object_or_array(body: bytes) -> tuple[Message, bool]:
    """Return the candidates and whether they came as an array.

    Raises:
        BadRequest: not JSON.
        Unprocessable: neither object nor array, or more than `MAX_READINGS` elements.
    """
    is_array = body.lstrip()[:1] == b"["
    message = _read_array(body) if is_array else [_read_object(body)]
    _check_count(len(message))
    return message, is_array


def read_lines(body: bytes) -> Message:
    """Return a candidate for every line that is not blank.

    Raises:
        Unprocessable: more than `MAX_READINGS` lines.
    """
    if body.count(b"\n") > _MAX_LINES:
        raise _too_many()
    lines = [line for line in body.split(b"\n") if line and not line.isspace()]
    _check_count(len(lines))
    if len(body) >= LARGE_BYTES:
        message = plain.read(_PLAIN_LINES.decode_lines, body)
        if message is not None and len(message) == len(lines):
            return message
    return [_read_element(line) for line in lines]


def write(reading: Reading) -> bytes:
    """Spell a reading out in the form this module reads.

    Raises:
        OverflowError: its time is outside the years 1 to 9999.
    """
    return msgspec.json.encode(
        {
            "sensor_id": reading.sensor_id,
            "location": {"lat": reading.lat, "lng": reading.lng},
            "timestamp": to_rfc3339(reading.timestamp_us),
            "source": reading.source,
            "type": reading.pollution_type,
            "priority": reading.priority,
            "aqi": reading.reported_aqi,
            "values": reading.values,
            "channels_disagree": reading.channels_disagree,
        }
    )


def _check_count(count: int) -> None:
    if count > MAX_READINGS:
        raise _too_many()


def _too_many() -> Unprocessable:
    return Unprocessable(
        f"more than {MAX_READINGS:,} readings in one request; send them in parts",
        code="too_many_readings",
    )


def _read_array(body: bytes) -> Message:
    if body.count(b"{") > _MAX_BRACES:
        return _take_apart(body)
    if len(body) >= LARGE_BYTES:
        message = plain.read(_PLAIN.decode, body)
        if message is not None:
            return message
    try:
        return _MANY.decode(body)
    except _UNREADABLE:
        return _take_apart(body)


def _read_object(body: bytes) -> Candidate | Malformed:
    try:
        return _ONE.decode(body)
    except _UNREADABLE:
        return _read_alone(body)


def _take_apart(body: bytes) -> Message:
    """Read an array element by element, so that one nobody can read costs no other."""
    return [_read_element(element) for element in _elements(body.strip())]


def _elements(body: bytes) -> list[bytes]:
    """Cut an array at its own commas, whatever lies between them.

    Raises:
        BadRequest: its brackets do not match.
        Unprocessable: they are more than `MAX_READINGS`.
    """
    depth, start, elements = 0, 1, []
    for token in _STRUCTURE.finditer(body):
        first = token[0][:1]
        if first == b"," and depth == 1:
            elements.append(body[start : token.start()])
            start = token.end()
            _check_count(len(elements) + 1)
        elif first in b"[{":
            depth += len(token[0])
        elif first in b"]}":
            depth -= len(token[0])
            if depth <= 0:
                break
    if depth != 0 or token.end() != len(body):
        raise BadRequest("the body is not JSON: its brackets do not match", code="invalid_json")
    elements.append(body[start:-1])
    return elements


def _read_element(text: bytes) -> Candidate | Malformed:
    try:
        return _ONE.decode(text)
    except _UNREADABLE:
        pass
    try:
        return _as_candidate(_lenient(text))
    except (BadRequest, ReadingRejected) as error:
        return Malformed(ReadingRejected(error.message, code=error.code), text)


def _read_alone(body: bytes) -> Candidate | Malformed:
    """Raises BadRequest where `_read_element` would blame one element of many."""
    parsed = _lenient(body)
    if not isinstance(parsed, dict):
        raise Unprocessable("expected a reading or an array of readings", code="not_a_reading")
    return _read_element(body)


def _lenient(text: bytes) -> Any:
    """Parse what Python's own parser lets through: NaN, Infinity and numbers beyond a double."""
    if len(text) > _MAX_LENIENT_BYTES:
        raise BadRequest(
            f"what is longer than {_MAX_LENIENT_BYTES >> 10} KiB has to be strict JSON",
            code="invalid_json",
        )
    try:
        return json.loads(text)
    except RecursionError as error:
        raise BadRequest("the JSON is nested too deeply", code="invalid_json") from error
    except json.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}", code="invalid_json") from error
    except UnicodeDecodeError as error:
        raise BadRequest("the body is not UTF-8", code="invalid_json") from error
    except ValueError as error:
        raise BadRequest("a number has too many digits", code="invalid_json") from error


def _as_candidate(element: Any) -> Candidate:
    """A candidate; its numbers may be texts, and a value that is no number is left out.

    A device without a fix may send a place of nulls.
    """
    _check_contents(element)
    if isinstance(element, dict):
        element = element | {
            name: _numbers(element[name]) for name in _WITH_NUMBERS & element.keys()
        }
        if _has_null(element.get("location")):
            element["location"] = None
    try:
        return msgspec.convert(element, Candidate)
    except msgspec.ValidationError as error:
        raise ReadingRejected(str(error), code="invalid_reading") from error


def _numbers(given: Any) -> Any:
    """Numbers also where firmware spelled them as texts, and None for what is none."""
    if not isinstance(given, dict):
        return given
    return {name: one if type(one) in (int, float) else number(one) for name, one in given.items()}


def _has_null(location: Any) -> bool:
    return isinstance(location, dict) and None in (location.get("lat", 0), location.get("lng", 0))


def _check_contents(element: Any) -> None:
    """Refuse what Python's parser lets through and no JSON may hold; no recursion, any depth."""
    waiting = [element]
    while waiting:
        value = waiting.pop()
        if isinstance(value, float) and not math.isfinite(value):
            raise ReadingRejected("NaN and Infinity are no values", code="not_finite")
        if isinstance(value, str) and not _is_text(value):
            raise ReadingRejected("a text holds half a character", code="invalid_text")
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)
