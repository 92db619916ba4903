"""Syncs that fail, a database that somebody else has locked, and an engine that breaks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from tests.faults.cuts import cut, what_is_left
from tests.faults.disks import new_disk
from tests.faults.figures import Figures
from tests.faults.load import Load
from tests.faults.straced import strace
from tests.faults.victim import DATABASE, SERVING_WITHIN_S, Victim, victim
from tests.processes import wait_until

DISK_MIB: Final = 128
FLUSH_INTERVAL_S: Final = 1.0
ALWAYS: Final = "1+"
EVERY_THIRD: Final = "1+3"
BOTH: Final = "fsync,fdatasync"
ENOUGH_WITHIN_S: Final = 60.0
STORE_ONLY: Final = "fsync"
"""Files of the store and their folders; SQLite uses fdatasync."""
_HOLD_LOCK: Final = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


def fail_syncs(
    folder: Path,
    which: str,
    for_s: float,
    *,
    calls: str = BOTH,
    flushes: int = 0,
    cuts: int = 1,
    flush_interval_s: float = FLUSH_INTERVAL_S,
    seed: int = 5,
) -> Figures:
    """Let syncs return EIO until so many flushes have failed, and a while longer.

    What is acknowledged meanwhile must survive a power cut too.
    """
    figures = Figures("ioerror")
    with (
        new_disk(folder / "disk", DISK_MIB) as disk,
        victim(disk.mount / "node", folder / "node.log") as node,
    ):
        with _load_on(node, figures, seed, flush_interval_s=flush_interval_s) as load:
            options = ("-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO:when={which}")
            for number in range(cuts):
                with strace(node.pid, folder / "calls", *options):
                    wait_until(partial(_has_failed, node, flushes), ENOUGH_WITHIN_S, node.log)
                    time.sleep(for_s)
                    image = folder / f"cut-{number}.img"
                    promise = cut(disk, node, load, image)
                _serve_again(node, load, figures)
                figures.judge(what_is_left(image, promise, figures))
                load.resume()
    return figures


def lock_database(folder: Path, for_s: float, fault: str = "none", seed: int = 6) -> Figures:
    """Somebody else holds SQLite's write lock for a while."""
    figures = Figures("busy")
    with victim(folder / "node", folder / "node.log") as node:
        with _load_on(node, figures, seed, fault) as load:
            with _locked(node.data_dir / DATABASE, for_s):
                time.sleep(for_s)
            _serve_again(node, load, figures)
    return figures


def break_engine(folder: Path, seed: int = 7) -> Figures:
    """DuckDB fails for good in the middle of a flush."""
    figures = Figures("fatal")
    with victim(folder / "node", folder / "node.log") as node:
        with _load_on(node, figures, seed, "fatal-at:file written:3") as load:
            wait_until(lambda: node.has_said("flush failed"), 30, node.log)
            _serve_again(node, load, figures)
    return figures


def _has_failed(node: Victim, flushes: int) -> bool:
    """So many flushes have failed, or the node has lost patience with the readings."""
    return not flushes or node.has_said("flush failed", flushes) or node.has_said("is split")


@contextmanager
def _load_on(
    node: Victim,
    figures: Figures,
    seed: int,
    fault: str = "none",
    flush_interval_s: float = FLUSH_INTERVAL_S,
) -> Iterator[Load]:
    """Readings arrive during the block; after it the store is compared, before and after a kill."""
    node.start(fault, flush_interval_s=flush_interval_s)
    load = Load(node.url, node.token(), seed=seed, sizes=(1, 40))
    with load.running():
        time.sleep(1)
        yield load
        load.pause()
    figures.judge(node.verdict(load.ledger.promise()))
    node.kill()
    node.start()
    figures.judge(node.verdict(load.ledger.promise()))
    figures.ready_s += node.ready_s
    figures.add_load(load)


def _serve_again(node: Victim, load: Load, figures: Figures) -> None:
    """Wait until every refused batch is accepted and the node says it is ready; note how long."""
    began_s = time.monotonic()
    load.pause()
    wait_until(node.is_ready, 3 * SERVING_WITHIN_S, node.log)
    took_s = round(time.monotonic() - began_s, 2)
    figures.more["serving_after_s"] = max(took_s, figures.more.get("serving_after_s", 0.0))


@contextmanager
def _locked(database: Path, for_s: float) -> Iterator[None]:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD_LOCK, str(database), str(for_s)], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.wait(timeout=30)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
