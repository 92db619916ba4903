"""What a hundred times as many readings cost a tile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from bench.context import Bench
from bench.dataset import ONE_MILLION, TEN_MILLION, TENTH_MILLION, places
from bench.figures import Figure, Floor, compare, latencies, spread
from bench.http import Connection
from bench.node import RunningNode, node
from bench.reading import looked_at, medians, miss, tile_path
from bench.sending import Sender

NAME: Final = "growth"
PER_ZOOM: Final = {10: 8, 12: 24, 14: 48}


def run(bench: Bench) -> Iterator[Figure]:
    """The same tiles of the same sensors over 0.1, 1 and 10 million readings a day."""
    with ExitStack() as stack:
        grown = {}
        for shape in (TENTH_MILLION, ONE_MILLION, TEN_MILLION):
            data_dir = stack.enter_context(bench.data(shape))
            grown[bench.shape(shape).readings_per_day] = stack.enter_context(node(data_dir))
        taken = _take_turns(bench, grown)
    few, some, many = grown
    for zoom in PER_ZOOM:
        least, middle, most = (taken[zoom, readings] for readings in (few, some, many))
        yield Figure(
            bench=NAME,
            name=f"uncached tile z{zoom}, {many:,} readings a day",
            unit="ms",
            better="lower",
            ours=spread(medians(most)),
            peer=f"the same at {few:,}",
            theirs=spread(medians(least)),
            ratio=compare(medians(most), medians(least), "lower"),
            floors=[Floor("more.growth", 1.3, at_least=False)],
            more={
                "growth": spread(medians(most)).median / spread(medians(least)).median,
                "ours": latencies([ms for one in most for ms in one]),
                f"at_{some}": latencies([ms for one in middle for ms in one]),
            },
        )


def _take_turns(
    bench: Bench, grown: dict[int, RunningNode]
) -> dict[tuple[int, int], list[list[float]]]:
    """Milliseconds by zoom and readings a day, round by round; each tile of every node in turn."""
    taken: dict[tuple[int, int], list[list[float]]] = defaultdict(list)
    sensors = bench.city.sensors
    senders = [Sender(running, places(sensors)) for running in grown.values()]
    for _ in range(2 * bench.rounds):
        for sender in senders:
            sender.freshen()
        with ExitStack() as stack:
            connections = {
                readings: stack.enter_context(Connection(running.port))
                for readings, running in grown.items()
            }
            for zoom, count in PER_ZOOM.items():
                wanted = looked_at(zoom, bench.few(count), sensors)
                times = defaultdict(list)
                for tile in wanted:
                    for readings, connection in connections.items():
                        times[readings].append(miss(connection, tile_path(tile)).ms)
                for readings, milliseconds in times.items():
                    taken[zoom, readings].append(milliseconds)
    return taken
