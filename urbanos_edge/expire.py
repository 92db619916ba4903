"""Retention: partitions are dropped whole once nothing in them is wanted any more.

A partition expires when its day and its newest arrival are both older than the retention, so a
history that was imported yesterday stays as long as one measured yesterday. Its hourly aggregates
stay, for a retention of their own.

Where the centre is to have the readings themselves, a day that it may not have yet waits, but not
for ever: when the disk is low, room for new readings comes first. It still waits while files that
went before it are being read, because their room is about to come free.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

import apsw
import msgspec

from urbanos_edge.clock import DAY_US, RELEASED_US, Clock
from urbanos_edge.database import Database, translated
from urbanos_edge.disk import DiskGuard
from urbanos_edge.errors import EdgeError
from urbanos_edge.hours.hours import Cursor, Hours, hours_in
from urbanos_edge.ingest.spool import count
from urbanos_edge.store import owed
from urbanos_edge.store.manifest import File
from urbanos_edge.store.store import Store, start_of

LEAP_US: Final = 7 * DAY_US
"""A clock this far from the last thing known was set, or the node was off: which, time tells."""
STEADY_S: Final = 86_400.0
"""How long a clock that leapt must run on before anything is dropped by it."""
OWED: Final = "the centre may not have it yet"
_COUNT_READINGS: Final = (
    "SELECT coalesce(sum(readings + flagged), 0) FROM hourly WHERE NOT is_final"
)
_log = logging.getLogger(__name__)


class Partition(msgspec.Struct, frozen=True):
    """What is stored of one day that has expired; `waits` says why it stays all the same."""

    day: str
    files: int
    rows: int
    bytes: int
    owed_hours: int = 0
    """Hours whose readings the centre may not have, where it is to have them."""
    waits: str = ""


class Expiry:
    """Drops readings older than `retention_days`, aggregates older than `rollup_retention_days`."""

    def __init__(
        self,
        store: Store,
        hours: Hours,
        clock: Clock,
        retention_days: int,
        rollup_retention_days: int,
        database: Database,
        disk: DiskGuard,
        owes_readings: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._hours = hours
        self._clock = clock
        self._retention_us = retention_days * DAY_US
        self._rollup_retention_us = rollup_retention_days * DAY_US
        self._database = database
        self._disk = disk
        self._owes_readings = owes_readings
        self._monotonic = monotonic
        self._known_us = max((file.max_received_us for file in store.files), default=None)
        self._sure_from_s = 0.0

    def due(self) -> list[Partition]:
        """What has expired, oldest first, with what waits among it."""
        return [self._described(day, files) for day, files in self._expired()]

    def drop(self) -> list[Partition]:
        """Drop what has expired, a day in one transaction; files go when nobody reads them.

        What is owed goes last, the oldest day first, and only while the disk is low and no room is
        about to come free.

        Raises:
            StorageUnavailable, DiskFull: the days that follow were not dropped.
        """
        due = self.due()
        dropped = [day for day in due if not day.owed_hours and self._drop_day(day)]
        owing = [day for day in due if day.owed_hours]
        dropped += [day for day in owing if self._needs_room() and self._drop_day(day)]
        self._hours.drop(self._clock.now_us() - self._rollup_retention_us)
        return dropped

    def _needs_room(self) -> bool:
        """Whether the disk is low still, after what went and what is about to."""
        if self._store.retired_bytes:
            return False
        self._disk.look()
        return self._disk.is_low

    def _drop_day(self, partition: Partition) -> bool:
        """Drop a day unless something arrived for it while its last readings were counted."""
        day, owed_readings = partition.day, self._count_owed(partition)
        also = partial(_count_expired, owed_readings)
        has_gone = self._hours.expire(day, lambda: dict(self._expired()).get(day, []), also)
        if has_gone and partition.owed_hours:
            _log.warning(
                "%s was dropped to make room on the disk, with %d readings that the centre"
                " may not have",
                day,
                owed_readings,
            )
        return has_gone

    def _count_owed(self, partition: Partition) -> int:
        """The readings in the owed hours of a day, all of the day where they cannot be counted."""
        if not partition.owed_hours:
            return 0

        def work(cursor: Cursor) -> int:
            row: tuple[int] = cursor.execute(_COUNT_READINGS).fetchall()[0]
            return int(row[0])

        try:
            return self._hours.read(self._owed_in(partition.day), work) or 0
        except EdgeError:
            return partition.rows

    def drop_if_sure(self) -> list[Partition]:
        """Drop what has expired, unless the clock cannot be relied on."""
        return self.drop() if self.is_sure() else []

    def is_sure(self) -> bool:
        """Whether the clock is not in doubt, and has not leapt within the last day.

        A year dropped for a clock that was a year ahead for an hour would be gone for good.
        """
        now_us, now_s = self._clock.now_us(), self._monotonic()
        if self._known_us is not None and abs(now_us - self._known_us) > LEAP_US:
            self._sure_from_s = now_s + STEADY_S
        self._known_us = now_us
        return self._clock.doubt is None and now_s >= self._sure_from_s

    def _expired(self) -> list[tuple[str, list[File]]]:
        return expired(self._store.files, self._clock.now_us() - self._retention_us)

    def _owed_in(self, day: str) -> list[int]:
        if not self._owes_readings:
            return []
        with translated():
            return owed.owed_hours(self._database.read(), hours_in(day))

    def _described(self, day: str, files: list[File]) -> Partition:
        rows, size = sum(file.rows for file in files), sum(file.bytes for file in files)
        owed_hours = len(self._owed_in(day))
        waits = OWED if owed_hours and not self._disk.is_low else ""
        return Partition(day, len(files), rows, size, owed_hours, waits)


def expired(files: Iterable[File], before_us: int) -> list[tuple[str, list[File]]]:
    """The days that ended before a moment and got nothing since, oldest first, and their files.

    What arrived before there was this program was stamped by a clock that was never set: when it
    was measured nobody knows, so it stays.
    """
    by_day: defaultdict[str, list[File]] = defaultdict(list)
    for file in files:
        by_day[file.day].append(file)
    return [
        (day, members)
        for day, members in sorted(by_day.items())
        if start_of(day) + DAY_US <= before_us
        and all(RELEASED_US <= file.max_received_us < before_us for file in members)
    ]


def _count_expired(owed_readings: int, connection: apsw.Connection, files: Sequence[File]) -> None:
    outcomes = {"expired": sum(file.rows for file in files), "expired_owed": owed_readings}
    count(connection, outcomes)
