"""Web Mercator tiles and their ids, by the formulas of the source design.

A tile is `(z, x, y)`, y growing southwards; its id is `z{z}-x{x}-y{y}`. The square world of the
projection ends at about ±85.0511°: what lies beyond belongs to the outermost row of tiles.

Scaling by a power of two is exact in binary floating point, so a tile at any coarser zoom is the
tile at `FINEST_ZOOM` shifted right: one computation serves all zooms.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from urbanos_edge.errors import Unprocessable

FINEST_ZOOM = 18
STORED_ZOOM = 12
BEYOND_LAT = 85.06
"""North and south of here is no tile; towards the poles the formula leaves the real numbers."""
_GRID_ID = re.compile(r"z(\d{1,2})-x(\d{1,6})-y(\d{1,6})", re.ASCII)


class Bounds(NamedTuple):
    """A box in degrees, WGS 84."""

    min_lng: float
    min_lat: float
    max_lng: float
    max_lat: float


class Tile(NamedTuple):
    """One square of the map at zoom `z`: column `x` eastwards, row `y` southwards."""

    z: int
    x: int
    y: int

    @property
    def grid_id(self) -> str:
        return f"z{self.z}-x{self.x}-y{self.y}"

    @property
    def bounds(self) -> Bounds:
        """The box this tile covers; it owns its west and north edges."""
        n = 1 << self.z
        return Bounds(
            self.x / n * 360 - 180,
            _row_to_lat(self.y + 1, n),
            (self.x + 1) / n * 360 - 180,
            _row_to_lat(self.y, n),
        )

    @property
    def reach(self) -> Bounds:
        """The box of all points that belong to this tile: the outermost rows reach the poles."""
        bounds, last = self.bounds, (1 << self.z) - 1
        return bounds._replace(
            min_lat=-90.0 if self.y == last else bounds.min_lat,
            max_lat=90.0 if self.y == 0 else bounds.max_lat,
        )

    def neighbours(self) -> list[Tile]:
        """The up to eight tiles around this one; columns wrap at the antimeridian."""
        n = 1 << self.z
        around = {
            Tile(self.z, (self.x + dx) % n, self.y + dy)
            for dx in (-1, 0, 1)
            for dy in (-1, 0, 1)
            if 0 <= self.y + dy < n
        }
        return sorted(around - {self})


def tile_at(lat: float, lng: float, zoom: int) -> Tile:
    """Return the tile that holds the point, at the poles and at +180° the outermost one."""
    n = 1 << zoom
    column = math.floor((lng + 180) / 360 * n)
    if abs(lat) > BEYOND_LAT:
        row = 0 if lat > 0 else n - 1
    else:
        lat_rad = lat * math.pi / 180
        projected = math.log(math.tan(lat_rad) + 1 / math.cos(lat_rad))
        row = math.floor((1 - projected / math.pi) / 2 * n)
    return Tile(zoom, min(max(column, 0), n - 1), min(max(row, 0), n - 1))


def parse_grid_id(grid_id: str) -> Tile:
    """Read `z{z}-x{x}-y{y}`.

    Raises:
        Unprocessable: not of that form, a zoom over 18, or a tile outside the world.
    """
    match = _GRID_ID.fullmatch(grid_id)
    if match is None:
        raise Unprocessable(
            f"'{grid_id[:60]}' is not a grid id; expected z{{zoom}}-x{{column}}-y{{row}}",
            code="invalid_grid_id",
        )
    return checked_tile(*(int(part) for part in match.groups()))


def checked_tile(z: int, x: int, y: int) -> Tile:
    """Return the tile when it exists.

    Raises:
        Unprocessable: a zoom outside 0-18 or a column or row outside the world.
    """
    checked_zoom(z)
    if not (0 <= x < 1 << z and 0 <= y < 1 << z):
        raise Unprocessable(
            f"column {x}, row {y} lie outside zoom {z} (0-{(1 << z) - 1})", code="invalid_grid_id"
        )
    return Tile(z, x, y)


def checked_zoom(zoom: int) -> int:
    """Return the zoom when it is one; raises Unprocessable otherwise."""
    if not 0 <= zoom <= FINEST_ZOOM:
        raise Unprocessable(f"zoom {zoom} is outside 0-{FINEST_ZOOM}", code="invalid_grid_id")
    return zoom


def tile_range(bounds: Bounds, zoom: int) -> tuple[Tile, Tile]:
    """Return the north-west and the south-east tile of those that meet the box."""
    return (
        tile_at(bounds.max_lat, bounds.min_lng, zoom),
        tile_at(bounds.min_lat, bounds.max_lng, zoom),
    )


def spanned(first: Tile, last: Tile) -> Bounds:
    """The box of all tiles from the north-west to the south-east one."""
    north_west, south_east = first.reach, last.reach
    return Bounds(north_west.min_lng, south_east.min_lat, south_east.max_lng, north_west.max_lat)


def _row_to_lat(row: int, n: int) -> float:
    return math.degrees(math.atan(math.sinh(math.pi - 2 * math.pi * row / n)))
