"""What cannot be stored is found among what can, and a failing disk is nobody's poison."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import anyio
import anyio.to_thread
import duckdb
import pytest

from tests.processes import wait_until
from tests.readings import NOW_US, reading
from tests.test_flush import store, stored
from urbanos_edge.batch import pack
from urbanos_edge.errors import (
    DiskFull,
    EdgeError,
    OutOfMemory,
    StorageUnavailable,
    Unavailable,
)
from urbanos_edge.health.health import status
from urbanos_edge.node import Node
from urbanos_edge.reading import Reading
from urbanos_edge.store import steps
from urbanos_edge.upkeep import rounds

UNSTORABLE_US = 2**62
"""A moment DuckDB has no timestamp for; the door would have refused it."""


def append(node: Node, payload: bytes, readings: int) -> None:
    """Put a payload into the spool, past the door."""
    node.database.write_and_wait(
        lambda connection: node.spool.append(connection, payload, readings)
    )
    node.spool.appended(readings)


def drain(node: Node) -> None:
    """Flush until the spool is empty, as often as it takes."""

    async def work() -> None:
        for _ in range(node.settings.max_retries + 1):
            try:
                await node.flush()
            except EdgeError:
                raise
            except Exception:
                continue
            return
        raise AssertionError("the spool was not emptied")

    anyio.run(work)


def letters(node: Node) -> list[tuple[Any, ...]]:
    columns = "code, message, payload"
    return node.database.read().execute(f"SELECT {columns} FROM dead_letters").fetchall()


def test_a_reading_that_cannot_be_stored_is_found_among_those_that_can(node: Node) -> None:
    good = [reading(f"good-{number}", NOW_US + number) for number in range(9)]
    bad = reading("bad", UNSTORABLE_US)
    append(node, pack(good[:3]), 3)
    append(node, pack([*good[3:6], bad, *good[6:]]), 7)
    drain(node)
    assert stored(node, "sensor_id", "ORDER BY 1") == [(one.sensor_id,) for one in good]
    [(code, message, payload)] = letters(node)
    assert code == "cannot_be_stored"
    assert message
    assert b'"sensor_id":"bad"' in payload
    assert node.spool.depth == 0
    assert status(node)["totals"]["rejected"] == 1
    assert status(node)["totals"]["stored"] == 9


def test_a_payload_that_cannot_be_read_is_buried_whole(node: Node) -> None:
    append(node, pack([reading("before")]), 1)
    append(node, b"not a payload", 4)
    append(node, pack([reading("after")]), 1)
    drain(node)
    assert stored(node, "sensor_id", "ORDER BY 1") == [("after",), ("before",)]
    assert [payload for _, _, payload in letters(node)] == [b"not a payload"]
    assert node.spool.depth == 0


def test_a_batch_that_fails_once_is_stored_whole_the_next_time(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(node, pack([reading()]), 1)
    fail_at(monkeypatch, "files written", ValueError("once"), times=1)
    drain(node)
    assert stored(node, "count(*)") == [(1,)]
    assert letters(node) == []


@pytest.mark.parametrize(
    "error",
    [
        DiskFull("full"),
        StorageUnavailable("EIO"),
        Unavailable("busy", code="overloaded"),
        OSError(errno.EIO, "Input/output error"),
    ],
)
def test_a_failing_disk_is_never_taken_for_a_bad_reading(
    node: Node, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    append(node, pack([reading()]), 1)
    fail_at(monkeypatch, "files written", error, times=10)
    for _ in range(10):
        with pytest.raises(type(error)):
            anyio.run(node.flush)
    assert letters(node) == []
    anyio.run(node.flush)
    assert stored(node, "count(*)") == [(1,)]


def test_a_writer_that_has_too_much_to_do_is_no_fault_of_the_readings(node: Node) -> None:
    append(node, pack([reading()]), 1)
    has_begun, may_end = threading.Event(), threading.Event()

    def hold_up(_: object) -> None:
        has_begun.set()
        may_end.wait()

    node.database._submit(hold_up)
    try:
        assert has_begun.wait(20)
        with suppress(Unavailable):
            while True:
                node.database._submit(lambda _: None)
        for _ in range(node.settings.max_retries + 1):
            with pytest.raises(Unavailable, match="busy"):
                anyio.run(node.flush)
    finally:
        may_end.set()
    assert node.drain.failures == 0
    anyio.run(node.flush)
    assert stored(node, "count(*)") == [(1,)]


@pytest.mark.parametrize("together", [False, True], ids=["two entries", "one entry"])
def test_what_was_stored_before_the_disk_failed_is_counted_and_shown(
    node: Node, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    now_us = node.clock.now_us()
    first, second = reading("first", now_us), reading("second", now_us)
    entries: list[list[Reading]] = [[first, second]] if together else [[first], [second]]
    for entry in entries:
        append(node, pack(entry), len(entry))
    retries, of_entry = node.settings.max_retries, 1 if together else 0
    bad: list[Exception | None] = [ValueError("all together")] * (retries + 1 + of_entry)
    outcomes_at(monkeypatch, "files written", [*bad, None, *[StorageUnavailable("EIO")] * 2])
    for _ in range(retries):
        with pytest.raises(ValueError, match="all together"):
            anyio.run(node.flush)
    with pytest.raises(StorageUnavailable):
        anyio.run(node.flush)
    assert node.spool.depth == (2 if together else 1)
    assert shown(node) == ["first"]
    anyio.run(node.flush)
    assert node.spool.depth == 0
    assert shown(node) == ["first", "second"]
    assert stored(node, "sensor_id", "ORDER BY 1") == [("first",), ("second",)]
    assert (letters(node), status(node)["totals"]["stored"]) == ([], 2)


def shown(node: Node) -> list[str]:
    """The sensors on the map."""
    return sorted(node.view().latest.strings("sensor"))


def outcomes_at(
    monkeypatch: pytest.MonkeyPatch, step: str, outcomes: Sequence[Exception | None]
) -> None:
    """Let a step of the protocol fail or not, the first time as the first says, and so on."""
    left = list(outcomes)

    def watch(reached: str) -> None:
        outcome = left.pop(0) if reached == step and left else None
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(steps, "watcher", watch)


def test_what_arrives_during_a_flush_waits_for_the_next(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(node, pack([reading("waited")]), 1)

    def arrive(reached: str) -> None:
        if reached == "files written":
            append(node, pack([reading("came meanwhile")]), 1)

    monkeypatch.setattr(steps, "watcher", arrive)
    anyio.run(node.flush)
    assert stored(node, "sensor_id") == [("waited",)]
    assert node.spool.depth == 1


def test_a_backlog_of_many_steps_is_one_flush(
    open_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = open_node(batch_size=1)
    monkeypatch.setattr(node.drain, "_chunk", 2)
    for number in range(5):
        append(node, pack([reading(f"s{number}")]), 1)
    anyio.run(node.flush)
    assert stored(node, "count(*)") == [(5,)]
    assert node.spool.depth == 0


def test_without_memory_less_is_tried_at_once(
    open_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = open_node(batch_size=1)
    for number in range(4):
        append(node, pack([reading(f"s{number}")]), 1)
    node.drain._chunk = 4
    fail_at(monkeypatch, "file written", OutOfMemory("too much"), times=1)
    anyio.run(node.flush)
    assert stored(node, "count(*)") == [(4,)]


def test_after_a_fatal_error_the_engine_is_opened_anew(node: Node) -> None:
    store(node, reading("before"))
    with pytest.raises(StorageUnavailable), node.engine.cursor():
        raise duckdb.FatalException("the instance is invalid")
    store(node, reading("after"))
    assert stored(node, "count(*)") == [(2,)]


def fail_at(monkeypatch: pytest.MonkeyPatch, step: str, error: Exception, times: int) -> None:
    """Let a step of the protocol fail a number of times."""
    outcomes_at(monkeypatch, step, [error] * times)


def test_the_node_tries_again_by_itself(
    open_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = open_node(flush_interval_s=0.05)
    append(node, pack([reading()]), 1)
    fail_at(monkeypatch, "file written", StorageUnavailable("EIO"), times=3)

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rounds.flush_forever, node)
            await anyio.to_thread.run_sync(wait_until, is_drained, 10)
            tasks.cancel_scope.cancel()

    def is_drained() -> bool:
        return node.spool.depth == 0 and node.flush_failure is None

    anyio.run(run)
    assert stored(node, "count(*)") == [(1,)]
