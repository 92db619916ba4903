"""Compaction: fewer files, the same readings, for whoever reads while it works."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import duckdb
import pytest

from tests.compacting import (
    EVERYTHING,
    OLD_DAY_US,
    compact_all,
    fill,
    kinds,
    node_sums,
    reopen,
    some_readings,
)
from tests.readings import reading
from tests.test_flush import GLOB, store, stored
from tests.test_rollup import rollup_clusters, source_clusters
from urbanos_edge import engine
from urbanos_edge.clock import HOUR_US
from urbanos_edge.errors import StorageUnavailable
from urbanos_edge.health.health import status
from urbanos_edge.node import Node
from urbanos_edge.store import compact, steps
from urbanos_edge.store.compact import LATE, PIECES, SEALED

ROW = "sensor_id, epoch_us(timestamp), epoch_us(received_at), lng, lat, grid_id, pm25, grading"


# --- real files ---


def test_a_sealed_day_holds_the_same_rows_in_one_file_along_the_curve(node: Node) -> None:
    fill(node, 3)
    before = stored(node, ROW, "ORDER BY sensor_id, timestamp")
    [done] = compact_all(node)
    assert (done.files_before, done.files_after, done.rows) == (3, 1, 600)
    assert stored(node, ROW, "ORDER BY sensor_id, timestamp") == before
    [path] = node.data_dir.glob(GLOB)
    [sealed] = node.store.files
    assert (sealed.kind, sealed.rows) == (SEALED, 600)
    with node.engine.cursor() as cursor:
        extent = "{'min_x': min(lng), 'min_y': min(lat), 'max_x': max(lng), 'max_y': max(lat)}"
        steps_back = cursor.execute(
            f"WITH box AS (SELECT {extent}::BOX_2D AS box FROM read_parquet($file)), rows AS ("
            " SELECT (ST_Hilbert(lng, lat, box), sensor_id, timestamp) AS k, file_row_number AS n"
            " FROM read_parquet($file, file_row_number = true), box)"
            " SELECT count(*) FROM (SELECT k, lag(k) OVER (ORDER BY n) AS before FROM rows)"
            " WHERE k < before",
            {"file": str(path)},
        ).fetchone()
    assert steps_back == (0,)
    assert compact_all(node) == []


def test_a_sealed_day_is_valid_geoparquet_with_statistics_for_pruning(node: Node) -> None:
    fill(node, 2)
    compact_all(node)
    [path] = node.data_dir.glob(GLOB)
    plain = duckdb.connect()
    keys = plain.execute("SELECT key FROM parquet_kv_metadata(?)", [str(path)]).fetchall()
    assert (b"geo",) in keys
    kind = plain.execute(
        "SELECT logical_type FROM parquet_schema(?) WHERE name = 'geometry'", [str(path)]
    ).fetchone()
    assert kind is not None
    assert "Geometry" in str(kind[0])
    columns = [row[0] for row in plain.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()]
    assert columns.count("created_date") <= 1


def test_a_large_day_becomes_pieces_that_share_no_ground(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "PIECE_ROWS", 100)
    fill(node, 4)
    before = stored(node, EVERYTHING)
    [done] = compact_all(node)
    assert done.files_after == PIECES
    assert stored(node, EVERYTHING) == before
    rows = [one.rows for one in node.store.files]
    assert max(rows) - min(rows) < 100, "the pieces are about as large"


def test_a_day_at_one_place_is_sealed_too(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "PIECE_ROWS", 2)
    store(node, *(reading(timestamp_us=OLD_DAY_US + number) for number in range(9)))
    [done] = compact_all(node)
    assert (done.rows, done.files_after) == (9, 1)


def test_late_readings_reopen_a_sealed_day_which_stays_at_four_files(node: Node) -> None:
    fill(node, 2)
    compact_all(node)
    store(node, reading("late", OLD_DAY_US + 5))
    store(node, reading("later", OLD_DAY_US + 6))
    before = stored(node, EVERYTHING)
    compact_all(node)
    assert kinds(node) == {SEALED: 1, LATE: 1}
    assert stored(node, EVERYTHING) == before
    fill(node, 1, first=9)
    compact_all(node)
    assert kinds(node) == {SEALED: 1}


def test_a_revision_of_a_sealed_day_replaces_its_row_and_keeps_the_order(node: Node) -> None:
    fill(node, 2)
    compact_all(node)
    sensor, at_us = stored(node, "sensor_id, epoch_us(timestamp)", "LIMIT 1 OFFSET 77")[0]
    order = stored(node, "sensor_id, epoch_us(timestamp)")
    store(node, reading(sensor, at_us, values={"no2": 7.0}))
    assert kinds(node) == {SEALED: 1, "": 1}
    sealed = next(one for one in node.store.files if one.kind == SEALED)
    kept = duckdb.execute(
        "SELECT sensor_id, epoch_us(timestamp) FROM read_parquet(?)", [str(node.store.full(sealed))]
    ).fetchall()
    assert kept == [row for row in order if row != (sensor, at_us)]
    compact_all(node)
    assert stored(node, "count(*), count(no2), count(pm25)") == [(400, 1, 400)]


def test_a_rewritten_file_has_the_columns_of_any_other(node: Node) -> None:
    store(node, reading(), reading("other"))
    store(node, reading(values={"pm25": 40.0}))
    paths = [str(path) for path in node.data_dir.glob(GLOB)]
    schema = "SELECT name FROM parquet_schema(?)"
    names = {tuple(duckdb.execute(schema, [path]).fetchall()[1:]) for path in paths}
    assert len(paths) == 2
    assert len(names) == 1


def test_the_rollup_is_the_same_before_and_after(open_node: Callable[..., Node]) -> None:
    node = open_node()
    now_us = node.clock.now_us()
    for seed in range(4):
        store(node, *some_readings(seed, 100, now_us - 20 * HOUR_US))
    before = rollup_clusters(node, 0.01)
    compact_all(node)
    assert rollup_clusters(node, 0.01) == before == source_clusters(node, 0.01)
    node = open_node()
    assert rollup_clusters(node, 0.01) == before
    sensor, at_us = stored(node, "sensor_id, epoch_us(timestamp)", "LIMIT 1")[0]
    store(node, reading(sensor, at_us, values={"pm25": 1.0}))  # counted anew from merged files
    assert rollup_clusters(node, 0.01) == source_clusters(node, 0.01)


# --- beside others ---


def test_readers_see_the_same_sums_while_a_day_is_compacted_over_and_over(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "PIECE_ROWS", 400)
    fill(node, 6)
    expected = node_sums(node)
    stop, wrong, looks = threading.Event(), [], itertools.count()

    def read() -> None:
        while not stop.is_set():
            try:
                found = node_sums(node)
            except Exception as error:
                found = [(error,)]
            if found != expected:
                wrong.append(found)
            next(looks)

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(5):
            assert compact_all(node)
            reopen(node)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert wrong == []
    assert next(looks) > 16
    assert stored(node, EVERYTHING) == expected


def test_a_revision_that_arrives_during_a_seal_wins(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "PIECE_ROWS", 200)
    fill(node, 3)
    sensor, at_us = stored(node, "sensor_id, epoch_us(timestamp)", "LIMIT 1")[0]
    assert node.compactor.step(quiet_us=0)
    assert node.compactor.step(quiet_us=0)
    store(node, reading(sensor, at_us, values={"pm25": 99.99}))
    expected = stored(node, EVERYTHING)
    compact_all(node)
    assert kinds(node) == {SEALED: 3}
    assert stored(node, EVERYTHING) == expected
    where = f"WHERE sensor_id = '{sensor}' AND epoch_us(timestamp) = {at_us}"
    assert stored(node, "pm25", where) == [(99.99,)]
    assert not list((node.data_dir / ".tmp").glob("*.parquet"))


def test_files_that_a_flush_has_looked_up_are_not_replaced_under_it(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(node, 2)
    sensor, at_us = stored(node, "sensor_id, epoch_us(timestamp)", "LIMIT 1")[0]
    flush = threading.Thread(
        target=lambda: store(node, reading(sensor, at_us, values={"pm25": 99.99}))
    )
    has_looked_up = threading.Event()
    sealing = threading.current_thread()

    def watch(step: str) -> None:
        is_sealing = threading.current_thread() is sealing
        if is_sealing and step == "file synced" and flush.ident is None:
            flush.start()
            assert has_looked_up.wait(20)
        if not is_sealing and step == "files written":
            has_looked_up.set()
            sealing_listed.wait(0.5)
        if is_sealing and step == "files listed":
            sealing_listed.set()

    sealing_listed = threading.Event()
    monkeypatch.setattr(steps, "watcher", watch)
    compact_all(node)
    flush.join()
    assert has_looked_up.is_set()
    assert stored(node, "count(*), count(*) FILTER (pm25 = 99.99)") == [(400, 1)]
    assert node.spool.depth == 0


def test_a_flush_and_a_seal_go_on_beside_each_other(node: Node) -> None:
    fill(node, 3, count=50)
    stop = threading.Event()

    def seal() -> None:
        while not stop.is_set():
            node.compactor.finish_one(quiet_us=0)

    sealing = threading.Thread(target=seal)
    sealing.start()
    try:
        fill(node, 10, count=50, first=3)
    finally:
        stop.set()
        sealing.join()
    assert stored(node, "count(*)") == [(13 * 50,)]


def test_what_cannot_be_proven_is_not_shown(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(node, 2)
    before, files = stored(node, EVERYTHING), set(node.store.files)
    real = engine.statement

    def lossy(name: str) -> str:
        return real(name).replace("hilbert > $after", "hilbert > $after AND pm25 < 88")

    monkeypatch.setattr(compact, "statement", lossy)
    with pytest.raises(StorageUnavailable, match="do not hold"):
        compact_all(node)
    assert set(node.store.files) == files
    assert stored(node, EVERYTHING) == before


def test_a_damaged_input_is_set_aside_and_never_copied(node: Node) -> None:
    fill(node, 2)
    victim = node.store.full(node.store.files[0])
    content = bytearray(victim.read_bytes())
    content[len(content) // 3] ^= 1
    victim.write_bytes(content)
    [done] = compact_all(node)
    assert done.rows == 200
    assert status(node)["quarantined"] == 1
    assert stored(node, "count(*)") == [(200,)]


def test_nothing_is_written_that_would_fill_the_disk(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(node, 2)
    monkeypatch.setattr(node.disk, "free_bytes", 0)
    assert compact_all(node) == []
    assert status(node)["compaction"]["jobs_due"] == 0 or kinds(node) == {"": 2}
