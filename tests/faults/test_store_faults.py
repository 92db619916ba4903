"""Errors of the operating system below the store are the disk's fault, not the readings'."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from tests.readings import reading
from tests.test_drain import letters
from tests.test_flush import GLOB, stored
from urbanos_edge.app import kept_running
from urbanos_edge.disk import DiskGuard
from urbanos_edge.errors import EdgeError
from urbanos_edge.node import Node
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
