"""Compaction: fewer files, the same readings, for whoever reads while it works or after a crash."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.processes import command, wait_until
from tests.readings import NOW_US, reading
from tests.test_flush import GLOB, store, stored
from tests.test_rollup import rollup_clusters, source_clusters
from urbanos_edge import compact, engine, steps
from urbanos_edge.clock import DAY_US, HOUR_US, SECOND_US
from urbanos_edge.compact import HOURLY, LATE, PIECES, QUIET_US, SEALED, Job, plan
from urbanos_edge.errors import StorageUnavailable
from urbanos_edge.health import status
from urbanos_edge.manifest import File
from urbanos_edge.node import Node
from urbanos_edge.reading import Reading
from urbanos_edge.settings import Settings
from urbanos_edge.store import day_of, start_of

FLUSH_US = 10 * SECOND_US
MOST_OPEN, MOST_SEALED = 89, 4
EVERYTHING = (
    "count(*), sum(hash(sensor_id, timestamp)), sum((pm25 * 10)::BIGINT), sum(aqi_value),"
    " sum(epoch_us(received_at)), sum(epoch_us(stored_at))"
)
ROW = "sensor_id, epoch_us(timestamp), epoch_us(received_at), lng, lat, grid_id, pm25, grading"
OLD_DAY_US = NOW_US - NOW_US % DAY_US
NUMBER = itertools.count()


# --- what is due ---------------------------------------------------------------------------------


def file(day: str, received_us: int, kind: str = "", rows: int = 100) -> File:
    suffix = f"-{kind}" if kind else ""
    path = f"readings/created_date={day}/{next(NUMBER):016x}-00{suffix}.parquet"
    start_us = start_of(day)
    return File(path, day, rows, rows * 20, start_us, start_us, received_us, 24.0, 60.0, 25.0, 61.0)


def outcome(job: Job) -> list[File]:
    """The files a job leaves, without writing any."""
    newest_us = max(one.max_received_us for one in job.files)
    return [file(job.day, newest_us, job.kind, job.rows // job.pieces) for _ in range(job.pieces)]


def settled(files: Sequence[File], now_us: int, quiet_us: int = QUIET_US) -> list[File]:
    """The files once everything due is done, which must end."""
    found = list(files)
    for _ in range(100):
        jobs = plan(found, now_us, quiet_us)
        if not jobs:
            return found
        gone = {one.path for job in jobs for one in job.files}
        assert len(gone) == sum(len(job.files) for job in jobs), "a file in two jobs"
        found = [one for one in found if one.path not in gone]
        found += [made for job in jobs for made in outcome(job)]
    raise AssertionError("it never ends")


def test_a_day_of_flushes_every_ten_seconds_never_has_more_than_89_files() -> None:
    start_us = start_of("2026-11-20")
    files: list[File] = []
    most, rewritten = 0, 0
    for number in range(8640):
        now_us = start_us + (number + 1) * FLUSH_US + 3 * SECOND_US
        files.append(file("2026-11-20", now_us - SECOND_US))
        most = max(most, len(files))
        if number % 6 == 5:  # the jobs are done once a minute only
            rewritten += sum(job.rows for job in plan(files, now_us))
            files = settled(files, now_us)
            assert len(files) <= 24 + 59
    assert most <= MOST_OPEN
    assert rewritten / (8640 * 100) < 6, "each reading is written a few times only"
    later_us = start_us + DAY_US + compact.MARGIN_US + QUIET_US
    assert {one.kind for one in settled(files, later_us)} == {SEALED}


@examples(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-2 * HOUR_US, 4 * HOUR_US),  # how far the clock moves on, or back
            st.integers(-30 * HOUR_US, 30 * HOUR_US),  # where its newest arrival was stamped
            st.sampled_from([1, 9, 70]),
            st.sampled_from([1, 1000, 2_000_000]),
        ),
        max_size=12,
    )
)
def test_whatever_arrives_whenever_the_files_of_a_day_stay_few(
    bursts: list[tuple[int, int, int, int]],
) -> None:
    start_us = start_of("2026-11-20")
    now_us = start_us - HOUR_US
    files: list[File] = []
    for moved_us, off_us, count, rows in bursts:
        now_us += moved_us
        for _ in range(count):
            files = settled([*files, file("2026-11-20", now_us + off_us, rows=rows)], now_us)
        sealed = sum(one.kind in (SEALED, LATE) for one in files)
        assert sealed <= MOST_SEALED
        assert len(files) - sealed <= 24 + 59
    over_us = max(now_us, start_us + DAY_US + compact.MARGIN_US)
    total = sum(one.rows for one in files)
    files = settled(files, over_us, quiet_us=0)
    assert len(files) <= MOST_SEALED
    assert {one.kind for one in files} <= {SEALED, LATE}
    assert total - sum(one.rows for one in files) <= 3 * 100  # the model divides whole numbers


def test_the_flushes_of_the_current_hour_stay_until_60_have_gathered() -> None:
    now_us = start_of("2026-11-20") + 5 * HOUR_US + HOUR_US // 2
    files = [file("2026-11-20", now_us - number) for number in range(59)]
    assert plan(files, now_us) == []
    [job] = plan([*files, file("2026-11-20", now_us)], now_us)
    assert (job.kind, len(job.files)) == (HOURLY, 60)


def test_an_hour_that_is_over_becomes_one_file_and_is_left_alone() -> None:
    now_us = start_of("2026-11-20") + 6 * HOUR_US
    files = [file("2026-11-20", now_us - 1 - number) for number in range(5)]
    [job] = plan(files, now_us)
    assert (job.kind, len(job.files)) == (HOURLY, 5)
    assert plan(outcome(job), now_us) == []


def test_a_day_is_sealed_when_it_is_over_and_quiet() -> None:
    end_us = start_of("2026-11-20") + DAY_US
    files = [file("2026-11-20", end_us - SECOND_US), file("2026-11-20", end_us + HOUR_US)]
    assert plan(files, end_us + HOUR_US - 1) == []
    assert plan(files, end_us + HOUR_US + QUIET_US - 1) == []
    [job] = plan(files, end_us + HOUR_US + QUIET_US)
    assert (job.kind, len(job.files)) == (SEALED, 2)


def test_a_few_late_readings_do_not_rewrite_the_sealed_day_until_they_are_an_eighth() -> None:
    end_us = start_of("2026-11-20") + DAY_US
    sealed = file("2026-11-20", end_us, SEALED, rows=8000)
    late = [file("2026-11-20", end_us + 2 * HOUR_US, rows=499) for _ in range(2)]
    now_us = end_us + 3 * HOUR_US
    [job] = plan([sealed, *late], now_us)
    assert (job.kind, job.files) == (LATE, tuple(late))
    [gathered] = outcome(job)
    assert plan([sealed, gathered], now_us) == []
    [job] = plan([sealed, gathered, file("2026-11-20", end_us, rows=2)], now_us)
    assert (job.kind, len(job.files)) == (SEALED, 3)


def test_folds_come_before_seals() -> None:
    now_us = start_of("2026-11-20") + 6 * HOUR_US
    open_day = [file("2026-11-20", now_us - 1), file("2026-11-20", now_us - 2)]
    over = [file("2026-11-10", now_us - DAY_US) for _ in range(9)]
    assert [job.kind for job in plan([*over, *open_day], now_us)] == [HOURLY, SEALED]


@pytest.mark.parametrize("rows, pieces", [(1, 1), (399_999, 1), (400_000, 2), (10**8, PIECES)])
def test_a_large_day_is_sealed_in_pieces(rows: int, pieces: int) -> None:
    assert Job(SEALED, "2026-11-20", (file("2026-11-20", 0, rows=rows),)).pieces == pieces


# --- real files ----------------------------------------------------------------------------------


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


# --- beside others -------------------------------------------------------------------------------


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


def node_sums(node: Node) -> list[tuple[Any, ...]]:
    with node.store.lease(lambda _: True) as paths, node.engine.cursor() as cursor:
        return cursor.execute(f"SELECT {EVERYTHING} FROM read_parquet(?)", [paths]).fetchall()


def reopen(node: Node) -> None:
    """Make all files small ones again, as if they had just been flushed."""
    job = Job("", node.store.files[0].day, tuple(node.store.files))
    for _ in node.compactor._carry_out(job):
        pass


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
        if is_sealing and step == "folder synced" and flush.ident is None:
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


# --- pace ----------------------------------------------------------------------------------------


def test_seals_wait_until_compaction_has_its_share_of_the_time(
    open_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = open_node(compact_duty_percent=10)
    monkeypatch.setattr(compact, "QUIET_US", 0)
    now_s = itertools.count(1000.0, 1.0)  # each look at the clock is a second later
    monkeypatch.setattr("urbanos_edge.compact.time.monotonic", lambda: next(now_s))
    monkeypatch.setattr(node.compactor, "step", lambda **_: True)
    assert node.compactor.paced_step() == compact.POLL_S
    seals: list[bool] = []

    def step(*, may_seal: bool) -> bool:
        seals.append(may_seal)
        return False

    monkeypatch.setattr(node.compactor, "step", step)
    for _ in range(12):
        node.compactor.paced_step()
    assert seals.index(True) == 8, "one second of work, nine of pause"


def test_a_stopped_compactor_leaves_nothing_half_done(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "PIECE_ROWS", 100)
    fill(node, 2)
    for _ in range(3):
        assert node.compactor.step(quiet_us=0)
    assert list((node.data_dir / ".tmp").glob("*.parquet"))
    node.compactor.close()
    assert not list((node.data_dir / ".tmp").glob("*.parquet"))
    assert not node.compactor.step(quiet_us=0)


def test_a_stop_does_not_wait_for_a_long_step(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(node, 2)
    real = engine.statement
    rows = "union_by_name = true) AS r"
    monkeypatch.setattr(
        compact, "statement", lambda name: real(name).replace(rows, f"{rows}, range(1000000000000)")
    )
    step = threading.Thread(target=node.compactor.paced_step)
    step.start()
    wait_until(lambda: node.compactor._cursor is not None, 10)
    step.join(0.2)
    assert step.is_alive()
    node.compactor.close()
    step.join(10)
    assert not step.is_alive()
    assert kinds(node) == {"": 2}


def test_the_status_tells_what_was_compacted(node: Node) -> None:
    fill(node, 2)
    assert status(node)["compaction"]["files_of_fullest_day"] == 2
    assert status(node)["compaction"]["last"] is None
    compact_all(node)
    found = status(node)["compaction"]
    assert found["files_of_fullest_day"] == 1
    assert (found["last"]["day"], found["last"]["files_before"]) == (day_of(OLD_DAY_US), 2)


# --- killed --------------------------------------------------------------------------------------

CHILD = """
import os, signal, sys
from contextlib import closing
from pathlib import Path
from urbanos_edge import compact, engine, steps
from urbanos_edge.node import Node
from urbanos_edge.settings import Settings

compact.PIECE_ROWS = 250
node = Node(Settings(), Path(sys.argv[1]))
left = int(sys.argv[2])

def watch(step):
    global left
    left -= 1
    if left == 0:
        print(step, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

steps.watcher = watch
node.compactor.finish_all(lambda *_: None)
node.close()
print("done", flush=True)
"""


def test_killed_at_any_step_it_leaves_the_inputs_or_the_output(
    open_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = open_node()
    fill(node, 2)
    expected = stored(node, EVERYTHING)
    node.close()
    saw: list[str] = []
    for number in itertools.count(1):
        ended = subprocess.run(
            [sys.executable, "-c", CHILD, str(tmp_path), str(number)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        saw.append(ended.stdout.strip())
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        with closing(Node(Settings(), tmp_path)) as node:
            assert stored(node, EVERYTHING) == expected, f"after a kill at '{saw[-1]}'"
            assert kinds(node) in ({"": 2}, {"": 1}, {SEALED: 2})
            if kinds(node) == {SEALED: 2}:
                reopen(node)  # begin again with small files
    assert {"file written", "file synced", "file renamed", "folder synced"} < {*saw}
    assert {"files listed", "file unlinked"} < {*saw}
    assert saw[-1] == "done"


# --- the command ---------------------------------------------------------------------------------


def test_the_command_compacts_whether_the_node_runs_or_not(
    start_node: Callable[..., Any], tmp_path: Path
) -> None:
    node = start_node(flush_interval_s=0.2)
    token = node.token()
    for number in range(2):
        body = {
            "sensor_id": "school-12",
            "location": {"lat": 60.171, "lng": 24.941},
            "timestamp": f"2026-01-0{number + 1}T10:00:00Z",
            "values": {"pm25": 12.3},
        }
        assert node.post(body, token).status_code == 202
        node.wait_until_flushed()
        if number == 0:
            assert "sealed 1 files became 1" in node.run("compact").stdout
    assert node.status()["compaction"]["last"]["day"] == "2026-01-01"
    node.stop()
    again = subprocess.run(
        [*command(), "compact", "--json", "--data-dir", str(node.data_dir)],
        capture_output=True,
        text=True,
        env=os.environ,
        timeout=60,
    )
    [done] = msgspec.json.decode(again.stdout)
    assert (done["day"], done["kind"]) == ("2026-01-02", SEALED)


def test_a_serving_node_seals_a_quiet_day_by_itself(
    open_node: Callable[..., Node], start_node: Callable[..., Any], tmp_path: Path
) -> None:
    prepared = open_node()
    fill(prepared, 3)
    expected = stored(prepared, EVERYTHING)
    prepared.close()
    node = start_node(tmp_path)
    wait_until(lambda: node.status()["compaction"]["files_of_fullest_day"] == 1, 20, node.log)
    assert stored(prepared, EVERYTHING) == expected
    assert node.status()["compaction"]["failure"] is None
