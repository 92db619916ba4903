"""Hourly means of one sensor, beside SQL on the source design's raw table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from bench.context import Bench
from bench.dataset import MONTH, Places, places
from bench.figures import Figure, Floor, compare, latencies, spread
from bench.http import Connection
from bench.node import node
from bench.postgres import Postgres
from bench.reading import medians, peer

NAME: Final = "history"
PER_ROUND: Final = 24
"""Sensors asked for in a round, each of them once in the whole run."""
PREPARED: Final = """
PREPARE hours (float, float, int) AS
SELECT date_trunc('hour', timestamp) AS hour, count(*), avg(aqi_value), max(aqi_value)
FROM pollution_data
WHERE location && ST_Expand(ST_SetSRID(ST_MakePoint($1, $2), 4326), 1e-9)
    AND timestamp > now() - make_interval(days => $3)
GROUP BY 1
ORDER BY 1;
"""
"""The source design's table has no sensor: its place is what tells one from another."""


def run(bench: Bench) -> Iterator[Figure]:
    """A day of one among 10 million readings, and a month of one among 3 million."""
    with bench.data(bench.city) as data_dir:
        yield _figure(bench, data_dir, bench.postgres, bench.spots, 1)
    shape = bench.shape(MONTH)
    with bench.data(MONTH) as data_dir, bench.month() as postgres:
        yield _figure(bench, data_dir, postgres, places(shape.sensors), shape.days)


def _figure(bench: Bench, data_dir: Path, postgres: Postgres, spots: Places, days: int) -> Figure:
    count = bench.few(PER_ROUND)
    ours, theirs = [], []
    with node(data_dir) as running:
        for number in range(bench.rounds):
            chosen = range(number * count, (number + 1) * count)
            with Connection(running.port) as connection:
                ours.append([peer(connection, _path(spots.ids[i], days)).ms for i in chosen])
            theirs.append(
                postgres.timed(
                    PREPARED,
                    [f"EXECUTE hours({spots.lng[i]}, {spots.lat[i]}, {days});" for i in chosen],
                )
            )
    return Figure(
        bench=NAME,
        name=f"hours of a sensor over {days} d",
        unit="ms",
        better="lower",
        ours=spread(medians(ours)),
        peer="GROUP BY on the raw table",
        theirs=spread(medians(theirs)),
        ratio=compare(medians(ours), medians(theirs), "lower"),
        floors=[Floor("more.ours.p95_ms", 200, at_least=False)],
        more={
            "ours": latencies([ms for one in ours for ms in one]),
            "theirs": latencies([ms for one in theirs for ms in one]),
        },
    )


def _path(sensor_id: str, days: int) -> str:
    now = datetime.now(UTC)
    asked = {
        "from": (now - timedelta(days=days)).isoformat(),
        "to": now.isoformat(),
        "resolution": "1h",
    }
    return f"/api/v1/sensors/{sensor_id}/history?{urlencode(asked)}"
