"""From candidate to durable reading: check, place, time, and put into the spool.

Everything a request brings becomes true in one transaction: its readings, the sensors they
introduce, what waits in the inbox, and the letters about what was refused. It is answered after
that.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import numpy as np
from msgspec.structs import replace

from urbanos_edge.adapters import NOWHERE, Candidate, Malformed, Message
from urbanos_edge.adapters.plain import Plain
from urbanos_edge.batch import Rows
from urbanos_edge.clock import DAY_US, SECOND_US, YEARS, Clock, Stamp, to_rfc3339, to_us
from urbanos_edge.database import Database
from urbanos_edge.disk import DiskGuard
from urbanos_edge.errors import EdgeError, Forbidden, ReadingRejected
from urbanos_edge.ingest.dead_letters import MAX_PAYLOAD, DeadLetter
from urbanos_edge.ingest.group import Groups
from urbanos_edge.ingest.inbox import Inbox, Kept
from urbanos_edge.ingest.receipt import Judged, Receipt, Statement
from urbanos_edge.ingest.sensors import Sensor, Sensors
from urbanos_edge.ingest.sources import Arrival, Sources
from urbanos_edge.ingest.spool import Spool
from urbanos_edge.reading import QUANTITY_NAMES, Reading, Timing
from urbanos_edge.tokens import Token

FUTURE_LIMIT_US: Final = 300 * SECOND_US
"""A reading may be this far ahead of the node's clock."""
CLOCKS_SET_SINCE_US: Final = 365 * DAY_US
"""A moment in 1970 is that of a clock that was never set and counts from there: it says nothing."""
URGENT_PRIORITY: Final = 8
EXPRESS_PER_MINUTE: Final = 10
"""Urgent readings a minute and token; more take the normal way."""
MAX_UNKNOWN_NAMES: Final = 200
UNSAID: Final = Arrival("json")
"""Of a message whose token says all about its origin."""
_KNOWN: Final = frozenset(QUANTITY_NAMES)


class Placeless(ReadingRejected):
    """Everything is there but where it was measured."""

    code = "no_location"


class Ingest:
    """The one door into the spool."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        disk: DiskGuard,
        sensors: Sensors,
        sources: Sources,
        inbox: Inbox,
        clock: Clock,
        deliver_urgent: Callable[[Sequence[Reading]], Awaitable[None]],
    ) -> None:
        self._groups = Groups(database, spool, sensors)
        self._disk = disk
        self._sensors = sensors
        self._sources = sources
        self._inbox = inbox
        self._clock = clock
        self._deliver_urgent = deliver_urgent
        self._newest: dict[str, tuple[int, bytes]] = {}
        """By sensor, its newest moment and what was said of it."""
        self._express: dict[int, deque[float]] = {}
        self.unknown_quantities: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """Requests that wait for the disk."""
        return self._groups.requests

    async def accept(
        self, message: Message, token: Token | None, came: Arrival = UNSAID
    ) -> Receipt:
        """Take what is good in a message, bury what is not, and return once both are durable.

        Without a token, claimed senders are believed as far as their rule is satisfied, and what
        unknown ones say waits in the inbox. It does so, too, when a token that writes for all
        brings it, but nobody says where the sensor stands.

        Raises:
            Unavailable, StorageUnavailable, DiskFull: nothing of the message was kept.
        """
        self._disk.check_room()
        self._groups.check_room(len(message))
        judged = self._judge(message, token, came)
        arrived = await self._keep(judged)
        judged.receipt.duplicates = self._count_known(arrived)
        if token is not None:
            await self._hurry(judged.readings, token)
        return judged.receipt

    def judge(self, message: Message, token: Token) -> Judged:
        """Judge a message as `accept` does, but keep nothing; who has no place is refused."""
        return self._judge(message, token, UNSAID, may_wait=False)

    async def keep(self, readings: Sequence[Reading]) -> None:
        """Make checked readings durable, with the sensors they introduce.

        Raises:
            Unavailable, StorageUnavailable, DiskFull: nothing was kept.
        """
        await self._keep(Judged(self._clock.now_us(), list(readings)))

    async def bury(self, payload: bytes, error: EdgeError) -> None:
        """Write a letter about a message that cannot be read, and return once it is durable.

        Raises:
            Unavailable, StorageUnavailable, DiskFull: it was not written.
        """
        letter = DeadLetter(self._clock.now_us(), error.code, error.message, payload[:MAX_PAYLOAD])
        group = self._groups.open()
        group.letters.append(letter)
        await self._groups.commit(group)

    async def settle(self) -> None:
        """Return once everything that was judged before is durable."""
        await self._groups.commit(self._groups.open())

    async def take_from_inbox(self, sender: str, sensor_id: str, kept: Sequence[Kept]) -> Receipt:
        """Make readings of a sensor from all that waited of a sender, each as of its arrival.

        Raises:
            Unavailable, StorageUnavailable, DiskFull: all of it still waits.
        """
        self._disk.check_room()
        self._groups.check_room(len(kept))
        judged = Judged(self._clock.now_us())
        for index, one in enumerate(kept):
            candidate, stamp = one.read(), Stamp(one.arrived_us, one.is_trusted)
            try:
                reading = self._reading(candidate, sensor_id, one.arrived_us, stamp)
            except ReadingRejected as error:
                judged.refuse(index, _named(candidate, sensor_id), error)
                continue
            judged.take(index, reading)
        judged.close()
        await self._keep(judged, claimed=[sender])
        return judged.receipt

    async def _keep(self, judged: Judged, claimed: Sequence[str] = ()) -> Iterable[Statement]:
        group = self._groups.open()
        arrived = judged.pack(group.packing)
        group.introduce(self.introduced(judged.readings))
        group.letters += judged.letters
        if judged.held:
            group.hold(judged.held.values())
        group.claimed += claimed
        await self._groups.commit(group)
        return arrived

    def _judge(
        self, message: Message, token: Token | None, came: Arrival, *, may_wait: bool = True
    ) -> Judged:
        """Look at the elements one by one, at those of a plain message only where it is needed."""
        judged = Judged(self._clock.now_us())
        elements: Iterable[int] = range(len(message))
        if isinstance(message, Plain) and token is not None:
            judged.rows = message.rows(judged.judged_us)
            elements = self._unusual(message, judged.rows, token, judged.judged_us)
        for index in elements:
            self._judge_one(judged, index, message[index], token, came, may_wait)
        judged.close()
        return judged

    def _judge_one(
        self,
        judged: Judged,
        index: int,
        element: Candidate | Malformed,
        token: Token | None,
        came: Arrival,
        may_wait: bool,
    ) -> None:
        """Take, refuse or hold one element.

        Who shows nothing writes no letters, for they would push out those about known sensors.
        """
        is_known = token is not None
        try:
            candidate = _candidate(element)
            sender = _sender(candidate, token)
            element = _named(candidate, sender)
            sensor_id = self._sources.admit(sender, token, came)
            is_known = True
            if sensor_id is not None:
                stamp = self._stamp(came) if came.may_have_waited or came.stamp else None
                judged.take(index, self._reading(candidate, sensor_id, judged.judged_us, stamp))
                return
        except Placeless as error:
            if token is None or not (token.writes_for_all and may_wait):
                judged.refuse(index, element, error)
                return
        except (ReadingRejected, Forbidden) as error:
            judged.refuse(index, element, error, bury=is_known)
            return
        if self._inbox.is_ignored(sender):
            judged.ignore(index)
        else:
            judged.hold(index, sender, came, candidate, self._stamp(came))

    def _stamp(self, came: Arrival) -> Stamp:
        """Now, or when it came; nobody stands by it for what may have waited on its way."""
        stamp = came.stamp or self._clock.stamp()
        return Stamp(stamp.at_us, stamp.is_trusted and not came.may_have_waited)

    def _unusual(self, message: Plain, rows: Rows, token: Token, received_us: int) -> list[int]:
        """The plain readings that must be judged one by one; nothing is to be said of the others.

        What is in doubt is unusual: the rules stand in `_reading` alone.
        """
        at_us = rows.rows["timestamp_us"]
        is_usual = (at_us >= CLOCKS_SET_SINCE_US) & (at_us <= received_us + FUTURE_LIMIT_US)
        is_usual &= (rows.rows["lat"] != NOWHERE.lat) | (rows.rows["lng"] != NOWHERE.lng)
        has_value = np.zeros(len(rows), bool)
        for name in QUANTITY_NAMES:
            has_value |= ~np.isnan(rows.rows[name])
        is_usual &= has_value
        is_usual &= np.array(message.priorities) < URGENT_PRIORITY
        distinct = set(rows.sensor_ids)
        strangers = self._sensors.unplaced(distinct)
        if not token.writes_for_all:
            strangers |= {sensor_id for sensor_id in distinct if not token.may_write(sensor_id)}
        if strangers:
            is_usual &= [sensor_id not in strangers for sensor_id in rows.sensor_ids]
        unusual: list[int] = np.flatnonzero(~is_usual).tolist()
        return unusual

    def _reading(
        self, candidate: Candidate, sensor_id: str, received_us: int, stamp: Stamp | None = None
    ) -> Reading:
        """A candidate as a reading of a sensor; `stamp` is now unless it arrived earlier."""
        timestamp_us, timing = self._moment(candidate, received_us, stamp)
        values = self._values(candidate)
        lat, lng = self._place(candidate, sensor_id)
        return Reading(
            sensor_id=sensor_id,
            timestamp_us=timestamp_us,
            received_us=received_us,
            lat=lat,
            lng=lng,
            values=values,
            source=candidate.source,
            pollution_type=candidate.type,
            priority=candidate.priority,
            reported_aqi=candidate.aqi,
            timing=timing,
            channels_disagree=candidate.channels_disagree,
        )

    def _place(self, candidate: Candidate, sensor_id: str) -> tuple[float, float]:
        if candidate.location is not None:
            return candidate.location.lat, candidate.location.lng
        sensor = self._sensors.find(sensor_id)
        if sensor is None or sensor.lat is None or sensor.lng is None:
            raise Placeless("no location is given and none is registered for this sensor")
        return sensor.lat, sensor.lng

    def _moment(
        self, candidate: Candidate, received_us: int, stamp: Stamp | None
    ) -> tuple[int, Timing]:
        given = candidate.timestamp
        if given is None or 0 <= (timestamp_us := to_us(given)) < CLOCKS_SET_SINCE_US:
            stamp = stamp or self._clock.stamp()
            return stamp.at_us, Timing.NODE if stamp.is_trusted else Timing.NODE_IN_DOUBT
        if given.year > YEARS[-1]:  # some of them cannot be spelled out in UTC
            raise ReadingRejected("the timestamp is centuries ahead", code="timestamp_in_future")
        if timestamp_us > received_us + FUTURE_LIMIT_US and self._clock.doubt is None:
            raise ReadingRejected(
                f"{to_rfc3339(timestamp_us)} is more than 5 minutes ahead of the node's clock",
                code="timestamp_in_future",
            )
        if timestamp_us < 0:
            raise ReadingRejected("the timestamp is before 1970", code="timestamp_too_old")
        return timestamp_us, Timing.SENSOR

    def _values(self, candidate: Candidate) -> dict[str, float]:
        given = candidate.values
        if given.keys() - _KNOWN:
            self._set_aside(given)
        values = {
            name: value for name, value in given.items() if value is not None and name in _KNOWN
        }
        if values or (not given and candidate.aqi is not None):
            return values
        names = ", ".join(QUANTITY_NAMES)
        if given.keys() - _KNOWN:
            message = f"no value of a known quantity ({names})"
            raise ReadingRejected(message, code="no_known_quantity")
        raise ReadingRejected(f"no value; in JSON 'values' has them ({names})", code="no_values")

    def _set_aside(self, given: dict[str, float | None]) -> None:
        for name in (name[:120] for name in given.keys() - _KNOWN):
            if name in self.unknown_quantities or len(self.unknown_quantities) < MAX_UNKNOWN_NAMES:
                self.unknown_quantities[name] += 1

    def _count_known(self, arrived: Iterable[Statement]) -> int:
        """Count what repeats the newest reading of its sensor; the flush finds the rest."""
        known = 0
        for sensor_id, timestamp_us, words in arrived:
            newest = self._newest.get(sensor_id)
            if newest is None or timestamp_us > newest[0]:
                self._newest[sensor_id] = (timestamp_us, words)
            elif newest == (timestamp_us, words):
                known += 1
        return known

    def introduced(self, readings: Sequence[Reading]) -> list[Sensor]:
        """Sensors seen for the first time, or for the first time with a place."""
        introduced: dict[str, Sensor] = {}
        for reading in readings:
            known = introduced.get(reading.sensor_id) or self._sensors.find(reading.sensor_id)
            if known is None:
                introduced[reading.sensor_id] = Sensor(
                    id=reading.sensor_id,
                    name=reading.sensor_id,
                    lat=reading.lat,
                    lng=reading.lng,
                    source=reading.source,
                    registered_at_us=reading.received_us,
                )
            elif known.lat is None:
                introduced[reading.sensor_id] = replace(known, lat=reading.lat, lng=reading.lng)
        return list(introduced.values())

    async def _hurry(self, readings: Sequence[Reading], token: Token) -> None:
        urgent = [reading for reading in readings if reading.priority >= URGENT_PRIORITY]
        if urgent:
            allowed = urgent[: self._express_room(token, len(urgent))]
            if allowed:
                await self._deliver_urgent(allowed)

    def _express_room(self, token: Token, wanted: int) -> int:
        """How many of the wanted places on the express lane this token has left this minute."""
        now_s = time.monotonic()
        used = self._express.setdefault(token.id, deque(maxlen=EXPRESS_PER_MINUTE))
        while used and used[0] <= now_s - 60:
            used.popleft()
        room = min(wanted, EXPRESS_PER_MINUTE - len(used))
        used.extend([now_s] * room)
        return room


def _candidate(element: Candidate | Malformed) -> Candidate:
    """What is claimed; nowhere is no place."""
    if isinstance(element, Malformed):
        raise element.error
    return replace(element, location=None) if element.location == NOWHERE else element


def _sender(candidate: Candidate, token: Token | None) -> str:
    own = token.sensor_id if token is not None else None
    return candidate.sensor_id or own or _anonymous_id(candidate)


def _named(candidate: Candidate, sender: str) -> Candidate:
    """With the name that it went by: a letter about it can be sent again by anybody."""
    if candidate.sensor_id is not None:
        return candidate
    return replace(candidate, sensor_id=sender)


def _anonymous_id(candidate: Candidate) -> str:
    if candidate.location is None:
        raise ReadingRejected("neither sensor_id nor location is given", code="no_sensor_id")
    place = f"{candidate.type}/{candidate.location.lat}/{candidate.location.lng}"
    return f"anon-{hashlib.sha256(place.encode()).hexdigest()[:16]}"
