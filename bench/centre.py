"""A large centre: what it takes in and compares, what its rows weigh, and what answers take.

A node of 7,000 sensors brings two days of aggregates. Eight copies of its last day, each beside the
one before, then make a country, and a city of 700 sensors brings its readings as well.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import msgspec

from bench.context import Bench
from bench.dataset import Shape
from bench.figures import Better, Figure, spread
from bench.http import Connection
from bench.node import UNLIMITED, RunningNode, node
from bench.postgres import SQL, cluster
from bench.processes import accepts, free_port, running, wait_until
from bench.reading import corners, fullest, peer, rows_path, tile_path
from bench.sync import CENTRE, HOURS, new_centre, proven, standing, wait_until_brought
from urbanos_edge.control import request
from urbanos_edge.grid import FINEST_ZOOM, Tile
from urbanos_edge.sync import central

NAME: Final = "centre"
CITY: Final = Shape(120, sensors=700)
"""Half a million readings of one day."""
COPIES: Final = 8
APART: Final = 20 << 8
"""Columns of zoom 18 from a copy to the next: 7 degrees, and whole tiles of zoom 10."""
CITY_ZOOM: Final = 10
START_WITHIN_S: Final = 30.0
WORLD: Final = Tile(0, 0, 0)
_ROWS_WEIGH: Final = (
    "SELECT (sum(pg_table_size(relid)) / %(rows)s)::FLOAT,"
    " (sum(pg_indexes_size(relid)) / %(rows)s)::FLOAT"
    " FROM pg_partition_tree(%(table)s) WHERE isleaf"
)
_KEEP_A_DAY: Final = (
    "CREATE TABLE region AS SELECT * FROM pollution_aggregates"
    " WHERE bucket_start >= date_trunc('hour', now(), 'UTC') - INTERVAL '23 hours'",
    "TRUNCATE pollution_aggregates",
    "DELETE FROM nodes",
)


def run(bench: Bench) -> Iterator[Figure]:
    """What nodes bring, then what is asked of it."""
    with bench.folder("centre") as folder, cluster(folder, CENTRE) as postgres:
        owner, login = new_centre(postgres, "bench_centre")
        yield from _region(bench, owner, login)
        _make_a_country(owner)
        yield from _city(bench, owner, login.replace("bench_centre@", "city@"))
        yield from _statements(bench, owner)
        yield from _answers(bench, folder, owner)


def _region(bench: Bench, owner: str, login: str) -> Iterator[Figure]:
    """Two million buckets: their size, and what comparing and mending them takes."""
    with bench.data(HOURS) as data_dir, _syncing(data_dir, login, "bench-centre") as region:
        wait_until_brought(region)
        buckets = proven(region)
        yield _size(owner, "pollution_aggregates", "bucket", buckets)
        compared_s = [_seconds(proven, region) for _ in range(bench.rounds)]
        yield _rate("comparing buckets", "buckets/s", buckets, compared_s)
        mended_s = []
        for _ in range(bench.rounds):
            _execute(owner, (SQL / "centre_damage.sql").read_text(encoding="utf-8"))
            before = standing(region)["buckets_sent"]
            mended_s.append(_seconds(request, data_dir, "sync_now"))
            buckets = standing(region)["buckets_sent"] - before
        yield _rate("mending hours with one wrong bucket", "buckets/s", buckets, mended_s)


def _make_a_country(owner: str) -> None:
    """In place of the region, its last day again and again, each copy from a node of its own."""
    _execute(owner, *_KEEP_A_DAY)
    copy = (SQL / "centre_copy.sql").read_text(encoding="utf-8").encode()
    with central.connected(owner) as connection:
        for number in range(1, COPIES + 1):
            values = {"node_id": f"region-{number}", "columns": number * APART}
            central.add_node(connection, f"region-{number}")
            connection.execute(copy, values)
        central.add_node(connection, "city")
    _execute(owner, "DROP TABLE region", "VACUUM ANALYZE pollution_aggregates")


def _city(bench: Bench, owner: str, login: str) -> Iterator[Figure]:
    """Half a million readings for a centre that has the aggregates of the same sensors already."""
    with bench.data(CITY) as data_dir:
        with _syncing(data_dir, login, "city") as city:
            wait_until_brought(city)
        began_s = time.monotonic()
        with _syncing(data_dir, login, "city", sync_mode="readings") as city:
            wait_until_brought(city)
            took_s = time.monotonic() - began_s
            readings = int(standing(city)["readings_sent"])
            yield _rate("taking readings", "readings/s", readings, [took_s])
            yield _size(owner, "pollution_data", "reading", readings)
            compared_s = [_seconds(proven, city) for _ in range(bench.rounds)]
            yield _rate("comparing readings", "readings/s", readings, compared_s)
    _execute(owner, "VACUUM ANALYZE pollution_data")


def _statements(bench: Bench, owner: str) -> Iterator[Figure]:
    """What an analyst and a timer ask in SQL."""
    cell = _cell(bench)
    areas = {
        "a district": (_above(cell, 14), 0.005),
        "a city": (_above(cell, CITY_ZOOM), 0.02),
        "the country": (WORLD, 0.5),
    }
    with central.connected(owner) as connection:
        ask = connection.execute
        for what, (tile, cell_deg) in areas.items():
            box = f"{corners(tile.bounds)}, {cell_deg}"
            select = f"SELECT count(*) FROM get_pollution_clusters_in_bounds({box})".encode()
            yield _times(f"SQL: clusters of {what}", bench.rounds, ask, select)
        for first, last in ((10, 14), (10, 18)):
            what = f"SQL: refresh_grid_metadata of zooms {first} to {last}"
            refresh = f"SELECT refresh_grid_metadata({first}, {last})".encode()
            yield _times(f"{what}, at first", 1, ask, refresh)
            yield _times(f"{what}, again", bench.rounds, ask, refresh)


def _answers(bench: Bench, folder: Path, owner: str) -> Iterator[Figure]:
    """What `central serve` answers: everything once, by a process that has just begun."""
    paths = _paths(bench)
    took_ms: dict[str, list[float]] = {what: [] for what in paths}
    for _ in range(bench.rounds):
        with _serving(folder / "serve.log", owner) as port, Connection(port) as connection:
            peer(connection, tile_path(Tile(CITY_ZOOM, 0, 0)))  # it connects to the database
            for what, path in paths.items():
                took_ms[what].append(peer(connection, path).ms)
    for what, rounds in took_ms.items():
        yield _figure(f"central serve: {what}", "ms", "lower", rounds)


def _paths(bench: Bench) -> Mapping[str, str]:
    """What is asked, by what it is."""
    cell, city = _cell(bench), bench.shape(CITY)
    [of_sensors] = fullest(CITY_ZOOM, 1, city.sensors)
    now = datetime.now(UTC)
    span = {"from": (now - timedelta(days=1)).isoformat(), "to": now.isoformat()}
    day = urlencode(span | {"resolution": "1h"})
    return {
        "statistics of a grid": f"/api/v1/grids/{_above(cell, 12).grid_id}",
        "rows of a grid": rows_path(fullest(12, 1, city.sensors)[0]),
        "tile of a city of cells": tile_path(_above(cell, CITY_ZOOM)),
        "tile of a city of sensors": tile_path(of_sensors),
        "tile of a country": tile_path(_above(cell, 5)),
        "tile of the world": tile_path(WORLD),
        "a cell's day": f"/api/v1/sensors/{cell.grid_id}/history?{day}",
        "a sensor's day": f"/api/v1/sensors/{bench.spots.ids[0]}/history?{day}",
        "list of sensors": "/api/v1/sensors?limit=1000",
    }


def _cell(bench: Bench) -> Tile:
    """The fullest cell of the first copy of the region."""
    [cell] = fullest(FINEST_ZOOM, 1, bench.shape(HOURS).sensors)
    return cell._replace(x=cell.x + APART)


def _above(tile: Tile, zoom: int) -> Tile:
    """The tile of a coarser zoom in which one lies."""
    return Tile(zoom, tile.x >> tile.z - zoom, tile.y >> tile.z - zoom)


@contextmanager
def _serving(log: Path, dsn: str) -> Iterator[int]:
    """`central serve` over the centre; yields its port."""
    port = free_port()
    words = [sys.executable, "-m", "urbanos_edge", "central", "serve", "--dsn", dsn]
    words += ["--host", "127.0.0.1", "--port", str(port)]
    with running(words, log, environment={"URBANOS_RATE_LIMIT": UNLIMITED}):
        wait_until(lambda: accepts(port), START_WITHIN_S, log)
        yield port


def _syncing(
    data_dir: Path, login: str, node_id: str, **settings: object
) -> AbstractContextManager[RunningNode]:
    """A node that brings what it has as fast as it can: a limit spares a line, not the centre."""
    return node(data_dir, sync_dsn=login, node_id=node_id, sync_max_mib_s=0, **settings)


def _execute(dsn: str, *statements: str) -> None:
    with central.connected(dsn) as connection:
        for text in statements:
            connection.execute(text.encode())


def _seconds(work: Callable[..., object], *arguments: object) -> float:
    began_s = time.monotonic()
    work(*arguments)
    return time.monotonic() - began_s


def _times(name: str, rounds: int, work: Callable[..., object], *arguments: object) -> Figure:
    took_ms = [_seconds(work, *arguments) * 1000 for _ in range(rounds)]
    return _figure(name, "ms", "lower", took_ms)


def _rate(name: str, unit: str, count: int, took_s: list[float]) -> Figure:
    return _figure(name, unit, "higher", [count / seconds for seconds in took_s])


def _size(owner: str, table: str, what: str, rows: int) -> Figure:
    with central.connected(owner) as connection:
        values = {"table": table, "rows": rows}
        row = connection.execute(_ROWS_WEIGH, values).fetchone()
    assert row is not None
    rows_bytes, indexes_bytes = row
    more = {"table": round(rows_bytes), "indexes": round(indexes_bytes)}
    figure = _figure(f"size of a {what}", "bytes", "lower", [rows_bytes + indexes_bytes])
    return msgspec.structs.replace(figure, more=more)


def _figure(name: str, unit: str, better: Better, rounds: list[float]) -> Figure:
    return Figure(bench=NAME, name=name, unit=unit, better=better, ours=spread(rounds))
