"""Bounded fan-out per grid: who listens to a tile hears of every change in it.

A room is one tile somebody listens to. A message is encoded once per room and change and numbered
for the whole node; recent ones are kept, so that a listener who comes back hears what it missed.
A room outlives its last listener for a while for the same reason.

Where not everybody may listen, each listener's right is asked for again before every frame and
every second: a token that was revoked and a login that is over end what was begun with them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge.access.shares import SHARE
from urbanos_edge.alerts.events import Alert, Event, Kind
from urbanos_edge.clock import to_rfc3339
from urbanos_edge.errors import Unprocessable
from urbanos_edge.grid import FINEST_ZOOM, Tile, tile_at
from urbanos_edge.ingest.reports import Change, Report, Shown
from urbanos_edge.query.rows import row_of
from urbanos_edge.rollup.rollup import Update, inside

MAX_WAITING_BYTES: Final = 64 << 10
"""What may wait from earlier when something new comes, before a listener is cut."""
MAX_READINGS: Final = 100
MAX_GRIDS: Final = 1024
"""Grids one listener may follow."""
MAX_ROOMS: Final = 8192
MAX_ROOMS_OF_ONE: Final = MAX_ROOMS // SHARE
"""That one address may be in, so that nobody fills them all with grids that nobody looks at."""
KEEP_ROOM_S: Final = 600
RESUME_HOLDS_S: Final = 10
"""How long after a resume grids may be named that it speaks for; later ones are new to a map."""
MAX_HISTORY_BYTES: Final = 16 << 20
REPLAYS_AT_ONCE: Final = 4
REPLAY_EVERY_S: Final = 1.0
"""How often a listener may have what was kept searched after that; it may be all of it."""
LOOK_WHO_MAY_EVERY_S: Final = 1.0


class GridData(msgspec.Struct):
    """What one change brought to a grid: aggregates of unflagged readings, latest per sensor."""

    count: int
    avg_aqi: float | None = msgspec.field(name="avgAqi")
    max_aqi: int | None = msgspec.field(name="maxAqi")
    timestamp: str
    readings: list[msgspec.Raw]
    truncated: bool | msgspec.UnsetType = msgspec.UNSET


class GridUpdate(msgspec.Struct, tag="grid-update", tag_field="type"):
    """The frame a listener gets."""

    grid_id: str = msgspec.field(name="gridId")
    data: GridData
    timestamp: str
    seq: int
    boot: str


class AlertNews(msgspec.Struct, tag="alert", tag_field="type"):
    """The frame that tells what happened to an alert at a place in the grid."""

    grid_id: str = msgspec.field(name="gridId")
    id: str
    event: Kind
    alert: Alert
    timestamp: str
    seq: int
    boot: str


class ReportNews(msgspec.Struct, tag="report", tag_field="type"):
    """The frame that tells that everybody may see a report in the grid, or no longer."""

    grid_id: str = msgspec.field(name="gridId")
    event: Change
    report: Shown
    timestamp: str
    seq: int
    boot: str


@dataclass(frozen=True, slots=True)
class ReportChange:
    """What happened to a report."""

    event: Change
    report: Shown


class Way(Protocol):
    """The way out to a client, where frames can be written at once as long as it keeps up."""

    def is_free(self) -> bool:
        """Whether what was written before is on its way."""

    def write(self, frames: Sequence[bytes]) -> None:
        """Send whole frames; called only while the way is free."""

    def drop(self) -> None:
        """Break the connection off; what is on its way is lost."""


@dataclass(slots=True, eq=False)
class Listener:
    """One connection: its grids, and the frames that wait for it.

    Somebody awaits `next` and sends what it returns. With a `way`, frames go there directly while
    none wait: a thousand tasks need not be woken for it.
    """

    way: Way | None = None
    whose: str = ""
    """The address that its rooms are counted for."""
    may_stay: Callable[[], bool] | None = None
    """Whether it may still listen; none where everybody may."""
    grids: set[Tile] = field(default_factory=set)
    resumed_from: int | None = None
    resumed_at_s: float = 0.0
    cut: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it must be ended: it is too slow, or `is_dismissed`."""
    is_dismissed: bool = False
    _waiting: deque[bytes] = field(default_factory=deque)
    _waiting_bytes: int = 0
    _is_idle: bool = False
    """Whether all that was taken by `next` has been sent, so that nothing can be overtaken."""
    _ended: bool = False
    _replayed_until_s: float = 0.0
    """Up to when its replays are earned, at one every `REPLAY_EVERY_S`."""
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)

    def judge(self) -> None:
        """Before anything new is queued: too much waiting from earlier marks it for the cut.

        What one change brings to many grids is not held against a listener; it is encoded once
        for all of them.
        """
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self._give_up()

    def look(self) -> None:
        """Mark it for the cut when it may not listen any more."""
        if self.may_stay is not None and not self.may_stay():
            self.is_dismissed = True
            self._give_up()

    def _give_up(self) -> None:
        self.cut.set()
        self._waiting.clear()
        self._wake.set()

    def put(self, *frames: bytes) -> None:
        """Send frames at once or queue them, unless the listener is to be cut."""
        self.look()
        if self.cut.is_set():
            return
        if self.way is not None and self._is_idle and not self._waiting and self.way.is_free():
            self.way.write(frames)
        else:
            self._waiting.extend(frames)
            self._waiting_bytes += sum(map(len, frames))
            self._wake.set()

    def end(self) -> None:
        """Let it have what waits, and nothing after that."""
        self._ended = True
        self._wake.set()

    async def next(self) -> bytes | None:
        """Wait for the next frame; None when it must be cut, or at the end."""
        while not (self._waiting or self._ended or self.cut.is_set()):
            self._wake.clear()
            self._is_idle = True
            await self._wake.wait()
        self._is_idle = False
        if self.cut.is_set() or not self._waiting:
            return None
        frame = self._waiting.popleft()
        self._waiting_bytes -= len(frame)
        if self._waiting_bytes <= MAX_WAITING_BYTES:
            self._room.set()
        return frame

    def note_replay(self) -> None:
        """What was kept has been searched for it."""
        self._replayed_until_s = max(self._replayed_until_s, time.monotonic()) + REPLAY_EVERY_S

    async def has_room(self) -> None:
        """Wait until it may ask again: not before it reads, nor for one replay after the other."""
        while self._waiting_bytes > MAX_WAITING_BYTES and not self.cut.is_set():
            self._room.clear()
            await self._room.wait()
        early_s = self._replayed_until_s - time.monotonic() - REPLAYS_AT_ONCE * REPLAY_EVERY_S
        if early_s > 0:
            await asyncio.sleep(early_s)


@dataclass(slots=True)
class _Room:
    open_since_seq: int
    listeners: set[Listener] = field(default_factory=set)
    whose: Counter[str] = field(default_factory=Counter)
    """How many of them are of which address."""
    empty_since_s: float | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One encoded frame and the room it is for."""

    seq: int
    tile: Tile
    frame: bytes


class Live:
    """All rooms; used from the event loop, except `draft`."""

    def __init__(self) -> None:
        self.boot = secrets.token_hex(8)
        self.seq = 0
        self._present: set[Listener] = set()
        self._rooms_of: Counter[str] = Counter()
        """In how many rooms each address is."""
        self._rooms: dict[Tile, _Room] = {}
        self._empty: dict[Tile, None] = {}
        """The empty ones among them, the longest empty first."""
        self._history: deque[Message] = deque()
        self._history_bytes = 0
        self._forgotten_seq = 0

    @property
    def listeners(self) -> int:
        """How many there are, with grids or without."""
        return len(self._present)

    def join(self, listener: Listener) -> None:
        """Look after a listener until it leaves."""
        self._present.add(listener)

    def subscribe(self, listener: Listener, tiles: Sequence[Tile]) -> None:
        """Follow more grids; what a resume shortly before promised is sent for them too.

        Raises:
            Unprocessable: more than `MAX_GRIDS` for one listener, `MAX_ROOMS_OF_ONE` for one
                address, or `MAX_ROOMS` for the node.
        """
        if len(listener.grids | set(tiles)) > MAX_GRIDS:
            raise Unprocessable(f"at most {MAX_GRIDS} grids per connection", code="too_many_grids")
        fresh = [tile for tile in dict.fromkeys(tiles) if tile not in listener.grids]
        for tile in fresh:
            self._enter(listener, tile)
        is_resuming = time.monotonic() < listener.resumed_at_s + RESUME_HOLDS_S
        if listener.resumed_from is not None and is_resuming and fresh:
            self._replay(listener, listener.resumed_from, set(fresh))

    def unsubscribe(self, listener: Listener, tiles: Sequence[Tile]) -> None:
        for tile in tiles:
            if tile in listener.grids:
                self._exit(listener, tile)

    def leave(self, listener: Listener) -> None:
        """Take a listener out of all its rooms."""
        self.unsubscribe(listener, list(listener.grids))
        self._present.discard(listener)

    def resume(self, listener: Listener, seq: int, boot: str) -> None:
        """Send what was missed since `seq`, or say that the client must fetch anew."""
        if boot != self.boot or seq > self.seq:
            self._resync(listener)
            return
        listener.resumed_from, listener.resumed_at_s = seq, time.monotonic()
        self._replay(listener, seq, listener.grids)

    def resync(self) -> None:
        """Tell every listener that something may have been missed."""
        for listener in {one for room in self._rooms.values() for one in room.listeners}:
            self._resync(listener)

    def end(self) -> None:
        """The node stops: let every listener go."""
        for listener in {one for room in self._rooms.values() for one in room.listeners}:
            listener.end()

    async def look_forever(self) -> None:
        """End those who may not listen any more, also where there is no news for them."""
        while True:
            await asyncio.sleep(LOOK_WHO_MAY_EVERY_S)
            for listener in self._present:
                listener.look()

    def rooms(self) -> list[Tile]:
        """The tiles somebody listens to or did a short while ago; long empty ones are closed."""
        horizon_s = time.monotonic() - KEEP_ROOM_S
        for tile, room in list(self._rooms.items()):
            if room.empty_since_s is not None and room.empty_since_s < horizon_s:
                self._close_room(tile)
        return list(self._rooms)

    def send(self, messages: Sequence[Message]) -> None:
        """Hand encoded messages to their rooms and keep them for those who come back."""
        frames: dict[Listener, list[bytes]] = {}
        for message in messages:
            self._remember(message)
            room = self._rooms.get(message.tile)
            for listener in room.listeners if room else ():
                frames.setdefault(listener, []).append(message.frame)
        for listener, news in frames.items():
            listener.judge()
            listener.put(*news)

    def draft(self, update: Update, rooms: Sequence[Tile], now_us: int) -> Iterator[Draft]:
        """Draft the frames of a change for the rooms it touches; may run in any thread."""
        rows: dict[int, msgspec.Raw] = {}
        for tile in rooms:
            sites = np.flatnonzero(inside(tile, update.sites))
            if sites.size:
                data = _grid_data(update, tile, sites, rows, now_us)
                yield Draft(tile, data, to_rfc3339(now_us))

    def draft_alerts(
        self, events: Sequence[Event], rooms: Sequence[Tile], now_us: int
    ) -> Iterator[Draft]:
        """Draft what happened to alerts for the rooms around their places; in any thread."""
        for event in events:
            lat, lng = event.alert.lat, event.alert.lng
            if lat is None or lng is None:
                continue
            for tile in _around(lat, lng, rooms):
                yield Draft(tile, event, to_rfc3339(now_us))

    def draft_report(
        self, report: Report, change: Change, rooms: Sequence[Tile], now_us: int
    ) -> Iterator[Draft]:
        """Draft for the rooms around its place that a report may be seen, or no longer."""
        news = ReportChange(change, report.shown)
        for tile in _around(report.lat, report.lng, rooms):
            yield Draft(tile, news, to_rfc3339(now_us))

    def number(self, drafts: Sequence[Draft]) -> list[Message]:
        """Give drafts their sequence numbers, in order."""
        first = self.seq + 1
        self.seq += len(drafts)
        return [
            Message(seq, draft.tile, draft.frame(seq, self.boot))
            for seq, draft in enumerate(drafts, start=first)
        ]

    def _enter(self, listener: Listener, tile: Tile) -> None:
        room, whose = self._rooms.get(tile), listener.whose
        is_new_to_it = room is None or not room.whose[whose]
        if is_new_to_it and self._rooms_of[whose] >= MAX_ROOMS_OF_ONE:
            raise Unprocessable("your address follows too many grids", code="too_many_rooms")
        if room is None:
            self._make_room()
            room = self._rooms[tile] = _Room(open_since_seq=self.seq)
        room.listeners.add(listener)
        room.whose[whose] += 1
        self._rooms_of[whose] += is_new_to_it
        room.empty_since_s = None
        self._empty.pop(tile, None)
        listener.grids.add(tile)

    def _exit(self, listener: Listener, tile: Tile) -> None:
        room, whose = self._rooms[tile], listener.whose
        listener.grids.discard(tile)
        room.listeners.discard(listener)
        room.whose[whose] -= 1
        if not room.whose[whose]:
            del room.whose[whose]
            self._rooms_of[whose] -= 1
            if not self._rooms_of[whose]:
                del self._rooms_of[whose]
        if not room.listeners:
            room.empty_since_s = time.monotonic()
            self._empty[tile] = None

    def _make_room(self) -> None:
        """Close the room that has been empty longest when there are too many."""
        if len(self._rooms) < MAX_ROOMS:
            return
        longest = next(iter(self._empty), None)
        if longest is None:
            raise Unprocessable("the node follows too many grids", code="too_many_rooms")
        self._close_room(longest)

    def _close_room(self, tile: Tile) -> None:
        del self._rooms[tile]
        self._empty.pop(tile, None)

    def _replay(self, listener: Listener, seq: int, tiles: set[Tile]) -> None:
        if not tiles:
            return
        listener.note_replay()
        covered = seq >= self._forgotten_seq and all(
            self._rooms[tile].open_since_seq <= seq for tile in tiles
        )
        if not covered:
            self._resync(listener)
            return
        later = takewhile(lambda one: one.seq > seq, reversed(self._history))
        missed = [one.frame for one in later if one.tile in tiles]
        if missed:
            listener.put(*reversed(missed))

    def _resync(self, listener: Listener) -> None:
        frame = {"type": "resync", "seq": self.seq, "boot": self.boot}
        listener.put(msgspec.json.encode(frame))

    def _remember(self, message: Message) -> None:
        self._history.append(message)
        self._history_bytes += len(message.frame)
        while self._history_bytes > MAX_HISTORY_BYTES:
            forgotten = self._history.popleft()
            self._history_bytes -= len(forgotten.frame)
            self._forgotten_seq = forgotten.seq


@dataclass(frozen=True, slots=True)
class Draft:
    """A frame that has no number yet."""

    tile: Tile
    news: GridData | Event | ReportChange
    sent_at: str

    def frame(self, seq: int, boot: str) -> bytes:
        numbered = (self.sent_at, seq, boot)
        grid_id, news = self.tile.grid_id, self.news
        if isinstance(news, Event):
            told = AlertNews(grid_id, news.id, news.event, news.alert, *numbered)
            return msgspec.json.encode(told)
        if isinstance(news, ReportChange):
            return msgspec.json.encode(ReportNews(grid_id, news.event, news.report, *numbered))
        return msgspec.json.encode(GridUpdate(grid_id, news, *numbered))


def _around(lat: float, lng: float, rooms: Sequence[Tile]) -> Iterator[Tile]:
    """Those of the rooms that hold a point."""
    _, x, y = tile_at(lat, lng, FINEST_ZOOM)
    for tile in rooms:
        shift = FINEST_ZOOM - tile.z
        if (x >> shift, y >> shift) == (tile.x, tile.y):
            yield tile


def _grid_data(
    update: Update,
    tile: Tile,
    sites: npt.NDArray[np.intp],
    rows: dict[int, msgspec.Raw],
    now_us: int,
) -> GridData:
    latest = update.view.latest
    columns = {name: latest[name][update.sensors] for name in ("x18", "y18")}
    sensors = update.sensors[inside(tile, columns)]
    newest = sensors[np.argsort(-latest["timestamp_us"][sensors], kind="stable")][:MAX_READINGS]
    graded = int(update.sites["graded"][sites].sum())
    total = int(update.sites["aqi_sum"][sites].sum())
    return GridData(
        count=int(update.sites["readings"][sites].sum()),
        avg_aqi=round(total / graded, 2) if graded else None,
        max_aqi=int(update.sites["aqi_max"][sites].max()) if graded else None,
        timestamp=to_rfc3339(now_us),
        readings=[_encoded_row(update, row, rows) for row in newest.tolist()],
        truncated=True if len(sensors) > MAX_READINGS else msgspec.UNSET,
    )


def _encoded_row(update: Update, row: int, rows: dict[int, msgspec.Raw]) -> msgspec.Raw:
    """A sensor's latest row as JSON, encoded once however many rooms show it."""
    encoded = rows.get(row)
    if encoded is None:
        encoded = rows[row] = msgspec.Raw(msgspec.json.encode(row_of(update.view.latest, row)))
    return encoded
