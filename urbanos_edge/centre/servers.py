"""The centre's servers: where a question is asked, and how far behind the replicas are.

A replica is read as long as it has all that the primary had `MAX_LAG_S` ago, and all whose news
were told (`caught_up`). Compared are places in the log, not clocks: a replica of a primary that
rests is not behind.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, TypeVar, get_args

import anyio
import msgspec
import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from urbanos_edge.sync.central import CentreUnavailable
from urbanos_edge.sync.link import address, secured

MAX_CONNECTIONS: Final = 20
"""To each server, from each process: PostgreSQL has 100 for all, nodes too, unless it is told."""
IDLE_S: Final = 30.0
CONNECT_WITHIN_S: Final = 2
READ_WITHIN_S: Final = 15.0
MAX_LAG_S: Final = 5.0
LOOK_EVERY_S: Final = 1.0
CATCH_UP_EVERY_S: Final = 0.05
_PLACE: Final = """
SELECT pg_is_in_recovery(), (
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END
    - '0/0')::BIGINT"""

State = Literal["primary", "replica", "behind", "unreachable", "not a replica"]
"""What a server is to who reads: `replica` is read, `behind` is left out until it has caught up."""
STATES: Final[tuple[State, ...]] = get_args(State)

Connection = psycopg.AsyncConnection[Any]
_log = logging.getLogger(__name__)
T = TypeVar("T")


class Standing(msgspec.Struct, frozen=True):
    """A server as it is seen from here."""

    address: str
    state: State
    behind_bytes: int | None
    """How much of the log it lacks that the primary has, where both answer."""
    connections: int
    busy_connections: int
    waiting: int
    """Questions that wait for a connection."""
    asked: int
    """Questions since the start, of which `failed` were not answered, or not in time."""
    failed: int


class Server:
    """One PostgreSQL server; `place` is how far in the log it is, None while it does not answer."""

    def __init__(self, dsn: str, max_connections: int) -> None:
        self.dsn = dsn
        self.address = address(dsn)
        self.place: int | None = None
        self.is_replica = False
        self.asked = self.failed = 0
        self._failure = ""
        self._looking = anyio.Lock()
        self._probe: Connection | None = None
        """A connection of its own: in a busy pool it would have to wait."""
        self.pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            dsn,
            min_size=0,
            max_size=max_connections,
            max_idle=IDLE_S,
            timeout=CONNECT_WITHIN_S,
            reconnect_timeout=CONNECT_WITHIN_S,
            kwargs=parameters(dsn),
            check=AsyncConnectionPool.check_connection,
            open=False,
        )

    async def look(self) -> None:
        """Ask where it is."""
        async with self._looking:
            try:
                with anyio.fail_after(CONNECT_WITHIN_S):
                    self.is_replica, self.place = await self._ask_place()
                self._failure = ""
            except (psycopg.Error, TimeoutError) as error:
                self.place = None
                await self._end_probe()
                self._tell(" ".join(str(error).split()) or f"nothing within {CONNECT_WITHIN_S} s")

    async def _ask_place(self) -> tuple[bool, int]:
        if self._probe is None:
            self._probe = await Connection.connect(self.dsn, **parameters(self.dsn))
        row = await (await self._probe.execute(_PLACE.encode())).fetchone()
        assert row is not None
        return row[0], row[1]

    async def close(self) -> None:
        """End all connections."""
        await self._end_probe()
        await self.pool.close()

    async def _end_probe(self) -> None:
        if self._probe is not None:
            await self._probe.close()
        self._probe = None

    def _tell(self, failure: str) -> None:
        """Write down why it does not answer, once until that changes."""
        if failure != self._failure:
            _log.warning("%s does not answer: %s", self.address, failure)
        self._failure = failure


class Servers:
    """The primary and its replicas; used from the event loop."""

    def __init__(
        self,
        primary: str,
        replicas: Sequence[str] = (),
        max_connections: int = MAX_CONNECTIONS,
        max_lag_s: float = MAX_LAG_S,
    ) -> None:
        self._all = [Server(dsn, max_connections) for dsn in (primary, *replicas)]
        self._max_lag_s = max_lag_s
        self._marks: deque[tuple[float, int]] = deque()
        """Where the leader was when."""
        self._needed = 0
        """A replica that is not there yet is not read."""
        self._turn = 0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect until the block ends."""
        for server in self._all:
            await server.pool.open()
        try:
            await self.look()
            yield
        finally:
            for server in self._all:
                await server.close()

    async def look_forever(self) -> None:
        """Know who answers, and who is behind."""
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Ask all servers where they are."""
        async with anyio.create_task_group() as tasks:
            for server in self._all:
                tasks.start_soon(server.look)
        if self.leader is not None and self.leader.place is not None:
            self._mark(time.monotonic(), self.leader.place)

    @property
    def leader(self) -> Server | None:
        """Who takes writes: the primary, or once it is gone a replica that was promoted."""
        there = (server for server in self._all if server.place is not None)
        return next((server for server in there if not server.is_replica), None)

    @property
    def readable(self) -> list[Server]:
        """The replicas that are not behind."""
        there = (server for server in self._all if server.place is not None and server.is_replica)
        return [server for server in there if (server.place or 0) >= self._needed]

    def standing(self) -> list[Standing]:
        """Each server, the primary first; also from another thread."""
        leader, readable = self.leader, self.readable
        return [_standing(server, leader, readable) for server in self._all]

    async def read(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Ask a replica, in turn; where none can answer, the primary; at last who is behind.

        Raises:
            CentreUnavailable: nobody answers, not in time, or all connections are in use.
        """
        for server in self._order():
            server.asked += 1
            try:
                with anyio.fail_after(READ_WITHIN_S):
                    async with server.pool.connection() as connection:
                        return await work(connection)
            except PoolTimeout:
                server.failed += 1
                if server.place is not None:
                    raise CentreUnavailable(
                        "too many questions wait for the centre; try again shortly",
                        code="centre_busy",
                    ) from None
            except psycopg.OperationalError as error:
                server.failed += 1
                server.place = None
                _log.warning("%s does not answer: %s", server.address, " ".join(str(error).split()))
            except TimeoutError:
                server.failed += 1
                raise CentreUnavailable(f"the centre took over {READ_WITHIN_S:.0f} s") from None
        raise CentreUnavailable("none of the centre's servers answers; try again shortly")

    async def caught_up(self, place: int) -> None:
        """Wait until all replicas that are read have what the primary had there.

        A replica that takes longer than `MAX_LAG_S` is not read until it is there.
        """
        with anyio.move_on_after(self._max_lag_s):
            while any((server.place or 0) < place for server in self.readable):
                await anyio.sleep(CATCH_UP_EVERY_S)
                await self.look()
        self._needed = max(self._needed, place)

    def _order(self) -> list[Server]:
        readable = self.readable
        if readable:
            self._turn = (self._turn + 1) % len(readable)
            readable = readable[self._turn :] + readable[: self._turn]
        first = [*readable, *([self.leader] if self.leader else [])]
        others = (server for server in self._all if server.place is not None)
        return [*first, *(server for server in others if server not in first)]

    def _mark(self, now_s: float, place: int) -> None:
        if self._marks and place < self._marks[-1][1]:
            self._marks.clear()  # another leader, that did not have all
            self._needed = 0
        self._marks.append((now_s, place))
        while self._marks[0][0] <= now_s - self._max_lag_s:
            self._needed = max(self._needed, self._marks.popleft()[1])


def parameters(dsn: str) -> dict[str, Any]:
    """How a server is connected to; nothing of a session is used, so that a pool may be between."""
    told = secured(dsn) | {"application_name": "urbanos-edge central serve"}
    return {**told, "connect_timeout": CONNECT_WITHIN_S} | {
        "autocommit": True,
        "prepare_threshold": None,
    }


def _standing(server: Server, leader: Server | None, readable: Sequence[Server]) -> Standing:
    pool, place = server.pool.get_stats(), server.place
    ahead = None if leader is None else leader.place
    connections = pool.get("pool_size", 0)
    return Standing(
        address=server.address,
        state=_state(server, leader, readable),
        behind_bytes=None if ahead is None or place is None else max(ahead - place, 0),
        connections=connections,
        busy_connections=connections - pool.get("pool_available", 0),
        waiting=pool.get("requests_waiting", 0),
        asked=server.asked,
        failed=server.failed,
    )


def _state(server: Server, leader: Server | None, readable: Sequence[Server]) -> State:
    if server.place is None:
        return "unreachable"
    if server is leader:
        return "primary"
    if not server.is_replica:
        return "not a replica"
    return "replica" if server in readable else "behind"
