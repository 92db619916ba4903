"""Reading while readings arrive: cached and not, beside a stream of 20,000 readings a second."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any, Final

from bench.context import Bench
from bench.figures import Figure, Floor, latencies, spread
from bench.http import Connection
from bench.node import RunningNode, node
from bench.processes import peak_rss_mib, stop
from bench.reading import fullest, looked_at, rows_path, tile_path

NAME: Final = "reads"
BATCHES_PER_S: Final = 20
FOR_S: Final = 40
"""Four flushes of 200,000 readings each."""
PAUSE_S: Final = 0.002
ZOOMS: Final = (10, 12, 14)
PER_ZOOM: Final = 100
"""Fewer where a zoom has fewer tiles to look at."""
KEPT: Final = 8


def run(bench: Bench) -> Iterator[Figure]:
    """Both kinds of reading, by the tile and by the rows of a grid."""
    with bench.data(bench.city) as data_dir, node(data_dir) as running:
        for_s = bench.seconds(FOR_S)
        with _stream(running, for_s) as stream:
            taken = _read(bench, running, for_s - 1)
            sent = _outcome(stream)
        for kind, floor_ms in (("cached", 10), ("uncached", 200)):
            yield Figure(
                bench=NAME,
                name=f"{kind} reads while {1000 * BATCHES_PER_S:,} readings/s arrive",
                unit="ms",
                better="lower",
                ours=spread([latencies(taken[kind])["p95_ms"]]),
                floors=[
                    Floor("ours.max", floor_ms, at_least=False),
                    Floor("more.arrived_per_s", 0.98 * 1000 * BATCHES_PER_S),
                ],
                more={
                    "ours": latencies(taken[kind]),
                    "arrived_per_s": sent["per_s"],
                    "slowest_post_s": sent["slowest_s"],
                    "peak_rss_mib": peak_rss_mib(running.pid),
                },
            )


def _read(bench: Bench, running: RunningNode, for_s: float) -> dict[str, list[float]]:
    """Ask for a few places again and again, and for ever new ones in between.

    An answer counts by what it was: one that a flush made invalid is an uncached one.
    """
    sensors = bench.city.sensors
    kept = [tile_path(tile) for tile in fullest(12, KEPT, sensors)]
    kept += [rows_path(tile) for tile in fullest(14, KEPT, sensors)]
    tiles = [tile for zoom in ZOOMS for tile in looked_at(zoom, PER_ZOOM, sensors)]
    new = [path(tile) for tile in tiles for path in (tile_path, rows_path)]
    taken: dict[str, list[float]] = {"cached": [], "uncached": []}
    deadline_s = time.monotonic() + for_s
    with Connection(running.port) as connection:
        for often, seldom in zip(cycle(kept), cycle(new), strict=False):
            for path in (often, often, seldom):
                answer = connection.get(path)
                taken["uncached" if answer.is_miss else "cached"].append(answer.ms)
                time.sleep(PAUSE_S)
            if time.monotonic() > deadline_s:
                return taken
    return taken


@contextmanager
def _stream(running: RunningNode, for_s: float) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "bench.steady", str(running.port), running.token()]
    process = subprocess.Popen(
        [*words, str(BATCHES_PER_S), str(for_s)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        stop(process)


def _outcome(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate(timeout=120)
    sent: dict[str, Any] = json.loads(output or "{}")
    if not sent:
        raise RuntimeError("the stream of readings broke off")
    return sent
