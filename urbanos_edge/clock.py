"""The node's own time, in microseconds since 1970 UTC, and whether it can be trusted.

A box without a battery wakes up at some time in the past and is set right minutes or days later.
Until then the node stamps readings with a time it knows to doubt; once the clock is set, the
difference tells what those stamps should have been. What never jumps is the time since the
machine was started, so a step of the clock shows against it.
"""

from __future__ import annotations

import ctypes
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge.errors import Unprocessable

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_US: Final = 1_000_000
HOUR_US: Final = 3600 * SECOND_US
DAY_US: Final = 24 * HOUR_US
STEP_US: Final = SECOND_US
"""A clock that moves this much against the time since the start was set, not slewed."""
YEARS: Final = range(1970, 3000)
"""In which moments may lie."""
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MICROSECOND: Final = timedelta(microseconds=1)
_TIME_SERVICES: Final = tuple(map(Path, ("/run/systemd/timesync", "/run/chrony", "/run/ntpd.pid")))
_STA_UNSYNC: Final = 0x40
_STATUS_AT: Final = 5 * ctypes.sizeof(ctypes.c_long)
"""Where `struct timex` of adjtimex(2) holds its status."""


RELEASED_US: Final = 1_793_491_200_000_000
"""2026-11-01, when this was written: a clock behind it is wrong. What the node itself has seen is
no such bound, for one day with a clock too far ahead would put every later one in doubt. It stays
where it is: what is kept of earlier is never expired."""


class Instant(msgspec.Struct, frozen=True):
    """Both clocks at one moment."""

    wall_us: int
    since_boot_us: int

    @property
    def offset_us(self) -> int:
        return self.wall_us - self.since_boot_us


class Doubt(msgspec.Struct, frozen=True):
    """Since when the clock is not trusted, by that clock, and how far it was from the start."""

    since_us: int
    offset_us: int


class Correction(msgspec.Struct, frozen=True):
    """Stamps from `since_us` to `until_us`, by the clock as it was, belong `shift_us` later."""

    since_us: int
    until_us: int
    shift_us: int


class Stamp(msgspec.Struct, frozen=True):
    """A time the node gives, and whether it stands by it."""

    at_us: int
    is_trusted: bool


class Clock:
    """Tells the time, stamps readings that bring none, and says what to mend once it is set.

    `doubt` is one that an earlier process of this boot left. `awaits` says whether a time
    service runs that has not set the clock yet.
    """

    def __init__(
        self,
        doubt: Doubt | None = None,
        read: Callable[[], Instant] | None = None,
        awaits: Callable[[], bool] | None = None,
    ) -> None:
        self._read = read or read_clocks
        self._awaits = awaits or awaits_service
        self._last_stamp_us = 0
        self.doubt = doubt
        if doubt is None:
            self.look()

    def now_us(self) -> int:
        return self._read().wall_us

    def stamp(self) -> Stamp:
        """A moment no earlier reading was stamped with, so that two arrivals stay two readings.

        It follows the clock when that was set back. In doubt, a clock that has been set since is
        believed at once.
        """
        instant = self._read()
        if instant.wall_us < self._last_stamp_us - STEP_US:
            self._last_stamp_us = instant.wall_us
        else:
            self._last_stamp_us = max(instant.wall_us, self._last_stamp_us + 1)
        return Stamp(self._last_stamp_us, self.doubt is None or self._was_set(instant, self.doubt))

    def look(self) -> None:
        """Compare the clocks: a doubt begins, or ends.

        A clock that nobody doubted is believed when it is set, too: which of its two times was
        right cannot be known.
        """
        instant = self._read()
        if not (instant.wall_us < RELEASED_US or self._awaits()):
            self.doubt = None
        elif self.doubt is None:
            self.doubt = Doubt(instant.wall_us, instant.offset_us)

    def correction(self, ended: Doubt) -> Correction:
        """What to mend of the time of a doubt that has ended."""
        instant = self._read()
        shift_us = instant.offset_us - ended.offset_us
        return Correction(ended.since_us, instant.wall_us - shift_us, shift_us)

    def _was_set(self, instant: Instant, doubt: Doubt) -> bool:
        stepped = abs(instant.offset_us - doubt.offset_us) > STEP_US
        return stepped and instant.wall_us >= RELEASED_US


def read_clocks() -> Instant:
    """The system's clocks."""
    since_boot_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    return Instant(time.time_ns() // 1000, since_boot_us)


def awaits_service() -> bool:
    """Whether a time service runs and has not set the clock yet.

    A clock that no service sets is taken as right: its machine has a battery or a host.
    """
    return any(path.exists() for path in _TIME_SERVICES) and not _is_synchronised()


def boot_id() -> str:
    """What tells one start of the machine from the next."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 of a moment with a zone."""
    return (moment - EPOCH) // _MICROSECOND


def moment_us(name: str, text: str | None) -> int | None:
    """A moment in RFC 3339 as microseconds since 1970; None when it was not given.

    Raises:
        Unprocessable: not such a moment, without a zone, or in no year we know.
    """
    if text is None:
        return None
    try:
        moment = msgspec.convert(text, _Moment)
    except msgspec.ValidationError as error:
        raise Unprocessable(
            f"'{name}' must be a moment like 2026-11-23T10:00:00Z, with a zone (and + as %2B)",
            code=f"invalid_{name}",
        ) from error
    if moment.year not in YEARS:
        raise Unprocessable(
            f"'{name}' must lie between {YEARS[0]} and {YEARS[-1]}", code=f"invalid_{name}"
        )
    return to_us(moment)


def day_or_moment_us(name: str, text: str | None) -> int | None:
    """As `moment_us`; a day like 2026-11-23 is its beginning in UTC."""
    if text is not None and _DAY.fullmatch(text):
        text = f"{text}T00:00:00Z"
    return moment_us(name, text)


def is_moment(field: str) -> bool:
    """Whether a field of this name is a moment in microseconds since 1970."""
    return field == "at_us" or field.endswith("_at_us")


def spelled(told: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields with moments in RFC 3339, and without `_us` in their names."""
    moments = {
        name.removesuffix("_us"): to_rfc3339(value)
        for name, value in told.items()
        if is_moment(name)
    }
    return {name: value for name, value in told.items() if not is_moment(name)} | moments


def to_rfc3339(moment_us: int) -> str:
    """`2026-11-23T10:00:00Z`, with as many decimals as the moment has."""
    text = (EPOCH + timedelta(microseconds=moment_us)).isoformat()
    return text.removesuffix("+00:00") + "Z"


def all_to_rfc3339(moments_us: npt.NDArray[np.int64]) -> list[str]:
    """`to_rfc3339` of many moments at once."""
    is_whole, moments = moments_us % SECOND_US == 0, moments_us.astype("datetime64[us]")
    unit: Literal["s", "us"] = "s" if is_whole.all() else "us"
    spelled: list[str] = np.datetime_as_string(moments, unit=unit, timezone="UTC").tolist()
    if unit == "us" and is_whole.any():
        return [text.replace(".000000Z", "Z") for text in spelled]
    return spelled


def _is_synchronised() -> bool:
    buffer = ctypes.create_string_buffer(512)  # larger than any struct timex; modes 0 only reads
    if ctypes.CDLL(None).adjtimex(buffer) < 0:
        return True
    status = int.from_bytes(buffer.raw[_STATUS_AT : _STATUS_AT + 4], "little")
    return not status & _STA_UNSYNC
