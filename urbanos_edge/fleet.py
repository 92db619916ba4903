"""Lets the simulated fleet report into a node, through the same spool as any sensor."""

from __future__ import annotations

import logging
from typing import Final

import anyio

from urbanos_edge.clock import DAY_US, SECOND_US
from urbanos_edge.demo import Fleet
from urbanos_edge.errors import EdgeError
from urbanos_edge.node import Node
from urbanos_edge.sensors import Sensor

SLOT_S: Final = 2
HISTORY_STEP_S: Final = 300
_log = logging.getLogger(__name__)


async def run_fleet(node: Node, fleet: Fleet) -> None:
    """Fill in the last 24 hours, then report for ever; a failure is logged and tried again."""
    await _register(node, fleet)
    await _fill_history(node, fleet)
    while True:
        await anyio.sleep(SLOT_S)
        try:
            readings = fleet.readings(node.clock.now_us())
            if readings:
                await node.ingest.keep(readings)
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


async def _fill_history(node: Node, fleet: Fleet) -> None:
    """Report what is missing of the last 24 hours."""
    now_us = node.clock.now_us()
    view = node.view()
    rows = [view.row_by_sensor[s.id] for s in fleet.sensors if s.id in view.row_by_sensor]
    known_us = int(view.latest["timestamp_us"][rows].max()) if rows else 0
    start_us = max(known_us + SECOND_US, now_us - DAY_US)
    for readings in fleet.history(start_us, now_us, HISTORY_STEP_S):
        await node.ingest.keep(readings)
    await node.flush()
