"""Bringing a backup back: everything is compared in a directory beside, then the two change places.

Until that one rename the old state is untouched; afterwards it is kept under another name.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import secrets
import shutil
from pathlib import Path
from typing import Any, Final

import apsw
import duckdb

from urbanos_edge.audit import note_restored
from urbanos_edge.backup.backup import ALSO_KEPT, Catalogue, Shelf, nodes_in
from urbanos_edge.backup.targets import open_target
from urbanos_edge.clock import EPOCH
from urbanos_edge.database import DATABASE_NAME, newest_schema
from urbanos_edge.errors import EdgeError, NotFound
from urbanos_edge.progress import Tell
from urbanos_edge.rights import acting_as
from urbanos_edge.schemas import forget_uses, is_readable
from urbanos_edge.store.integrity import sync_path
from urbanos_edge.store.manifest import HOURS, READINGS
from urbanos_edge.store.steps import reached

_RUNTIME_FILES: Final = {"lock", "control.sock", ".tmp", "ballast"}
"""What a data directory holds that is not worth keeping."""
_FETCHED: Final = {
    *(DATABASE_NAME, f"{DATABASE_NAME}-wal", f"{DATABASE_NAME}-shm", f"{DATABASE_NAME}-journal"),
    *(*ALSO_KEPT, READINGS.folder, HOURS.folder, "tls"),
}
"""What a restore puts into a new directory; whose owner has used it, holds a `lock` besides."""
_RENAME_EXCHANGE: Final = 2
_AT_FDCWD: Final = -100
_SPARE_BYTES: Final = 64 << 20
_log = logging.getLogger(__name__)


class RestoreFailed(EdgeError):
    """The backup cannot be brought back; the old state is as it was."""

    code = "restore_failed"


def find_shelf(address: str, node_id: str | None) -> Shelf:
    """The backups of that node, or of the only one there.

    Raises:
        NotFound: there are none, or there are several nodes and none was named.
        TargetFailed: the place cannot be read.
    """
    if "://" not in address and not Path(address).is_dir():
        raise NotFound(f"there is no backup at {address}")
    target = open_target(address)
    nodes = nodes_in(target)
    if not nodes:
        raise NotFound(f"there is no complete backup at {address}")
    if node_id is None and len(nodes) > 1:
        raise NotFound(f"there are backups of several nodes; name one with --node: {nodes}")
    return Shelf(target, node_id or nodes[0])


def find_backup(address: str, node_id: str | None, name: str | None) -> tuple[Shelf, Catalogue]:
    """The backup of that name, or the newest; of that node, or the only one there.

    Raises:
        NotFound, TargetFailed: as `find_shelf`.
    """
    shelf = find_shelf(address, node_id)
    return shelf, shelf.catalogue(name)


def restore(
    shelf: Shelf, catalogue: Catalogue, data_dir: Path, now_us: int, tell: Tell
) -> Path | None:
    """Make `data_dir`, which the caller owns, what it was; return where its old state is kept.

    Root reads the backup and lets the directories change places. All else it does with the rights
    of the old state's owner, so that nobody who has become that user can lead it astray.

    Raises:
        RestoreFailed: the backup is not whole, or there is no room; nothing changed.
        TargetFailed: the backup cannot be read, or is damaged; nothing changed.
        EdgeError: it is restored, but the old state could not be given its name.
    """
    data_dir = data_dir.resolve()
    staging = data_dir.parent / f".{data_dir.name}.restoring"
    made: os.stat_result | None = None
    try:
        _clear(staging, data_dir, now_us)
        _check_room(data_dir.parent, catalogue)
        staging.mkdir(mode=0o700)
        made = staging.stat()
        _prepare(shelf, catalogue, staging, data_dir, now_us, tell)
        reached("restore compared")
        _swap(staging, data_dir)
    except BaseException as error:
        _remove_made(staging, made)
        if not isinstance(error, OSError):
            raise
        raise RestoreFailed(
            f"{data_dir} cannot be replaced: {error.strerror}; restore with --to elsewhere"
        ) from error
    reached("restore swapped")
    try:
        kept = _keep_old(staging, data_dir, now_us)
        sync_path(data_dir.parent)
    except OSError as error:
        raise EdgeError(
            f"{data_dir} is restored; its old state may still be in {staging}: {error.strerror}"
        ) from error
    tell(1.0, "restored")
    return kept


def _prepare(
    shelf: Shelf, catalogue: Catalogue, staging: Path, data_dir: Path, now_us: int, tell: Tell
) -> None:
    """Make an empty folder what the directory is to be, with its owner, and on the disk."""
    _fetch_all(shelf, catalogue, staging, tell)
    owner = (data_dir if data_dir.exists() else staging).stat()
    _hand_over(staging, owner)
    newest = newest_schema()  # read as root: the owner may not be let in where this program lies
    with acting_as(owner):
        _verify(staging, catalogue, newest, tell)
        _mark_restored(staging / DATABASE_NAME, catalogue.name, now_us)
        _take_over(staging, data_dir)
        staging.chmod(owner.st_mode & 0o7777)
        _sync_tree(staging)


def _clear(staging: Path, data_dir: Path, now_us: int) -> None:
    """Remove what a restore that was broken off has fetched; keep an old state that it left.

    A power cut between the exchange and the rename leaves that one there.
    """
    if not staging.is_dir():
        return
    if {path.name for path in staging.iterdir()} <= _FETCHED:
        shutil.rmtree(staging)
        return
    kept = _keep_old(staging, data_dir, now_us)
    if kept is not None:
        _log.warning("an earlier restore was broken off; the state before it is in %s", kept)


def _remove_made(staging: Path, made: os.stat_result | None) -> None:
    """Remove the folder that was made, unless the old state has its name by now."""
    if made is not None and staging.is_dir() and os.path.samestat(staging.stat(), made):
        shutil.rmtree(staging, ignore_errors=True)


def unpack(shelf: Shelf, catalogue: Catalogue, folder: Path, tell: Tell) -> None:
    """Make a new folder what the backed up directory was, and compare it with the catalogue.

    Raises:
        RestoreFailed: the backup is not whole.
        TargetFailed: it cannot be read, or is damaged.
    """
    folder.mkdir(mode=0o700)
    _fetch_all(shelf, catalogue, folder, tell)
    _verify(folder, catalogue, newest_schema(), tell)


def _check_room(parent: Path, catalogue: Catalogue) -> None:
    parent.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(parent).free, catalogue.bytes + _SPARE_BYTES
    if free < needed:
        raise RestoreFailed(
            f"a restore needs {needed >> 20} MiB beside the old state, {free >> 20} MiB are free"
        )


def _fetch_all(shelf: Shelf, catalogue: Catalogue, staging: Path, tell: Tell) -> None:
    """Copy all that a backup holds into an empty folder."""
    done = 0
    for kept in catalogue.files:
        if Path(kept.path).is_absolute() or ".." in Path(kept.path).parts:
            raise RestoreFailed(f"the catalogue names a file outside the directory: {kept.path}")
        tell(0.9 * done / max(catalogue.bytes, 1), f"restoring {kept.path}")
        shelf.fetch(kept, staging / kept.path)
        reached("file fetched")
        done += kept.bytes


def _hand_over(staging: Path, owner: os.stat_result) -> None:
    """Give a folder to the owner of the old state, itself last: until then nobody else comes in."""
    if os.geteuid() == 0:
        for path in (*staging.rglob("*"), staging):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _verify(staging: Path, catalogue: Catalogue, newest: int, tell: Tell) -> None:
    """Hold the restored files against the restored manifest, and both against the catalogue."""
    tell(0.9, "comparing the restored node with the catalogue")
    connection = apsw.Connection(str(staging / DATABASE_NAME))
    try:
        found = connection.execute("PRAGMA integrity_check").fetchall()
        if found != [("ok",)]:
            raise RestoreFailed(f"the restored database is damaged: {found[0][0]}")
        if not is_readable(connection, newest):
            schema = connection.pragma("user_version")
            raise RestoreFailed(
                f"the backup is of schema {schema}, newer than this version reads"
                f" ({newest}); install the newer version"
            )
        stored = connection.execute("SELECT coalesce(sum(rows), 0) FROM files").get
        listed = _listed_rows(connection)
        waiting = connection.execute("SELECT coalesce(sum(readings), 0) FROM spool").get
    finally:
        connection.close()
    if stored != catalogue.readings or waiting != catalogue.waiting:
        raise RestoreFailed("the restored database holds other counts than the catalogue says")
    if _rows_in(staging, list(listed)) != listed:
        raise RestoreFailed("a restored file holds another number of rows than its manifest says")


def _listed_rows(connection: apsw.Connection) -> dict[str, int]:
    """Rows by path of all listed files; an older version had no table for aggregates."""
    known = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    tables = [layout.table for layout in (READINGS, HOURS) if layout.table in known]
    query = " UNION ALL ".join(f"SELECT path, rows FROM {table}" for table in tables)
    rows: list[Any] = connection.execute(query).fetchall()
    return dict(rows)


def _rows_in(staging: Path, paths: list[str]) -> dict[str, int]:
    """Rows by path, from the files' own footers."""
    missing = [path for path in paths if not (staging / path).is_file()]
    if missing:
        raise RestoreFailed(f"the backup lacks {missing[0]}")
    if not paths:
        return {}
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT file_name, num_rows FROM parquet_file_metadata(?)",
            [[str(staging / path) for path in paths]],
        ).fetchall()
    return {str(Path(name).relative_to(staging)): rows for name, rows in found}


def _mark_restored(database: Path, name: str, now_us: int) -> None:
    """A new epoch: who pulls changes by cursor learns that history may have gone back.

    So does who reads the audit log: what was done since the backup is in the old state only.
    """
    connection = apsw.Connection(str(database))
    try:
        connection.execute(
            "INSERT OR REPLACE INTO node VALUES ('epoch', ?), ('restored_at_us', ?)",
            (secrets.token_hex(4), str(now_us)),
        )
        note_restored(connection, name, now_us)
        forget_uses(connection)
    finally:
        connection.close()


def _take_over(staging: Path, data_dir: Path) -> None:
    """Keep what no backup brings: settings, and whom devices trust."""
    settings, tls = data_dir / "urbanos.toml", data_dir / "tls"
    try:
        if settings.is_file() and not (staging / settings.name).exists():
            shutil.copy2(settings, staging / settings.name)
        if tls.is_dir():
            shutil.copytree(tls, staging / tls.name)
    except OSError as error:  # of copytree it is a list of all that failed
        raise RestoreFailed(
            f"{settings.name} or {tls.name}/ in {data_dir} cannot be copied by its owner"
            f" ({error.strerror or error}); mend or remove it, or restore with --to elsewhere"
        ) from error


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        sync_path(path)
    sync_path(folder)


def _swap(staging: Path, data_dir: Path) -> None:
    """Let two directories change names in one step."""
    if not data_dir.exists():
        staging.rename(data_dir)
    else:
        _exchange(staging, data_dir)


def _exchange(first: Path, second: Path) -> None:
    """renameat2(RENAME_EXCHANGE), or three renames where the filesystem does not know it."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = (os.fsencode(first), os.fsencode(second))
    arguments = (_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
    if hasattr(libc, "renameat2") and libc.renameat2(*arguments) == 0:
        return
    number = ctypes.get_errno()
    if number not in (0, errno.EINVAL, errno.ENOSYS):
        raise OSError(number, os.strerror(number))
    beside = second.with_name(f".{second.name}.leaving")
    second.rename(beside)
    try:
        first.rename(second)
    except BaseException:
        beside.rename(second)
        raise
    beside.rename(first)


def _keep_old(old: Path, data_dir: Path, now_us: int) -> Path | None:
    """Give the old state a name, or remove it when there was none."""
    if not old.exists():
        return None
    if not {path.name for path in old.iterdir()} - _RUNTIME_FILES:
        shutil.rmtree(old)
        return None
    moment = EPOCH.fromtimestamp(now_us / 1e6, EPOCH.tzinfo).strftime("%Y%m%dT%H%M%SZ")
    kept, number = data_dir.with_name(f"{data_dir.name}.before-{moment}"), 1
    while kept.exists():
        number += 1
        kept = data_dir.with_name(f"{data_dir.name}.before-{moment}-{number}")
    old.rename(kept)
    return kept
