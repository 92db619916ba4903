"""Rows gathered into the requests that carry them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from urbanos_edge.archives import ArchiveError, Rejected, Row
from urbanos_edge.replay.order import Order, Placed
from urbanos_edge.replay.state import Position

_GATHER_S: Final = 0.25
"""In measured time, readings that fall due within this span travel together."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows: `body` is the JSON array of their readings, empty when there are none.

    `share` is how much of the whole is gone through with it, from 0 to 1.
    """

    rows: list[Placed]
    body: bytes
    share: float

    @property
    def position(self) -> Position:
        """Where the last row stands."""
        index, row = self.rows[-1]
        return index, row.line


class Pace:
    """When readings are due, `speed` times faster than they were measured; the first is at once."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._first: tuple[datetime, float] | None = None

    def delay_s(self, timestamp: datetime) -> float:
        """How long until this reading is due; negative when it is late."""
        if self._first is None:
            self._first = timestamp, time.monotonic()
        first_at, started_s = self._first
        due_s = (timestamp - first_at).total_seconds() / self._speed
        return started_s + due_s - time.monotonic()


class Batches:
    """An order cut into batches of at most `size` rows, their times moved by `shift`.

    With a pace, a batch leaves when its readings are due. `complete` is true once the order has
    come to its end, `damage` is what ended it before.
    """

    def __init__(
        self, order: Order, size: int, shift: timedelta, pace: Pace | None, stop: threading.Event
    ) -> None:
        self.complete = False
        self.damage: ArchiveError | None = None
        self._order = order
        self._size = size
        self._shift = shift
        self._pace = pace
        self._stop = stop
        self._encoder = msgspec.json.Encoder()

    def after(self, position: Position) -> Iterator[Batch]:
        """Yield the batches that follow this position, until the end or until stopped."""
        rows: list[Placed] = []
        for placed in self._rows(position):
            delay_s = self._delay_s(placed[1])
            if delay_s > 0:
                if rows:
                    yield self._cut(rows)
                    rows = []
                self._stop.wait(max(delay_s, _GATHER_S))
            if self._stop.is_set():
                return
            rows.append(placed)
            if len(rows) == self._size:
                yield self._cut(rows)
                rows = []
        if rows:
            yield self._cut(rows)
        self.complete = self.damage is None

    def _rows(self, position: Position) -> Iterator[Placed]:
        try:
            yield from self._order.rows(position)
        except ArchiveError as error:
            self.damage = error

    def _delay_s(self, row: Row | Rejected) -> float:
        if self._pace is None or isinstance(row, Rejected):
            return 0.0
        return self._pace.delay_s(row.timestamp)

    def _cut(self, rows: list[Placed]) -> Batch:
        readings = [row.ingest for _, row in rows if isinstance(row, Row)]
        if self._shift:
            for reading in readings:
                reading["timestamp"] += self._shift
        body = self._encoder.encode(readings) if readings else b""
        return Batch(rows, body, self._order.share())
