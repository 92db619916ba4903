"""A full disk: filled by a foreign file and by readings, then freed, and left alone."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from tests.faults.disks import CAREFUL, Disk, new_disk
from tests.faults.figures import Figures
from tests.faults.load import Load
from tests.faults.victim import Victim, victim
from tests.processes import wait_until

DISK_MIB: Final = 64
REFUSALS: Final = ("503", "507")
DRAINS_WITHIN_S: Final = 60.0
FLUSH_INTERVAL_S: Final = 1.0


def fill_disk(
    folder: Path, left_mib: int, full_for_s: float, fills_within_s: float, seed: int = 4
) -> Figures:
    """Leave so much room to the node, let readings fill it, make room, and wait.

    While the disk is full a foreign file takes every byte that is given back, so that the node
    cannot get along by its own reserve.
    """
    figures = Figures("diskfull")
    log = folder / "node.log"
    with new_disk(folder, DISK_MIB, CAREFUL) as disk, victim(disk.mount / "node", log) as node:
        node.start(flush_interval_s=FLUSH_INTERVAL_S)
        token, foreign = node.token(), _Foreign(disk)
        foreign.leave(left_mib << 20)
        load = Load(node.url, token, seed=seed, sizes=(200, 1000), pause_s=0)
        with load.running(senders=3):
            wait_until(lambda: _refused(load), fills_within_s, node.log)
            foreign.leave(0)
            time.sleep(full_for_s)
            figures.more["refused_while_full"] = _refused(load)
            foreign.remove()
            freed_s = time.monotonic()
            load.pause()  # returns when everything that was refused is accepted
            figures.more["accepting_after_s"] = round(time.monotonic() - freed_s, 2)
            wait_until(lambda: _is_drained(node), DRAINS_WITHIN_S, node.log)
            figures.more["drained_after_s"] = round(time.monotonic() - freed_s, 2)
        figures.judge(node.verdict(load.ledger.promise()))
        figures.more["quarantined"] = node.status()["quarantined"]
        _check_after_restart(node, load, figures)
    figures.add_load(load)
    return figures


def _check_after_restart(node: Victim, load: Load, figures: Figures) -> None:
    node.kill()
    node.start()
    figures.judge(node.verdict(load.ledger.promise()))
    figures.ready_s += node.ready_s


def _refused(load: Load) -> int:
    return sum(load.answers[status] for status in REFUSALS)


def _is_drained(node: Victim) -> bool:
    return node.answers("/health/ready") and node.status()["spool"]["readings"] == 0


class _Foreign:
    """A file of somebody else on the same disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._path = disk.mount / "foreign"

    def leave(self, left_bytes: int) -> None:
        """Grow until no more than that is free."""
        found = os.statvfs(self._disk.mount)
        wanted = found.f_bavail * found.f_frsize - left_bytes
        chunk = b"\xff" * (1 << 16)
        with self._path.open("ab", buffering=0) as stream:
            try:
                for _ in range(max(wanted, 0) // len(chunk) + 1):
                    stream.write(chunk)
                os.fsync(stream.fileno())
            except OSError:
                return  # full

    def remove(self) -> None:
        self._path.unlink()
