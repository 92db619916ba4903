"""The node: every part put together, and the path of a change through them."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import apsw

from urbanos_edge.access.access import Access
from urbanos_edge.alerts.alerts import Alerts
from urbanos_edge.alerts.delivery import Delivery
from urbanos_edge.alerts.outbox import Outbox
from urbanos_edge.allowance import Allowance, Rate
from urbanos_edge.aqi import STANDARDS
from urbanos_edge.backup.backup import Backups
from urbanos_edge.basemap.basemap import Basemap, installed
from urbanos_edge.batch import Batch, pack, unpack
from urbanos_edge.cache.answers import Answers
from urbanos_edge.cache.cache import Cache
from urbanos_edge.cache.purge import Place, Purge
from urbanos_edge.cache.shelf import Shelf
from urbanos_edge.cache.traffic import Durations, Traffic
from urbanos_edge.clock import Clock, Correction
from urbanos_edge.database import DATABASE_NAME, Database
from urbanos_edge.discovery.announcement import host_label, instance_name
from urbanos_edge.discovery.nearby import Nearby
from urbanos_edge.disk import DiskGuard
from urbanos_edge.engine import Engine
from urbanos_edge.errors import EdgeError
from urbanos_edge.expire import Expiry
from urbanos_edge.grid import Tile
from urbanos_edge.hours.aggregates import Aggregates
from urbanos_edge.hours.hours import Hours
from urbanos_edge.ingest.dead_letters import DeadLetters
from urbanos_edge.ingest.inbox import Inbox, shift
from urbanos_edge.ingest.ingest import Ingest
from urbanos_edge.ingest.passwords import Passwords
from urbanos_edge.ingest.reception import Reception
from urbanos_edge.ingest.registry import Registry
from urbanos_edge.ingest.reports import Reports
from urbanos_edge.ingest.requeue import requeue
from urbanos_edge.ingest.sensors import Sensors
from urbanos_edge.ingest.sources import Sources
from urbanos_edge.ingest.spool import Spool
from urbanos_edge.live import Draft, Live
from urbanos_edge.mqtt.subscription import Subscription
from urbanos_edge.names import parse_field_map
from urbanos_edge.news import News
from urbanos_edge.pulls.pulls import Pulls
from urbanos_edge.quality.corrections import Corrections
from urbanos_edge.quality.formulas import parse_source_corrections
from urbanos_edge.quality.grading import grade
from urbanos_edge.quality.watch import Watch
from urbanos_edge.query.averaging import Averaging
from urbanos_edge.query.explanation import Explanations
from urbanos_edge.query.export import Exports
from urbanos_edge.query.history import History
from urbanos_edge.query.query import Query
from urbanos_edge.query.shown import Shown
from urbanos_edge.reading import Reading
from urbanos_edge.rollup.recent import Recent
from urbanos_edge.rollup.rollup import Rollup, View
from urbanos_edge.settings import Origin, Settings
from urbanos_edge.slowness import Slowness
from urbanos_edge.store import owed
from urbanos_edge.store.compact import Compactor
from urbanos_edge.store.drain import Drain, Drained
from urbanos_edge.store.flush import Flushed, Mover, Settle
from urbanos_edge.store.identity import fold
from urbanos_edge.store.regrade import Gradings
from urbanos_edge.store.restamp import known_doubt, restamp, settle
from urbanos_edge.store.store import Store
from urbanos_edge.sync.sync import Sync
from urbanos_edge.tls.tls import FOLDER, Tls
from urbanos_edge.tokens import Token, Tokens
from urbanos_edge.uptime import Fault, Uptime

OWN_TOKEN = Token(0, "gateway", None, "the node itself", 0)
RELOAD = -1
"""A number of losses that the store never has."""
_log = logging.getLogger(__name__)


class Node:
    """Opens a data directory that the process owns; `close` leaves it whole."""

    def __init__(
        self,
        settings: Settings,
        data_dir: Path,
        *,
        origins: Mapping[str, Origin] | None = None,
        keep_unlisted: bool = False,
    ) -> None:
        self.settings = settings
        self._is_closed = False
        self.origins = origins or {}
        """Who gave the settings that are not at their default."""
        self.data_dir = data_dir.resolve()
        self.slowness = Slowness(settings.slow_query_ms / 1000)
        self.database = Database(self.data_dir / DATABASE_NAME, self.slowness)
        try:
            self._compose(settings, keep_unlisted)
        except BaseException:
            self.database.close()  # its thread would keep the process alive
            raise

    def _compose(self, settings: Settings, keep_unlisted: bool) -> None:
        """Make every part, in the order of the flow."""
        self.clock = Clock(known_doubt(self.database))
        self.started_us = self.clock.now_us()
        self.standard = STANDARDS[settings.aqi_standard]
        self.field_map = parse_field_map(settings.field_map)
        self.engine = Engine(
            settings.duckdb_memory_mib,
            self.data_dir / ".tmp" / "duckdb",
            [self.data_dir],
            self.slowness,
        )
        self._compose_entrance(settings)
        self._compose_store(settings, keep_unlisted)
        self._compose_keeping(settings)
        self._compose_reads(settings)
        self._compose_others(settings)
        self.basemap: Basemap | None = None
        self.uptime = Uptime(self.database, self.clock)
        self.flush_failure: str | None = None
        self.flushes = Durations()
        """Of those that moved something."""
        self.flushed_us: int | None = None
        """When the last one succeeded."""
        self._urgent_thread = anyio.CapacityLimiter(1)
        """One at a time, so that news keep their order, and none waits behind queries."""
        self.flushing = anyio.Lock()
        """Held while the store and the rollup change together."""
        self._losses = self.store.losses
        self.disk_was_low = anyio.Event()
        self.backups = Backups()
        self.scrub: dict[str, Any] = {"verified": 0, "damaged": 0, "last_at": None}
        self.open_basemap()

    def _compose_entrance(self, settings: Settings) -> None:
        """Who may come in, and the way from there to the spool."""
        self.tokens = Tokens(self.database, self.clock)
        self.sensors = Sensors(self.database)
        self.sources = Sources(self.database, self.sensors, self.clock)
        self.inbox = Inbox(self.database)
        self.spool = Spool(self.database, settings.spool_limit)
        self.dead_letters = DeadLetters(self.database)
        self.disk = DiskGuard(
            self.data_dir, settings.disk_reserve_mib, settings.ballast_mib, self.started_us
        )
        self.ingest = Ingest(
            self.database,
            self.spool,
            self.disk,
            self.sensors,
            self.sources,
            self.inbox,
            self.clock,
            self._deliver_urgent,
        )
        passwords = Passwords(self.database)
        self.reception = Reception(self.tokens, self.sources, passwords, self.ingest)
        label = host_label(instance_name(settings.node_name))
        self.access = Access(
            settings, label, self.database, self.clock, self.tokens, self.reception
        )
        self.registry = Registry(
            self.database,
            self.sensors,
            self.sources,
            self.tokens,
            self.inbox,
            passwords,
            self.ingest,
            self.clock,
        )

    def _compose_store(self, settings: Settings, keep_unlisted: bool) -> None:
        """What moves readings out of the spool, into which files."""
        self.store = Store(self.data_dir, self.database, self.engine, keep_unlisted=keep_unlisted)
        self.corrections = Corrections(
            self.database, parse_source_corrections(settings.source_corrections)
        )
        self.mover = Mover(
            self.spool,
            self.store,
            self.engine,
            self.standard,
            self.clock,
            Watch(settings.neighbour_radius_km * 1000),
            self.corrections,
        )
        self.gradings = Gradings(self.store, self.engine, self.standard)
        self.drain = Drain(
            self.database,
            self.spool,
            self.mover,
            self.clock,
            settings.batch_size,
            settings.max_retries,
        )

    def _compose_keeping(self, settings: Settings) -> None:
        """What keeps the files few, counted and no longer than they may be."""
        self.compactor = Compactor(
            self.store,
            self.engine,
            self.clock,
            lambda: self.disk.room_bytes,
            settings.compact_duty_percent,
        )
        self.hours = Hours(self.data_dir, self.database, self.engine, self.store, self.clock)
        self.expiry = Expiry(
            self.store,
            self.hours,
            self.clock,
            settings.retention_days,
            settings.rollup_retention_days,
            self.database,
            self.disk,
            settings.owes_readings,
        )
        if settings.sync_dsn:
            begin = partial(owed.begin, now_us=self.started_us, mode=settings.sync_mode)
            self.database.write_and_wait(begin)

    def _compose_reads(self, settings: Settings) -> None:
        """What is in memory, and what questions are answered from."""
        self.rollup = Rollup(
            self.standard, self.store, self.hours, self.engine, self.clock.now_us()
        )
        self.recent = Recent(self.store, self.engine, settings.recent_memory_mib << 20)
        self.query = Query(self.store, self.engine, self.recent, self.standard)
        self.history = History(
            self.store,
            self.hours,
            self.recent,
            self.engine,
            self.standard,
            self.clock,
            settings.time_zone,
            settings.cache_ttl_historical_s,
        )
        self.averaging = Averaging(self.history, self.standard, self.clock)
        self.explanations = Explanations(
            Shown(self.store, self.engine, self.recent),
            self.history,
            self.averaging,
            self.corrections,
            self.standard,
        )
        self.exports = Exports(self.store)
        self.cache = Cache(Shelf(self.data_dir / "cache"))
        self.traffic = Traffic()
        self.answers = Answers(self.cache, self.traffic, self.access.door)
        self.purge = Purge(settings.cdn_purge_url)
        self.live = Live()

    def _compose_others(self, settings: Settings) -> None:
        """Everybody else: the centre, brokers, receivers of alerts, devices, people."""
        self.node_id = settings.node_id or self._own_id()
        self.aggregates = Aggregates(self.hours, self.database, self.engine, self.data_dir / ".tmp")
        self.sync = Sync(
            settings,
            self.node_id,
            self.database,
            self.hours,
            self.store,
            self.engine,
            self.clock,
        )
        self.subscription = Subscription(
            settings, self.node_id, self.reception, self.field_map, self.clock
        )
        self.outbox = Outbox(self.database)
        self.delivery = Delivery(self.outbox, settings, self.clock)
        self.alerts = Alerts(
            self.database, self.sensors, self.delivery.receivers, self.node_id, self.view()
        )
        self.news = News(self.live, self.alerts, self.cache, self.purge, self.delivery, self.clock)
        self.reports = Reports(
            self.database,
            self.clock,
            Allowance(Rate.read(settings.report_rate_limit)),
            settings.report_retention_days,
            self.news.tell_of_report,
        )
        self.pulls = Pulls(
            settings,
            self.database,
            self.sensors,
            self.reception,
            self.ingest,
            OWN_TOKEN,
            self.clock,
        )
        self.nearby = Nearby(self.pulls, self.sources, self.clock)
        self.tls = Tls(self.data_dir / FOLDER, settings, self.clock)

    def close(self) -> None:
        """Close the files; what was accepted and not flushed waits in the spool. Once is enough."""
        if self._is_closed:
            return
        self._is_closed = True
        if self.basemap is not None:
            self.basemap.close()
        self.cache.close()
        self.compactor.close()
        self.exports.close()
        self.engine.close()
        with suppress(EdgeError):  # a minute counts as down that was not
            self.uptime.keep()
        self.database.close()

    def view(self) -> View:
        """The rollup as of now."""
        return self.rollup.view(self.clock.now_us())

    async def flush(self) -> None:
        """Move everything that waits in the spool into the store, and tell who listens.

        What arrives meanwhile waits for the next flush: else a busy node would write a handful of
        ever smaller files each time.

        Raises:
            StorageUnavailable, DiskFull: what was not moved is still in the spool.
        """
        async with self.flushing:
            began_s, has_moved = anyio.current_time(), False
            while (drained := await self._flush_chunk()) is not None:
                has_moved = True
                if drained.is_all:
                    break
            if self._losses != self.store.losses:
                await anyio.to_thread.run_sync(self.reload)
            if has_moved:
                self.flushes.note(anyio.current_time() - began_s)
        self.flush_failure, self.flushed_us = None, self.clock.now_us()

    async def store_past(self, arrivals: Batch, settle: Settle, watch: Watch) -> Flushed:
        """Store what was measured long ago: `watch` flags it, and no alert is made of it.

        Raises:
            StorageUnavailable, DiskFull: nothing was stored.
        """
        async with self.flushing:
            rooms = self.live.rooms()
            store = partial(self.mover.store, arrivals, settle, watch)
            stored = await anyio.to_thread.run_sync(store)
            await self._follow([stored], rooms, alerting=False)
        return stored

    async def restamp(self, correction: Correction) -> int:
        """Move what was stamped in doubt to its right time; return how many readings moved.

        Done again after it failed halfway, it moves the rest.
        """
        await self.flush()
        await self.database.write(partial(shift, correction=correction))
        async with self.flushing:
            moved = await anyio.to_thread.run_sync(self._move_in_time, correction)
        await self.database.write(partial(settle, correction=correction))
        _log.warning("%d readings were restamped by %.1f s", moved, correction.shift_us / 1e6)
        return moved

    def _move_in_time(self, correction: Correction) -> int:
        now_us = self.clock.now_us()
        moved = restamp(
            self.store, self.engine, self.standard, self.corrections, correction, now_us
        )
        self.reload()  # also where nothing moved: it was another day until now
        return moved

    async def reload_alone(self) -> None:
        """As `reload`, while nothing is stored."""
        async with self.flushing:
            await anyio.to_thread.run_sync(self.reload)

    async def requeue(self, ids: Sequence[int] | None) -> int:
        """Send dead letters through the door again, as `requeue` does, all when none are named."""
        return await requeue(self.dead_letters, self.ingest, OWN_TOKEN, ids)

    def open_basemap(self) -> None:
        """Serve the installed basemap, if there is one that can be read."""
        path = installed(self.data_dir)
        if path is None:
            return
        replaced = self.basemap
        try:
            self.basemap = Basemap(path)
            if replaced is not None:
                replaced.close()
                self.cache.something_changed()
                self.purge.note_everything()
        except EdgeError as error:
            _log.error("the basemap cannot be read: %s", error.message)

    def faults(self) -> list[Fault]:
        """Why the node cannot take readings or answer; empty when it can."""
        faults = []
        if (why := self.flush_failure) is not None:
            faults.append(Fault("flush_failed", f"the last flush failed: {why}", why))
        if self.disk.is_low:
            faults.append(Fault("disk_low", "the disk is almost full; readings are refused"))
        if self.spool.depth >= self.settings.spool_limit:
            faults.append(Fault("spool_full", "the spool is full"))
        return faults

    async def _flush_chunk(self) -> Drained | None:
        rooms = self.live.rooms()
        drained = await anyio.to_thread.run_sync(self.drain.step)
        if drained is not None:
            self.spool.settled(drained.readings)
            await self._follow(drained.parts, rooms)
        return drained

    async def _follow(
        self, parts: Sequence[Flushed], rooms: Sequence[Tile], *, alerting: bool = True
    ) -> None:
        """Let memory and listeners follow what was stored; what fails is made up for by a reload.

        Of several parts each may count hours anew that the next is stored in already.
        """
        if len(parts) > 1:
            self._losses = RELOAD
        try:
            roll_up = partial(self._roll_up, parts, rooms, alerting=alerting)
            self.news.announce(*await anyio.to_thread.run_sync(roll_up))
        except BaseException:
            self._losses = RELOAD
            raise

    def _roll_up(
        self, parts: Sequence[Flushed], rooms: Sequence[Tile], *, alerting: bool = True
    ) -> tuple[list[Draft], set[Place]]:
        """Count what was stored, and draft the news, in a worker thread."""
        drafts: list[Draft] = []
        changed: set[Place] = set()
        for part in parts:
            now_us = self.clock.now_us()
            self.recent.add(part.batch, part.revised, now_us)
            update = self.rollup.apply(part.batch, part.revised, now_us)
            told, places = self.news.draft(update, part.batch, rooms, now_us, alerting=alerting)
            drafts += told
            changed |= places
        self.history.follow()
        return drafts, changed

    def reload(self) -> None:
        """Make what is in memory follow the store, which changed otherwise than by a flush."""
        self._losses = self.store.losses
        self.recent.forget()
        self.history.follow()
        self.rollup.reload(self.clock.now_us())
        self.alerts.reload()
        self.cache.something_changed()
        self.purge.note_everything()

    async def _deliver_urgent(self, readings: Sequence[Reading]) -> None:
        rooms = self.live.rooms()
        show = partial(self._show_urgent, readings, rooms)
        self.news.announce(*await anyio.to_thread.run_sync(show, limiter=self._urgent_thread))

    def _show_urgent(
        self, readings: Sequence[Reading], rooms: Sequence[Tile]
    ) -> tuple[list[Draft], set[Place]]:
        """In a worker thread: a flush may hold the rollup's lock."""
        batch = self.corrections.correct(fold(unpack([pack(readings)]), {}).batch)
        grade(self.standard, batch)
        now_us = self.clock.now_us()
        return self.news.draft(self.rollup.deliver(batch, now_us), batch, rooms, now_us)

    def _own_id(self) -> str:
        """This node's id, made at the first start and kept."""
        made = f"node-{secrets.token_hex(4)}"

        def work(connection: apsw.Connection) -> str:
            connection.execute("INSERT OR IGNORE INTO node VALUES ('id', ?)", (made,))
            kept: str = connection.execute("SELECT value FROM node WHERE name = 'id'").get
            return kept

        return self.database.write_and_wait(work)
