"""What receivers are still to be told, in order, kept until each has confirmed it.

A letter is written in the transaction that makes its event real. It has bounds: a receiver that is
gone for good must not fill the disk, nor push out what others are to get.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import apsw
import msgspec

from urbanos_edge.clock import DAY_US
from urbanos_edge.database import Database
from urbanos_edge.engine import statement

MAX_LETTERS: Final = 10_000
"""Beyond it the oldest letter of the receiver with the most gives way."""
KEEP_US: Final = 3 * DAY_US
MQTT: Final = "mqtt"
"""The receiver that is the node's broker; every other is the address of a webhook."""
_DROPPED: Final = "alert_letters_dropped"


class Letter(msgspec.Struct, frozen=True):
    """One event for one receiver; `event_id` is the same however often it is sent."""

    receiver: str
    event_id: str
    body: bytes


class Waiting(msgspec.Struct, frozen=True):
    """A letter that has not been confirmed."""

    id: int
    event_id: str
    body: bytes


class Outbox:
    """The letters of this node; its methods block on the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __len__(self) -> int:
        count: int = self._database.read().execute("SELECT count(*) FROM outbox").get
        return count

    @property
    def dropped(self) -> int:
        """Letters given up since the first start: too many waited, or for too long."""
        query = "SELECT value FROM node WHERE name = ?"
        return int(self._database.read().execute(query, (_DROPPED,)).get or 0)

    def receivers(self) -> list[str]:
        """Who has letters waiting."""
        query = "SELECT DISTINCT receiver FROM outbox"
        return [receiver for (receiver,) in self._database.read().execute(query)]

    def oldest(self, receiver: str, limit: int) -> Sequence[Waiting]:
        """The first letters that a receiver is to get."""
        query = "SELECT id, event_id, body FROM outbox WHERE receiver = ? ORDER BY id LIMIT ?"
        rows = self._database.read().execute(query, (receiver, limit))
        return [Waiting(*row) for row in rows]

    def settle(self, number: int) -> None:
        """A letter was confirmed."""
        remove = "DELETE FROM outbox WHERE id = ?"
        self._database.write_and_wait(lambda connection: connection.execute(remove, (number,)))

    def drop_old(self, now_us: int) -> int:
        """Give up what has waited too long; return how many letters that were."""
        query = "SELECT posted_us FROM outbox ORDER BY id LIMIT 1"
        oldest: int | None = self._database.read().execute(query).get
        if oldest is None or oldest >= now_us - KEEP_US:
            return 0

        def work(connection: apsw.Connection) -> int:
            connection.execute("DELETE FROM outbox WHERE posted_us < ?", (now_us - KEEP_US,))
            return _count_dropped(connection)

        return self._database.write_and_wait(work)


def post(connection: apsw.Connection, letters: Sequence[Letter], now_us: int) -> None:
    """Put letters into the outbox as part of a larger work, within its bounds."""
    connection.executemany(
        "INSERT INTO outbox (receiver, event_id, body, posted_us) VALUES (?, ?, ?, ?)",
        [(*msgspec.structs.astuple(letter), now_us) for letter in letters],
    )
    surplus = connection.execute("SELECT count(*) FROM outbox").get - MAX_LETTERS
    if surplus > 0:
        connection.execute(statement("outbox_surplus"), {"surplus": surplus})
        _count_dropped(connection)


def _count_dropped(connection: apsw.Connection) -> int:
    """Note how many rows the last statement removed."""
    dropped = connection.changes()
    connection.execute(
        "INSERT INTO node VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = value + ?2",
        (_DROPPED, str(dropped)),
    )
    return dropped
