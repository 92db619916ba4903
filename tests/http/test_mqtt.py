"""Readings over MQTT into a real node that is killed while they come."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from tests.http.sending import stored_of
from tests.mosquitto import Mosquitto
from tests.processes import NodeProcess, wait_until
from urbanos_edge import control

TOPIC = "urbanos/harbour/readings"
START = datetime(2026, 11, 23, tzinfo=UTC)
MESSAGES = 3000


@pytest.fixture
def broker(tmp_path: Path) -> Mosquitto:
    return Mosquitto(tmp_path / "broker", "max_queued_messages 0")


def waiting(node: NodeProcess) -> int:
    count: int = node.status()["spool"]["readings"]
    return count


def test_a_node_killed_while_messages_come_has_each_once_in_the_end(
    broker: Mosquitto, start_node: Callable[..., NodeProcess]
) -> None:
    moments = [(START + timedelta(seconds=n)).isoformat() for n in range(MESSAGES)]
    messages = [
        json.dumps({"timestamp": at, "values": {"pm25": n % 100}}) for n, at in enumerate(moments)
    ]
    settings = {"mqtt_url": broker.url, "flush_interval_s": 3600}
    with broker.running():
        node = start_node(**settings)
        control.request(
            node.data_dir,
            "sensor_add",
            {"id": "harbour", "name": None, "lat": 60.161, "lng": 24.951},
        )
        wanted = {"sender": "harbour", "rule": "address", "address": "127.0.0.1"}
        control.request(node.data_dir, "inbox_claim", wanted)
        wait_until(lambda: node.status()["mqtt"]["connected"], 10)
        publisher = Thread(target=broker.publish_lines, args=(TOPIC, messages))
        publisher.start()
        wait_until(lambda: waiting(node) > 0, 10)
        node.kill()
        publisher.join()
        log = node.log()
        node = start_node(**settings)
        wait_until(lambda: waiting(node) >= MESSAGES, 30, node.log)
        in_second_life = node.status()["mqtt"]["messages"]
        told = node.run("status").stdout
        metrics = node.client.get("/metrics").text
        rows = stored_of(node, "harbour", "pm25, epoch(timestamp)::BIGINT")
    began_s = int(START.timestamp())
    assert rows == [(float(n % 100), began_s + n) for n in range(MESSAGES)]
    assert 0 < in_second_life < MESSAGES, "it was killed in between"
    assert "subscribed to 4 topics" in log
    assert f"mqtt      127.0.0.1:{broker.port} connected" in told
    assert "urbanos_mqtt_connected 1.0" in metrics
    assert "urbanos_mqtt_failing 0.0" in metrics
    assert "urbanos_mqtt_refused_total 0.0" in metrics
    assert "p@ss" not in told + metrics + node.log()
