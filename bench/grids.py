"""Rows of a grid: cached beside nginx; not cached beside get_pollution_in_bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench.cached import cached_beside_nginx
from bench.context import Bench
from bench.figures import Figure, Floor, compare, latencies, percentile, spread
from bench.http import Connection
from bench.node import RunningNode, node
from bench.reading import corners, fullest, looked_at, medians, miss, rows_path
from bench.sending import Sender
from urbanos_edge.grid import Tile

NAME: Final = "grids"
ZOOMS: Final = (10, 12, 14, 16)
PER_ZOOM: Final = 20


def run(bench: Bench) -> Iterator[Figure]:
    """All figures about rows."""
    with bench.data(bench.city) as data_dir, node(data_dir) as running:
        running.wait_until_loaded()
        [tile] = fullest(14, 1, bench.city.sensors)
        yield from cached_beside_nginx(bench, running, NAME, {"grid rows": rows_path(tile)})
        sender = Sender(running, bench.spots)
        for zoom in ZOOMS:
            wanted = looked_at(zoom, bench.few(PER_ZOOM), bench.city.sensors)
            yield _uncached(bench, running, sender, wanted)


def _uncached(bench: Bench, running: RunningNode, sender: Sender, wanted: list[Tile]) -> Figure:
    ours, theirs = [], []
    for _ in range(bench.rounds):
        sender.freshen()
        with Connection(running.port) as connection:
            ours.append([miss(connection, rows_path(tile)).ms for tile in wanted])
        statements = [
            f"SELECT * FROM get_pollution_in_bounds({corners(tile.bounds)});" for tile in wanted
        ]
        theirs.append(bench.postgres.timed("", statements))
    all_ms = [ms for one in ours for ms in one]
    return Figure(
        bench=NAME,
        name=f"uncached rows z{wanted[0].z}",
        unit="ms",
        better="lower",
        ours=spread(medians(ours)),
        peer="get_pollution_in_bounds",
        theirs=spread(medians(theirs)),
        ratio=compare(medians(ours), medians(theirs), "lower"),
        floors=[Floor("more.ours.p95_ms", 25, at_least=False), Floor("ratio.median", 1)],
        more={
            "ours": latencies(all_ms),
            "theirs": latencies([ms for one in theirs for ms in one]),
            "p95_ratio": percentile([ms for one in theirs for ms in one], 0.95)
            / percentile(all_ms, 0.95),
        },
    )
