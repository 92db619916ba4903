"""What the centre may not have yet is known, and waits for it as long as the disk allows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest

from tests.processes import wait_until
from tests.readings import reading
from tests.test_expire import NOW_US, SHORT, TODAY_US, days, expiry, two_old_days
from tests.test_flush import store
from urbanos_edge.clock import DAY_US, HOUR_US
from urbanos_edge.disk import DiskGuard
from urbanos_edge.expire import OWED
from urbanos_edge.health.health import status
from urbanos_edge.node import Node
from urbanos_edge.store.store import day_of
from urbanos_edge.upkeep import rounds

OLD_US = TODAY_US - 100 * DAY_US
CENTRE = {"sync_dsn": "postgresql://centre/urbanos"}
READINGS = CENTRE | {"sync_mode": "readings"}


def owed(node: Node) -> dict[int, int]:
    """The marks: revision by hour."""
    return dict(node.database.read().execute("SELECT hour, revision FROM owed_hours"))


def settle(node: Node, *hours: int) -> None:
    """As the sync does once the centre has them."""
    node.database.write_and_wait(
        lambda work: work.executemany(
            "DELETE FROM owed_hours WHERE hour = ?", [(hour,) for hour in hours]
        )
    )


def store_old_days(node: Node, number: int) -> None:
    """Days that expired, two readings each, in the first and the second hour."""
    for day in range(number):
        at_us = OLD_US - day * DAY_US
        store(node, reading(timestamp_us=at_us), reading("b", timestamp_us=at_us + HOUR_US))


def test_without_a_centre_nothing_is_owed(node: Node) -> None:
    store(node, reading())
    assert owed(node) == {}


def test_each_change_of_an_hour_is_owed_with_a_new_revision(
    open_node: Callable[..., Node],
) -> None:
    node = open_node(**CENTRE)
    store(node, reading(timestamp_us=TODAY_US))
    store(node, reading("b", timestamp_us=TODAY_US), reading(timestamp_us=TODAY_US + HOUR_US))
    first = TODAY_US // HOUR_US
    assert owed(node) == {first: 2, first + 1: 1}


def test_counting_an_hour_does_not_settle_what_is_owed(open_node: Callable[..., Node]) -> None:
    node = open_node(**CENTRE)
    store(node, reading())
    before = owed(node)
    assert node.hours.count_all() == 1
    assert owed(node) == before


def test_the_hours_of_a_lost_file_are_owed_again(open_node: Callable[..., Node]) -> None:
    node = open_node(**CENTRE)
    store(node, reading(timestamp_us=TODAY_US))
    [file] = node.store.files
    node.store.full(file).unlink()
    assert owed(open_node(**CENTRE)) == {TODAY_US // HOUR_US: 2}


def test_all_that_is_stored_is_owed_to_a_new_centre_and_only_once(
    open_node: Callable[..., Node],
) -> None:
    node = open_node()
    store_old_days(node, 2)
    store(node, reading(timestamp_us=TODAY_US))
    expiry(node, NOW_US)[0].drop()  # of the old days there are only aggregates then
    old = {OLD_US // HOUR_US - back for back in (0, -1, 24, 23)}
    node = open_node(**CENTRE)
    assert owed(node) == dict.fromkeys(old | {TODAY_US // HOUR_US}, 1)
    settle(node, *old)
    assert owed(open_node(**CENTRE)) == {TODAY_US // HOUR_US: 1}


def test_marks_are_kept_while_the_centre_is_not_set(open_node: Callable[..., Node]) -> None:
    open_node(**CENTRE)
    store(open_node(), reading(timestamp_us=TODAY_US))
    assert owed(open_node(**CENTRE)) == {TODAY_US // HOUR_US: 1}


def test_a_day_whose_readings_are_owed_stays_until_the_centre_has_them(
    open_node: Callable[..., Node],
) -> None:
    node = open_node(**READINGS)
    store_old_days(node, 1)
    job, _ = expiry(node, NOW_US)
    assert job.drop() == []
    [waiting] = job.due()
    assert (waiting.owed_hours, waiting.waits) == (2, OWED)
    settle(node, OLD_US // HOUR_US)
    assert job.drop() == [], "the second hour is owed still"
    settle(node, OLD_US // HOUR_US + 1)
    [dropped] = job.drop()
    assert (dropped.day, dropped.rows) == (day_of(OLD_US), 2)
    assert "expired_owed" not in status(node)["totals"]


def test_a_day_goes_in_its_time_when_the_centre_gets_aggregates_only(
    open_node: Callable[..., Node],
) -> None:
    node = open_node(**CENTRE)
    store_old_days(node, 1)
    assert len(expiry(node, NOW_US)[0].drop()) == 1


class SmallDisk(DiskGuard):
    """A disk that is low while more than so many days of readings lie on it."""

    def __init__(self, node: Node, room_for: int) -> None:
        self._node, self.room_for = node, room_for
        super().__init__(node.data_dir, reserve_mib=1, ballast_mib=0, now_us=NOW_US)

    def look(self) -> None:
        self.is_low = len(days(self._node)) > self.room_for


def test_owed_days_go_oldest_first_until_the_disk_is_not_low_and_are_reported(
    open_node: Callable[..., Node], caplog: pytest.LogCaptureFixture
) -> None:
    node = open_node(**READINGS)
    store_old_days(node, 4)
    node.expiry, _ = expiry(node, NOW_US, disk=SmallDisk(node, room_for=2))
    settle(node, OLD_US // HOUR_US - 24 * 3)  # half of the oldest day
    with caplog.at_level(logging.WARNING):
        dropped = node.expiry.drop()
    gone = [day_of(OLD_US - back * DAY_US) for back in (3, 2)]
    assert [one.day for one in dropped] == gone
    assert [record.args for record in caplog.records] == [(gone[0], 1), (gone[1], 2)]
    assert status(node)["expiry"] == {"waiting_days": 2, "dropped_owed": 1 + 2}
    assert status(node)["totals"]["expired"] == 4


def test_owed_days_stay_while_what_went_before_is_still_being_read(
    open_node: Callable[..., Node],
) -> None:
    """Its room comes free when the export ends; the days that follow would bring none before."""
    node = open_node(**READINGS)
    store_old_days(node, 4)
    job, _ = expiry(node, NOW_US, disk=SmallDisk(node, room_for=0))
    with node.store.lease(lambda _: True):
        assert len(job.drop()) == 1
        assert job.drop() == []
        assert node.store.retired_bytes > 0
    assert node.store.retired_bytes == 0
    assert len(job.drop()) == 3


def test_what_is_not_owed_makes_room_first(open_node: Callable[..., Node]) -> None:
    node = open_node(**READINGS)
    store_old_days(node, 2)
    settle(node, OLD_US // HOUR_US, OLD_US // HOUR_US + 1)
    job, _ = expiry(node, NOW_US, disk=SmallDisk(node, room_for=1))
    assert [one.day for one in job.drop()] == [day_of(OLD_US)]


def test_a_serving_node_lets_owed_days_wait_and_says_why(
    open_node: Callable[..., Node], start_node: Callable[..., Any], tmp_path: Path
) -> None:
    prepared = open_node(**READINGS)
    two_old_days(prepared)
    prepared.close()
    node = start_node(tmp_path, **READINGS, **SHORT)
    assert msgspec.json.decode(node.run("expire", "--json").stdout) == []
    shown = msgspec.json.decode(node.run("expire", "--dry-run", "--json").stdout)
    assert [(one["rows"], one["owed_hours"], one["waits"]) for one in shown] == [(1, 1, OWED)] * 2
    assert node.status()["expiry"] == {"waiting_days": 2, "dropped_owed": 0}


def test_a_disk_that_becomes_low_does_not_wait_for_the_hour(
    open_node: Callable[..., Node],
) -> None:
    node = open_node(**READINGS)
    store_old_days(node, 2)
    store(node, reading(timestamp_us=TODAY_US))
    node.disk = disk = SmallDisk(node, room_for=3)
    node.expiry, _ = expiry(node, NOW_US, disk=disk)

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rounds.expire_forever, node)
            tasks.start_soon(rounds.watch_disk_forever, node)
            await anyio.sleep(0.5)
            assert len(days(node)) == 3
            disk.room_for = 1
            await anyio.to_thread.run_sync(wait_until, lambda: len(days(node)) == 1, 30)
            tasks.cancel_scope.cancel()

    anyio.run(work)
    assert days(node) == [day_of(TODAY_US)]
