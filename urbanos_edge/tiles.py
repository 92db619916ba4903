"""z/x/y → vector tile, from the rollup's spots.

Layer `clusters` gathers the window's sites in an 8 × 8 raster per tile; layer `sensors` shows the
latest reading of each sensor, from zoom 12 on or where a tile holds few.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

from urbanos_edge import aqi
from urbanos_edge.grid import FINEST_ZOOM, Tile
from urbanos_edge.mvt import EXTENT, Column, double, points
from urbanos_edge.quality import FLAG_LABELS
from urbanos_edge.rollup import View

SENSORS_FROM_ZOOM: Final = 12
FEW_SENSORS: Final = 200
_RASTER_BITS: Final = 3
_AS_FEATURE: Final = 64
"""Rows that are added up in the time it takes to write a feature."""
_NO_COLOR: Final = "#888888"
_NOBODY: Final = [0, 0, 0, -1, -1]

NameOf = Callable[[str], str]


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
    bits = 2 * max(FINEST_ZOOM - tile.z - _RASTER_BITS, 0)
    cells = view.site_spots.totals(sites, bits)
    nearby = view.sensor_spots.totals(sensors, bits)
    places, x, y, readings, graded, total, highest = zip(*cells.values(), strict=True)
    return points(
        "clusters",
        _on_tile([at // n for at, n in zip(x, places, strict=True)], tile),
        _on_tile([at // n for at, n in zip(y, places, strict=True)], tile),
        {
            "count": readings,
            **_latest_of_cells(standard, [nearby.get(cell, _NOBODY) for cell in cells]),
            "avg_aqi": _means(total, graded, 2),
            "max_aqi": _known(highest),
        },
    )


def _latest_of_cells(standard: aqi.Standard, cells: Sequence[Sequence[int]]) -> dict[str, Column]:
    """Of each cell: its sensors, mean and worst of their latest indexes, and when."""
    number, rated, total, at, worst = zip(*cells, strict=True)
    means = [round(s / n, 1) if n else None for s, n in zip(total, rated, strict=True)]
    return {
        "color": colors_of(standard, means),
        "sensors": number,
        "at": _known(at),
        "latest_aqi": [None if mean is None else double(mean) for mean in means],
        "latest_max_aqi": _known(worst),
    }


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


def colors_of(standard: aqi.Standard, indexes: Sequence[float | None]) -> list[str]:
    """The standard's colour for each mean index; grey where there is none."""
    lows = [band.low for band in standard.bands]
    colors = [_NO_COLOR, *[band.color for band in standard.bands]]
    return [
        _NO_COLOR if index is None else colors[bisect_right(lows, round(index))]
        for index in indexes
    ]


def _means(totals: Sequence[int], numbers: Sequence[int], digits: int) -> Column:
    return [
        double(round(total / number, digits)) if number else None
        for total, number in zip(totals, numbers, strict=True)
    ]


def _known(values: Sequence[int]) -> Column:
    """None in place of the -1 that stands for no value."""
    return [value if value >= 0 else None for value in values]


def _on_tile(at: Sequence[int], tile: Tile) -> list[int]:
    """Coordinates within the tile, of places that lie in it."""
    shift, last = FINEST_ZOOM - tile.z, EXTENT - 1
    return [unit >> shift & last for unit in at]
