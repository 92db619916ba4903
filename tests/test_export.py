"""Readings given out in each format: the same rows as in the files, and nothing left behind."""

from __future__ import annotations

import asyncio
import csv
import json
import socket
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import duckdb
import jsonschema
import pytest

from tests.damage import spoil
from tests.readings import NOW_US, reading
from tests.test_flush import GLOB, store
from tests.test_owed import SmallDisk
from urbanos_edge.api.export import LOOKS, Progress, until_too_slow
from urbanos_edge.clock import DAY_US, SECOND_US, to_rfc3339
from urbanos_edge.errors import StorageUnavailable, Unprocessable
from urbanos_edge.grid import Bounds
from urbanos_edge.health.health import status
from urbanos_edge.node import Node
from urbanos_edge.progress import ignore_progress
from urbanos_edge.query.export import AT_ONCE, FORMATS, MAX_DAYS, WORLD, Busy, Wanted, checked
from urbanos_edge.upkeep import rounds

MOMENTS = ("timestamp", "received_at", "stored_at")
WORDS = (
    *("sensor_id", *MOMENTS, "grid_id", "source", "pollution_type"),
    *("flags", "grading", "correction"),
)
EVER = Wanted(0, MAX_DAYS * DAY_US)
LONG_AGO_US = NOW_US - 30 * DAY_US
Row = dict[str, Any]


def wanted(
    kind: str = "ndjson",
    since_us: int = NOW_US - 100 * DAY_US,
    until_us: int = NOW_US + DAY_US,
    box: Bounds = WORLD,
) -> Wanted:
    """Everything of the last hundred days, unless told otherwise."""
    return Wanted(since_us, until_us, kind, box)


def exported(node: Node, what: Wanted) -> bytes:
    async def work() -> bytes:
        async with node.exports.open(what) as pieces:
            return b"".join([piece async for piece in pieces])

    return anyio.run(work)


def read_back(node: Node, kind: str, **more: Any) -> list[Row]:
    """What another tool makes of an export; of CSV with numbers where there are some."""
    body = exported(node, wanted(kind, **more))
    match kind:
        case "csv":
            rows = [_typed(row) for row in csv.DictReader(body.decode().splitlines(keepends=True))]
        case "ndjson":
            rows = [json.loads(line) for line in body.decode().splitlines()]
        case "geojson":
            rows = [_flat(feature) for feature in json.loads(body)["features"]]
        case "parquet":
            path = node.data_dir / "export.parquet"
            path.write_bytes(body)
            rows = rows_of(path)
    return sorted(rows, key=lambda row: (row["sensor_id"], row["timestamp"]))


def _typed(row: dict[str, str]) -> Row:
    return {
        name: text if name in WORDS else float(text) if text else None for name, text in row.items()
    }


def _flat(feature: Any) -> Row:
    row: Row = feature["properties"]
    point = {"type": "Point", "coordinates": [row["lng"], row["lat"]]}
    assert (feature["type"], feature["geometry"]) == ("Feature", point)
    return row


def rows_of(path: Path | str) -> list[Row]:
    """What plain DuckDB reads from files of readings, with moments as the API writes them."""
    moments = ", ".join(f"epoch_us({name}) AS {name}" for name in MOMENTS)
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT * EXCLUDE (geometry) REPLACE ({moments})"
            f" FROM read_parquet('{path}', hive_partitioning = false) ORDER BY sensor_id, timestamp"
        )
        names = [column[0] for column in found.description]
        rows = [dict(zip(names, values, strict=True)) for values in found.fetchall()]
    return [row | {name: to_rfc3339(row[name]) for name in MOMENTS} for row in rows]


def stored_rows(node: Node) -> list[Row]:
    return rows_of(node.data_dir / GLOB)


def ids(rows: list[Row]) -> list[str]:
    return [row["sensor_id"] for row in rows]


def left_behind(node: Node) -> list[Path]:
    return list(node.data_dir.glob(".tmp/export-*"))


@pytest.fixture
def filled(node: Node) -> Node:
    """Readings of two days with all there can be: every quantity, none, flags, odd names."""
    store(
        node,
        reading("all", values={"pm1": 1.5, "pm25": 12.3, "o3": 31.0, "co": 0.3, "humidity": 81.0}),
        reading("half-a-second", NOW_US + SECOND_US // 2, reported_aqi=40.0),
        reading('quoted "a,b"', values={"temperature": -4.5}, source="über; uns"),
        reading("flagged", values={"pm25": 5000.0}),
        reading("south", lat=-33.9, lng=-70.6),
    )
    store(node, *(reading(f"older-{n}", NOW_US - DAY_US + n) for n in range(5)))
    return node


@pytest.fixture
def large(node: Node) -> Node:
    """Three files of a day with 60,000 readings: 30 MB as NDJSON, far more than a pipe holds."""
    for part in range(3):
        first = part * 20_000
        some = [reading(f"s{n % 50}", LONG_AGO_US + n * 1000) for n in range(first, first + 20_000)]
        store(node, *some)
    return node


# --- what is in it ---


@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_holds_the_rows_that_duckdb_reads_from_the_files(filled: Node, kind: str) -> None:
    expected = stored_rows(filled)
    assert len(expected) == 10
    assert read_back(filled, kind) == expected


def test_parquet_goes_out_as_geoparquet_with_its_points(filled: Node, data: Path) -> None:
    path = filled.data_dir / "export.parquet"
    path.write_bytes(exported(filled, wanted("parquet")))
    with duckdb.connect() as connection:
        points = connection.execute(
            f"SELECT geometry::VARCHAR, lng, lat FROM read_parquet('{path}')"
        ).fetchall()
        metadata = connection.execute(
            f"SELECT value FROM parquet_kv_metadata('{path}') WHERE key = 'geo'"
        ).fetchall()
    assert {point for point, _, _ in points} == {"POINT (24.941 60.171)", "POINT (-70.6 -33.9)"}
    schema = json.loads((data / "vectors/geoparquet/schema-1.1.0.json").read_text())
    jsonschema.validate(json.loads(metadata[0][0]) | {"version": "1.1.0"}, schema)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_empty_span_gives_a_valid_empty_file(filled: Node, kind: str) -> None:
    nothing: Row = {"since_us": 0, "until_us": DAY_US}
    assert read_back(filled, kind, **nothing) == []
    if kind == "csv":
        names = exported(filled, wanted("csv", **nothing)).decode().strip().split(",")
        assert names == list(stored_rows(filled)[0])
    if kind == "parquet":
        path = filled.data_dir / "export.parquet"
        columns = "SELECT name, type FROM parquet_schema('{}') WHERE num_children IS NULL"
        with duckdb.connect() as connection:
            empty, full = (
                connection.execute(columns.format(file)).fetchall()
                for file in (path, next(filled.data_dir.glob(GLOB)))
            )
        assert empty == full


def test_a_span_includes_its_beginning_and_not_its_end(filled: Node) -> None:
    span = {"since_us": NOW_US - DAY_US + 1, "until_us": NOW_US - DAY_US + 4}
    assert ids(read_back(filled, "ndjson", **span)) == ["older-1", "older-2", "older-3"]


def test_a_box_includes_its_edges(node: Node) -> None:
    inside = [(10.0, 50.0), (11.0, 51.0), (10.0, 51.0), (10.5, 50.5)]
    outside = [(9.999999, 50.5), (11.000001, 50.5), (10.5, 49.999999), (10.5, 51.000001)]
    store(
        node,
        *(reading(f"in-{n}", lng=lng, lat=lat) for n, (lng, lat) in enumerate(inside)),
        *(reading(f"out-{n}", lng=lng, lat=lat) for n, (lng, lat) in enumerate(outside)),
    )
    found = read_back(node, "ndjson", box=Bounds(10, 50, 11, 51))
    assert ids(found) == ["in-0", "in-1", "in-2", "in-3"]


def test_without_a_box_the_edges_of_the_world_are_in(node: Node) -> None:
    corners = [(-180.0, -90.0), (180.0, 90.0), (-180.0, 90.0), (180.0, -90.0)]
    store(node, *(reading(f"c{n}", lng=lng, lat=lat) for n, (lng, lat) in enumerate(corners)))
    assert len(read_back(node, "ndjson")) == 4


def test_the_estimate_counts_the_share_of_each_file_that_lies_in_the_span(large: Node) -> None:
    span: Row = {"since_us": LONG_AGO_US, "until_us": LONG_AGO_US + 30_000 * 1000}
    assert large.exports.rows_about(wanted(**span)) == pytest.approx(30_000, abs=5)


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (Wanted(2, 1), "invalid_range"),
        (Wanted(0, MAX_DAYS * DAY_US + 1), "range_too_long"),
        (Wanted(0, 1, "xlsx"), "invalid_format"),
        (Wanted(0, 1, columns="theirs"), "invalid_columns"),
        (Wanted(0, 1, "geojson", columns="openaq"), "invalid_columns"),
    ],
)
def test_what_cannot_be_exported_is_refused(what: Wanted, code: str) -> None:
    assert checked(EVER) is EVER
    with pytest.raises(Unprocessable) as refused:
        checked(what)
    assert refused.value.code == code


# --- how it runs ---


def test_a_reader_that_leaves_leaves_nothing_behind(large: Node) -> None:
    async def work() -> None:
        for kind in FORMATS:
            async with large.exports.open(wanted(kind)) as pieces:
                assert await anext(pieces)
                assert left_behind(large) or kind == "parquet"  # which is small
            assert not left_behind(large)

    anyio.run(work)
    large.compactor.finish_all(ignore_progress)
    live = {large.store.full(file) for file in large.store.files}
    assert set(large.data_dir.glob(GLOB)) == live, "a lease still holds the replaced files"
    large.exports.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("export")]


def test_a_reader_may_leave_at_any_moment(large: Node) -> None:
    async def leave_after(seconds: float) -> None:
        with anyio.move_on_after(seconds):
            async with large.exports.open(wanted("csv")) as pieces:
                async for _ in pieces:
                    await anyio.sleep(1)
        assert not left_behind(large)

    async def work() -> None:
        for milliseconds in (0, 5, 50, 150, 300):
            await leave_after(milliseconds / 1000)

    anyio.run(work)
    assert len(read_back(large, "ndjson")) == 60_000


def test_no_more_than_two_run_at_once(large: Node) -> None:
    async def work() -> None:
        async with AsyncExitStack() as running:
            for _ in range(AT_ONCE):
                await running.enter_async_context(large.exports.open(wanted()))
            with pytest.raises(Busy) as refused:
                async with large.exports.open(wanted()):
                    pass
            assert (refused.value.status, bool(refused.value.retry_after_s)) == (503, True)
        async with large.exports.open(wanted()) as pieces:
            assert await anext(pieces)

    anyio.run(work)


def test_one_asker_has_one_at_a_time(large: Node) -> None:
    async def work() -> None:
        async with large.exports.open(wanted(), "192.0.2.1"):
            with pytest.raises(Busy):
                async with large.exports.open(wanted(), "192.0.2.1"):
                    pass
            async with large.exports.open(wanted(), "192.0.2.2"):
                pass
        async with large.exports.open(wanted(), "192.0.2.1") as pieces:
            assert await anext(pieces)

    anyio.run(work)


def test_an_export_nobody_reads_does_not_hold_up_flushes(large: Node) -> None:
    async def work() -> None:
        async with AsyncExitStack() as running:
            for _ in range(AT_ONCE):
                await running.enter_async_context(large.exports.open(wanted("csv")))
            with anyio.fail_after(20):
                await large.ingest.keep([reading(f"new-{n}") for n in range(100)])
                await large.flush()

    anyio.run(work)
    assert status(large)["store"]["rows"] == 60_100


def test_while_the_disk_is_low_no_export_keeps_what_was_replaced(large: Node) -> None:
    async def work() -> None:
        async with large.exports.open(wanted("csv")):
            is_broken_off = large.exports.stopping
            await anyio.to_thread.run_sync(large.compactor.finish_all, ignore_progress)
            assert large.store.retired_bytes > 0
            large.disk = SmallDisk(large, room_for=0)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(rounds.watch_disk_forever, large)
                with anyio.fail_after(20):
                    await is_broken_off.wait()
                tasks.cancel_scope.cancel()
        assert large.store.retired_bytes == 0
        assert not large.exports.stopping.is_set(), "who comes then is not broken off"

    anyio.run(work)


@pytest.mark.parametrize("way", ["cut", "emptied", "deleted", "overwritten"])
def test_an_export_goes_without_a_damaged_file(filled: Node, way: str) -> None:
    victim = next(path for path in filled.data_dir.glob(GLOB) if "11-22" in path.parent.name)
    spoil(victim, way)
    found = read_back(filled, "csv")
    assert len(found) == 5
    assert not [name for name in ids(found) if name.startswith("older")]
    assert status(filled)["quarantined"] == 1


def test_damage_that_shows_in_the_middle_breaks_the_export_off(large: Node) -> None:
    last = max(large.data_dir.glob(GLOB))

    async def work() -> None:
        async with large.exports.open(wanted()) as pieces:
            await anext(pieces)
            spoil(last, "overwritten")
            async for _ in pieces:
                pass

    with pytest.raises((StorageUnavailable, duckdb.Error)):
        anyio.run(work)
    assert not left_behind(large)
    assert status(large)["quarantined"] == 1
    assert len(read_back(large, "ndjson")) == 40_000


def test_a_client_is_stalled_only_when_it_takes_nothing() -> None:
    async def stalled_after(reads: Callable[[socket.socket], None]) -> bool:
        ours, theirs = socket.socketpair()
        with ExitStack() as sockets:
            sockets.enter_context(theirs)
            theirs.setblocking(False)
            _, writer = await asyncio.open_connection(sock=ours)
            writer.write(bytes(8 << 20))
            transport = writer.transport
            with anyio.move_on_after(1.5) as waiting:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_every, 0.02, reads, theirs)
                    await until_too_slow(
                        lambda: Progress(8 << 20, transport.get_write_buffer_size()), 0.6
                    )
                    tasks.cancel_scope.cancel()
            transport.abort()
            return not waiting.cancelled_caught

    async def work() -> None:
        assert await stalled_after(lambda _: None)
        assert not await stalled_after(lambda theirs: _take(theirs, 16 << 10))

    asyncio.run(work())


LOOK_S = 0.001
ENOUGH_LOOKS = 20 * LOOKS


class StillThere(Exception):
    """A client was looked at often enough."""


class Trickle:
    """A client that takes so much between two looks, of an endless answer or of nothing."""

    def __init__(self, bytes_a_look: float, waiting: int = 1 << 20) -> None:
        self.looks = 0
        self._bytes_a_look, self._waiting = bytes_a_look, waiting

    def __call__(self) -> Progress:
        self.looks += 1
        if self.looks > ENOUGH_LOOKS:
            raise StillThere
        return Progress(round(self.looks * self._bytes_a_look) + self._waiting, self._waiting)


def looks_until_cut(client: Trickle) -> int | None:
    """How often a client is looked at that is to take a byte a look at least; None for ever."""

    async def work() -> int | None:
        try:
            await until_too_slow(client, LOOKS * LOOK_S, 1 / LOOK_S)
        except StillThere:
            return None
        return client.looks - 1

    return anyio.run(work)


def test_a_client_that_takes_a_little_now_and_then_does_not_keep_an_export_for_ever() -> None:
    assert looks_until_cut(Trickle(0)) == LOOKS
    assert looks_until_cut(Trickle(0.5)) == 2 * LOOKS
    assert looks_until_cut(Trickle(1.1)) is None
    assert looks_until_cut(Trickle(0, waiting=0)) is None, "it is the node that is slow"


async def _every(seconds: float, work: Callable[[socket.socket], None], on: socket.socket) -> None:
    while True:
        work(on)
        await anyio.sleep(seconds)


def _take(theirs: socket.socket, size: int) -> None:
    theirs.recv(size)
