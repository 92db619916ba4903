"""How soon a node is ready, and how much memory it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.context import Bench
from bench.figures import Figure, Floor, spread
from bench.http import Connection
from bench.node import node
from bench.processes import peak_rss_mib, rss_mib
from bench.reading import fullest, tile_path
from bench.tools import ROOT

NAME: Final = "startup"
STREETS: Final = ROOT / ".cache" / "Helsinki.osm.pbf"
"""What `scripts/serve --demo` draws its map from; there once that was started."""
LOOK_AFTER_S: Final = 15
"""Memory is looked at after the first flushes, and with every tile of zoom 12 asked for once."""


def run(bench: Bench) -> Iterator[Figure]:
    """With a day of readings, on an empty directory, and the demonstration."""
    with bench.data(bench.city) as data_dir:
        yield _figure(bench, data_dir, f"ready, {bench.city.readings_per_day:,} readings", 3, 600)
    with bench.folder("empty") as data_dir:
        yield _figure(bench, data_dir, "ready, empty directory", 3, 250)
    with bench.folder("demo") as data_dir:
        yield _figure(bench, data_dir, "ready, demonstration", 10, 250, is_demo=True)


def _figure(
    bench: Bench,
    data_dir: Path,
    name: str,
    ready_s: float,
    peak_mib: float,
    *,
    is_demo: bool = False,
) -> Figure:
    rounds = 1 if is_demo else bench.rounds
    flags = ["--demo"] if is_demo else []
    settings = {"demo_streets": str(STREETS)} if is_demo and STREETS.exists() else {}
    taken_s, ready_mib, highest_mib = [], [], []
    for number in range(rounds):
        with node(data_dir, *flags, **settings) as running:
            taken_s.append(running.ready_s)
            ready_mib.append(rss_mib(running.pid))
            if number == rounds - 1:
                running.wait_until_loaded()
                _look_around(bench, running.port)
            highest_mib.append(peak_rss_mib(running.pid))
    return Figure(
        bench=NAME,
        name=name,
        unit="s",
        better="lower",
        ours=spread(taken_s),
        floors=[
            Floor("ours.max", ready_s, at_least=False),
            Floor("more.peak_rss_mib", peak_mib, at_least=False),
        ],
        more={"rss_mib": max(ready_mib), "peak_rss_mib": max(highest_mib)},
    )


def _look_around(bench: Bench, port: int) -> None:
    with Connection(port) as connection:
        for tile in fullest(12, 2000, bench.city.sensors):
            connection.get(tile_path(tile))
    time.sleep(bench.seconds(LOOK_AFTER_S))
