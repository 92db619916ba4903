"""What clients were promised, kept outside the node, and what the store holds.

A reading counts as promised once its request was answered with 202. What was sent and not answered
so may be stored or not: it is allowed, never required.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

Identity = tuple[str, int]
"""Sensor and moment (µs)."""
Values = tuple[float | None, float | None]
"""PM2.5 and PM10 in µg/m³."""

_STORED = "SELECT sensor_id, epoch_us(timestamp), pm25, pm10 FROM read_parquet(?)"


@dataclass(frozen=True, slots=True)
class Sent:
    """One reading as a client sends it; what it leaves out, the stored row keeps."""

    sensor_id: str
    timestamp_us: int
    pm25: float
    pm10: float | None = None

    @property
    def identity(self) -> Identity:
        return self.sensor_id, self.timestamp_us

    def onto(self, known: Values | None) -> Values:
        """What the row says once this has arrived after what is known."""
        return self.pm25, known[1] if self.pm10 is None and known else self.pm10


@dataclass(frozen=True, slots=True)
class Promise:
    """The ledger at one moment."""

    acknowledged: Mapping[Identity, Values]
    possible: Mapping[Identity, frozenset[Values]]


class Ledger:
    """Filled in by many senders; each identity belongs to one of them, which sends in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._acknowledged: dict[Identity, Values] = {}
        self._possible: dict[Identity, frozenset[Values]] = {}

    def send(self, batch: Sequence[Sent]) -> None:
        """A batch is about to leave."""
        with self._lock:
            for identity, values in self._after(batch).items():
                known = self._possible.get(identity, frozenset())
                self._possible[identity] = known | {values}

    def acknowledge(self, batch: Sequence[Sent]) -> None:
        """The node says that it has the batch."""
        with self._lock:
            after = self._after(batch)
            self._acknowledged |= after
            for identity in after:
                del self._possible[identity]

    def promise(self) -> Promise:
        """What is promised now."""
        with self._lock:
            return Promise(dict(self._acknowledged), dict(self._possible))

    def _after(self, batch: Sequence[Sent]) -> dict[Identity, Values]:
        after: dict[Identity, Values] = {}
        for sent in batch:
            known = after.get(sent.identity) or self._acknowledged.get(sent.identity)
            after[sent.identity] = sent.onto(known)
        return after


@dataclass(slots=True)
class Verdict:
    """What differs between promise and store; nothing may."""

    acknowledged: int = 0
    lost: list[Identity] = field(default_factory=list)
    doubled: list[Identity] = field(default_factory=list)
    wrong: list[Identity] = field(default_factory=list)
    """Stored with values that are neither the promised ones nor a revision on its way."""
    invented: list[Identity] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.wrong or self.invented)

    def __str__(self) -> str:
        found = {
            name: f"{len(identities)} {name}, such as {identities[:3]}"
            for name in ("lost", "doubled", "wrong", "invented")
            if (identities := getattr(self, name))
        }
        return f"of {self.acknowledged} acknowledged: {'; '.join(found.values()) or 'all stored'}"


def stored(data_dir: Path) -> dict[Identity, list[Values]]:
    """What plain DuckDB finds in the partitions, without asking the node."""
    paths = [str(path) for path in data_dir.glob("readings/created_date=*/*.parquet")]
    found: dict[Identity, list[Values]] = {}
    if paths:
        for sensor_id, at_us, *values in duckdb.connect().execute(_STORED, [paths]).fetchall():
            found.setdefault((sensor_id, at_us), []).append((values[0], values[1]))
    return found


def compare(promise: Promise, found: Mapping[Identity, Sequence[Values]]) -> Verdict:
    """Hold the store against the promise."""
    verdict = Verdict(len(promise.acknowledged))
    verdict.lost = [identity for identity in promise.acknowledged if identity not in found]
    for identity, rows in found.items():
        acknowledged = promise.acknowledged.get(identity)
        allowed = promise.possible.get(identity, frozenset()) | {acknowledged} - {None}
        if not allowed:
            verdict.invented.append(identity)
        elif len(rows) > 1:
            verdict.doubled.append(identity)
        elif rows[0] not in allowed:
            verdict.wrong.append(identity)
    return verdict
