"""What a node should have told its centre, counted by hand from its files, and what it did tell."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import anyio
import duckdb

from tests.central.conftest import Centre
from urbanos_edge.grid import tile_at
from urbanos_edge.node import Node
from urbanos_edge.reading import QUANTITY_NAMES, reading_id

_SAID = (
    "sensor_id, grid_id, source, pollution_type, aqi_value, level, pm25_aqi, reported_aqi,"
    " pm25, temperature, flags"
)
Key = tuple[datetime, str, str]
Bucket = tuple[int, Decimal, Decimal, Decimal | None, Decimal | None, int]


def counted(node: Node) -> dict[Key, Bucket]:
    """The buckets of all stored readings: exact sums in units of the quantity, by plain Python."""
    names = ("aqi_value", *QUANTITY_NAMES)
    glob = node.data_dir / "readings/created_date=*/*.parquet"
    query = f"SELECT epoch_us(timestamp), lat, lng, flags, {', '.join(names)} FROM '{glob}'"
    trusted: defaultdict[Key, list[int]] = defaultdict(list)
    flagged: defaultdict[Key, int] = defaultdict(int)
    for at_us, lat, lng, flags, *values in duckdb.connect().execute(query).fetchall():
        hour = datetime.fromtimestamp(at_us // 3_600_000_000 * 3600, UTC)
        for name, value in zip(("aqi", *QUANTITY_NAMES), values, strict=True):
            if value is None:
                continue
            key = (hour, tile_at(lat, lng, 18).grid_id, name)
            trusted[key] += [] if flags else [round(value * 10_000)]
            flagged[key] += bool(flags)
    return {key: _bucket(values, flagged[key]) for key, values in trusted.items()}


def told(centre: Centre, node_id: str) -> dict[Key, Bucket]:
    """What the centre has of a node."""
    query = (
        "SELECT bucket_start, cell, quantity, count, sum, sum_sq, min, max, flagged"
        " FROM pollution_aggregates WHERE node_id = %s AND (count > 0 OR flagged > 0)"
    )
    found = centre.rows(query, node_id)
    return {(at, cell, name): tuple(rest) for at, cell, name, *rest in found}


def sync(node: Node) -> Any:
    """Bring what is owed."""
    return anyio.run(node.sync.catch_up)


def _bucket(values: list[int], flagged: int) -> Bucket:
    if not values:
        return (0, Decimal(0), Decimal(0), None, None, flagged)
    total, squares = sum(values), sum(value * value for value in values)
    low, high = (Decimal(end).scaleb(-4) for end in (min(values), max(values)))
    sums = Decimal(total).scaleb(-4), Decimal(squares).scaleb(-8)
    return (len(values), *sums, low, high, flagged)


def stored_readings(node: Node) -> dict[str, tuple[Any, ...]]:
    """What the node's files say, by id."""
    glob = node.data_dir / "readings/created_date=*/*.parquet"
    rows = duckdb.connect().execute(f"SELECT epoch_us(timestamp), {_SAID} FROM '{glob}'").fetchall()
    return {reading_id(row[1], row[0]): row for row in rows}


def told_readings(centre: Centre, node_id: str) -> dict[str, tuple[Any, ...]]:
    """What the centre has of them."""
    query = (
        f"SELECT id::TEXT, (extract(EPOCH FROM timestamp) * 1000000)::BIGINT, {_SAID}"
        " FROM pollution_data WHERE node_id = %s"
    )
    return {row[0]: row[1:] for row in centre.rows(query, node_id)}


def fingerprint(centre: Centre) -> Any:
    """What changes with every row that is written, even if it is the same afterwards."""
    query = (
        "SELECT count(*), md5(string_agg((tableoid, ctid, xmin)::TEXT, '' ORDER BY tableoid, ctid))"
        " FROM pollution_aggregates"
    )
    return centre.rows(query)
