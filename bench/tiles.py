"""Tiles: cached beside nginx; not cached beside tipg, and the drawing alone beside ST_AsMVT."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.cached import cached_beside_nginx
from bench.context import Bench
from bench.figures import Figure, Floor, compare, latencies, spread
from bench.http import Connection
from bench.node import RunningNode, node
from bench.postgres import Postgres
from bench.reading import fullest, looked_at, medians, miss, peer, tile_path
from bench.sending import Sender
from bench.tipg import path_of
from bench.wrk import Load, load
from urbanos_edge.control import own
from urbanos_edge.grid import Tile
from urbanos_edge.node import Node
from urbanos_edge.settings import Settings
from urbanos_edge.tiles import tiles

NAME: Final = "tiles"
PER_ZOOM: Final = {8: 4, 10: 8, 12: 16, 14: 32, 16: 32}
"""Tiles asked for in a round."""
CLUSTERS_BELOW: Final = 12
CROWD: Final = 16
CROWD_S: Final = 4
RENDERS: Final = 20
PREPARED: Final = """
PREPARE tile (int, int, int) AS
SELECT octet_length(ST_AsMVT(features, 'latest', 4096, 'geom')) FROM (
    SELECT id, name, aqi, level, at, flags, source,
        ST_AsMVTGeom(geom, ST_TileEnvelope($1, $2, $3), 4096, 0) AS geom
    FROM live.latest
    WHERE geom && ST_TileEnvelope($1, $2, $3)
) AS features;
"""


def run(bench: Bench) -> Iterator[Figure]:
    """All figures about tiles."""
    with bench.data(bench.city) as data_dir:
        with node(data_dir) as running:
            [tile] = fullest(12, 1, bench.city.sensors)
            yield from cached_beside_nginx(bench, running, NAME, {"tile": tile_path(tile)})
            sender = Sender(running, bench.spots)
            yield from _one_at_a_time(bench, running, sender)
            yield from _crowds(bench, running, sender)
        yield from _drawn(bench, data_dir)


def _one_at_a_time(bench: Bench, running: RunningNode, sender: Sender) -> Iterator[Figure]:
    """Each request alone, the node and tipg taking turns."""
    chosen = {z: looked_at(z, bench.few(n), bench.city.sensors) for z, n in PER_ZOOM.items()}
    ours: dict[int, list[list[float]]] = defaultdict(list)
    theirs: dict[int, list[list[float]]] = defaultdict(list)
    with Connection(bench.tipg) as other:  # its first answer may take longer than ours is patient
        peer(other, path_of(*next(iter(chosen.values()))[0]))
    for _ in range(bench.rounds):
        sender.freshen()
        with Connection(running.port) as mine, Connection(bench.tipg) as other:
            for zoom, wanted in chosen.items():
                pairs = [
                    (miss(mine, tile_path(tile)).ms, peer(other, path_of(*tile)).ms)
                    for tile in wanted
                ]
                ours[zoom].append([pair[0] for pair in pairs])
                theirs[zoom].append([pair[1] for pair in pairs])
    for zoom in chosen:
        yield _sequential(zoom, ours[zoom], theirs[zoom])


def _sequential(zoom: int, ours: list[list[float]], theirs: list[list[float]]) -> Figure:
    floor = 1.0 if zoom < CLUSTERS_BELOW else 5.0
    return Figure(
        bench=NAME,
        name=f"uncached tile z{zoom}, one at a time",
        unit="ms",
        better="lower",
        ours=spread(medians(ours)),
        peer="tipg",
        theirs=spread(medians(theirs)),
        ratio=compare(medians(ours), medians(theirs), "lower"),
        floors=[Floor("ratio.median", floor)],
        more={
            "ours": latencies([ms for one in ours for ms in one]),
            "theirs": latencies([ms for one in theirs for ms in one]),
        },
    )


def _crowds(bench: Bench, running: RunningNode, sender: Sender) -> Iterator[Figure]:
    """Many different tiles at once, each asked for once."""
    for zoom, floors in (
        (12, [Floor("ratio.median", 5)]),
        (14, [Floor("ratio.median", 5), Floor("ours.median", 3000)]),
    ):
        wanted = fullest(zoom, 100_000, bench.city.sensors)
        ours, theirs = [], []
        for _ in range(bench.rounds):
            sender.freshen()
            ours.append(_walk(bench, running.url, [tile_path(tile) for tile in wanted]))
            theirs.append(
                _walk(bench, f"http://127.0.0.1:{bench.tipg}", [path_of(*tile) for tile in wanted])
            )
        mine, other = [one.per_s for one in ours], [one.per_s for one in theirs]
        yield Figure(
            bench=NAME,
            name=f"uncached tiles z{zoom}, {CROWD} at a time",
            unit="tiles/s",
            better="higher",
            ours=spread(mine),
            peer="tipg",
            theirs=spread(other),
            ratio=compare(mine, other, "higher"),
            floors=floors,
            more={
                "different_tiles": len(wanted),
                "misses": sum(one.misses for one in ours) / sum(one.requests for one in ours),
                "p99_ms": max(one.p99_ms for one in ours),
                "their_p99_ms": max(one.p99_ms for one in theirs),
            },
        )


def _walk(bench: Bench, url: str, paths: Sequence[str]) -> Load:
    with bench.folder("walk") as folder:
        folder.mkdir()
        (folder / "paths").write_text("\n".join(paths), encoding="ascii")
        settings = {"BENCH_PATHS": str(folder / "paths")}
        seconds = bench.seconds(CROWD_S)
        return load(url, "walk", connections=CROWD, duration_s=seconds, settings=settings)


def _drawn(bench: Bench, data_dir: Path) -> Iterator[Figure]:
    """The drawing alone: no HTTP on either side, and no transfer of PostgreSQL's tile."""
    with own(data_dir):
        drawing = Node(Settings(), data_dir)
        try:
            for zoom, count in PER_ZOOM.items():
                wanted = looked_at(zoom, bench.few(count), bench.city.sensors)
                ours, theirs = [], []
                for _ in range(bench.rounds):
                    ours.append(_draw(drawing, wanted))
                    theirs.append(_select(bench.postgres, wanted))
                yield Figure(
                    bench=NAME,
                    name=f"tile z{zoom}, drawn in the process",
                    unit="ms",
                    better="lower",
                    ours=spread(medians(ours)),
                    peer="ST_AsMVT on a table of the latest",
                    theirs=spread(medians(theirs)),
                    ratio=compare(medians(ours), medians(theirs), "lower"),
                    floors=[Floor("ratio.median", 1)],
                )
        finally:
            drawing.close()


def _draw(drawing: Node, wanted: Sequence[Tile]) -> list[float]:
    """Milliseconds of each tile, the middle of a few drawings."""
    view, taken_ms = drawing.view(), []
    for tile in wanted:
        times = []
        for _ in range(RENDERS):
            began_ns = time.perf_counter_ns()
            tiles.render(view, tile, drawing.standard, drawing.sensors.name_of)
            times.append((time.perf_counter_ns() - began_ns) / 1e6)
        taken_ms.append(sorted(times)[RENDERS // 2])
    return taken_ms


def _select(postgres: Postgres, wanted: Sequence[Tile]) -> list[float]:
    statements = [
        f"EXECUTE tile({tile.z}, {tile.x}, {tile.y});" for tile in wanted for _ in range(RENDERS)
    ]
    times = postgres.timed(PREPARED, statements)
    rows = [times[start : start + RENDERS] for start in range(0, len(times), RENDERS)]
    return [sorted(row)[RENDERS // 2] for row in rows]
