"""Fetching on a schedule: what is asked and when, and who is believed.

A source of the settings is believed as it was configured. A monitor that was found by mDNS is a
sender like any other: it waits in the inbox until it is claimed, and then its rule counts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import msgspec

from urbanos_edge.adapters import Candidate, Location, Malformed, Message, airgradient, purpleair
from urbanos_edge.clock import SECOND_US, Clock
from urbanos_edge.database import Database
from urbanos_edge.errors import EdgeError, NotFound
from urbanos_edge.feeds import Feed
from urbanos_edge.ingest.ingest import Ingest
from urbanos_edge.ingest.receipt import Receipt
from urbanos_edge.ingest.reception import Reception
from urbanos_edge.ingest.sensors import Sensors
from urbanos_edge.ingest.sources import Arrival
from urbanos_edge.pulls.errands import Brought
from urbanos_edge.pulls.fetching import LONGEST_WAIT_S, Clients, FetchFailed, Way
from urbanos_edge.pulls.turns import Kept, Standing, Turn, senders, turn_of, turn_of_found
from urbanos_edge.settings import Settings
from urbanos_edge.tokens import Token

MAX_AT_ONCE: Final = 8
"""Sources that are asked at the same time; the others wait until one is done."""
MAX_FOUND: Final = 200
"""Monitors found by mDNS that are asked; what is found beyond is turned away."""
FOUND_TIMEOUT_S: Final = 5.0
_COLUMNS: Final = ", ".join(Kept.__struct_fields__)
_SAVE: Final = f"INSERT OR REPLACE INTO pulls ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_REGISTERED: Final = "registered"
"""The source of a sensor that an operator added before it was heard of."""
_log = logging.getLogger(__name__)


class Pulls:
    """Everything that is fetched; used from the event loop."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        sensors: Sensors,
        reception: Reception,
        ingest: Ingest,
        own_token: Token,
        clock: Clock,
    ) -> None:
        self._max_bytes = settings.max_body_bytes
        self._database = database
        self._sensors = sensors
        self._reception = reception
        self._ingest = ingest
        self._own_token = own_token
        self._clock = clock
        self._clients = Clients()
        self._limiter = anyio.CapacityLimiter(MAX_AT_ONCE)
        self._news = anyio.Event()
        self._turns = {feed.label: turn_of(feed) for feed in settings.pull}
        self._found: dict[str, Turn] = {}
        self.turned_away = 0
        """Monitors that were found when there were `MAX_FOUND` already."""
        self._resume()

    def list(self) -> Sequence[Standing]:
        """How all stand: those of the settings in their order, then the found ones by name."""
        now_us = self._clock.now_us()
        found = sorted(self._found.copy().items())
        turns = (*self._turns.values(), *(turn for _, turn in found))
        return [turn.standing(now_us) for turn in turns]

    def failed(self) -> dict[str, int]:
        """By name, how often a source of the settings failed since the start."""
        return {label: turn.failed for label, turn in self._turns.items()}

    def found(self, kind: str, serial: str, url: str) -> None:
        """Ask a monitor from now on, wherever it says that it is now.

        One that the settings name, too, is asked as they say; one beyond `MAX_FOUND` is not.
        """
        named = _sensor_id(kind, serial)
        if named is None or urlsplit(url).scheme not in ("http", "https"):
            return
        known = self._found.get(named)
        if known is not None and known.feed.url == url:
            return
        if known is None and len(self._found) >= MAX_FOUND:
            self.turned_away += 1
            return
        is_airgradient = kind == airgradient.SOURCE
        feed = Feed(
            kind="airgradient" if is_airgradient else "purpleair",
            url=url,
            timeout_s=FOUND_TIMEOUT_S,
        )
        self._found[named] = turn_of_found(feed, named)
        self._news.set()

    def lost(self, kind: str, serial: str) -> None:
        """Ask a monitor that was found no more."""
        self._found.pop(_sensor_id(kind, serial) or "", None)

    async def fetch_forever(self) -> None:
        """Ask each source when it is due, none twice at once."""
        async with anyio.create_task_group() as tasks:
            while True:
                self._news = anyio.Event()
                for turn in self._due():
                    turn.ended = anyio.Event()
                    tasks.start_soon(self._ask, turn)
                with anyio.move_on_after(self._pause_s()):
                    await self._news.wait()

    async def now(self, name: str | None = None) -> Sequence[Standing]:
        """Ask one source, or all of the settings, at once, and tell how they stand then.

        Raises:
            NotFound: there is none of that name.
        """
        turns = {**self._found, **self._turns}
        if name is not None and name not in turns:
            raise NotFound(f"nothing called '{name[:120]}' is pulled; see: urbanos-edge pull list")
        wanted = [turns[name]] if name is not None else [*self._turns.values()]
        async with anyio.create_task_group() as tasks:
            for turn in wanted:
                tasks.start_soon(self._ask_at_once, turn)
        now_us = self._clock.now_us()
        return [turn.standing(now_us) for turn in wanted]

    async def _ask_at_once(self, turn: Turn) -> None:
        while turn.ended is not None:
            await turn.ended.wait()
        turn.ended = anyio.Event()
        await self._ask(turn, is_hurried=True)

    async def _ask(self, turn: Turn, *, is_hurried: bool = False) -> None:
        """Ask a source whose `ended` is set, and note what came of it."""
        assert turn.ended is not None
        try:
            async with self._limiter:
                began_s = time.monotonic()
                await self._fetch(turn, is_hurried)
            turn.note_success(began_s, self._clock.now_us())
        except EdgeError as error:
            turn.note_failure(error)
        except Exception:
            _log.exception("%s could not be fetched", turn.label)
            turn.note_failure(FetchFailed("internal error; see the log"))
        finally:
            turn.ended.set()
            turn.ended = None
            self._news.set()
        await self._keep(turn)

    async def _fetch(self, turn: Turn, is_hurried: bool) -> None:
        now = datetime.fromtimestamp(self._clock.now_us() / SECOND_US, UTC)
        async with (
            self._clients.getter(self._way(turn)) as getter,
            aclosing(turn.errand.run(getter, turn.marks, now)) as brought,
        ):
            async for one in brought:
                await self._take(turn, one, is_hurried)
                turn.marks = one.marks

    async def _take(self, turn: Turn, brought: Brought, is_hurried: bool) -> None:
        """Hand on what a source says for the first time.

        Raises:
            FetchFailed: nothing of it could be read, or nothing was taken.
            Unavailable, StorageUnavailable, DiskFull: nothing of it was kept.
        """
        message = brought.message
        errors = [one.error for one in message if isinstance(one, Malformed)]
        if errors and len(errors) == len(message):
            raise FetchFailed(f"nothing of it can be read: {errors[0].message}")
        if turn.feed.is_device:
            turn.senders = frozenset(senders(message))
            message = turn.sampled(message, is_hurried=is_hurried)
        own = self._own(turn, message)
        news = turn.said.news([_placed(one, turn.feed.place) for one in own])
        if news:
            turn.note_receipt(await self._hand_on(turn, news, brought.address))
            turn.said.remember(news)
        if own and turn.refusal is not None:
            raise FetchFailed(f"nothing of it was taken: {turn.refusal}")

    async def _hand_on(self, turn: Turn, news: Message, address: str) -> Receipt:
        came = Arrival(turn.feed.kind, address)
        if turn.is_found:
            return await self._reception.receive(news, came)
        return await self._ingest.accept(news, self._own_token, came)

    def _own(self, turn: Turn, message: Message) -> Message:
        """What a source says of its own sensors; those that report by themselves are not."""
        if turn.feed.is_device:
            return message
        sources = (None, turn.feed.kind, _REGISTERED)
        own = [one for one in message if self._source_of(one) in sources]
        turn.left_out += len(message) - len(own)
        return own

    def _source_of(self, element: Candidate | Malformed) -> str | None:
        """What introduced the sensor of an element; None when it is not known yet."""
        if isinstance(element, Malformed) or element.sensor_id is None:
            return None
        sensor = self._sensors.find(element.sensor_id)
        return sensor.source if sensor else None

    def _way(self, turn: Turn) -> Way:
        """A found monitor may be anybody: where it sends the node to, the node does not go."""
        feed = turn.feed
        key = (feed.key_header, feed.key) if feed.key else None
        return Way(feed.timeout_s, self._max_bytes, key, is_followed=not turn.is_found)

    def _due(self) -> Sequence[Turn]:
        now_s = time.monotonic()
        return [turn for turn in self._asked() if turn.ended is None and turn.next_s <= now_s]

    def _pause_s(self) -> float:
        """Until the next source is due that is not being asked."""
        waiting = [turn.next_s for turn in self._asked() if turn.ended is None]
        return max(min(waiting) - time.monotonic(), 0.0) if waiting else LONGEST_WAIT_S

    def _asked(self) -> Iterable[Turn]:
        """All sources, without found monitors that the settings name, too."""
        configured = {sender for turn in self._turns.values() for sender in turn.senders}
        found = (turn for label, turn in self._found.items() if label not in configured)
        return (*self._turns.values(), *found)

    def _resume(self) -> None:
        """Go on where the process before ended; what is no source any more is forgotten."""
        now_us = self._clock.now_us()
        query = f"SELECT {_COLUMNS} FROM pulls"
        rows: Sequence[Any] = self._database.read().execute(query).fetchall()
        for kept in (Kept(*row) for row in rows):
            if kept.name in self._turns:
                self._turns[kept.name].resume(kept, now_us, is_sure=self._clock.doubt is None)
        gone = [(row[0],) for row in rows if row[0] not in self._turns]
        if gone:
            delete = "DELETE FROM pulls WHERE name = ?"
            self._database.write_and_wait(lambda work: work.executemany(delete, gone))

    async def _keep(self, turn: Turn) -> None:
        """Make durable how a source stands; monitors are asked too often for that to be worth it.

        What is not kept now is the next time; a restart before would only ask once more.
        """
        if turn.feed.is_device:
            return
        row = msgspec.structs.astuple(turn.kept(self._clock.now_us()))
        try:
            await self._database.write(lambda work: work.execute(_SAVE, row))
        except EdgeError as error:
            _log.warning("how %s stands was not kept: %s", turn.label, error.message)


def _sensor_id(kind: str, serial: str) -> str | None:
    match kind:
        case airgradient.SOURCE:
            return airgradient.sensor_named(serial)
        case purpleair.SOURCE:
            return purpleair.sensor_named(serial)
    return None


def _placed(
    element: Candidate | Malformed, place: tuple[float, float] | None
) -> Candidate | Malformed:
    """An element that names no place, at that of its source."""
    if isinstance(element, Malformed) or element.location is not None or place is None:
        return element
    return msgspec.structs.replace(element, location=Location(*place))
