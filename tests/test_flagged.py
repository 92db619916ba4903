"""The report of what was flagged equals a count by hand."""

from __future__ import annotations

from tests.readings import NOW_US, reading
from tests.test_flush import store
from urbanos_edge.clock import SECOND_US
from urbanos_edge.node import Node
from urbanos_edge.query.flagged import Flagged, flagged


def test_flags_are_counted_by_sensor_within_the_span(node: Node) -> None:
    fan = [{"pm25": 999.9, "pm10": 1999.9}, {"pm25": 12.0, "humidity": 99.9}, {"pm25": 12.0}]
    readings = [
        reading("fan", NOW_US + n * SECOND_US, values=values) for n, values in enumerate(fan)
    ]
    both = reading("fan", NOW_US + 3 * SECOND_US, values={"pm25": 998.0, "humidity": 99.5})
    store(node, *readings, both, reading("fine"), reading("fan", NOW_US + 9 * SECOND_US))
    until_us = NOW_US + 9 * SECOND_US
    second_us, last_us = NOW_US + SECOND_US, NOW_US + 3 * SECOND_US
    assert flagged(node.store, node.engine, NOW_US, until_us) == [
        Flagged("humidity", "fan", 2, 4, second_us, last_us, 12.0, 998.0, None, None),
        Flagged("range", "fan", 2, 4, NOW_US, last_us, 998.0, 999.9, 1999.9, 1999.9),
    ]
    assert flagged(node.store, node.engine, until_us, until_us + SECOND_US) == []
