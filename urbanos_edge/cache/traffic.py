"""What was asked of the node, counted in plain numbers; `metrics` makes something of them.

Counted on the event loop only, so nothing is locked. Who reads in another thread may see a request
that is not yet in the sum of seconds.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import Final

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets that durations are counted in."""
UNMATCHED: Final = "unmatched"
"""The route of what no route is for: an address is never a label, there is no end of them."""
METHODS: Final = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
OTHER_METHOD: Final = "other"

SAMPLED: Final = 0.1
"""Of the GETs that were answered, the part whose targets are kept, to ask another version them."""
MAX_TARGETS: Final = 1000
"""Targets kept; the oldest goes first."""
MAX_TARGET_BYTES: Final = 2048
Asked = tuple[str, str, int]
"""Method, route and status."""


class Count:
    """A number that its holders share."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


class Durations:
    """How long something took, in buckets."""

    def __init__(self, bounds_s: Sequence[float] = SECONDS) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        """By bucket; the last is for what is above all bounds."""
        self.total_s = 0.0

    def note(self, took_s: float) -> None:
        self.counts[bisect_left(self.bounds_s, took_s)] += 1
        self.total_s += took_s

    def copy(self) -> Durations:
        made = Durations(self.bounds_s)
        made.counts, made.total_s = list(self.counts), self.total_s
        return made


class Traffic:
    """The requests that were answered, by what was asked and what the answer was."""

    def __init__(self) -> None:
        self.answered: dict[Asked, Durations] = {}
        """Those that went through the application."""
        self.ready: dict[tuple[str, int], Count] = {}
        """GETs answered before it, by route and status, all of them hits of the cache."""
        self.fetched: dict[tuple[str, bool], Count] = {}
        """Answers from the cache that went through the application, by route and whether a hit."""
        self.targets: deque[bytes] = deque(maxlen=MAX_TARGETS)
        """A tenth of what was got lately, paths with their queries; in memory only."""

    def note(self, method: str, route: str, status: int, took_s: float) -> None:
        asked = method if method in METHODS else OTHER_METHOD, route, status
        durations = self.answered.get(asked)
        if durations is None:
            durations = self.answered[asked] = Durations()
        durations.note(took_s)

    def note_target(self, target: bytes) -> None:
        """Keep the target of an answered GET, or not."""
        if random.random() < SAMPLED and len(target) <= MAX_TARGET_BYTES:
            self.targets.append(target)

    def note_fetched(self, route: str, hit: bool) -> None:
        self.fetched.setdefault((route, hit), Count()).number += 1

    def ready_count(self, route: str, status: int) -> Count:
        """The count of such ready answers, for who gives them to count in."""
        return self.ready.setdefault((route, status), Count())
