"""Readings from an MQTT broker: taken in, made durable, and only then confirmed.

What the broker holds for us it goes on holding until the readings are on the disk, so a crash, a
full disk and a lost connection cost nothing; at worst something comes twice.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from typing import Final

import anyio
import msgspec

from urbanos_edge.adapters import Candidate, Message, mqtt
from urbanos_edge.clock import Clock
from urbanos_edge.errors import BodyTooLarge, DiskFull, EdgeError, Unavailable
from urbanos_edge.ingest.reception import Reception
from urbanos_edge.ingest.sources import Arrival
from urbanos_edge.mqtt.broker import (
    LARGEST_BYTES,
    MAX_UNCONFIRMED,
    Broker,
    Delivered,
    Session,
    Unreachable,
    broker_at,
    pause_s,
)
from urbanos_edge.names import FieldMap
from urbanos_edge.settings import Settings

PROTOCOL: Final = "mqtt"
LONGEST_PAUSE_S: Final = 60.0
QUIET_S: Final = 0.25
"""When nothing came for so long after a connection was made, what the broker held has come."""
LONGEST_BACKLOG_S: Final = 30.0
"""It has come by then, too, where there is never quiet: brokers bound what they hold."""
HELD_UP_S: Final = 60.0
"""When messages were held up here for so long, nobody stands by the time of their arrival."""
MAX_TOLD: Final = 100
"""Topics that the log hears of."""
MAX_SETTLED: Final = 10 * MAX_UNCONFIRMED
"""Messages that are known again: all that may be unconfirmed, however often each came."""
LONGEST_TOLD: Final = 200
"""Letters of a topic there."""
_log = logging.getLogger(__name__)


class Counts(msgspec.Struct):
    """Messages since the start of the node, by what became of them.

    `messages` are all; of these `refused` held something that was not taken, `passed_over` nothing
    that could be a reading, `repeated` only what had been taken before. `dropped` did not fit into
    memory and carried nothing to confirm (QoS 0).
    """

    messages: int = 0
    refused: int = 0
    passed_over: int = 0
    repeated: int = 0
    dropped: int = 0


class Subscription:
    """The node as a subscriber of one broker; used from the event loop."""

    def __init__(
        self,
        settings: Settings,
        node_id: str,
        reception: Reception,
        fields: FieldMap,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._name = f"urbanos-{node_id}"
        self._reception = reception
        self._fields = fields
        self._clock = clock
        self.broker: Broker | None = broker_at(settings.mqtt_url) if settings.mqtt_url else None
        self.counts = Counts()
        self.connected_us: int | None = None
        """Since when; None while there is no connection."""
        self.failure: str | None = None
        """Why there is none, or which topics the broker refuses."""
        self._settled: deque[tuple[int, bytes]] = deque(maxlen=MAX_SETTLED)
        """Numbers and digests of what was settled last; the broker may not have learnt of it."""
        self._told: set[str] = set()
        """Topics of which the log has heard that something was not taken."""
        self._failures = 0

    async def listen_forever(self) -> None:
        """Keep a connection to the broker, if there is one, and take what it delivers."""
        while self.broker is not None:
            began_s = anyio.current_time()
            try:
                await self._listen(self.broker)
            except Unreachable as error:
                self._note_failure(self.broker, error.message)
            finally:
                self.connected_us = None
            lasted_s = anyio.current_time() - began_s
            self._failures = 1 if lasted_s > LONGEST_PAUSE_S else self._failures + 1
            await anyio.sleep(pause_s(self._failures, LONGEST_PAUSE_S))

    async def _listen(self, broker: Broker) -> None:
        """Take what comes over one connection, until it is lost.

        Raises:
            Unreachable: there was none, or it was lost.
        """
        tls = await broker.tls(self._settings.mqtt_ca_file)
        session = Session(broker, self._name, tls)
        async with session.opened():
            refused = await session.ask_for(self._settings.mqtt_filters)
            self._note_connection(broker, refused)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._take_all, session)
                reason = await session.end()
                tasks.cancel_scope.cancel()
        raise Unreachable(reason)

    async def _take_all(self, session: Session) -> None:
        """Take messages as they come; what is delivered at once is one group for the disk."""
        came = waited = Arrival(PROTOCOL, session.address, may_have_waited=True)
        ends_s = anyio.current_time() + LONGEST_BACKLOG_S
        while True:
            with anyio.move_on_after(QUIET_S if came.may_have_waited else None) as quiet:
                messages = await session.take()
            if quiet.cancelled_caught or anyio.current_time() > ends_s:
                came = Arrival(PROTOCOL, session.address)
            if quiet.cancelled_caught:
                continue
            self.counts.messages += len(messages)
            if await self._take_until_durable(session, messages, came):
                came, ends_s = waited, anyio.current_time() + LONGEST_BACKLOG_S
            self.counts.dropped += session.dropped
            session.dropped = 0

    async def _take_until_durable(
        self, session: Session, messages: list[Delivered], came: Arrival
    ) -> bool:
        """Try until all of these are settled, and confirm them in their order, as MQTT asks for.

        A stop of the node waits for the disk, so that what became durable is confirmed as well.
        Returns whether they were held up, and with them all that came meanwhile.
        """
        began_s = anyio.current_time()
        waiting = deque(messages)
        settled: set[int] = set()
        failures = 0
        while waiting:
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as tasks:
                    for at, message in enumerate(messages):
                        if at not in settled:
                            tasks.start_soon(self._try, at, message, came, settled)
            while waiting and len(messages) - len(waiting) in settled:
                session.confirm(waiting.popleft())
            if waiting:
                failures += 1
                await anyio.sleep(pause_s(failures, LONGEST_PAUSE_S))
                if anyio.current_time() - began_s > HELD_UP_S:
                    came = msgspec.structs.replace(came, may_have_waited=True)
        return failures > 0 and came.may_have_waited

    async def _try(self, at: int, message: Delivered, came: Arrival, settled: set[int]) -> None:
        """Take one message; it is settled unless it may be taken later."""
        try:
            await self._take(message, came)
        except (Unavailable, DiskFull):
            return
        except Exception:
            # One message that we fail at must not hold up all that come after it.
            _log.exception("a message on '%s' could not be taken", message.topic)
            self.counts.refused += 1
        settled.add(at)
        if message.is_confirmable:
            self._settled.append(_mark(message))

    async def _take(self, message: Delivered, came: Arrival) -> None:
        if message.is_repeated and _mark(message) in self._settled:
            self.counts.repeated += 1
            return
        try:
            readings = self._read(message)
        except EdgeError as error:
            sender = mqtt.sender_of(message.topic)
            await self._reception.refuse(sender, message.payload, error)
            self._note_refused(message, error)
            return
        if not readings:
            self.counts.passed_over += 1
            return
        receipt = await self._reception.receive(readings, came)
        if receipt.errors:
            self._note_refused(message, receipt.errors[0])

    def _note_refused(self, message: Delivered, error: EdgeError) -> None:
        """Its sender hears of nothing, so the log does, once for each topic."""
        self.counts.refused += 1
        topic = message.topic[:LONGEST_TOLD]
        if topic not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(topic)
            _log.warning("what came on %r was not taken: %s", topic, error.message)

    def _read(self, message: Delivered) -> Message:
        """What a message says; of a retained one only what says when.

        Raises:
            BadRequest, Unprocessable, BodyTooLarge: nobody can read it.
        """
        if len(message.payload) > LARGEST_BYTES:
            raise BodyTooLarge(f"a message may have {LARGEST_BYTES:,} bytes")
        readings = mqtt.read(message.topic, message.payload, self._fields)
        if message.is_retained:
            return [one for one in readings if isinstance(one, Candidate) and one.timestamp]
        return readings

    def _note_connection(self, broker: Broker, refused: list[str]) -> None:
        topics = self._settings.mqtt_filters
        self.connected_us = self._clock.now_us()
        self.failure = f"the broker refuses {', '.join(refused)}" if refused else None
        _log.info("subscribed to %d topics of the MQTT broker %s", len(topics), broker)
        if refused:
            _log.warning("the MQTT broker %s refuses %s", broker, ", ".join(refused))

    def _note_failure(self, broker: Broker, reason: str) -> None:
        """A broker that stays away is told of once."""
        if self.connected_us is not None:
            _log.warning("the MQTT broker %s is gone: %s", broker, reason)
        elif self.failure is None or self.failure != reason:
            _log.warning("the MQTT broker %s cannot be reached: %s", broker, reason)
        self.failure = reason


def _mark(message: Delivered) -> tuple[int, bytes]:
    """What tells a message from all that may have its number soon."""
    said = hashlib.blake2b(message.topic.encode(), digest_size=16)
    said.update(message.payload)
    return message.number, said.digest()
