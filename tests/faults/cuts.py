"""Power cuts: the disk as it is in one moment, and a node started on that.

The image of a loop device holds what the filesystem has handed to the device. What the node
wrote and did not sync waits in memory (`commit=300,noauto_da_alloc`), is not in the image, and is
what a power cut takes away.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.faults.disks import Disk, copy_moment, mounted, new_disk, repair
from tests.faults.figures import Figures
from tests.faults.ledger import Promise, Verdict
from tests.faults.load import Load
from tests.faults.victim import DATABASE, NodeEnded, Victim, victim
from tests.processes import wait_until

DISK_MIB: Final = 192
CUTS_PER_DISK: Final = 20
FLUSH_INTERVAL_S: Final = 0.5
WRAPS_WITHIN_S: Final = 60.0
_WRAPS = struct.Struct(">12xI")
"""The head of a WAL: its checkpoint counter rises when it is written from the start again."""


def cut_power(
    folder: Path, cuts: int, fault: str = "none", seed: int = 3, *, until_loss: bool = False
) -> Figures:
    """Cut, start a node on what is left, compare, as often as wanted or until something is lost."""
    figures = Figures("powercut" if fault == "none" else f"powercut {fault}")
    for first in range(0, cuts, CUTS_PER_DISK):
        with _node_under_load(folder / f"{fault}-{first}", fault, seed + first) as scene:
            disk, node, load = scene
            moments = random.Random(seed + first)
            for _ in range(min(CUTS_PER_DISK, cuts - first)):
                time.sleep(moments.uniform(0.1, 1.0))
                promise = cut(disk, node, load, folder / "cut.img")
                load.pause()
                _judge(folder / "cut.img", promise, figures, may_not_start=fault != "none")
                if until_loss and figures.lost:
                    break
                load.resume()
        figures.add_load(load)
    return figures


def _judge(image: Path, promise: Promise, figures: Figures, *, may_not_start: bool) -> None:
    """Without a sync the node may not even start on what is left; then everything is lost."""
    try:
        verdict = what_is_left(image, promise, figures)
    except NodeEnded as error:
        if not may_not_start:
            raise
        verdict = Verdict(len(promise.acknowledged), lost=list(promise.acknowledged))
        figures.complaints.append(str(error))
    figures.judge(verdict)
    figures.more["cuts_with_loss"] = figures.more.get("cuts_with_loss", 0) + bool(verdict.lost)


@contextmanager
def _node_under_load(folder: Path, fault: str, seed: int) -> Iterator[tuple[Disk, Victim, Load]]:
    """A node on a disk of its own whose WAL has wrapped.

    While the WAL still grows, each commit makes ext4 commit its journal too, and a missing sync of
    a folder would not show.
    """
    with new_disk(folder, DISK_MIB) as disk, victim(disk.mount / "node", folder / "log") as node:
        node.start(fault, flush_interval_s=FLUSH_INTERVAL_S)
        load = Load(node.url, node.token(), seed=seed, sizes=(1, 40))
        bulk = Load(node.url, load.token, seed=seed + 1, sizes=(500, 1000), pause_s=0)
        bulk.ledger = load.ledger
        with bulk.running(senders=2):
            wait_until(lambda: _wraps(node.data_dir), WRAPS_WITHIN_S, node.log)
            bulk.pause()
        node.flush()
        with load.running(senders=3):
            yield disk, node, load


def _wraps(data_dir: Path) -> int:
    with (data_dir / f"{DATABASE}-wal").open("rb") as wal:
        head = wal.read(_WRAPS.size)
    wraps: int = _WRAPS.unpack(head)[0] if len(head) == _WRAPS.size else 0
    return wraps


def cut(disk: Disk, node: Victim, load: Load, image: Path) -> Promise:
    """Copy the disk between two instructions of the node; return what was promised by then."""
    with node.frozen():
        promise = load.ledger.promise()
        copy_moment(disk, image)
    return promise


def what_is_left(image: Path, promise: Promise, figures: Figures) -> Verdict:
    """Boot from the copy: check the filesystem, mount it, start a node, compare."""
    repair(image)
    log = image.with_suffix(".log")
    with mounted(image) as disk, victim(disk.mount / "node", log) as node:
        node.start()
        verdict = node.verdict(promise)
        figures.ready_s += node.ready_s
    image.unlink()
    return verdict
