"""Readings on their way out: a span of time as CSV, GeoJSON, NDJSON or GeoParquet, piece by piece.

DuckDB copies into a named pipe and is held back by whoever reads it: memory is bounded however slow
that is, and nothing is written to the disk. Each export has a DuckDB of its own: one that waits for
its reader keeps a thread waiting, which the node's flushes would miss. And its memory goes back to
the machine with it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

import anyio
import anyio.to_thread
import duckdb
import msgspec

from urbanos_edge.clock import DAY_US, to_rfc3339
from urbanos_edge.engine import Engine, quoted, statement
from urbanos_edge.errors import Unavailable, Unprocessable, translated_os_errors
from urbanos_edge.grid import Bounds
from urbanos_edge.query.pipe import Pipe
from urbanos_edge.store.damage import SUSPICIOUS, has_lost
from urbanos_edge.store.manifest import File, FileDamaged
from urbanos_edge.store.store import Store

FORMATS: Final = {
    "csv": "text/csv",
    "geojson": "application/geo+json",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
"""The media type of each, all in UTF-8."""
COLUMNS: Final = ("own", "openaq")
"""Those of the node's files, or a row for each value as OpenAQ has them."""
_TABLES: Final = ("csv", "ndjson", "parquet")
"""Formats of rows that need no place of their own."""
AT_ONCE: Final = 2
MAX_DAYS: Final = 366
MEMORY_MIB: Final = 256
"""What DuckDB may take for one; it needs about 125."""
PIECE_BYTES: Final = 512 << 10
LOOK_S: Final = 0.01
"""Between two looks whether a copy has noticed that it should stop."""
WORLD: Final = Bounds(-180, -90, 180, 90)
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9._-]")
"""In the name of a file."""


class Busy(Unavailable):
    """As many exports run as may at once, or one for the same asker.

    Each takes a share of the cores and of the memory, and who gets one keeps files on the disk.
    """

    code = "busy"
    retry_after_s = 30


class Wanted(msgspec.Struct, frozen=True):
    """The readings with since ≤ timestamp < until in a box, its edges included.

    Of one sensor, where one is named.
    """

    since_us: int
    until_us: int
    format: str = "csv"
    box: Bounds = WORLD
    columns: str = "own"
    sensor: str = ""

    @property
    def media_type(self) -> str:
        return FORMATS[self.format]

    @property
    def rows(self) -> str:
        """The statement that makes its rows."""
        if self.columns == "openaq":
            return "export_openaq"
        return "export_rows" if self.format == "parquet" else "export_text"

    @property
    def file_name(self) -> str:
        """`readings_2026-11-23_2026-11-24T100000Z.csv`, or with the sensor in place of 'readings'.

        No colons and the like, which not every system takes.
        """
        whose = _UNUSUAL.sub("_", self.sensor) or "readings"
        return f"{whose}_{_brief(self.since_us)}_{_brief(self.until_us)}.{self.format}"

    def is_in(self, file: File) -> bool:
        """Whether a file may hold any of them."""
        is_then = file.max_at_us >= self.since_us and file.min_at_us < self.until_us
        return is_then and file.meets(self.box)

    def share_of(self, file: File) -> float:
        """About how many of a file's rows lie in the span."""
        begin_us, end_us = max(file.min_at_us, self.since_us), min(file.max_at_us, self.until_us)
        length_us = file.max_at_us - file.min_at_us
        return file.rows * (end_us - begin_us) / length_us if length_us else file.rows


def checked(wanted: Wanted) -> Wanted:
    """The same.

    Raises:
        Unprocessable: an unknown format or columns it does not go with, a span that ends before it
            begins, or too long a one.
    """
    if wanted.format not in FORMATS:
        known = ", ".join(FORMATS)
        raise Unprocessable(f"the format must be one of {known}", code="invalid_format")
    if wanted.columns not in COLUMNS:
        known = " or ".join(COLUMNS)
        raise Unprocessable(f"the columns must be {known}", code="invalid_columns")
    if wanted.columns == "openaq" and wanted.format not in _TABLES:
        message = f"columns of OpenAQ go out as {', '.join(_TABLES)}"
        raise Unprocessable(message, code="invalid_columns")
    if wanted.since_us > wanted.until_us:
        raise Unprocessable(
            "'from' must not be after 'to', which is now when left out", code="invalid_range"
        )
    if wanted.until_us - wanted.since_us > MAX_DAYS * DAY_US:
        raise Unprocessable(f"at most {MAX_DAYS} days at once", code="range_too_long")
    return wanted


class Exports:
    """Gives readings out, at most `AT_ONCE` spans at a time; used from the event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="export")
        self._running: list[str | None] = []
        """For whom."""
        self.stopping = asyncio.Event()
        """Set when whoever sends one out must break it off."""

    def rows_about(self, wanted: Wanted) -> int:
        """About how many readings the files hold for it; how many of them lie in its box shows."""
        files = [file for file in self._store.files if wanted.is_in(file)]
        return round(sum(wanted.share_of(file) for file in files))

    def break_off(self) -> None:
        """Have those that run broken off, so that the files that only they keep can go."""
        self.stopping.set()
        self.stopping = asyncio.Event()

    @asynccontextmanager
    async def open(
        self, wanted: Wanted, asker: str | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The pieces of an export; by then the first is there, so that the copy has begun well.

        `asker` has one at a time; None is somebody who is not counted.

        When the block ends early the copy ends with it, and nothing of it stays behind. What is
        damaged is set aside; when that shows in the middle, the pieces end with the error and the
        next export goes without it.

        Raises:
            Busy: as many run as may at once, or one for the same asker.
            StorageUnavailable: it failed although no file is damaged.
        """
        if len(self._running) == AT_ONCE:
            raise Busy(f"{AT_ONCE} exports run already; try again when one has ended")
        if asker is not None and asker in self._running:
            raise Busy("an export runs for you already; try again when it has ended")
        self._running.append(asker)
        try:
            async with self._begun(wanted) as pieces:
                yield pieces
        finally:
            self._running.remove(asker)

    def close(self) -> None:
        """Free the threads; no export is open any more."""
        self._threads.shutdown()

    @asynccontextmanager
    async def _begun(self, wanted: Wanted) -> AsyncIterator[AsyncIterator[bytes]]:
        while True:
            losses = self._store.losses
            set_aside = partial(has_lost, self._store, wanted.is_in, losses)
            async with self._copy(wanted) as copy:
                try:
                    first = await copy.next()
                except SUSPICIOUS as error:
                    if not await anyio.to_thread.run_sync(set_aside, error):
                        raise
                    continue
                try:
                    yield _pieces(first, copy)
                except SUSPICIOUS as error:
                    await anyio.to_thread.run_sync(set_aside, error)
                    raise
                return

    @asynccontextmanager
    async def _copy(self, wanted: Wanted) -> AsyncIterator[_Copy]:
        with translated_os_errors():
            copy = _Copy(self._store, wanted, self._threads)
        try:
            yield copy
        finally:
            await copy.stop()


async def _pieces(first: bytes, copy: _Copy) -> AsyncIterator[bytes]:
    piece = first
    while piece:
        yield piece
        piece = await copy.next()


class _Copy:
    """DuckDB at work on one export, in a thread, and the pipe it writes to."""

    def __init__(self, store: Store, wanted: Wanted, threads: ThreadPoolExecutor) -> None:
        self._store = store
        self._wanted = wanted
        self._folder = store.directory / ".tmp" / f"export-{secrets.token_hex(8)}"
        self._folder.mkdir(parents=True)
        self._target = self._folder / "pipe"
        self._pipe = Pipe(self._target)
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._is_stopped = False
        self._work = threads.submit(self._run)

    async def next(self) -> bytes:
        """The next piece, `b""` after the last; raises what the copy raised."""
        piece = await self._pipe.read(PIECE_BYTES)
        if len(piece) < PIECE_BYTES:
            await asyncio.shield(asyncio.wrap_future(self._work))
        return piece

    async def stop(self) -> None:
        """End the copy if it still runs; when this returns, nothing of it is left.

        The reading end stays open until then: DuckDB, if it has not come to open the path yet,
        would wait there for ever.
        """
        self._is_stopped = True
        with anyio.CancelScope(shield=True):
            while not self._work.done():
                self._interrupt()
                self._pipe.drain()
                await anyio.sleep(LOOK_S)
        self._pipe.close()

    def _interrupt(self) -> None:
        """Once is not enough: DuckDB forgets an interrupt when a statement begins."""
        if self._cursor is not None:
            with suppress(duckdb.Error):  # it was closed a moment ago
                self._cursor.interrupt()

    def _run(self) -> None:
        try:
            with self._store.hold(self._wanted.is_in) as files, translated_os_errors():
                self._prove_sizes(files)
                self._copy(files)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._pipe.end()

    def _prove_sizes(self, files: Sequence[File]) -> None:
        """Before the first byte is out: what is missing or cut is found by its size."""
        for file in files:
            reason = self._store.fault(file)
            if reason is not None:
                raise FileDamaged(file, reason)

    def _copy(self, files: Sequence[File]) -> None:
        directory = self._store.directory
        engine = Engine(MEMORY_MIB, self._folder / "duckdb", [directory])
        try:
            with engine.cursor() as cursor:
                self._cursor = cursor
                cursor.execute(statement("rfc3339"))
                cursor.execute(statement("no_readings"))
                if not self._is_stopped:
                    self._execute(cursor, files)
        finally:
            engine.close()

    def _execute(self, cursor: duckdb.DuckDBPyConnection, files: Sequence[File]) -> None:
        wanted = self._wanted
        parameters = {
            "since_us": wanted.since_us,
            "until_us": wanted.until_us,
            "sensor": wanted.sensor,
            **wanted.box._asdict(),
        }
        readings = "no_readings"
        if files:
            readings = statement("export_readings")
            parameters["files"] = [str(self._store.full(file)) for file in files]
        copy = statement(f"export_{wanted.format}").replace("{rows}", statement(wanted.rows))
        copy = copy.replace("{readings}", readings)
        cursor.execute(copy.replace("{target}", quoted(self._target)), parameters)


def _brief(moment_us: int) -> str:
    return to_rfc3339(moment_us).replace(":", "").removesuffix("T000000Z")
