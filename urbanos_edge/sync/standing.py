"""How it stands between the node and its centre, for people and monitors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from urbanos_edge.clock import HOUR_US
from urbanos_edge.errors import EdgeError
from urbanos_edge.store.owed import Owed

LIVE_HOURS: Final = 3
"""What lies at most so far back goes before everything older."""
APART_S: Final = 60.0
"""How far the clocks may be apart before it is worth a word."""

State = Literal["off", "starting", "failing", "sending", "in_sync"]


class Standing(msgspec.Struct, frozen=True):
    """The state in a word, and what it is made of; `lag_s` is the age of what waits longest."""

    state: State
    centre: str | None
    mode: str
    failure: str | None
    failure_code: str | None
    failing_since_us: int | None
    warnings: list[str]
    heard_at_us: int | None
    """When the centre last answered."""
    clock_offset_s: float | None
    """How far this node's clock is ahead of the centre's."""
    pending_hours: int
    pending_buckets: int
    """Estimated by what the hours sent so far had."""
    lag_s: float
    live_lag_s: float
    """The same for the last hours only."""
    hours_sent: int
    buckets_sent: int
    readings_sent: int


class Failure(msgspec.Struct, frozen=True):
    """What went wrong the last times, and since when."""

    message: str
    code: str
    since_us: int
    times: int

    @classmethod
    def after(cls, before: Failure | None, error: EdgeError, now_us: int) -> Failure:
        """The failure that follows another one or none."""
        if before is None:
            return cls(error.message, error.code, now_us, 1)
        return cls(error.message, error.code, before.since_us, before.times + 1)


def lag_s(marks: Sequence[Owed], now_us: int) -> float:
    """How long the mark has waited that waits longest; 0 without any."""
    since_us = min((mark.since_us for mark in marks), default=now_us)
    return max(now_us - since_us, 0) / 1e6


def is_live(hour: int, now_us: int) -> bool:
    """Whether an hour is one of the last ones."""
    return hour > now_us // HOUR_US - LIVE_HOURS


def warnings_of(clock_offset_s: float | None) -> list[str]:
    """What does not stop the sync and is wrong all the same."""
    if clock_offset_s is None or abs(clock_offset_s) <= APART_S:
        return []
    where = "ahead of" if clock_offset_s > 0 else "behind"
    apart = f"{abs(clock_offset_s):,.0f} s {where} the centre's"
    return [f"this node's clock is {apart}; readings may be counted in wrong hours"]
