"""Ready seconds against the budget: what was counted, and what can only have been down."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.readings import NOW_US
from tests.test_expire import TestClock
from urbanos_edge.clock import DAY_US, SECOND_US
from urbanos_edge.health.health import status
from urbanos_edge.node import Node
from urbanos_edge.uptime import KEEP_EVERY_S, STUCK_S, Report, Uptime

BUDGET_S = 0.0005 * 30 * 86_400


def uptime(node: Node, clock: TestClock) -> Uptime:
    return Uptime(node.database, clock, lambda: clock.monotonic_s)


def run(counting: Uptime, clock: TestClock, seconds: int, is_ready: bool = True) -> None:
    """Look every second, as the node does."""
    for _ in range(seconds):
        clock.pass_time(1)
        counting.look(is_ready)


def report(node: Node, counting: Uptime) -> Report:
    return counting.report(node.database.read())


def test_only_seconds_that_were_ready_at_both_ends_count_as_ready(node: Node) -> None:
    clock = TestClock(NOW_US)
    counting = uptime(node, clock)
    run(counting, clock, 100)
    run(counting, clock, 20, is_ready=False)
    run(counting, clock, 80)
    assert (counting.ready_s, counting.unready_s) == (99 + 79, 1 + 20 + 1)
    found = report(node, counting)
    assert (found.ready_s, found.down_s) == (178, 22)
    assert found.availability == pytest.approx(178 / 200)
    assert found.budget_left_s == pytest.approx(BUDGET_S - 22)


def test_a_loop_that_stood_still_was_not_ready(node: Node) -> None:
    clock = TestClock(NOW_US)
    counting = uptime(node, clock)
    run(counting, clock, 10)
    clock.pass_time(STUCK_S)
    counting.look(True)
    assert (counting.ready_s, counting.unready_s) == (9, 1 + STUCK_S)


def test_time_between_two_runs_counts_as_down(node: Node) -> None:
    clock = TestClock(NOW_US)
    first = uptime(node, clock)
    run(first, clock, 1001)
    first.keep()
    clock.pass_time(600)
    second = uptime(node, clock)
    run(second, clock, 401)
    second.keep()
    run(second, clock, 10)
    found = report(node, second)
    assert found.since_us == NOW_US
    assert (found.ready_s, found.down_s) == (1000 + 400 + 10, 1 + 600 + 1)


def test_a_crash_costs_at_most_what_was_not_kept(node: Node) -> None:
    clock = TestClock(NOW_US)
    counting = uptime(node, clock)
    for _ in range(300):
        run(counting, clock, 1)
        if counting.is_due:
            counting.keep()
    found = report(node, uptime(node, clock))
    assert 300 - KEEP_EVERY_S - 1 <= found.ready_s <= 299


def test_only_the_last_thirty_days_count(node: Node) -> None:
    clock = TestClock(NOW_US - NOW_US % DAY_US)
    counting = uptime(node, clock)
    run(counting, clock, 101)
    counting.keep()
    clock.pass_time(60 * 86_400 - 101)
    run(counting, clock, 11)
    found = report(node, counting)
    assert found.since_us == NOW_US - NOW_US % DAY_US + (60 - 29) * DAY_US
    assert found.ready_s == 10
    assert found.down_s == 29 * 86_400 + 11 - 10


def test_a_node_keeps_what_it_counted_when_it_is_closed(open_node: Callable[..., Node]) -> None:
    node = open_node()
    began_us = node.started_us
    for _ in range(3):
        node.uptime.look(True)
    counted_s = node.uptime.ready_s
    node = open_node()
    kept = node.uptime.report(node.database.read())
    assert kept.ready_s == pytest.approx(counted_s)
    assert abs(kept.since_us - began_us) < SECOND_US
    assert status(node)["uptime"]["promised"] == 0.9995
