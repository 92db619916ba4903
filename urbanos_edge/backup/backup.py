"""Backups of a node that goes on writing, several in one place, each file there only once.

A backup is a copy of the SQLite file, the immutable files its manifest lists, and a catalogue that
names them all by size and checksum. The catalogue is written last: without it there is no backup.
Objects are named by their checksum, so what an earlier backup brought is not copied again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
import apsw
import msgspec

from urbanos_edge import __version__
from urbanos_edge.backup.targets import Target, TargetFailed
from urbanos_edge.clock import EPOCH, to_rfc3339
from urbanos_edge.database import DATABASE_NAME, Database
from urbanos_edge.errors import EdgeError, NotFound
from urbanos_edge.progress import Tell
from urbanos_edge.store.integrity import Checksum, checksum_of, new_hash
from urbanos_edge.store.manifest import HOURS, READINGS
from urbanos_edge.store.store import Store

FORMAT: Final = 1
ALSO_KEPT: Final = ("basemap.mbtiles", "basemap.pmtiles", "urbanos.toml")
"""Files beside database and readings that make a new box the same as the old one."""
_COPY_PAGES: Final = 4096


class Kept(msgspec.Struct, frozen=True):
    """One file of a backup: its path in the data directory, and the object that holds it."""

    path: str
    bytes: int
    checksum: str


class Catalogue(msgspec.Struct, frozen=True):
    """What one backup holds: `readings` in the store and `waiting` in the spool."""

    format: int
    name: str
    node_id: str
    made_at_us: int
    version: str
    schema: int
    readings: int
    waiting: int
    files: list[Kept]

    @property
    def bytes(self) -> int:
        return sum(kept.bytes for kept in self.files)


@dataclass(frozen=True, slots=True)
class Copied:
    """What a backup brought to its place, of all that it holds."""

    catalogue: Catalogue
    files: int
    bytes: int


class Backups:
    """How the backups of a running node stand."""

    def __init__(self) -> None:
        self.making = anyio.Lock()
        """Held by the one that is being made."""
        self.failure: str | None = None
        """Why the last of those that go to `backup_target` by themselves or by request failed."""
        self.progress: float | None = None
        """How far such a one is, from 0 to 1; None: none is being made."""
        self.unproven: dict[str, list[str]] = {}
        """By place those of this process that should have been proven and were not."""
        self._asked = anyio.Event()

    def ask(self) -> None:
        """Have one made now, unless one is under way."""
        if self.progress is None:
            self.progress = 0.0
            self._asked.set()

    async def wait_for_request(self, at_most_s: float) -> bool:
        """Whether one was asked for within this time; returns as soon as it is."""
        with anyio.move_on_after(at_most_s):
            await self._asked.wait()
        was_asked = self._asked.is_set()
        self._asked = anyio.Event()
        return was_asked


class _FileChanged(EdgeError):
    """A listed file is gone or damaged; it was set aside and the backup begins anew."""


class Shelf:
    """The backups of one node in a target."""

    def __init__(self, target: Target, node_id: str) -> None:
        self._target = target
        self._node_id = node_id

    def make(self, stores: Sequence[Store], database: Database, now_us: int, tell: Tell) -> Copied:
        """Back up a node's database and stores as they are now; it may go on writing.

        Raises:
            TargetFailed: the place cannot be written; earlier backups there are whole.
        """
        while True:
            try:
                return self._attempt(stores, database, now_us, tell)
            except _FileChanged:
                continue  # each time one file fewer is listed

    def names(self) -> list[str]:
        """All backups that are complete, oldest first.

        Those of days to come were made by a clock that was ahead: before all others, so that none
        of them is taken for the newest.
        """
        keys = self._target.sizes(f"{self._node_id}/backups")
        names = (Path(key).stem for key in keys if key.endswith(".json"))
        now = _name(time.time_ns() // 1000, ())
        return sorted(names, key=lambda name: (name <= now, name))

    def catalogue(self, name: str | None = None) -> Catalogue:
        """The catalogue of a backup, the newest when none is named.

        Raises:
            NotFound: there is none.
            TargetFailed: it cannot be read.
        """
        names = self.names()
        if not names or (name is not None and name not in names):
            raise NotFound(f"there is no backup {name or 'of this node'} there")
        raw = self._target.get_bytes(self._catalogue_key(name or names[-1]))
        try:
            found = msgspec.json.decode(raw, type=Catalogue)
        except msgspec.DecodeError as error:
            raise TargetFailed(f"the catalogue of {name or names[-1]} is damaged") from error
        if found.format > FORMAT:
            raise TargetFailed("a newer version made this backup; install that version")
        return found

    def fetch(self, kept: Kept, destination: Path) -> None:
        """Copy a file of a backup to `destination` and compare it.

        Raises:
            TargetFailed: it is not there, or is not what was put there.
        """
        destination.parent.mkdir(parents=True, exist_ok=True)
        self._target.get(self._object_key(kept.checksum), destination)
        if checksum_of(destination).hex() != kept.checksum:
            raise TargetFailed(f"the backup's copy of {kept.path} is damaged", code="damaged")

    def discard_damaged(self, catalogue: Catalogue) -> None:
        """Remove objects that are not what they are named, so that the next backup brings them.

        Only what was read to its end can be told to be damaged: a place that does not answer may
        hold good copies.

        Raises:
            TargetFailed: an object cannot be read; it stays, and so do those after it.
        """
        there = self._target.sizes(f"{self._node_id}/objects")
        for checksum in {kept.checksum for kept in catalogue.files}:
            key = self._object_key(checksum)
            if key in there and self._checksum(key) != checksum:
                self._target.delete([key])

    def withdraw(self, names: Sequence[str]) -> None:
        """Remove backups; what only they held goes when the next are pruned."""
        self._target.delete([self._catalogue_key(name) for name in names])

    def prune(self, keep: int) -> int:
        """Keep the newest backups only, and of the objects what these name; return how many went.

        Nothing is removed while a catalogue that stays cannot be read.
        """
        names = self.names()
        catalogues = [self.catalogue(name) for name in names[-keep:]]
        wanted = {self._object_key(file.checksum) for one in catalogues for file in one.files}
        gone = names[:-keep]
        self.withdraw(gone)
        objects = self._target.sizes(f"{self._node_id}/objects")
        self._target.delete([key for key in objects if key not in wanted])
        return len(gone)

    def _checksum(self, key: str) -> str:
        found = new_hash()
        for piece in self._target.pieces(key):
            found.update(piece)
        return found.hexdigest()

    def _attempt(
        self, stores: Sequence[Store], database: Database, now_us: int, tell: Tell
    ) -> Copied:
        temporary = stores[0].directory / ".tmp" / "backup.sqlite"
        temporary.unlink(missing_ok=True)
        try:
            with ExitStack() as held:
                for store in stores:
                    held.enter_context(store.hold(lambda _: True))
                tell(0.0, "copying the database")
                _copy_database(database.read(), temporary)
                return self._bring(stores, temporary, now_us, tell)
        finally:
            temporary.unlink(missing_ok=True)

    def _bring(self, stores: Sequence[Store], copy: Path, now_us: int, tell: Tell) -> Copied:
        listed, facts = _read_copy(copy)
        directory = stores[0].directory
        there = self._target.sizes(f"{self._node_id}/objects")
        sources = [(path, directory / path, checksum) for path, checksum in listed]
        sources += [
            (name, directory / name, None) for name in ALSO_KEPT if (directory / name).is_file()
        ]
        sources.append((DATABASE_NAME, copy, None))
        kept, files, bytes_ = [], 0, 0
        for number, (path, source, checksum) in enumerate(sources):
            tell(number / len(sources), f"backing up {path}")
            one, is_new = self._keep(stores, path, source, checksum, there)
            kept.append(one)
            files, bytes_ = files + is_new, bytes_ + is_new * one.bytes
        name = _name(now_us, self.names())
        catalogue = Catalogue(FORMAT, name, self._node_id, now_us, __version__, *facts, kept)
        self._target.put_bytes(self._catalogue_key(name), msgspec.json.encode(catalogue))
        tell(1.0, "backed up")
        return Copied(catalogue, files, bytes_)

    def _keep(
        self,
        stores: Sequence[Store],
        path: str,
        source: Path,
        checksum: Checksum | None,
        there: dict[str, int],
    ) -> tuple[Kept, bool]:
        """Bring one file unless it is there; return it and whether it was brought."""
        try:
            size = source.stat().st_size
            if checksum is not None:
                key = self._object_key(checksum.hex())
                if there.get(key) == size:
                    return Kept(path, size, checksum.hex()), False
            found = checksum_of(source)
        except OSError as error:
            _set_aside(stores, path, f"cannot be read: {error.strerror}")
            raise _FileChanged(f"{path} cannot be read") from error
        if checksum is not None and found != checksum:
            _set_aside(stores, path, "holds other bytes than were written")
            raise _FileChanged(f"{path} is damaged")
        kept, key = Kept(path, size, found.hex()), self._object_key(found.hex())
        is_new = there.get(key) != size
        if is_new:
            self._target.put(key, source)
            there[key] = size
        return kept, is_new

    def _catalogue_key(self, name: str) -> str:
        return f"{self._node_id}/backups/{name}.json"

    def _object_key(self, checksum: str) -> str:
        return f"{self._node_id}/objects/{checksum[:2]}/{checksum}"


def nodes_in(target: Target) -> list[str]:
    """The nodes that have a backup in a target."""
    keys = [key.split("/") for key in target.sizes("")]
    return sorted({parts[0] for parts in keys if len(parts) == 3 and parts[1] == "backups"})


def note_backup(connection: apsw.Connection, address: str, catalogue: Catalogue) -> None:
    """Remember a backup, as part of a larger work; the newest hundred are kept."""
    connection.execute(
        "INSERT OR REPLACE INTO backups (name, target, made_at_us, readings, bytes)"
        " VALUES (?, ?, ?, ?, ?)",
        (
            catalogue.name,
            address,
            catalogue.made_at_us,
            catalogue.readings + catalogue.waiting,
            catalogue.bytes,
        ),
    )
    connection.execute(
        "DELETE FROM backups WHERE made_at_us <"
        " (SELECT min(made_at_us) FROM (SELECT made_at_us FROM backups"
        " ORDER BY made_at_us DESC LIMIT 100))"
    )


def note_proof(connection: apsw.Connection, address: str, name: str, now_us: int) -> None:
    """Remember that a backup was restored and compared, as part of a larger work."""
    connection.execute(
        "UPDATE backups SET proven_at_us = ? WHERE target = ? AND name = ?", (now_us, address, name)
    )


def last_backups(connection: apsw.Connection, now_us: int) -> dict[str, object]:
    """When the last backup was made and the last one proven, and what that holds.

    What a clock that was ahead has dated to days to come tells nothing of today.
    """
    made = connection.execute(
        "SELECT max(made_at_us) FROM backups WHERE made_at_us <= ?", (now_us,)
    ).get
    proven: list[Any] = connection.execute(
        "SELECT name, readings, proven_at_us FROM backups WHERE proven_at_us <= ?"
        " ORDER BY proven_at_us DESC LIMIT 1",
        (now_us,),
    ).fetchall()
    name, readings, proven_at_us = proven[0] if proven else (None, None, None)
    return {
        "last_at": None if made is None else to_rfc3339(made),
        "last_proven_at": None if proven_at_us is None else to_rfc3339(proven_at_us),
        "proven_name": name,
        "proven_readings": readings,
    }


def _set_aside(stores: Sequence[Store], path: str, reason: str) -> None:
    """Take a damaged file out of its manifest; a file of another kind stops the backup."""
    for store in stores:
        if store.holds(path):
            store.set_aside([(file, reason) for file in store.files if file.path == path])
            return
    raise EdgeError(f"{path} {reason}")


def _copy_database(source: apsw.Connection, destination: Path) -> None:
    """Copy the SQLite file as of one moment; the transaction keeps writers from restarting it."""
    copy = apsw.Connection(str(destination))
    source.execute("BEGIN")
    try:
        source.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(_COPY_PAGES)
    finally:
        source.execute("ROLLBACK")
        copy.close()


def _read_copy(copy: Path) -> tuple[list[tuple[str, Checksum | None]], tuple[int, int, int]]:
    """The files a copied database lists, and its schema, stored and waiting readings."""
    connection = apsw.Connection(str(copy))
    try:
        query = " UNION ALL ".join(
            f"SELECT path, checksum FROM {layout.table}" for layout in (READINGS, HOURS)
        )
        listed: list[Any] = connection.execute(query).fetchall()
        schema = connection.pragma("user_version")
        stored = connection.execute("SELECT coalesce(sum(rows), 0) FROM files").get
        waiting = connection.execute("SELECT coalesce(sum(readings), 0) FROM spool").get
        # One file, without a log beside it, so that the copy is all there is.
        connection.pragma("journal_mode", "delete")
        if 4 * connection.pragma("freelist_count") > connection.pragma("page_count"):
            connection.execute("VACUUM")  # where a full spool once was
    finally:
        connection.close()
    return listed, (schema, stored, waiting)


def _name(now_us: int, taken: Sequence[str]) -> str:
    """A name that sorts by time, such as `20261123T181500Z`."""
    moment = EPOCH.fromtimestamp(now_us / 1e6, EPOCH.tzinfo)
    name = moment.strftime("%Y%m%dT%H%M%S.%fZ")
    return name if name not in taken else f"{name}-2"
