"""Clusters of the last 24 hours beside get_pollution_clusters_in_bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from bench.context import Bench
from bench.figures import Figure, Floor, compare, latencies, spread
from bench.http import Connection
from bench.node import RunningNode, node
from bench.reading import clusters_path, corners, fullest, medians, miss, tile_path
from bench.sending import Sender
from urbanos_edge.grid import Tile

NAME: Final = "clusters"
TILES: Final = {10: 1, 12: 3}
"""The fullest tiles of each zoom; PostgreSQL takes seconds for one of zoom 10."""
CELLS: Final = 8
"""A tile's width in cells, as in our cluster layer."""


def run(bench: Bench) -> Iterator[Figure]:
    """All figures about clusters."""
    with bench.data(bench.city) as data_dir, node(data_dir) as running:
        sender = Sender(running, bench.spots)
        for zoom, count in TILES.items():
            wanted = fullest(zoom, count, bench.city.sensors)
            theirs = [_select(bench, wanted) for _ in range(bench.rounds)]
            for what, path in (("/clusters", _clusters), ("cluster tile", tile_path)):
                ours = [_ask(running, sender, wanted, path) for _ in range(bench.rounds)]
                yield _figure(f"uncached {what} z{zoom}", ours, theirs)
        yield _stored(bench, running)


def _figure(name: str, ours: list[list[float]], theirs: list[list[float]]) -> Figure:
    return Figure(
        bench=NAME,
        name=name,
        unit="ms",
        better="lower",
        ours=spread(medians(ours)),
        peer="get_pollution_clusters_in_bounds",
        theirs=spread(medians(theirs)),
        ratio=compare(medians(ours), medians(theirs), "lower"),
        floors=[Floor("ratio.median", 20)],
        more={"ours": latencies([ms for one in ours for ms in one])},
    )


def _stored(bench: Bench, running: RunningNode) -> Figure:
    """What the same readings take on the disk, with the indexes that answer so fast."""
    store = running.status()["store"]
    size = bench.postgres.run(
        "SELECT sum(pg_total_relation_size(relid)) / (SELECT count(*) FROM pollution_data)"
        " FROM pg_partition_tree('pollution_data')"
    )
    ours, theirs = [store["bytes"] / store["rows"]], [float(size)]
    return Figure(
        bench=NAME,
        name="disk per reading",
        unit="bytes",
        better="lower",
        ours=spread(ours),
        peer="pollution_data with its indexes",
        theirs=spread(theirs),
        ratio=compare(ours, theirs, "lower"),
        more={"readings": store["rows"], "files": store["files"]},
    )


def _ask(
    running: RunningNode, sender: Sender, wanted: list[Tile], path: Callable[[Tile], str]
) -> list[float]:
    sender.freshen()
    with Connection(running.port) as connection:
        return [miss(connection, path(tile)).ms for tile in wanted]


def _select(bench: Bench, wanted: list[Tile]) -> list[float]:
    return bench.postgres.timed(
        "",
        [
            f"SELECT * FROM get_pollution_clusters_in_bounds({corners(tile.bounds)},"
            f" {_cell_deg(tile)!r});"
            for tile in wanted
        ],
    )


def _clusters(tile: Tile) -> str:
    return clusters_path(tile.bounds, _cell_deg(tile))


def _cell_deg(tile: Tile) -> float:
    return (tile.bounds.max_lng - tile.bounds.min_lng) / CELLS
