"""The node: every part put together, and the path of a change through them."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import apsw
import msgspec

from urbanos_edge import __version__
from urbanos_edge.adapters import node_json
from urbanos_edge.answers import Answers
from urbanos_edge.aqi import STANDARDS
from urbanos_edge.backup import last_backups
from urbanos_edge.basemap import Basemap
from urbanos_edge.batch import pack, unpack
from urbanos_edge.cache import Cache
from urbanos_edge.clock import Clock, Correction, to_rfc3339
from urbanos_edge.compact import Compactor, plan
from urbanos_edge.database import DATABASE_NAME, Database
from urbanos_edge.dead_letters import DeadLetters
from urbanos_edge.disk import DiskGuard, forecast
from urbanos_edge.drain import Drain
from urbanos_edge.engine import Engine
from urbanos_edge.errors import EdgeError
from urbanos_edge.expire import Expiry
from urbanos_edge.flush import Flushed, Mover
from urbanos_edge.grading import grade
from urbanos_edge.grid import Tile
from urbanos_edge.hours import Hours
from urbanos_edge.identity import fold
from urbanos_edge.ingest import Ingest
from urbanos_edge.live import Draft, Live
from urbanos_edge.manifest import File, Quarantined, quarantined
from urbanos_edge.purge import Place, Purge
from urbanos_edge.query import Query
from urbanos_edge.reading import Reading
from urbanos_edge.recent import NOTHING_HERE_US, Recent
from urbanos_edge.restamp import known_doubt, remember_doubt, restamp
from urbanos_edge.rollup import Rollup, View
from urbanos_edge.sensors import Sensors
from urbanos_edge.settings import Settings
from urbanos_edge.shelf import Shelf
from urbanos_edge.spool import Spool
from urbanos_edge.store import Store
from urbanos_edge.tokens import Token, Tokens

BASEMAP_NAME = "basemap.mbtiles"
LOOK_AT_CLOCK_S = 1
RETRY_DISK_S = 5
MAX_SHOWN = 20
"""Files set aside that the status names, the newest."""
LOOK_AT_DISK_S = 2
EXPIRE_EVERY_S = 3600
COUNT_HOURS_EVERY_S = 30
LOOK_AT_RECENT_S = 5
LOAD_PAUSE = 0.25
"""Of the time that loading an hour takes."""
OWN_TOKEN = Token(0, "gateway", None, "the node itself", 0)
_log = logging.getLogger(__name__)


class Node:
    """Opens a data directory that the process owns; `close` leaves it whole."""

    def __init__(self, settings: Settings, data_dir: Path, *, keep_unlisted: bool = False) -> None:
        self.settings = settings
        self.data_dir = data_dir.resolve()
        self.database = Database(self.data_dir / DATABASE_NAME)
        try:
            self._compose(settings, keep_unlisted)
        except BaseException:
            self.database.close()  # its thread would keep the process alive
            raise

    def _compose(self, settings: Settings, keep_unlisted: bool) -> None:
        self.clock = Clock(known_doubt(self.database))
        self.started_us = self.clock.now_us()
        self.standard = STANDARDS[settings.aqi_standard]
        self.engine = Engine(
            settings.duckdb_memory_mib, self.data_dir / ".tmp" / "duckdb", [self.data_dir]
        )
        self.tokens = Tokens(self.database, self.clock)
        self.sensors = Sensors(self.database)
        self.spool = Spool(self.database, settings.spool_limit)
        self.dead_letters = DeadLetters(self.database)
        self.disk = DiskGuard(
            self.data_dir, settings.disk_reserve_mib, settings.ballast_mib, self.started_us
        )
        self.ingest = Ingest(
            self.database, self.spool, self.disk, self.sensors, self.clock, self._deliver_urgent
        )
        self.store = Store(self.data_dir, self.database, self.engine, keep_unlisted=keep_unlisted)
        self.mover = Mover(self.spool, self.store, self.engine, self.standard, self.clock)
        self.drain = Drain(
            self.database,
            self.spool,
            self.mover,
            self.clock,
            settings.batch_size,
            settings.max_retries,
        )
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
        )
        self.rollup = Rollup(
            self.standard, self.store, self.hours, self.engine, self.clock.now_us()
        )
        self.recent = Recent(self.store, self.engine, settings.recent_memory_mib << 20)
        self.query = Query(self.store, self.engine, self.recent, self.standard)
        self.cache = Cache(Shelf(self.data_dir / "cache"))
        self.answers = Answers(self.cache)
        self.purge = Purge(settings.cdn_purge_url)
        self.live = Live()
        self.node_id = settings.node_id or self._own_id()
        self.basemap: Basemap | None = None
        self.flush_failure: str | None = None
        self._urgent_thread = anyio.CapacityLimiter(1)
        """One at a time, so that news keep their order, and none waits behind queries."""
        self.flushing = anyio.Lock()
        """Held while the store and the rollup change together."""
        self._losses = self.store.losses
        self.backing_up = anyio.Lock()
        self.backup_failure: str | None = None
        self.scrub: dict[str, Any] = {"verified": 0, "damaged": 0, "last_at": None}
        self.open_basemap()

    def close(self) -> None:
        """Close the files; what was accepted and not flushed waits in the spool."""
        if self.basemap is not None:
            self.basemap.close()
        self.cache.close()
        self.compactor.close()
        self.engine.close()
        self.database.close()

    def view(self) -> View:
        """The rollup as of now."""
        return self.rollup.view(self.clock.now_us())

    async def flush(self) -> None:
        """Move everything that waits in the spool into the store, and tell who listens.

        Raises:
            StorageUnavailable, DiskFull: what was not moved is still in the spool.
        """
        async with self.flushing:
            while await self._flush_chunk():
                pass
            if self._losses != self.store.losses:
                await anyio.to_thread.run_sync(self.reload)
        self.flush_failure = None

    async def flush_forever(self) -> None:
        """Flush at every interval; a failure is remembered for the status and tried again."""
        while True:
            await anyio.sleep(self._pause_s())
            try:
                await self.flush()
            except EdgeError as error:
                self.flush_failure = error.message
                _log.error("flush failed, will be tried again: %s", error.message)
            except Exception:
                self.flush_failure = "internal error; see the log"
                _log.exception("flush failed, will be tried again")

    async def compact_forever(self) -> None:
        """Fold and seal what is due, within the share of the time it may take."""
        try:
            while True:
                step = self.compactor.paced_step
                await anyio.sleep(await anyio.to_thread.run_sync(step, abandon_on_cancel=True))
        finally:
            self.compactor.stop()

    async def count_hours_forever(self) -> None:
        """Count the hours that changed, once they are quiet."""
        while True:
            try:
                while await anyio.to_thread.run_sync(self.hours.step):
                    pass
            except EdgeError as error:
                _log.error("hourly aggregates failed, will be tried again: %s", error.message)
            await anyio.sleep(COUNT_HOURS_EVERY_S)

    async def load_recent_forever(self) -> None:
        """Bring the readings of the last 24 hours into memory, beside everything else."""
        while True:
            began_s = anyio.current_time()
            try:
                async with self.flushing:
                    load = partial(self.recent.load_more, self.clock.now_us())
                    has_loaded = await anyio.to_thread.run_sync(load)
            except EdgeError as error:
                has_loaded = False
                _log.error("recent readings could not be loaded: %s", error.message)
            took_s = anyio.current_time() - began_s
            await anyio.sleep(took_s * LOAD_PAUSE if has_loaded else LOOK_AT_RECENT_S)

    async def expire_forever(self) -> None:
        """Drop what is older than the retention, within the hour."""
        while True:
            try:
                dropped = await anyio.to_thread.run_sync(self.expiry.drop_if_sure)
                for partition in dropped:
                    _log.info("%s is older than the retention and was dropped", partition.day)
            except EdgeError as error:
                _log.error("expiry failed, will be tried again: %s", error.message)
            await anyio.sleep(EXPIRE_EVERY_S)

    async def watch_disk_forever(self) -> None:
        """Look at the disk every few seconds."""
        while True:
            await anyio.to_thread.run_sync(self.disk.look)
            await anyio.sleep(LOOK_AT_DISK_S)

    async def watch_clock_forever(self) -> None:
        """Look at the clock every second; once it is set, mend what it stamped before."""
        doubt = known_doubt(self.database)
        while True:
            correction = self.clock.look()
            if self.clock.doubt != doubt:
                doubt = self.clock.doubt
                await self.database.write(partial(remember_doubt, doubt=doubt))
            if correction is not None:
                await self.restamp(correction)
            await anyio.sleep(LOOK_AT_CLOCK_S)

    async def restamp(self, correction: Correction) -> int:
        """Move what was stamped in doubt to its right time; return how many readings moved."""
        await self.flush()
        async with self.flushing:
            moved = await anyio.to_thread.run_sync(self._move_in_time, correction)
        self.cache.something_changed()
        _log.warning("%d readings were restamped by %.1f s", moved, correction.shift_us / 1e6)
        return moved

    def _move_in_time(self, correction: Correction) -> int:
        now_us = self.clock.now_us()
        moved = restamp(self.store, self.engine, self.standard, correction, now_us)
        if moved:
            self.reload()
        return moved

    def _pause_s(self) -> float:
        """The interval, or less while something fails: 1, 2, 4 s for a batch, 5 s for the disk."""
        failures = self.drain.failures
        interval_s = self.settings.flush_interval_s
        if failures:
            return min(interval_s, 2.0 ** (failures - 1))
        return min(interval_s, RETRY_DISK_S) if self.flush_failure else interval_s

    async def requeue(self, ids: Sequence[int] | None) -> int:
        """Send dead letters through the door again, all when none are named.

        What is accepted is no letter any more; what is refused again becomes a new one. Returns
        how many were accepted.
        """
        accepted = 0
        for number, payload in self.dead_letters.payloads(ids):
            receipt = await self.ingest.accept(node_json.read_lines(payload), OWN_TOKEN)
            accepted += receipt.accepted
            await self.dead_letters.purge([number])
        return accepted

    def open_basemap(self) -> None:
        """Serve the installed basemap, if there is one that can be read."""
        path = self.data_dir / BASEMAP_NAME
        if not path.exists():
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

    def status(self) -> dict[str, Any]:
        """What an operator or a page wants to know at a glance; blocks on the database."""
        view, connection, doubt = self.view(), self.database.read(), self.clock.doubt
        files, aside = self.store.files, quarantined(connection)
        current = view.latest["timestamp_us"] >= view.since_us
        return {
            "node": {"id": self.node_id, "name": self.settings.node_name},
            "version": __version__,
            "boot": self.live.boot,
            "seq": self.live.seq,
            "demo": self.settings.demo,
            "started_at": to_rfc3339(self.started_us),
            "now": to_rfc3339(self.clock.now_us()),
            "clock_in_doubt_since": doubt and to_rfc3339(doubt.since_us),
            "aqi_standard": self.standard.id,
            "time_zone": self.settings.time_zone,
            "flush_interval_s": self.settings.flush_interval_s,
            "sensors": {"total": len(self.sensors), "reporting": int(current.sum())},
            "bounds": _extent(view, current),
            "spool": {"readings": self.spool.depth},
            "store": {
                "rows": sum(file.rows for file in files),
                "files": len(files),
                "bytes": sum(file.bytes for file in files),
            },
            "aggregates": self._aggregates_status(connection),
            "recent": self._recent_status(),
            "compaction": self._compaction_status(files),
            "disk": self._disk_status(files),
            "totals": _totals(connection),
            "unknown_quantities": dict(self.ingest.unknown_quantities),
            "listeners": self.live.listeners,
            "quarantined": len(aside),
            "quarantine": [_set_aside(file) for file in aside[-MAX_SHOWN:]],
            "scrub": self.scrub,
            "backup": {**last_backups(connection), "failure": self.backup_failure},
            "flush_failure": self.flush_failure,
        }

    def _recent_status(self) -> dict[str, Any]:
        horizon_us = self.recent.horizon_us
        return {
            "since": None if horizon_us == NOTHING_HERE_US else to_rfc3339(horizon_us),
            "readings": self.recent.rows,
            "bytes": self.recent.bytes,
            "is_loading": self.recent.is_loading,
        }

    def _aggregates_status(self, connection: apsw.Connection) -> dict[str, Any]:
        files = self.hours.store.files
        waiting = connection.execute("SELECT count(*) FROM changed_hours").get
        return {
            "files": len(files),
            "bytes": sum(file.bytes for file in files),
            "hours_waiting": waiting,
        }

    def _compaction_status(self, files: Sequence[File]) -> dict[str, Any]:
        last = self.compactor.last
        return {
            "files_of_fullest_day": max(Counter(file.day for file in files).values(), default=0),
            "jobs_due": len(plan(files, self.clock.now_us())),
            "last": last and {**msgspec.to_builtins(last), "at": to_rfc3339(last.ended_at_us)},
            "failure": self.compactor.failure,
        }

    def _disk_status(self, files: Sequence[File]) -> dict[str, Any]:
        now_us = self.clock.now_us()
        arrivals = [(file.max_received_us, file.bytes) for file in files]
        growth = forecast(arrivals, self.disk.free_bytes, self.settings.retention_days, now_us)
        return {
            "free_bytes": self.disk.free_bytes,
            "is_low": self.disk.is_low,
            "growth_bytes_per_day": growth.bytes_per_day,
            "full_in_days": growth.full_in_days,
            "written_bytes_per_day": self.disk.written_per_day(now_us),
        }

    def faults(self) -> list[str]:
        """Why the node cannot take readings or answer, in plain words; empty when it can."""
        faults = []
        if self.flush_failure is not None:
            faults.append(f"the last flush failed: {self.flush_failure}")
        if self.disk.is_low:
            faults.append("the disk is almost full; readings are refused")
        if self.spool.depth >= self.settings.spool_limit:
            faults.append("the spool is full")
        return faults

    async def _flush_chunk(self) -> bool:
        rooms = self.live.rooms()
        drained = await anyio.to_thread.run_sync(self.drain.step)
        if drained is None:
            return False
        self.spool.settled(drained.readings)
        self._announce(*await anyio.to_thread.run_sync(self._roll_up, drained.parts, rooms))
        return True

    def _roll_up(
        self, parts: Sequence[Flushed], rooms: Sequence[Tile]
    ) -> tuple[list[Draft], set[Place]]:
        """Count what was stored, and draft the news, in a worker thread."""
        drafts: list[Draft] = []
        changed: set[Place] = set()
        for part in parts:
            now_us = self.clock.now_us()
            self.recent.add(part.batch, part.revised, now_us)
            update = self.rollup.apply(part.batch, part.revised, now_us)
            drafts += self.live.draft(update, rooms, now_us)
            changed |= self.purge.changed_in(update.view)
        return drafts, changed

    def reload(self) -> None:
        """Make what is in memory follow the store, which changed otherwise than by a flush."""
        self._losses = self.store.losses
        self.recent.forget()
        self.rollup.reload(self.clock.now_us())
        self.cache.something_changed()
        self.purge.note_everything()

    async def _deliver_urgent(self, readings: Sequence[Reading]) -> None:
        rooms = self.live.rooms()
        show = partial(self._show_urgent, readings, rooms)
        self._announce(*await anyio.to_thread.run_sync(show, limiter=self._urgent_thread))

    def _show_urgent(
        self, readings: Sequence[Reading], rooms: Sequence[Tile]
    ) -> tuple[list[Draft], set[Place]]:
        """In a worker thread: a flush may hold the rollup's lock."""
        batch = fold(unpack([pack(readings)]), {}).batch
        grade(self.standard, batch)
        now_us = self.clock.now_us()
        update = self.rollup.deliver(batch, now_us)
        drafts = list(self.live.draft(update, rooms, now_us))
        return drafts, self.purge.changed_in(update.view)

    def _announce(self, drafts: Sequence[Draft], changed: set[Place]) -> None:
        """Tell our own cache first: who hears the news must not get what was before it."""
        self.cache.something_changed()
        self.purge.note(changed)
        self.live.send(self.live.number(drafts))

    def _own_id(self) -> str:
        """This node's id, made at the first start and kept."""
        made = f"node-{secrets.token_hex(4)}"

        def work(connection: apsw.Connection) -> str:
            connection.execute("INSERT OR IGNORE INTO node VALUES ('id', ?)", (made,))
            kept: str = connection.execute("SELECT value FROM node WHERE name = 'id'").get
            return kept

        return self.database.write_and_wait(work)


def _totals(connection: apsw.Connection) -> dict[str, int]:
    """Readings since the first start by outcome, and the letters kept."""
    outcomes = dict.fromkeys(("stored", "duplicates", "revisions", "rejected"), 0)
    outcomes |= dict(connection.execute("SELECT outcome, readings FROM totals"))
    letters: int = connection.execute("SELECT count(*) FROM dead_letters").get
    return outcomes | {"dead_letters": letters}


def _set_aside(file: Quarantined) -> dict[str, Any]:
    found_at = to_rfc3339(file.found_at_us)
    return {"day": file.day, "rows": file.rows, "found_at": found_at, "reason": file.reason}


def _extent(view: View, current: Any) -> dict[str, float] | None:
    lng, lat = view.latest["lng"][current], view.latest["lat"][current]
    if not len(lng):
        return None
    return {
        "minLat": float(lat.min()),
        "maxLat": float(lat.max()),
        "minLng": float(lng.min()),
        "maxLng": float(lng.max()),
    }
