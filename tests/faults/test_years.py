"""A year of readings neither slows a node down nor fills it with files."""

from __future__ import annotations

from pathlib import Path

from tests.faults.years import DAYS, KEPT_DAYS, age_a_year


def test_a_node_of_a_year_starts_and_answers_like_a_new_one(tmp_path: Path) -> None:
    figures = age_a_year(tmp_path, readings_a_day=2_000, sensors=50)
    figures.assert_ready_in_time()
    assert not figures.complaints
    assert figures.more["days_of_readings"] in (KEPT_DAYS, KEPT_DAYS + 1)
    assert figures.more["days_of_aggregates"] in (DAYS, DAYS + 1)
