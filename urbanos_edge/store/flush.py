"""From spool to store: every few seconds, in batches, each real in one transaction.

A batch is freed of what it repeats, compared with what is stored, corrected, graded and flagged,
written as one file per day it touches, and then, in a single SQLite transaction, listed in the
manifest while its entries leave the spool. A crash at any step leaves either the entries or the
files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import apsw
import duckdb
import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge import aqi
from urbanos_edge.batch import CORRECTION, RAW_NAMES, Batch, as_said, unpack
from urbanos_edge.clock import DAY_US, Clock
from urbanos_edge.engine import Engine, statement
from urbanos_edge.errors import EdgeError
from urbanos_edge.ingest.spool import Entry, Spool, count
from urbanos_edge.quality.corrections import Corrections
from urbanos_edge.quality.grading import grade
from urbanos_edge.quality.quality import FLAG_LABELS, Mask, bits
from urbanos_edge.quality.watch import OF_ITS_COURSE, Watch
from urbanos_edge.reading import QUANTITY_NAMES
from urbanos_edge.store.changed import hours_of, mark
from urbanos_edge.store.damage import again_without_damage
from urbanos_edge.store.identity import Folded, Rows, fold
from urbanos_edge.store.remembered import last_readings
from urbanos_edge.store.steps import reached
from urbanos_edge.store.store import Change, Store, day_of

_log = logging.getLogger(__name__)
Settle = Callable[[apsw.Connection], None]

_FEW: Final = 4
"""Times as many rows as labels keep their order by themselves."""
_LABELS = """
CREATE OR REPLACE TEMP TABLE {name} AS
SELECT generate_subscripts(list, 1) - 1 AS number, unnest(list) AS label
FROM (SELECT from_json($labels, '["VARCHAR"]') AS list)
"""


@dataclass(slots=True)
class Flushed:
    """What one transaction moved: the graded rows now in the store, and the tally."""

    batch: Batch
    revised: npt.NDArray[np.bool_]
    """Rows that replaced a stored one."""

    arrived: int
    duplicates: int
    revisions: int


class Mover:
    """Moves readings from the spool into the store; used by one thread at a time."""

    def __init__(
        self,
        spool: Spool,
        store: Store,
        engine: Engine,
        standard: aqi.Standard,
        clock: Clock,
        watch: Watch,
        corrections: Corrections,
    ) -> None:
        self._spool = spool
        self._store = store
        self._engine = engine
        self._standard = standard
        self._clock = clock
        self._watch = watch
        self._corrections = corrections
        self._remembers = False
        """Whether the watch knows what was stored before this process."""
        self._start_mark_us = store.newest_at_us()
        self._marks_us: dict[str, int] = {}

    def move(self, entries: Sequence[Entry]) -> Flushed:
        """Store the readings of the oldest entries and take these out of the spool.

        Raises:
            StorageUnavailable, DiskFull: nothing was moved; the entries are still in the spool.
        """
        arrivals = unpack(entry.payload for entry in entries)
        return self.store(arrivals, lambda work: self._spool.settle(work, entries[-1].seq))

    def store(self, arrivals: Batch, settle: Settle, watch: Watch | None = None) -> Flushed:
        """Store a batch; `settle` is part of the transaction that makes it real.

        A `watch` of its own flags what is not of the present, and the present does not see it.

        Raises:
            StorageUnavailable, DiskFull: nothing was stored.
        """
        self._remember()
        days = {day_of(n * DAY_US) for n in np.unique(arrivals["timestamp_us"] // DAY_US).tolist()}
        return again_without_damage(
            self._store,
            lambda file: file.day in days,
            lambda: self._store_once(arrivals, settle, watch or self._watch),
        )

    def _store_once(self, arrivals: Batch, settle: Settle, watch: Watch) -> Flushed:
        with (
            self._store.changing,
            self._engine.cursor() as cursor,
            self._store.change() as change,
        ):
            stored = self._find_stored(cursor, arrivals)
            folded = fold(arrivals, stored)
            folded.batch = self._corrections.correct(folded.batch)
            grade(self._standard, folded.batch)
            findings = watch.judge(folded.batch)
            folded.batch.columns["flags"] |= findings.flags | found_before(folded, stored)
            self._write(cursor, change, folded, stored)
            reached("files written")
            flushed = Flushed(
                folded.batch, folded.revised, len(arrivals), folded.duplicates, folded.revisions
            )
            hours = hours_of(folded.batch["timestamp_us"])
            change.commit(lambda work: self._settle(work, settle, flushed, hours))
        watch.take(findings)
        self._raise_marks(folded.batch)
        return flushed

    def _remember(self) -> None:
        """Let the watch see what was stored last, before the first flush of this process.

        No reading waits for that: if it cannot be read, the watch begins anew.
        """
        if self._remembers:
            return
        self._remembers = True
        try:
            batch = last_readings(self._store, self._engine, self._clock.now_us())
        except (EdgeError, duckdb.Error):
            _log.exception("what sensors said last cannot be read; flags begin anew")
            return
        if batch is not None:
            self._watch.take(self._watch.judge(batch))

    def forget_marks(self) -> None:
        """Look up every identity that may be stored: files came back that were set aside."""
        self._start_mark_us = self._store.newest_at_us()
        self._marks_us.clear()

    def _find_stored(
        self, cursor: duckdb.DuckDBPyConnection, arrivals: Batch
    ) -> dict[str, npt.NDArray[Any]]:
        """What the store holds for identities of the arrivals, with `filename`; {} if nothing.

        Only rows at or below their sensor's highest stored moment are looked up, one semi-join
        for each day they touch. What this process has not stored itself counts as being as new
        as the newest file found at its start.
        """
        marks = np.array([self._marks_us.get(x, self._start_mark_us) for x in arrivals.labels])
        suspects = np.flatnonzero(arrivals["timestamp_us"] <= marks[arrivals["sensor"]])
        register_labels(cursor, "labels", arrivals.labels)
        days = [
            self._find_stored_on(cursor, arrivals, day, rows)
            for day, rows in by_day(arrivals["timestamp_us"], suspects)
        ]
        found = [columns for columns in days if columns]
        names = found[0] if found else ()
        return {name: np.concatenate([columns[name] for columns in found]) for name in names}

    def _find_stored_on(
        self, cursor: duckdb.DuckDBPyConnection, arrivals: Batch, day: str, rows: Rows
    ) -> dict[str, Any]:
        at_us = arrivals["timestamp_us"][rows]
        low, high = int(at_us.min()), int(at_us.max())
        suspects = {"sensor": arrivals["sensor"][rows], "timestamp_us": at_us}
        cursor.register("suspects", suspects)
        with self._store.lease(
            lambda file: file.day == day and file.min_at_us <= high and file.max_at_us >= low
        ) as paths:
            if not paths:
                return {}
            bounds = {"files": paths, "min_at_us": low, "max_at_us": high}
            found = cursor.execute(statement("stored_identities"), bounds).fetchnumpy()
        return {name: np.asarray(column) for name, column in found.items()}

    def _write(
        self,
        cursor: duckdb.DuckDBPyConnection,
        change: Change,
        folded: Folded,
        stored: dict[str, npt.NDArray[Any]],
    ) -> None:
        """Write the rows by day, and anew each file that holds rows which give way to them."""
        batch, revised = folded.batch, np.flatnonzero(folded.revised)
        paths = stored["filename"][folded.base] if stored else np.empty(0, object)
        for path in np.unique(paths.astype(str)).tolist():
            cursor.register("revised", identities(batch.take(revised[paths == path])))
            change.rewrite(cursor, self._store.file_at(path))
        write_by_day(cursor, change, batch, self._standard.grading, self._clock.now_us())

    def _settle(
        self, work: apsw.Connection, settle: Settle, flushed: Flushed, hours: Sequence[int]
    ) -> None:
        settle(work)
        tally = {
            "stored": flushed.arrived - flushed.duplicates - flushed.revisions,
            "duplicates": flushed.duplicates,
            "revisions": flushed.revisions,
        }
        count(work, tally)
        mark(work, hours, self._clock.now_us())

    def _raise_marks(self, batch: Batch) -> None:
        highest = np.full(len(batch.labels), self._start_mark_us)
        np.maximum.at(highest, batch["sensor"], batch["timestamp_us"])
        for number in np.unique(batch["sensor"]).tolist():
            label = batch.labels[number]
            known = self._marks_us.get(label, self._start_mark_us)
            self._marks_us[label] = max(known, int(highest[number]))


def found_before(folded: Folded, stored: dict[str, npt.NDArray[Any]]) -> Mask:
    """What was found of stored rows that are only added to: nobody can see it any more."""
    flags = np.zeros(len(folded.batch), np.uint8)
    if not stored:
        return flags
    revised = np.flatnonzero(folded.revised)
    before = {name: column[folded.base] for name, column in stored.items()}
    stands = np.ones(len(revised), bool)
    for name in QUANTITY_NAMES:
        said = as_said(folded.batch.columns, name)[revised]
        stands &= np.isnan(before[name]) | (before[name] == said)
    flags[revised] = bits({name: stands & before[name] for name in OF_ITS_COURSE})
    return flags


def write_by_day(
    cursor: duckdb.DuckDBPyConnection, change: Change, batch: Batch, grading: str, stored_us: int
) -> None:
    """Add graded rows to a change, one file for each day they touch."""
    register_labels(cursor, "labels", batch.labels)
    register_labels(cursor, "flag_labels", FLAG_LABELS)
    parameters = {"stored_us": stored_us, "grading": grading}
    for day, rows in by_day(batch["timestamp_us"], np.arange(len(batch))):
        of_day = batch if len(rows) == len(batch) else batch.take(rows)
        cursor.register("arrived", of_day.columns)
        copy = with_corrections(statement("write_readings"), of_day)
        change.write(cursor, day, copy.replace("{order}", _order(of_day)), parameters)


def _order(batch: Batch) -> str:
    """How rows are sorted that do not stay by sensor and time by themselves, in SQL.

    Where there are more labels than rows, DuckDB joins the other way round and turns them.
    """
    sensor = batch["sensor"]
    are_few = len(batch) <= _FEW * max(len(batch.labels), len(FLAG_LABELS))
    is_any_behind = (sensor[1:] == sensor[:-1]).any()
    return "ORDER BY a.sensor, a.timestamp_us" if are_few and is_any_behind else ""


def with_corrections(text: str, batch: Batch) -> str:
    """A statement over the columns `a` of a batch, with those that corrections added to it.

    The names are spelled out, because one more join would turn the order of the rows around.
    """
    columns = [f"{_named(batch)} AS {CORRECTION}"]
    for name in RAW_NAMES.values():
        raw = f"nullif(a.{name}, 'nan'::DOUBLE)" if name in batch.columns else "NULL::DOUBLE"
        columns.append(f"{raw} AS {name}")
    return text.replace("{corrections}", ", ".join(columns))


def _named(batch: Batch) -> str:
    """The text of each row's correction, in SQL; there are only ever a few."""
    if CORRECTION not in batch.columns:
        return "''"
    texts = {n: batch.labels[n].replace("'", "''") for n in np.unique(batch[CORRECTION]).tolist()}
    cases = " ".join(f"WHEN {n} THEN '{text}'" for n, text in texts.items())
    return f"CASE a.{CORRECTION} {cases} END"


def by_day(timestamp_us: npt.NDArray[Any], rows: Rows) -> Iterator[tuple[str, Rows]]:
    """Split rows by the UTC day of their timestamp, in order within each."""
    days = timestamp_us[rows] // DAY_US
    for day in np.unique(days).tolist():
        yield day_of(day * DAY_US), rows[days == day]


def identities(batch: Batch) -> dict[str, npt.NDArray[Any]]:
    """Sensor and moment of each row, as `rewrite_without` wants them."""
    return {
        "sensor_id": np.array(batch.strings("sensor"), dtype=str),
        "timestamp_us": batch["timestamp_us"],
    }


def register_labels(cursor: duckdb.DuckDBPyConnection, name: str, labels: Sequence[str]) -> None:
    """Make strings known to a query as a table (number, label), numbered from 0.

    They go in as JSON: DuckDB looks at every element of an object array with the interpreter lock
    held, 40 µs each, and a NumPy string loses the zero characters at its end.
    """
    text = msgspec.json.encode(labels).decode()
    cursor.execute(_LABELS.replace("{name}", name), {"labels": text})
