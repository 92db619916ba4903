"""Compaction that is killed shows readers neither a gap nor a double."""

from __future__ import annotations

from pathlib import Path

from tests.faults.compacting import OF_COMPACTION, compact_under_readers


def test_readers_see_the_same_sums_whenever_compaction_is_killed(tmp_path: Path) -> None:
    figures = compact_under_readers(tmp_path, for_s=0, at_every_step=True, flushes=12)
    figures.assert_nothing_lost()
    assert figures.more["reads"] > 8
    assert figures.more["steps_killed_at"] == len(OF_COMPACTION)
