"""A node whose centre is empty brings it all it has, beside a plain COPY of the same buckets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bench.context import Bench
from bench.dataset import Shape
from bench.figures import Figure, Floor, compare, spread
from bench.node import RunningNode, node
from bench.postgres import USER, Postgres, cluster
from urbanos_edge.control import request
from urbanos_edge.sync import central

NAME: Final = "sync"
ROUNDS: Final = 3
HOURS: Final = Shape(3600, days=2)
"""Two days, in which each of 7,000 sensors sent once an hour: 2 million buckets."""
CENTRE: Final = {"wal_level": "replica", "autovacuum": "on"}
"""What a centre needs for its replicas and cannot do without for long."""
WITHIN_S: Final = 600.0
LONG_DAYS: Final = 90
_COLUMNS: Final = (
    "node_id, bucket_start, bucket_s, cell, quantity, count, sum, sum_sq, min, max, flagged,"
    " revision"
)


def run(bench: Bench) -> Iterator[Figure]:
    """The whole backfill, from the start of the node's process until the centre has it all."""
    ours, theirs, buckets = [], [], 0
    with bench.folder("centre") as folder, cluster(folder, CENTRE) as postgres:
        for number in range(min(bench.rounds, ROUNDS)):
            owner, login = new_centre(postgres, f"bench_{number}")
            with bench.data(HOURS) as data_dir:
                began_s = time.monotonic()
                with node(data_dir, sync_dsn=login, node_id=f"bench-{number}") as running:
                    wait_until_brought(running)
                    took_s = time.monotonic() - began_s
                    buckets = proven(running)
            ours.append(buckets / took_s)
            theirs.append(buckets / _copy(owner, folder / "buckets"))
    yield Figure(
        bench=NAME,
        name="backfill of an empty centre",
        unit="buckets/s",
        better="higher",
        ours=spread(ours),
        peer="COPY into pollution_aggregates",
        theirs=spread(theirs),
        ratio=compare(ours, theirs, "higher"),
        floors=[Floor("ours.median", 50_000)],
        more={
            "buckets": buckets,
            f"{LONG_DAYS}_days_min": _long_min(bench, buckets, spread(ours).median),
        },
    )


def new_centre(postgres: Postgres, name: str) -> tuple[str, str]:
    """The addresses of an empty centre: its owner's, and that of a node's login."""
    postgres.run(f"CREATE DATABASE {name}")
    owner = postgres.dsn.removesuffix("postgres") + name
    with central.connected(owner) as connection:
        central.migrate(connection)
        central.add_node(connection, name.replace("_", "-"))
    return owner, owner.replace(f"//{USER}@", f"//{central.ROLE_PREFIX}{name}@")


def wait_until_brought(running: RunningNode) -> None:
    """Return once the centre has all that the node has."""
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        told = standing(running)
        if told["state"] == "in_sync" and not told["pending_hours"]:
            return
        if told["state"] == "failing" or time.monotonic() > deadline_s:
            raise RuntimeError(f"the sync did not end: {told}")
        time.sleep(0.1)


def standing(running: RunningNode) -> dict[str, Any]:
    """How it stands with the centre, as `sync status --json` tells."""
    told: dict[str, Any] = request(running.data_dir, "status")["sync"]
    return told


def proven(running: RunningNode) -> int:
    """How many buckets were sent, of which each side has the same."""
    if differing := request(running.data_dir, "sync_verify"):
        raise RuntimeError(f"{len(differing)} hours differ")
    return int(standing(running)["buckets_sent"])


def _copy(owner: str, file: Path) -> float:
    """Seconds in which the owner copies the same rows into the same partitions, emptied before."""
    with central.connected(owner) as connection:
        out = f"COPY (SELECT {_COLUMNS} FROM pollution_aggregates) TO '{file}'"
        connection.execute(out.encode())
        connection.execute(b"TRUNCATE pollution_aggregates")
        connection.execute(b"CHECKPOINT")
        began_s = time.monotonic()
        connection.execute(f"COPY pollution_aggregates ({_COLUMNS}) FROM '{file}'".encode())
        took_s = time.monotonic() - began_s
        connection.execute(b"TRUNCATE pollution_aggregates")
    file.unlink()
    return took_s


def _long_min(bench: Bench, buckets: int, rate: float) -> float:
    """Minutes that so many days of the same sensors and quantities take at this rate."""
    return round(buckets / bench.shape(HOURS).days * LONG_DAYS / rate / 60, 1)
