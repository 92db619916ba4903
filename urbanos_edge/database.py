"""The SQLite file: one writer thread, durable group commits, readers of their own, migrations.

Whatever must become true in one moment is written by one `Work` function. Works that wait
together are committed together, each in a savepoint of its own: one fsync serves them all, and
one that fails takes nothing else with it. A work is answered only after the commit.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from urbanos_edge import schemas
from urbanos_edge.errors import DiskFull, EdgeError, StorageUnavailable, Unavailable
from urbanos_edge.slowness import Slowness

T = TypeVar("T")
Work = Callable[[apsw.Connection], T]

DATABASE_NAME: Final = "urbanos.sqlite"
"""The file in the data directory."""
MAX_WAITING: Final = 4096
"""Works that may wait for the writer; more are refused with 503."""
GROUP_SIZE: Final = 512
"""Works committed together at most, so that none waits for an endless group."""
BUSY_TIMEOUT_MS: Final = 5000
_PRAGMAS: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA journal_size_limit = 67108864;
"""


class Database:
    """One SQLite file, owned by this process."""

    def __init__(self, path: Path, slowness: Slowness | None = None) -> None:
        self._path = path
        self._slowness = slowness or Slowness(0)
        self._waiting: queue.Queue[tuple[Work[Any], Future[Any]] | None] = queue.Queue(MAX_WAITING)
        self._readers = threading.local()
        self._opened: list[tuple[threading.Thread, apsw.Connection]] = []
        self._lock = threading.Lock()
        self._submitting = threading.Lock()
        self._is_closed = False
        _check_rights(path)
        with translated():
            self._connection = self._connect()
            self._connection.execute(_PRAGMAS).fetchall()  # stops at the first row otherwise
            migrate(self._connection)
        self._writer = threading.Thread(target=self._write_forever, name="sqlite-writer")
        self._writer.start()

    async def write(self, work: Work[T]) -> T:
        """Run `work` in the writer thread and return its result once it is on the disk.

        Raises:
            Unavailable: too many works wait already, or it is closed.
            StorageUnavailable, DiskFull: the commit failed; nothing of `work` was kept.
        """
        return await asyncio.wrap_future(self._submit(work))

    def write_and_wait(self, work: Work[T]) -> T:
        """The same for a caller that runs in a thread of its own."""
        return self._submit(work).result()

    def read(self) -> apsw.Connection:
        """A read-only connection for the calling thread, closed with the database.

        Threads for blocking calls end when there is little to do, and others begin later: what
        those left open that have ended is closed first.

        Raises:
            Unavailable: it is closed.
        """
        connection: apsw.Connection | None = getattr(self._readers, "connection", None)
        if connection is None:
            connection = self._connect(apsw.SQLITE_OPEN_READONLY)
            self._slowness.watch(connection, self._path)
            with self._lock:
                self._check_open()
                self._readers.connection = connection
                self._close_left()
                self._opened.append((threading.current_thread(), connection))
        return connection

    def close(self) -> None:
        """Finish what waits, then close; the WAL is folded into the file.

        What comes later is refused: nobody would ever answer it.
        """
        with self._submitting:
            self._is_closed = True
        self._waiting.put(None)
        self._writer.join()
        with self._lock:
            for _, connection in self._opened:
                connection.close()
        self._connection.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise Unavailable("the node stops", code="stopping")

    def _close_left(self) -> None:
        alive = [one for one in self._opened if one[0].is_alive()]
        for left in self._opened:
            if left not in alive:
                left[1].close()
        self._opened = alive

    def _connect(self, mode: int = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE) -> Any:
        connection = apsw.Connection(str(self._path), flags=mode)
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        return connection

    def _submit(self, work: Work[T]) -> Future[T]:
        future: Future[T] = Future()
        try:
            with self._submitting:
                self._check_open()
                self._waiting.put_nowait((work, future))
        except queue.Full as error:
            raise Unavailable("the node is busy; try again", code="overloaded") from error
        return future

    def _write_forever(self) -> None:
        while (group := self._next_group()) is not None:
            self._commit(group)

    def _next_group(self) -> list[tuple[Work[Any], Future[Any]]] | None:
        first = self._waiting.get()
        if first is None:
            return None
        group = [first]
        while len(group) < GROUP_SIZE:
            try:
                following = self._waiting.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._waiting.put(None)
                break
            group.append(following)
        return group

    def _commit(self, group: list[tuple[Work[Any], Future[Any]]]) -> None:
        group = [item for item in group if item[1].set_running_or_notify_cancel()]
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with translated():
                self._connection.execute("BEGIN IMMEDIATE")
                for work, future in group:
                    outcomes.append((future, *self._attempt(work)))
                self._connection.execute("COMMIT")
        except BaseException as failure:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            outcomes = [(future, None, failure) for _, future in group]
        for future, result, error in outcomes:
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def _attempt(self, work: Work[Any]) -> tuple[Any, BaseException | None]:
        """Run one work in a savepoint; a failure of storage itself fails the whole group."""
        self._connection.execute("SAVEPOINT work")
        try:
            with translated():
                result = work(self._connection)
        except (StorageUnavailable, DiskFull):
            raise
        except Exception as error:
            self._connection.execute("ROLLBACK TO work; RELEASE work")
            return None, error
        self._connection.execute("RELEASE work")
        return result, None


def _check_rights(path: Path) -> None:
    """SQLite says no more than that it cannot open a file.

    Raises:
        StorageUnavailable: the user we run as may not read and write it, or its folder.
    """
    for needed in (path.parent, path):
        if needed.exists() and not os.access(needed, os.R_OK | os.W_OK):
            raise StorageUnavailable(
                f"{needed} may not be read and written; its owner may, or root"
            )


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLite's errors about disk and locks into the node's own."""
    try:
        yield
    except apsw.FullError as error:
        raise DiskFull("the disk is full; nothing was stored") from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StorageUnavailable("the database is locked; try again") from error
    except (apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError) as error:
        raise StorageUnavailable("the disk failed; nothing was stored") from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise StorageUnavailable("the database file is damaged", code="damaged") from error


def migrate(connection: apsw.Connection) -> None:
    """Bring the file up to the newest `migrations/edge/NNNN_*.sql`, each in its own transaction.

    A newer file that says that this version can read it stays as it is.

    Raises:
        EdgeError: a newer version of the node wrote the file and this one cannot read it, or a
            migration would lock out a version that may still come back.
    """
    scripts = _texts("up")
    version, newest, now_us = (
        connection.pragma("user_version"),
        len(scripts),
        time.time_ns() // 1000,
    )
    if not schemas.is_readable(connection, newest):
        raise EdgeError(
            f"the data is of schema {version}, newer than this version reads ({newest});"
            " install the newer version or restore a backup",
            code="data_newer_than_code",
        )
    for number, script in enumerate(scripts[version:], start=version + 1):
        with connection:
            schemas.keep_way_back(connection, script, now_us)
            connection.execute(script).fetchall()
            connection.pragma("user_version", number)
            schemas.note_readable(connection, number, scripts)
    schemas.note_use(connection, newest, now_us)


def roll_back(connection: apsw.Connection, version: int) -> None:
    """Bring the file back to schema `version`, so that the release that knew it can open it.

    What only the newer schemas could hold is lost. Each step has its own transaction; one that
    fails leaves the schema it began with.

    Raises:
        EdgeError: the file is of an older schema than that, or of one this version does not know.
    """
    scripts, current = _texts("down"), connection.pragma("user_version")
    if not 0 <= version <= current <= len(scripts):
        raise EdgeError(
            f"the data is of schema {current} and cannot be rolled back to {version};"
            f" this version knows the schemas up to {len(scripts)}",
            code="cannot_roll_back",
        )
    for number in range(current, version, -1):
        with connection:
            connection.execute(scripts[number - 1]).fetchall()
            connection.pragma("user_version", number - 1)


def newest_schema() -> int:
    """The schema that this version writes."""
    return len(_texts("up"))


def _texts(direction: str) -> list[str]:
    scripts = sorted(_migrations().glob(f"[0-9]*_*.{direction}.sql"))
    return [script.read_text(encoding="utf-8") for script in scripts]


def _migrations() -> Path:
    package = Path(str(files("urbanos_edge")))
    installed = package / "migrations" / "edge"
    return installed if installed.is_dir() else package.parent / "migrations" / "edge"
