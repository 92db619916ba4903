"""Rules and readings that raise alerts, or nearly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio

from tests.readings import NOW_US, reading
from urbanos_edge.alerts.events import Event
from urbanos_edge.alerts.rules import read_rule
from urbanos_edge.batch import pack, unpack
from urbanos_edge.ingest.sensors import Sensor
from urbanos_edge.node import Node
from urbanos_edge.quality.grading import grade
from urbanos_edge.quality.quality import FLAGS
from urbanos_edge.reading import Reading
from urbanos_edge.rollup.rollup import Update
from urbanos_edge.store.identity import fold

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
GAP_US = 3 * HOUR_US
SPIKE = 1 << FLAGS.index("spike")
SMOKE = {"when": "over", "quantity": "pm25", "threshold": 35, "margin": 5, "for_s": 600}
AT_ONCE = SMOKE | {"for_s": 0}


def show(node: Node, *readings: Reading, flags: int = 0) -> Update:
    """Let the rollup take readings, all with these flags."""
    batch = fold(unpack([pack(readings)]), {}).batch
    grade(node.standard, batch)
    batch.columns["flags"] |= flags
    return node.rollup.deliver(batch, NOW_US)


def look(node: Node, *readings: Reading, flags: int = 0) -> list[Event]:
    """Let readings arrive in one change, and the rules look at them at that moment."""
    batch = fold(unpack([pack(readings)]), {}).batch
    grade(node.standard, batch)
    batch.columns["flags"] |= flags
    update = node.rollup.deliver(batch, NOW_US)
    now_us = max([NOW_US, *(one.received_us for one in readings)])
    return node.alerts.look(batch, update.view, now_us)


def at(minutes: float, pm25: float, sensor_id: str = "a", **more: Any) -> Reading:
    values = {"pm25": float(pm25)}
    return reading(sensor_id, NOW_US + round(minutes * MINUTE_US), values=values, **more)


def add(node: Node, **rule: Any) -> int:
    made, _ = node.alerts.add(read_rule(rule), node.rollup.view(NOW_US), NOW_US)
    return made.id


def tick(node: Node, now_us: int) -> list[Event]:
    return node.alerts.tick(node.rollup.view(NOW_US), now_us)


def told(events: Sequence[Event]) -> list[tuple[str, str]]:
    return [(event.event, event.alert.sensor_id) for event in events]


def register(node: Node, *names: str, lat: float = 60.171) -> None:
    sensors = [Sensor(name, name, lat, 24.941, "api", NOW_US) for name in names]
    anyio.run(node.sensors.register, sensors)


RAISED, CLEARED = [("raised", "a")], [("cleared", "a")]
