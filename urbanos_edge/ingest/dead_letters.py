"""Letters that could not be delivered: what was refused, why and when, kept to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import apsw
import msgspec

from urbanos_edge.database import Database
from urbanos_edge.ingest.spool import count

MAX_LETTERS: Final = 20_000
"""The oldest letters give way beyond this."""
MAX_PAYLOAD: Final = 4096
"""Bytes kept of what was refused: with `MAX_LETTERS`, 80 MiB at most."""
_MAX_NUMBER: Final = (1 << 63) - 1
"""Of a letter; SQLite has no larger ones."""
SAID_FOR_OTHERS: Final = ("not_your_sensor", "source_refused")
"""What came in the name of a sensor whose own it was not."""
_COLUMNS: Final = "id, rejected_at_us, code, message, payload"


class DeadLetter(msgspec.Struct, frozen=True):
    """What was refused, why, and when."""

    rejected_at_us: int
    code: str
    message: str
    payload: bytes


class Kept(msgspec.Struct, frozen=True):
    """A letter as it is kept; `payload` is text where it can be."""

    id: int
    rejected_at_us: int
    code: str
    message: str
    payload: str


class DeadLetters:
    """The letters of this node."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, limit: int = 100, before: int | None = None) -> Sequence[Kept]:
        """The newest letters, those before a number when one is given."""
        rows = self._database.read().execute(
            f"SELECT {_COLUMNS} FROM dead_letters WHERE id < ? ORDER BY id DESC LIMIT ?",
            (_MAX_NUMBER if before is None else max(0, min(before, _MAX_NUMBER)), limit),
        )
        return [
            Kept(number, rejected_at_us, code, message, payload.decode(errors="replace"))
            for number, rejected_at_us, code, message, payload in rows
        ]

    def to_send(self, ids: Sequence[int] | None) -> Sequence[tuple[int, int, bytes]]:
        """Numbers, moments and payloads of letters, the oldest first.

        Of none in particular those that were said for others are left out: whoever sends such a
        letter again vouches for what is in it.
        """
        rows = self._database.read().execute(
            "SELECT id, rejected_at_us, payload, code FROM dead_letters ORDER BY id"
        )
        return [
            (number, rejected_at_us, payload)
            for number, rejected_at_us, payload, code in rows
            if (code not in SAID_FOR_OTHERS if ids is None else number in ids)
        ]

    async def purge(self, ids: Sequence[int] | None) -> int:
        """Throw these letters away, or all of them; return how many there were."""

        def work(connection: apsw.Connection) -> int:
            before = connection.total_changes()
            if ids is None:
                connection.execute("DELETE FROM dead_letters")
            else:
                numbers = [(number,) for number in ids if 0 < number <= _MAX_NUMBER]
                connection.executemany("DELETE FROM dead_letters WHERE id = ?", numbers)
            return connection.total_changes() - before

        return await self._database.write(work)


def bury(connection: apsw.Connection, letters: Sequence[DeadLetter]) -> None:
    """Keep letters as part of a larger work, at most `MAX_LETTERS`; what gives way is counted."""
    connection.executemany(
        "INSERT INTO dead_letters (rejected_at_us, code, message, payload) VALUES (?, ?, ?, ?)",
        [msgspec.structs.astuple(letter) for letter in letters],
    )
    connection.execute(
        "DELETE FROM dead_letters WHERE id <= (SELECT max(id) FROM dead_letters) - ?",
        (MAX_LETTERS,),
    )
    count(connection, {"rejected_dropped": connection.changes()})
