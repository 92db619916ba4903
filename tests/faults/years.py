"""A node that has run for a year: readings of three months, aggregates of the rest."""

from __future__ import annotations

import re
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import apsw
import httpx
import numpy as np

from tests.faults.figures import Figures
from tests.faults.victim import Victim, victim
from urbanos_edge.batch import ROW, Batch, finest_tiles
from urbanos_edge.clock import DAY_US, HOUR_US
from urbanos_edge.hours.hours import FINAL, hours_in
from urbanos_edge.ingest.sensors import Sensor
from urbanos_edge.ingest.spool import count
from urbanos_edge.node import Node
from urbanos_edge.progress import ignore_progress
from urbanos_edge.settings import Settings
from urbanos_edge.store.compact import SEALED
from urbanos_edge.store.manifest import HOURS, File
from urbanos_edge.store.store import Store, day_of, start_of

DAYS: Final = 365
KEPT_DAYS: Final = 90
SENSORS: Final = 7_000
LIMITS: Final = {
    "peak_rss_mib": 512,
    "most_files_of_a_sealed_day": 4,
    "files_of_the_open_day": 89,
}
_SHIFT_READINGS: Final = """
COPY (
    SELECT * REPLACE (
        timestamp - to_days({days}) AS timestamp,
        received_at - to_days({days}) AS received_at,
        stored_at - to_days({days}) AS stored_at
    )
    FROM read_parquet({source}, hive_partitioning = false, file_row_number = false)
) TO {target} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880, GEOPARQUET_VERSION 'BOTH')
"""
_SHIFT_HOURS: Final = """
COPY (
    SELECT * REPLACE (
        hour - 24 * {days} AS hour,
        last_at_us - 86400000000 * {days} AS last_at_us,
        {final} AS is_final
    )
    FROM read_parquet({source}, hive_partitioning = false)
) TO {target} (FORMAT parquet, COMPRESSION zstd)
"""


def age_a_year(folder: Path, readings_a_day: int, sensors: int = SENSORS) -> Figures:
    """Fill a year, start on it, ask it for everything a wall and an office ask, and weigh it."""
    figures = Figures("year")
    data_dir = folder / "node"
    data_dir.mkdir()
    with closing(Node(Settings(), data_dir)) as node:
        _fill(node, readings_a_day, sensors)
    with victim(data_dir, folder / "node.log") as old:
        old.start()
        figures.ready_s += old.ready_s
        _look_around(old)
        figures.more["peak_rss_mib"] = _peak_rss_mib(old)
        _weigh(old, data_dir, figures)
    _hold_against_limits(figures)
    figures.rounds = 1
    return figures


def _fill(node: Node, readings_a_day: int, sensors: int) -> None:
    """One day whole through the store, the others as copies of it; and today as far as it is."""
    now_us = node.clock.now_us()
    today_us = now_us - now_us % DAY_US
    _register(node, sensors)
    _store(node, spread_batch(sensors, readings_a_day, today_us - DAY_US, today_us))
    node.compactor.finish_all(ignore_progress)
    node.hours.count_all()
    sealed, counted = list(node.store.files), list(node.hours.store.files)
    for days in range(1, DAYS):
        if days < KEPT_DAYS:
            _copy(node, node.store, sealed, days, _SHIFT_READINGS, SEALED)
        kind = "" if days < KEPT_DAYS else FINAL
        _copy(node, node.hours.store, counted, days, _SHIFT_HOURS, kind)
    hour_us = today_us
    while hour_us < now_us:
        end_us = min(hour_us + HOUR_US, now_us)
        share = readings_a_day * (end_us - hour_us) // DAY_US
        _store(node, spread_batch(sensors, share, hour_us, end_us))
        hour_us = end_us
    node.hours.count_all()


def _register(node: Node, sensors: int) -> None:
    names = [f"sensor-{number:05}" for number in range(sensors)]
    listed = [Sensor(name, name, None, None, "api", 0) for name in names]
    node.database.write_and_wait(lambda connection: node.sensors.save(connection, listed))
    node.sensors.remember(listed)


def _store(node: Node, batch: Batch) -> None:
    if len(batch):
        node.mover.store(batch, lambda _: None)


def spread_batch(sensors: int, readings: int, begin_us: int, end_us: int) -> Batch:
    """Readings spread evenly over sensors and time, five quantities each."""
    rng = np.random.default_rng(1)
    lng, lat = rng.normal(24.94, 0.3, sensors).round(6), rng.normal(60.19, 0.15, sensors).round(6)
    x18, y18 = finest_tiles(lng, lat)
    at_us = np.linspace(begin_us, end_us, readings, endpoint=False).astype(np.int64)
    sensor = np.arange(readings) % sensors
    labels = [*(f"sensor-{number:05}" for number in range(sensors)), "api", "air"]
    fields: dict[str, Any] = {name: np.full(readings, np.nan) for name in ROW.names or ()}
    fields |= {
        "timestamp_us": at_us,
        "received_us": at_us + 1_000_000,
        "sensor": sensor,
        "source": np.full(readings, sensors),
        "pollution_type": np.full(readings, sensors + 1),
        "timing": np.zeros(readings, np.uint8),
        "channels_disagree": np.zeros(readings, bool),
        **{"lng": lng[sensor], "lat": lat[sensor], "x18": x18[sensor], "y18": y18[sensor]},
        "pm25": rng.lognormal(2.2, 0.6, readings).round(1),
        "pm10": rng.lognormal(2.7, 0.6, readings).round(1),
        "no2": rng.normal(14, 4, readings).round(1),
        "temperature": rng.normal(8, 6, readings).round(1),
        "humidity": rng.normal(75, 8, readings).round(),
    }
    return Batch(labels, fields)


def _copy(node: Node, store: Store, files: list[File], days: int, copy: str, kind: str) -> None:
    """The files of one day as those of an earlier one."""
    with store.changing, node.engine.cursor() as cursor, store.change() as change:
        for file in files:
            day = day_of(start_of(file.day) - days * DAY_US)
            source = f"'{store.full(file)}'"
            text = copy.replace("{days}", str(days)).replace("{source}", source)
            text = text.replace("{final}", str(kind == FINAL).lower())
            change.write(cursor, day, text, {}, kind)
        pending = list(change.pending)

        def also(connection: apsw.Connection) -> None:
            if store.holds(f"{HOURS.folder}/"):
                rows = [(hour, one.path) for one in pending for hour in hours_in(one.day)]
                connection.executemany("INSERT INTO counted_hours VALUES (?, ?)", rows)
            else:
                count(connection, {"stored": sum(one.rows for one in pending)})

        change.commit(also)


def _look_around(node: Victim) -> None:
    """What a wall and an office ask for."""
    paths = (
        "/api/v1/status",
        "/api/v1/clusters?minLat=59&maxLat=61&minLng=24&maxLng=26&gridSize=0.05",
        "/tiles/readings/8/145/74.mvt",
        "/tiles/readings/12/2331/1185.mvt",
        "/api/v1/grids/z10-x582-y296/data",
        "/api/v1/sensors/sensor-00007",
    )
    with httpx.Client(base_url=node.url, timeout=60) as client:
        for path in paths:
            client.get(path).raise_for_status()


def _peak_rss_mib(node: Victim) -> int:
    status = Path(f"/proc/{node.pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) >> 10


def _weigh(node: Victim, data_dir: Path, figures: Figures) -> None:
    readings = list(data_dir.glob("readings/*/*.parquet"))
    aggregates = list(data_dir.glob("hours/*/*.parquet"))
    by_day = Counter(path.parent.name for path in readings)
    open_day = f"created_date={day_of(int(time.time() * 1e6))}"
    status = node.status()
    figures.more |= {
        "readings": status["store"]["rows"],
        "mib_of_readings": sum(path.stat().st_size for path in readings) >> 20,
        "mib_of_aggregates": sum(path.stat().st_size for path in aggregates) >> 20,
        "days_of_readings": len(by_day),
        "days_of_aggregates": len({path.parent for path in aggregates}),
        "most_files_of_a_sealed_day": max(n for day, n in by_day.items() if day != open_day),
        "files_of_the_open_day": by_day[open_day],
    }


def _hold_against_limits(figures: Figures) -> None:
    for name, limit in LIMITS.items():
        if figures.more[name] > limit:
            found = f"{name.replace('_', ' ')} {figures.more[name]}"
            figures.complaints.append(f"{found}, more than {limit}")
