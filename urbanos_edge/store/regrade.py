"""Stored readings graded and corrected anew, after the standard, a table or a correction changed.

A row says by `grading` and `correction` what made its numbers. Those that are right are left alone,
so what was broken off goes on where it was. A file is written anew beside all other work and takes
the place of the old one in a transaction that marks the hours it changed. Flags stay as they were
settled, but for `range`, which says whether the values are possible.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge import aqi
from urbanos_edge.batch import CORRECTION, Batch, from_columns
from urbanos_edge.engine import Engine, quoted, statement
from urbanos_edge.errors import StorageUnavailable
from urbanos_edge.quality.corrections import Corrections
from urbanos_edge.quality.grading import grade
from urbanos_edge.quality.quality import IMPOSSIBLE
from urbanos_edge.store.changed import hours_of, mark
from urbanos_edge.store.damage import again_without_damage, read_intact
from urbanos_edge.store.flush import register_labels, with_corrections
from urbanos_edge.store.manifest import File
from urbanos_edge.store.store import Store

CHUNK_ROWS: Final = 200_000
"""Rows that are looked at together, which bounds the memory it takes."""


class Rewritten(msgspec.Struct, frozen=True):
    """A file and what takes its place, with how many rows and which hours that changes.

    `new` is None when it was only looked at.
    """

    old: File
    new: File | None
    rows: int
    hours: list[int]


class Regrade:
    """One run over the store, of all sensors or of one; used by one thread at a time."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        standard: aqi.Standard,
        corrections: Corrections,
        sensor_id: str | None = None,
    ) -> None:
        self._store = store
        self._engine = engine
        self._standard = standard
        self._corrections = corrections
        self._sensor_id = sensor_id

    def prepare(self, file: File, *, write: bool = True) -> Rewritten | None:
        """Write a file anew where it is not as it would be now; None when it is, or is gone.

        Raises:
            StorageUnavailable, DiskFull: nothing changed.
        """
        return again_without_damage(
            self._store,
            lambda one: one.path == file.path,
            lambda: self._prepare_once(file, write),
        )

    def make_real(self, rewritten: Rewritten, now_us: int) -> bool:
        """Put what was written in the old file's place; False when that has been replaced.

        Raises:
            StorageUnavailable, DiskFull: nothing changed.
        """
        if rewritten.new is None:
            return False
        with self._store.changing, self._store.change() as change:
            live = {file.path: file for file in self._store.files}
            if rewritten.old.path not in live:
                return False
            change.bring_in([rewritten.new])
            change.replaced.append(live[rewritten.old.path])
            change.commit(lambda work: mark(work, rewritten.hours, now_us))
        return True

    def discard(self, rewritten: Sequence[Rewritten]) -> None:
        """Remove what was written and has not become real."""
        for one in rewritten:
            if one.new is not None:
                self._store.prepared(one.new).unlink(missing_ok=True)

    def _prepare_once(self, file: File, write: bool) -> Rewritten | None:
        with (
            self._store.hold(lambda one: one.path == file.path) as held,
            self._engine.cursor() as cursor,
        ):
            if not held:
                return None
            cursor.execute(statement("regraded_rows"))
            register_labels(cursor, "corrected_sensors", self._corrections.sensors)
            register_labels(cursor, "corrected_sources", self._corrections.sources)
            moments_us = [
                self._take(cursor, file, first) for first in range(0, file.rows, CHUNK_ROWS)
            ]
            changed_us = np.concatenate(moments_us)
            if not len(changed_us):
                return None
            new = self._write(cursor, file) if write else None
            return Rewritten(file, new, len(changed_us), hours_of(changed_us))

    def _take(
        self, cursor: duckdb.DuckDBPyConnection, file: File, first: int
    ) -> npt.NDArray[np.int64]:
        """Note what is to change in a part of a file; return the moments of these rows."""
        found = cursor.execute(
            statement("outdated_rows").replace("{source}", quoted(self._store.full(file))),
            {
                "first": first,
                "end": first + CHUNK_ROWS,
                "sensor_id": self._sensor_id,
                "grading": self._standard.grading,
            },
        ).fetchnumpy()
        batch = self._anew(found)
        if len(batch):
            register_labels(cursor, "labels", batch.labels)
            cursor.register("anew", batch.columns)
            text = with_corrections(statement("take_regraded"), batch)
            cursor.execute(text, {"grading": self._standard.grading})
        return batch["timestamp_us"]

    def _anew(self, found: dict[str, Any]) -> Batch:
        """The rows that are not as they would be now, as they would be, with their `row`."""
        batch = self._corrections.correct(from_columns(found))
        corrections = [""] * len(batch)
        if CORRECTION in batch.columns:
            corrections = batch.strings(CORRECTION)
        is_right = found["grading"] == self._standard.grading
        is_right &= found[CORRECTION] == np.array(corrections, object)
        batch.columns["row"] = found["row"]
        wrong = batch.take(np.flatnonzero(~is_right))
        grade(self._standard, wrong)
        wrong.columns["is_impossible"] = wrong["flags"] & IMPOSSIBLE > 0
        return wrong

    def _write(self, cursor: duckdb.DuckDBPyConnection, file: File) -> File:
        self._store.prove([file])
        copy = statement("regrade_file").replace("{source}", quoted(self._store.full(file)))
        new = self._store.prepare(cursor, file.day, copy, {}, file.kind)
        if new is None or new.rows != file.rows:
            raise StorageUnavailable("a regraded file does not hold what it was to replace")
        return new


class Gradings:
    """Which files hold readings that another standard or table graded than now's.

    Each file is asked once, for it never changes; any thread may ask.
    """

    def __init__(self, store: Store, engine: Engine, standard: aqi.Standard) -> None:
        self._store = store
        self._engine = engine
        self._grading = standard.grading
        self._lock = threading.Lock()
        self._is_outdated: dict[str, bool] = {}

    def outdated(self) -> list[File]:
        """These files.

        Raises:
            StorageUnavailable: a file could not be read.
        """
        with self._lock:
            known = self._is_outdated
            files = self._store.files
            if any(file.path not in known for file in files):
                found = self._ask()
                known |= found
            live = {file.path for file in files}
            self._is_outdated = {path: known[path] for path in known.keys() & live}
            return [file for file in files if self._is_outdated.get(file.path)]

    def _ask(self) -> dict[str, bool]:
        known = self._is_outdated

        def work(cursor: duckdb.DuckDBPyConnection, paths: list[str]) -> dict[str, bool]:
            if not paths:
                return {}
            asked = {"files": paths, "grading": self._grading}
            rows = cursor.execute(statement("outdated_files"), asked).fetchall()
            outdated = {path for (path,) in rows}
            root = f"{self._store.directory}/"
            return {path.removeprefix(root): path in outdated for path in paths}

        return read_intact(self._store, self._engine, lambda file: file.path not in known, work)
