"""How finely a history is answered: kinds of bucket, how much is given at once, where days begin.

Days are those of a time zone, with 23 to 25 hours where its clocks are changed.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge.clock import DAY_US, EPOCH, HOUR_US, SECOND_US, to_us
from urbanos_edge.errors import Unprocessable

MAX_RAW_DAYS: Final = 7
MAX_5M_DAYS: Final = 31
MAX_1H_DAYS: Final = 400
MAX_1D_DAYS: Final = 20 * 366
FIVE_MINUTES_US: Final = 300 * SECOND_US

Ints = npt.NDArray[np.int64]


class Resolution(msgspec.Struct, frozen=True):
    """One kind: `max_days` are given at once; it is usual for spans up to `usual_hours`."""

    name: str
    max_days: int
    usual_hours: int


RAW: Final = Resolution("raw", MAX_RAW_DAYS, 6)
MINUTES: Final = Resolution("5m", MAX_5M_DAYS, 3 * 24)
HOURLY: Final = Resolution("1h", MAX_1H_DAYS, 120 * 24)
DAILY: Final = Resolution("1d", MAX_1D_DAYS, MAX_1D_DAYS * 24)
RESOLUTIONS: Final = {one.name: one for one in (RAW, MINUTES, HOURLY, DAILY)}


def chosen(name: str | None, span_us: int) -> Resolution:
    """The resolution of that name, or the usual one for a span.

    Raises:
        Unprocessable: there is none of that name, or the span is more than it gives at once.
    """
    usual = (one for one in RESOLUTIONS.values() if span_us <= one.usual_hours * HOUR_US)
    found = next(usual, DAILY) if name is None else RESOLUTIONS.get(name)
    if found is None:
        known = ", ".join(RESOLUTIONS)
        raise Unprocessable(f"'resolution' is one of {known}", code="unknown_resolution")
    if span_us > found.max_days * DAY_US:
        raise Unprocessable(
            f"resolution {found.name} is answered for at most {found.max_days} days at once",
            code="range_too_large",
            details={"resolution": found.name, "max_days": found.max_days},
        )
    return found


def widened(resolution: Resolution, from_us: int, to_us: int, zone: ZoneInfo) -> tuple[int, int]:
    """The outer edges of the buckets that a span touches."""
    if resolution == RAW:
        return from_us, to_us
    if resolution == DAILY:
        edges_us = day_edges(from_us, to_us, zone)
        return edges_us[0], edges_us[-1]
    length_us = FIVE_MINUTES_US if resolution == MINUTES else HOUR_US
    return from_us // length_us * length_us, -(-to_us // length_us) * length_us


def hours_within(from_us: int, to_us: int) -> range:
    """The hours that begin in a span: from ≤ beginning < to."""
    return range(-(-from_us // HOUR_US), -(-to_us // HOUR_US))


def days_of(hours: range, zone: ZoneInfo) -> Ints:
    """For each hour, the beginning of the local day in which it begins."""
    edges_us = np.array(day_edges(hours.start * HOUR_US, hours.stop * HOUR_US, zone))
    return edges_us[np.searchsorted(edges_us, np.array(hours) * HOUR_US, "right") - 1]


def day_edges(from_us: int, to_us: int, zone: ZoneInfo) -> list[int]:
    """Where the local days begin that a span touches, and where the last of them ends."""
    day = (EPOCH + timedelta(microseconds=from_us)).astimezone(zone).date()
    edges_us = [_beginning_us(day, zone)]
    while edges_us[-1] < to_us:
        day += timedelta(days=1)
        edges_us.append(_beginning_us(day, zone))
    return edges_us


def _beginning_us(day: date, zone: ZoneInfo) -> int:
    return to_us(datetime.combine(day, time(), zone))
