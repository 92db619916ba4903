"""The inbox: senders that nobody has claimed, and what they sent, until somebody does.

It has bounds in every direction, because anybody on the network may fill it: the sender that has
been silent longest gives way to a new one, and of each sender the newest is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import apsw
import msgspec

from urbanos_edge.adapters import Candidate
from urbanos_edge.clock import Correction
from urbanos_edge.database import Database
from urbanos_edge.ingest.spool import count

MAX_SENDERS: Final = 500
MAX_CANDIDATES: Final = 1000
"""Kept of each sender."""
MAX_BYTES: Final = 256 << 10
"""Of the candidates of each sender: with `MAX_SENDERS`, 125 MiB at most."""
MAX_SHOWN_BYTES: Final = 4096
"""A candidate up to this size is shown in a list."""
MAX_IGNORED: Final = 1000
"""The sender that was ignored first gives way, and is heard again."""
LIMITS: Final = {
    "senders": MAX_SENDERS,
    "candidates_of_a_sender": MAX_CANDIDATES,
    "bytes_of_a_sender": MAX_BYTES,
    "ignored": MAX_IGNORED,
}

_SENDER: Final = "sender, protocol, address, first_seen_us, last_seen_us, messages"
_COUNTS: Final = "kept, bytes, dropped"
_LAST: Final = f"""
(SELECT candidate FROM inbox_candidates AS sent
 WHERE sent.sender = inbox.sender AND length(candidate) <= {MAX_SHOWN_BYTES}
 ORDER BY id DESC LIMIT 1) FROM inbox
"""
_MEET: Final = f"""
INSERT INTO inbox ({_SENDER}, {_COUNTS}) VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (sender) DO UPDATE SET protocol = ?2, address = ?3, last_seen_us = ?4,
    messages = messages + ?5, kept = kept + ?6, bytes = bytes + ?7, dropped = dropped + ?8
"""
_DROP: Final = """
UPDATE inbox SET kept = kept - ?2, bytes = bytes - ?3, dropped = dropped + ?2 WHERE sender = ?1
"""


class Kept(msgspec.Struct, frozen=True):
    """One candidate as it is kept: JSON, when it arrived, and whether the clock was trusted then.

    No two have the same `arrived_us`.
    """

    arrived_us: int
    is_trusted: bool
    candidate: bytes

    def read(self) -> Candidate:
        """The candidate itself."""
        return _CANDIDATE.decode(self.candidate)


_CANDIDATE: Final = msgspec.json.Decoder(Candidate)


class Held(msgspec.Struct):
    """What one message holds of one sender."""

    sender: str
    protocol: str
    address: str
    seen_us: int
    kept: list[Kept] = []


class Unknown(msgspec.Struct, frozen=True):
    """A sender in the inbox; `dropped` counts what no longer fitted, `last` is its newest."""

    sender: str
    protocol: str
    address: str
    first_seen_at_us: int
    last_seen_at_us: int
    messages: int
    kept: int
    bytes: int
    dropped: int
    last: Candidate | None = None


class Inbox:
    """The senders nobody has claimed; those to be ignored are held in memory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        rows = database.read().execute("SELECT sender, ignored_at_us FROM ignored")
        self._ignored: dict[str, int] = dict(rows)

    def list(self) -> Sequence[Unknown]:
        """The senders with the newest of what each sent, the latest heard first."""
        return self._select("ORDER BY last_seen_us DESC, sender")

    def find(self, sender: str) -> Unknown | None:
        return next(iter(self._select("WHERE sender = ?", sender)), None)

    def kept_of(self, sender: str) -> Sequence[Kept]:
        """What is kept of a sender, in order of arrival."""
        rows = self._database.read().execute(
            "SELECT arrived_us, is_trusted, candidate FROM inbox_candidates"
            " WHERE sender = ? ORDER BY id",
            (sender,),
        )
        return [Kept(arrived_us, bool(trusted), text) for arrived_us, trusted, text in rows]

    def counts(self) -> dict[str, int]:
        """How many senders there are, and how many candidates are kept of them."""
        query = "SELECT count(*), coalesce(sum(kept), 0) FROM inbox"
        [(senders, candidates)] = self._database.read().execute(query)
        return {"senders": senders, "candidates": candidates}

    def is_ignored(self, sender: str) -> bool:
        return sender in self._ignored

    @property
    def ignored(self) -> dict[str, int]:
        """The senders to be ignored, and since when, in microseconds."""
        return dict(self._ignored)

    async def clear(self, sender: str) -> None:
        """Throw away what is kept of a sender."""
        await self._database.write(lambda connection: drop(connection, [sender]))

    async def ignore(self, sender: str, now_us: int) -> None:
        """Hear a sender no more."""
        gone = self._gone(sender)

        def work(connection: apsw.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO ignored VALUES (?, ?)", (sender, now_us))
            connection.executemany("DELETE FROM ignored WHERE sender = ?", gone)

        await self._database.write(work)
        self._ignored[sender] = now_us
        for (one,) in gone:
            del self._ignored[one]

    async def heed(self, sender: str) -> None:
        """Hear an ignored sender again."""
        statement = "DELETE FROM ignored WHERE sender = ?"
        await self._database.write(lambda work: work.execute(statement, (sender,)))
        self._ignored.pop(sender, None)

    def _select(self, tail: str, *given: str) -> Sequence[Unknown]:
        query = f"SELECT {_SENDER}, {_COUNTS}, {_LAST} {tail}"
        rows: Iterable[Any] = self._database.read().execute(query, given)
        return [Unknown(*[*told, last and _CANDIDATE.decode(last)]) for *told, last in rows]

    def _gone(self, sender: str) -> Sequence[tuple[str]]:
        """Who gives way when a sender is ignored as well."""
        others = sorted(self._ignored.keys() - {sender}, key=lambda one: self._ignored[one])
        return [(one,) for one in others[: max(0, len(others) - MAX_IGNORED + 1)]]


def keep(connection: apsw.Connection, held: Sequence[Held]) -> None:
    """Put what was held into the inbox as part of a larger work, within its bounds."""
    by_sender: dict[str, list[Held]] = {}
    for message in held:
        by_sender.setdefault(message.sender, []).append(message)
    dropped = 0
    for messages in by_sender.values():
        dropped += _keep_of(connection, messages)
    surplus = connection.execute("SELECT count(*) FROM inbox").get - MAX_SENDERS
    if surplus > 0:
        silent = "SELECT sender, kept FROM inbox ORDER BY last_seen_us, sender LIMIT ?"
        evicted: list[Any] = connection.execute(silent, (surplus,)).fetchall()
        drop(connection, [sender for sender, _ in evicted])
        dropped += sum(kept for _, kept in evicted)
    arrived = sum(len(message.kept) for message in held)
    count(connection, {"held": arrived, "held_dropped": dropped})


def drop(connection: apsw.Connection, senders: Iterable[str]) -> None:
    """Remove senders with all that is kept of them, as part of a larger work."""
    names = [(sender,) for sender in senders]
    connection.executemany("DELETE FROM inbox WHERE sender = ?", names)


def shift(connection: apsw.Connection, correction: Correction) -> None:
    """Move the arrivals that a clock in doubt stamped to where they belong."""
    connection.execute(
        "UPDATE inbox_candidates SET arrived_us = arrived_us + ?, is_trusted = 1"
        " WHERE NOT is_trusted AND arrived_us BETWEEN ? AND ?",
        (correction.shift_us, correction.since_us, correction.until_us),
    )


def _keep_of(connection: apsw.Connection, messages: Sequence[Held]) -> int:
    """Keep what one sender sent; return how much was dropped for it."""
    last = messages[-1]
    arrived = [kept for message in messages for kept in message.kept]
    small = [kept for kept in arrived if len(kept.candidate) <= MAX_BYTES]
    fitting = _newest_that_fit(small)
    skipped = len(arrived) - len(fitting)
    # What is older than anything that did not fit goes first.
    dropped = _trim(connection, last.sender, 0) if len(fitting) < len(small) else 0
    known: tuple[Any, ...] = (last.sender, last.protocol, last.address, last.seen_us)
    size = sum(len(kept.candidate) for kept in fitting)
    connection.execute(_MEET, (*known, len(messages), len(fitting), size, skipped))
    connection.executemany(
        "INSERT INTO inbox_candidates (sender, arrived_us, is_trusted, candidate)"
        " VALUES (?, ?, ?, ?)",
        [(last.sender, kept.arrived_us, kept.is_trusted, kept.candidate) for kept in fitting],
    )
    return dropped + skipped + _trim(connection, last.sender, MAX_CANDIDATES)


def _newest_that_fit(arrived: Sequence[Kept]) -> Sequence[Kept]:
    """What of it would stay if nothing else was there, so that no more is written."""
    fitting: list[Kept] = []
    room = MAX_BYTES
    for kept in reversed(arrived[-MAX_CANDIDATES:]):
        room -= len(kept.candidate)
        if room < 0:
            break
        fitting.append(kept)
    return fitting[::-1]


def _trim(connection: apsw.Connection, sender: str, most: int) -> int:
    """Drop the oldest of a sender until no more than so many are left, and they have room.

    Returns:
        how many were dropped.
    """
    counts = "SELECT kept, bytes FROM inbox WHERE sender = ?"
    kept, size = connection.execute(counts, (sender,)).fetchone() or (0, 0)
    if kept <= most and size <= MAX_BYTES:
        return 0
    oldest = "SELECT id, length(candidate) FROM inbox_candidates WHERE sender = ? ORDER BY id"
    dropped = freed = last = 0
    for number, length in connection.execute(oldest, (sender,)):
        if kept - dropped <= most and size - freed <= MAX_BYTES:
            break
        dropped, freed, last = dropped + 1, freed + length, number
    connection.execute(_DROP, (sender, dropped, freed))
    delete = "DELETE FROM inbox_candidates WHERE sender = ? AND id <= ?"
    connection.execute(delete, (sender, last))
    return dropped
