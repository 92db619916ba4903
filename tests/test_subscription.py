"""Readings over MQTT, with Debian's Mosquitto and its publisher: taken once, whatever breaks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests import devices
from tests.http.sending import stored
from tests.mosquitto import USER_INFO, Mosquitto, Wire
from urbanos_edge.errors import SettingsError, Unavailable
from urbanos_edge.ingest.registry import Wanted
from urbanos_edge.mqtt import subscription as subscription_module
from urbanos_edge.mqtt.subscription import Subscription
from urbanos_edge.node import Node
from urbanos_edge.settings import load

TOPIC = "urbanos/harbour/readings"
HARBOUR = {"lat": 60.161, "lng": 24.951}
FULL_DISK = {"disk_reserve_mib": 1 << 40}


@pytest.fixture
def broker(tmp_path: Path) -> Mosquitto:
    return Mosquitto(tmp_path / "broker")


def said(pm25: float, **more: Any) -> str:
    return json.dumps({"values": {"pm25": pm25}, **more})


def timed(pm25: float, minute: int) -> str:
    at = datetime(2026, 11, 23, 10, minute, tzinfo=UTC)
    return said(pm25, timestamp=at.isoformat())


async def until(is_true: Callable[[], object], within_s: float = 20) -> None:
    with anyio.fail_after(within_s):
        while not is_true():  # noqa: ASYNC110
            await anyio.sleep(0.01)


def has_had(subscription: Subscription, count: int) -> bool:
    return subscription.counts.messages == count


@asynccontextmanager
async def subscribed(node: Node) -> AsyncIterator[Subscription]:
    """The node's subscription at work; ended as a stop of the node ends it."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.subscription.listen_forever)
        await until(lambda: node.subscription.connected_us is not None)
        yield node.subscription
        tasks.cancel_scope.cancel()


async def publish(broker: Mosquitto, topic: str, message: str | bytes, *more: str) -> None:
    await anyio.to_thread.run_sync(partial(broker.publish, topic, message, *more))


async def quiet(subscription: Subscription) -> None:
    """Long enough for what comes now to be taken as measured now."""
    await anyio.sleep(0.5)
    assert subscription.connected_us is not None


async def rows_of(node: Node, columns: str = "sensor_id, pm25") -> list[tuple[Any, ...]]:
    await node.flush()
    return stored(node.data_dir, columns, "ORDER BY timestamp") if node.store.files else []


async def known(node: Node, sender: str) -> None:
    """Claim a sender for what comes from the broker's address."""
    place: dict[str, Any] = {} if sender in node.sensors else HARBOUR
    given = {"rule": "address", "address": "127.0.0.1", **place}
    await node.registry.claim(Wanted(sender=sender, **given))


async def claimed(node: Node, sensor_id: str = "harbour") -> None:
    """A registered sensor that is believed through the broker."""
    await node.registry.add(sensor_id, sensor_id, **HARBOUR)
    await known(node, sensor_id)


def test_devices_of_every_kind_are_heard_claimed_and_stored(
    broker: Mosquitto, open_node: Callable[..., Node]
) -> None:
    async def check(node: Node) -> None:
        messages = {
            "airgradient/readings/ecda3b1eaaaf": devices.AIRGRADIENT_LOCAL,
            "tele/yard/SENSOR": devices.TASMOTA,
            "zigbee2mqtt/balcony": devices.ZIGBEE,
            "zigbee2mqtt/lamp": b'{"state":"ON","brightness":254}',
            TOPIC: said(4.5).encode(),
        }
        async with subscribed(node) as subscription:
            await quiet(subscription)
            for topic, message in messages.items():
                await publish(broker, topic, message)
            await until(lambda: node.inbox.counts()["senders"] == 4)
            senders = {one.sender: one for one in node.inbox.list()}
            for sender in senders:
                await known(node, sender)
            assert {one.protocol for one in senders.values()} == {"mqtt"}
            assert {one.address for one in senders.values()} == {"127.0.0.1"}
            await until(lambda: subscription.counts.messages == 5)
            assert subscription.counts.passed_over == 1
            assert subscription.counts.refused == 0
        rows = await rows_of(node)
        assert dict(rows) == {
            "airgradient-ecda3b1eaaaf": 7.0,
            "tasmota-yard": 7.0,
            "zigbee2mqtt-balcony": 11.0,
            "harbour": 4.5,
        }

    with broker.running():
        anyio.run(check, open_node(mqtt_url=broker.url))


def test_what_was_published_while_the_node_was_away_is_taken_when_it_is_back(
    broker: Mosquitto, open_node: Callable[..., Node]
) -> None:
    """A hundred messages: five times as many as the broker may send ahead of confirmations."""
    settings = {"mqtt_url": broker.url, "node_id": "box"}

    async def first(node: Node) -> None:
        await claimed(node)
        async with subscribed(node):
            pass

    async def second(node: Node) -> None:
        async with subscribed(node) as subscription:
            await until(lambda: subscription.counts.messages >= 100)
        assert await rows_of(node, "pm25") == [(float(n),) for n in range(100)]

    with broker.running():
        anyio.run(first, open_node(**settings))
        at = datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp()
        stamps = [datetime.fromtimestamp(at + n, UTC).isoformat() for n in range(100)]
        broker.publish_lines(TOPIC, [said(n, timestamp=at) for n, at in enumerate(stamps)])
    with broker.running():  # and the broker was restarted meanwhile
        anyio.run(second, open_node(**settings))


def test_a_broker_that_comes_back_is_found_again(
    broker: Mosquitto, open_node: Callable[..., Node], caplog: pytest.LogCaptureFixture
) -> None:
    async def check(node: Node) -> None:
        await claimed(node)
        with broker.running():
            async with subscribed(node) as subscription:
                await publish(broker, TOPIC, timed(1, 1))
                await until(lambda: subscription.counts.messages == 1)
        assert "cannot be reached" not in caplog.text
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.subscription.listen_forever)
            await until(lambda: node.subscription.failure)
            with broker.running():
                await until(lambda: node.subscription.connected_us is not None)
                assert node.subscription.failure is None
                await publish(broker, TOPIC, timed(2, 2))
                await until(lambda: node.subscription.counts.messages == 2)
            await until(lambda: node.subscription.connected_us is None)
            tasks.cancel_scope.cancel()
        assert await rows_of(node, "pm25") == [(1.0,), (2.0,)]
        assert caplog.text.count("cannot be reached") == 1
        assert "is gone" in caplog.text
        assert "p@ss" not in caplog.text

    anyio.run(check, open_node(mqtt_url=broker.url))


def test_nothing_is_confirmed_before_it_is_kept(
    broker: Mosquitto, open_node: Callable[..., Node]
) -> None:
    """A node whose disk is full takes nothing; one that is started later gets all of it."""
    settings = {"mqtt_url": broker.url, "node_id": "box"}

    async def full(node: Node) -> None:
        async with subscribed(node) as subscription:
            for minute in range(3):
                await publish(broker, TOPIC, timed(minute, minute))
            await until(lambda: subscription.counts.messages >= 1)
        assert node.spool.depth == 0

    async def emptied(node: Node) -> None:
        async with subscribed(node):
            await until(lambda: node.spool.depth == 3)
        assert await rows_of(node, "pm25") == [(0.0,), (1.0,), (2.0,)]

    with broker.running():
        anyio.run(claimed, open_node())
        anyio.run(full, open_node(**settings, **FULL_DISK))
        anyio.run(emptied, open_node(**settings))


def test_what_a_full_disk_held_up_is_taken_once_there_is_room(
    broker: Mosquitto, open_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no time is of doubtful time then, if it was held up for long."""
    monkeypatch.setattr(subscription_module, "HELD_UP_S", 0.5)

    async def check(node: Node) -> None:
        await claimed(node)
        async with subscribed(node) as subscription:
            await quiet(subscription)
            node.disk.is_low = True
            await publish(broker, TOPIC, timed(1, 1))
            await publish(broker, TOPIC, said(2))
            await until(lambda: subscription.counts.messages >= 1)
            node.disk.is_low = False
            await until(lambda: node.spool.depth == 2)
            await quiet(subscription)
            await publish(broker, TOPIC, said(3))
            await until(lambda: node.spool.depth == 3)
        rows = await rows_of(node, "pm25, flags")
        assert sorted(rows) == [(1.0, ""), (2.0, "clock"), (3.0, "")]

    with broker.running():
        anyio.run(check, open_node(mqtt_url=broker.url))


def test_a_confirmation_that_was_lost_makes_no_second_reading(
    broker: Mosquitto, open_node: Callable[..., Node]
) -> None:
    """The message has no time: nothing but its number at the broker tells that it is the same."""
    wire = Wire(broker.port)

    async def check() -> None:
        async with wire.laid():
            node = open_node(mqtt_url=f"mqtt://{USER_INFO}@127.0.0.1:{wire.port}")
            await claimed(node)
            async with subscribed(node) as subscription:
                await quiet(subscription)
                wire.swallows = True
                await publish(broker, TOPIC, said(4.5))
                await until(lambda: node.spool.depth == 1)
                wire.cut()
                await until(lambda: subscription.connected_us is None)
                wire.swallows = False
                await until(lambda: subscription.counts.repeated == 1)
                await publish(broker, TOPIC, said(4.5))
                await until(lambda: node.spool.depth == 2)
            assert await rows_of(node, "pm25") == [(4.5,), (4.5,)]

    with broker.running():
        anyio.run(check)


def test_what_was_kept_out_of_turn_makes_no_second_reading(
    broker: Mosquitto, open_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a batch the first is not kept yet, so no later one is confirmed, and the wire is cut."""
    wire = Wire(broker.port)

    async def check() -> None:
        async with wire.laid():
            node = open_node(mqtt_url=f"mqtt://{USER_INFO}@127.0.0.1:{wire.port}")
            await claimed(node)
            await claimed(node, "yard")
            receive, held_up, busy = node.reception.receive, anyio.Event(), {"yard"}

            async def received(message: Any, came: Any) -> Any:
                await held_up.wait()
                if message[0].sensor_id in busy:
                    raise Unavailable("the store is busy")
                return await receive(message, came)

            monkeypatch.setattr(node.reception, "receive", received)
            async with subscribed(node) as subscription:
                await quiet(subscription)
                await publish(broker, TOPIC, said(1))
                await publish(broker, "urbanos/yard/readings", said(2))
                await publish(broker, TOPIC, said(3))
                await quiet(subscription)  # so that the last two come together
                held_up.set()
                await until(lambda: node.spool.depth == 2)
                wire.cut()
                await until(lambda: subscription.connected_us is None)
                busy.clear()
                await until(lambda: subscription.counts.repeated == 1)
                await until(lambda: node.spool.depth == 3)
            assert await rows_of(node, "pm25") == [(1.0,), (3.0,), (2.0,)]

    with broker.running():
        anyio.run(check)


def test_what_waited_at_the_broker_without_a_time_is_stored_as_of_doubtful_time(
    broker: Mosquitto, open_node: Callable[..., Node]
) -> None:
    settings = {"mqtt_url": broker.url, "node_id": "box"}

    async def first(node: Node) -> None:
        await claimed(node)
        async with subscribed(node):
            pass

    async def second(node: Node) -> None:
        async with subscribed(node) as subscription:
            await quiet(subscription)
            await publish(broker, TOPIC, said(6))
            await until(lambda: subscription.counts.messages == 3)
        rows = await rows_of(node, "pm25, flags")
        assert sorted(rows) == [(4.0, "clock"), (5.0, ""), (6.0, "")]

    with broker.running():
        anyio.run(first, open_node(**settings))
        broker.publish(TOPIC, said(4))
        broker.publish(TOPIC, timed(5, 5))
        anyio.run(second, open_node(**settings))


def test_the_last_word_on_a_topic_is_taken_only_if_it_says_when(
    broker: Mosquitto, open_node: Callable[..., Node]
) -> None:
    """Else it would be a reading of now at each new session, however old it is."""

    async def check(node: Node) -> None:
        await claimed(node)
        await claimed(node, "yard")
        for count in (2, 4):
            async with subscribed(node) as subscription:
                await until(partial(has_had, subscription, count))
            wipe = ["mosquitto_sub", *broker.login(), "-i", f"urbanos-{node.node_id}", "-E"]
            await anyio.run_process([*wipe, "-t", "x"])  # the broker forgets the session
        assert subscription.counts.passed_over == 2
        assert await rows_of(node) == [("harbour", 5.0)]

    with broker.running():
        broker.publish(TOPIC, timed(5, 5), "-r")
        broker.publish("urbanos/yard/readings", said(7), "-r")
        anyio.run(check, open_node(mqtt_url=broker.url))


def test_a_message_nobody_can_read_holds_up_none_and_becomes_a_letter(
    broker: Mosquitto, open_node: Callable[..., Node], caplog: pytest.LogCaptureFixture
) -> None:
    async def check(node: Node) -> None:
        await claimed(node)
        async with subscribed(node) as subscription:
            await publish(broker, TOPIC, b"{]")
            await publish(broker, TOPIC, b"[" + b"1," * (1 << 19) + b"1]")
            await publish(broker, TOPIC, b"\xff\xfe")
            await publish(broker, "urbanos/stranger/readings", b"{]")
            await publish(broker, TOPIC, timed(1, 1))
            await until(lambda: subscription.counts.messages == 5)
            await until(lambda: node.spool.depth == 1)
            assert subscription.counts.refused == 4
        codes = [letter.code for letter in node.dead_letters.list()]
        assert sorted(codes) == ["body_too_large", "invalid_json", "invalid_json"]
        said = [record.getMessage() for record in caplog.records]
        told = [line.split("'")[1] for line in said if "was not taken" in line]
        assert told == [TOPIC, "urbanos/stranger/readings"], "once for each topic"
        async with subscribed(node) as subscription:
            await quiet(subscription)
            assert subscription.counts.messages == 5  # none of them came again

    with broker.running():
        anyio.run(check, open_node(mqtt_url=broker.url))


def test_a_sensor_writes_for_itself_only_and_by_its_rule(
    broker: Mosquitto, open_node: Callable[..., Node]
) -> None:
    async def check(node: Node) -> None:
        await claimed(node)
        await node.registry.add("school", "School", lat=60.2, lng=24.9)
        both = [
            {"sensor_id": "school", "values": {"pm25": 99}},
            {"sensor_id": "harbour", "values": {"pm25": 4.5}},
        ]
        async with subscribed(node) as subscription:
            await publish(broker, TOPIC, json.dumps(both))
            await publish(broker, "urbanos/school/readings", said(98))
            await until(lambda: subscription.counts.messages == 2)
            await until(lambda: subscription.counts.refused == 2)
        assert await rows_of(node) == [("harbour", 4.5)]
        assert node.sources.refused["school"].address == "127.0.0.1"

    with broker.running():
        anyio.run(check, open_node(mqtt_url=broker.url))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two authorities, and a certificate for 127.0.0.1 from the first."""
    folder = tmp_path_factory.mktemp("authority")
    for name in ("ours", "others"):
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        words += ["-nodes", "-days", "2", "-subj", f"/CN={name}"]
        words += ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
        subprocess.run(words, cwd=folder, check=True, capture_output=True)
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    words += [
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=broker",
        "-CA",
        "ours.pem",
        "-CAkey",
        "ours.key",
    ]
    words += ["-addext", "subjectAltName=IP:127.0.0.1"]
    words += ["-keyout", "broker.key", "-out", "broker.pem"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.filterwarnings(  # paho-mqtt leaves a socket to the collector when TLS fails
    "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize(
    ("host", "trusted", "reason"),
    [
        ("127.0.0.1", "ours.pem", None),
        ("127.0.0.1", "others.pem", "certificate verify failed"),
        ("127.0.0.1", "", "certificate verify failed"),
        ("localhost", "ours.pem", "certificate verify failed"),
        ("127.0.0.1", "broker.key", "mqtt_ca_file"),
    ],
)
def test_over_tls_only_the_broker_that_an_authority_vouches_for_is_believed(
    tmp_path: Path,
    open_node: Callable[..., Node],
    authority: Path,
    host: str,
    trusted: str,
    reason: str | None,
) -> None:
    certificate = [f"certfile {authority}/broker.pem", f"keyfile {authority}/broker.key"]
    broker = Mosquitto(tmp_path / "broker", *certificate)

    async def check(node: Node) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.subscription.listen_forever)
            subscription = node.subscription
            await until(lambda: subscription.failure or subscription.connected_us)
            assert (subscription.connected_us is not None) == (reason is None)
            assert (reason or "") in (subscription.failure or "")
            tasks.cancel_scope.cancel()

    with broker.running():
        url = f"mqtts://{USER_INFO}@{host}:{broker.port}"
        ca_file = str(authority / trusted) if trusted else ""
        anyio.run(check, open_node(mqtt_url=url, mqtt_ca_file=ca_file))


def test_a_wrong_password_is_told_without_naming_it(
    broker: Mosquitto, open_node: Callable[..., Node], caplog: pytest.LogCaptureFixture
) -> None:
    async def check(node: Node) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.subscription.listen_forever)
            await until(lambda: node.subscription.failure)
            tasks.cancel_scope.cancel()
        assert "Not authorized" in str(node.subscription.failure)

    with broker.running():
        anyio.run(check, open_node(mqtt_url=f"mqtt://node:hush@127.0.0.1:{broker.port}"))
    assert "hush" not in caplog.text


@pytest.mark.parametrize("topics", ["", "a,", "a/#/b", "a+", "tele/+/SENSOR,b#"])
def test_topics_that_nobody_can_subscribe_to_stop_the_start(topics: str) -> None:
    with pytest.raises(SettingsError, match="mqtt_topics"):
        load({"mqtt_topics": topics}, environment={})


@pytest.mark.parametrize("url", ["mqtt://", "http://a", "mqtts://a:0", "mqtts://a:99999"])
def test_an_address_of_no_broker_stops_the_start(url: str) -> None:
    with pytest.raises(SettingsError, match="mqtt_url"):
        load({"mqtt_url": url}, environment={})


def test_a_file_of_authorities_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="mqtt_ca_file"):
        load({"mqtt_ca_file": str(tmp_path / "none.pem")}, environment={})
