"""Retention: partitions are dropped whole once nothing in them is wanted any more.

A partition expires when its day and its newest arrival are both older than the retention, so a
history that was imported yesterday stays as long as one measured yesterday. Its hourly aggregates
stay, for a retention of their own.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import apsw
import msgspec

from urbanos_edge.clock import DAY_US, Clock
from urbanos_edge.hours import Hours
from urbanos_edge.manifest import File
from urbanos_edge.spool import count
from urbanos_edge.store import Store, start_of

LEAP_US: Final = 7 * DAY_US
"""A clock this far from the last thing known was set, or the node was off: which, time tells."""
STEADY_S: Final = 86_400.0
"""How long a clock that leapt must run on before anything is dropped by it."""


class Partition(msgspec.Struct, frozen=True):
    """What is stored of one day."""

    day: str
    files: int
    rows: int
    bytes: int


class Expiry:
    """Drops readings older than `retention_days`, aggregates older than `rollup_retention_days`."""

    def __init__(
        self,
        store: Store,
        hours: Hours,
        clock: Clock,
        retention_days: int,
        rollup_retention_days: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._hours = hours
        self._clock = clock
        self._retention_us = retention_days * DAY_US
        self._rollup_retention_us = rollup_retention_days * DAY_US
        self._monotonic = monotonic
        self._known_us = max((file.max_received_us for file in store.files), default=None)
        self._sure_from_s = 0.0

    def due(self) -> list[Partition]:
        """What has expired, oldest first."""
        return [_described(day, files) for day, files in self._expired()]

    def drop(self) -> list[Partition]:
        """Drop what has expired, a day in one transaction; files go when nobody reads them.

        Raises:
            StorageUnavailable, DiskFull: the days that follow were not dropped.
        """
        dropped = [day for day in self.due() if self._drop_day(day.day)]
        self._hours.drop(self._clock.now_us() - self._rollup_retention_us)
        return dropped

    def _drop_day(self, day: str) -> bool:
        """Drop a day unless something arrived for it while its last readings were counted."""
        return self._hours.expire(day, lambda: dict(self._expired()).get(day, []), _count_expired)

    def drop_if_sure(self) -> list[Partition]:
        """Drop what has expired, unless the clock is in doubt or leapt within the last day.

        A year dropped for a clock that was a year ahead for an hour would be gone for good.
        """
        now_us, now_s = self._clock.now_us(), self._monotonic()
        if self._known_us is not None and abs(now_us - self._known_us) > LEAP_US:
            self._sure_from_s = now_s + STEADY_S
        self._known_us = now_us
        if self._clock.doubt is not None or now_s < self._sure_from_s:
            return []
        return self.drop()

    def _expired(self) -> list[tuple[str, list[File]]]:
        return expired(self._store.files, self._clock.now_us() - self._retention_us)


def expired(files: Iterable[File], before_us: int) -> list[tuple[str, list[File]]]:
    """The days that ended before a moment and got nothing since, oldest first, and their files."""
    by_day: defaultdict[str, list[File]] = defaultdict(list)
    for file in files:
        by_day[file.day].append(file)
    return [
        (day, members)
        for day, members in sorted(by_day.items())
        if start_of(day) + DAY_US <= before_us
        and all(file.max_received_us < before_us for file in members)
    ]


def _count_expired(connection: apsw.Connection, files: Sequence[File]) -> None:
    count(connection, {"expired": sum(file.rows for file in files)})


def _described(day: str, files: list[File]) -> Partition:
    rows, size = sum(file.rows for file in files), sum(file.bytes for file in files)
    return Partition(day, len(files), rows, size)
