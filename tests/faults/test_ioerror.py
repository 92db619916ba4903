"""What goes wrong below the node is told, waited for, and never answered with 202."""

from __future__ import annotations

from pathlib import Path

from tests.faults import io_errors
from tests.faults.disks import skip_without_disks
from tests.faults.io_errors import break_engine, fail_syncs, lock_database
from tests.faults.straced import skip_without_strace


def test_nothing_is_acknowledged_whose_sync_failed(tmp_path: Path) -> None:
    skip_without_disks()
    skip_without_strace()
    figures = fail_syncs(tmp_path, io_errors.ALWAYS, for_s=2)
    figures.assert_nothing_lost()
    assert figures.answers["503"]
    figures.assert_serving_again()


def test_readings_whose_file_cannot_be_synced_wait_and_are_no_dead_letters(
    tmp_path: Path,
) -> None:
    skip_without_disks()
    skip_without_strace()
    figures = fail_syncs(
        tmp_path,
        io_errors.ALWAYS,
        for_s=0,
        calls=io_errors.STORE_ONLY,
        flushes=6,
        flush_interval_s=0.3,
    )
    figures.assert_nothing_lost()


def test_a_locked_database_is_waited_for(tmp_path: Path) -> None:
    """For longer than the node's own patience, so that it refuses meanwhile."""
    figures = lock_database(tmp_path, for_s=2, fault="busy-after:500")
    figures.assert_nothing_lost()
    assert figures.answers["503"]
    figures.assert_serving_again()


def test_a_fatal_error_of_the_engine_costs_one_flush(tmp_path: Path) -> None:
    figures = break_engine(tmp_path)
    figures.assert_nothing_lost()
    figures.assert_serving_again()
