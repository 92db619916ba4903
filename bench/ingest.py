"""Writing beside InfluxDB: both sync every write before they acknowledge it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb

from bench.context import Bench
from bench.dataset import places
from bench.figures import Figure, Floor, compare, spread
from bench.influx import Influx, influx
from bench.node import RunningNode, node
from bench.processes import peak_rss_mib
from bench.sending import PATH, Sender, settings_for_wrk
from bench.wrk import Load, finish, load, started

NAME: Final = "ingest"
SINGLES: Final = 32
BATCHES: Final = 8
PER_BATCH: Final = 1000
ROUND_S: Final = {1: 5, PER_BATCH: 12}
"""Batches are sent for longer than the flush interval, so that every round pays for a flush."""
PLAIN_S: Final = 5
MINUTE_S: Final = 60
OVERLOAD_S: Final = 20
OVERLOAD: Final = 3
"""Times the connections of both kinds, at once."""
BACK_WITHIN_S: Final = 30
BACK_SHARE: Final = 0.8
"""The share of the rate before at which a node counts as recovered."""
LOOK_EVERY_S: Final = 0.5


class Sides:
    """A node and InfluxDB, both empty but for one reading of each sensor, and their loads."""

    def __init__(self, bench: Bench, ours: RunningNode, theirs: Influx, folder: Path) -> None:
        self.bench = bench
        self.node = ours
        self.influx = theirs
        self.folder = folder
        self._token = ours.token()

    def into_node(self, per_body: int, connections: int, for_s: float) -> Load:
        return load(
            f"{self.node.url}{PATH}",
            "readings",
            connections=connections,
            duration_s=for_s,
            settings=self.settings("json", per_body),
        )

    def into_influx(self, per_body: int, connections: int, for_s: float) -> Load:
        return load(
            self.influx.write_url,
            "readings",
            connections=connections,
            duration_s=for_s,
            settings=self.settings("line", per_body),
        )

    def settings(self, kind: str, per_body: int) -> dict[str, str]:
        token = self._token if kind == "json" else None
        return settings_for_wrk(self.folder, kind, per_body, token)


def run(bench: Bench) -> Iterator[Figure]:
    """All figures about writing."""
    with _both(bench) as sides:
        singles = _compared(sides, "single readings", 1, SINGLES)
        singles.floors = [
            Floor("ratio.median", 0.35, aim=0.7),
            Floor("more.p99_ms", 50, at_least=False),
        ]
        yield singles
        batches = _compared(sides, "batches of 1,000", PER_BATCH, BATCHES)
        batches.floors = [Floor("ratio.median", 0.3, aim=1), Floor("ours.median", 100_000)]
        yield batches
    with _both(bench) as sides:
        yield _minute(sides)
    with _both(bench) as sides:
        yield _overload(sides)


@contextmanager
def _both(bench: Bench) -> Iterator[Sides]:
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder("ingest"))
        folder.mkdir()
        theirs = stack.enter_context(influx(folder / "influx"))
        ours = stack.enter_context(node(folder / "node"))
        sides = Sides(bench, ours, theirs, folder)
        Sender(ours, places()).freshen()
        sides.into_influx(PER_BATCH, 1, 1)
        yield sides


def _compared(sides: Sides, name: str, per_body: int, connections: int) -> Figure:
    """Readings a second in alternating rounds.

    The node flushes during its own rounds; what still waits then is flushed before InfluxDB's turn.
    """
    for_s = sides.bench.seconds(ROUND_S[per_body])
    ours, theirs = [], []
    for _ in range(sides.bench.rounds):
        ours.append(sides.into_node(per_body, connections, for_s))
        _wait_for_flush(sides.node)
        theirs.append(sides.into_influx(per_body, connections, for_s))
    mine = [one.per_s * per_body for one in ours]
    other = [one.per_s * per_body for one in theirs]
    return Figure(
        bench=NAME,
        name=f"{name}, POST",
        unit="readings/s",
        better="higher",
        ours=spread(mine),
        peer="InfluxDB, syncing each write",
        theirs=spread(other),
        ratio=compare(mine, other, "higher"),
        more={
            "connections": connections,
            **_percentiles("", ours),
            **_percentiles("their_", theirs),
            "refused": sum(one.refused + one.broken for one in ours),
            "their_refused": sum(one.refused + one.broken for one in theirs),
            "peak_rss_mib": peak_rss_mib(sides.node.pid),
            "their_peak_rss_mib": peak_rss_mib(sides.influx.pid),
        },
    )


def _percentiles(prefix: str, loads: list[Load]) -> dict[str, float]:
    """The worst round's."""
    return {
        f"{prefix}p50_ms": max(one.p50_ms for one in loads),
        f"{prefix}p99_ms": max(one.p99_ms for one in loads),
    }


_MINUTE_FLOORS: Final = (
    Floor("ratio.median", 0.3, aim=1),
    Floor("ours.median", 100_000),
    Floor("more.lost", 0, at_least=False),
    Floor("more.doubled", 0, at_least=False),
    Floor("more.flushed_after_s", 20, at_least=False),
)


def _minute(sides: Sides) -> Figure:
    """A minute without a pause on each side; then every acknowledged reading must be stored."""
    for_s = sides.bench.seconds(MINUTE_S)
    watch = _Watch(sides.node)
    with watch:
        mine = sides.into_node(PER_BATCH, BATCHES, for_s)
    at_end, flushed_after_s = _wait_for_flush(sides.node)
    other = sides.into_influx(PER_BATCH, BATCHES, for_s)
    acknowledged = (mine.requests - mine.refused) * PER_BATCH
    found = _stored(sides.node.data_dir)
    rates = [mine.per_s * PER_BATCH], [other.per_s * PER_BATCH]
    return Figure(
        bench=NAME,
        name=f"batches of 1,000 for {for_s:g} s, flushed meanwhile",
        unit="readings/s",
        better="higher",
        ours=spread(rates[0]),
        peer="InfluxDB, syncing each write",
        theirs=spread(rates[1]),
        ratio=compare(*rates, "higher"),
        floors=list(_MINUTE_FLOORS),
        more={
            "acknowledged": acknowledged,
            "lost": max(acknowledged - found["whole_batches"] * PER_BATCH, 0),
            **found,
            **_percentiles("", [mine]),
            **_percentiles("their_", [other]),
            "refused": mine.refused + mine.broken,
            "most_in_spool": watch.most_in_spool,
            "in_spool_at_end": at_end,
            "flushed_after_s": flushed_after_s,
            "peak_rss_mib": peak_rss_mib(sides.node.pid),
            "their_peak_rss_mib": peak_rss_mib(sides.influx.pid),
        },
    )


def _wait_for_flush(running: RunningNode) -> tuple[int, float]:
    """Readings that waited when the load ended, and after how many seconds none did."""
    began_s, at_end = time.monotonic(), running.spool_depth()
    while running.spool_depth():
        time.sleep(LOOK_EVERY_S)
    return at_end, round(time.monotonic() - began_s, 1)


def _stored(data_dir: Path) -> dict[str, Any]:
    """What plain DuckDB finds in the files; the moment of a batch and its thousand are its name.

    What was on its way when the load ended may be stored without having been acknowledged.
    """
    glob = data_dir / "readings" / "created_date=*" / "*.parquet"
    with duckdb.connect() as engine:
        counted = engine.execute(
            "SELECT sum(n)::BIGINT, sum(n - d)::BIGINT,"
            " count(*) FILTER (d = 1000 AND is_whole_ms)::BIGINT FROM ("
            "  SELECT count(*) AS n, count(DISTINCT sensor_id) AS d,"
            "   epoch_us(timestamp) % 1000 = 0 AS is_whole_ms"
            f"  FROM read_parquet('{glob}')"
            "  GROUP BY timestamp, right(sensor_id, 4)::INTEGER // 1000)"
        ).fetchone()
    assert counted is not None
    return {"stored": counted[0], "doubled": counted[1], "whole_batches": counted[2]}


class _Watch:
    """Looks at the spool while a load runs."""

    def __init__(self, running: RunningNode) -> None:
        self._node = running
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.most_in_spool = 0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self.most_in_spool = max(self.most_in_spool, self._node.spool_depth())


def _overload(sides: Sides) -> Figure:
    """Three times both loads at once; then the plain load must run again as before."""
    plain_s = sides.bench.seconds(PLAIN_S)
    before = sides.into_node(1, SINGLES, plain_s)
    during = _overwhelm(sides, sides.bench.seconds(OVERLOAD_S))
    ended_s = time.monotonic()
    after = sides.into_node(1, SINGLES, 2)
    while after.per_s < BACK_SHARE * before.per_s and time.monotonic() - ended_s < 60:
        after = sides.into_node(1, SINGLES, 2)
    statuses: dict[str, int] = {}
    for one in during:
        for status, times in one.statuses.items():
            statuses[status] = statuses.get(status, 0) + times
    return Figure(
        bench=NAME,
        name=f"{OVERLOAD} times the load, then the plain load",
        unit="readings/s",
        better="higher",
        ours=spread([after.per_s]),
        peer="the same node before",
        theirs=spread([before.per_s]),
        ratio=compare([after.per_s], [before.per_s], "higher"),
        floors=[
            Floor("more.back_after_s", BACK_WITHIN_S, at_least=False),
            Floor("more.other_answers", 0, at_least=False),
            Floor("more.peak_rss_mib", 1024, at_least=False),
        ],
        more={
            "answers": statuses,
            "other_answers": _other_answers(statuses),
            "broken_connections": sum(one.broken for one in during),
            "back_after_s": round(time.monotonic() - ended_s, 1),
            "p99_ms": max(one.p99_ms for one in during),
            "peak_rss_mib": peak_rss_mib(sides.node.pid),
        },
    )


def _overwhelm(sides: Sides, for_s: float) -> list[Load]:
    kinds = ((1, SINGLES * OVERLOAD), (PER_BATCH, BATCHES * OVERLOAD))
    with ExitStack() as stack:
        runs = [
            stack.enter_context(
                started(
                    f"{sides.node.url}{PATH}",
                    "readings",
                    connections=connections,
                    duration_s=for_s,
                    settings=sides.settings("json", per_body) | {"BENCH_COUNT": "1"},
                )
            )
            for per_body, connections in kinds
        ]
        return [finish(one, for_s) for one in runs]


def _other_answers(statuses: Mapping[str, int]) -> int:
    return sum(times for status, times in statuses.items() if status not in ("202", "429", "503"))
