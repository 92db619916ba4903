"""A day of 10 million readings going out, beside PostgreSQL's COPY."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from bench.context import Bench
from bench.figures import Figure, Floor, compare, spread
from bench.http import Connection
from bench.node import RunningNode, node
from bench.postgres import Postgres
from bench.processes import forget_peak, peak_rss_mib, rss_mib

NAME: Final = "export"
ROUNDS: Final = 3


def run(bench: Bench) -> Iterator[Figure]:
    """Parquet and CSV; PostgreSQL has only the second."""
    with bench.data(bench.city) as data_dir, node(data_dir) as running:
        if not _is_served(running):
            yield Figure(
                bench=NAME, name=NAME, unit="", better="higher", missing="/api/v1/export: 404"
            )
            return
        for kind in ("parquet", "csv"):
            yield _figure(bench, running, kind)


def _figure(bench: Bench, running: RunningNode, kind: str) -> Figure:
    rows = bench.city.readings_per_day
    ours, theirs, above_mib, sizes = [], [], [], []
    for _ in range(min(bench.rounds, ROUNDS)):
        idle_mib = rss_mib(running.pid)
        forget_peak(running.pid)
        seconds, size = _fetch(running, kind)
        ours.append(rows / seconds)
        sizes.append(size)
        above_mib.append(peak_rss_mib(running.pid) - idle_mib)
        theirs.append(rows / _copy(bench.postgres))
    return Figure(
        bench=NAME,
        name=f"a day as {kind}",
        unit="rows/s",
        better="higher",
        ours=spread(ours),
        peer="COPY … TO STDOUT (CSV)",
        theirs=spread(theirs),
        ratio=compare(ours, theirs, "higher"),
        floors=[Floor("more.above_idle_mib", 300, at_least=False)]
        + ([Floor("ours.median", 1_000_000)] if kind == "parquet" else []),
        more={
            "rows": rows,
            "above_idle_mib": max(above_mib),
            "bytes_per_row": max(sizes) / rows,
        },
    )


def _is_served(running: RunningNode) -> bool:
    with Connection(running.port) as connection:
        return connection.get(_path("csv", timedelta(seconds=1))).status != 404


def _fetch(running: RunningNode, kind: str) -> tuple[float, int]:
    """Seconds and bytes of one export that nobody keeps."""
    began_s = time.monotonic()
    with Connection(running.port) as connection:
        status, size = connection.drain(_path(kind, timedelta(days=1)))
    if status != 200:
        raise RuntimeError(f"/api/v1/export answered {status}")
    return time.monotonic() - began_s, size


def _path(kind: str, span: timedelta) -> str:
    now = datetime.now(UTC)
    asked = {"from": (now - span).isoformat(), "to": now.isoformat(), "format": kind}
    return f"/api/v1/export?{urlencode(asked)}"


def _copy(postgres: Postgres) -> float:
    """Seconds that COPY takes for the same day, its output thrown away."""
    began_s = time.monotonic()
    sql = (
        "COPY (SELECT * FROM pollution_data WHERE timestamp > now() - interval '24 hours')"
        " TO STDOUT (FORMAT csv)"
    )
    subprocess.run(
        [*postgres.client(), "-c", sql], check=True, stdout=subprocess.DEVNULL, timeout=300
    )
    return time.monotonic() - began_s
