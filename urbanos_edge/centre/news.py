"""Hearing from the primary what nodes brought, and which places that is about.

Nodes notify when they have committed; what they say is who and of which hours. Where that is, is
asked of the aggregates, once for all that came within `GATHER_S`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import anyio
import msgspec
import psycopg

from urbanos_edge.centre.servers import Servers, parameters
from urbanos_edge.clock import HOUR_US, SECOND_US, Clock
from urbanos_edge.grid import FINEST_ZOOM, STORED_ZOOM, Bounds, Tile, tile_range
from urbanos_edge.rollup.window import HOURS
from urbanos_edge.sync.link import NEWS, to_moment

GATHER_S: Final = 0.5
WAIT_S: Final = 5.0
"""After this long without news the connection is asked whether it is still one."""
BEGIN_AGAIN_S: Final = 1.0
RESYNC_EVERY_S: Final = 10.0
"""All begin anew at most this often, however often the connection breaks."""
MAX_PLACES: Final = 200_000
"""Tiles that a change is remembered of; beyond it all count as changed."""
COARSE_ZOOM: Final = 8
"""Below it a tile has news all the time."""
COARSE_SLOT_S: Final = 10
MAX_TILES: Final = 256
_PLACES: Final = f"""
SELECT DISTINCT a.x18 >> {FINEST_ZOOM - STORED_ZOOM}, a.y18 >> {FINEST_ZOOM - STORED_ZOOM}
FROM pollution_aggregates AS a
JOIN unnest(%s::TEXT[], %s::TIMESTAMPTZ[], %s::TIMESTAMPTZ[]) AS n(node_id, since, until)
    ON a.node_id = n.node_id AND a.bucket_start >= n.since AND a.bucket_start < n.until
WHERE a.bucket_start >= %s"""
_PLACES_BY_CHANNEL: Final = {
    NEWS["pollution_aggregates"]: f"{_PLACES} AND a.quantity = 'aqi'",
    NEWS["pollution_data"]: _PLACES,
}
"""Without an index a sensor is on the map, a cell is not."""
_PLACE: Final = "SELECT (pg_current_wal_flush_lsn() - '0/0')::BIGINT"
_log = logging.getLogger(__name__)


Seconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]
"""Since 1970, up to the last that has a date."""


class Sent(msgspec.Struct, frozen=True):
    """A node has brought something of these hours."""

    node_id: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,40}$")]
    since: Seconds
    until: Seconds


class Changes:
    """When which places last changed, by numbers that mean nothing else."""

    def __init__(self, clock: Clock) -> None:
        self.number = 0
        self._clock = clock
        self._everywhere = 0
        self._by_tile: dict[Tile, int] = {}

    def note(self, tiles: Sequence[Tile] | None) -> None:
        """These tiles of `STORED_ZOOM` changed; None: anything may have."""
        self.number += 1
        if tiles is None or len(self._by_tile) > MAX_PLACES:
            self._by_tile.clear()
            self._everywhere = self.number
        for _, x, y in tiles or ():
            for up in range(STORED_ZOOM - COARSE_ZOOM + 1):
                self._by_tile[Tile(STORED_ZOOM - up, x >> up, y >> up)] = self.number

    def last_in(self, area: Tile | Bounds) -> tuple[int, int]:
        """The current hour, and the last change in an area.

        Of large areas a number that is new every `COARSE_SLOT_S`: they are dear and change always.
        """
        now_us = self._clock.now_us()
        tiles = _tiles_of(area)
        if tiles is None:
            return now_us // HOUR_US, -(now_us // (COARSE_SLOT_S * SECOND_US))
        last = max((self._by_tile.get(tile, 0) for tile in tiles), default=0)
        return now_us // HOUR_US, max(self._everywhere, last)


class News:
    """Listens on one connection to the primary; `tell` gets what changed, and when."""

    def __init__(
        self,
        servers: Servers,
        clock: Clock,
        tell: Callable[[Sequence[Tile] | None, int], Awaitable[None]],
    ) -> None:
        self._servers = servers
        self._clock = clock
        self._tell = tell
        self.is_listening = False
        self._resynced_s = -math.inf
        self._has_missed = True

    async def listen_forever(self) -> None:
        """Listen, and begin again where the connection ends; anything may have changed then."""
        while True:
            leader = self._servers.leader
            try:
                if leader is not None:
                    async with await psycopg.AsyncConnection.connect(
                        leader.dsn, **parameters(leader.dsn)
                    ) as connection:
                        await self._listen(connection)
            except psycopg.Error as error:
                _log.warning("no news from the centre: %s", " ".join(str(error).split()))
            finally:
                self.is_listening = False
            await anyio.sleep(BEGIN_AGAIN_S)

    async def _listen(self, connection: psycopg.AsyncConnection[Any]) -> None:
        for channel in NEWS.values():
            await connection.execute(f"LISTEN {channel}".encode())
        self.is_listening = True
        self._has_missed = True
        while True:
            wait_s = await self._resync()
            said = [one async for one in connection.notifies(timeout=wait_s, stop_after=1)]
            if said:
                said += [one async for one in connection.notifies(timeout=GATHER_S)]
            row = await (await connection.execute(_PLACE.encode())).fetchone()
            if said and row is not None:
                await self._hear(connection, said, row[0])

    async def _resync(self) -> float:
        """Tell that anything may have changed, once it is time; return how long to wait then."""
        due_s = self._resynced_s + RESYNC_EVERY_S - anyio.current_time()
        if self._has_missed and due_s > 0:
            return min(due_s, WAIT_S)
        if self._has_missed:
            self._resynced_s, self._has_missed = anyio.current_time(), False
            await self._tell(None, self._since_hour())
        return WAIT_S

    async def _hear(
        self, connection: psycopg.AsyncConnection[Any], said: Sequence[psycopg.Notify], place: int
    ) -> None:
        since_hour, tiles = self._since_hour(), set[Tile]()
        read = {(notice.channel, _sent(notice.payload)) for notice in said}
        sent = [(at, one) for at, one in read if one and one.until > since_hour * 3600]
        for channel, query in _PLACES_BY_CHANNEL.items():
            spans = _spans([one for at, one in sent if at == channel])
            values = (*spans, to_moment(since_hour * HOUR_US))
            cursor = await connection.execute(query.encode(), values)
            tiles |= {Tile(STORED_ZOOM, x, y) for x, y in await cursor.fetchall()}
        if tiles:
            await self._servers.caught_up(place)
            first = min(one.since // 3600 for _, one in sent)
            await self._tell(list(tiles), max(first, self._since_hour()))

    def _since_hour(self) -> int:
        """The first hour of the window."""
        return self._clock.now_us() // HOUR_US - HOURS + 1


def _sent(payload: str) -> Sent | None:
    """What was said; None where it cannot be read: any login can notify, and no node says such."""
    try:
        return msgspec.json.decode(payload, type=Sent)
    except (msgspec.DecodeError, RecursionError):
        return None


def _spans(sent: Sequence[Sent]) -> tuple[list[str], list[datetime], list[datetime]]:
    """As columns: of which node, from when until when."""
    return (
        [one.node_id for one in sent],
        [to_moment(one.since * SECOND_US) for one in sent],
        [to_moment(one.until * SECOND_US) for one in sent],
    )


def _tiles_of(area: Tile | Bounds) -> list[Tile] | None:
    """The tiles of zooms that changes are remembered at; None where there are too many."""
    if isinstance(area, Tile):
        up = max(area.z - STORED_ZOOM, 0)
        return None if area.z < COARSE_ZOOM else [Tile(area.z - up, area.x >> up, area.y >> up)]
    first, last = tile_range(area, STORED_ZOOM)
    if (last.x - first.x + 1) * (last.y - first.y + 1) > MAX_TILES:
        return None
    columns, rows = range(first.x, last.x + 1), range(first.y, last.y + 1)
    return [Tile(STORED_ZOOM, x, y) for x in columns for y in rows]
