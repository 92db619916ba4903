"""z/x/y → Mapbox vector tile 2.1, from the rollup's arrays.

Layer `clusters` gathers the window's sites in an 8 × 8 raster per tile; layer `sensors` shows the
latest reading of each sensor, from zoom 12 on or where a tile holds few. Coordinates run from 0
to `EXTENT` within the tile, y downwards.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from urbanos_edge import aqi
from urbanos_edge.clock import SECOND_US
from urbanos_edge.grid import BEYOND_LAT, FINEST_ZOOM, Tile
from urbanos_edge.quality import FLAG_LABELS
from urbanos_edge.rollup import View

EXTENT: Final = 4096
SENSORS_FROM_ZOOM: Final = 12
FEW_SENSORS: Final = 200
_RASTER_BITS: Final = 3
_VERSION: Final = 2
_POINT: Final = 1
_MOVE_TO_ONE: Final = 9
_NO_COLOR: Final = "#888888"

Value = str | int | float
Feature = tuple[int, int, dict[str, Value]]
NameOf = Callable[[str], str]


def render(view: View, tile: Tile, standard: aqi.Standard, name_of: NameOf) -> bytes:
    """Return the tile, empty bytes when nothing lies in it."""
    sensors = view.sensors_in(tile)
    show_sensors = tile.z >= SENSORS_FROM_ZOOM or len(sensors) <= FEW_SENSORS
    return b"".join(
        _layer(name, features)
        for name, features in (
            ("clusters", _clusters(view, tile, standard, sensors)),
            ("sensors", _sensors(view, tile, standard, name_of, sensors) if show_sensors else []),
        )
        if features
    )


def _clusters(
    view: View, tile: Tile, standard: aqi.Standard, sensors: npt.NDArray[np.intp]
) -> list[Feature]:
    rows = view.sites_in(tile)
    sites = {name: column[rows] for name, column in view.sites.items()}
    cells = _cell(sites["x18"], sites["y18"], tile)
    x, y = _position(sites["lng"], sites["lat"], tile)
    latest = _latest_by_cell(view, tile, sensors)
    features: list[Feature] = []
    for cell in np.unique(cells[sites["readings"] > 0]).tolist():
        member = (cells == cell) & (sites["readings"] > 0)
        graded = int(sites["graded"][member].sum())
        now = latest.get(cell, {"sensors": 0})
        attributes: dict[str, Value] = {
            "count": int(sites["readings"][member].sum()),
            "color": color_of(standard, now.get("latest_aqi")),
            **now,
        }
        if graded:
            attributes["avg_aqi"] = round(int(sites["aqi_sum"][member].sum()) / graded, 2)
            attributes["max_aqi"] = int(sites["aqi_max"][member].max())
        features.append((int(x[member].mean()), int(y[member].mean()), attributes))
    return features


def _latest_by_cell(
    view: View, tile: Tile, sensors: npt.NDArray[np.intp]
) -> dict[int, dict[str, int | float]]:
    """Per raster cell: its sensors, mean and worst of their latest unflagged indexes, and when."""
    latest = view.latest
    cells = _cell(latest["x18"][sensors], latest["y18"][sensors], tile)
    index = latest["aqi_value"][sensors].astype(float)
    trusted = (index != aqi.NO_INDEX) & (latest["flags"][sensors] == 0)
    at = latest["timestamp_us"][sensors] // SECOND_US
    found: dict[int, dict[str, int | float]] = {}
    for cell in np.unique(cells).tolist():
        member = cells == cell
        values = index[member & trusted]
        found[cell] = {"sensors": int(member.sum()), "at": int(at[member].max())}
        if values.size:
            found[cell] |= {
                "latest_aqi": round(float(values.mean()), 1),
                "latest_max_aqi": int(values.max()),
            }
    return found


def _sensors(
    view: View,
    tile: Tile,
    standard: aqi.Standard,
    name_of: NameOf,
    rows: npt.NDArray[np.intp],
) -> list[Feature]:
    latest = view.latest.take(rows)
    x, y = _position(latest["lng"], latest["lat"], tile)
    columns = zip(
        *(x.tolist(), y.tolist(), latest.strings("sensor"), latest.strings("source")),
        *(latest[name].tolist() for name in ("aqi_value", "level", "dominant", "flags")),
        (latest["timestamp_us"] // SECOND_US).tolist(),
        strict=True,
    )
    features: list[Feature] = []
    for px, py, sensor_id, source, index, level, dominant, flags, at in columns:
        attributes: dict[str, Value] = {
            "id": sensor_id,
            "name": name_of(sensor_id),
            "at": at,
            "flags": FLAG_LABELS[flags],
            "source": source,
        }
        if index != aqi.NO_INDEX:
            attributes |= {
                "aqi": index,
                "level": level,
                "dominant": standard.pollutants[dominant],
            }
        features.append((px, py, attributes))
    return features


def color_of(standard: aqi.Standard, index: float | None) -> str:
    """The standard's colour for a mean index; grey where there is none."""
    if index is None:
        return _NO_COLOR
    level = int(aqi.level_of(standard, np.array([round(index)]))[0])
    return standard.bands[level - 1].color


def _cell(x18: npt.NDArray[Any], y18: npt.NDArray[Any], tile: Tile) -> npt.NDArray[np.int64]:
    """The raster cell of each place, one number per cell of this tile's zoom + 3."""
    shift = max(FINEST_ZOOM - tile.z - _RASTER_BITS, 0)
    x, y = x18.astype(np.int64) >> shift, y18.astype(np.int64) >> shift
    return x << FINEST_ZOOM | y


def _position(
    lng: npt.NDArray[Any], lat: npt.NDArray[Any], tile: Tile
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pixel coordinates within the tile; what lies beyond the projection's edge stays on it."""
    n = 1 << tile.z
    x = ((lng + 180) / 360 * n - tile.x) * EXTENT
    radians = np.radians(np.clip(lat, -BEYOND_LAT, BEYOND_LAT))
    y = ((1 - np.arcsinh(np.tan(radians)) / np.pi) / 2 * n - tile.y) * EXTENT
    return (
        np.clip(x, 0, EXTENT - 1).astype(np.int64),
        np.clip(y, 0, EXTENT - 1).astype(np.int64),
    )


def _layer(name: str, features: Sequence[Feature]) -> bytes:
    """Encode one layer of points: keys and values are listed once and pointed at."""
    keys: dict[str, int] = {}
    values: dict[tuple[type, Value], int] = {}
    encoded = []
    for x, y, attributes in features:
        tags = bytearray()
        for key, value in attributes.items():
            tags += _varint(keys.setdefault(key, len(keys)))
            tags += _varint(values.setdefault((type(value), value), len(values)))
        geometry = bytes([_MOVE_TO_ONE]) + _varint(x << 1) + _varint(y << 1)
        encoded.append(_field(2, _field(2, bytes(tags)) + _number(3, _POINT) + _field(4, geometry)))
    return _field(
        3,
        _number(15, _VERSION)
        + _field(1, name.encode())
        + b"".join(encoded)
        + b"".join(_field(3, key.encode()) for key in keys)
        + b"".join(_field(4, _value(value)) for _, value in values)
        + _number(5, EXTENT),
    )


def _value(value: Value) -> bytes:
    if isinstance(value, str):
        return _field(1, value.encode())
    if isinstance(value, float):
        return b"\x19" + struct.pack("<d", value)
    return _number(4, value)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return bytes([number << 3]) + _varint(value)


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes([value])
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
