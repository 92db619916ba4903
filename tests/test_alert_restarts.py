"""Alerts over restarts and failures, and within their bounds."""

from __future__ import annotations

from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.alarms import (
    AT_ONCE,
    CLEARED,
    GAP_US,
    HOUR_US,
    MINUTE_US,
    RAISED,
    SMOKE,
    SPIKE,
    add,
    at,
    look,
    register,
    show,
    tick,
    told,
)
from tests.readings import NOW_US, reading
from urbanos_edge.alerts import alerts, outbox
from urbanos_edge.alerts.alerts import Alerts
from urbanos_edge.alerts.outbox import Letter, Outbox, post
from urbanos_edge.errors import DiskFull, Unprocessable
from urbanos_edge.node import Node

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


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    monkeypatch.setattr("urbanos_edge.alerts.events.MAX_CLEARED", 2)
    add(node, **AT_ONCE)
    for number in range(3):
        look(node, at(2 * number, 36))
        look(node, at(2 * number + 1, 5))
    assert [alert.id for alert in node.alerts.shown(9, NOW_US)] == [3, 2]
    cleared_us = at(5, 5).received_us
    assert node.alerts.shown(9, cleared_us + 90 * 24 * HOUR_US) != []
    assert node.alerts.shown(9, cleared_us + 90 * 24 * HOUR_US + 1) == []


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
