"""A change reaching a thousand WebSockets of one room, fifty of the room's clients stalled."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from websockets.sync.client import connect

from bench.context import Bench
from bench.figures import Figure, Floor, latencies, spread
from bench.http import Connection
from bench.node import RunningNode, node
from bench.processes import accepts, free_port, peak_rss_mib, running, stop, wait_until
from bench.sending import post
from urbanos_edge.grid import tile_at

NAME: Final = "fanout"
LISTENERS: Final = 1000
STALLED: Final = 50
CHANGES: Final = 20
"""Changes in a round."""
PER_TOKEN: Final = 9
"""Urgent readings that one token sends; ten a minute are allowed."""
PAUSE_S: Final = 0.05
FRAME: Final = "x" * 900
"""As long as a `grid-update` with one reading."""
READINGS: Final = 20
"""A flush brings so many to the room; each of their sensors has its row in the frame."""
FLUSHED_WHEN_TOLD_S: Final = 3600
"""A flush of its own would bring the listeners a second change while one is timed."""
PLACE: Final = (60.171, 24.941)


class Crowd:
    """The process of the listeners."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def time(self, change: Callable[[], None]) -> tuple[float, float]:
        """Milliseconds from the start of a change until the first and the last has heard of it."""
        self._ask("forget")
        began_ns = time.monotonic_ns()
        change()
        heard = self._ask("wait")
        if heard["reached"] < LISTENERS:
            raise RuntimeError(f"a change reached {heard['reached']} of {LISTENERS} listeners")
        return (heard["first_ns"] - began_ns) / 1e6, (heard["last_ns"] - began_ns) / 1e6

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self.hear()

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or "{}")
        return answer


class Alarms:
    """Urgent readings from one connection, each under a token that may still send one."""

    def __init__(self, running: RunningNode, connection: Connection) -> None:
        self._node = running
        self._connection = connection
        self._sent = 0

    def next(self) -> Callable[[], None]:
        """What sends the next one; a new token, when it takes one, is made before that."""
        if self._sent % PER_TOKEN == 0:
            self._token = self._node.token()
        self._sent += 1
        return partial(post, self._connection, self._token, reading(9))


def run(bench: Bench) -> Iterator[Figure]:
    """An urgent reading, and a flush that brings a hundred readings."""
    tile = tile_at(*PLACE, 12)
    with (
        bench.folder("fanout") as folder,
        node(folder, flush_interval_s=FLUSHED_WHEN_TOLD_S) as ours,
        crowd(ours.port, tile.grid_id) as mine,
        _broadcaster(bench) as port,
        crowd(port, tile.grid_id) as other,
    ):
        urgent, first, theirs = _urgent(bench, ours, mine, port, other)
        figure = _figure("an urgent reading, from its POST", urgent, first, ours)
        figure.peer = "websockets' own broadcast of a frame as long"
        figure.theirs = spread([max(one) for one in theirs])
        figure.more["their_last"] = latencies([ms for one in theirs for ms in one])
        yield figure
        flushed, first = _flushed(bench, ours, mine)
        announced = [
            [end - begin for end, begin in zip(*pair, strict=True)]
            for pair in zip(flushed, first, strict=True)
        ]
        figure = _figure(f"a flush of {READINGS} readings, from the first", announced, first, ours)
        figure.more["from_request"] = latencies([ms for one in flushed for ms in one])
        yield figure


def _figure(
    name: str,
    last: list[list[float]],
    first: list[list[float]],
    ours: RunningNode,
) -> Figure:
    return Figure(
        bench=NAME,
        name=f"{name}, to the last of {LISTENERS:,}",
        unit="ms",
        better="lower",
        ours=spread([max(one) for one in last]),
        floors=[Floor("more.last.p99_ms", 100, at_least=False)],
        more={
            "last": latencies([ms for one in last for ms in one]),
            "first": latencies([ms for one in first for ms in one]),
            "stalled": STALLED,
            "listeners_at_end": ours.status()["listeners"],
            "peak_rss_mib": peak_rss_mib(ours.pid),
        },
    )


def _urgent(
    bench: Bench, ours: RunningNode, mine: Crowd, port: int, other: Crowd
) -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    last: list[list[float]] = []
    first: list[list[float]] = []
    theirs: list[list[float]] = []
    with Connection(ours.port) as connection, connect(f"ws://127.0.0.1:{port}/") as source:
        alarms = Alarms(ours, connection)
        mine.time(alarms.next())  # the first one of all
        for _ in range(bench.rounds):
            last.append([])
            first.append([])
            theirs.append([])
            for _ in range(bench.few(CHANGES)):
                one = mine.time(alarms.next())
                first[-1].append(one[0])
                last[-1].append(one[1])
                theirs[-1].append(other.time(partial(source.send, FRAME))[1])
                time.sleep(PAUSE_S)
    return last, first, theirs


def _flushed(
    bench: Bench, ours: RunningNode, mine: Crowd
) -> tuple[list[list[float]], list[list[float]]]:
    last: list[list[float]] = []
    first: list[list[float]] = []
    token = ours.token()
    ours.flush()
    with Connection(ours.port) as connection:
        for _ in range(bench.rounds):
            last.append([])
            first.append([])
            for _ in range(bench.few(CHANGES) // 2):
                post(connection, token, _readings(5))
                one = mine.time(ours.flush)
                first[-1].append(one[0])
                last[-1].append(one[1])
                time.sleep(PAUSE_S)
    return last, first


def reading(priority: int, number: int = 0) -> bytes:
    """One that lies in the listeners' room."""
    lat, lng = PLACE
    return msgspec.json.encode(
        {
            "sensor_id": f"sensor-{number}",
            "location": {"lat": lat, "lng": lng},
            "timestamp": datetime.now(UTC).isoformat(timespec="microseconds"),
            "priority": priority,
            "values": {"pm25": 12.3, "pm10": 20.1},
        }
    )


def _readings(priority: int) -> bytes:
    return b"[%s]" % b",".join(reading(priority, number) for number in range(READINGS))


@contextmanager
def crowd(port: int, grid_id: str) -> Iterator[Crowd]:
    """Listeners of one room of the server at a port, and the stalled ones beside them."""
    words = [sys.executable, "-m", "bench.listeners", str(port), grid_id]
    process = subprocess.Popen(
        [*words, str(LISTENERS), str(STALLED)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        everybody = Crowd(process)
        if "joined" not in everybody.hear():
            raise RuntimeError("the listeners could not connect")
        yield everybody
    finally:
        stop(process)


@contextmanager
def _broadcaster(bench: Bench) -> Iterator[int]:
    port = free_port()
    with bench.folder("broadcaster") as folder:
        folder.mkdir()
        log: Path = folder / "log"
        with running([sys.executable, "-m", "bench.broadcaster", str(port)], log):
            wait_until(lambda: accepts(port), 10, log)
            yield port
