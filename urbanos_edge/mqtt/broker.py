"""An MQTT broker: how its address is read, and a session that it keeps for us while we are away."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from socket import socket
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import aiomqtt
import anyio
import anyio.to_thread
import httpx
import msgspec
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from urbanos_edge.errors import EdgeError

TIMEOUT_S: Final = 10.0
KEPT_FOR_S: Final = 7 * 86_400
"""A broker may forget a node that has been away for longer."""
MAX_UNCONFIRMED: Final = 20
"""Messages of QoS 1 that a broker may send ahead of our confirmations."""
LARGEST_BYTES: Final = 1 << 20
"""A larger message is not read: some 5,000 readings. The broker keeps one of twice the size to
itself, so that what waits in memory stays below 64 MiB."""
MAX_AT_ONCE: Final = 500
"""Messages that are taken together, where so many wait."""
MAX_WAITING_BYTES: Final = 8 << 20
"""Of messages of QoS 0: what comes while so much waits is dropped, for nobody can send it later."""
_OVERHEAD_BYTES: Final = 1 << 10
"""What a message costs beside its payload, generously."""
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


class Unreachable(EdgeError):
    """A broker did not let us in, or went away."""

    status = 502
    code = "broker_unreachable"


class Broker(msgspec.Struct, frozen=True):
    """Where a broker is, and who we are there. With TLS its name and certificate are verified."""

    host: str
    port: int
    user: str | None
    password: str | None
    is_tls: bool

    def __str__(self) -> str:
        """As a log or a status may name it."""
        return f"{self.host}:{self.port}"

    async def tls(self, ca_file: str) -> ssl.SSLContext | None:
        """Whom to trust: the authorities in a file, or those that are well known.

        Raises:
            Unreachable: the file cannot be read.
        """
        if not self.is_tls:
            return None
        try:
            return await anyio.to_thread.run_sync(_trusting, ca_file)
        except (OSError, ssl.SSLError) as error:
            raise Unreachable(f"mqtt_ca_file cannot be used: {error}") from error


def broker_at(url: str) -> Broker:
    """The broker that `mqtt(s)://user:password@host:port` names."""
    parts = urlsplit(url)
    return Broker(
        parts.hostname or "",
        parts.port or _PORTS[parts.scheme],
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
        parts.scheme == "mqtts",
    )


def pause_s(failures: int, longest_s: float) -> float:
    """How long to wait after so many failures in a row: twice as long each time, in nobody's step.

    `failures` is at least 1.
    """
    doubled: float = min(2.0 ** min(failures - 1, 30), longest_s)
    return doubled * random.uniform(0.75, 1.0)


class Delivered(msgspec.Struct, frozen=True):
    """A message as the broker sent it.

    `is_repeated` says that it may have come before; `is_retained`, that it was kept at the broker
    as the last word on its topic, since nobody knows when.
    """

    topic: str
    payload: bytes
    number: int
    is_confirmable: bool
    is_repeated: bool
    is_retained: bool


class Session(aiomqtt.Client):
    """A session of MQTT 5 that the broker keeps; what it delivers is confirmed by the caller.

    aiomqtt confirms messages before anybody has read them (its issue 345), so this speaks with the
    client of paho-mqtt below it, which can be told not to. Used from the event loop; once.
    """

    def __init__(self, broker: Broker, name: str, tls: ssl.SSLContext | None) -> None:
        super().__init__(
            broker.host,
            broker.port,
            username=broker.user,
            password=broker.password,
            identifier=name,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=False,
            properties=_connect_properties(),
            tls_context=tls,
            timeout=TIMEOUT_S,
        )
        self._client.manual_ack_set(True)
        self._client.on_message = self._take_in
        self._arrived: deque[Delivered] = deque()
        self._arrived_bytes = 0
        self._news = asyncio.Event()
        self.dropped = 0
        """Messages of QoS 0 that there was no room for."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """The session, until the block ends; the broker goes on collecting then.

        Raises:
            Unreachable: the broker cannot be reached or does not let us in.
        """
        try:
            await self.__aenter__()
        except (aiomqtt.MqttError, OSError) as error:
            raise Unreachable(str(error)) from error
        try:
            yield
        finally:
            with suppress(aiomqtt.MqttError), anyio.move_on_after(TIMEOUT_S, shield=True):
                await self.__aexit__(None, None, None)

    async def ask_for(self, topics: Sequence[str]) -> list[str]:
        """Subscribe to topics; return those that the broker refuses.

        What is retained is sent for a new subscription only, not at every reconnection.

        Raises:
            Unreachable: the broker went away.
        """
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        try:
            codes = await self.subscribe([(topic, options) for topic in topics])
        except aiomqtt.MqttError as error:
            raise Unreachable(str(error)) from error
        answers = zip(topics, codes, strict=True)
        return [
            topic for topic, code in answers if isinstance(code, ReasonCode) and code.is_failure
        ]

    @property
    def address(self) -> str:
        """The broker's address, as the connection has it; empty when there is none."""
        connection = self._client.socket()
        try:
            return str(connection.getpeername()[0]) if isinstance(connection, socket) else ""
        except OSError:
            return ""

    async def take(self) -> list[Delivered]:
        """Wait for messages and return the oldest, in the order in which they came."""
        await self._news.wait()
        count = min(len(self._arrived), MAX_AT_ONCE)
        taken = [self._arrived.popleft() for _ in range(count)]
        self._arrived_bytes -= sum(map(_size, taken))
        if not self._arrived:
            self._news.clear()
        return taken

    def confirm(self, message: Delivered) -> None:
        """Tell the broker that it may forget a message."""
        if message.is_confirmable:
            self._client.ack(message.number, 1)

    async def end(self) -> str:
        """Wait until the connection is lost; return why."""
        try:
            async for _ in self.messages:
                pass  # none: they are taken in below
        except aiomqtt.MqttError as error:
            return str(error.__cause__ or error)
        return "the connection was closed"

    def _take_in(self, _client: Client, _context: Any, message: MQTTMessage) -> None:
        delivered = _delivered(message)
        size = _size(delivered)
        if not delivered.is_confirmable and self._arrived_bytes + size > MAX_WAITING_BYTES:
            self.dropped += 1
            return
        self._arrived_bytes += size
        self._arrived.append(delivered)
        self._news.set()


def _size(message: Delivered) -> int:
    return len(message.payload) + _OVERHEAD_BYTES


def _delivered(message: MQTTMessage) -> Delivered:
    try:
        topic = message.topic
    except UnicodeDecodeError:
        topic = ""
    return Delivered(
        topic,
        bytes(message.payload),
        message.mid,
        message.qos > 0,
        bool(message.dup),
        bool(message.retain),
    )


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = KEPT_FOR_S
    properties.ReceiveMaximum = MAX_UNCONFIRMED
    properties.MaximumPacketSize = 2 * LARGEST_BYTES
    return properties


def _trusting(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()
