"""Asking a node and a peer for the same things, one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from bench.dataset import busy_tiles
from bench.http import Answer, Connection
from urbanos_edge.grid import Bounds, Tile

_AMONG: Final = {8: 4, 10: 16, 12: 128, 14: 512, 16: 1024}
"""Of so many tiles at each zoom. They hold nine tenths of all sensors at zoom 8, two thirds at 10
and 12, two fifths at 14 and a fifth at 16."""


class NotAMiss(RuntimeError):
    """An answer that had to be new came from a cache, or was an error."""


def fullest(zoom: int, count: int, sensors: int) -> list[Tile]:
    """The tiles of a zoom in which the most sensors stand, at most `count`."""
    return [Tile(zoom, x, y) for x, y, _ in busy_tiles(zoom, sensors)[:count]]


def looked_at(zoom: int, count: int, sensors: int) -> list[Tile]:
    """Tiles of a zoom as people look at them: evenly chosen among those with the most sensors."""
    tiles = busy_tiles(zoom, sensors)[: _AMONG[zoom]]
    step = max(len(tiles) // count, 1)
    return [Tile(zoom, x, y) for x, y, _ in tiles[::step][:count]]


def miss(connection: Connection, path: str) -> Answer:
    """GET what the node must not have at hand.

    Raises:
        NotAMiss: it had it all the same, or refused.
    """
    answer = connection.get(path)
    if answer.status not in (200, 204) or not answer.is_miss:
        raise NotAMiss(f"{path}: {answer.status}, {answer.head.decode('latin-1')}")
    return answer


def hit(connection: Connection, path: str) -> Answer:
    """GET until the node has it at hand, and return that answer."""
    for _ in range(5):
        answer = connection.get(path)
        if answer.status == 200 and not answer.is_miss:
            return answer
    raise NotAMiss(f"{path} is never served from the cache: {answer.status}")


def peer(connection: Connection, path: str) -> Answer:
    """GET from a peer; raises when it refuses."""
    answer = connection.get(path)
    if answer.status >= 400:
        raise RuntimeError(f"the peer answered {answer.status} at {path}: {answer.body[:300]!r}")
    return answer


def tile_path(tile: Tile) -> str:
    return f"/tiles/readings/{tile.z}/{tile.x}/{tile.y}.mvt"


def rows_path(tile: Tile) -> str:
    return f"/api/v1/grids/{tile.grid_id}/data"


def clusters_path(box: Bounds, cell_deg: float) -> str:
    corners = {
        "minLat": box.min_lat,
        "maxLat": box.max_lat,
        "minLng": box.min_lng,
        "maxLng": box.max_lng,
        "gridSize": cell_deg,
    }
    return f"/api/v1/clusters?{urlencode(corners)}"


def corners(box: Bounds) -> str:
    """A box as the first four arguments of the source design's functions."""
    return f"{box.min_lat!r}, {box.max_lat!r}, {box.min_lng!r}, {box.max_lng!r}"


def medians(samples: Sequence[Sequence[float]]) -> list[float]:
    """The middle of each round."""
    return [sorted(one)[len(one) // 2] for one in samples]
