"""Whether everything the node holds is what was written, and mending what is not.

Each finding is a line for an operator: what it is about, what is wrong, what was done about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import apsw
import duckdb
import msgspec

from urbanos_edge.batch import unpack
from urbanos_edge.clock import to_rfc3339
from urbanos_edge.database import Database
from urbanos_edge.engine import Engine, EngineClosed, quoted, statement
from urbanos_edge.errors import DiskFull, EdgeError, OutOfMemory
from urbanos_edge.hours.hours import FINAL, Hours
from urbanos_edge.ingest.spool import Spool, count
from urbanos_edge.progress import Tell
from urbanos_edge.rollup.rollup import Rollup
from urbanos_edge.store.changed import hours_between, mark
from urbanos_edge.store.flush import Mover
from urbanos_edge.store.integrity import Checksum, checksum_of
from urbanos_edge.store.manifest import (
    READINGS,
    File,
    Quarantined,
    forget,
    lost_hours,
    quarantined,
)
from urbanos_edge.store.store import QUARANTINE, Store, day_of

Rescue = Callable[[Checksum, Path], bool]
"""Brings the file of that checksum from a backup to a path, if there is one."""
_READINGS_ASIDE: Final = (
    f"SELECT coalesce(sum(rows), 0) FROM quarantine WHERE path LIKE '{READINGS.folder}/%'"
)
_SPOOL_STEP: Final = 10_000
_FACTS: Final = (
    ("rows", "readings"),
    ("min_at_us", "first moment"),
    ("max_at_us", "last moment"),
    ("max_received_us", "last arrival"),
    *((name, "bounding box") for name in ("min_lng", "min_lat", "max_lng", "max_lat")),
)


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong, and how it was mended if it was."""

    part: str
    subject: str
    message: str
    repaired: str | None = None


class Report(msgspec.Struct):
    """What a check looked at and what it found."""

    files: int = 0
    readings: int = 0
    waiting: int = 0
    checksums_added: int = 0
    findings: list[Finding] = msgspec.field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong any more."""
        return all(finding.repaired is not None for finding in self.findings)


class Check:
    """One run over a node's data. Everything here blocks; give it a thread of its own."""

    def __init__(
        self,
        database: Database,
        store: Store,
        hours: Hours,
        engine: Engine,
        spool: Spool,
        *,
        repair: bool,
    ) -> None:
        self._database = database
        self._store = store
        self._hours = hours
        self._engine = engine
        self._spool = spool
        self._repair = repair
        self.report = Report()
        self.damaged = 0
        """Files whose readings cannot be trusted."""

    def run(self, tell: Tell) -> None:
        """Look at the database, the spool and every file; the caller then compares the rollup."""
        tell(0.0, "checking the database")
        self._check_database()
        self._check_spool()
        days = sorted({file.day for file in self._store.files})
        for number, day in enumerate(days):
            tell(0.05 + 0.7 * number / len(days), f"checking {day}")
            self._check_day(day)
        self._check_aggregates(tell)

    def _check_aggregates(self, tell: Tell) -> None:
        """Whether every file of hourly aggregates is whole and says what the readings say."""
        store = self._hours.store
        files = store.files
        damaged = [(file, why) for file in files if (why := store.fault(file, thorough=True))]
        for file, reason in damaged:
            mended = "its hours are counted anew" if self._repair else None
            self._find("file", file.path, f"{reason}; hourly aggregates", mended)
        self.damaged += len(damaged)
        if damaged and self._repair:
            store.set_aside(damaged)
        elif damaged:
            return
        days = sorted({file.day for file in self._store.files})
        for number, day in enumerate(days):
            tell(0.75 + 0.2 * number / len(days), f"comparing the aggregates of {day}")
            self._compare_aggregates(day)

    def _compare_aggregates(self, day: str) -> None:
        different = self._hours.differing(day)
        if different:
            mended = "counted anew from the readings" if self._repair else None
            message = f"differ from the readings in {len(different)} hours"
            self._find("aggregates", day, message, mended)
        if different and self._repair:
            self._hours.recount(different)

    def compare_rollup(self, rollup: Rollup, now_us: int) -> None:
        """Count the window anew; call it while nothing is flushed."""
        different = rollup.differences()
        if not different:
            return
        if self._repair:
            rollup.reload(now_us)
        mended = "counted anew from the store" if self._repair else None
        self._find("rollup", "last 24 h", f"differs from the store at {different:,} sites", mended)

    def check_totals(self) -> None:
        """What was ever stored is in the store, set aside, given up or expired."""
        connection = self._database.read()
        rows: list[Any] = connection.execute("SELECT outcome, readings FROM totals").fetchall()
        known = dict(rows)
        held = connection.execute("SELECT coalesce(sum(rows), 0) FROM files").get
        aside = connection.execute(_READINGS_ASIDE).get
        gone = known.get("lost", 0) + known.get("expired", 0)
        if held + aside + gone != known.get("stored", 0):
            message = f"say {known.get('stored', 0):,} readings were stored; {held:,} are there,"
            self._find("totals", "of the node", f"{message} {aside:,} set aside, {gone:,} gone")

    def bring_back(self, mover: Mover, rescue: Rescue) -> None:
        """Look at files that are set aside or not listed, and list again what is intact."""
        for lost in quarantined(self._database.read()):
            mended = self._bring_back_lost(lost, rescue) if self._repair else None
            content = f"{lost.readings:,} readings" if lost.readings else "hourly aggregates"
            message = f"is set aside with {content} since"
            message += f" {to_rfc3339(lost.found_at_us)}: it {lost.reason}"
            self._find("quarantine", lost.path, message, mended)
        for path in self._unlisted():
            name = str(path.relative_to(self._store.directory))
            mended = self._bring_back_unlisted(path) if self._repair else None
            if mended or path in self._unlisted():  # else somebody listed or removed it meanwhile
                self._find("file", name, "lies in the partitions and is not listed", mended)
        mover.forget_marks()

    def _unlisted(self) -> list[Path]:
        with self._store.changing:
            return self._store.unlisted()

    def _find(self, part: str, subject: str, message: str, mended: str | None = None) -> None:
        self.report.findings.append(Finding(part, subject, message, mended))

    def _check_database(self) -> None:
        for (message,) in self._database.read().execute("PRAGMA integrity_check").fetchall():
            if message != "ok":
                self._find("database", "urbanos.sqlite", str(message))

    def _check_spool(self) -> None:
        after = 0
        while entries := self._spool.take(_SPOOL_STEP, after):
            after = entries[-1].seq
            for entry in entries:
                self.report.waiting += entry.readings
                try:
                    found = len(unpack([entry.payload]))
                except Exception as error:  # whatever garbage raises
                    self._find("spool", f"entry {entry.seq}", f"cannot be read: {error}")
                    continue
                if found != entry.readings:
                    message = f"holds {found} readings, {entry.readings} were noted"
                    self._find("spool", f"entry {entry.seq}", message)

    def _check_day(self, day: str) -> None:
        with self._store.hold(lambda file: file.day == day) as files:
            damaged = [(file, reason) for file in files if (reason := self._damage(file))]
            bad = {file.path for file, _ in damaged}
            intact = [file for file in files if file.path not in bad]
            for file in intact:
                self.report.files += 1
                self.report.readings += file.rows
            self._check_doubles(day, intact)
            self._add_checksums(intact)
        for file, reason in damaged:
            mended = "it is set aside" if self._repair else None
            self._find("file", file.path, f"{reason}; {file.rows:,} readings", mended)
        self.damaged += len(damaged)
        if damaged and self._repair:
            self._store.set_aside(damaged)

    def _damage(self, file: File) -> str | None:
        """What is wrong with the content of one file; what is merely out of order is noted."""
        reason = self._store.fault(file, thorough=True)
        if reason is not None:
            return reason
        try:
            with self._engine.cursor() as cursor:
                path = str(self._store.full(file))
                found = cursor.execute(statement("describe_file"), [path]).fetchone() or ()
                self._check_order(cursor, file)
        except (EngineClosed, OutOfMemory, DiskFull):
            raise  # the file is not to blame
        except (duckdb.Error, EdgeError) as error:
            return f"cannot be read: {str(error).splitlines()[0]}"
        for (name, word), value in zip(_FACTS, found, strict=True):
            if value != getattr(file, name):
                return f"has another {word} than the manifest says"
        return self._misplaced(file)

    def _misplaced(self, file: File) -> str | None:
        first, last = day_of(file.min_at_us), day_of(file.max_at_us)
        if first == last == file.day and file.path == READINGS.path_of(first, Path(file.path).name):
            return None
        return f"holds readings of {first} to {last} in the partition of another day"

    def _check_order(self, cursor: duckdb.DuckDBPyConnection, file: File) -> None:
        path = str(self._store.full(file))
        row = cursor.execute(statement("file_order"), [path]).fetchone()
        if row is not None and row[0]:
            self._find("file", file.path, f"has {row[0]:,} readings out of order")

    def _check_doubles(self, day: str, files: list[File]) -> None:
        if not files:
            return
        paths = [str(self._store.full(file)) for file in files]
        with self._engine.cursor() as cursor:
            row = cursor.execute(statement("doubled_identities"), {"files": paths}).fetchone()
        if row is not None and row[0]:
            self._find("day", day, f"holds {row[0]:,} readings more than once, such as {row[1]}")

    def _add_checksums(self, files: Iterable[File]) -> None:
        """Files of older versions have none; they were just read whole."""
        missing = [file for file in files if file.checksum is None]
        if missing:
            found = {file.path: checksum_of(self._store.full(file)) for file in missing}
            self._store.note_checksums(found)
            self.report.checksums_added += len(missing)

    def _bring_back_lost(self, lost: Quarantined, rescue: Rescue) -> str | None:
        aside = self._store.directory / QUARANTINE / Path(lost.path).name
        relist = self._relist_lost if lost.readings else self._relist_aggregates
        if aside.is_file() and _is_intact(aside, lost.checksum):
            return relist(aside, lost)
        if not lost.readings and not lost.path.endswith(f"-{FINAL}.parquet"):
            return self._count_anew(aside, lost)
        if lost.checksum is None:
            return None
        rescued = self._store.directory / ".tmp" / f"rescued-{Path(lost.path).name}"
        try:
            if rescue(lost.checksum, rescued):
                mended = relist(rescued, lost)
                aside.unlink(missing_ok=True)
                return mended and f"{mended}, from a backup"
        finally:
            rescued.unlink(missing_ok=True)
        return None

    def _relist_lost(self, source: Path, lost: Quarantined) -> str | None:
        return self._relist(source, lost.day, lost)

    def _relist_aggregates(self, source: Path, lost: Quarantined) -> str | None:
        try:
            self._hours.bring_back(source, lost)
        except (duckdb.Error, EdgeError, OSError):
            return None
        return "they are back"

    def _count_anew(self, aside: Path, lost: Quarantined) -> str:
        """Aggregates of readings that are there need no file from before."""
        self._hours.count_day(lost.day)
        self._database.write_and_wait(lambda connection: forget(connection, lost))
        aside.unlink(missing_ok=True)
        return "counted anew from the readings"

    def _bring_back_unlisted(self, path: Path) -> str | None:
        return self._relist(path, path.parent.name.removeprefix("created_date="), None)

    def _relist(self, source: Path, day: str, lost: Quarantined | None) -> str | None:
        """Write those readings of a file anew that the store lacks, and list them."""
        try:
            with (
                self._store.changing,
                self._engine.cursor() as cursor,
                self._store.change() as change,
            ):
                if lost is None and source not in self._store.unlisted():
                    raise EdgeError("the file is not unlisted any more")
                rows, shared = self._register_shared(cursor, source, day)
                copy = statement("rewrite_without").replace("{source}", quoted(source))
                change.write(cursor, day, copy, {})
                files = list(change.pending)
                change.commit(lambda work: self._settle(work, lost, rows - shared, files))
        except (duckdb.Error, EdgeError):
            return None
        with suppress(OSError):  # what is left of it is found again
            source.unlink(missing_ok=True)
        return f"{rows - shared:,} readings are back, {shared:,} were there already"

    def _register_shared(
        self, cursor: duckdb.DuckDBPyConnection, source: Path, day: str
    ) -> tuple[int, int]:
        """Make `revised` the identities that the day has already; return all rows and those.

        Raises:
            EdgeError: the file is of another day.
        """
        row = cursor.execute(statement("describe_file"), [str(source)]).fetchone()
        if row is None or not row[0] or {day_of(row[1]), day_of(row[2])} != {day}:
            raise EdgeError("the file is not of that day")
        paths = [str(self._store.full(file)) for file in self._store.files if file.day == day]
        shared: dict[str, Any] = {"sensor_id": [], "timestamp_us": []}
        if paths:
            query, bound = statement("shared_identities"), {"source": str(source), "files": paths}
            shared = cursor.execute(query, bound).fetchnumpy()
        cursor.execute("CREATE TEMP TABLE revised (sensor_id VARCHAR, timestamp_us BIGINT)")
        if len(shared["sensor_id"]):
            cursor.register("shared", shared)
            cursor.execute("INSERT INTO revised SELECT sensor_id, timestamp_us FROM shared")
        return row[0], len(shared["sensor_id"])

    @staticmethod
    def _settle(
        connection: apsw.Connection,
        lost: Quarantined | None,
        returned: int,
        files: Sequence[File],
    ) -> None:
        """What was lost is found: rows that came a second time meanwhile were counted twice."""
        if lost is not None:
            forget(connection, lost)
            count(connection, {"stored": returned - lost.rows})
        hours = {hour for file in files for hour in hours_between(file.min_at_us, file.max_at_us)}
        mark(connection, sorted(hours), 0)


def forget_lost(store: Store, database: Database, now_us: int) -> int:
    """Strike what is set aside for good, files and all; return how many readings that were.

    Whoever follows the hours is told that they are what is left of them.
    """

    def work(connection: apsw.Connection) -> list[Quarantined]:
        lost = quarantined(connection)
        mark(connection, sorted(lost_hours(connection)), now_us)
        connection.execute("DELETE FROM quarantine")
        count(connection, {"lost": sum(one.readings for one in lost)})
        return lost

    lost = database.write_and_wait(work)
    for one in lost:
        (store.directory / QUARANTINE / Path(one.path).name).unlink(missing_ok=True)
    return sum(one.readings for one in lost)


def verified(stores: Iterable[Store], after: str) -> Iterator[tuple[Store, File]]:
    """The live files with a checksum and their store, beginning after a path, once around."""
    files = [(store, file) for store in stores for file in store.files if file.checksum]
    yield from sorted(files, key=lambda item: (item[1].path <= after, item[1].path))


def _is_intact(path: Path, checksum: Checksum | None) -> bool:
    try:
        return checksum is not None and checksum_of(path) == checksum
    except OSError:
        return False
