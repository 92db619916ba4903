"""Hourly aggregates on disk: what history, charts and the centre are answered from.

Per sensor, cell of the finest zoom and hour; see `sql/hourly_aggregates.sql` for the columns. An
hour that is marked as changed is counted anew from its readings, never added to, so that late,
corrected and moved readings are exact and a crash costs nothing but the counting. What is asked
of an hour that is still marked is counted from its readings there and then.

When the readings of a day expire, its aggregates become final. What arrives for it after that
counts only for sensors that have nothing final in that hour: a repetition could not be told apart.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import duckdb
import msgspec
import numpy as np

from urbanos_edge.clock import DAY_US, HOUR_US, SECOND_US, Clock
from urbanos_edge.database import Database, Work, translated
from urbanos_edge.engine import Engine, quoted, statement
from urbanos_edge.store import revisions
from urbanos_edge.store.changed import Changed, changed_hours, hours_between, mark, settle
from urbanos_edge.store.damage import again_without_damage
from urbanos_edge.store.integrity import sync_path
from urbanos_edge.store.manifest import HOURS, File, Quarantined, forget, lost_hours
from urbanos_edge.store.store import Change, Store, day_of, start_of

QUIET_US: Final = 120 * SECOND_US
"""An hour is counted when nothing changed in it for this long,"""
WAITS_US: Final = HOUR_US
"""or when it has waited this long."""
GATHER_AFTER_US: Final = 2 * HOUR_US
"""The files of a day become one this long after its end."""
FINAL: Final = "final"
"""What the name of a file with aggregates whose readings are gone says."""
_FINAL_FILES: Final = f"%-{FINAL}.parquet"


T = TypeVar("T")
Cursor = duckdb.DuckDBPyConnection
Expired = Callable[[apsw.Connection, Sequence[File]], None]


@dataclass(frozen=True, slots=True)
class Source:
    """What answers for some hours: a file of aggregates, or the readings, or both.

    `fresh` hours are counted from their readings; what is final of them still comes from the file.
    """

    counted: dict[int, File] = field(default_factory=dict)
    fresh: dict[int, Changed] = field(default_factory=dict)
    readings: list[File] = field(default_factory=list)

    @property
    def hours(self) -> set[int]:
        return self.counted.keys() | self.fresh.keys()

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is known, so that there is no view."""
        return not (self.readings or self.answering)

    @property
    def answering(self) -> dict[int, File]:
        """Hours for which a file of aggregates says something."""
        return {
            hour: file
            for hour, file in self.counted.items()
            if hour not in self.fresh or file.kind == FINAL
        }

    def needs(self, file: File) -> bool:
        """Whether a file of readings has part in a fresh hour."""
        return any(_overlaps(file, hour * HOUR_US, hour * HOUR_US + HOUR_US) for hour in self.fresh)


class Hours:
    """Counts what changed, a day at a time, in one thread; any number of threads may read."""

    def __init__(
        self, data_dir: Path, database: Database, engine: Engine, readings: Store, clock: Clock
    ) -> None:
        self.store = Store(data_dir, database, engine, HOURS)
        self._database = database
        self._engine = engine
        self._readings = readings
        self._clock = clock

    def step(self) -> bool:
        """Count the due hours of one day, or gather its files into one; return whether any was due.

        Raises:
            StorageUnavailable, DiskFull: nothing changed; try again.
        """
        now_us = self._clock.now_us()
        due = [one.hour for one in self.changed() if _is_due(one, now_us)]
        if due:
            latest = day_of(max(due) * HOUR_US)
            self._rewrite(latest, [hour for hour in due if day_of(hour * HOUR_US) == latest])
            return True
        for day in self._scattered(now_us):
            self._rewrite(day, hours_in(day))
            return True
        return False

    def count_all(self) -> int:
        """Count every changed hour; return how many there were. Raises as `step`."""
        by_day: defaultdict[str, list[int]] = defaultdict(list)
        for one in self.changed():
            by_day[day_of(one.hour * HOUR_US)].append(one.hour)
        for day, hours in sorted(by_day.items()):
            self._rewrite(day, hours)
        return sum(map(len, by_day.values()))

    def count_day(self, day: str) -> None:
        """Count the hours of a day that changed, if there are any. Raises as `step`."""
        within = set(hours_in(day))
        hours = [one.hour for one in self.changed() if one.hour in within]
        if hours:
            self._rewrite(day, hours)

    def changed(self) -> list[Changed]:
        """The hours to be counted anew, those whose file is lost among them, in order."""
        with translated():
            connection = self._database.read()
            marks = {one.hour: one for one in changed_hours(connection)}
            lost = connection.execute(
                "SELECT hour FROM counted_hours"
                " WHERE path NOT IN (SELECT path FROM hour_files) AND path NOT LIKE ?",
                (_FINAL_FILES,),  # a backup may bring it back, counting cannot
            )
            found = {hour: _lost(hour) for (hour,) in lost} | marks
        return [found[hour] for hour in sorted(found)]

    def differing(self, day: str) -> list[int]:
        """The hours of a day whose aggregates are not what its readings say, in order.

        Raises:
            StorageUnavailable: a file could not be read.
        """

        def attempt() -> list[int]:
            hours = hours_in(day)
            with (
                self._engine.cursor() as cursor,
                self._readings.hold(lambda file: file.day == day) as readings,
                self.store.hold(lambda file: file.day == day) as files,
            ):
                source = self._source(hours, files, readings)
                clean = {h: file for h, file in source.answering.items() if h not in source.fresh}
                if not (clean and readings):
                    return []
                anew = Source(fresh={hour: _lost(hour) for hour in clean}, readings=readings)
                text = statement("differing_hours")
                text = text.replace("{kept}", self._listed(cursor, "clean_hours", clean))
                text = text.replace("{anew}", self._counted(cursor, anew))
                return [hour for (hour,) in cursor.execute(text).fetchall()]

        return self._without_damage(hours_in(day), attempt)

    def recount(self, hours: Sequence[int]) -> None:
        """Count hours of one day anew, whatever is known of them. Raises as `step`."""
        now_us = self._clock.now_us()
        self._database.write_and_wait(lambda connection: mark(connection, hours, now_us))
        self.count_day(day_of(hours[0] * HOUR_US))

    def bring_back(self, source: Path, lost: Quarantined) -> None:
        """List a file again that was set aside, from an intact copy, which goes.

        Raises:
            EdgeError: it could not be read or listed.
        """
        with self.store.changing, self._engine.cursor() as cursor, self.store.change() as change:
            described: Any = cursor.execute(statement(HOURS.describe), [str(source)]).fetchone()
            size = source.stat().st_size
            file = File(lost.path, lost.day, described[0], size, *described[1:])
            file = msgspec.structs.replace(file, checksum=lost.checksum)
            shutil.move(source, self.store.prepared(file))
            sync_path(self.store.prepared(file))
            change.bring_in([file])
            change.commit(lambda connection: forget(connection, lost))

    def expire(self, day: str, expired: Callable[[], Sequence[File]], also: Expired) -> bool:
        """Strike the readings of a day and make its aggregates final, in one transaction.

        `expired` names the files, or none when the day must stay after all; it is asked while
        nothing is stored. `also` takes part in the transaction. Returns whether the day went.

        Raises:
            StorageUnavailable, DiskFull: nothing changed.
        """
        self.count_day(day)

        def attempt() -> bool:
            with self.store.changing, self._readings.changing, ExitStack() as stack:
                files = expired()
                if not files:
                    return False
                hours = hours_in(day)
                cursor = stack.enter_context(self._engine.cursor())
                source = stack.enter_context(self._reading(cursor, hours))
                change = stack.enter_context(self.store.change())
                self._write(cursor, change, day, source, final=True)
                note = self._note(change, source, hours)

                def work(connection: apsw.Connection) -> None:
                    note(connection)
                    also(connection, files)

                change.commit_with(self._readings, files, work)
            return True

        return self._without_damage(hours_in(day), attempt)

    def drop(self, before_us: int) -> list[str]:
        """Drop the days that ended before a moment and have no readings any more.

        Raises:
            StorageUnavailable, DiskFull: nothing was dropped.
        """
        with self.store.changing:
            kept = {file.day for file in self._readings.files}
            gone = [
                file
                for file in self.store.files
                if start_of(file.day) + DAY_US <= before_us and file.day not in kept
            ]
            if gone:
                self.store.commit([], gone, lambda work: _forget(work, gone))
        return sorted({file.day for file in gone})

    def wait_until_shown(self) -> None:
        """Wait until every change that was committed before is in what is read from now on."""
        with self._readings.changing:
            pass

    def incomplete(self) -> set[int]:
        """Hours that say nothing against what others have of them: not all there was is here."""
        return self._lost_for_good() | self.lost_for_now()

    def _lost_for_good(self) -> set[int]:
        """Hours whose readings expired and whose aggregates are damaged: a backup may have them."""
        query = (
            "SELECT hour FROM counted_hours"
            " WHERE path LIKE ? AND path NOT IN (SELECT path FROM hour_files)"
        )
        with translated():
            return {hour for (hour,) in self._database.read().execute(query, (_FINAL_FILES,))}

    def lost_for_now(self) -> set[int]:
        """Hours of which readings are set aside: what is counted of them is not all there was."""
        unnoted = self._readings.unnoted
        found = {hour for file in unnoted for hour in hours_between(file.min_at_us, file.max_at_us)}
        with translated():
            return found | lost_hours(self._database.read())

    def read(self, hours: Collection[int], work: Callable[[Cursor], T]) -> T | None:
        """Run `work` on a cursor with the view `hourly` of some hours; None if nothing is known.

        The view's columns are those of `sql/hourly_aggregates.sql`, one row per sensor, cell and
        hour. What changed since the hours were counted is in it.

        Raises:
            StorageUnavailable: a file could not be read.
        """

        def attempt() -> T | None:
            with self._engine.cursor() as cursor, self._reading(cursor, hours) as source:
                return None if source.is_empty else work(cursor)

        return self._without_damage(hours, attempt)

    def _without_damage(self, hours: Collection[int], attempt: Callable[[], T]) -> T:
        """Return what `attempt` returns, as often tried anew as a damaged file is set aside."""
        span_us = _span_us(hours)

        def wanted(file: File) -> bool:
            return _overlaps(file, *span_us)

        return again_without_damage(
            self._readings, wanted, lambda: again_without_damage(self.store, wanted, attempt)
        )

    @contextmanager
    def _reading(self, cursor: Cursor, hours: Collection[int]) -> Iterator[Source]:
        """Give a cursor the view `hourly`, until the block ends, unless the source is empty."""
        span_us = _span_us(hours)
        with (
            self._readings.hold(lambda file: _overlaps(file, *span_us)) as readings,
            self.store.hold(lambda file: _overlaps(file, *span_us)) as files,
        ):
            source = self._source(set(hours), files, readings)
            if not source.is_empty:
                self._define(cursor, source)
            yield source

    def _source(
        self, hours: Collection[int], files: Sequence[File], readings: Sequence[File]
    ) -> Source:
        """What answers for hours, of the files that are held."""
        with translated():
            rows: list[Any] = (
                self._database.read()
                .execute(statement("listed_hours"), (min(hours), max(hours)))
                .fetchall()
            )
        by_path = {file.path: file for file in files}
        source = Source()
        for hour, path, *marks in rows:
            if hour not in hours:
                continue
            file = by_path.get(path)
            if file is not None:
                source.counted[hour] = file
            if marks[0] is not None:
                source.fresh[hour] = Changed(hour, *marks)
            elif file is None:
                source.fresh[hour] = _lost(hour)
        source.readings.extend(file for file in readings if source.needs(file))
        return source

    def _define(self, cursor: Cursor, source: Source) -> None:
        """Create the view `hourly` from the parts that there are."""
        clean = {h: file for h, file in source.answering.items() if h not in source.fresh}
        final = {h: file for h, file in source.answering.items() if h in source.fresh}
        parts = []
        if clean:
            parts.append(self._listed(cursor, "clean_hours", clean))
        if final:
            parts.append(self._listed(cursor, "final_hours", final) + " WHERE is_final")
        if source.readings:
            fresh = f"SELECT * FROM ({self._counted(cursor, source)})"
            parts.append(
                f"{fresh} ANTI JOIN ({parts[-1]}) USING (sensor_id, hour)" if final else fresh
            )
        parts.append(statement("no_hours"))
        cursor.execute("CREATE OR REPLACE TEMP VIEW hourly AS " + " UNION ALL BY NAME ".join(parts))

    def _listed(self, cursor: Cursor, name: str, file_by_hour: dict[int, File]) -> str:
        """The aggregates of hours from their files."""
        paths = {hour: str(self.store.full(file)) for hour, file in file_by_hour.items()}
        columns = {
            "hour": np.array(list(paths)),
            "filename": np.array(list(paths.values()), str),
        }
        cursor.register(name, columns)
        text = statement("aggregates_of_hours").replace("{hours}", name)
        return text.replace("{files}", _list(set(paths.values())))

    def _counted(self, cursor: Cursor, source: Source) -> str:
        """The aggregates of the fresh hours from their readings."""
        cursor.register("fresh_hours", {"hour": np.array(list(source.fresh))})
        text = statement("hourly_aggregates")
        for name, value in (
            ("files", _list(str(self._readings.full(file)) for file in source.readings)),
            ("since_us", str(min(source.fresh) * HOUR_US)),
            ("until_us", str((max(source.fresh) + 1) * HOUR_US)),
        ):
            text = text.replace(f"{{{name}}}", value)
        return text

    def _rewrite(self, day: str, hours: Collection[int]) -> None:
        """Write hours of a day into one file: what is known of them, counted anew where needed."""

        def attempt() -> None:
            with self.store.changing, ExitStack() as stack:
                cursor = stack.enter_context(self._engine.cursor())
                change = stack.enter_context(self.store.change())
                with self._readings.changing:  # what is listed is shown
                    source = stack.enter_context(self._reading(cursor, hours))
                self._readings.prove(source.readings)
                self._write(cursor, change, day, source)
                change.commit(self._note(change, source, hours))

        self._without_damage(hours, attempt)

    def _write(
        self,
        cursor: Cursor,
        change: Change,
        day: str,
        source: Source,
        *,
        final: bool = False,
    ) -> None:
        """Write the view into one file of a day, which takes the place of those it makes idle."""
        files = set(source.counted.values())
        self.store.prove(files)
        kind = FINAL if final or any(file.kind == FINAL for file in files) else ""
        if not source.is_empty:
            change.write(cursor, day, statement("write_hours"), {"is_final": final}, kind)
        kept = self._paths_beside(source.hours)
        change.replaced += [
            file for file in self.store.files if file.day == day and file.path not in kept
        ]

    def _paths_beside(self, hours: Collection[int]) -> set[str]:
        """Files that answer for other hours than these."""
        with translated():
            rows = self._database.read().execute("SELECT hour, path FROM counted_hours")
            return {path for hour, path in rows if hour not in hours}

    def _note(self, change: Change, source: Source, hours: Collection[int]) -> Work[Any]:
        """What else belongs to the transaction: who answers for the hours, and no marks on them."""
        path = change.pending[0].path if change.pending else None

        def work(connection: apsw.Connection) -> None:
            connection.executemany(
                "DELETE FROM counted_hours WHERE hour = ?", [(hour,) for hour in hours]
            )
            if path is not None:
                query = "INSERT INTO counted_hours (hour, path) VALUES (?, ?)"
                connection.executemany(query, [(hour, path) for hour in source.hours])
            settle(connection, list(source.fresh.values()))

        return work

    def _scattered(self, now_us: int) -> list[str]:
        """Days that are over and have several files, newest first."""
        number = Counter(file.day for file in self.store.files)
        return [
            day
            for day in sorted(number, reverse=True)
            if number[day] > 1 and now_us >= start_of(day) + DAY_US + GATHER_AFTER_US
        ]


def hours_in(day: str) -> range:
    """The 24 hours of a partition."""
    first = start_of(day) // HOUR_US
    return range(first, first + DAY_US // HOUR_US)


def _forget(connection: apsw.Connection, gone: Sequence[File]) -> None:
    """What else belongs to dropping files for good: nobody answers for their hours any more."""
    paths = [(file.path,) for file in gone]
    connection.executemany("DELETE FROM counted_hours WHERE path = ?", paths)
    revisions.forget(connection, [hour for file in gone for hour in hours_in(file.day)])


def _lost(hour: int) -> Changed:
    return Changed(hour, 0, 0, 0)


def _is_due(one: Changed, now_us: int) -> bool:
    quiet_us, waiting_us = now_us - one.changed_us, now_us - one.since_us
    return not 0 <= quiet_us < QUIET_US or not 0 <= waiting_us < WAITS_US


def _span_us(hours: Collection[int]) -> tuple[int, int]:
    return min(hours) * HOUR_US, max(hours) * HOUR_US + HOUR_US


def _overlaps(file: File, from_us: int, until_us: int) -> bool:
    return file.min_at_us < until_us and file.max_at_us >= from_us


def _list(paths: Iterable[str]) -> str:
    """Paths as an SQL list, for views, which take no parameters."""
    return "[" + ", ".join(quoted(Path(path)) for path in sorted(paths)) + "]"
