"""The disk's guard: refuses in time, keeps something back, and says when it will be full."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.readings import reading
from urbanos_edge.clock import DAY_US
from urbanos_edge.disk import DiskGuard, forecast
from urbanos_edge.errors import DiskFull
from urbanos_edge.node import OWN_TOKEN, Node

MIB = 1 << 20
GIB = 1 << 30
NOW_US = 20_000 * DAY_US + DAY_US // 2
Usage = namedtuple("Usage", "total used free")


class Disk:
    """A filesystem whose free space a test decides."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free_mib = 10_000
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, self.free_mib * MIB))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_readings_are_refused_below_the_reserve_and_taken_again_above(
    disk: Disk, open_node: Callable[..., Node]
) -> None:
    node = open_node()
    disk.free_mib = 255
    node.disk.look()
    with pytest.raises(DiskFull) as refusal:
        anyio.run(node.ingest.accept, [], OWN_TOKEN)
    assert refusal.value.status == 507
    assert refusal.value.retry_after_s
    assert [fault.code for fault in node.faults()] == ["disk_low"]
    disk.free_mib = 257
    node.disk.look()
    anyio.run(node.ingest.keep, [reading()])
    assert node.faults() == []


def test_what_was_taken_is_stored_while_new_readings_are_refused(
    disk: Disk, open_node: Callable[..., Node]
) -> None:
    node = open_node()
    anyio.run(node.ingest.keep, [reading()])
    disk.free_mib = 1
    node.disk.look()
    anyio.run(node.flush)
    assert node.spool.depth == 0


def test_ballast_is_real_and_given_back_before_the_end(disk: Disk, tmp_path: Path) -> None:
    guard = DiskGuard(tmp_path, reserve_mib=100, ballast_mib=3, now_us=0)
    ballast = tmp_path / "ballast"
    assert ballast.stat().st_blocks * 512 >= 3 * MIB
    disk.free_mib = 51
    guard.look()
    assert ballast.exists()
    disk.free_mib = 49
    guard.look()
    assert not ballast.exists()
    disk.free_mib = 204
    guard.look()
    assert ballast.exists()


def test_what_is_gone_before_the_disk_wrote_it_wears_nothing(disk: Disk, tmp_path: Path) -> None:
    guard = DiskGuard(tmp_path, reserve_mib=1, ballast_mib=0, now_us=NOW_US)
    passing, staying = tmp_path / "passing", tmp_path / "staying"
    passing.write_bytes(bytes(8 * MIB))
    while_it_is_there = guard.written_bytes
    passing.unlink()
    with staying.open("wb") as file:
        file.write(bytes(8 * MIB))
        os.fsync(file.fileno())
    assert while_it_is_there >= 8 * MIB
    assert 8 * MIB <= guard.written_bytes < 12 * MIB


def test_there_is_no_forecast_before_a_full_day() -> None:
    assert forecast([(NOW_US, GIB)], 10 * GIB, 90, NOW_US).full_in_days is None


def test_the_forecast_divides_the_room_by_the_last_days_rate() -> None:
    arrivals = [(NOW_US - day * DAY_US, GIB) for day in range(0, 5)]
    found = forecast(arrivals, 41 * GIB, 90, NOW_US)
    assert found.bytes_per_day == GIB
    assert found.full_in_days == 41


def test_what_retention_keeps_small_is_never_full() -> None:
    arrivals = [(NOW_US - day * DAY_US, GIB) for day in range(1, 31)]
    assert forecast(arrivals, GIB, 30, NOW_US).full_in_days is None
    assert forecast(arrivals, GIB, 90, NOW_US).full_in_days == 1


@given(
    st.lists(st.tuples(st.integers(0, NOW_US + DAY_US), st.integers(0, GIB)), max_size=20),
    st.integers(0, GIB),
    st.integers(1, 4000),
)
def test_a_forecast_is_never_negative(
    arrivals: list[tuple[int, int]], free: int, retention_days: int
) -> None:
    found = forecast(arrivals, free, retention_days, NOW_US)
    assert found.bytes_per_day >= 0
    assert found.full_in_days is None or found.full_in_days >= 0
