"""Who was turned away at the doors of sensors, and what they were told: the newest, in memory.

A device that is set up wrongly tells nobody, or a page of its own that nobody opens. Whoever looks
after the node finds here, and in the log, what it was told.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from urbanos_edge.clock import HOUR_US, Instant, read_clocks

MAX_KEPT: Final = 100
"""Who was turned away longest ago gives way."""
MAX_LETTERS: Final = 200
"""Of each text that a stranger has chosen."""
LOGGED_AN_HOUR: Final = 60
"""Lines of the log, for there is no end of strangers."""
PLAIN_PORT: Final = "the port without HTTPS"
TLS_PORT: Final = "the port with HTTPS"
_log = logging.getLogger(__name__)


class Refusal(msgspec.Struct, frozen=True):
    """Requests from one address to one door that were refused with the same status.

    `door` is the path, or what the port is called where no path was understood; `device` is what
    the last one calls itself (`User-Agent`), `message` what it was told.
    """

    address: str
    door: str
    device: str
    status: int
    message: str
    times: int
    first_at_us: int
    last_at_us: int


class Refusals:
    """Used from the event loop."""

    def __init__(self, read: Callable[[], Instant] = read_clocks) -> None:
        self._read = read
        self._kept: dict[tuple[str, str, int], Refusal] = {}
        """Who was turned away last stands last."""
        self._told_us: deque[int] = deque(maxlen=LOGGED_AN_HOUR)

    def list(self) -> Sequence[Refusal]:
        """The latest first."""
        return list(reversed(self._kept.values()))

    def note(self, address: str, door: str, device: str, status: int, message: str) -> None:
        """Remember that somebody was told this; the first time the log hears of it."""
        now_us = self._read().wall_us
        door, device, message = map(_harmless, (door, device, message))
        key = address, door, status
        former = self._kept.pop(key, None)
        times, first_us = (former.times + 1, former.first_at_us) if former else (1, now_us)
        made = Refusal(address, door, device, status, message, times, first_us, now_us)
        self._kept[key] = made
        if len(self._kept) > MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        if former is None:
            self._tell(made, now_us)

    def _tell(self, made: Refusal, now_us: int) -> None:
        if len(self._told_us) == LOGGED_AN_HOUR and now_us - self._told_us[0] < HOUR_US:
            return
        self._told_us.append(now_us)
        said = (made.address, made.device or "a device", made.door, made.status, made.message)
        _log.warning("%s (%s) was turned away at %s: %d, %s", *said)


def _harmless(text: str) -> str:
    """Cut, and without what no line of a log may have."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:MAX_LETTERS])
