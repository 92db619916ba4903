"""Alerts: what raises one, what clears it, and who is silent."""

from __future__ import annotations

import anyio
import pytest

from tests.alarms import (
    AT_ONCE,
    CLEARED,
    HOUR_US,
    MINUTE_US,
    RAISED,
    SMOKE,
    SPIKE,
    add,
    at,
    look,
    register,
    tick,
    told,
)
from tests.readings import NOW_US, reading
from urbanos_edge.alerts.rules import read_rule
from urbanos_edge.errors import NotFound
from urbanos_edge.ingest.sensors import Sensor
from urbanos_edge.node import Node
from urbanos_edge.quality.quality import FLAGS


def test_an_alert_is_raised_when_it_has_held_and_not_before(node: Node) -> None:
    add(node, **SMOKE)
    assert look(node, at(0, 36)) == []
    assert look(node, at(9.99, 80)) == []
    [event] = look(node, at(10, 36))
    alert = event.alert
    assert (event.event, alert.sensor_id, alert.value, alert.rule) == (
        *("raised", "a", 36.0, "pm25 over 35"),
    )
    assert (alert.grid_id, alert.cleared_at) == ("z12-x2331-y1185", None)
    assert look(node, at(11, 500)) == []
    assert node.alerts.shown(9, NOW_US) == [alert]


def test_what_is_not_over_in_between_begins_anew(node: Node) -> None:
    add(node, **SMOKE)
    assert look(node, at(0, 36)) == look(node, at(5, 35)) == look(node, at(10, 36)) == []
    assert look(node, at(19.99, 36)) == []
    assert told(look(node, at(20, 36))) == RAISED


def test_a_dip_inside_one_change_counts(node: Node) -> None:
    add(node, **SMOKE)
    assert look(node, at(0, 36), at(5, 20), at(10, 36), at(19, 36)) == []
    assert told(look(node, at(20, 36), at(21, 37))) == RAISED


def test_an_alert_is_cleared_only_beyond_its_margin(node: Node) -> None:
    add(node, **AT_ONCE)
    assert look(node, at(0, 35)) == []
    assert told(look(node, at(1, 35.1))) == RAISED
    assert look(node, at(2, 34)) == look(node, at(3, 30.1)) == look(node, at(4, 40)) == []
    [event] = look(node, at(5, 30))
    assert (event.event, event.alert.cleared_by) == ("cleared", "value")
    assert told(look(node, at(6, 35.1))) == RAISED


def test_under_is_the_mirror_of_over(node: Node) -> None:
    add(node, **AT_ONCE | {"when": "under"})
    assert look(node, at(0, 35)) == []
    assert told(look(node, at(1, 34.9))) == RAISED
    assert look(node, at(2, 39.9)) == []
    assert told(look(node, at(3, 40))) == CLEARED


def test_an_alert_may_have_to_be_over_for_a_time_before_it_is_cleared(node: Node) -> None:
    add(node, **AT_ONCE | {"margin": 0, "clear_for_s": 300})
    assert told(look(node, at(0, 36))) == RAISED
    assert look(node, at(1, 35)) == look(node, at(5, 36)) == look(node, at(6, 0)) == []
    assert look(node, at(10.99, 0)) == []
    assert told(look(node, at(11, 0))) == CLEARED


def test_flagged_readings_neither_raise_nor_hold_nor_clear(node: Node) -> None:
    add(node, **SMOKE)
    look(node, at(0, 900), flags=SPIKE)
    assert look(node, at(10, 36)) == []
    assert look(node, at(15, 0), flags=SPIKE) == []
    assert told(look(node, at(20, 36))) == RAISED
    assert look(node, at(21, 0), flags=SPIKE) == []


def test_a_reading_out_of_range_raises_nothing(node: Node) -> None:
    add(node, **AT_ONCE)
    assert look(node, at(0, 1999.9)) == []


def test_the_index_is_a_quantity(node: Node) -> None:
    add(node, when="over", quantity="aqi", threshold=100)
    assert look(node, at(0, 35.4)) == []
    [event] = look(node, at(1, 35.5))
    assert event.alert.value == 101


def test_what_a_sensor_does_not_measure_is_no_news(node: Node) -> None:
    add(node, **AT_ONCE)
    assert told(look(node, at(0, 36))) == RAISED
    assert look(node, reading("a", NOW_US + MINUTE_US, values={"no2": 1.0})) == []
    assert told(look(node, at(2, 0))) == CLEARED


def test_late_readings_change_nothing(node: Node) -> None:
    add(node, **AT_ONCE)
    assert look(node, at(0, 5)) == look(node, at(-30, 500)) == []
    assert told(look(node, at(1, 500))) == RAISED
    assert look(node, at(-1, 0)) == []


def test_a_corrected_reading_is_looked_at_again(node: Node) -> None:
    add(node, **AT_ONCE)
    assert told(look(node, at(0, 500))) == RAISED
    assert told(look(node, at(0, 5))) == CLEARED


def test_a_long_gap_holds_nothing(node: Node) -> None:
    add(node, **SMOKE)
    look(node, at(0, 36))
    assert look(node, at(181, 36)) == []
    look(node, at(-1, 36, "b"))
    assert told(look(node, at(179, 36, "b"))) == [("raised", "b")]


def test_a_rule_is_about_its_sensor_grid_or_box_only(node: Node) -> None:
    add(node, **AT_ONCE | {"sensor_id": "a"})
    add(node, **AT_ONCE | {"grid_id": "z12-x2331-y1185"})
    add(node, **AT_ONCE | {"bbox": (24.94, 60.17, 24.95, 60.18)})
    everywhere = add(node, **AT_ONCE)
    events = look(node, at(0, 36), at(0, 36, "b"), at(0, 36, "far", lat=61.0))
    assert sorted(told(events)) == [
        *[("raised", "a")] * 4,
        *[("raised", "b")] * 3,
        ("raised", "far"),
    ]
    assert node.alerts.raised() == {everywhere - 3: 1, everywhere - 2: 2, everywhere - 1: 2} | {
        everywhere: 3
    }


def test_a_sensor_that_leaves_the_area_is_over(node: Node) -> None:
    add(node, **AT_ONCE | {"grid_id": "z12-x2331-y1185"})
    assert told(look(node, at(0, 36))) == RAISED
    assert told(look(node, at(1, 80, lat=61.0))) == CLEARED
    assert look(node, at(2, 80, lat=61.0)) == []


def test_a_stuck_sensor_is_raised_by_its_flag(node: Node) -> None:
    add(node, when="stuck")
    assert look(node, at(0, 12)) == []
    assert told(look(node, at(1, 12), flags=1 << FLAGS.index("stuck"))) == RAISED
    assert told(look(node, at(2, 13))) == CLEARED


def test_a_new_rule_is_met_by_what_is_there_already(node: Node) -> None:
    look(node, at(0, 36))
    _, events = node.alerts.add(read_rule(AT_ONCE), node.rollup.view(NOW_US), NOW_US)
    assert told(events) == RAISED


def test_a_removed_rule_takes_its_alerts_with_it(node: Node) -> None:
    number = add(node, **AT_ONCE)
    look(node, at(0, 36))
    [event] = node.alerts.remove(number, NOW_US)
    assert (event.event, event.alert.cleared_by) == ("cleared", "rule_removed")
    assert node.alerts.rules() == []
    assert look(node, at(1, 36)) == []
    with pytest.raises(NotFound, match="no alert rule"):
        node.alerts.remove(number, NOW_US)


# --- silence ---


def test_a_silent_sensor_is_raised_once_and_cleared_by_any_sign_of_life(node: Node) -> None:
    register(node, "a", "never heard")
    add(node, when="silent", for_s=600)
    look(node, at(0, 12))
    last_us = NOW_US + 1000  # as `reading` says when it arrived
    assert tick(node, last_us) == []
    assert tick(node, last_us + 1 * MINUTE_US) == []
    for minute in range(2, 10):
        assert tick(node, last_us + minute * MINUTE_US) == []
    events = tick(node, last_us + 10 * MINUTE_US)
    assert sorted(told(events)) == [("raised", "a"), ("raised", "never heard")]
    assert [event.alert.since for event in events if event.alert.sensor_id == "never heard"] == [
        None
    ]
    assert tick(node, last_us + 11 * MINUTE_US) == []
    late = reading("a", NOW_US - HOUR_US, received_us=last_us + 12 * MINUTE_US)
    [event] = look(node, late)
    assert (told([event]), event.alert.cleared_by) == (CLEARED, "heard")


def test_a_node_that_was_away_takes_nobody_for_silent(node: Node) -> None:
    register(node, "a")
    add(node, when="silent", for_s=60)
    look(node, at(0, 12))
    away_us = NOW_US + 5 * HOUR_US
    assert tick(node, NOW_US) == tick(node, away_us) == tick(node, away_us + 59_000_000) == []
    assert told(tick(node, away_us + MINUTE_US)) == RAISED


def test_silence_is_noticed_also_by_a_clock_that_was_set_back(node: Node) -> None:
    """As on a box whose clock was ahead until its first look at a time server."""
    register(node, "a")
    add(node, when="silent", for_s=600)
    ahead_us = NOW_US + 5 * HOUR_US
    look(node, reading("a", NOW_US, received_us=ahead_us))
    assert tick(node, ahead_us) == tick(node, NOW_US) == []
    node.alerts.reload()  # as the node does then
    for minute in range(1, 10):
        assert tick(node, NOW_US + minute * MINUTE_US) == []
    assert told(tick(node, NOW_US + 10 * MINUTE_US)) == RAISED
    node.alerts.reload()
    assert tick(node, NOW_US + 11 * MINUTE_US) == [], "what arrived then is no sign of life"


def test_who_was_silent_by_a_clock_that_was_ahead_is_heard_again(node: Node) -> None:
    register(node, "a")
    add(node, when="silent", for_s=60)
    ahead_us = NOW_US + 5 * HOUR_US
    assert tick(node, ahead_us) == tick(node, NOW_US) == []
    assert tick(node, ahead_us) == []
    assert told(tick(node, ahead_us + MINUTE_US)) == RAISED
    assert tick(node, NOW_US) == []
    assert told(look(node, reading("a", NOW_US, received_us=NOW_US + 1000))) == CLEARED


def test_silence_is_looked_for_in_the_rules_own_area(node: Node) -> None:
    register(node, "here")
    register(node, "far", lat=61.0)
    anyio.run(node.sensors.register, [Sensor("nowhere", "", None, None, "api", NOW_US)])
    add(node, when="silent", for_s=60, grid_id="z12-x2331-y1185")
    add(node, when="silent", for_s=60, sensor_id="nowhere")
    tick(node, NOW_US)
    events = tick(node, NOW_US + MINUTE_US)
    assert told(events) == [("raised", "here"), ("raised", "nowhere")]


def test_alerts_of_a_sensor_that_is_gone_are_cleared(node: Node) -> None:
    register(node, "a", "b")
    add(node, **AT_ONCE)
    look(node, at(0, 36), at(0, 36, "b"))
    anyio.run(node.sensors.remove, "b")
    [event] = tick(node, NOW_US)
    assert (told([event]), event.alert.cleared_by) == ([("cleared", "b")], "sensor_removed")
    assert tick(node, NOW_US + 24 * HOUR_US) == []
    [event] = tick(node, NOW_US + 24 * HOUR_US + 1)
    assert (told([event]), event.alert.cleared_by) == (CLEARED, "no_readings")
