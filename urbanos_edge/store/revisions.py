"""The number of the last change of each hour, from one counter: what the centre and pullers go by.

Whoever changes what is stored of an hour numbers it in the same transaction. A number is never
used twice within an epoch; a restore, which takes the counter back, begins another epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw
import msgspec


class Numbered(msgspec.Struct, frozen=True):
    """An hour, counted from 1970, and the number of its last change."""

    hour: int
    revision: int


def number(connection: apsw.Connection, hours: Iterable[int]) -> None:
    """Give hours a number above all others, as part of a larger work."""
    connection.executemany(
        "INSERT OR REPLACE INTO hour_revisions (hour) VALUES (?)", [(hour,) for hour in hours]
    )


def number_above(connection: apsw.Connection, hours: Iterable[int], revision: int) -> None:
    """The same, and above `revision`, which somebody else has seen."""
    connection.execute(
        "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'hour_revisions'", (revision,)
    )
    number(connection, hours)


def forget(connection: apsw.Connection, hours: Iterable[int]) -> None:
    """Number hours no more whose time to be kept is over, as part of a larger work."""
    connection.executemany("DELETE FROM hour_revisions WHERE hour = ?", [(hour,) for hour in hours])


def revisions_of(connection: apsw.Connection, hours: Sequence[int]) -> dict[int, int]:
    """The numbers of hours that have one."""
    query = "SELECT hour, revision FROM hour_revisions WHERE hour BETWEEN ? AND ?"
    wanted = set(hours)
    found = connection.execute(query, (min(wanted), max(wanted)))
    return {hour: revision for hour, revision in found if hour in wanted}


def changed_since(connection: apsw.Connection, revision: int, limit: int) -> list[Numbered]:
    """Hours numbered `revision` or above, at most `limit`, in order of their numbers."""
    query = (
        "SELECT hour, revision FROM hour_revisions WHERE revision >= ? ORDER BY revision LIMIT ?"
    )
    return [Numbered(*row) for row in connection.execute(query, (revision, limit))]


def newest(connection: apsw.Connection) -> int:
    """The highest number ever given; 0 before the first."""
    query = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'hour_revisions'"
    found: int = connection.execute(query).get
    return found


def epoch(connection: apsw.Connection) -> str:
    """What tells these numbers from those of another life of this node."""
    found: str = connection.execute("SELECT value FROM node WHERE name = 'epoch'").get
    return found
