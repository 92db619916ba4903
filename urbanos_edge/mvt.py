"""Layers of points in the Mapbox Vector Tile format, version 2.1, written column by column.

Nearly all work per feature is a look-up of bytes that are ready: a tag by its value, a coordinate
by its number.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

EXTENT: Final = 4096
"""Coordinates run from 0 to here within a tile, y downwards."""

_VERSION: Final = 2
_POINT: Final = {size: bytes([0x18, 1, 0x22, size + 1, 9]) for size in range(2, 5)}
"""Of a feature: that it is a point, and a path with one step, by the bytes of that step."""

Value = str | int | float
Column = Sequence[Value | None]
"""One attribute of all features, its values of one type; None where a feature has none."""


def points(name: str, x: Sequence[int], y: Sequence[int], columns: Mapping[str, Column]) -> bytes:
    """Encode a layer of `n` points, `x`, `y` and each column of length n, as a part of a tile."""
    numbers: dict[bytes, bytes] = {}
    tagged = [_tags(_varint(key), column, numbers) for key, column in enumerate(columns.values())]
    tags = map(b"".join, zip(*tagged, strict=True)) if tagged else [b""] * len(x)
    return _field(
        3,
        _number(15, _VERSION)
        + _field(1, name.encode())
        + b"".join([_feature(*each) for each in zip(tags, x, y, strict=True)])
        + b"".join([_field(3, key.encode()) for key in columns])
        + b"".join(numbers)
        + _number(5, EXTENT),
    )


def _feature(tags: bytes, x: int, y: int) -> bytes:
    at = _AT[x] + _AT[y]
    return _field(2, b"".join((b"\x12", _varint(len(tags)), tags, _POINT[len(at)], at)))


def _tags(key: bytes, column: Column, numbers: dict[bytes, bytes]) -> list[bytes]:
    """The column as pairs of key and value numbers; `numbers` are those of the layer's values."""
    tags: dict[Value | None, bytes] = {None: b""}
    distinct = dict.fromkeys(value for value in column if value is not None)
    for value, encoded in zip(distinct, map(_value, distinct), strict=True):
        tags[value] = key + numbers.setdefault(encoded, _varint(len(numbers)))
    return list(map(tags.__getitem__, column))


@lru_cache(maxsize=1 << 14, typed=True)
def _value(value: Value) -> bytes:
    """A value as a part of a layer; a city's sensors have the same ids in every tile."""
    if isinstance(value, str):
        return _field(4, _field(1, value.encode()))
    if isinstance(value, float):
        return _field(4, b"\x19" + struct.pack("<d", value))
    return _field(4, _number(4, value))


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
