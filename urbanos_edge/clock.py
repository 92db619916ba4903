"""The node's own time, in microseconds since 1970 UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_US: Final = 1_000_000
HOUR_US: Final = 3600 * SECOND_US
DAY_US: Final = 24 * HOUR_US
_MICROSECOND: Final = timedelta(microseconds=1)
_STEPPED_BACK_US: Final = 5 * SECOND_US


class Clock:
    """Tells the time, and stamps readings that bring none."""

    def __init__(self) -> None:
        self._last_stamp_us = 0

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def stamp_us(self) -> int:
        """A moment no earlier reading was stamped with, so that two arrivals stay two readings.

        It follows the clock when that was set back by more than 5 s.
        """
        now_us = self.now_us()
        if now_us < self._last_stamp_us - _STEPPED_BACK_US:
            self._last_stamp_us = now_us
        else:
            self._last_stamp_us = max(now_us, self._last_stamp_us + 1)
        return self._last_stamp_us


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 of a moment with a zone."""
    return (moment - EPOCH) // _MICROSECOND


def to_rfc3339(moment_us: int) -> str:
    """`2026-11-23T10:00:00Z`, with as many decimals as the moment has."""
    text = (EPOCH + timedelta(microseconds=moment_us)).isoformat()
    return text.removesuffix("+00:00") + "Z"
