"""The node under its own protocols beside the same node under stock Uvicorn and under Granian.

Four things decide which server the node runs on: cached answers, small POSTs, the fan-out, and
whether it serves from a socket that its parent opened.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from bench import cached, ingest
from bench.context import Bench
from bench.dataset import places
from bench.fanout import (
    CHANGES,
    FLUSHED_WHEN_TOLD_S,
    LISTENERS,
    PAUSE_S,
    PLACE,
    STALLED,
    Alarms,
    Crowd,
    crowd,
)
from bench.figures import Better, Figure, compare, latencies, spread
from bench.http import Connection
from bench.node import RunningNode, node, served
from bench.processes import free_port
from bench.reading import fullest, hit, tile_path
from bench.sending import PATH, Sender, settings_for_wrk
from bench.wrk import Load, load
from urbanos_edge.grid import tile_at

NAME: Final = "servers"
OURS: Final = "node"
PEERS: Final = {"uvicorn": "Uvicorn's stock protocols", "granian": "Granian"}
SERVERS: Final = (OURS, *PEERS)
BACKLOG: Final = 128

T = TypeVar("T")


def run(bench: Bench) -> Iterator[Figure]:
    """All four, each against both peers."""
    with _each(bench) as nodes:
        yield from _cached(bench, nodes)
        yield from _singles(bench, nodes)
    with _each(bench, flush_interval_s=FLUSHED_WHEN_TOLD_S) as nodes:
        yield from _fanout(bench, nodes)
    yield from _inherited(bench)


@contextmanager
def _each(bench: Bench, **settings: object) -> Iterator[dict[str, RunningNode]]:
    """A node with one reading of each sensor under each server; those not asked are idle."""
    with ExitStack() as stack:
        folders = {name: stack.enter_context(bench.folder(name)) for name in SERVERS}
        nodes = {OURS: stack.enter_context(node(folders[OURS], **settings))}
        for name in PEERS:
            port = free_port()
            words = _words(name, folders[name], port)
            nodes[name] = stack.enter_context(served(words, folders[name], port, settings))
        for running in nodes.values():
            Sender(running, places()).freshen()
        yield nodes


def _words(server: str, data_dir: Path, *numbers: int) -> list[str]:
    return [sys.executable, "-m", "bench.serving", server, str(data_dir), *map(str, numbers)]


def _in_turns(bench: Bench, take: Callable[[str], T]) -> dict[str, list[T]]:
    """What each server gave in each round."""
    found: dict[str, list[T]] = {name: [] for name in SERVERS}
    for _ in range(bench.rounds):
        for name in SERVERS:
            found[name].append(take(name))
    return found


def _beside(
    name: str,
    unit: str,
    better: Better,
    rounds: dict[str, list[float]],
    more: dict[str, Any],
) -> Iterator[Figure]:
    """One figure a peer; `more` is by server."""
    for peer, label in PEERS.items():
        yield Figure(
            bench=NAME,
            name=f"{name}, beside {label}",
            unit=unit,
            better=better,
            ours=spread(rounds[OURS]),
            peer=label,
            theirs=spread(rounds[peer]),
            ratio=compare(rounds[OURS], rounds[peer], better),
            more={"ours": more[OURS], "theirs": more[peer]},
        )


def _cached(bench: Bench, nodes: dict[str, RunningNode]) -> Iterator[Figure]:
    [tile] = fullest(12, 1, len(places().ids))

    def take(server: str) -> Load:
        with Connection(nodes[server].port) as connection:
            hit(connection, tile_path(tile))
        return load(
            f"{nodes[server].url}{tile_path(tile)}",
            "get",
            connections=cached.CONNECTIONS,
            duration_s=bench.seconds(cached.ROUND_S),
        )

    yield from _loads("cached tile, GET", "req/s", _in_turns(bench, take))


def _singles(bench: Bench, nodes: dict[str, RunningNode]) -> Iterator[Figure]:
    """Single readings, each acknowledged once it is synced; what waits is flushed after a turn."""
    tokens = {name: running.token() for name, running in nodes.items()}

    def take(server: str) -> Load:
        with bench.folder("bodies") as folder:
            sent = load(
                f"{nodes[server].url}{PATH}",
                "readings",
                connections=ingest.SINGLES,
                duration_s=bench.seconds(ingest.ROUND_S[1]),
                settings=settings_for_wrk(folder, "json", 1, tokens[server]),
            )
        nodes[server].flush()
        return sent

    yield from _loads("single readings, POST", "readings/s", _in_turns(bench, take))


def _loads(name: str, unit: str, found: dict[str, list[Load]]) -> Iterator[Figure]:
    rates = {server: [one.per_s for one in loads] for server, loads in found.items()}
    more = {
        server: {
            "p50_ms": max(one.p50_ms for one in loads),
            "p99_ms": max(one.p99_ms for one in loads),
            "refused": sum(one.refused + one.broken for one in loads),
        }
        for server, loads in found.items()
    }
    yield from _beside(name, unit, "higher", rates, more)


def _fanout(bench: Bench, nodes: dict[str, RunningNode]) -> Iterator[Figure]:
    """An urgent reading, from its POST to the last listener; the worst percent of each round."""
    grid_id = tile_at(*PLACE, 12).grid_id
    with ExitStack() as stack:
        crowds = {
            name: stack.enter_context(crowd(running.port, grid_id))
            for name, running in nodes.items()
        }
        for name, running in nodes.items():
            _alarm(running, crowds[name], 1)  # the first one of all
        found = _in_turns(bench, lambda name: _alarm(nodes[name], crowds[name], bench.few(CHANGES)))
        held = {name: running.status()["listeners"] for name, running in nodes.items()}
    rounds = {name: [latencies(one)["p99_ms"] for one in last] for name, last in found.items()}
    more = {
        name: {
            "last": latencies([ms for one in last for ms in one]),
            "stalled": STALLED,
            "listeners_at_end": held[name],
        }
        for name, last in found.items()
    }
    yield from _beside(f"p99 to the last of {LISTENERS:,}", "ms", "lower", rounds, more)


def _alarm(running: RunningNode, listeners: Crowd, times: int) -> list[float]:
    """Milliseconds until each change reached the last one; a connection anew, none outlives 5 s."""
    taken_ms = []
    with Connection(running.port) as connection:
        alarms = Alarms(running, connection)
        for _ in range(times):
            taken_ms.append(listeners.time(alarms.next())[1])
            time.sleep(PAUSE_S)
    return taken_ms


def _inherited(bench: Bench) -> Iterator[Figure]:
    """From the start to the first answer, over a socket that the parent listened on before."""

    def take(server: str) -> float:
        with bench.folder("inherited") as folder:
            return ready_on_a_socket(server, folder)

    more = {
        OURS: "given to the server",
        "uvicorn": "its option fd",
        "granian": "it has no option: a private method of the locked version is replaced",
    }
    found = _in_turns(bench, take)
    yield from _beside("ready on an inherited socket", "s", "lower", found, more)


def ready_on_a_socket(server: str, data_dir: Path) -> float:
    """Seconds until a server that is handed a socket is ready.

    Raises:
        RuntimeError: who had connected before its start was not answered.
    """
    with (
        socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener,
        Connection(listener.getsockname()[1]) as early,
    ):
        port, descriptor = listener.getsockname()[1], listener.fileno()
        words = _words(server, data_dir, port, descriptor)
        with served(words, data_dir, port, {}, descriptors=[descriptor]) as running:
            status = early.get("/health/live").status
            if status != 200:
                raise RuntimeError(f"{server} answered {status} to who was there before it")
            return running.ready_s
