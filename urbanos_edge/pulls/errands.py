"""What is asked of each kind of source, and how its answers are read."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol
from urllib.parse import quote
from zoneinfo import ZoneInfo

import anyio.to_thread
import httpx
import msgspec

from urbanos_edge.adapters import (
    Message,
    airgradient,
    openaq,
    purpleair,
    records,
    sensor_community,
)
from urbanos_edge.archives.columns import parse_map
from urbanos_edge.feeds import MAX_LOCATIONS, Feed
from urbanos_edge.names import parse_field_map
from urbanos_edge.pulls.fetching import FetchFailed, Getter, Marks

LIST_EVERY: Final = timedelta(days=1)
"""How often the locations of an area are asked for."""
SILENT: Final = timedelta(days=7)
"""A location that has said nothing for so long is left out until the next list."""
NEWS: Final = timedelta(days=1)
"""What OpenAQ calls a location's latest may be years old; older than this it is no news."""
Read = Callable[[bytes, datetime], Message]
"""Reads an answer that came at a moment."""
_log = logging.getLogger(__name__)


class Brought(msgspec.Struct, frozen=True):
    """A message, the address that gave it, and the marks to ask for the next one with."""

    message: Message
    address: str
    marks: Marks


class Errand(Protocol):
    """One source's way of being asked; what it brings comes piece by piece."""

    def run(self, getter: Getter, marks: Marks, now: datetime) -> AsyncGenerator[Brought, None]:
        """Bring what is new.

        Raises:
            FetchFailed, BadRequest, MapError: what came before it is good.
        """
        ...


def errand_of(feed: Feed) -> Errand:
    """The errand for a feed that was checked."""
    match feed.kind:
        case "airgradient":
            return OneAnswer(feed.url, _whenever(airgradient.read))
        case "purpleair":
            return OneAnswer(feed.url, _whenever(purpleair.read))
        case "sensor-community":
            return OneAnswer(feed.url, _whenever(sensor_community.read))
        case "openaq":
            return Locations(feed)
        case "json":
            return OneAnswer(feed.url, _by_plan(records.read_json, feed))
        case "csv":
            return OneAnswer(feed.url, _by_plan(records.read_csv, feed))


class OneAnswer:
    """A source whose every answer is a whole message."""

    def __init__(self, url: str, read: Read) -> None:
        self._url = url
        self._read = read

    async def run(
        self, getter: Getter, marks: Marks, now: datetime
    ) -> AsyncGenerator[Brought, None]:
        answer = await getter.get(self._url, marks)
        if answer.body is not None:
            message = await anyio.to_thread.run_sync(self._read, answer.body, now)
            yield Brought(message, answer.address, answer.marks)


class Locations:
    """OpenAQ: one location after the other, going on where the last time broke off."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._root = feed.url.rstrip("/")
        self._names = parse_field_map(feed.map)
        self._stations: deque[openaq.Station] = deque()
        self._listed: datetime | None = None
        self._unlisted = deque[str]()

    async def run(
        self, getter: Getter, marks: Marks, now: datetime
    ) -> AsyncGenerator[Brought, None]:
        await self._list(getter, now)
        for _ in range(len(self._stations)):
            station = self._stations[0]
            self._stations.rotate(-1)  # one that fails holds up the others once
            answer = await getter.get(f"{self._root}/locations/{station.id}/latest?limit=100")
            since = now - NEWS
            message = openaq.read_latest(answer.body or b"", station, self._names, since)
            yield Brought(message, answer.address, Marks())

    async def _list(self, getter: Getter, now: datetime) -> None:
        """Ask for the locations once a day, and for no part of the list twice."""
        if self._listed is None or now - self._listed >= LIST_EVERY:
            self._stations.clear()
            self._unlisted = deque(self._parts())
            self._listed = now
        while self._unlisted:
            self._stations += await self._listed_at(self._unlisted[0], getter, now)
            self._unlisted.popleft()
        if len(self._stations) > MAX_LOCATIONS:
            there = len(self._stations)
            _log.warning("%s: of %d locations %d are asked", self._feed.label, there, MAX_LOCATIONS)
            self._stations = deque(list(self._stations)[:MAX_LOCATIONS])

    async def _listed_at(
        self, part: str, getter: Getter, now: datetime
    ) -> Sequence[openaq.Station]:
        try:
            answer = await getter.get(f"{self._root}/{part}")
        except FetchFailed as error:
            if error.answered != httpx.codes.NOT_FOUND:
                raise
            _log.warning("%s: there are no %s any more", self._feed.label, part)
            return ()
        return openaq.read_locations(answer.body or b"", now - SILENT)

    def _parts(self) -> list[str]:
        if self._feed.bbox:
            return [f"locations?bbox={quote(self._feed.bbox, safe=',')}&limit=1000"]
        return [f"locations/{number}" for number in self._feed.locations]


def _whenever(read: Callable[[bytes], Message]) -> Read:
    return lambda body, _now: read(body)


def _by_plan(read: Callable[[bytes, records.Plan, datetime], Message], feed: Feed) -> Read:
    plan = _plan(feed)
    return lambda body, now: read(body, plan, now)


def _plan(feed: Feed) -> records.Plan:
    return records.Plan(
        source=feed.kind,
        prefix=feed.label,
        chosen=parse_map(feed.map),
        records=feed.records,
        sensor_id=feed.sensor_id,
        time_format=feed.time_format,
        zone=ZoneInfo(feed.time_zone),
    )
