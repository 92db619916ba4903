"""Hours that the centre may not have as they are here, and the sync still has to compare.

They are marked in the transaction that changes what is stored of them, from the first start with
a centre on, and also while its setting is away: once it is back, nothing was forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable

import apsw

from urbanos_edge.engine import statement


def begin(connection: apsw.Connection, now_us: int) -> None:
    """Owe from now on; at the first time all that is stored. Part of a larger work."""
    connection.execute("INSERT OR IGNORE INTO node VALUES ('has_centre', 'yes')")
    if connection.changes():
        connection.execute(statement("owe_what_is_stored"), (now_us,))


def mark(connection: apsw.Connection, hours: Iterable[int], now_us: int) -> None:
    """Mark hours as owed if there is a centre, as part of a larger work."""
    connection.executemany(
        "INSERT INTO owed_hours (hour, since_us, revision)"
        " SELECT ?, ?, 1 WHERE EXISTS (SELECT 1 FROM node WHERE name = 'has_centre')"
        " ON CONFLICT (hour) DO UPDATE SET revision = revision + 1",
        [(hour, now_us) for hour in hours],
    )


def owed_hours(connection: apsw.Connection, hours: range) -> list[int]:
    """Those of consecutive hours that are owed, in order."""
    query = "SELECT hour FROM owed_hours WHERE hour BETWEEN ? AND ? ORDER BY hour"
    return [hour for (hour,) in connection.execute(query, (hours[0], hours[-1]))]
