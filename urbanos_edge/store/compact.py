"""Fewer files, sorted: the flushes of an open day into hours, a day that is over into a few.

What is due follows from the list of files alone. An open day has one file for each hour of
arrival, and flushes of the current hour beside it. A day that is over and quiet is sealed: sorted
along a Hilbert curve into at most three files; what arrives later gathers in a fourth, until it
is worth sealing the day again.

Nothing is shown before its rows are proven to be those it replaces. A job holds the store only
while it makes its files real; when a revision changed what it had read, it starts anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import duckdb
import msgspec

from urbanos_edge.clock import DAY_US, HOUR_US, SECOND_US, Clock
from urbanos_edge.engine import Engine, statement
from urbanos_edge.errors import EdgeError, StorageUnavailable
from urbanos_edge.progress import Tell
from urbanos_edge.store.damage import again_without_damage
from urbanos_edge.store.manifest import File
from urbanos_edge.store.store import Store, start_of

FLUSHED: Final = ""
HOURLY: Final = "hour"
LATE: Final = "late"
SEALED: Final = "sealed"
"""What a file's name says of who wrote it."""

GATHERED: Final = 60
"""Small files of a day that are folded together whatever the hour."""
MARGIN_US: Final = HOUR_US
"""A day is open until this long after its end, for what sensors send late."""
QUIET_US: Final = 600 * SECOND_US
"""A day that is over is rewritten when nothing arrived for this long."""
PIECES: Final = 3
PIECE_ROWS: Final = 400_000
"""Rows in one file of a sealed day, until there are `PIECES` of them."""
RESEAL_SHARE: Final = 8
"""A day is sealed again when what came late is at least one part in this many of it."""
LAST_HOUR: Final = 23
POLL_S: Final = 2.0
FAILED_PAUSE_S: Final = 60.0
_BELOW_ALL: Final = -1
_ABOVE_ALL: Final = 2**32
"""Hilbert values are unsigned and have 32 bits."""
_log = logging.getLogger(__name__)


class Job(msgspec.Struct, frozen=True):
    """Files of one day that become files of one kind."""

    kind: str
    day: str
    files: tuple[File, ...]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def pieces(self) -> int:
        return min(PIECES, 1 + self.rows // PIECE_ROWS) if self.kind == SEALED else 1

    @property
    def extent(self) -> dict[str, float]:
        return {
            "min_lng": min(file.min_lng for file in self.files),
            "min_lat": min(file.min_lat for file in self.files),
            "max_lng": max(file.max_lng for file in self.files),
            "max_lat": max(file.max_lat for file in self.files),
        }


class Done(msgspec.Struct, frozen=True):
    """What a job did."""

    day: str
    kind: str
    rows: int
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    ended_at_us: int
    took_s: float
    """From its start to its end, pauses included."""


def plan(files: Iterable[File], now_us: int, quiet_us: int = QUIET_US) -> list[Job]:
    """What is due, the most urgent first; nothing is due twice, and doing it all ends it.

    An open day: the files of an hour that is over become one, and those of the current hour when
    60 small ones have gathered. The hour is that of arrival, which only moves on; what arrives
    before or after the day counts to its first or last hour. So a day has at most 24 files of
    hours and 59 small ones once its jobs are done, 83 together, and the jobs may come six flushes
    late before it has more than 89.

    A day over: when nothing arrived for `quiet_us`, or 60 files have gathered, the unsealed ones
    become one, or with the sealed ones the sealed day when they hold an eighth of its rows: at
    most 3 + 1 files once its jobs are done.
    """
    by_day: defaultdict[str, list[File]] = defaultdict(list)
    for file in files:
        by_day[file.day].append(file)
    jobs = []
    for day, members in by_day.items():
        start_us = start_of(day)
        if now_us < start_us + DAY_US + MARGIN_US:
            jobs += _fold_hours(day, members, start_us, now_us)
        else:
            jobs += _settle(day, members, now_us, quiet_us)
    return sorted(jobs, key=lambda job: (job.kind != HOURLY, -len(job.files), job.day))


def _fold_hours(day: str, files: Sequence[File], start_us: int, now_us: int) -> list[Job]:
    by_hour: defaultdict[int, list[File]] = defaultdict(list)
    for file in files:
        if file.kind in (FLUSHED, HOURLY):
            # An arrival in the future was stamped by a clock that has been set back since.
            arrived_us = min(file.max_received_us, now_us)
            by_hour[_hour(arrived_us - start_us)].append(file)
    current = _hour(now_us - start_us)
    return [
        Job(HOURLY, day, tuple(members))
        for hour, members in by_hour.items()
        if (hour < current and len(members) > 1)
        or len(members) > GATHERED
        or sum(file.kind == FLUSHED for file in members) == GATHERED
    ]


def _settle(day: str, files: Sequence[File], now_us: int, quiet_us: int) -> list[Job]:
    sealed_rows = sum(file.rows for file in files if file.kind == SEALED)
    loose = [file for file in files if file.kind != SEALED]
    if not loose:
        return []
    silent_us = now_us - max(file.max_received_us for file in loose)
    if 0 <= silent_us < quiet_us and len(loose) < GATHERED:
        return []
    if sum(file.rows for file in loose) * RESEAL_SHARE >= sealed_rows:
        return [Job(SEALED, day, tuple(files))]
    if [file.kind for file in loose] != [LATE]:
        return [Job(LATE, day, tuple(loose))]
    return []


def _hour(since_start_us: int) -> int:
    return min(max(since_start_us // HOUR_US, 0), LAST_HOUR)


class Compactor:
    """Does what is due, one step at a time: a fold whole, a seal piece by piece.

    Steps may be asked for by several threads; they are done one after the other. `room_bytes` is
    what may be written to the disk; a job waits until a copy of its files fits.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        clock: Clock,
        room_bytes: Callable[[], int],
        duty_percent: int,
    ) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock
        self._room_bytes = room_bytes
        self._duty = duty_percent / 100
        self._lock = threading.Lock()
        self._under_way: _Work | None = None
        self._at: Job | None = None
        self._resume_at_s = 0.0
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._is_stopped = False
        self.last: Done | None = None
        self.failure: str | None = None

    def paced_step(self) -> float:
        """Do a step if one is due; return the seconds until the next call.

        Folds are done at once, for the number of files depends on them. Seals wait until all
        steps together have taken no more than their share of the time.
        """
        started_s = time.monotonic()
        try:
            did_something = self.step(may_seal=started_s >= self._resume_at_s)
        except Exception as error:
            return self._failed(error)
        self.failure = None
        if not did_something:
            return POLL_S
        ended_s = time.monotonic()
        pause_s = (ended_s - started_s) * (1 / self._duty - 1)
        self._resume_at_s = max(self._resume_at_s, ended_s) + pause_s
        return min(POLL_S, pause_s)

    def step(self, quiet_us: int = QUIET_US, *, may_seal: bool = True) -> bool:
        """Do the next step of what is due; return whether there was any.

        Raises:
            StorageUnavailable, DiskFull: nothing changed; what was written is removed.
        """
        with self._lock:
            return again_without_damage(
                self._store,
                lambda file: self._at is not None and file.day == self._at.day,
                lambda: self._step(quiet_us, may_seal),
            )

    def finish_one(self, quiet_us: int = QUIET_US) -> Done | None:
        """Do steps without pauses until a job is done; None when nothing is due.

        Raises:
            StorageUnavailable, DiskFull: as `step`.
        """
        before = self.last
        while self.last is before:
            if not self.step(quiet_us):
                return None
        return self.last

    def finish_all(self, tell: Tell) -> list[Done]:
        """Do all that is due without pauses; days that are over need not be quiet.

        Raises:
            StorageUnavailable, DiskFull: as `step`; what was done until then stays.
        """
        done: list[Done] = []
        while True:
            due = plan(self._store.files, self._clock.now_us(), quiet_us=0)
            if due:
                tell(len(done) / (len(done) + len(due)), f"{len(due)} days to compact")
            one = self.finish_one(quiet_us=0)
            if one is None:
                return done
            done.append(one)

    def stop(self) -> None:
        """Break off the step under way and begin no other."""
        self._is_stopped = True
        cursor = self._cursor
        if cursor is not None:
            with suppress(duckdb.Error):
                cursor.interrupt()

    def close(self) -> None:
        """Stop, and remove what is half done."""
        self.stop()
        with self._lock:
            self._drop_work()

    def _failed(self, error: Exception) -> float:
        if isinstance(error, EdgeError):
            self.failure = error.message
        else:
            self.failure = "internal error; see the log"
        if not self._is_stopped:
            _log.error("compaction failed, will be tried again: %s", error, exc_info=error)
        return FAILED_PAUSE_S

    def _step(self, quiet_us: int, may_seal: bool) -> bool:
        if self._is_stopped or self._store.is_in_doubt:
            return False
        with self._store.changing:
            pass  # a flush under way goes first
        due = self._due(quiet_us)
        if due and due[0].kind == HOURLY:
            self._advance(_Work(due[0], self._carry_out(due[0])), to_its_end=True)
        elif not may_seal:
            return False
        elif self._under_way is not None:
            self._advance(self._under_way)
        elif due:
            self._under_way = _Work(due[0], self._carry_out(due[0]))
            self._advance(self._under_way)
        else:
            return False
        return True

    def _due(self, quiet_us: int) -> list[Job]:
        jobs = plan(self._store.files, self._clock.now_us(), quiet_us)
        busy_day = self._under_way.job.day if self._under_way else None
        room_bytes = self._room_bytes()
        return [job for job in jobs if job.day != busy_day and job.bytes <= room_bytes]

    def _advance(self, work: _Work, *, to_its_end: bool = False) -> None:
        self._at = work.job
        try:
            next(work.steps)
            while to_its_end:
                next(work.steps)
        except StopIteration as end:
            self._forget(work)
            self.last = end.value or self.last
        except BaseException:
            self._forget(work)
            raise

    def _forget(self, work: _Work) -> None:
        if work is self._under_way:
            self._under_way = None

    def _drop_work(self) -> None:
        if self._under_way is not None:
            self._under_way.steps.close()
            self._under_way = None

    def _carry_out(self, job: Job) -> Generator[None, None, Done | None]:
        """Survey, write, compare, make real; returns None when the files changed meanwhile."""
        started_s = time.monotonic()
        prepared: list[File] = []
        try:
            content = self._survey_inputs(job)
            if content is None:
                return None
            for after, upto in content.ranges:
                yield
                if not self._write_piece(job, after, upto, prepared):
                    return None
            yield
            self._check(content, prepared)
            if not self._make_real(job, prepared):
                return None
        finally:
            for file in prepared:
                self._store.prepared(file).unlink(missing_ok=True)
        return Done(
            job.day,
            job.kind,
            job.rows,
            len(job.files),
            len(prepared),
            job.bytes,
            sum(file.bytes for file in prepared),
            self._clock.now_us(),
            round(time.monotonic() - started_s, 3),
        )

    def _survey_inputs(self, job: Job) -> _Content | None:
        """What the inputs hold; None when they are not all there any more.

        Raises:
            FileDamaged: the bytes of one changed; a copy would pass them off as good ones.
        """
        with self._inputs(job) as paths:
            if paths is None:
                return None
            self._store.prove(job.files)
            return self._survey(paths, job.extent, job.pieces)

    def _survey(self, paths: Sequence[str], extent: dict[str, float], pieces: int) -> _Content:
        shares = [(number + 1) / pieces for number in range(pieces)]
        parameters = {"files": paths, "shares": shares, **extent}
        with self._cursor_in_use() as cursor:
            found = cursor.execute(statement("survey_files"), parameters).fetchone()
        assert found is not None
        return _Content(*found)

    def _write_piece(self, job: Job, after: int, upto: int, prepared: list[File]) -> bool:
        with self._inputs(job) as paths, self._cursor_in_use() as cursor:
            if paths is None:
                return False
            parameters = {"files": paths, "after": after, "upto": upto, **job.extent}
            copy = statement("merge_files")
            file = self._store.prepare(cursor, job.day, copy, parameters, job.kind)
        prepared += [file] if file is not None else []
        return True

    def _check(self, content: _Content, prepared: Sequence[File]) -> None:
        paths = [str(self._store.prepared(file)) for file in prepared]
        extent = dict.fromkeys(("min_lng", "min_lat", "max_lng", "max_lat"), 0.0)
        written = self._survey(paths, extent, 1)
        if (written.rows, written.checksum) != (content.rows, content.checksum):
            raise StorageUnavailable("merged files do not hold what they were to replace")

    def _make_real(self, job: Job, prepared: Sequence[File]) -> bool:
        with self._store.changing, self._store.change() as change, self._inputs(job) as paths:
            if paths is None:
                return False
            change.bring_in(prepared)
            change.replaced += job.files
            change.commit()
        return True

    @contextmanager
    def _inputs(self, job: Job) -> Iterator[list[str] | None]:
        """The paths of a job's files, readable until the block ends; None if any is gone."""
        wanted = {file.path for file in job.files}
        with self._store.lease(lambda file: file.path in wanted) as paths:
            yield paths if len(paths) == len(wanted) else None

    @contextmanager
    def _cursor_in_use(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._engine.cursor() as cursor:
            self._cursor = cursor
            try:
                if self._is_stopped:
                    raise StorageUnavailable("the node is stopping")
                yield cursor
            finally:
                self._cursor = None


@dataclass(slots=True)
class _Work:
    job: Job
    steps: Generator[None, None, Done | None]


@dataclass(slots=True)
class _Content:
    """What files hold, whatever the order of their rows, and where to cut it into pieces."""

    rows: int
    checksum: int
    bounds: list[int]

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """Hilbert values (above, up to) of each piece, that of all together without a gap."""
        cuts = [_BELOW_ALL, *self.bounds[:-1], _ABOVE_ALL]
        return list(pairwise(cuts))
