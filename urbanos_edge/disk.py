"""The guard of the disk: readings are refused while there is still room for those taken.

On a full disk even the removal of rows fails, so a node that only stops accepting could never
drain. A ballast file is given back in that moment; what waits is flushed into it, and it is
written again when there is room.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from urbanos_edge.clock import DAY_US
from urbanos_edge.errors import DiskFull

RATE_DAYS: Final = 7
"""Full days that the forecast looks back on."""
_MIB: Final = 1 << 20


class Forecast(msgspec.Struct):
    """How the store grows, and when the disk is full at this rate (none: it will not be)."""

    bytes_per_day: int
    full_in_days: float | None


class DiskGuard:
    """Watches the free space of the data directory's filesystem."""

    def __init__(self, directory: Path, reserve_mib: int, ballast_mib: int, now_us: int) -> None:
        self._directory = directory
        self._ballast = directory / "ballast"
        self._reserve_bytes = reserve_mib * _MIB
        self._ballast_bytes = ballast_mib * _MIB
        self._start_us = now_us
        self._start_bytes, self._written_bytes = _written_bytes(), 0
        self.free_bytes = 0
        self.is_low = False
        self.look()

    def look(self) -> None:
        """Measure; give the ballast back when it is needed, take it again when there is room."""
        self.free_bytes = shutil.disk_usage(self._directory).free
        has_ballast = self._ballast.exists()
        if has_ballast and self.free_bytes < self._reserve_bytes // 2:
            self._ballast.unlink()
        elif not has_ballast and self.free_bytes > 2 * self._reserve_bytes + self._ballast_bytes:
            self._take_ballast()
        self.is_low = self.free_bytes < self._reserve_bytes

    @property
    def room_bytes(self) -> int:
        """What may be written before readings are refused."""
        return self.free_bytes - self._reserve_bytes

    @property
    def ballast_bytes(self) -> int:
        """What is held back on the disk now."""
        try:
            return self._ballast.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def written_bytes(self) -> int:
        """What this process gave the disk to write since it began; never less than before."""
        self._written_bytes = max(self._written_bytes, _written_bytes() - self._start_bytes)
        return self._written_bytes

    def check_room(self) -> None:
        """Raise DiskFull while there is less than the reserve."""
        if self.is_low:
            raise DiskFull("the disk is almost full; the node takes readings again when it is not")

    def written_per_day(self, now_us: int) -> int:
        """Bytes a day that this process gave the disk to write since it began: the flash's wear."""
        return round(self.written_bytes * DAY_US / max(now_us - self._start_us, 1))

    def _take_ballast(self) -> None:
        """Reserve real blocks; where the filesystem refuses, there is just no ballast."""
        if not self._ballast_bytes:
            return
        try:
            descriptor = os.open(self._ballast, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return
        try:
            os.posix_fallocate(descriptor, 0, self._ballast_bytes)
        except OSError:
            self._ballast.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def forecast(
    arrivals: Sequence[tuple[int, int]], free_bytes: int, retention_days: int, now_us: int
) -> Forecast:
    """Extrapolate what came in the last `RATE_DAYS` full days, or since the first of them.

    `arrivals` are the store's files: when the newest reading in each arrived, and its bytes.
    Retention ends growth: when what it leaves fits, the disk is never full.
    """
    today_us = now_us // DAY_US * DAY_US
    start_us = today_us - RATE_DAYS * DAY_US
    recent = [(at_us, size) for at_us, size in arrivals if start_us <= at_us < today_us]
    if not recent:
        return Forecast(0, None)
    days = (today_us - min(recent)[0] // DAY_US * DAY_US) // DAY_US
    rate = sum(size for _, size in recent) / days
    fits = rate * retention_days - sum(size for _, size in arrivals) <= free_bytes
    return Forecast(round(rate), None if fits else round(free_bytes / rate, 1))


def _written_bytes() -> int:
    """Bytes this process caused to be written to a device, as Linux counts them.

    Not those of files that were gone before their turn came, as most of what DuckDB lays aside
    while it sorts.
    """
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    counts = {name: int(value) for name, value in (line.split(": ") for line in lines)}
    return counts.get("write_bytes", 0) - counts.get("cancelled_write_bytes", 0)
