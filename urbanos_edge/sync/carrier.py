"""Bringing owed hours to the centre: compare, send what differs, settle.

Nothing is settled before the centre has committed it. What was committed and not settled, because
the line was cut in between, is equal the next time, and settled then without being sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date
from typing import Final

import anyio.to_thread
import apsw
import msgspec

from urbanos_edge.clock import DAY_US, HOUR_US, Clock
from urbanos_edge.database import Database
from urbanos_edge.errors import StorageUnavailable
from urbanos_edge.hours.buckets import NOTHING, Buckets, Lines
from urbanos_edge.hours.hours import FINAL, Hours
from urbanos_edge.store import owed, revisions
from urbanos_edge.store.owed import Owed
from urbanos_edge.store.store import Store, day_of
from urbanos_edge.sync.link import Hello, Link, Take, There
from urbanos_edge.sync.originals import Originals, slots_of

ABSENT: Final = There(NOTHING, 0)
NO_LINES: Final = Lines([], 0)


class Brought(msgspec.Struct):
    """What was done: hours compared, hours of which something was sent, and what that was."""

    hours: int = 0
    hours_sent: int = 0
    buckets: int = 0
    readings: int = 0

    def add(self, other: Brought) -> None:
        """Count what another one did as done, too."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Kept(msgspec.Struct, frozen=True):
    """The first hours that count on both sides, and of readings at the centre and here."""

    aggregates_from: int
    readings_from: int
    readings_here_from: int


class Asked(msgspec.Struct, frozen=True):
    """Owed hours of one day, as of a moment: those to be compared, and what the centre has."""

    marks: Sequence[Owed]
    at_us: int
    hours: Sequence[int]
    there: Mapping[int, There]


class Load(msgspec.Struct, frozen=True):
    """What the centre has to get of what was asked: buckets, and the revisions of their hours."""

    asked: Asked
    numbers: Mapping[int, int]
    lines: Lines


class Carrier:
    """Brings hours of one day at a time; one caller at a time.

    `originals` are given where the readings are to be sent. `retention_us` says how long readings
    and aggregates are kept here.
    """

    def __init__(
        self,
        database: Database,
        hours: Hours,
        readings: Store,
        originals: Originals | None,
        clock: Clock,
        retention_us: tuple[int, int],
    ) -> None:
        self.buckets = Buckets(hours)
        self.originals = originals
        self._database = database
        self._hours = hours
        self._readings = readings
        self._clock = clock
        self._retention_us = retention_us
        self._days_with_partitions: set[str] = set()

    def forget_partitions(self) -> None:
        """Another centre may answer now."""
        self._days_with_partitions.clear()

    def kept(self, hello: Hello) -> Kept:
        """What is kept as of now."""
        readings_us, aggregates_us = (self._clock.now_us() - kept for kept in self._retention_us)
        return Kept(
            max(_first_hour(hello.aggregates_since), aggregates_us // HOUR_US),
            _first_hour(hello.readings_since),
            readings_us // HOUR_US,
        )

    def comparable(self, hours: Sequence[int], kept: Kept) -> list[int]:
        """Those of some hours whose aggregates both sides keep.

        What was damaged here says nothing against the centre, until it is mended or given up.
        """
        lost = self._hours.incomplete()
        return [hour for hour in hours if hour >= kept.aggregates_from and hour not in lost]

    def replaceable(self, hours: Sequence[int], kept: Kept) -> set[int] | None:
        """Those of one day's hours whose readings here are all; None if nothing is to be sent.

        What expired here, or is set aside, stays at the centre; what else there is of such hours
        comes beside it.
        """
        day, first = day_of(hours[0] * HOUR_US), hours[0]
        is_final = any(file.day == day and file.kind == FINAL for file in self._hours.store.files)
        is_stored = any(file.day == day for file in self._readings.files)
        has_expired = is_final or first < kept.readings_here_from
        if first < kept.readings_from or (has_expired and not is_stored):
            return None
        return set() if is_final else set(hours) - self._hours.lost_for_now()

    async def bring(self, link: Link, marks: Sequence[Owed], kept: Kept) -> Brought:
        """Make the centre have what is here of owed hours of one day, and settle them.

        Raises:
            CentreUnavailable, CentreRefused, DiskFull: what was not settled is still owed.
            StorageUnavailable: the same, for a reason on this side.
        """
        asked = await self.ask(link, marks, kept)
        return await self.deliver(link, await self.read(asked), kept)

    async def ask(self, link: Link, marks: Sequence[Owed], kept: Kept) -> Asked:
        """What the centre has of owed hours of one day; raises as `bring`."""
        at_us, hours = self._clock.now_us(), [mark.hour for mark in marks]
        await anyio.to_thread.run_sync(self._hours.wait_until_shown)
        wanted = await anyio.to_thread.run_sync(self.comparable, hours, kept)
        there = await link.digests(range(wanted[0], wanted[-1] + 1)) if wanted else {}
        return Asked(marks, at_us, wanted, there)

    async def read(self, asked: Asked) -> Load:
        """What the centre has to get of what was asked; without it. Raises as `bring`."""
        hours, there = asked.hours, asked.there
        # What the centre has nothing of needs no digest to be different.
        told = [hour for hour in hours if there.get(hour, ABSENT).digest != NOTHING]
        here = await anyio.to_thread.run_sync(self.buckets.digests, told) if told else {}
        equal = {hour for hour in told if here.get(hour, NOTHING) == there[hour].digest}
        differing = [hour for hour in hours if hour not in equal]
        numbers = await self._numbers(differing, there) if differing else {}
        if not numbers:
            return Load(asked, {}, NO_LINES)
        lines = await anyio.to_thread.run_sync(self.buckets.lines, numbers)
        lost = await anyio.to_thread.run_sync(self._hours.incomplete)
        if not lost.isdisjoint(numbers):  # reading them found the damage
            intact = [hour for hour in hours if hour not in lost]
            return await self.read(msgspec.structs.replace(asked, hours=intact))
        if lines.rows or not numbers.keys().isdisjoint(told):
            return Load(asked, numbers, lines)
        return Load(asked, {}, NO_LINES)

    async def deliver(self, link: Link, load: Load, kept: Kept) -> Brought:
        """Send what was read, and settle its hours; raises as `bring`."""
        marks = load.asked.marks
        hours, sent = [mark.hour for mark in marks], set(load.numbers)
        done = Brought(hours=len(hours), buckets=load.lines.rows)
        if load.lines.rows:
            await self._make_partition(link, day_of(hours[0] * HOUR_US))
        if load.numbers:
            await link.send_buckets(load.lines.parts, load.numbers)
        if self.originals is not None:
            sent |= await self._bring_readings(link, self.originals, hours, kept, done)
        done.hours_sent = len(sent)
        highest = max(load.numbers.values(), default=0)

        def settle(connection: apsw.Connection) -> None:
            owed.note_committed(connection, highest)
            owed.settle(connection, marks, load.asked.at_us)

        await self._database.write(settle)
        return done

    async def _numbers(self, hours: Sequence[int], there: Mapping[int, There]) -> dict[int, int]:
        """The revisions that hours go with, none below what the centre has of them.

        They are older than what is read later: what changes in between gets a higher one.
        """
        highest = {hour: there.get(hour, ABSENT).revision for hour in hours}

        def work(connection: apsw.Connection) -> dict[int, int]:
            own = revisions.revisions_of(connection, hours)
            behind = [hour for hour in hours if highest[hour] > own.get(hour, 0)]
            if behind:
                revisions.number_above(connection, behind, max(highest.values()))
            return revisions.revisions_of(connection, hours)

        return await self._database.write(work)

    async def _bring_readings(
        self,
        link: Link,
        originals: Originals,
        hours: Sequence[int],
        kept: Kept,
        done: Brought,
    ) -> set[int]:
        whole = await anyio.to_thread.run_sync(self.replaceable, hours, kept)
        if whole is None:
            return set()
        there = await link.reading_digests(range(hours[0], hours[-1] + 1))
        slots = range(slots_of(hours[0]).start, slots_of(hours[-1]).stop)
        here = await anyio.to_thread.run_sync(originals.digests, slots)
        sent = set()
        for hour in hours:
            instead = hour in whole
            differing = [
                slot
                for slot in slots_of(hour)
                if here.get(slot, NOTHING) != there.get(slot, NOTHING) and (instead or slot in here)
            ]
            if differing:
                span = range(differing[0], differing[-1] + 1)
                rows = sum(here[slot].rows for slot in span if slot in here)
                await self._make_partition(link, day_of(hour * HOUR_US))
                async with link.sending_readings(span, instead=instead) as take:
                    done.readings += await _pass_on(originals, span, rows, take)
                    if instead:
                        await self._check_whole(hour, kept)
                sent.add(hour)
        return sent

    async def _check_whole(self, hour: int, kept: Kept) -> None:
        """See that all was there while it was read: what is missing would be deleted there.

        Raises:
            StorageUnavailable: some of it expired, or was set aside.
        """
        if hour not in (await anyio.to_thread.run_sync(self.replaceable, [hour], kept) or ()):
            day = day_of(hour * HOUR_US)
            raise StorageUnavailable(f"readings of {day} went away while they were sent")

    async def _make_partition(self, link: Link, day: str) -> None:
        if day not in self._days_with_partitions:
            await link.make_partitions(date.fromisoformat(day), date.fromisoformat(day))
            self._days_with_partitions.add(day)


async def _pass_on(originals: Originals, slots: range, rows: int, take: Take) -> int:
    sent = 0
    with closing(originals.slices(slots, rows)) as slices:
        while (lines := await anyio.to_thread.run_sync(next, slices, None)) is not None:
            await take(lines.parts)
            sent += lines.rows
    return sent


def by_day(hours: Sequence[int]) -> dict[str, list[int]]:
    """Hours by the UTC day they belong to, the newest day first."""
    found: dict[str, list[int]] = {}
    for hour in sorted(hours, reverse=True):
        found.setdefault(day_of(hour * HOUR_US), []).append(hour)
    return {day: members[::-1] for day, members in found.items()}


def _first_hour(day: date) -> int:
    return (day - date(1970, 1, 1)).days * (DAY_US // HOUR_US)
