"""From spool to store: what is acknowledged is stored once, by day, in files anyone can read."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import duckdb
import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.readings import NOW_US, reading, readings
from tests.test_identity import model
from urbanos_edge.clock import DAY_US
from urbanos_edge.health.health import status
from urbanos_edge.node import Node
from urbanos_edge.reading import Reading
from urbanos_edge.store.identity import MERGED

GLOB = "readings/created_date=*/*.parquet"


def store(node: Node, *arrivals: Reading) -> None:
    """Accept readings and flush them."""

    async def work() -> None:
        await node.ingest.keep(arrivals)
        await node.flush()

    anyio.run(work)


def stored(node: Node, columns: str = "*", tail: str = "") -> list[tuple[Any, ...]]:
    """Ask plain DuckDB, without any extension of ours."""
    glob = node.data_dir / GLOB
    return duckdb.connect().execute(f"SELECT {columns} FROM '{glob}' {tail}").fetchall()


def test_a_reading_sent_twice_is_stored_once(node: Node) -> None:
    store(node, reading(), reading())
    store(node, reading())
    assert stored(node, "count(*)") == [(1,)]
    assert status(node)["totals"]["duplicates"] == 2
    assert status(node)["totals"]["stored"] == 1


def test_a_reading_sent_again_after_a_restart_is_stored_once(
    open_node: Callable[..., Node],
) -> None:
    store(open_node(), reading())
    node = open_node()
    store(node, reading())
    assert stored(node, "count(*)") == [(1,)]


def test_a_revision_replaces_the_stored_row_quantity_by_quantity(node: Node) -> None:
    untouched = reading("other")
    store(node, reading(values={"pm25": 10.0, "pm10": 20.0}), untouched)
    store(node, reading(values={"pm25": 40.0, "no2": 5.0}))
    rows = stored(node, "pm25, pm10, no2, aqi_value", "WHERE sensor_id = 'school-12'")
    assert rows == [(40.0, 20.0, 5.0, 112)]
    assert stored(node, "pm25", "WHERE sensor_id = 'other'") == [(12.3,)]
    totals = status(node)["totals"]
    assert (totals["stored"], totals["revisions"], totals["duplicates"]) == (2, 1, 0)


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(batches=st.lists(st.lists(readings, min_size=1, max_size=8), min_size=1, max_size=4))
def test_however_arrivals_are_split_the_store_holds_the_same(
    node: Node, batches: list[list[Reading]]
) -> None:
    example = next(EXAMPLE)
    arrivals = [[_renamed(one, example) for one in batch] for batch in batches]
    before = status(node)["totals"]
    for batch in arrivals:
        store(node, *batch)
    known, duplicates, revisions = model([one for batch in arrivals for one in batch])
    columns = ", ".join(("sensor_id", "epoch_us(timestamp)", *MERGED))
    found = {
        row[:2]: {n: v for n, v in zip(MERGED, row[2:], strict=True) if v is not None}
        for row in stored(node, columns, f"WHERE sensor_id LIKE '%-{example}'")
    }
    assert found == known
    after = status(node)["totals"]
    assert after["duplicates"] - before["duplicates"] == duplicates
    assert after["revisions"] - before["revisions"] == revisions


EXAMPLE = itertools.count()


def _renamed(one: Reading, example: int) -> Reading:
    return msgspec.structs.replace(one, sensor_id=f"{one.sensor_id}-{example}")


def test_each_day_has_its_own_partition_by_the_readings_own_time(node: Node) -> None:
    store(node, reading(), reading(timestamp_us=NOW_US - 3 * DAY_US))
    days = sorted(path.parent.name for path in node.data_dir.glob(GLOB))
    assert days == ["created_date=2025-11-20", "created_date=2025-11-23"]
    assert stored(node, "count(*)", "WHERE created_date = '2025-11-20'") == [(1,)]


def test_a_file_is_valid_geoparquet_with_the_columns_promised(node: Node, data: Path) -> None:
    store(node, reading())
    path = next(node.data_dir.glob(GLOB))
    connection = duckdb.connect()
    raw = connection.execute(
        "SELECT value FROM parquet_kv_metadata(?) WHERE key = 'geo'", [str(path)]
    ).fetchone()
    assert raw is not None
    schema = json.loads((data / "vectors/geoparquet/schema-1.1.0.json").read_text())
    metadata = json.loads(bytes(raw[0]))
    assert metadata["version"] == "1.0.0"
    jsonschema.validate(metadata | {"version": "1.1.0"}, schema)
    described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)])
    names = [row[0] for row in described.fetchall() if row[0] != "created_date"]
    quantities = "pm1 pm25 pm10 o3 no2 so2 co temperature humidity pressure"
    assert names == [
        *"sensor_id timestamp received_at stored_at geometry lng lat grid_id source".split(),
        *"pollution_type level aqi_value pm25_aqi pm10_aqi o3_aqi no2_aqi so2_aqi co_aqi".split(),
        *("reported_aqi", *quantities.split(), "flags", "grading"),
        *("correction", *(f"{name}_raw" for name in quantities.split())),
    ]


@pytest.mark.parametrize("count", [4, 20, 200])
def test_the_readings_of_a_sensor_lie_by_time_in_a_file_however_few_they_are(
    node: Node, count: int
) -> None:
    store(node, *(reading(f"s{n % 2}", NOW_US + n) for n in reversed(range(count))))
    path = next(node.data_dir.glob(GLOB))
    query = "SELECT sensor_id, epoch_us(timestamp) FROM read_parquet(?, file_row_number = true)"
    rows = duckdb.execute(f"{query} ORDER BY file_row_number", [str(path)]).fetchall()
    assert [name for name, _ in itertools.groupby(rows, lambda row: row[0])] == ["s1", "s0"]
    for name in ("s0", "s1"):
        moments = [at_us for sensor_id, at_us in rows if sensor_id == name]
        assert moments == sorted(moments)


def test_a_value_out_of_range_is_stored_and_flagged(node: Node) -> None:
    store(node, reading("fan", values={"pm25": 999.9}), reading("fine"))
    assert stored(node, "sensor_id, flags", "ORDER BY 1") == [("fan", "range"), ("fine", "")]


def test_a_flush_takes_all_batches_of_the_spool(open_node: Callable[..., Node]) -> None:
    node = open_node(batch_size=2)

    async def work() -> None:
        for index in range(7):
            await node.ingest.keep([reading(f"sensor-{index}")])
        await node.flush()

    anyio.run(work)
    assert stored(node, "count(*)") == [(7,)]
    assert node.spool.depth == 0
    assert node.spool.take(10) == []


@pytest.mark.parametrize("break_file", ["cut", "emptied", "deleted", "overwritten"])
def test_a_damaged_file_is_set_aside_and_the_rest_served(
    open_node: Callable[..., Node], break_file: str
) -> None:
    node = open_node()
    store(node, reading(timestamp_us=NOW_US - DAY_US))
    store(node, reading())
    victim = next(node.data_dir.glob("readings/created_date=2025-11-22/*.parquet"))
    content = victim.read_bytes()
    match break_file:
        case "cut":
            victim.write_bytes(content[:-100])
        case "emptied":
            victim.write_bytes(b"")
        case "deleted":
            victim.unlink()
        case "overwritten":
            victim.write_bytes(b"\0" * len(content))
    node = open_node()
    assert [file.day for file in node.store.files] == ["2025-11-23"]
    assert status(node)["quarantined"] == 1
    assert stored(node, "count(*)") == [(1,)]


def test_what_the_manifest_does_not_list_is_removed_at_the_start(
    open_node: Callable[..., Node],
) -> None:
    node = open_node()
    store(node, reading())
    real = next(node.data_dir.glob(GLOB))
    (real.parent / "left-over.parquet").write_bytes(real.read_bytes())
    node = open_node()
    assert stored(node, "count(*)") == [(1,)]


def test_a_replaced_file_stays_until_its_last_reader_is_done(node: Node) -> None:
    store(node, reading())
    with node.store.lease(lambda _: True) as paths:
        store(node, reading(values={"pm25": 99.0}))
        assert all(Path(path).exists() for path in paths)
        with node.store.lease(lambda _: True) as later:
            assert set(later).isdisjoint(paths)
    assert not any(Path(path).exists() for path in paths)
    assert stored(node, "pm25") == [(99.0,)]
