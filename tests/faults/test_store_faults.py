"""Errors of the operating system below the store are the disk's fault, not the readings'."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import anyio
import apsw
import pytest

from tests.readings import NOW_US, reading
from tests.test_drain import letters
from tests.test_flush import GLOB, store, stored
from urbanos_edge.app import kept_running
from urbanos_edge.batch import pack, unpack
from urbanos_edge.disk import DiskGuard
from urbanos_edge.errors import EdgeError, StorageUnavailable
from urbanos_edge.node import Node
from urbanos_edge.store import steps
from urbanos_edge.store import store as store_module
from urbanos_edge.upkeep import rounds

ATTEMPTS = 6
"""More than a failing batch is tried before its readings are taken for the cause."""


def flush_in_vain(node: Node) -> None:
    """Flush several times over; what goes wrong is the caller's business."""

    async def work() -> None:
        await node.ingest.keep([reading()])
        for _ in range(ATTEMPTS):
            try:
                await node.flush()
            except (OSError, EdgeError):
                continue

    anyio.run(work)


def failing(which: Callable[[Path], bool]) -> Callable[[Path], None]:
    """A sync that fails for some paths."""

    def sync(path: Path) -> None:
        if which(path):
            raise OSError(errno.EIO, "Input/output error")

    return sync


@pytest.mark.parametrize("which", [Path.is_file, Path.is_dir], ids=["file", "folder"])
def test_a_reading_whose_sync_fails_waits_in_the_spool(
    node: Node, monkeypatch: pytest.MonkeyPatch, which: Callable[[Path], bool]
) -> None:
    with monkeypatch.context() as faulty:
        faulty.setattr(store_module, "sync_path", failing(which))
        flush_in_vain(node)
    assert letters(node) == []
    assert not list(node.data_dir.glob(GLOB)), "a file that is not listed lies in the store"
    assert not list((node.data_dir / ".tmp").glob("*.parquet")), "an unfinished file is left"
    anyio.run(node.flush)
    assert stored(node, "count(*)") == [(1,)]


def test_a_disk_that_turned_read_only_does_not_end_the_node(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: DiskGuard) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    async def watch() -> None:
        with anyio.move_on_after(0.5):
            await kept_running(rounds.watch_disk_forever, node)

    monkeypatch.setattr(DiskGuard, "look", refuse)
    anyio.run(watch)


def make_stay(path: Path) -> None:
    """Let the system refuse to unlink what lies at a path: it is a folder now."""
    path.unlink()
    path.mkdir()


def fifty(node: Node) -> Path:
    """Store fifty readings; return the file they are in."""
    store(node, *(reading(f"s{number}", NOW_US) for number in range(50)))
    (file,) = node.store.files
    return node.store.full(file)


def when_listed(monkeypatch: pytest.MonkeyPatch, then: Callable[[], None]) -> None:
    """Do something once, between the commit of the next files and what comes after it."""
    left = [then]

    def watch(step: str) -> None:
        if step == "files listed" and left:
            left.pop()()

    monkeypatch.setattr(steps, "watcher", watch)


def test_what_was_listed_stays_when_what_it_replaced_cannot_be_removed(
    open_node: Callable[..., Node],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = open_node()
    replaced = fifty(node)
    when_listed(monkeypatch, lambda: make_stay(replaced))
    store(node, reading("s7", NOW_US, values={"pm25": 40.0}))
    assert f"{replaced} is left to the next start" in caplog.text
    assert letters(node) == []
    assert replaced not in node.store.unlisted(), "nobody may bring back what was replaced"
    open_node()
    assert "is not listed and cannot be removed" in caplog.text, "it starts all the same"
    replaced.rmdir()
    node = open_node()
    assert stored(node, "count(*), count(*) FILTER (pm25 = 40.0)") == [(50, 1)]


def test_a_query_does_not_fail_by_what_cannot_be_removed_after_it(node: Node) -> None:
    replaced = fifty(node)
    with node.store.lease(lambda _: True):
        store(node, reading("s7", NOW_US, values={"pm25": 40.0}))
        make_stay(replaced)
    assert replaced.is_dir()
    assert stored(node, "count(*)") == [(50,)]


def test_files_of_a_commit_in_doubt_that_cannot_be_removed_hold_up_nothing(node: Node) -> None:
    def fail(_: apsw.Connection) -> None:
        raise StorageUnavailable("EIO")

    with pytest.raises(StorageUnavailable):
        node.mover.store(unpack([pack([reading()])]), fail)
    assert node.store.is_in_doubt
    (doubtful,) = node.data_dir.glob(GLOB)
    make_stay(doubtful)
    store(node, reading("other"))
    assert not node.store.is_in_doubt
    doubtful.rmdir()
    assert stored(node, "sensor_id") == [("other",)]
