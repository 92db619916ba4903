"""Days of small files, and what compaction made of them."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

from tests.readings import NOW_US, reading
from tests.test_flush import store
from urbanos_edge.clock import DAY_US, SECOND_US
from urbanos_edge.node import Node
from urbanos_edge.reading import Reading
from urbanos_edge.store import compact
from urbanos_edge.store.compact import Job

EVERYTHING = (
    "count(*), sum(hash(sensor_id, timestamp)), sum((pm25 * 10)::BIGINT), sum(aqi_value),"
    " sum(epoch_us(received_at)), sum(epoch_us(stored_at))"
)
OLD_DAY_US = NOW_US - NOW_US % DAY_US
NUMBER = itertools.count()


def some_readings(seed: int, count: int = 200, at_us: int = OLD_DAY_US) -> list[Reading]:
    """Readings of twenty places on one day; a sensor never measures twice at one moment."""
    chance = random.Random(seed)
    return [
        reading(
            f"sensor-{chance.randrange(20)}",
            at_us + seed * SECOND_US + number * 60 * SECOND_US,
            lat=60.1 + chance.randrange(100) / 1000,
            lng=24.8 + chance.randrange(100) / 1000,
            values={"pm25": chance.randrange(900) / 10, "pm10": float(chance.randrange(100))},
        )
        for number in range(count)
    ]


def fill(node: Node, flushes: int, count: int = 200, first: int = 0) -> None:
    for seed in range(first, first + flushes):
        store(node, *some_readings(seed, count))


def compact_all(node: Node) -> list[compact.Done]:
    return node.compactor.finish_all(lambda *_: None)


def kinds(node: Node) -> Counter[str]:
    return Counter(one.kind for one in node.store.files)


def node_sums(node: Node) -> list[tuple[Any, ...]]:
    with node.store.lease(lambda _: True) as paths, node.engine.cursor() as cursor:
        return cursor.execute(f"SELECT {EVERYTHING} FROM read_parquet(?)", [paths]).fetchall()


def reopen(node: Node) -> None:
    """Make all files small ones again, as if they had just been flushed."""
    job = Job("", node.store.files[0].day, tuple(node.store.files))
    for _ in node.compactor._carry_out(job):
        pass
