"""The sync: when owed hours are brought to the centre, and by whom.

What is owed is the only queue, and it is one mark per hour. The last hours go first and again
between older ones, so that a backfill of weeks holds up nothing that is new.
"""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import apsw

from urbanos_edge import __version__, database
from urbanos_edge.clock import DAY_US, HOUR_US, Clock
from urbanos_edge.database import Database, translated
from urbanos_edge.engine import Engine
from urbanos_edge.errors import EdgeError
from urbanos_edge.hours.hours import Hours, hours_in
from urbanos_edge.progress import Tell, ignore_progress
from urbanos_edge.settings import Settings
from urbanos_edge.store import owed, revisions
from urbanos_edge.store.owed import Owed
from urbanos_edge.store.store import Store, start_of
from urbanos_edge.sync.backlog import Backlog
from urbanos_edge.sync.carrier import Brought, Carrier, Kept, by_day
from urbanos_edge.sync.compare import Difference, compare_day
from urbanos_edge.sync.link import (
    Hello,
    Link,
    NodeIdUsedTwice,
    Sender,
    address,
    checked,
    opened,
)
from urbanos_edge.sync.originals import Originals
from urbanos_edge.sync.pace import Pace
from urbanos_edge.sync.standing import (
    Failure,
    Standing,
    State,
    is_live,
    lag_s,
    warnings_of,
)

EVERY_S: Final = 25.0
"""Between two rounds, give or take a fifth: what is new waits for a flush and then so long."""
RETRY_S: Final = (5.0, 300.0)
"""The first and the longest wait after failures; it doubles in between."""
PATROL_EVERY_S: Final = 900.0
"""A day of what is stored is compared this often, though nothing of it changed here: it may have
changed at the centre. 90 days are compared once in 23 hours."""
SILENT_S: Final = 600.0
"""After so long without a word from the box that claimed the node's id, another one gets it."""
_CLAIMED: Final = "claimed_epoch"
"""Where the node keeps under which epoch the centre knows it."""
T = TypeVar("T")
_log = logging.getLogger(__name__)


class NoCentre(EdgeError):
    """There is nobody to sync with."""

    status = 409
    code = "no_centre_set"


class Sync:
    """Keeps the centre equal to the node. `wake` it, or let `run_forever` look by itself."""

    def __init__(
        self,
        settings: Settings,
        node_id: str,
        data: Database,
        hours: Hours,
        readings: Store,
        engine: Engine,
        clock: Clock,
    ) -> None:
        self._dsn = checked(settings.sync_dsn)
        self._mode = settings.sync_mode
        self._database = data
        self._clock = clock
        self._pace = Pace(settings.sync_max_mib_s)
        self._epoch = revisions.epoch(data.read())
        claim = f"{self._epoch}.{secrets.token_hex(4)}"
        schema = database.newest_schema()
        self._sender = Sender(node_id, claim, settings.node_name, schema, __version__)
        originals = Originals(readings, engine) if settings.owes_readings else None
        kept_days = settings.retention_days, settings.rollup_retention_days
        retention_us = kept_days[0] * DAY_US, kept_days[1] * DAY_US
        self._carrier = Carrier(data, hours, readings, originals, clock, retention_us)
        self._backlog = Backlog(self._carrier, data, clock)
        self._wanted = anyio.Event()
        self._has_claimed = False
        self._patrolled_day: str | None = None
        self._failure: Failure | None = None
        self._heard_us: int | None = None
        self._clock_offset_s: float | None = None
        self._buckets_of_hour = 0
        """Of the newest hour at the start."""

    def wake(self) -> None:
        """Begin the next round now."""
        self._wanted.set()

    async def run_forever(self) -> None:
        """Bring what is owed, again and again; a failure is remembered for the status."""
        patrolled_s = anyio.current_time()
        await self._sample()
        while True:
            if self._failure is None and anyio.current_time() - patrolled_s > PATROL_EVERY_S:
                patrolled_s = anyio.current_time()
                await self._patrol()
            try:
                await self.catch_up()
            except EdgeError as error:
                _log.warning("the sync failed, will be tried again: %s", error.message)
            except Exception:
                _log.exception("the sync failed, will be tried again")
            with anyio.move_on_after(self._pause_s()):
                await self._wanted.wait()
            self._wanted = anyio.Event()

    async def catch_up(self, tell: Tell = ignore_progress) -> Brought:
        """Bring all that is owed.

        Raises:
            NoCentre: none is set.
            CentreUnavailable, CentreRefused, DiskFull, StorageUnavailable: what was not brought
                is still owed.
        """
        async with self._linked() as (link, kept):
            done = await self._backlog.bring(link, kept, tell)
            await link.tell_mode(self._mode)
        return done

    async def bring_everything(self, tell: Tell = ignore_progress) -> Brought:
        """Compare every hour that is kept, and bring what differs; raises as above."""
        await self._owe(lambda _: True)
        return await self.catch_up(tell)

    async def backfill(self, since_us: int, until_us: int, tell: Tell = ignore_progress) -> Brought:
        """The same for the hours of a span; raises as above."""
        await self._owe(lambda hour: since_us < (hour + 1) * HOUR_US and hour * HOUR_US < until_us)
        return await self.catch_up(tell)

    async def verify(self, tell: Tell = ignore_progress) -> list[Difference]:
        """Compare every hour that is kept with the centre; what differs is owed from then on.

        The last hours are brought before, because they differ all the time. Raises as above.
        """
        async with self._linked() as (link, kept):
            await self._backlog.bring_live(link, kept)
            days = list(by_day(await self._read(owed.stored_hours)))
            found: list[Difference] = []
            for number, day in enumerate(days):
                tell(number / len(days), f"comparing {day}")
                found += await compare_day(self._carrier, self._database, link, kept, day)
        differing = sorted({one.hour for one in found})
        mark = partial(owed.mark, hours=differing, now_us=self._clock.now_us())
        await self._database.write(mark)
        self.wake()
        return found

    def standing(self) -> Standing:
        """How it stands; blocks on the database."""
        now_us, failure, sent = self._clock.now_us(), self._failure, self._backlog.brought
        marks = owed.owed(self._database.read()) if self._dsn else []
        per_hour = sent.buckets / sent.hours_sent if sent.hours_sent else self._buckets_of_hour
        return Standing(
            self._state(marks, now_us),
            address(self._dsn) if self._dsn else None,
            self._mode,
            None if failure is None else failure.message,
            None if failure is None else failure.code,
            None if failure is None else failure.since_us,
            warnings_of(self._clock_offset_s),
            self._heard_us,
            self._clock_offset_s,
            len(marks),
            round(len(marks) * per_hour),
            lag_s(marks, now_us),
            lag_s([mark for mark in marks if is_live(mark.hour, now_us)], now_us),
            sent.hours_sent,
            sent.buckets,
            sent.readings,
        )

    def _state(self, marks: Sequence[Owed], now_us: int) -> State:
        if not self._dsn:
            return "off"
        if self._failure is not None:
            return "failing"
        if self._heard_us is None:
            return "starting"
        has_backlog = any(not is_live(mark.hour, now_us) for mark in marks)
        return "sending" if has_backlog or lag_s(marks, now_us) > 60 else "in_sync"

    @asynccontextmanager
    async def _linked(self) -> AsyncIterator[tuple[Link, Kept]]:
        """A link on which the centre has let us in; what fails on it is remembered."""
        if not self._dsn:
            raise NoCentre("no centre is set; name its address with the setting sync_dsn")
        try:
            async with opened(self._dsn, self._sender, self._pace) as link:
                kept = await self._greet(link)
                yield link, kept
        except EdgeError as error:
            self._fail(error)
            raise
        except Exception:
            self._fail(EdgeError("internal error; see the log"))
            raise
        self._failure = None

    def _fail(self, error: EdgeError) -> None:
        self._failure = Failure.after(self._failure, error, self._clock.now_us())

    async def _greet(self, link: Link) -> Kept:
        await link.check_schema()
        before_us = self._clock.now_us()
        there_us = await link.time_us()
        here_us = (before_us + self._clock.now_us()) // 2
        self._clock_offset_s = round((here_us - there_us) / 1e6, 1)
        async with link.greeting() as hello:
            await self._admit(hello)
            await link.claim(self._clock_offset_s)
        if hello.epoch != self._sender.claim:
            work = partial(_remember, name=_CLAIMED, value=self._epoch)
            await self._database.write(work)
        self._has_claimed, self._heard_us = True, self._clock.now_us()
        return self._carrier.kept(hello)

    async def _admit(self, hello: Hello) -> None:
        """See whether the node's id is ours to claim, and what follows if somebody else had it.

        A restart is known by its epoch, and a restore by the epoch that the centre knew before it;
        any other box must have been silent for a while, and so must the one that took over from us.
        A centre that has not all that it committed is a backup of itself, or a replica that was
        behind.
        """
        was_set_back = hello.revision < await self._read(owed.committed)
        is_unchanged = hello.epoch == self._sender.claim
        if is_unchanged and not was_set_back:
            return
        known = (self._epoch, await self._read(partial(_remembered, name=_CLAIMED)))
        before = hello.epoch and hello.epoch.split(".")[0]
        is_own = is_unchanged or before is None or (before in known and not self._has_claimed)
        silent_s = SILENT_S if hello.silent_s is None else hello.silent_s
        if not is_own and silent_s < SILENT_S:
            raise NodeIdUsedTwice(
                f"another box syncs as node '{self._sender.node_id}', heard {silent_s:.0f} s ago;"
                " give one of them another node_id, or stop it for ten minutes"
            )
        self._carrier.forget_partitions()
        if was_set_back or before != self._epoch or not is_own:
            stored = await self._read(owed.stored_hours)
            hours = sorted({*stored, *self._gaps(stored, hello, is_own)})
            now_us = self._clock.now_us()
            begin = partial(_begin_anew, above=hello.revision, hours=hours, now_us=now_us)
            await self._database.write(begin)

    def _gaps(self, stored: Sequence[int], hello: Hello, is_own: bool) -> range:
        """Hours that the centre may have although a restore took them away here.

        Of another box only what came since this one's last hour. None before the first: that may
        have been dropped by age here, and stays there.
        """
        if not stored or hello.epoch is None:
            return range(0)
        counts_from = self._carrier.kept(hello).aggregates_from
        first = max(stored[0], counts_from) if is_own else stored[-1] + 1
        return range(first, self._clock.now_us() // HOUR_US + 1)

    async def _sample(self) -> None:
        with suppress(EdgeError):  # it only makes an estimate better
            if stored := await self._read(owed.stored_hours):
                read = self._carrier.buckets.digests
                found = await anyio.to_thread.run_sync(read, stored[-1:])
                self._buckets_of_hour = sum(digest.rows for digest in found.values())

    async def _patrol(self) -> None:
        """Let a day be compared again, the one before the last such, in the end all of them."""
        days = list(by_day(await self._read(owed.stored_hours)))
        if not days:
            return
        older = [day for day in days if day < (self._patrolled_day or random.choice(days))]
        self._patrolled_day = older[0] if older else days[0]
        first = start_of(self._patrolled_day) // HOUR_US
        await self._owe(lambda hour: first <= hour < first + 24)

    async def _owe(self, wanted: Callable[[int], bool]) -> None:
        """Owe hours of the days that are kept, those without readings, too."""
        now_us = self._clock.now_us()
        days = by_day(await self._read(owed.stored_hours))
        hours = [hour for day in days for hour in hours_in(day)]
        due = [hour for hour in hours if hour <= now_us // HOUR_US + 1 and wanted(hour)]
        await self._database.write(partial(owed.mark, hours=due, now_us=now_us))

    def _pause_s(self) -> float:
        """Until the next round; nodes that lost their centre together do not come back so."""
        if self._failure is None:
            return EVERY_S * random.uniform(0.8, 1.2)
        first_s, longest_s = RETRY_S
        wait_s = min(longest_s, first_s * 2.0 ** min(self._failure.times - 1, 10))
        return wait_s * random.uniform(0.5, 1.0)

    async def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        def attempt() -> T:
            with translated():
                return work(self._database.read())

        return await anyio.to_thread.run_sync(attempt)


def _begin_anew(connection: apsw.Connection, above: int, hours: Sequence[int], now_us: int) -> None:
    """Number above what the centre has seen, and owe it these hours."""
    revisions.number_above(connection, [], above)
    owed.forget_committed(connection)
    owed.mark(connection, hours, now_us)


def _remember(connection: apsw.Connection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO node VALUES (?, ?)", (name, value))


def _remembered(connection: apsw.Connection, name: str) -> str | None:
    value: str | None = connection.execute("SELECT value FROM node WHERE name = ?", (name,)).get
    return value
