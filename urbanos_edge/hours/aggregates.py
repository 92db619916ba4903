"""Buckets for who pulls them: page by page, in order of their revisions.

A cursor says from which revision on, and how many buckets of that hour are there already. An hour
comes whole: its buckets take the place of all that were pulled of it with a lower revision, and one
that has none any more comes as one row without a cell; one of which something is set aside comes
once that is mended or given up. So nothing is kept for pullers, however many there are and however
long they stay away.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from urbanos_edge.database import Database, translated
from urbanos_edge.engine import Engine, quoted, statement
from urbanos_edge.errors import EdgeError, Unprocessable
from urbanos_edge.hours.buckets import NO_BUCKETS, register_numbered, told_of_buckets
from urbanos_edge.hours.hours import Cursor as Work
from urbanos_edge.hours.hours import Hours
from urbanos_edge.store import revisions

MAX_LIMIT: Final = 50_000
MAX_HOURS: Final = 24 * 7
BUCKETS_OF_SENSOR: Final = 4
"""About so many quantities a sensor measures; it only decides how many hours are read at once."""
FORMATS: Final = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
_TOLD: Final = "SELECT revision, count(*) FROM page GROUP BY revision ORDER BY revision"
_PAGE: Final = "SELECT * FROM page ORDER BY revision, quantity, cell LIMIT ?"
_ROWS: Final = f"""
SELECT * REPLACE (strftime(bucket_start, '%Y-%m-%dT%H:%M:%SZ') AS bucket_start) FROM ({_PAGE})
ORDER BY revision, quantity, cell"""
_CURSOR: Final = re.compile(r"([0-9a-f]+)\.(\d{1,18})\.(\d{1,9})")
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


class EpochOver(EdgeError):
    """What was pulled is of another life of the node; pull everything anew."""

    status = 410
    code = "epoch_over"


class Aggregate(msgspec.Struct):
    """A bucket, exact in the unit of its quantity; `bucket_start` in RFC 3339."""

    bucket_start: str
    bucket_s: int
    cell: str | None
    quantity: str | None
    count: int
    sum: Decimal
    sum_sq: Decimal
    min: Decimal | None
    max: Decimal | None
    flagged: int
    revision: int


class AggregatePage(msgspec.Struct):
    """Some buckets, and the cursor of what follows them."""

    epoch: str
    cursor: str
    more: bool
    aggregates: list[Aggregate]


class Cursor(NamedTuple):
    """The next bucket to be pulled: `offset` buckets of the hour with that revision are known."""

    epoch: str
    revision: int = 0
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.epoch}.{self.revision}.{self.offset}"


class Page(NamedTuple):
    """What is answered; `more` when something follows at once."""

    body: bytes
    cursor: Cursor
    more: bool


class Aggregates:
    """Reads pages; any number of threads may."""

    def __init__(self, hours: Hours, database: Database, engine: Engine, temporary: Path) -> None:
        self._hours = hours
        self._database = database
        self._engine = engine
        self._temporary = temporary

    def page(self, since: str | None, limit: int, kind: str) -> Page:
        """At most `limit` buckets from a cursor on, or from the beginning, as one of `FORMATS`.

        Raises:
            Unprocessable: that is no cursor.
            EpochOver: it is of another epoch.
            StorageUnavailable: a file could not be read.
        """
        with translated():
            connection = self._database.read()
            start = _read_cursor(since, revisions.epoch(connection))
            known = revisions.changed_since(connection, start.revision, self._hours_for(limit))
            newest = revisions.newest(connection)
        self._hours.wait_until_shown()  # or something old would come under a new revision
        lost: set[int] | None = None
        while lost != (incomplete := self._hours.incomplete()):  # damage is found by reading
            lost = incomplete
            numbered = {one.hour: one.revision for one in known if one.hour not in lost}
            skipped = start.offset if start.revision in numbered.values() else 0
            found = self._find(numbered, skipped, limit, kind) if numbered else _Found([], [], b"")
        end = start if not known else Cursor(start.epoch, known[-1].revision + 1)
        if sum(number for _, number in found.told) > limit:
            end = _end_within(start, skipped, found.told)
        more = bool(known) and end.revision <= newest
        return Page(_body(found, end, more, kind), end, more)

    def _find(self, numbered: Mapping[int, int], skipped: int, limit: int, kind: str) -> _Found:
        def work(cursor: Work, text: str = told_of_buckets("changed_buckets")) -> _Found:
            register_numbered(cursor, numbered)
            # One more than is told shows that something follows.
            bounds = {"skipped": skipped, "limit": limit + 1}
            cursor.execute(f"CREATE OR REPLACE TEMP TABLE page AS {text}", bounds)
            told = cursor.execute(_TOLD).fetchall()
            if kind == "parquet":
                return _Found(told, [], self._write(cursor, limit))
            return _Found(told, cursor.execute(_ROWS, [limit]).fetchall(), b"")

        found = self._hours.read(numbered.keys(), work)
        if found is not None:
            return found
        with self._engine.cursor() as cursor:  # there is nothing at all in these hours
            return work(cursor, statement("changed_buckets").replace("{buckets}", NO_BUCKETS))

    def _write(self, cursor: Work, limit: int) -> bytes:
        path = self._temporary / f"{secrets.token_hex(8)}.parquet"
        try:
            cursor.execute(f"COPY ({_PAGE}) TO {quoted(path)} (FORMAT parquet)", [limit])
            return path.read_bytes()
        finally:
            path.unlink(missing_ok=True)

    def _hours_for(self, limit: int) -> int:
        """About as many hours as fill a page; a short page does no harm."""
        files = self._hours.store.files
        days = len({file.day for file in files}) or 1
        of_hour = 1 + sum(file.rows for file in files) * BUCKETS_OF_SENSOR // (days * 24)
        return max(1, min(MAX_HOURS, limit // of_hour))


class _Found(NamedTuple):
    """How many buckets a page has by revision, and them: as rows, or written."""

    told: list[tuple[int, int]]
    rows: list[tuple[Any, ...]]
    written: bytes


def _read_cursor(text: str | None, epoch: str) -> Cursor:
    if not text:
        return Cursor(epoch)
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise Unprocessable("'since' must be a cursor that an answer gave", code="invalid_since")
    if match[1] != epoch:
        raise EpochOver(
            "this node was restored or begun anew since; drop what was pulled of it, and pull all"
            " of it without 'since'",
            details={"epoch": epoch},
        )
    return Cursor(epoch, int(match[2]), int(match[3]))


def _end_within(start: Cursor, skipped: int, told: Sequence[tuple[int, int]]) -> Cursor:
    """Where a page ends that has one bucket more than it tells."""
    revision, number = told[-1]
    if number == 1 and len(told) > 1:
        return Cursor(start.epoch, revision)
    known = skipped if len(told) == 1 else 0
    return Cursor(start.epoch, revision, known + number - 1)


def _body(found: _Found, end: Cursor, more: bool, kind: str) -> bytes:
    if kind == "parquet":
        return found.written
    aggregates = [Aggregate(*row) for row in found.rows]
    if kind == "ndjson":
        return b"".join(_encode(one) + b"\n" for one in aggregates)
    return _encode(AggregatePage(end.epoch, str(end), more, aggregates))
