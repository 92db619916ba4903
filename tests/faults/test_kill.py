"""kill -9 loses nothing that was acknowledged and doubles nothing."""

from __future__ import annotations

from pathlib import Path

from tests.faults.kills import kill_at_each_step, kill_at_random


def test_a_node_killed_at_random_moments_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    figures = kill_at_random(tmp_path, kills=5)
    figures.assert_nothing_lost()
    figures.assert_ready_in_time()


def test_a_node_killed_at_any_step_of_a_flush_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    figures = kill_at_each_step(tmp_path)
    figures.assert_nothing_lost()
    figures.assert_ready_in_time()
