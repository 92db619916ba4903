"""Partitions of Parquet files and the manifest that says which files are real.

A file is written below `.tmp/`, counted, synced and renamed into its day, its folder synced too;
it becomes real when the transaction that lists it commits. Readers take their files from the
manifest, never from the folder, and hold a lease, so that a file that was replaced is unlinked
only after the last query that may still open it.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import apsw
import duckdb
import msgspec

from urbanos_edge.clock import DAY_US, EPOCH, to_us
from urbanos_edge.database import Database, Work
from urbanos_edge.engine import Engine, quoted, statement
from urbanos_edge.errors import EdgeError, StorageUnavailable, translated_os_errors
from urbanos_edge.store.integrity import checksum_of, fault, sync_path
from urbanos_edge.store.manifest import READINGS, File, FileDamaged, Layout, listed, publish
from urbanos_edge.store.steps import reached

QUARANTINE: Final = "quarantine"
_log = logging.getLogger(__name__)


class Store:
    """The partitions of one layout, and nothing else there."""

    def __init__(
        self,
        directory: Path,
        database: Database,
        engine: Engine,
        layout: Layout = READINGS,
        *,
        keep_unlisted: bool = False,
    ) -> None:
        self._directory = directory
        self._layout = layout
        self._temporary = directory / ".tmp"
        self._engine = engine
        self._database = database
        self.changing = threading.Lock()
        """Held by whoever needs the list of files to stay as it is until its change is listed."""
        self._lock = threading.Lock()
        self._generation = 0
        self._leases: Counter[int] = Counter()
        self._retired: list[tuple[int, File]] = []
        self._doubtful: list[File] = []
        self._left: list[File] = []
        """What could not be unlinked: nobody may list it again."""
        self._synced_days: set[str] = set()
        """Days whose folder is known to be in its parent on the disk."""
        self.losses = 0
        """Files set aside since the start: whoever counted them must count anew."""
        self.unnoted: list[File] = []
        """Those of them that the database does not know of; the next start finds them missing."""
        self._files = listed(database.read(), layout)
        (directory / layout.folder).mkdir(parents=True, exist_ok=True)
        self._clear_temporary()
        self._recover(keep_unlisted)

    @property
    def directory(self) -> Path:
        """The data directory; a file's path starts there."""
        return self._directory

    @property
    def files(self) -> Sequence[File]:
        """The live files, by path."""
        with self._lock:
            return list(self._files.values())

    @property
    def is_in_doubt(self) -> bool:
        """Whether a commit failed that may come back after a crash; the next good one ends it."""
        return bool(self._doubtful)

    @property
    def retired_bytes(self) -> int:
        """What is struck and still on the disk; it goes with the last lease from before."""
        with self._lock:
            return sum(file.bytes for _, file in self._retired)

    def holds(self, path: str) -> bool:
        """Whether a path, relative to the data directory, is one of this store's, live or not."""
        return path.startswith(f"{self._layout.folder}/")

    def newest_at_us(self) -> int:
        """The latest moment of any stored reading, or the least integer when there is none."""
        return max((file.max_at_us for file in self.files), default=-(2**62))

    @contextmanager
    def lease(self, wanted: Callable[[File], bool]) -> Iterator[list[str]]:
        """Full paths of the live files that are wanted, all readable until the block ends."""
        with self.hold(wanted) as files:
            yield [str(self.full(file)) for file in files]

    @contextmanager
    def hold(self, wanted: Callable[[File], bool]) -> Iterator[list[File]]:
        """The live files that are wanted; none is unlinked until the block ends."""
        with self._lock:
            generation = self._generation
            self._leases[generation] += 1
            files = [file for file in self._files.values() if wanted(file)]
        try:
            yield files
        finally:
            with self._lock:
                self._leases[generation] -= 1
                if not self._leases[generation]:
                    del self._leases[generation]
            self._unlink_retired()

    def file_at(self, full_path: str) -> File:
        """The live file at a path that a lease or a query named."""
        with self._lock:
            return self._files[str(Path(full_path).relative_to(self._directory))]

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Prepare files; what was not committed when the block ends is gone again."""
        change = Change(self)
        try:
            yield change
        finally:
            for file in change.pending:
                self._discard(file, self.prepared(file))
                self._discard(file, self.full(file))

    def prepare(
        self,
        cursor: duckdb.DuckDBPyConnection,
        day: str,
        copy: str,
        parameters: dict[str, Any],
        kind: str = "",
    ) -> File | None:
        """Run `copy`, a COPY to `{target}`, into a synced file below `.tmp/`; then `bring_in`.

        `kind` becomes part of the name. Returns None when there was nothing to write.

        Raises:
            StorageUnavailable: fewer rows arrived in the file than were written.
            DiskFull: no space.
        """
        number = f"{time.time_ns():016x}-{secrets.token_hex(4)}"
        name = f"{number}-{kind}.parquet" if kind else f"{number}.parquet"
        temporary = self._temporary / name
        try:
            with translated_os_errors():
                self._temporary.mkdir(exist_ok=True)
                return self._fill(cursor, temporary, day, copy, parameters)
        except BaseException:
            with suppress(OSError):  # the next start empties the folder
                temporary.unlink(missing_ok=True)
            raise

    def _fill(
        self,
        cursor: duckdb.DuckDBPyConnection,
        temporary: Path,
        day: str,
        copy: str,
        parameters: dict[str, Any],
    ) -> File | None:
        written = cursor.execute(copy.replace("{target}", quoted(temporary)), parameters).fetchone()
        described = cursor.execute(statement(self._layout.describe), [str(temporary)]).fetchone()
        if written is None or described is None or written[0] != described[0]:
            raise StorageUnavailable("a file of the store holds fewer rows than were written")
        if not written[0]:
            temporary.unlink()
            return None
        reached("file written")
        sync_path(temporary)
        reached("file synced")
        path = self._layout.path_of(day, temporary.name)
        size, checksum = temporary.stat().st_size, checksum_of(temporary)
        file = File(path, day, described[0], size, *described[1:])
        return msgspec.structs.replace(file, checksum=checksum)

    def prepared(self, file: File) -> Path:
        """Where a file lies until it is brought in."""
        return self._temporary / self.full(file).name

    def bring_in(self, file: File) -> None:
        """Rename a prepared file into its day, durable, not listed. Use a `Change`."""
        folder = self.full(file).parent
        with translated_os_errors():
            with self._lock:  # an empty folder may be on its way out
                if not folder.exists():
                    self._synced_days.discard(file.day)
                folder.mkdir(exist_ok=True)
                os.rename(self.prepared(file), self.full(file))
            reached("file renamed")
            sync_path(folder)
            if file.day not in self._synced_days:
                sync_path(folder.parent)
                self._synced_days.add(file.day)
            reached("folder synced")

    def commit(
        self,
        added: Sequence[File],
        removed: Sequence[File],
        also: Work[Any] = lambda _: None,
        beside: Change | None = None,
    ) -> None:
        """List files and strike others in one transaction with `also`, then show readers.

        `beside` is a change of another store that becomes real with this one.

        Raises:
            DiskFull, and what `also` raises: nothing changed.
            StorageUnavailable: nothing changed as far as this process sees; but a commit whose
                sync failed may come back after a crash, so the files stay until a later
                commit has taken its place in the log.
        """
        change = Change(self)
        change.pending += added
        change.replaced += removed
        self._commit([change] if beside is None else [change, beside], also)

    def _commit(self, changes: Sequence[Change], also: Work[Any]) -> None:
        def work(connection: apsw.Connection) -> None:
            for change in changes:
                publish(connection, change.store._layout, change.pending, change.replaced)
            also(connection)

        try:
            self._database.write_and_wait(work)
        except StorageUnavailable:
            for change in changes:
                change.store._doubtful += change.take()  # kept for now
            raise
        listed = [change.take() for change in changes]  # no failure from here on removes them
        reached("files listed")
        for change, added in zip(changes, listed, strict=True):
            change.store._show(added, change.replaced)
            change.store._end_doubt()

    def _end_doubt(self) -> None:
        for file in self._doubtful:
            self._discard(file, self.full(file))
        self._doubtful = []

    def _show(self, added: Iterable[File], removed: Iterable[File]) -> None:
        """Give readers the new list; what was struck is unlinked when nobody can open it."""
        with self._lock:
            self._generation += 1
            for file in removed:
                del self._files[file.path]
                self._retired.append((self._generation, file))
            self._files.update({file.path: file for file in added})
        self._unlink_retired()

    def full(self, file: File) -> Path:
        """Where a file lies."""
        return self._directory / file.path

    def _unlink_retired(self) -> None:
        with self._lock:
            oldest = min(self._leases, default=self._generation)
            free = [file for generation, file in self._retired if generation <= oldest]
            self._retired = [item for item in self._retired if item[0] > oldest]
        for file in free:
            self._discard(file, self.full(file))
            reached("file unlinked")
        with self._lock:
            for folder in {self.full(file).parent for file in free}:
                with suppress(OSError):  # other files of its day are still there
                    folder.rmdir()

    def _discard(self, file: File, path: Path) -> None:
        """Unlink a file that no reader knows; what is to be stored does not depend on that."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _log.error("%s is left to the next start: %s", path, error.strerror)
            self._left.append(file)

    def _clear_temporary(self) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir()

    def _recover(self, keep_unlisted: bool) -> None:
        """Remove what no manifest row lists; set aside what is listed and cannot be read."""
        for path in [] if keep_unlisted else self.unlisted():
            try:
                path.unlink()
            except OSError as error:
                _log.error("%s is not listed and cannot be removed: %s", path, error.strerror)
        damaged = [(file, reason) for file in self._files.values() if (reason := self.fault(file))]
        if damaged:
            self.set_aside(damaged)

    def unlisted(self) -> list[Path]:
        """Files in the partitions that no reader knows or will know; call it while `changing`."""
        with self._lock:
            known = {self.full(file) for file in self._files.values()}
            known |= {self.full(file) for _, file in self._retired}
            known |= {self.full(file) for file in (*self._doubtful, *self._left)}
        found = (self._directory / self._layout.folder).glob(f"{self._layout.key}=*/*")
        return sorted(path for path in found if path not in known)

    def fault(self, file: File, *, thorough: bool = False) -> str | None:
        """What is wrong with a live file, in words; `thorough` reads all of it."""
        return fault(self.full(file), file.bytes, file.checksum if thorough else None)

    def prove(self, files: Iterable[File]) -> None:
        """Compare files with their checksums before their rows are passed on.

        Raises:
            FileDamaged: the bytes of one changed; a copy would pass them off as good ones.
        """
        for file in files:
            reason = self.fault(file, thorough=True)
            if reason is not None:
                raise FileDamaged(file, reason)

    def set_aside(self, damaged: Sequence[tuple[File, str]]) -> None:
        """Strike damaged files, keep what is left of them in `quarantine/`, go on without them.

        The files move first: a crash after that is found as a missing file at the next start.
        When the database cannot be written, readers go on without them all the same.
        """
        with self.changing:
            live = [(file, reason) for file, reason in damaged if file.path in self._files]
            aside = self._directory / QUARANTINE
            aside.mkdir(exist_ok=True)
            for file, reason in live:
                _log.error("%s %s; it is set aside", file.path, reason)
                if self.full(file).exists():
                    self.full(file).rename(aside / self.full(file).name)
            try:
                self._database.write_and_wait(lambda work: self._note_quarantine(work, live))
            except EdgeError as error:
                _log.error("what was set aside could not be noted: %s", error.message)
                self.unnoted += [file for file, _ in live]
            with self._lock:
                self._generation += 1
                self.losses += len(live)
                for file, _ in live:
                    del self._files[file.path]

    def note_checksums(self, checksums: dict[str, bytes]) -> None:
        """Remember the checksums of live files that had none, by path."""
        with self.changing:
            self._database.write_and_wait(
                lambda work: work.executemany(
                    f"UPDATE {self._layout.table} SET checksum = ? WHERE path = ?",
                    [(checksum, path) for path, checksum in checksums.items()],
                )
            )
            with self._lock:
                for path in checksums.keys() & self._files.keys():
                    known = self._files[path]
                    self._files[path] = msgspec.structs.replace(known, checksum=checksums[path])

    def _note_quarantine(
        self, connection: apsw.Connection, damaged: Sequence[tuple[File, str]]
    ) -> None:
        now_us = time.time_ns() // 1000
        lost = [file for file, _ in damaged]
        publish(connection, self._layout, [], lost)
        self._layout.strike(connection, lost, now_us)
        connection.executemany(
            "INSERT OR REPLACE INTO quarantine"
            " (path, day, rows, found_at_us, reason, checksum, min_at_us, max_at_us)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (f.path, f.day, f.rows, now_us, why, f.checksum, f.min_at_us, f.max_at_us)
                for f, why in damaged
            ],
        )


class Change:
    """Files on their way into the manifest and out of it: all of them become real, or none."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.pending: list[File] = []
        self.replaced: list[File] = []

    def write(
        self,
        cursor: duckdb.DuckDBPyConnection,
        day: str,
        copy: str,
        parameters: dict[str, Any],
        kind: str = "",
    ) -> None:
        """Add what `copy` writes, as `Store.prepare` does."""
        file = self.store.prepare(cursor, day, copy, parameters, kind)
        if file is not None:
            self.bring_in([file])

    def bring_in(self, prepared: Iterable[File]) -> None:
        """Add files that were prepared before."""
        for file in prepared:
            self.pending.append(file)  # first: what fails half-way is removed with the rest
            self.store.bring_in(file)

    def rewrite(self, cursor: duckdb.DuckDBPyConnection, file: File) -> None:
        """Replace a file by itself without the rows in the registered table `revised`.

        Raises:
            FileDamaged: its bytes changed; a copy would pass them off as good ones.
        """
        self.store.prove([file])
        copy = statement("rewrite_without").replace("{source}", quoted(self.store.full(file)))
        self.write(cursor, file.day, copy, {}, file.kind)
        self.replaced.append(file)

    def commit(self, also: Work[Any] = lambda _: None) -> None:
        """Make it real, in one transaction with `also`; raises as `Store.commit`."""
        self.store._commit([self], also)

    def commit_with(
        self, store: Store, removed: Sequence[File], also: Work[Any] = lambda _: None
    ) -> None:
        """Make it real in one transaction that strikes files of another store, too."""
        store.commit([], removed, also, beside=self)

    def take(self) -> list[File]:
        """The files to be listed, which are the store's from now on."""
        taken, self.pending = self.pending, []
        return taken


def day_of(moment_us: int) -> str:
    """The UTC day a moment belongs to, as it names a partition."""
    return (EPOCH + timedelta(days=moment_us // DAY_US)).strftime("%Y-%m-%d")


def start_of(day: str) -> int:
    """The moment at which a partition's day begins."""
    return to_us(datetime.fromisoformat(f"{day}T00:00:00+00:00"))
