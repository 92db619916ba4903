"""Buckets: what the sensors of a cell measured of a quantity in an hour, as others get it.

They are the hourly aggregates merged over sensors, exact: integers of 1/10,000 of the unit. The
centre gets them as lines of PostgreSQL's COPY, who pulls as rows; a digest tells whether two sides
have the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np

from urbanos_edge.engine import statement
from urbanos_edge.hours.hours import Cursor, Hours
from urbanos_edge.reading import QUANTITY_NAMES

QUANTITIES: Final = ("aqi", *QUANTITY_NAMES)
"""What buckets are of."""
BUCKET_S: Final = 3600
_OF_QUANTITY: Final = """
SELECT hour, x18, y18, '{quantity}' AS quantity,
    {quantity}_count AS count, coalesce({quantity}_sum, 0) AS sum,
    coalesce({quantity}_sum_sq, 0) AS sum_sq, {quantity}_min AS min, {quantity}_max AS max,
    {quantity}_flagged AS flagged
FROM merged WHERE {quantity}_count > 0 OR {quantity}_flagged > 0"""

NO_BUCKETS: Final = """
SELECT NULL::BIGINT AS hour, NULL::INTEGER AS x18, NULL::INTEGER AS y18, '' AS quantity,
    NULL::INTEGER AS count, NULL::DECIMAL(38, 0) AS sum, NULL::DECIMAL(38, 0) AS sum_sq,
    NULL::BIGINT AS min, NULL::BIGINT AS max, NULL::INTEGER AS flagged WHERE false"""
"""What stands for buckets where nothing at all is known of an hour."""


class Digest(NamedTuple):
    """What an hour amounts to: its rows, and 128 bits over all they say in hexadecimal."""

    rows: int
    bits: str


NOTHING: Final = Digest(0, "0" * 32)


class Lines(NamedTuple):
    """Rows as COPY takes them, an hour or a slice of one in each part."""

    parts: list[bytes]
    rows: int


class Buckets:
    """Reads the buckets of hours; any number of threads may."""

    def __init__(self, hours: Hours) -> None:
        self._hours = hours

    def digests(self, hours: Collection[int]) -> dict[int, Digest]:
        """Those of hours that have buckets.

        Raises:
            StorageUnavailable: a file could not be read.
        """

        def work(cursor: Cursor) -> dict[int, Digest]:
            return read_digests(cursor.execute(told_of_buckets("bucket_digests")).fetchall())

        return self._hours.read(hours, work) or {}

    def lines(self, revisions: Mapping[int, int]) -> Lines:
        """The buckets of hours, each with the revision given; raises as `digests`."""

        def work(cursor: Cursor) -> Lines:
            register_numbered(cursor, revisions)
            rows = cursor.execute(told_of_buckets("bucket_lines")).fetchall()
            return Lines([part for part, _ in rows], sum(buckets for _, buckets in rows))

        return self._hours.read(revisions.keys(), work) or Lines([], 0)


def read_digests(rows: Collection[tuple[int, int, int]]) -> dict[int, Digest]:
    """By hour. DuckDB takes an MD5 as a number whose lowest byte comes first."""
    return {hour: Digest(count, bits.to_bytes(16, "little").hex()) for hour, count, bits in rows}


def register_numbered(cursor: Cursor, revisions: Mapping[int, int]) -> None:
    """Give a cursor the table `numbered_hours`."""
    columns = {"hour": list(revisions), "revision": list(revisions.values())}
    arrays: Any = {name: np.array(values, np.int64) for name, values in columns.items()}
    cursor.register("numbered_hours", arrays)


@cache
def told_of_buckets(name: str) -> str:
    """The text of `sql/<name>.sql`, which names `{buckets}`."""
    parts = (_OF_QUANTITY.replace("{quantity}", quantity) for quantity in QUANTITIES)
    buckets = statement("buckets_of_hours").replace("{of_quantities}", "\nUNION ALL".join(parts))
    return statement(name).replace("{buckets}", buckets)
