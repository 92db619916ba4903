"""The readings themselves, as a centre gets them that is to have them: digests, and lines of COPY.

They are compared and sent by slots of five minutes: what is new touches one or two of an hour.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from urbanos_edge.clock import HOUR_US, SECOND_US
from urbanos_edge.engine import Engine, statement
from urbanos_edge.hours.buckets import Digest, Lines, read_digests
from urbanos_edge.hours.hours import Cursor
from urbanos_edge.reading import READING_NAMESPACE
from urbanos_edge.store.damage import read_intact
from urbanos_edge.store.manifest import File
from urbanos_edge.store.store import Store

SLOT_US: Final = 300 * SECOND_US
"""As in `sql/central_reading_digests.sql`; slots are counted from 1970."""
SLOTS_OF_HOUR: Final = HOUR_US // SLOT_US
SLICE_ROWS: Final = 50_000
"""About so many readings are in memory at once; a line has 250 bytes or so."""


class Originals:
    """Reads stored readings by slots; any number of threads may."""

    def __init__(self, readings: Store, engine: Engine) -> None:
        self._readings = readings
        self._engine = engine

    def digests(self, slots: range) -> dict[int, Digest]:
        """Those of the slots, of consecutive ones, that have readings.

        Raises:
            StorageUnavailable: a file could not be read.
        """
        return read_digests(self._find(slots, "reading_digests", {}))

    def slices(self, slots: range, rows: int) -> Generator[Lines, None, None]:
        """The readings of slots, about `rows`, read a slice at a time; raises as `digests`."""
        slices = rows // SLICE_ROWS + 1
        for number in range(slices):
            dealt = {"slices": slices, "slice": number}
            found = self._find(slots, "reading_lines", dealt)
            yield Lines([part for part, _ in found], sum(count for _, count in found))

    def _find(self, slots: range, name: str, parameters: dict[str, Any]) -> list[Any]:
        since_us, until_us = slots.start * SLOT_US, slots.stop * SLOT_US
        text = statement(name).replace("{sent_readings}", statement("sent_readings"))

        def wanted(file: File) -> bool:
            return file.max_at_us >= since_us and file.min_at_us < until_us

        def work(cursor: Cursor, paths: list[str]) -> list[Any]:
            if not paths:
                return []
            cursor.execute(statement("reading_macros"))
            span = {"since_us": since_us, "until_us": until_us}
            where = {"files": paths, "namespace": READING_NAMESPACE.hex, **span}
            return cursor.execute(text, where | parameters).fetchall()

        return read_intact(self._readings, self._engine, wanted, work)


def slots_of(hour: int) -> range:
    """The slots of an hour."""
    return range(hour * SLOTS_OF_HOUR, (hour + 1) * SLOTS_OF_HOUR)
