"""Alerts over MQTT, with Debian's Mosquitto and its own client."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.http.sending import Spot, reading, send
from tests.mosquitto import Mosquitto
from tests.processes import NodeProcess, wait_until
from urbanos_edge import control

TOPIC = "city/alerts"
SMOKE = {"when": "over", "quantity": "pm25", "threshold": 35}


class Broker(Mosquitto):
    """A broker with a subscriber beside it."""

    @contextmanager
    def heard(self, count: int) -> Iterator[Callable[[], list[dict[str, Any]]]]:
        """Subscribe; the function waits for so many messages and returns them."""
        words = ["stdbuf", "-oL", "mosquitto_sub", *self.login()]
        words += ["-q", "1", "-t", TOPIC, "-C", str(count), "-W", "30", "-d"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            assert any("SUBACK" in line for line in lines)
            yield lambda: [json.loads(line) for line in lines if line.startswith("{")]


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return Broker(tmp_path)


@pytest.fixture
def told_node(broker: Broker, start_node: Callable[..., NodeProcess]) -> NodeProcess:
    node = start_node(alert_mqtt_url=broker.url, alert_mqtt_topic=TOPIC, flush_interval_s=3600)
    control.request(node.data_dir, "alert_add", SMOKE)
    return node


def test_events_reach_a_subscriber_in_order(
    told_node: NodeProcess, broker: Broker, spot: Spot
) -> None:
    gateway = told_node.token()
    with broker.running():
        told_node.run("alert", "test")
        with broker.heard(2) as heard:
            for pm25 in (80, 5):
                send(told_node, gateway, reading(spot, "one", values={"pm25": pm25}))
            raised, cleared = heard()
        assert (raised["type"], raised["event"], cleared["event"]) == ("alert", "raised", "cleared")
        assert raised["alert"]["sensor_id"] == "one"
        assert raised["id"] != cleared["id"]
        wait_until(lambda: told_node.status()["alerts"]["events_waiting"] == 0, 5)


def test_what_a_broker_missed_it_gets_when_it_is_back(
    told_node: NodeProcess, broker: Broker, spot: Spot
) -> None:
    gateway = told_node.token()
    for pm25 in (80, 5, 80):
        send(told_node, gateway, reading(spot, "one", values={"pm25": pm25}))
    wait_until(lambda: told_node.status()["alerts"]["receivers_failing"] == 1, 10)
    assert told_node.status()["alerts"]["events_waiting"] == 3
    with broker.running(), broker.heard(3) as heard:
        assert [event["event"] for event in heard()] == ["raised", "cleared", "raised"]
    log = told_node.log()
    assert "the MQTT broker could not be told of an alert" in log
    assert "p@ss" not in log
    assert "p%40ss" not in log
