"""Lets the simulated fleet report into a node, through the same spool as any sensor."""

from __future__ import annotations

import logging
from typing import Final

import anyio

from urbanos_edge.clock import DAY_US
from urbanos_edge.demo.fleet import PERIOD_S, SLOT_S, Fleet
from urbanos_edge.errors import EdgeError
from urbanos_edge.ingest.sensors import Sensor
from urbanos_edge.node import Node

HISTORY_STEP_S: Final = 300
_log = logging.getLogger(__name__)


async def run_fleet(node: Node, fleet: Fleet) -> None:
    """Fill in the last 24 hours, then report for ever; a failure is logged and tried again."""
    await _register(node, fleet)
    reported_us = await _fill_history(node, fleet)
    while True:
        await anyio.sleep(SLOT_S)
        try:
            reported_us = await _report(node, fleet, reported_us, PERIOD_S)
        except EdgeError as error:
            _log.warning("the simulated fleet could not report: %s", error.message)


async def _register(node: Node, fleet: Fleet) -> None:
    now_us = node.clock.now_us()
    await node.sensors.register(
        [
            Sensor(sensor.id, sensor.name, sensor.lat, sensor.lng, "simulated", now_us)
            for sensor in fleet.sensors
        ]
    )


async def _report(node: Node, fleet: Fleet, after_us: int, step_s: int) -> int:
    """Report what was measured after a moment until now; return now."""
    now_us = node.clock.now_us()
    for readings in fleet.history(after_us + 1, now_us + 1, step_s):
        await node.ingest.keep(readings)
    return now_us


async def _fill_history(node: Node, fleet: Fleet) -> int:
    """Report what is missing of the last 24 hours; return up to when."""
    now_us = node.clock.now_us()
    view = node.view()
    rows = [view.row_by_sensor[s.id] for s in fleet.sensors if s.id in view.row_by_sensor]
    known_us = int(view.latest["timestamp_us"][rows].max()) if rows else 0
    until_us = await _report(node, fleet, max(known_us, now_us - DAY_US), HISTORY_STEP_S)
    await node.flush()
    return until_us
