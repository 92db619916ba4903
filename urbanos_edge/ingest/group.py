"""Group commit: what arrives while the disk is busy becomes durable together.

One entry of the spool, one sync and one wake-up of the event loop serve every request of a group,
however many there are.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Final

import apsw

from urbanos_edge.batch import Packing
from urbanos_edge.database import Database
from urbanos_edge.errors import Unavailable
from urbanos_edge.ingest.dead_letters import DeadLetter, bury
from urbanos_edge.ingest.inbox import Held, drop, keep
from urbanos_edge.ingest.sensors import Sensor, Sensors
from urbanos_edge.ingest.spool import Spool, count

GROUP_READINGS: Final = 10_000
"""A group that holds as many takes no further request.

With the largest request on top its strings still have numbers of 16 bits.
"""
MAX_WAITING: Final = 4096
"""Requests that may wait for the disk; more are refused with 503."""
MAX_WAITING_READINGS: Final = 200_000
"""No request is taken while as many readings wait: some 30 MB."""


class Group:
    """What is committed in one transaction, and who waits for it."""

    def __init__(self) -> None:
        self.packing = Packing()
        self.letters: list[DeadLetter] = []
        self.held: list[Held] = []
        self.claimed: list[str] = []
        """Senders of whom what waited in the inbox is among the readings now."""
        self._candidates = 0
        self._introduced: dict[str, Sensor] = {}
        self._waiting: list[asyncio.Future[None]] = []

    def __len__(self) -> int:
        """Readings and what is held."""
        return len(self.packing) + self._candidates

    @property
    def introduced(self) -> list[Sensor]:
        return list(self._introduced.values())

    def introduce(self, sensors: Iterable[Sensor]) -> None:
        self._introduced |= {sensor.id: sensor for sensor in sensors}

    def hold(self, held: Iterable[Held]) -> None:
        """Let these wait in the inbox."""
        for message in held:
            self.held.append(message)
            self._candidates += len(message.kept)

    def wait(self) -> asyncio.Future[None]:
        """A future of the caller's own: one that gives up takes no other along."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        return waiter

    def end(self, failure: BaseException | None = None) -> None:
        """Tell all who wait."""
        for waiter in self._waiting:
            if waiter.done():
                continue
            if failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(failure)


class Groups:
    """The groups that wait for the disk, in order; used from the event loop."""

    def __init__(self, database: Database, spool: Spool, sensors: Sensors) -> None:
        self._database = database
        self._spool = spool
        self._sensors = sensors
        self._waiting: deque[Group] = deque()
        self.requests = 0
        """Requests that wait for the disk."""
        self._committing: asyncio.Task[None] | None = None

    def check_room(self, readings: int) -> None:
        """Raise Unavailable when too much waits for the disk, or the spool has no room."""
        waiting = sum(len(group) for group in self._waiting)
        self._spool.check_room(waiting + readings)
        if waiting >= MAX_WAITING_READINGS or self.requests >= MAX_WAITING:
            raise Unavailable("the node is busy; try again", code="overloaded")

    def open(self) -> Group:
        """The group that takes what comes now; it may close at the next `await`."""
        if not self._waiting or len(self._waiting[-1]) >= GROUP_READINGS:
            self._waiting.append(Group())
        return self._waiting[-1]

    async def commit(self, group: Group) -> None:
        """Return once all that the group holds is durable.

        Raises:
            Unavailable, StorageUnavailable, DiskFull: nothing of the group was kept.
        """
        waiter = group.wait()
        if self._committing is None or self._committing.done():
            # The task begins when all requests that came in together have had their turn.
            self._committing = asyncio.get_running_loop().create_task(self._commit_waiting())
        self.requests += 1
        try:
            await waiter
        finally:
            self.requests -= 1

    async def _commit_waiting(self) -> None:
        while self._waiting:
            group = self._waiting.popleft()
            try:
                await self._database.write(partial(self._keep, group))
            except BaseException as failure:
                group.end(failure)
                if not isinstance(failure, Exception):
                    raise
            else:
                self._spool.appended(len(group.packing))
                self._sensors.remember(group.introduced)
                group.end()

    def _keep(self, group: Group, connection: apsw.Connection) -> None:
        if len(group.packing):
            self._spool.append(connection, group.packing.payload(), len(group.packing))
        if group.introduced:
            self._sensors.save(connection, group.introduced)
        if group.letters:
            bury(connection, group.letters)
            count(connection, {"rejected": len(group.letters)})
        if group.held:
            keep(connection, group.held)
        if group.claimed:
            drop(connection, group.claimed)
