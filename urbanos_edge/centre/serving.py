"""The server of the centre: the routes that nodes answer alike, over the centre's atlas."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, cast

import anyio
import msgspec
import uvicorn
from litestar import Litestar, Response, get
from litestar.datastructures import State
from litestar.types import ASGIApp, ControllerRouterHandler

from urbanos_edge import __version__, ws
from urbanos_edge.access.crowd import Crowd, room_for
from urbanos_edge.access.guests import Guests, Readers
from urbanos_edge.api import gate, metrics, pages, reading
from urbanos_edge.api.document import told_at_its_address
from urbanos_edge.api.respond import error_response, json
from urbanos_edge.api.status import standards
from urbanos_edge.app import head_as_get, kept_running
from urbanos_edge.cache.answers import Answers
from urbanos_edge.cache.traffic import Traffic
from urbanos_edge.centre.atlas import CentralAtlas
from urbanos_edge.centre.metrics import registry
from urbanos_edge.centre.news import Changes, News
from urbanos_edge.centre.servers import Servers
from urbanos_edge.clock import HOUR_US, Clock, to_rfc3339
from urbanos_edge.discovery.announcement import host_label, instance_name
from urbanos_edge.grid import STORED_ZOOM, Tile
from urbanos_edge.live import MAX_READINGS, Draft, GridData, Live
from urbanos_edge.server.protocol import HttpProtocol, WebSocketProtocol
from urbanos_edge.server.server import OPTIONS, PatientServer
from urbanos_edge.settings import Settings

AT_ONCE: Final = 8
"""Grids whose news are asked for at the same time."""
MAX_ROWS: Final = 1000
_log = logging.getLogger(__name__)


class Centre:
    """All that one process of `central serve` is made of."""

    def __init__(self, settings: Settings, servers: Servers, readers: Readers | None) -> None:
        self.settings = settings
        self.servers = servers
        self.clock = Clock()
        self.changes = Changes(self.clock)
        self.atlas = CentralAtlas(settings, servers, self.changes, self.clock)
        self.live = Live()
        self.news = News(servers, self.clock, self.tell)
        self.traffic = Traffic()
        label = host_label(instance_name(settings.node_name))
        self.access = Guests(settings, label, readers)
        cache = self.atlas.cache
        self.answers = Answers(cache, self.traffic, self.access.door)
        self.numbers = registry(servers, self.news, self.live, cache, self.traffic)

    async def tell(self, tiles: Sequence[Tile] | None, since_hour: int) -> None:
        """Nodes brought something of the hours since one, in these tiles or anywhere.

        Our own cache hears of it first, as on a node.
        """
        self.changes.note(tiles)
        self.atlas.cache.something_changed()
        hours = range(since_hour, self.clock.now_us() // HOUR_US + 2)
        if tiles is None:
            self.live.resync()
            return
        touched = [room for room in self.live.rooms() if _meets(room, tiles)]
        if not touched:
            return
        has_readings = await self.atlas.has_readings()
        limiter = anyio.CapacityLimiter(AT_ONCE)
        drafts: list[Draft] = []

        async def draft(room: Tile) -> None:
            async with limiter:
                drafts.append(await self._draft(room, hours, has_readings))

        async with anyio.create_task_group() as tasks:
            for room in touched:
                tasks.start_soon(draft, room)
        self.live.send(self.live.number(drafts))

    async def _draft(self, room: Tile, hours: range, has_readings: bool) -> Draft:
        """What a grid has in these hours now, and its latest readings where there are any."""
        count, mean, highest, _ = await self.atlas.sums(room, hours)
        rows = await self.atlas.rows(room, MAX_ROWS) if has_readings else []
        since = to_rfc3339(hours.start * HOUR_US)
        latest = {row.sensor_id: row for row in reversed(rows) if row.timestamp >= since}
        shown = sorted(latest.values(), key=lambda row: row.timestamp, reverse=True)
        now = to_rfc3339(self.clock.now_us())
        data = GridData(
            count=count,
            avg_aqi=None if mean is None else round(mean, 2),
            max_aqi=highest,
            timestamp=now,
            readings=[msgspec.Raw(msgspec.json.encode(row)) for row in shown[:MAX_READINGS]],
            truncated=True,  # what cells have to tell is in the tile only
        )
        return Draft(room, data, now)


def create_app(centre: Centre) -> ASGIApp:
    """The ASGI application."""
    app = Litestar(
        route_handlers=[
            *reading(centre.atlas, centre.live),
            *standards(centre.atlas.standard, centre.atlas.cache),
            *_status(centre),
            *metrics.routes(centre.numbers),
            *pages.of_the_api(),
            ws.route(centre.live),
        ],
        lifespan=[lambda _: _running(centre)],
        exception_handlers={Exception: error_response},
        openapi_config=told_at_its_address("UrbanOS Edge, the centre"),
        state=State({"answers": centre.answers}),
        logging_config=None,
    )
    inside = gate.guarded(app, centre.access, pages.api_names())
    return head_as_get(metrics.counted(inside, centre.traffic))


def serve_forever(centre: Centre, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    crowd = Crowd(room_for(centre.settings.max_connections), centre.access.door.proxies)
    config = uvicorn.Config(
        create_app(centre),
        http=cast(type[asyncio.Protocol], partial(HttpProtocol, centre.answers, crowd)),
        ws=WebSocketProtocol,
        **OPTIONS,
    )
    _Server(config, centre.live).run(sockets=[listener])


class _Server(PatientServer):
    def __init__(self, config: uvicorn.Config, live: Live) -> None:
        super().__init__(config)
        self._live = live

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._live.end()
        await super().shutdown(sockets)


def _status(centre: Centre) -> list[ControllerRouterHandler]:
    @get("/health/live", sync_to_thread=False, tags=["status"])
    def alive() -> Response[bytes]:
        """The process answers."""
        return json({"status": "alive"})

    @get("/health/ready", sync_to_thread=False, tags=["status"])
    def ready() -> Response[bytes]:
        """Questions can be answered; 503 with reasons otherwise."""
        servers = centre.servers.standing()
        is_ready = any(server.state != "unreachable" for server in servers)
        reasons = [] if is_ready else ["no server of the centre answers"]
        told = {"status": "ready" if is_ready else "unready", "reasons": reasons}
        return json(told, 200 if is_ready else 503)

    @get("/api/v1/status", sync_to_thread=False, tags=["status"])
    def status() -> Response[bytes]:
        """Which servers are read, and how many follow grids."""
        return json(
            {
                "version": __version__,
                "now": to_rfc3339(centre.clock.now_us()),
                "boot": centre.live.boot,
                "seq": centre.live.seq,
                "aqi_standard": centre.settings.aqi_standard,
                "time_zone": centre.settings.time_zone,
                "listeners": centre.live.listeners,
                "servers": centre.servers.standing(),
            }
        )

    return [alive, ready, status]


@asynccontextmanager
async def _running(centre: Centre) -> AsyncIterator[None]:
    async with centre.servers.opened(), anyio.create_task_group() as tasks:
        if centre.servers.leader is None:
            _log.warning("the centre's primary does not answer yet")
        tasks.start_soon(kept_running, centre.servers.look_forever)
        tasks.start_soon(kept_running, centre.news.listen_forever)
        tasks.start_soon(kept_running, centre.live.look_forever)
        yield
        tasks.cancel_scope.cancel()


def _meets(room: Tile, changed: Sequence[Tile]) -> bool:
    """Whether a grid of any zoom has a part in tiles of `STORED_ZOOM`."""
    up = room.z - STORED_ZOOM
    if up >= 0:
        return Tile(STORED_ZOOM, room.x >> up, room.y >> up) in changed
    return any((x >> -up, y >> -up) == (room.x, room.y) for _, x, y in changed)
