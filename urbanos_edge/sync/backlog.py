"""What waits is brought: the last hours first, and older ones a step at a time, newest first.

While one step is sent, what the next one sends is read. Both take about as long, and a node with
weeks to tell is done in half the time.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from urbanos_edge.clock import Clock
from urbanos_edge.database import Database, translated
from urbanos_edge.progress import Tell
from urbanos_edge.store import owed
from urbanos_edge.store.owed import Owed
from urbanos_edge.sync.carrier import Asked, Brought, Carrier, Kept, Load, by_day
from urbanos_edge.sync.link import Link
from urbanos_edge.sync.standing import is_live

LIVE_EVERY_S: Final = 20.0
"""Within a long round, the last hours go again this often."""
STEP_S: Final = 4.0
"""How long one step of a backfill takes at most, if an hour does not take longer."""
STEP_BUCKETS: Final = 250_000
"""And how many buckets it has at most, each about 100 bytes of memory."""
PAUSE: Final = 0.1
"""Of the time that a step of a backfill took, in which the node has both cores for itself."""
T = TypeVar("T")
U = TypeVar("U")


class Backlog:
    """Brings all that is owed; several may, each over a link of its own, and take turns then."""

    def __init__(self, carrier: Carrier, database: Database, clock: Clock) -> None:
        self._carrier = carrier
        self._database = database
        self._clock = clock
        self.brought = Brought()
        """All since the start."""
        self._turn = anyio.Lock()
        """Held for one step: a command and the rounds may be at work together."""
        self._had_turn: Link | None = None
        self._hours_at_once = 1

    async def bring(self, link: Link, kept: Kept, tell: Tell) -> Brought:
        """Bring all that is owed; what fails is raised, and still owed."""
        done, live_at_s, at_first, ahead = Brought(), -math.inf, 0, None
        while True:
            if anyio.current_time() - live_at_s >= LIVE_EVERY_S:
                live_at_s = anyio.current_time()
                done.add(await self.bring_live(link, kept))
            began_s = anyio.current_time()
            brought, ahead, left = await self._step(link, kept, ahead)
            if brought is None:
                return done
            done.add(brought)
            took_s = anyio.current_time() - began_s
            self._note_pace(brought, took_s)
            at_first = max(at_first, left + brought.hours)
            tell(1 - left / at_first, f"{left:,} hours are left")
            await anyio.sleep(took_s * PAUSE)

    async def bring_live(self, link: Link, kept: Kept) -> Brought:
        """Bring the last hours, which may be of two days, once."""
        done, now_us = Brought(), self._clock.now_us()
        async with self._turn:
            self._had_turn = link
            marks = [mark for mark in await self._owed() if is_live(mark.hour, now_us)]
            for hours in by_day([mark.hour for mark in marks]).values():
                brought = await self._carrier.bring(link, _among(marks, set(hours)), kept)
                self.brought.add(brought)
                done.add(brought)
        return done

    async def _step(
        self, link: Link, kept: Kept, ahead: Load | None
    ) -> tuple[Brought | None, Load | None, int]:
        """Bring the latest hours of the backlog, and read meanwhile those that are next.

        `ahead` is what the step before read, which counts only if nobody else had a turn since.
        Returns what was brought, what was read, and how many hours are left.
        """
        async with self._turn:
            load = ahead if self._had_turn is link else None
            self._had_turn = link
            if load is None:
                load = await self._read_ahead(await self._ask_past(link, kept, set()))
            if load is None:
                return None, None, 0
            under_way = {mark.hour for mark in load.asked.marks}
            asked = await self._ask_past(link, kept, under_way)
            brought, following = await side_by_side(
                partial(self._carrier.deliver, link, load, kept), partial(self._read_ahead, asked)
            )
            self.brought.add(brought)
            return brought, following, len(await self._owed())

    async def _ask_past(self, link: Link, kept: Kept, under_way: set[int]) -> Asked | None:
        """Ask about the latest hours of the latest day of the backlog, if there is one."""
        now_us, marks = self._clock.now_us(), await self._owed()
        due = [
            mark.hour
            for mark in marks
            if not is_live(mark.hour, now_us) and mark.hour not in under_way
        ]
        newest = next(iter(by_day(due).values()), [])
        chosen = _among(marks, set(newest[-self._hours_at_once :]))
        return await self._carrier.ask(link, chosen, kept) if chosen else None

    async def _read_ahead(self, asked: Asked | None) -> Load | None:
        return None if asked is None else await self._carrier.read(asked)

    def _note_pace(self, brought: Brought, took_s: float) -> None:
        """Take more hours at once as long as a step stays short and small."""
        if took_s > STEP_S or brought.buckets > STEP_BUCKETS:
            self._hours_at_once = max(1, self._hours_at_once // 2)
        elif took_s < STEP_S / 2 and brought.buckets < STEP_BUCKETS / 2:
            self._hours_at_once = min(24, self._hours_at_once * 2)

    async def _owed(self) -> list[Owed]:
        def attempt() -> list[Owed]:
            with translated():
                return owed.owed(self._database.read())

        return await anyio.to_thread.run_sync(attempt)


async def side_by_side(
    first: Callable[[], Awaitable[T]], second: Callable[[], Awaitable[U]]
) -> tuple[T, U]:
    """Do both at once; when both have ended, what one of them raised is raised as it is."""
    found: dict[int, Any] = {}
    failures: list[Exception] = []

    async def run(number: int, work: Callable[[], Awaitable[Any]]) -> None:
        try:
            found[number] = await work()
        except Exception as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, 0, first)
        tasks.start_soon(run, 1, second)
    if failures:
        raise failures[0]
    return found[0], found[1]


def _among(marks: Sequence[Owed], wanted: set[int]) -> Sequence[Owed]:
    return [mark for mark in marks if mark.hour in wanted]
