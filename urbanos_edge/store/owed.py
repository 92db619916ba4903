"""Hours that the centre may not have as they are here, and the sync still has to compare.

They are marked in the transaction that changes what is stored of them, from the first start with
a centre on, and also while its setting is away: once it is back, nothing was forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import apsw
import msgspec

from urbanos_edge.engine import statement

_COMMITTED: Final = "centre_revision"
Mode = Literal["aggregates", "readings"]
"""What the centre is to have: hourly aggregates, or the readings themselves, too."""


class Owed(msgspec.Struct, frozen=True):
    """An hour, counted from 1970, that is owed since a moment; each mark is a new revision."""

    hour: int
    since_us: int
    revision: int


def begin(connection: apsw.Connection, now_us: int, mode: Mode) -> None:
    """Owe from now on, as part of a larger work; all that is stored, where it never was.

    The first time that is everything, and again when the centre is to have readings, too.
    """
    before = connection.execute("SELECT value FROM node WHERE name = 'has_centre'").get
    connection.execute("INSERT OR REPLACE INTO node VALUES ('has_centre', ?)", (mode,))
    if before is None or (mode == "readings" and before != mode):
        mark(connection, stored_hours(connection), now_us)


def mark(connection: apsw.Connection, hours: Iterable[int], now_us: int) -> None:
    """Mark hours as owed if there is a centre, as part of a larger work."""
    connection.executemany(
        "INSERT INTO owed_hours (hour, since_us, revision)"
        " SELECT ?, ?, 1 WHERE EXISTS (SELECT 1 FROM node WHERE name = 'has_centre')"
        " ON CONFLICT (hour) DO UPDATE SET revision = revision + 1",
        [(hour, now_us) for hour in hours],
    )


def note_committed(connection: apsw.Connection, revision: int) -> None:
    """Remember, as part of a larger work, that the centre has committed a revision."""
    highest = max(revision, committed(connection))
    connection.execute("INSERT OR REPLACE INTO node VALUES (?, ?)", (_COMMITTED, str(highest)))


def forget_committed(connection: apsw.Connection) -> None:
    """Expect nothing of the centre any more, as part of a larger work."""
    connection.execute("DELETE FROM node WHERE name = ?", (_COMMITTED,))


def committed(connection: apsw.Connection) -> int:
    """The highest revision that the centre is known to have had; 0 before the first."""
    query = "SELECT value FROM node WHERE name = ?"
    return int(connection.execute(query, (_COMMITTED,)).get or 0)


def settle(connection: apsw.Connection, compared: Sequence[Owed], at_us: int) -> None:
    """Remove marks, as part of a larger work; one that was renewed counts from `at_us` on."""
    connection.executemany(
        "DELETE FROM owed_hours WHERE hour = ? AND revision = ?",
        [(one.hour, one.revision) for one in compared],
    )
    connection.executemany(
        "UPDATE owed_hours SET since_us = max(since_us, ?) WHERE hour = ?",
        [(at_us, one.hour) for one in compared],
    )


def owed(connection: apsw.Connection) -> list[Owed]:
    """All marks, by hour."""
    rows = connection.execute("SELECT hour, since_us, revision FROM owed_hours ORDER BY hour")
    return [Owed(*row) for row in rows]


def owed_hours(connection: apsw.Connection, hours: range) -> list[int]:
    """Those of consecutive hours that are owed, in order."""
    query = "SELECT hour FROM owed_hours WHERE hour BETWEEN ? AND ? ORDER BY hour"
    return [hour for (hour,) in connection.execute(query, (hours[0], hours[-1]))]


def stored_hours(connection: apsw.Connection) -> list[int]:
    """Every hour that readings or aggregates are kept of, in order."""
    return [hour for (hour,) in connection.execute(statement("stored_hours"))]
