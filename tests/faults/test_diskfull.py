"""A full disk refuses readings, keeps those it took, and is forgotten once there is room."""

from __future__ import annotations

from pathlib import Path

from tests.faults.disks import skip_without_disks
from tests.faults.full import fill_disk


def test_a_node_on_a_full_disk_refuses_and_goes_on_by_itself_once_there_is_room(
    tmp_path: Path,
) -> None:
    skip_without_disks()
    figures = fill_disk(tmp_path, left_mib=16, full_for_s=3, fills_within_s=60)
    figures.assert_nothing_lost()
    assert figures.more["refused_while_full"]
    assert figures.more["quarantined"] == 0
