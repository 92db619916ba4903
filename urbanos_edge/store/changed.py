"""Hours whose readings changed since they were last counted.

Whoever changes what is stored of an hour marks it in the transaction that makes the change real,
so that no crash separates the two. An hour counts from 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw
import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge.clock import HOUR_US
from urbanos_edge.store import owed, revisions


class Changed(msgspec.Struct, frozen=True):
    """One such hour: marked first and last at these moments; each mark is a new revision."""

    hour: int
    since_us: int
    changed_us: int
    revision: int


def mark(connection: apsw.Connection, hours: Iterable[int], now_us: int) -> None:
    """Mark hours as changed, and as owed to the centre, as part of a larger work."""
    hours = list(hours)
    revisions.number(connection, hours)
    owed.mark(connection, hours, now_us)
    connection.executemany(
        "INSERT INTO changed_hours (hour, since_us, changed_us, revision) VALUES (?, ?, ?, 1)"
        " ON CONFLICT (hour) DO UPDATE"
        " SET changed_us = excluded.changed_us, revision = revision + 1",
        [(hour, now_us, now_us) for hour in hours],
    )


def settle(connection: apsw.Connection, counted: Sequence[Changed]) -> None:
    """Remove marks, except where an hour changed again since, as part of a larger work."""
    connection.executemany(
        "DELETE FROM changed_hours WHERE hour = ? AND revision = ?",
        [(one.hour, one.revision) for one in counted],
    )


def changed_hours(connection: apsw.Connection) -> list[Changed]:
    """All marks, by hour."""
    rows = connection.execute(
        "SELECT hour, since_us, changed_us, revision FROM changed_hours ORDER BY hour"
    )
    return [Changed(*row) for row in rows]


def hours_between(first_us: int, last_us: int) -> range:
    """The hours that a span of time touches, both ends included."""
    return range(first_us // HOUR_US, last_us // HOUR_US + 1)


def hours_of(moments_us: npt.NDArray[np.int64]) -> list[int]:
    """The hours that moments lie in, each once, in order."""
    hours: list[int] = np.unique(moments_us // HOUR_US).tolist()
    return hours
