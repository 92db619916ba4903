"""DuckDB without memory: less is tried at once, and nothing is given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from tests.readings import NOW_US, reading
from tests.test_drain import append, letters
from tests.test_flush import stored
from urbanos_edge import engine
from urbanos_edge.batch import pack
from urbanos_edge.errors import OutOfMemory
from urbanos_edge.node import Node

LITTLE_MIB = 30
"""Less than the least setting allows: enough for some ten thousand readings at a time."""
PAYLOADS = 128
READINGS = 1000


def fill(node: Node) -> None:
    for number in range(PAYLOADS):
        rows = [_reading(number, index) for index in range(READINGS)]
        append(node, pack(rows), READINGS)


def _reading(number: int, index: int) -> Any:
    values = {"pm25": index % 700 / 4, "pm10": index % 333 / 8, "no2": index * 37 % 100 / 2}
    return reading(f"s{number}-{index}", NOW_US + index * 1000, values=values)


@pytest.fixture
def starved(open_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(engine, "MAX_TEMPORARY_MIB", 0)  # it may not spill to disk either
    node = open_node(duckdb_memory_mib=LITTLE_MIB)
    fill(node)
    return node


def test_a_backlog_too_large_for_the_memory_is_stored_in_parts(starved: Node) -> None:
    anyio.run(starved.flush)
    assert len(starved.store.files) > 1, "memory did not run out: the test shows nothing"
    counts = "count(*), count(DISTINCT (sensor_id, timestamp))"
    assert stored(starved, counts) == [(PAYLOADS * READINGS, PAYLOADS * READINGS)]
    assert letters(starved) == []


def test_a_file_that_could_not_be_finished_leaves_nothing_behind(starved: Node) -> None:
    with pytest.raises(OutOfMemory):
        starved.mover.move(starved.spool.take(PAYLOADS * READINGS))
    assert not list((starved.data_dir / ".tmp").glob("*.parquet"))
