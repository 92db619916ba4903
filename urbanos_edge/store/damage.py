"""Reading past damage: a file that breaks a query is found, set aside, and the query run again.

A damaged file can also be read without any error: of 400 single flipped bits, DuckDB noticed 91
and gave other values for 218. Only the checksum tells, so whoever copies rows into a new file
compares it first, and a scrub compares every file in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import duckdb

from urbanos_edge.engine import Engine
from urbanos_edge.errors import StorageUnavailable
from urbanos_edge.store.manifest import File, FileDamaged
from urbanos_edge.store.store import Store

T = TypeVar("T")
Wanted = Callable[[File], bool]
SUSPICIOUS: Final = (duckdb.Error, StorageUnavailable)
"""What a damaged file may be behind."""


def read_intact(
    store: Store,
    engine: Engine,
    wanted: Wanted,
    work: Callable[[duckdb.DuckDBPyConnection, list[str]], T],
) -> T:
    """Run `work` on a cursor and the paths of the wanted files, again as often as one is set aside.

    Raises:
        StorageUnavailable, duckdb.Error: it failed although no file is damaged.
    """

    def attempt() -> T:
        with store.lease(wanted) as paths, engine.cursor() as cursor:
            return work(cursor, paths)

    return again_without_damage(store, wanted, attempt)


def again_without_damage(store: Store, wanted: Wanted, attempt: Callable[[], T]) -> T:
    """Return what `attempt` returns; when a damaged file is behind its failure, try without it."""
    while True:
        losses = store.losses
        try:
            return attempt()
        except SUSPICIOUS as error:
            if not has_lost(store, wanted, losses, error):
                raise


def has_lost(store: Store, wanted: Wanted, losses: int, error: Exception) -> bool:
    """Set aside the damaged files behind a failure of work that began at `store.losses`.

    Returns whether any was, by us or by somebody else meanwhile: then it is worth another try.
    """
    damaged = _damaged(store, wanted, error)
    if damaged:
        store.set_aside(damaged)
    return bool(damaged) or store.losses != losses


def _damaged(store: Store, wanted: Wanted, error: Exception) -> list[tuple[File, str]]:
    """The files behind a failure: the one it names, else those with a wrong size, else the rest."""
    if isinstance(error, FileDamaged):
        return [(error.file, error.reason)] if error.file in store.files else []
    if not isinstance(error, duckdb.Error) and not isinstance(error.__cause__, duckdb.Error):
        return []
    files = [file for file in store.files if wanted(file)]
    return _faults(store, files, thorough=False) or _faults(store, files, thorough=True)


def _faults(store: Store, files: list[File], *, thorough: bool) -> list[tuple[File, str]]:
    found: list[tuple[File, Any]] = [(file, store.fault(file, thorough=thorough)) for file in files]
    return [(file, reason) for file, reason in found if reason is not None]
