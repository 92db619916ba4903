"""Retention: days go whole, once they and all that arrived for them are old enough."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from tests.processes import command
from tests.readings import reading
from tests.test_flush import store, stored
from urbanos_edge.clock import DAY_US, HOUR_US, RELEASED_US, Clock, Instant
from urbanos_edge.disk import DiskGuard
from urbanos_edge.expire import LEAP_US, STEADY_S, Expiry, expired
from urbanos_edge.node import Node
from urbanos_edge.reading import Timing
from urbanos_edge.store.store import day_of

TODAY_US = RELEASED_US + 400 * DAY_US
NOW_US = TODAY_US + 12 * HOUR_US
SHORT = {"retention_days": 3}


class TestClock(Clock):
    """A clock that is set by hand and never doubted."""

    __test__ = False

    def __init__(self, now_us: int) -> None:
        self.wall_us, self.monotonic_s = now_us, 1000.0
        super().__init__(None, lambda: Instant(self.wall_us, 0), lambda: False)
        self.doubt = None

    def pass_time(self, seconds: float) -> None:
        self.wall_us += round(seconds * 1e6)
        self.monotonic_s += seconds


def expiry(
    node: Node, now_us: int, retention_days: int = 90, disk: DiskGuard | None = None
) -> tuple[Expiry, TestClock]:
    clock = TestClock(now_us)
    return Expiry(
        node.store,
        node.hours,
        clock,
        retention_days,
        1825,
        node.database,
        disk or node.disk,
        node.settings.owes_readings,
        lambda: clock.monotonic_s,
    ), clock


def days(node: Node) -> list[str]:
    return sorted({file.day for file in node.store.files})


def two_days(node: Node) -> None:
    """A reading of today, and one of 100 days ago that arrived then."""
    store(node, reading(timestamp_us=TODAY_US))
    store(node, reading(timestamp_us=TODAY_US - 100 * DAY_US))


def two_old_days(node: Node) -> None:
    """Two readings that expire by the real clock where the retention is `SHORT`."""
    for days_ago in (10, 12):
        store(node, reading(timestamp_us=node.clock.now_us() - days_ago * DAY_US))


def test_a_day_goes_when_it_is_older_than_the_retention_with_its_folder(node: Node) -> None:
    two_days(node)
    dropped = expiry(node, NOW_US)[0].drop()
    assert [one.day for one in dropped] == [day_of(TODAY_US - 100 * DAY_US)]
    assert days(node) == [day_of(TODAY_US)]
    assert [path.name for path in (node.data_dir / "readings").iterdir()] == [
        f"created_date={day_of(TODAY_US)}"
    ]
    assert stored(node, "count(*)") == [(1,)]


def test_a_restart_finds_nothing_of_what_was_dropped(open_node: Callable[..., Node]) -> None:
    node = open_node()
    two_days(node)
    expiry(node, NOW_US)[0].drop()
    assert days(open_node()) == [day_of(TODAY_US)]


def test_an_old_day_that_arrived_lately_stays(node: Node) -> None:
    store(node, reading(timestamp_us=TODAY_US - 100 * DAY_US, received_us=NOW_US - DAY_US))
    assert expiry(node, NOW_US)[0].drop() == []


@pytest.mark.parametrize("late_us, goes", [(-1, False), (0, True)])
def test_a_day_expires_at_the_moment_its_last_second_is_old_enough(
    node: Node, late_us: int, goes: bool
) -> None:
    store(node, reading(timestamp_us=TODAY_US + 5))
    now_us = TODAY_US + DAY_US + 90 * DAY_US + late_us
    assert bool(expiry(node, now_us)[0].due()) is goes


@pytest.mark.parametrize("late_us, goes", [(0, False), (1, True)])
def test_the_newest_arrival_decides_for_the_whole_day(node: Node, late_us: int, goes: bool) -> None:
    store(node, reading(timestamp_us=TODAY_US))
    arrived_us = TODAY_US + 3 * DAY_US
    store(node, reading("late", timestamp_us=TODAY_US, received_us=arrived_us))
    found = expired(node.store.files, arrived_us + late_us)
    assert [(day, len(files)) for day, files in found] == ([(day_of(TODAY_US), 2)] if goes else [])


def test_what_a_clock_stamped_that_was_never_set_does_not_expire(node: Node) -> None:
    """When it was measured nobody knows; it may have been yesterday."""
    long_ago_us = RELEASED_US - 2000 * DAY_US
    store(node, reading(timestamp_us=long_ago_us, timing=Timing.NODE_IN_DOUBT))
    assert expiry(node, NOW_US)[0].due() == []


def test_what_is_due_can_be_asked_without_dropping_it(node: Node) -> None:
    two_days(node)
    [due] = expiry(node, NOW_US)[0].due()
    assert (due.files, due.rows) == (1, 1)
    assert len(days(node)) == 2


def test_a_query_under_way_keeps_the_files_until_it_is_done(node: Node) -> None:
    two_days(node)
    old = node.data_dir / "readings" / f"created_date={day_of(TODAY_US - 100 * DAY_US)}"
    with node.store.lease(lambda _: True) as paths:
        expiry(node, NOW_US)[0].drop()
        assert duckdb.execute("SELECT count(*) FROM read_parquet(?)", [paths]).fetchall() == [(2,)]
    assert not old.exists()


def test_late_readings_may_come_for_a_day_that_is_being_dropped(node: Node) -> None:
    old_us = TODAY_US - 100 * DAY_US
    stop = threading.Event()

    def drop() -> None:
        while not stop.is_set():
            expiry(node, NOW_US)[0].drop()

    dropping = threading.Thread(target=drop)
    dropping.start()
    try:
        for number in range(10):
            store(node, reading(timestamp_us=old_us + number))
        store(node, reading(timestamp_us=old_us, received_us=NOW_US))
    finally:
        stop.set()
        dropping.join()
    assert stored(node, "max(epoch_us(received_at))") == [(NOW_US,)]


def test_the_job_drops_what_the_command_would(node: Node) -> None:
    two_days(node)
    job, _ = expiry(node, NOW_US)
    assert len(job.drop_if_sure()) == 1


def test_the_job_drops_nothing_by_a_clock_in_doubt(node: Node) -> None:
    two_days(node)
    job, clock = expiry(node, NOW_US)
    clock._awaits = lambda: True
    clock.look()
    assert job.drop_if_sure() == []


def test_a_clock_that_is_a_year_ahead_for_an_hour_costs_nothing(node: Node) -> None:
    store(node, reading(timestamp_us=TODAY_US))
    job, clock = expiry(node, NOW_US)
    clock.wall_us += 365 * DAY_US
    for _ in range(3):
        assert job.drop_if_sure() == []
        clock.pass_time(3600)
    clock.wall_us -= 365 * DAY_US
    assert job.drop_if_sure() == []
    assert days(node) == [day_of(TODAY_US)]


def test_a_node_that_was_off_for_long_drops_what_expired_a_day_later(node: Node) -> None:
    store(node, reading(timestamp_us=TODAY_US))
    job, clock = expiry(node, NOW_US + 100 * DAY_US + LEAP_US)
    assert job.drop_if_sure() == []
    for _ in range(24):
        clock.pass_time(STEADY_S / 24)
        dropped = job.drop_if_sure()
    assert len(dropped) == 1


def test_the_command_drops_while_the_node_runs(
    open_node: Callable[..., Node], start_node: Callable[..., Any], tmp_path: Path
) -> None:
    prepared = open_node()
    two_old_days(prepared)
    prepared.close()
    node = start_node(tmp_path, **SHORT)
    shown = msgspec.json.decode(node.run("expire", "--dry-run", "--json").stdout)
    assert [one["rows"] for one in shown] == [1, 1]
    assert node.status()["store"]["files"] == 2, "a node off for a week waits a day by itself"
    assert msgspec.json.decode(node.run("expire", "--json").stdout) == shown
    assert node.status()["store"]["files"] == 0
    assert list((tmp_path / "readings").iterdir()) == []


def test_the_command_drops_while_no_node_runs(
    open_node: Callable[..., Node], tmp_path: Path
) -> None:
    prepared = open_node()
    two_old_days(prepared)
    prepared.close()
    (tmp_path / "urbanos.toml").write_text("retention_days = 3")
    words = [*command(), "expire", "--json", "--data-dir", str(tmp_path)]
    dropped = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert len(msgspec.json.decode(dropped.stdout)) == 2
    assert list((tmp_path / "readings").iterdir()) == []
