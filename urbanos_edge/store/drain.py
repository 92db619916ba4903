"""Empty the spool: in large steps, patiently with what fails, and alone with what always fails.

A failure of the disk is nobody's fault but the disk's: it is told and tried again for as long as
it takes. Any other failure is tried a few times; then the entries are split until the readings
that cannot be stored are found, and these become dead letters.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import apsw
import msgspec
import numpy as np

from urbanos_edge.adapters import node_json
from urbanos_edge.batch import Batch, reading_at, unpack
from urbanos_edge.clock import Clock
from urbanos_edge.database import Database
from urbanos_edge.errors import DiskFull, OutOfMemory, Unavailable
from urbanos_edge.ingest.dead_letters import MAX_PAYLOAD, DeadLetter, bury
from urbanos_edge.ingest.spool import Entry, Spool, count
from urbanos_edge.reading import Reading
from urbanos_edge.store.flush import Flushed, Mover

CHUNK_READINGS: Final = 250_000
"""Readings one transaction moves at most; bounds the memory a flush takes."""
_log = logging.getLogger(__name__)
_STORAGE_FAULTS: Final = (Unavailable, DiskFull, OSError)
"""What says nothing of the readings: the disk failed, or the database has too much to do."""


@dataclass(slots=True)
class Drained:
    """What left the spool in one step: how many readings, and the parts that were stored."""

    readings: int = 0
    parts: list[Flushed] = field(default_factory=list)
    is_all: bool = False
    """Nothing waited behind it when it was taken."""

    @property
    def has_effect(self) -> bool:
        """Whether something left the spool, or was stored that was not there before."""
        return self.readings > 0 or any(len(part.batch) for part in self.parts)


class Drain:
    """Takes entries from the spool in order; used by one thread at a time."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        mover: Mover,
        clock: Clock,
        batch_size: int,
        max_retries: int,
    ) -> None:
        self._database = database
        self._spool = spool
        self._mover = mover
        self._clock = clock
        self._batch_size = batch_size
        self._max_retries = max_retries
        self._chunk = CHUNK_READINGS
        self.failures = 0
        """How often in a row the oldest entries could not be stored, for no fault of the disk."""

    def step(self) -> Drained | None:
        """Move the oldest entries, at most about `CHUNK_READINGS`; None when the spool is empty.

        Raises:
            Unavailable, DiskFull, OSError: nothing was moved and nothing lost; try again.
            Exception: something else failed; try again, for after `max_retries` times the
                readings at fault are set aside.
        """
        entries, is_all = self._take()
        if not entries:
            return None
        drained = Drained()
        try:
            self._move(entries, drained)
        except OutOfMemory:
            readings = _readings(entries)
            self._chunk = max(min(self._chunk, readings) // 2, self._batch_size)
            if len(entries) > 1 and readings > self._batch_size:
                return self.step()
            raise
        except _STORAGE_FAULTS:
            raise
        except Exception:
            if self.failures < self._max_retries:
                self.failures += 1
                raise
            _log.exception("a batch failed %d times and is split", self.failures + 1)
            if not self._isolated(entries, drained):
                return drained
        self.failures = 0
        self._chunk = min(self._chunk + self._chunk // 8, CHUNK_READINGS)
        drained.is_all = is_all
        return drained

    def _isolated(self, entries: Sequence[Entry], drained: Drained) -> bool:
        """Whether the split went to its end; what was done before a failure counts all the same.

        The rest is still in the spool, and the next step begins with it.
        """
        try:
            self._isolate(entries, drained)
        except Exception as error:
            if not drained.has_effect:
                raise
            _log.error("the split was broken off and goes on: %s", error)
            return False
        return True

    def _take(self) -> tuple[list[Entry], bool]:
        """The oldest entries, and whether there are no others."""
        entries: list[Entry] = []
        readings = 0
        while readings < self._chunk:
            after = entries[-1].seq if entries else 0
            more = self._spool.take(self._batch_size, after)
            if not more:
                return entries, True
            entries += more
            readings += sum(entry.readings for entry in more)
        return entries, False

    def _move(self, entries: Sequence[Entry], drained: Drained) -> None:
        drained.parts.append(self._mover.move(entries))
        drained.readings += _readings(entries)

    def _attempt(self, entries: Sequence[Entry], drained: Drained) -> None:
        try:
            self._move(entries, drained)
        except _STORAGE_FAULTS:
            raise
        except Exception:
            self._isolate(entries, drained)

    def _isolate(self, entries: Sequence[Entry], drained: Drained) -> None:
        """Halve what fails together, older half first, down to single entries."""
        if len(entries) > 1:
            middle = len(entries) // 2
            self._attempt(entries[:middle], drained)
            self._attempt(entries[middle:], drained)
            return
        [entry] = entries
        letters: list[DeadLetter] = []
        try:
            self._store_rows(unpack([entry.payload]), letters, drained)
        except _STORAGE_FAULTS:
            raise
        except Exception as error:
            letters = [self._letter(entry.payload, error)]
        self._bury(entry, letters)
        drained.readings += entry.readings

    def _store_rows(self, batch: Batch, letters: list[DeadLetter], drained: Drained) -> None:
        """Store what can be stored of one entry, which stays in the spool.

        What a crash leaves stored here and still in the spool is a duplicate the next time.
        """
        try:
            if len(batch):
                drained.parts.append(self._mover.store(batch, lambda _: None))
            return
        except _STORAGE_FAULTS:
            raise
        except Exception as error:
            if len(batch) == 1:
                letters.append(self._letter(_spelled_out(reading_at(batch, 0)), error))
                return
        middle = len(batch) // 2
        for rows in (np.arange(middle), np.arange(middle, len(batch))):
            self._store_rows(batch.take(rows), letters, drained)

    def _bury(self, entry: Entry, letters: Sequence[DeadLetter]) -> None:
        def work(connection: apsw.Connection) -> None:
            bury(connection, letters)
            count(connection, {"rejected": len(letters)})
            self._spool.settle(connection, entry.seq)

        self._database.write_and_wait(work)

    def _letter(self, payload: bytes, error: Exception) -> DeadLetter:
        return DeadLetter(
            self._clock.now_us(),
            "cannot_be_stored",
            f"{type(error).__name__}: {error}"[:500],
            payload[:MAX_PAYLOAD],
        )


def _readings(entries: Sequence[Entry]) -> int:
    return sum(entry.readings for entry in entries)


def _spelled_out(reading: Reading) -> bytes:
    """A reading as it could be sent again, or as it is where its time has no date."""
    try:
        return node_json.write(reading)
    except OverflowError:
        return msgspec.json.encode(reading)
