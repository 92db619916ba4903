"""Statistics of a grid, and clusters of a box, from the window's sums.

What the source design asks of `get_pollution_clusters_in_bounds` and `grid_metadata`: readings of
the last 24 hours, here without the flagged ones.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from urbanos_edge.clock import to_rfc3339
from urbanos_edge.grid import Bounds, Tile
from urbanos_edge.rollup.rollup import View

MIN_CELL_DEG: Final = 1e-5
"""About a metre: finer cells than sensors are placed."""


class Cluster(msgspec.Struct):
    """One cell: its centre in degrees, how many readings, and their index."""

    lat: float
    lng: float
    count: int
    avg_aqi: float | None
    max_aqi: int | None


def clusters(view: View, box: Bounds, cell_deg: float) -> list[Cluster]:
    """Gather the readings of the window in cells of `cell_deg` degrees, row by row."""
    sites = _counted(view, box)
    rows, columns = (np.floor(sites[name] / cell_deg).astype(np.int64) for name in ("lat", "lng"))
    # One number per cell, row by row: sorting pairs takes four times as long.
    width = int(columns.max(initial=0)) - int(columns.min(initial=0)) + 1
    cells, member = np.unique(rows * width + columns, return_inverse=True)
    readings, graded, aqi_sum = (
        np.bincount(member, sites[name], len(cells)) for name in ("readings", "graded", "aqi_sum")
    )
    highest = np.full(len(cells), -1)
    np.maximum.at(highest, member, sites["aqi_max"])
    some = np.zeros(len(cells), np.int64)
    some[member] = np.arange(len(member))
    return [
        Cluster(lat, lng, count, total / rated if rated else None, worst if worst >= 0 else None)
        for lat, lng, count, rated, total, worst in zip(
            (rows[some] * cell_deg + cell_deg / 2).tolist(),
            (columns[some] * cell_deg + cell_deg / 2).tolist(),
            readings.astype(np.int64).tolist(),
            graded.tolist(),
            aqi_sum.tolist(),
            highest.tolist(),
            strict=True,
        )
    ]


def statistics(view: View, tile: Tile) -> dict[str, Any]:
    """A grid's place and the statistics of its window, under the names of `grid_metadata`."""
    sites = _counted(view, tile)
    graded = int(sites["graded"].sum())
    return described(
        tile,
        int(sites["readings"].sum()),
        int(sites["aqi_sum"].sum()) / graded if graded else None,
        int(sites["aqi_max"].max()) if graded else None,
        int(sites["last_at_us"].max(initial=0)) or None,
    )


def described(
    tile: Tile, count: int, avg_aqi: float | None, max_aqi: int | None, last_us: int | None
) -> dict[str, Any]:
    """A grid's place and such statistics of it; `last_us` is when it was last measured there."""
    box = tile.bounds
    return {
        "grid_id": tile.grid_id,
        "zoom_level": tile.z,
        "bounds": {
            "minLat": box.min_lat,
            "maxLat": box.max_lat,
            "minLng": box.min_lng,
            "maxLng": box.max_lng,
        },
        "center": {
            "lat": (box.min_lat + box.max_lat) / 2,
            "lng": (box.min_lng + box.max_lng) / 2,
        },
        "data_count": count,
        "avg_aqi": avg_aqi,
        "max_aqi": max_aqi,
        "last_updated": to_rfc3339(last_us) if last_us else None,
    }


def _counted(view: View, area: Tile | Bounds) -> dict[str, Any]:
    """The sites of an area that have unflagged readings in the window."""
    rows = view.sites_in(area)
    rows = rows[view.sites["readings"][rows] > 0]
    return {name: column[rows] for name, column in view.sites.items()}
