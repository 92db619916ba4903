"""z/x/y → vector tile, from the rollup's spots.

Layer `clusters` gathers the window's sites in an 8 × 8 raster per tile; layer `sensors` shows the
latest reading of each sensor, from zoom 12 on or where a tile holds few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from urbanos_edge import aqi
from urbanos_edge.grid import FINEST_ZOOM, Tile
from urbanos_edge.quality.quality import FLAG_LABELS
from urbanos_edge.rollup.rollup import UPPER_BITS, View
from urbanos_edge.tiles.mvt import EXTENT, Column, double, points

SENSORS_FROM_ZOOM: Final = 12
FEW_SENSORS: Final = 200
RASTER_BITS: Final = 3
_AS_FEATURE: Final = 64
"""Rows that are added up in the time it takes to write a feature."""
NO_COLOR: Final = "#888888"
_NOBODY: Final = [0, 0, 0, -1, -1]
_LAST: Final = EXTENT - 1
_LOWER: Final = (1 << UPPER_BITS) - 1
_CLUSTER: Final = (
    *("count", "color", "sensors", "at", "latest_aqi", "latest_max_aqi", "avg_aqi", "max_aqi"),
)
"""The attributes of a cluster; 'latest' means of its sensors' last unflagged indexes: of those that
are current if there are any, else of all. `at` is the newest of them, else of flagged ones."""

NameOf = Callable[[str], str]


class _Hundredths(dict[int, bytes]):
    """Numbers of hundredths as floating point values, written when first asked for."""

    def __missing__(self, number: int) -> bytes:
        self[number] = written = double(number / 100)
        return written


_HUNDREDTHS: Final = _Hundredths()
"""It grows to as many as there are different means of indexes, some 50,000."""


def render(view: View, tile: Tile, standard: aqi.Standard, name_of: NameOf) -> bytes:
    """Return the tile, empty bytes when nothing lies in it."""
    sensors, sites = view.sensor_spots.within(tile), view.site_spots.within(tile)
    number = _length(sensors)
    layers = b""
    if sites.start < sites.stop:
        layers += _clusters(view, tile, standard, sensors, sites)
    if number and _shows_sensors(tile, number):
        layers += _sensors(view, tile, standard, name_of, sensors)
    return layers


def weight(view: View, tile: Tile) -> int:
    """How many features `render` would write, and what it costs to add up the others as such."""
    number = _length(view.sensor_spots.within(tile))
    shown = number if _shows_sensors(tile, number) else 0
    return shown + (number + _length(view.site_spots.within(tile))) // _AS_FEATURE


def _shows_sensors(tile: Tile, number: int) -> bool:
    return tile.z >= SENSORS_FROM_ZOOM or number <= FEW_SENSORS


def _length(rows: slice) -> int:
    length: int = rows.stop - rows.start
    return length


def _clusters(
    view: View, tile: Tile, standard: aqi.Standard, sensors: slice, sites: slice
) -> bytes:
    bits, shift = 2 * max(FINEST_ZOOM - tile.z - RASTER_BITS, 0), FINEST_ZOOM - tile.z
    cells, nearby = view.site_spots.totals(sites, bits), view.sensor_spots.totals(sensors, bits)
    rows, colors = [], standard.mean_colors
    for cell, (places, x, y, readings, graded, total, worst) in cells.items():
        number, rated, indexes, at, worst_now = nearby.get(cell, _NOBODY)
        if worst_now > _LOWER:  # some are current
            rated, indexes = rated >> UPPER_BITS, indexes >> UPPER_BITS
        tenths = (20 * indexes + rated) // (2 * rated) if rated else None
        rows.append(
            (
                x // places >> shift & _LAST,
                y // places >> shift & _LAST,
                readings,
                NO_COLOR if tenths is None else colors[tenths],
                number,
                at & _LOWER if number else None,
                None if tenths is None else _HUNDREDTHS[10 * tenths],
                worst_now & _LOWER if rated else None,
                _HUNDREDTHS[(200 * total + graded) // (2 * graded)] if graded else None,
                worst if graded else None,
            )
        )
    x_on_tile, y_on_tile, *columns = zip(*rows, strict=True)
    return points("clusters", x_on_tile, y_on_tile, dict(zip(_CLUSTER, columns, strict=True)))


def _sensors(view: View, tile: Tile, standard: aqi.Standard, name_of: NameOf, rows: slice) -> bytes:
    told = view.sensor_spots.told[:, rows].tolist()
    x, y, sensor, source, flags, index, level, dominant, at = told
    labels, pollutants = view.latest.labels, standard.pollutants
    ids = [labels[label] for label in sensor]
    return points(
        "sensors",
        _on_tile(x, tile),
        _on_tile(y, tile),
        {
            "id": ids,
            "name": [name_of(sensor_id) for sensor_id in ids],
            "at": at,
            "flags": [FLAG_LABELS[mask] for mask in flags],
            "source": [labels[label] for label in source],
            "aqi": _known(index),
            "level": _known(level),
            "dominant": [pollutants[one] if one >= 0 else None for one in dominant],
        },
    )


def _known(values: Sequence[int]) -> Column:
    """None in place of the -1 that stands for no value."""
    return [value if value >= 0 else None for value in values]


def _on_tile(at: Sequence[int], tile: Tile) -> list[int]:
    """Coordinates within the tile, of places that lie in it."""
    shift = FINEST_ZOOM - tile.z
    return [unit >> shift & _LAST for unit in at]
