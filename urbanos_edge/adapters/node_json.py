"""The node's own format: one JSON object, an array of them, or one per line (NDJSON).

The usual message is decoded in one go. Only when that fails is it taken apart, so that what is
good in it is kept and what is bad is named by its place.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import msgspec

from urbanos_edge.adapters import Candidate, Malformed, Message
from urbanos_edge.clock import to_rfc3339
from urbanos_edge.errors import BadRequest, ReadingRejected, Unprocessable
from urbanos_edge.reading import Reading

MAX_READINGS: Final = 10_000
_ONE: Final = msgspec.json.Decoder(Candidate)
_MANY: Final = msgspec.json.Decoder(list[Candidate])


def read_object_or_array(body: bytes) -> tuple[Message, bool]:
    """Return the candidates and whether they came as an array.

    Raises:
        BadRequest: not JSON.
        Unprocessable: neither object nor array, or more than `MAX_READINGS` elements.
    """
    is_array = body.lstrip()[:1] == b"["
    try:
        message: Message = list(_MANY.decode(body)) if is_array else [_ONE.decode(body)]
    except (msgspec.DecodeError, RecursionError):
        message, is_array = _take_apart(body)
    _check_count(len(message))
    return message, is_array


def read_lines(body: bytes) -> Message:
    """Return a candidate for every line that is not blank.

    Raises:
        Unprocessable: more than `MAX_READINGS` lines.
    """
    lines = [line for line in body.split(b"\n") if line and not line.isspace()]
    _check_count(len(lines))
    return [_read_line(line) for line in lines]


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
        }
    )


def _check_count(count: int) -> None:
    if count > MAX_READINGS:
        raise Unprocessable(
            f"{count} readings in one request; send at most {MAX_READINGS} at a time",
            code="too_many_readings",
        )


def _read_line(line: bytes) -> Candidate | Malformed:
    try:
        return _ONE.decode(line)
    except (msgspec.DecodeError, RecursionError):
        try:
            return _as_candidate(_lenient(line))
        except BadRequest as error:
            return Malformed(
                ReadingRejected(error.message, code=error.code),
                line[:1000].decode(errors="replace"),
            )


def _take_apart(body: bytes) -> tuple[Message, bool]:
    parsed = _lenient(body)
    if isinstance(parsed, dict):
        return [_as_candidate(parsed)], False
    if isinstance(parsed, list):
        _check_count(len(parsed))
        return [_as_candidate(element) for element in parsed], True
    raise Unprocessable("expected a reading or an array of readings", code="not_a_reading")


def _lenient(body: bytes) -> Any:
    """Parse what Python's own parser lets through: NaN, Infinity and numbers beyond a double."""
    try:
        return json.loads(body)
    except RecursionError as error:
        raise BadRequest("the JSON is nested too deeply", code="invalid_json") from error
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}", code="invalid_json") from error


def _as_candidate(element: Any) -> Candidate | Malformed:
    try:
        if not _all_finite(element):
            raise ReadingRejected("NaN and Infinity are no values", code="not_finite")
        return msgspec.convert(element, Candidate)
    except msgspec.ValidationError as error:
        return Malformed(ReadingRejected(str(error), code="invalid_reading"), element)
    except ReadingRejected as error:
        return Malformed(error, element)


def _all_finite(element: Any) -> bool:
    if isinstance(element, float):
        return math.isfinite(element)
    if isinstance(element, dict):
        return all(_all_finite(value) for value in element.values())
    if isinstance(element, list):
        return all(_all_finite(value) for value in element)
    return True
