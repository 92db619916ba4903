"""The node's command line in a process that has one fault: `python -m tests.faults.saboteur`.

The first argument says which, the rest goes to `urbanos-edge`:

- `none`
- `die-when:FILE`: SIGKILL to itself once FILE is there and says `STEP N`, when that step of a
  protocol has been reached N times since
- `fatal-at:STEP:N`: DuckDB's fatal error there
- `busy-after:MS`: a locked database is waited for no longer
- `without:file-fsync`, `without:folder-fsync`: files or folders of the store are not synced
- `without:full`, `without:sync`: SQLite with `synchronous` at NORMAL or OFF instead of FULL
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import duckdb

from urbanos_edge import database
from urbanos_edge.cli import main
from urbanos_edge.store import integrity, steps, store

STEPS = (
    *("file written", "file synced", "file renamed", "folder synced"),
    *("files written", "files listed", "file unlinked"),
)
MUTATIONS = ("file-fsync", "folder-fsync", "full", "sync")


def _fail() -> None:
    raise duckdb.FatalException("database has been invalidated because of a previous fatal error")


def _die_when_told(order: Path) -> None:
    """Look at every step whether there is an order, and count from there."""
    times = [0]

    def watch(reached: str) -> None:
        if order.exists():
            step, _, occurrence = order.read_text(encoding="utf-8").rpartition(" ")
            times[0] += reached == step
            if times[0] >= int(occurrence):
                os.kill(os.getpid(), signal.SIGKILL)

    steps.watcher = watch


def _at(step: str, occurrence: int, then: Callable[[], None]) -> None:
    """Do something when `step` is reached for the n-th time."""
    left = [occurrence]

    def watch(reached: str) -> None:
        if reached == step:
            left[0] -= 1
            if left[0] == 0:
                then()

    steps.watcher = watch


def _without_store_sync(folders: bool) -> None:
    sync = integrity.sync_path

    def sync_the_others(path: Path) -> None:
        if path.is_dir() != folders:
            sync(path)

    patch.object(store, "sync_path", sync_the_others).start()


def _with_synchronous(level: str) -> None:
    pragmas = database._PRAGMAS
    weaker = pragmas.replace("synchronous = FULL", f"synchronous = {level}")
    assert weaker != pragmas
    patch.object(database, "_PRAGMAS", weaker).start()


def sabotage(fault: str) -> None:
    """Put the fault in place."""
    match fault.split(":"):
        case ["none"]:
            pass
        case ["die-when", order]:
            _die_when_told(Path(order))
        case ["fatal-at", step, occurrence]:
            _at(step, int(occurrence), _fail)
        case ["busy-after", ms]:
            patch.object(database, "BUSY_TIMEOUT_MS", int(ms)).start()
        case ["without", ("file-fsync" | "folder-fsync") as what]:
            _without_store_sync(folders=what == "folder-fsync")
        case ["without", ("full" | "sync") as what]:
            _with_synchronous("NORMAL" if what == "full" else "OFF")
        case _:
            raise SystemExit(f"no such fault: {fault}")


if __name__ == "__main__":
    sabotage(sys.argv[1])
    main(sys.argv[2:])
