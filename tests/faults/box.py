"""A box in its cupboard: readings, kiosks and readers of a whole city, for as long as it takes."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb

from bench.dataset import TEN_MILLION, Shape, prepared
from tests.faults.city import (
    BATCH,
    GATEWAYS,
    KIOSKS,
    Gateway,
    Helper,
    Kiosks,
    Reader,
    at_work,
    kiosks_at,
)
from tests.faults.figures import Figures
from tests.faults.growth import settled
from tests.faults.victim import DATABASE, patience
from tests.processes import NodeProcess
from urbanos_edge import control
from urbanos_edge.settings import Settings

LOOKS: Final = 10
"""At least; a long run is looked at every minute."""
AS_DELIVERED: Final = ("rate_limit", "tile_rate_limit")
"""Settings that other tests lift."""
FRESH_WITHIN_S: Final = 30.0
"""Two flushes and the way to the kiosks; stretched like all limits of time."""
STRAY_DESCRIPTORS: Final = 8
"""A worker that has its first work late opens what its thread needs: no leak."""
_STORED: Final = """
SELECT count(*), count(DISTINCT (sensor_id, timestamp))
FROM read_parquet(?, hive_partitioning = false)
WHERE epoch_us(timestamp) >= ?
"""


@dataclass(slots=True)
class Weight:
    """What the process weighs, second by second."""

    pid: int
    rss_mib: list[float] = field(default_factory=list)
    anonymous_mib: list[float] = field(default_factory=list)

    def watch(self, until_s: float) -> None:
        page_mib = os.sysconf("SC_PAGESIZE") / 2**20
        while time.monotonic() < until_s:
            sizes = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()
            resident, of_files = int(sizes[1]), int(sizes[2])
            self.rss_mib.append(resident * page_mib)
            self.anonymous_mib.append((resident - of_files) * page_mib)
            time.sleep(1)


def live_in_a_box(folder: Path, minutes: int, before: Shape = TEN_MILLION) -> Figures:
    """A node that has a day behind it serves a city, and is weighed again and again.

    The memory for the readings of the last 24 hours and the cache are full within the first fifth
    of the time, and what still grows after that is a leak.
    """
    figures = Figures(f"box, {GATEWAYS * BATCH:,} readings a second and {KIOSKS} kiosks")
    data_dir = prepared(before, folder)
    delivered = {name: getattr(Settings(), name) for name in AS_DELIVERED}
    node = NodeProcess(data_dir, delivered)
    try:
        token, begun_us = node.token(), time.time_ns() // 1000
        gateways = [Gateway(node.port, token, number) for number in range(GATEWAYS)]
        reader = Reader(node.port)
        with kiosks_at(node.port) as kiosks, ExitStack() as stack:
            helpers: list[Helper] = [*gateways, reader]
            for helper in helpers:
                stack.enter_context(at_work(helper, figures))
            looks = max(minutes, LOOKS)
            for_s = 60 * minutes / looks
            series = [_look(node, gateways, kiosks, begun_us, for_s) for _ in range(looks)]
        control.request(data_dir, "flush")
    finally:
        node.stop()
    figures.rounds, figures.acknowledged = 1, sum(gateway.acknowledged for gateway in gateways)
    _count(data_dir, begun_us, figures)
    _judge(series, figures)
    figures.more["reads"] = reader.reads
    if "Traceback" in node.log():
        figures.complaints.append(f"the node's log: …{node.log()[-2000:]}")
    return figures


def _look(
    node: NodeProcess, gateways: list[Gateway], kiosks: Kiosks, begun_us: int, for_s: float
) -> dict[str, float]:
    """Watch for a while and say how it was; also as a line on stderr, for who waits with it."""
    weight = Weight(node.pid)
    weight.watch(time.monotonic() + for_s)
    acknowledged = sum(gateway.acknowledged for gateway in gateways)
    taken_ms = sorted(ms for gateway in gateways for ms in _drained(gateway.taken_ms))
    status, process = node.status(), Path(f"/proc/{node.pid}")
    found: dict[str, float] = {
        "minute": round((time.time_ns() // 1000 - begun_us) / 60e6, 2),
        "rss_mib": round(statistics.fmean(weight.rss_mib), 2),
        "anonymous_mib": round(statistics.fmean(weight.anonymous_mib), 2),
        "least_mib": round(min(weight.anonymous_mib), 2),
        "descriptors": len(list((process / "fd").iterdir())),
        "threads": len(list((process / "task").iterdir())),
        "wal_mib": round((node.data_dir / f"{DATABASE}-wal").stat().st_size / 2**20, 2),
        "acknowledged": acknowledged,
        "waiting": status["spool"]["readings"],
        "recent_mib": round(status["recent"]["bytes"] / 2**20, 1),
        "p99_ms": round(taken_ms[len(taken_ms) * 99 // 100], 1) if taken_ms else 0.0,
        "load_per_core": round(patience(), 1),
        **kiosks.look(),
    }
    sys.stderr.write(json.dumps(found) + "\n")
    return found


def _drained(values: list[float]) -> list[float]:
    """All values, taken out of a list that a thread goes on filling."""
    return [values.pop() for _ in range(len(values))]


def _count(data_dir: Path, begun_us: int, figures: Figures) -> None:
    """Hold what plain DuckDB finds in the partitions against what was acknowledged."""
    paths = [str(path) for path in data_dir.glob("readings/created_date=*/*.parquet")]
    found = duckdb.connect().execute(_STORED, [paths, begun_us]).fetchone()
    assert found is not None
    rows, readings = found
    figures.lost = max(0, figures.acknowledged - readings)
    figures.wrong = max(0, readings - figures.acknowledged)
    figures.doubled = rows - readings
    if figures.lost or figures.wrong or figures.doubled:
        figures.complaints.append(f"{figures.acknowledged} acknowledged, {found} stored")


def _judge(series: list[dict[str, float]], figures: Figures) -> None:
    """The slopes after the first fifth, the ages, and who is still there.

    The least memory of each look tells of a leak more sharply than the mean, of which compaction
    takes its changing part.
    """
    at_h = [one["minute"] / 60 for one in series]
    last, of = series[-1], _columns(series)
    for name in ("rss_mib", "anonymous_mib", "least_mib", "descriptors"):
        rise = settled(at_h, of(name))
        allowed = STRAY_DESCRIPTORS / (at_h[-1] - at_h[0]) if name == "descriptors" else 0
        figures.more |= {
            f"{name}_at_the_end": round(last[name], 1),
            f"{name}_an_hour": round(rise.value, 2),
            f"{name}_an_hour_from": round(rise.low, 2),
            f"{name}_an_hour_to": round(rise.high, 2),
        }
        if rise.low > allowed:
            figures.complaints.append(f"{name} grows by {rise.low:.2f} an hour or more")
    figures.more |= {
        "threads_at_most": max(of("threads")),
        "wal_mib_at_most": max(of("wal_mib")),
        "readings_waiting_at_most": max(of("waiting")),
        "p99_ms_median": statistics.median(of("p99_ms")),
        "p99_ms_at_most": max(of("p99_ms")),
        "frames": last["frames"],
        "kiosks_cut_off": last["cut_off"],
        "age_s_median": statistics.median(of("median_age_s")),
        "age_s_at_most": max(of("max_age_s")),
        "load_per_core_median": statistics.median(of("load_per_core")),
    }
    for one in series:
        if one["max_age_s"] > FRESH_WITHIN_S * one["load_per_core"]:
            figures.complaints.append(f"a kiosk shows what is {one['max_age_s']} s old")
    if last["connected"] < KIOSKS or last["cut_off"]:
        figures.complaints.append(f"{last['cut_off']} times a kiosk was cut off: {last}")


def _columns(series: list[dict[str, float]]) -> Callable[[str], list[float]]:
    return lambda name: [one[name] for one in series]
