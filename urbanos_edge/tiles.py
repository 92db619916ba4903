"""z/x/y → vector tile, from the rollup's arrays.

Layer `clusters` gathers the window's sites in an 8 × 8 raster per tile; layer `sensors` shows the
latest reading of each sensor, from zoom 12 on or where a tile holds few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from urbanos_edge import aqi
from urbanos_edge.clock import SECOND_US
from urbanos_edge.grid import BEYOND_LAT, FINEST_ZOOM, Tile
from urbanos_edge.mvt import EXTENT, Column, Value, points
from urbanos_edge.quality import FLAG_LABELS
from urbanos_edge.rollup import View

SENSORS_FROM_ZOOM: Final = 12
FEW_SENSORS: Final = 200
_RASTER_BITS: Final = 3
_CELLS: Final = 1 << 2 * _RASTER_BITS
_NO_COLOR: Final = "#888888"
_OF_SITES: Final = ("x18", "y18", "lng", "lat", "readings", "graded", "aqi_sum", "aqi_max")
_OF_SENSORS: Final = (
    *("lng", "lat", "sensor", "source", "timestamp_us"),
    *("flags", "aqi_value", "level", "dominant"),
)

Rows = npt.NDArray[np.intp]
Ints = npt.NDArray[np.int64]
NameOf = Callable[[str], str]


def render(view: View, tile: Tile, standard: aqi.Standard, name_of: NameOf) -> bytes:
    """Return the tile, empty bytes when nothing lies in it."""
    sensors, sites = view.sensors_in(tile), view.sites_in(tile)
    layers = b""
    if sites.size:
        layers += _clusters(view, tile, standard, sensors, sites)
    if sensors.size and (tile.z >= SENSORS_FROM_ZOOM or sensors.size <= FEW_SENSORS):
        layers += _sensors(view, tile, standard, name_of, sensors)
    return layers


def weight(view: View, tile: Tile) -> int:
    """How many rows `render` would look at."""
    return len(view.sensors_in(tile)) + len(view.sites_in(tile))


def _clusters(view: View, tile: Tile, standard: aqi.Standard, sensors: Rows, rows: Rows) -> bytes:
    sites = {name: view.sites[name][rows] for name in _OF_SITES}
    cells = _cell(sites["x18"], sites["y18"], tile)
    readings = sites["readings"]
    counts = _sums(cells, readings)
    shown = np.flatnonzero(counts)
    if not shown.size:
        return b""
    x, y = _position(sites["lng"], sites["lat"], tile)
    is_counted = readings > 0
    places = np.bincount(cells, is_counted, _CELLS)[shown]
    graded, total = (_sums(cells, sites[name])[shown].tolist() for name in ("graded", "aqi_sum"))
    highest = _highest(cells[is_counted], sites["aqi_max"][is_counted])[shown].tolist()
    mean_x, mean_y = (np.bincount(cells, at * is_counted, _CELLS)[shown] / places for at in (x, y))
    return points(
        "clusters",
        mean_x.astype(np.int64).tolist(),
        mean_y.astype(np.int64).tolist(),
        {
            "count": counts[shown].tolist(),
            **_latest_of_cells(view, tile, standard, sensors, shown),
            "avg_aqi": [round(s / n, 2) if n else None for s, n in zip(total, graded, strict=True)],
            "max_aqi": _where(graded, highest),
        },
    )


def _latest_of_cells(
    view: View, tile: Tile, standard: aqi.Standard, sensors: Rows, shown: Rows
) -> dict[str, Column]:
    """Of the cells shown: their sensors, mean and worst of their latest indexes, and when."""
    latest = view.latest
    cells = _cell(latest["x18"][sensors], latest["y18"][sensors], tile)
    index = latest["aqi_value"][sensors]
    trusted = (index != aqi.NO_INDEX) & (latest["flags"][sensors] == 0)
    number = np.bincount(cells, minlength=_CELLS)[shown]
    at = _highest(cells, latest["timestamp_us"][sensors])[shown] // SECOND_US
    rated = np.bincount(cells, trusted, _CELLS)[shown]
    mean = np.bincount(cells, index * trusted, _CELLS)[shown] / np.maximum(rated, 1)
    worst = _highest(cells[trusted], index[trusted])[shown].tolist()
    means = [round(m, 1) if n else None for m, n in zip(mean.tolist(), rated.tolist(), strict=True)]
    return {
        "color": colors_of(standard, means),
        "sensors": number.tolist(),
        "at": _where(number.tolist(), at.tolist()),
        "latest_aqi": means,
        "latest_max_aqi": _where(rated.tolist(), worst),
    }


def _sensors(view: View, tile: Tile, standard: aqi.Standard, name_of: NameOf, rows: Rows) -> bytes:
    latest = {name: view.latest[name][rows] for name in _OF_SENSORS}
    x, y = _position(latest["lng"], latest["lat"], tile)
    ids, sources = (
        [view.latest.labels[label] for label in latest[name].tolist()]
        for name in ("sensor", "source")
    )
    graded = (latest["aqi_value"] != aqi.NO_INDEX).tolist()
    pollutants = [standard.pollutants[number] for number in latest["dominant"].tolist()]
    return points(
        "sensors",
        x.tolist(),
        y.tolist(),
        {
            "id": ids,
            "name": [name_of(sensor_id) for sensor_id in ids],
            "at": (latest["timestamp_us"] // SECOND_US).tolist(),
            "flags": [FLAG_LABELS[flags] for flags in latest["flags"].tolist()],
            "source": sources,
            "aqi": _where(graded, latest["aqi_value"].tolist()),
            "level": _where(graded, latest["level"].tolist()),
            "dominant": _where(graded, pollutants),
        },
    )


def colors_of(standard: aqi.Standard, indexes: Sequence[float | None]) -> list[str]:
    """The standard's colour for each mean index; grey where there is none."""
    rounded = [aqi.NO_INDEX if index is None else round(index) for index in indexes]
    levels = aqi.level_of(standard, np.array(rounded))
    return [
        _NO_COLOR if level == aqi.NO_INDEX else standard.bands[level - 1].color
        for level in levels.tolist()
    ]


def _where(mask: Sequence[object], values: Sequence[Value]) -> list[Value | None]:
    return [value if is_so else None for is_so, value in zip(mask, values, strict=True)]


def _cell(x18: npt.NDArray[Any], y18: npt.NDArray[Any], tile: Tile) -> Ints:
    """The raster cell of each place, 0 to 63, row by row."""
    shift = max(FINEST_ZOOM - tile.z - _RASTER_BITS, 0)
    last = (1 << _RASTER_BITS) - 1
    x, y = x18.astype(np.int64), y18.astype(np.int64)
    return (y >> shift & last) << _RASTER_BITS | x >> shift & last


def _sums(cells: Ints, values: npt.NDArray[Any]) -> Ints:
    """The sum in each cell; exact, as doubles hold integers up to 2^53."""
    return np.bincount(cells, values, _CELLS).astype(np.int64)


def _highest(cells: Ints, values: npt.NDArray[Any]) -> Ints:
    highest = np.full(_CELLS, -1)
    np.maximum.at(highest, cells, values)
    return highest


def _position(lng: npt.NDArray[Any], lat: npt.NDArray[Any], tile: Tile) -> tuple[Ints, Ints]:
    """Coordinates within the tile; what lies beyond the projection's edge stays on it."""
    n = 1 << tile.z
    x = ((lng + 180) / 360 * n - tile.x) * EXTENT
    radians = np.radians(np.minimum(np.maximum(lat, -BEYOND_LAT), BEYOND_LAT))
    y = ((1 - np.arcsinh(np.tan(radians)) / np.pi) / 2 * n - tile.y) * EXTENT
    return _on_tile(x), _on_tile(y)


def _on_tile(at: npt.NDArray[np.float64]) -> Ints:
    return np.minimum(np.maximum(at, 0), EXTENT - 1).astype(np.int64)
