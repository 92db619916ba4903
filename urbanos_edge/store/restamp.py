"""Move what a clock in doubt stamped to where it belongs, once the clock is set.

The rows change their time and with it, perhaps, their day; files that held them are written anew
without them; all of it becomes real in one transaction.
"""

from __future__ import annotations

from typing import Final

import apsw
import duckdb
import msgspec
import numpy as np

from urbanos_edge import aqi
from urbanos_edge.batch import Batch, from_columns
from urbanos_edge.clock import Correction, Doubt, boot_id
from urbanos_edge.database import Database, translated
from urbanos_edge.engine import Engine, statement
from urbanos_edge.quality.corrections import Corrections
from urbanos_edge.quality.grading import grade
from urbanos_edge.store.changed import hours_of, mark
from urbanos_edge.store.damage import again_without_damage
from urbanos_edge.store.flush import identities, write_by_day
from urbanos_edge.store.store import Change, Store

_DOUBT: Final = "clock_doubt"
_OWED: Final = "clock_corrections"


class _Kept(msgspec.Struct):
    """A doubt as it is written down: it only means something within its boot."""

    boot_id: str
    doubt: Doubt


def restamp(
    store: Store,
    engine: Engine,
    standard: aqi.Standard,
    corrections: Corrections,
    correction: Correction,
    stored_us: int,
) -> int:
    """Shift the rows that were stamped in doubt and free them of the flag; return how many.

    Raises:
        StorageUnavailable, DiskFull: nothing was moved.
    """
    return again_without_damage(
        store,
        lambda file: file.max_received_us >= correction.since_us,
        lambda: _restamp_once(store, engine, standard, corrections, correction, stored_us),
    )


def _restamp_once(
    store: Store,
    engine: Engine,
    standard: aqi.Standard,
    corrections: Corrections,
    correction: Correction,
    stored_us: int,
) -> int:
    with store.changing, engine.cursor() as cursor, store.change() as change:
        rows, batch = _take_out(store, cursor, change, correction)
        if not rows:
            return 0
        before_us = batch["timestamp_us"]
        batch.columns["timestamp_us"] = before_us + correction.shift_us
        batch.columns["received_us"] = batch["received_us"] + correction.shift_us
        batch = corrections.correct(batch)
        grade(standard, batch)
        write_by_day(cursor, change, batch, standard.grading, stored_us)
        hours = {*hours_of(before_us), *hours_of(batch["timestamp_us"])}
        change.commit(lambda work: mark(work, sorted(hours), stored_us))
    return rows


def known_doubt(database: Database) -> Doubt | None:
    """The doubt that an earlier process of this boot wrote down."""
    query = "SELECT value FROM node WHERE name = ?"
    with translated():
        row = database.read().execute(query, (_DOUBT,)).fetchone()
    if row is None:
        return None
    kept = msgspec.json.decode(row[0], type=_Kept)
    return kept.doubt if kept.boot_id == boot_id() else None


def remember_doubt(
    connection: apsw.Connection, doubt: Doubt | None, ended: Correction | None = None
) -> None:
    """Write a doubt down, or that there is none any more, as part of a larger work.

    What is to be mended of one that `ended` is written down with it, until `settle` strikes it
    out: it follows from nothing that is left.
    """
    kept = None if doubt is None else msgspec.json.encode(_Kept(boot_id(), doubt)).decode()
    _keep(connection, _DOUBT, kept)
    if ended is not None:
        _keep_owed(connection, [*_owed(connection), ended])


def owed_corrections(database: Database) -> list[Correction]:
    """What is still to be mended, of this boot or an earlier one, in the order it was found."""
    with translated():
        return _owed(database.read())


def settle(connection: apsw.Connection, correction: Correction) -> None:
    """Note that it is mended."""
    _keep_owed(connection, [one for one in _owed(connection) if one != correction])


def _owed(connection: apsw.Connection) -> list[Correction]:
    row = connection.execute("SELECT value FROM node WHERE name = ?", (_OWED,)).fetchone()
    return [] if row is None else msgspec.json.decode(row[0], type=list[Correction])


def _keep_owed(connection: apsw.Connection, owed: list[Correction]) -> None:
    _keep(connection, _OWED, msgspec.json.encode(owed).decode() if owed else None)


def _keep(connection: apsw.Connection, name: str, value: str | None) -> None:
    connection.execute("DELETE FROM node WHERE name = ?", (name,))
    if value is not None:
        connection.execute("INSERT INTO node VALUES (?, ?)", (name, value))


def _take_out(
    store: Store, cursor: duckdb.DuckDBPyConnection, change: Change, correction: Correction
) -> tuple[int, Batch]:
    """Find the doubted rows and write their files anew without them."""
    bounds = {"since_us": correction.since_us, "until_us": correction.until_us}
    with store.lease(lambda file: file.max_received_us >= correction.since_us) as paths:
        if not paths:
            return 0, Batch([], {})
        query = statement("doubted_rows")
        found = cursor.execute(query, {"files": paths, **bounds}).fetchnumpy()
    filename = np.asarray(found["filename"]).astype(str)
    batch = from_columns(found)
    for path in np.unique(filename).tolist():
        cursor.register("revised", identities(batch.take(filename == path)))
        change.rewrite(cursor, store.file_at(path))
    return len(filename), batch
