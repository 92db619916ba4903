"""Layers of points in the Mapbox Vector Tile format, version 2.1, written column by column.

Nearly all work per feature is a look-up of bytes that are ready: a tag by its value, a coordinate
by its number.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, count, repeat
from typing import Any, Final

MVT: Final = "application/vnd.mapbox-vector-tile"
EXTENT: Final = 4096
"""Coordinates run from 0 to here within a tile, y downwards."""

_VERSION: Final = 2
_POINT: Final = {size: bytes([0x18, 1, 0x22, size + 1, 9]) for size in range(2, 5)}
"""Of a feature: that it is a point, and a path with one step, by the bytes of that step."""
_SHORT: Final = 256
"""Features with fewer bytes of tags begin with bytes that are ready."""

Value = str | int | bytes
"""A value of a feature; a floating point number as `double` encodes it."""
Column = Sequence[Value | None]
"""One attribute of all features; None where a feature has none."""


def points(name: str, x: Sequence[int], y: Sequence[int], columns: Mapping[str, Column]) -> bytes:
    """Encode a layer of `n` points, `x`, `y` and each column of length n, as a part of a tile.

    A feature may have up to a thousand attributes.
    """
    # Each value gets the next number when it is first met, without a line of Python.
    numbers: dict[Value, bytes] = defaultdict(chain(_VARINTS, _long_varints()).__next__)
    parts = [
        part
        for key, column in zip(_VARINTS, columns.values(), strict=False)
        for part in _tags(key, column, numbers)
    ]
    tags = map(b"".join, zip(*parts, strict=False)) if parts else [b""] * len(x)
    head, tail = _frame(name, tuple(columns))
    features = b"".join(map(_feature, tags, x, y))
    return _field(3, b"".join((head, features, tail, *map(_value, numbers), _EXTENT)))


def double(value: float) -> bytes:
    """A floating point number as a value."""
    return _field(4, b"\x19" + struct.pack("<d", value))


def _feature(tags: bytes, x: int, y: int) -> bytes:
    at = _AT[x] + _AT[y]
    size = len(at)
    starts = _STARTS[size]
    start = starts[len(tags)] if len(tags) < _SHORT else _start(len(tags), size)
    return start + tags + _POINT[size] + at


def _start(tags: int, at: int) -> bytes:
    """How a feature begins: its length and that of its tags, given theirs and its place's."""
    head = b"\x12" + _varint(tags)
    return b"\x12" + _varint(len(head) + tags + len(_POINT[at]) + at) + head


def _tags(key: bytes, column: Sequence[Any], numbers: dict[Value, bytes]) -> list[Iterable[bytes]]:
    """Iterables that side by side give a feature's pair of key and value numbers."""
    if None in column:
        return [[b"" if value is None else key + numbers[value] for value in column]]
    return [repeat(key), map(numbers.__getitem__, column)]


@lru_cache(maxsize=64)
def _frame(name: str, keys: tuple[str, ...]) -> tuple[bytes, bytes]:
    """What comes before the features of a layer, and what comes after them, without the values."""
    head = _number(15, _VERSION) + _field(1, name.encode())
    return head, b"".join([_field(3, key.encode()) for key in keys])


@lru_cache(maxsize=1 << 14)
def _value(value: Value) -> bytes:
    """A value as a part of a layer; a city's sensors have the same ids in every tile."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return _field(4, _field(1, value.encode()))
    return _field(4, _number(4, value))


def _long_varints() -> Iterator[bytes]:
    return map(_long_varint, count(len(_VARINTS)))


def _field(number: int, content: bytes) -> bytes:
    return _VARINTS[number << 3 | 2] + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _VARINTS[number << 3] + _varint(value)


def _varint(value: int) -> bytes:
    return _VARINTS[value] if value < len(_VARINTS) else _long_varint(value)


def _long_varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


_VARINTS: Final = [_long_varint(value) for value in range(1 << 12)]
_AT: Final = [_long_varint(at << 1) for at in range(EXTENT)]
"""Each coordinate as the first step of a path: zigzag, from the tile's corner."""
_STARTS: Final = {at: [_start(tags, at) for tags in range(_SHORT)] for at in _POINT}
_EXTENT: Final = _number(5, EXTENT)
