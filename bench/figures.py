"""What was measured, how far it is from the peer, and whether the floor is met."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

Better = Literal["higher", "lower"]


class Spread(msgspec.Struct, frozen=True):
    """The rounds of one side."""

    min: float
    median: float
    max: float
    rounds: list[float]


class Floor(msgspec.Struct, frozen=True):
    """What a figure must reach: `of` names a number in it, by a dotted path."""

    of: str
    limit: float
    at_least: bool = True
    aim: float | None = None


class Figure(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of JSON.

    `ratio` says how many times better the node is than the peer, round by round; below 1 it is
    worse. `more` holds what belongs to it: percentiles, memory, counts.
    """

    bench: str
    name: str
    unit: str
    better: Better
    ours: Spread | None = None
    peer: str | None = None
    theirs: Spread | None = None
    ratio: Spread | None = None
    floors: list[Floor] = []
    met: bool | None = None
    more: dict[str, Any] = {}
    missing: str | None = None
    """Why there is no measurement."""

    def judge(self) -> Figure:
        """Fill in `met` from the floors and return itself."""
        numbers = msgspec.to_builtins(self)
        verdicts = [_is_met(numbers, floor) for floor in self.floors]
        if verdicts and self.missing is None:
            self.met = all(verdicts)
        return self


def spread(rounds: Sequence[float]) -> Spread:
    """The least, the middle and the largest of some rounds, to four digits."""
    rounded = [_short(value) for value in rounds]
    return Spread(min(rounded), _short(statistics.median(rounded)), max(rounded), rounded)


def compare(ours: Sequence[float], theirs: Sequence[float], better: Better) -> Spread:
    """How many times better `ours` is, round by round."""
    pairs = zip(ours, theirs, strict=True)
    return spread([mine / other if better == "higher" else other / mine for mine, other in pairs])


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return _short(ordered[min(int(len(ordered) * share), len(ordered) - 1)])


def latencies(values_ms: Sequence[float]) -> dict[str, float]:
    """Percentiles of many requests, in milliseconds."""
    shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
    found = {name: percentile(values_ms, share) for name, share in shares.items()}
    return found | {"max_ms": _short(max(values_ms)), "requests": len(values_ms)}


def _short(value: float) -> float:
    return float(f"{value:.4g}") if abs(value) < 1000 else round(value)


def _is_met(numbers: Any, floor: Floor) -> bool:
    value = numbers
    for step in floor.of.split("."):
        value = value[step]
    return bool(value >= floor.limit if floor.at_least else value <= floor.limit)
