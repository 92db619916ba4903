"""The spool: accepted readings that wait for the store.

An entry is durable once the work that appended it is committed, and goes in the same transaction
that lists the file its readings were written to.
"""

from __future__ import annotations

import apsw
import msgspec

from urbanos_edge.database import Database
from urbanos_edge.errors import Unavailable


class Entry(msgspec.Struct, frozen=True):
    """One payload in the spool; `seq` rises with arrival."""

    seq: int
    readings: int
    payload: bytes


class Spool:
    """The queue between ingest and flush, in order of arrival."""

    def __init__(self, database: Database, limit: int) -> None:
        self._database = database
        self._limit = limit
        self.depth: int = (
            database.read().execute("SELECT coalesce(sum(readings), 0) FROM spool").get
        )
        """Readings that wait, as far as committed works tell."""

    def check_room(self, readings: int) -> None:
        """Raise Unavailable when that many more readings do not fit."""
        if self.depth + readings > self._limit:
            raise Unavailable("the spool is full; the store cannot keep up", code="spool_full")

    def append(self, connection: apsw.Connection, payload: bytes, readings: int) -> None:
        """Add one payload as part of a larger work; call `appended` once it is committed."""
        connection.execute(
            "INSERT INTO spool (readings, payload) VALUES (?, ?)", (readings, payload)
        )

    def appended(self, readings: int) -> None:
        self.depth += readings

    def take(self, limit: int, after_seq: int = 0) -> list[Entry]:
        """Return the oldest entries after `after_seq` until `limit` readings are reached.

        They stay in the spool until `settle`, so a crash in between loses nothing. At least one
        entry is returned when there is one, however many readings it holds.

        Raises:
            StorageUnavailable: the database is locked or the disk failed; try again.
        """
        entries: list[Entry] = []
        readings = 0
        for row in self._database.read().execute(
            "SELECT seq, readings, payload FROM spool WHERE seq > ? ORDER BY seq", (after_seq,)
        ):
            entries.append(Entry(*row))
            readings += entries[-1].readings
            if readings >= limit:
                break
        return entries

    def settle(self, connection: apsw.Connection, last_seq: int) -> None:
        """Remove what was stored, as part of the work that lists its files."""
        connection.execute("DELETE FROM spool WHERE seq <= ?", (last_seq,))

    def settled(self, readings: int) -> None:
        self.depth -= readings


def count(connection: apsw.Connection, outcomes: dict[str, int]) -> None:
    """Add to the totals of readings by outcome, as part of a larger work."""
    connection.executemany(
        "INSERT INTO totals (outcome, readings) VALUES (?, ?)"
        " ON CONFLICT (outcome) DO UPDATE SET readings = readings + excluded.readings",
        [(outcome, readings) for outcome, readings in outcomes.items() if readings],
    )
