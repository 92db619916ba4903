"""Telling receivers what happens to alerts, by webhook and by MQTT: in order, until confirmed.

Each receiver has its own turn, so that one that is gone holds up no other. What it confirmed leaves
the outbox; a crash in between makes it get that event twice, with the same id.
"""

from __future__ import annotations

import base64
import hmac
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import aiomqtt
import anyio
import anyio.to_thread
import httpx
import msgspec

from urbanos_edge.alerts.events import Event
from urbanos_edge.alerts.outbox import MQTT, Outbox, Waiting
from urbanos_edge.clock import SECOND_US, Clock
from urbanos_edge.errors import EdgeError, why_unreached
from urbanos_edge.mqtt.broker import broker_at, pause_s
from urbanos_edge.settings import Settings

LOOK_EVERY_S: Final = 1.0
TIMEOUT_S: Final = 10.0
"""A receiver that takes longer has not confirmed."""
MAX_AT_ONCE: Final = 16
"""Receivers that are told at the same time."""
LONGEST_PAUSE_S: Final = 300.0
SECRET_PREFIX: Final = "whsec_"
_BATCH: Final = 100
_log = logging.getLogger(__name__)

Send = Callable[[Waiting], Awaitable[None]]


class Undelivered(EdgeError):
    """A receiver did not confirm an event; it will get it again."""

    status = 502
    code = "undelivered"


@dataclass(slots=True)
class _Failing:
    """How often in a row a receiver has failed, and when it is tried again."""

    times: int
    again_s: float


class Delivery:
    """Empties the outbox; used from the event loop."""

    def __init__(self, outbox: Outbox, settings: Settings, clock: Clock) -> None:
        self._outbox = outbox
        self._settings = settings
        self._clock = clock
        self._busy: set[str] = set()
        self._failing: dict[str, _Failing] = {}
        self._tls: ssl.SSLContext | None = None
        self._news = anyio.Event()

    @property
    def failing(self) -> int:
        """Receivers that did not confirm the last time."""
        return len(self._failing)

    def receivers(self, url: str | None) -> list[str]:
        """Who is told of an event, given the address that its rule names."""
        webhook = url or self._settings.alert_webhook_url
        return [name for name in (webhook, self._settings.alert_mqtt_url and MQTT) if name]

    def wake(self) -> None:
        """There may be something new."""
        self._news.set()

    async def send_forever(self) -> None:
        """Send what waits, to each receiver whose turn it is."""
        async with anyio.create_task_group() as tasks:
            while True:
                self._news = anyio.Event()
                for receiver in await self._due():
                    self._busy.add(receiver)
                    tasks.start_soon(self._send_all, receiver)
                with anyio.move_on_after(LOOK_EVERY_S):
                    await self._news.wait()

    async def try_once(self, receiver: str, event: Event) -> None:
        """Send one event past the outbox.

        Raises:
            Undelivered: the receiver did not confirm it; it is not tried again.
        """
        async with self._way_to(receiver) as send:
            await send(Waiting(0, event.id, msgspec.json.encode(event)))

    async def _due(self) -> list[str]:
        """Whose turn it is, no more than may be told at once."""
        waiting = await anyio.to_thread.run_sync(self._look)
        self._failing = {name: self._failing[name] for name in waiting if name in self._failing}
        now_s = anyio.current_time()
        due = [
            name
            for name in waiting
            if name not in self._busy
            and (name not in self._failing or self._failing[name].again_s <= now_s)
        ]
        return due[: MAX_AT_ONCE - len(self._busy)]

    def _look(self) -> list[str]:
        dropped = self._outbox.drop_old(self._clock.now_us()) if self._clock.doubt is None else 0
        if dropped:
            _log.warning("%d alert events were given up: nobody took them in time", dropped)
        return self._outbox.receivers()

    async def _send_all(self, receiver: str) -> None:
        try:
            async with self._way_to(receiver) as send:
                while letters := await self._oldest(receiver):
                    for letter in letters:
                        await send(letter)
                        await anyio.to_thread.run_sync(self._outbox.settle, letter.id)
                        self._note_success(receiver)
        except EdgeError as error:
            self._note_failure(receiver, error.message)
        finally:
            self._busy.discard(receiver)

    async def _oldest(self, receiver: str) -> list[Waiting]:
        return list(await anyio.to_thread.run_sync(self._outbox.oldest, receiver, _BATCH))

    def _note_success(self, receiver: str) -> None:
        if self._failing.pop(receiver, None) is not None:
            _log.info("%s is told of alerts again", _shown(receiver))

    def _note_failure(self, receiver: str, message: str) -> None:
        """Wait twice as long as the last time, and not in step with other nodes."""
        failing = self._failing.setdefault(receiver, _Failing(0, 0.0))
        failing.times += 1
        failing.again_s = anyio.current_time() + pause_s(failing.times, LONGEST_PAUSE_S)
        if failing.times == 1:
            _log.warning("%s could not be told of an alert: %s", _shown(receiver), message)

    @asynccontextmanager
    async def _way_to(self, receiver: str) -> AsyncIterator[Send]:
        """A connection to a receiver, kept for as long as there is something to send."""
        if receiver == MQTT:
            async with _broker(self._settings) as send:
                yield send
        else:
            if self._tls is None:  # it reads a file with all authorities
                self._tls = await anyio.to_thread.run_sync(httpx.create_ssl_context)
            async with httpx.AsyncClient(timeout=TIMEOUT_S, verify=self._tls) as client:
                yield partial(self._post, client, receiver)

    async def _post(self, client: httpx.AsyncClient, url: str, letter: Waiting) -> None:
        headers = self._headers(letter)
        try:
            with anyio.fail_after(TIMEOUT_S):
                async with client.stream(
                    "POST", url, content=letter.body, headers=headers
                ) as answer:  # what it says beyond its status may have no end
                    status, is_confirmed = answer.status_code, answer.is_success
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            # Its message may name the address, which may hold a secret.
            raise Undelivered(f"it could not be reached: {why_unreached(error)}") from error
        if not is_confirmed:
            raise Undelivered(f"it answered {status}")

    def _headers(self, letter: Waiting) -> dict[str, str]:
        if not self._settings.alert_secret:
            raise Undelivered("there is no alert_secret to sign with")
        at_s = self._clock.now_us() // SECOND_US
        return {
            "Content-Type": "application/json",
            "Webhook-Id": letter.event_id,
            "Webhook-Timestamp": str(at_s),
            "Webhook-Signature": signature(
                self._settings.alert_secret, letter.event_id, at_s, letter.body
            ),
        }


def signature(secret: str, event_id: str, at_s: int, body: bytes) -> str:
    """HMAC-SHA256 over id, time and body, as Standard Webhooks 1.0 spells it.

    `secret` is `whsec_` and the key in base64; `at_s` counts seconds since 1970.
    """
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = b"%s.%d.%s" % (event_id.encode(), at_s, body)
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


@asynccontextmanager
async def _broker(settings: Settings) -> AsyncIterator[Send]:
    """A connection to the broker; what it sends is confirmed by it (QoS 1)."""
    if not settings.alert_mqtt_url:
        raise Undelivered("there is no alert_mqtt_url any more")
    broker = broker_at(settings.alert_mqtt_url)
    tls = await broker.tls(settings.mqtt_ca_file)
    try:
        async with aiomqtt.Client(
            broker.host,
            broker.port,
            username=broker.user,
            password=broker.password,
            tls_context=tls,
            timeout=TIMEOUT_S,
        ) as client:

            async def publish(letter: Waiting) -> None:
                await client.publish(settings.alert_mqtt_topic, letter.body, qos=1)

            yield publish
    except aiomqtt.MqttError as error:
        raise Undelivered(f"the broker did not take it: {error}") from error


def _shown(receiver: str) -> str:
    """A receiver as a log may name it: without what may be secret in its address."""
    return "the MQTT broker" if receiver == MQTT else str(urlsplit(receiver).hostname)
