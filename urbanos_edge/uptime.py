"""How long the node was ready, against a budget: 99.95 % of the last 30 days.

The node counts its own ready seconds and keeps them by UTC day, once a minute. All other time
since it first counted is down: not ready, stopped, without power. Whether anybody could reach it
over the network it cannot know.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, Literal

import apsw
import msgspec

from urbanos_edge.clock import DAY_US, SECOND_US, Clock
from urbanos_edge.database import Database
from urbanos_edge.store.store import day_of

PROMISED: Final = 0.9995
WINDOW_DAYS: Final = 30
"""Today and the days before it."""
LOOK_EVERY_S: Final = 1.0
STUCK_S: Final = 5.0
"""A look that comes so late says that nothing was answered meanwhile."""
KEEP_EVERY_S: Final = 60.0
"""What a crash makes the node believe that it was down longer than it was, at most."""
_KEEP: Final = """
INSERT INTO uptime (day, since_us, ready_s) VALUES (?, ?, ?)
ON CONFLICT (day) DO UPDATE SET ready_s = ready_s + excluded.ready_s
"""
_SUM: Final = "SELECT min(since_us), coalesce(sum(ready_s) FILTER (WHERE day >= ?), 0) FROM uptime"


class Fault(msgspec.Struct, frozen=True):
    """Why the node is not ready; `why` is what a library or the system said, where it said it."""

    code: Literal["flush_failed", "disk_low", "spool_full"]
    text: str
    why: str = ""


class Report(msgspec.Struct, frozen=True):
    """What there is to tell; seconds of the window unless said otherwise."""

    since_us: int
    """The window's beginning, or the first moment that was counted if it is later."""
    ready_s: float
    down_s: float
    budget_left_s: float
    """Of the window's 1,296; below zero the promise is broken."""
    availability: float


class Uptime:
    """Looked at from the event loop; kept and reported from worker threads."""

    def __init__(
        self, database: Database, clock: Clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._clock = clock
        self._monotonic = monotonic
        self._keeping = threading.Lock()
        self._began_us = clock.now_us()
        self._was_ready = False
        self._looked_s = self._kept_at_s = monotonic()
        self._kept_s = 0.0
        self.ready_s = 0.0
        """Since this process began."""
        self.unready_s = 0.0

    def look(self, is_ready: bool) -> None:
        """Count what passed since the last look: as ready only if the node was, then and now."""
        now_s = self._monotonic()
        passed_s, self._looked_s = now_s - self._looked_s, now_s
        if self._was_ready and is_ready and passed_s < STUCK_S:
            self.ready_s += passed_s
        else:
            self.unready_s += passed_s
        self._was_ready = is_ready

    @property
    def is_due(self) -> bool:
        """Whether it is time to keep what was counted."""
        return self._looked_s - self._kept_at_s >= KEEP_EVERY_S

    def keep(self) -> None:
        """Make durable what was counted.

        Raises:
            Unavailable, StorageUnavailable, DiskFull: it was not; the next time it will be.
        """
        with self._keeping:
            counted_s, self._kept_at_s = self.ready_s, self._looked_s
            if counted_s == self._kept_s:
                return
            row = (day_of(self._clock.now_us()), self._began_us, counted_s - self._kept_s)
            self._database.write_and_wait(lambda connection: connection.execute(_KEEP, row))
            self._kept_s = counted_s

    def report(self, connection: apsw.Connection) -> Report:
        """What was kept of the last 30 days, and what was counted since."""
        now_us = self._clock.now_us()
        window_us = now_us // DAY_US * DAY_US - (WINDOW_DAYS - 1) * DAY_US
        with self._keeping:
            kept: Any = connection.execute(_SUM, (day_of(window_us),)).fetchone()
            ready_s = kept[1] + self.ready_s - self._kept_s
        since_us = max(window_us, self._began_us if kept[0] is None else kept[0])
        passed_s = max((now_us - since_us) / SECOND_US, ready_s)
        down_s = passed_s - ready_s
        return Report(
            since_us=since_us,
            ready_s=ready_s,
            down_s=down_s,
            budget_left_s=(1 - PROMISED) * WINDOW_DAYS * 86_400 - down_s,
            availability=ready_s / passed_s if passed_s else 1.0,
        )
