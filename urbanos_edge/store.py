"""GeoParquet partitions and the manifest that says which files are real.

A file is written below `.tmp/`, counted, synced and renamed into its day, its folder synced too;
it becomes real when the transaction that lists it commits. Readers take their files from the
manifest, never from the folder, and hold a lease, so that a file that was replaced is unlinked
only after the last query that may still open it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import apsw
import duckdb
import msgspec

from urbanos_edge.clock import DAY_US, EPOCH
from urbanos_edge.database import Database, Work
from urbanos_edge.engine import Engine, quoted, statement
from urbanos_edge.errors import StorageUnavailable
from urbanos_edge.grid import Bounds
from urbanos_edge.steps import reached

READINGS: Final = "readings"
QUARANTINE: Final = "quarantine"
_MAGIC: Final = b"PAR1"


class File(msgspec.Struct, frozen=True):
    """One live file: `path` relative to the data directory, and what lies in it."""

    path: str
    day: str
    rows: int
    bytes: int
    min_at_us: int
    max_at_us: int
    max_received_us: int
    min_lng: float
    min_lat: float
    max_lng: float
    max_lat: float

    def meets(self, bounds: Bounds) -> bool:
        return (
            self.min_lng <= bounds.max_lng
            and self.max_lng >= bounds.min_lng
            and self.min_lat <= bounds.max_lat
            and self.max_lat >= bounds.min_lat
        )


class Quarantined(msgspec.Struct, frozen=True):
    """A file that was listed and cannot be read, set aside."""

    path: str
    day: str
    rows: int
    found_at_us: int
    reason: str


_COLUMNS: Final = ", ".join(File.__struct_fields__)
_PLACES: Final = ", ".join("?" * len(File.__struct_fields__))


class Store:
    """The partitions below `<directory>/readings`, and nothing else there."""

    def __init__(self, directory: Path, database: Database, engine: Engine) -> None:
        self._directory = directory
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
        self._files = _listed(database.read())
        (directory / READINGS).mkdir(parents=True, exist_ok=True)
        self._clear_temporary()
        self._recover()

    @property
    def files(self) -> Sequence[File]:
        """The live files, by path."""
        with self._lock:
            return list(self._files.values())

    def newest_at_us(self) -> int:
        """The latest moment of any stored reading, or the least integer when there is none."""
        return max((file.max_at_us for file in self.files), default=-(2**62))

    @contextmanager
    def lease(self, wanted: Callable[[File], bool]) -> Iterator[list[str]]:
        """Full paths of the live files that are wanted, all readable until the block ends."""
        with self._lock:
            generation = self._generation
            self._leases[generation] += 1
            paths = [str(self.full(file)) for file in self._files.values() if wanted(file)]
        try:
            yield paths
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
                (self._directory / file.path).unlink(missing_ok=True)

    def write(
        self, cursor: duckdb.DuckDBPyConnection, day: str, copy: str, parameters: dict[str, Any]
    ) -> File | None:
        """Run `copy`, a COPY to `{target}`, and bring its file into its day, durable, not listed.

        Returns None when there was nothing to write. Use a `Change`, which cleans up.

        Raises:
            StorageUnavailable: fewer rows arrived in the file than were written.
            DiskFull: no space.
        """
        self._temporary.mkdir(exist_ok=True)
        name = f"{time.time_ns():016x}-{secrets.token_hex(4)}.parquet"
        temporary = self._temporary / name
        written = cursor.execute(copy.replace("{target}", quoted(temporary)), parameters).fetchone()
        described = cursor.execute(statement("describe_file"), [str(temporary)]).fetchone()
        if written is None or described is None or written[0] != described[0]:
            raise StorageUnavailable("a file of the store holds fewer rows than were written")
        if not written[0]:
            temporary.unlink()
            return None
        path = f"{READINGS}/created_date={day}/{name}"
        size = temporary.stat().st_size
        self._bring_in(temporary, self._directory / path)
        return File(path, day, described[0], size, *described[1:])

    def commit(
        self, added: Sequence[File], removed: Sequence[File], also: Work[Any] = lambda _: None
    ) -> None:
        """List files and strike others in one transaction with `also`, then show readers.

        Raises:
            DiskFull, and what `also` raises: nothing changed.
            StorageUnavailable: nothing changed as far as this process sees; but a commit whose
                sync failed may come back after a crash, so the files stay until a later
                commit has taken its place in the log.
        """

        def work(connection: apsw.Connection) -> None:
            self._publish(connection, added, removed)
            also(connection)

        try:
            self._database.write_and_wait(work)
        except StorageUnavailable:
            self._doubtful += added
            raise
        reached("files listed")
        self._show(added, removed)
        for file in self._doubtful:
            (self._directory / file.path).unlink(missing_ok=True)
        self._doubtful = []

    def _publish(
        self, connection: apsw.Connection, added: Iterable[File], removed: Iterable[File]
    ) -> None:
        connection.executemany(
            "DELETE FROM files WHERE path = ?", [(file.path,) for file in removed]
        )
        connection.executemany(
            f"INSERT INTO files ({_COLUMNS}) VALUES ({_PLACES})",
            [msgspec.structs.astuple(file) for file in added],
        )

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

    def _bring_in(self, temporary: Path, target: Path) -> None:
        """Sync, rename, sync the folders: after this the file survives a power cut."""
        new_folder = not target.parent.exists()
        target.parent.mkdir(exist_ok=True)
        reached("file written")
        _sync(temporary)
        reached("file synced")
        os.rename(temporary, target)
        reached("file renamed")
        _sync(target.parent)
        if new_folder:
            _sync(target.parent.parent)
        reached("folder synced")

    def _unlink_retired(self) -> None:
        with self._lock:
            oldest = min(self._leases, default=self._generation)
            free = [file for generation, file in self._retired if generation <= oldest]
            self._retired = [item for item in self._retired if item[0] > oldest]
        for file in free:
            (self._directory / file.path).unlink(missing_ok=True)
            reached("file unlinked")

    def _clear_temporary(self) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir()

    def _recover(self) -> None:
        """Remove what no manifest row lists; set aside what is listed and cannot be read."""
        folder = self._directory / READINGS
        for path in folder.glob("created_date=*/*"):
            if str(path.relative_to(self._directory)) not in self._files:
                path.unlink()
        damaged = [(file, reason) for file in self._files.values() if (reason := self._fault(file))]
        if damaged:
            self._quarantine(damaged)

    def _fault(self, file: File) -> str | None:
        path = self._directory / file.path
        try:
            if path.stat().st_size != file.bytes:
                return f"has {path.stat().st_size} bytes, {file.bytes} were written"
            with path.open("rb") as stream:
                head = stream.read(len(_MAGIC))
                stream.seek(-len(_MAGIC), os.SEEK_END)
                return None if head == stream.read() == _MAGIC else "is no Parquet file any more"
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read: {error.strerror}"

    def _quarantine(self, damaged: list[tuple[File, str]]) -> None:
        now_us = time.time_ns() // 1000

        def work(connection: apsw.Connection) -> None:
            self._publish(connection, [], [file for file, _ in damaged])
            connection.executemany(
                "INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?, ?)",
                [(file.path, file.day, file.rows, now_us, reason) for file, reason in damaged],
            )

        self._database.write_and_wait(work)
        aside = self._directory / QUARANTINE
        aside.mkdir(exist_ok=True)
        for file, _ in damaged:
            del self._files[file.path]
            source = self._directory / file.path
            if source.exists():
                source.rename(aside / source.name)


class Change:
    """Files on their way into the manifest and out of it: all of them become real, or none."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.pending: list[File] = []
        self.replaced: list[File] = []

    def write(
        self, cursor: duckdb.DuckDBPyConnection, day: str, copy: str, parameters: dict[str, Any]
    ) -> None:
        """Add what `copy` writes, as `Store.write` does."""
        file = self._store.write(cursor, day, copy, parameters)
        if file is not None:
            self.pending.append(file)

    def rewrite(self, cursor: duckdb.DuckDBPyConnection, file: File) -> None:
        """Replace a file by itself without the rows in the registered table `revised`."""
        copy = statement("rewrite_without").replace("{source}", quoted(self._store.full(file)))
        self.write(cursor, file.day, copy, {})
        self.replaced.append(file)

    def commit(self, also: Work[Any] = lambda _: None) -> None:
        """Make it real, in one transaction with `also`; raises as `Store.commit`."""
        try:
            self._store.commit(self.pending, self.replaced, also)
        except StorageUnavailable:
            self.pending = []  # the store keeps them for now
            raise
        self.pending = []


def day_of(moment_us: int) -> str:
    """The UTC day a moment belongs to, as it names a partition."""
    return (EPOCH + timedelta(days=moment_us // DAY_US)).strftime("%Y-%m-%d")


def quarantined(connection: apsw.Connection) -> list[Quarantined]:
    """The files that were set aside, oldest finding first."""
    rows = connection.execute(
        "SELECT path, day, rows, found_at_us, reason FROM quarantine ORDER BY found_at_us, path"
    )
    return [Quarantined(*row) for row in rows]


def _listed(connection: apsw.Connection) -> dict[str, File]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM files ORDER BY path")
    return {row[0]: File(*row) for row in rows}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
