"""Cached answers beside nginx, which serves the same bytes as a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench.context import Bench
from bench.figures import Figure, Floor, compare, spread
from bench.http import Connection
from bench.nginx import nginx
from bench.node import RunningNode
from bench.reading import hit
from bench.wrk import Load, load

CONNECTIONS: Final = 32
ROUND_S: Final = 4


def cached_beside_nginx(
    bench: Bench, running: RunningNode, name: str, paths: dict[str, str]
) -> Iterator[Figure]:
    """Requests a second of each path, by its name, in alternating rounds."""
    with Connection(running.port) as connection:
        bodies = {_file(what): hit(connection, path).body for what, path in paths.items()}
    with bench.folder("nginx") as folder, nginx(folder, bodies) as url:
        for what, path in paths.items():
            ours, theirs, p99_ms = [], [], []
            for _ in range(bench.rounds):
                mine = _load(bench, f"{running.url}{path}")
                ours.append(mine.per_s)
                p99_ms.append(mine.p99_ms)
                theirs.append(_load(bench, f"{url}/{_file(what)}").per_s)
            yield Figure(
                bench=name,
                name=f"cached {what}, GET",
                unit="req/s",
                better="higher",
                ours=spread(ours),
                peer="nginx, a file",
                theirs=spread(theirs),
                ratio=compare(ours, theirs, "higher"),
                floors=[Floor("ratio.median", 0.25, aim=0.4)],
                more={"bytes": len(bodies[_file(what)]), "p99_ms": max(p99_ms)},
            )


def _load(bench: Bench, url: str) -> Load:
    return load(url, "get", connections=CONNECTIONS, duration_s=bench.seconds(ROUND_S))


def _file(what: str) -> str:
    return what.replace(" ", "-")
