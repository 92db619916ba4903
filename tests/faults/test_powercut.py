"""A power cut takes nothing that was acknowledged, and the test would see it if it did."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.cuts import cut_power
from tests.faults.disks import skip_without_disks


@pytest.fixture(autouse=True)
def _needs_disks() -> None:
    skip_without_disks()


def test_what_was_acknowledged_before_a_power_cut_is_there_after_it(tmp_path: Path) -> None:
    figures = cut_power(tmp_path, cuts=3)
    figures.assert_nothing_lost()
    figures.assert_ready_in_time()


@pytest.mark.parametrize("sync", ["file-fsync", "folder-fsync", "full"])
def test_a_node_without_one_of_its_syncs_is_caught(tmp_path: Path, sync: str) -> None:
    assert cut_power(tmp_path, cuts=4, fault=f"without:{sync}", until_loss=True).lost
