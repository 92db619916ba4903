"""Alerts without a network: when they are raised and cleared, and what a restart leaves of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.readings import NOW_US, reading
from urbanos_edge import alerts, outbox
from urbanos_edge.alerts import Alerts
from urbanos_edge.batch import pack, unpack
from urbanos_edge.errors import DiskFull, NotFound, Unprocessable
from urbanos_edge.events import Event
from urbanos_edge.grading import grade
from urbanos_edge.identity import fold
from urbanos_edge.node import Node
from urbanos_edge.outbox import Letter, Outbox, post
from urbanos_edge.quality import FLAGS
from urbanos_edge.reading import Reading
from urbanos_edge.rollup import Update
from urbanos_edge.rules import read_rule
from urbanos_edge.sensors import Sensor

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
    """Let readings arrive in one change, and the rules look at them."""
    batch = fold(unpack([pack(readings)]), {}).batch
    grade(node.standard, batch)
    batch.columns["flags"] |= flags
    update = node.rollup.deliver(batch, NOW_US)
    return node.alerts.look(batch, update.view, NOW_US)


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


# --- restarts and failures ---


def restarted(node: Node) -> None:
    """Let the alerts of a node begin anew from what is written down."""
    view = node.rollup.view(NOW_US)
    node.alerts = Alerts(node.database, node.sensors, lambda _: [], node.node_id, view)


def test_what_was_raised_before_a_restart_is_not_raised_again(node: Node) -> None:
    register(node, "a")
    add(node, **SMOKE)
    look(node, at(0, 36))
    restarted(node)
    assert tick(node, NOW_US) == []
    assert told(look(node, at(10, 36))) == RAISED
    restarted(node)
    assert tick(node, NOW_US) == look(node, at(11, 36)) == []
    assert told(look(node, at(12, 30))) == CLEARED
    restarted(node)
    assert tick(node, NOW_US) == look(node, at(13, 30)) == []


def test_what_ended_while_nobody_looked_is_cleared_at_the_start(node: Node) -> None:
    register(node, "a", "b")
    add(node, **AT_ONCE)
    look(node, at(0, 36), at(0, 36, "b"))
    show(node, at(1, 5))
    restarted(node)
    assert told(tick(node, NOW_US)) == CLEARED


def test_a_silent_sensor_stays_so_over_a_restart(node: Node) -> None:
    register(node, "a")
    add(node, when="silent", for_s=60)
    look(node, at(0, 12))
    last_us = NOW_US + 1000
    assert tick(node, last_us) == tick(node, last_us + MINUTE_US - 1) == []
    assert told(tick(node, last_us + MINUTE_US)) == RAISED
    restarted(node)
    assert tick(node, last_us + 2 * MINUTE_US) == tick(node, last_us + 3 * MINUTE_US) == []


def test_what_cannot_be_written_is_raised_at_the_next_tick(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(node, "a")
    add(node, **AT_ONCE)
    tick(node, NOW_US)

    def full(*_: object) -> None:
        raise DiskFull("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(alerts, "post", full)
        assert look(node, at(0, 36)) == []
        assert node.alerts.shown(9, NOW_US) == []
    assert told(tick(node, NOW_US)) == RAISED


def test_rows_that_moved_in_time_are_looked_at_again(node: Node) -> None:
    register(node, "a")
    add(node, **AT_ONCE)
    look(node, at(24 * 60, 5))
    assert look(node, at(0, 36)) == []
    node.rollup.reload(NOW_US)
    node.alerts.reload()
    assert told(look(node, at(0, 36))) == RAISED


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(1, 100).map(lambda n: n * n * MINUTE_US // 40),
            st.sampled_from([20, 30, 33, 35, 36, 80]),
            st.booleans(),
        ),
        max_size=25,
    ),
    for_s=st.sampled_from([0, 60, 600, 7200]),
    clear_for_s=st.sampled_from([0, 600]),
)
def test_alerts_do_what_the_rule_says_whenever_the_node_restarts(
    node: Node, steps: list[tuple[int, int, bool]], for_s: int, clear_for_s: int
) -> None:
    """One reading at a time: raised and cleared alternate, each when the span says so."""
    name = new_rule(node, **SMOKE | {"for_s": for_s, "clear_for_s": clear_for_s})
    moment_us, is_raised, seen = NOW_US - 20 * HOUR_US, False, list[tuple[int, int]]()
    for pause_us, value, restarts in steps:
        moment_us += pause_us
        seen.append((moment_us, value))
        span_us = (clear_for_s if is_raised else for_s) * 1_000_000
        expected = _has_held(seen, is_raised, span_us)
        events = look(node, reading(f"{name}a", moment_us, values={"pm25": float(value)}))
        outcome = "cleared" if is_raised else "raised"
        assert [event.event for event in events] == ([outcome] if expected else [])
        if expected:
            is_raised, seen = not is_raised, []
        if restarts:
            restarted(node)


def new_rule(node: Node, **rule: Any) -> str:
    """Make this the only rule of a node; return the beginning of names no sensor has had."""
    for known in node.alerts.rules():
        node.alerts.remove(known.id, NOW_US)
    return f"example-{add(node, **rule)}-"


def _has_held(seen: list[tuple[int, int]], is_raised: bool, span_us: int) -> bool:
    """Whether some reading lies at least a span back, and from it on all agree, without a gap."""
    agreeing = []
    for index, (moment_us, value) in enumerate(reversed(seen)):
        agrees = value <= 30 if is_raised else value > 35
        later_us = seen[len(seen) - index][0] if index else moment_us
        if not agrees or later_us - moment_us > GAP_US:
            break
        agreeing.append(moment_us)
    return bool(agreeing) and agreeing[0] - agreeing[-1] >= span_us


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(
        st.tuples(
            st.sampled_from([False, False, False, True]),
            st.lists(
                st.tuples(
                    st.sampled_from("abc"), st.integers(0, 60), st.sampled_from([20, 33, 36, 80])
                ),
                min_size=1,
                max_size=8,
            ),
        ),
        max_size=12,
    ),
    for_s=st.sampled_from([0, 300]),
)
def test_nothing_is_raised_twice_without_having_been_cleared(
    node: Node, changes: list[tuple[bool, list[tuple[str, int, int]]]], for_s: int
) -> None:
    prefix = new_rule(node, **SMOKE | {"for_s": for_s})
    raised = raised_at(node)  # by what examples before have left
    for number, (is_spiked, change) in enumerate(changes):
        readings = [at(number + minute, pm25, prefix + name) for name, minute, pm25 in change]
        for event in look(node, *readings, flags=SPIKE if is_spiked else 0):
            assert (event.event == "raised") == (event.alert.sensor_id not in raised)
            raised ^= {event.alert.sensor_id}
    assert raised_at(node) == raised


def raised_at(node: Node) -> set[str]:
    """The sensors with an alert."""
    shown = node.alerts.shown(10_000, NOW_US)
    return {alert.sensor_id for alert in shown if alert.cleared_at is None}


# --- bounds ---


def test_there_are_at_most_so_many_rules(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "MAX_RULES", 2)
    add(node, **SMOKE)
    add(node, **SMOKE)
    with pytest.raises(Unprocessable, match="2 rules already"):
        add(node, **SMOKE)


def test_there_are_at_most_so_many_alerts(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "MAX_STANDINGS", 3)
    add(node, **AT_ONCE)
    assert len(look(node, *[at(0, 36, f"s{n}") for n in range(5)])) == 3
    assert node.alerts.turned_away == 2
    look(node, *[at(1, 5, f"s{n}") for n in range(5)])
    assert len(look(node, *[at(2, 36, f"s{n}") for n in range(5)])) == 3


def test_cleared_alerts_are_kept_for_ninety_days_and_the_newest_only(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urbanos_edge.events.MAX_CLEARED", 2)
    add(node, **AT_ONCE)
    for number in range(3):
        look(node, at(2 * number, 36))
        look(node, at(2 * number + 1, 5))
    assert [alert.id for alert in node.alerts.shown(9, NOW_US)] == [3, 2]
    assert node.alerts.shown(9, NOW_US + 90 * 24 * HOUR_US) != []
    assert node.alerts.shown(9, NOW_US + 90 * 24 * HOUR_US + 1) == []


def test_a_full_outbox_drops_the_oldest_of_whom_has_the_most(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MAX_LETTERS", 10)
    letters = [Letter("dead", f"d{n}", b"") for n in range(9)]
    letters += [Letter("alive", f"a{n}", b"") for n in range(3)]

    def work(connection: apsw.Connection) -> None:
        post(connection, letters, NOW_US)

    node.database.write_and_wait(work)
    kept = Outbox(node.database)
    assert [letter.event_id for letter in kept.oldest("dead", 99)] == [f"d{n}" for n in range(2, 9)]
    assert [letter.event_id for letter in kept.oldest("alive", 99)] == ["a0", "a1", "a2"]
    assert (len(kept), kept.dropped) == (10, 2)


def test_letters_that_waited_for_three_days_are_given_up(node: Node) -> None:
    kept = Outbox(node.database)
    node.database.write_and_wait(lambda work: post(work, [Letter("a", "1", b"")], NOW_US))
    assert kept.drop_old(NOW_US + 3 * 24 * HOUR_US) == 0
    assert kept.drop_old(NOW_US + 3 * 24 * HOUR_US + 1) == 1
    assert (len(kept), kept.dropped) == (0, 1)
