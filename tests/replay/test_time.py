"""Replays in the time that was measured, from files woven together."""

from __future__ import annotations

import contextlib
import resource
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.replay.played import Lines, PlayedNode, archive_of, options, send, stop_after
from urbanos_edge.archives import ArchiveOptions, Row, open_archive
from urbanos_edge.replay import order as order_module
from urbanos_edge.replay import replay
from urbanos_edge.replay.order import TimeOrder
from urbanos_edge.replay.state import START


def test_shift_to_now_moves_all_readings_by_one_span_that_outlives_a_stop(
    node: PlayedNode, archive: Path
) -> None:
    report, stop = stop_after(1_500)
    replay([archive], options(node, archive, shift_to_now=True), report, stop)
    time.sleep(1.1)
    send(node, archive, shift_to_now=True)
    moments = sorted(datetime.fromisoformat(moment) for _, moment in node.stored)
    assert len(moments) == 4_999
    assert moments[-1] - moments[0] == timedelta(minutes=4_999)
    assert timedelta(seconds=1) < datetime.now(UTC) - moments[-1] < timedelta(seconds=30)


def test_measured_time_passes_at_the_speed_asked_for(node: PlayedNode, tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "second.csv", 11, step_s=10.0)
    started = time.monotonic()
    summary = send(node, archive, speed=100.0)
    assert summary.complete
    assert len(node.stored) == 11
    assert time.monotonic() - started >= 1.0
    assert 3 <= node.requests <= 5  # one each 0.25 s, not one each reading


def test_files_are_woven_together_by_time_and_a_stop_loses_nothing(
    node: PlayedNode, tmp_path: Path
) -> None:
    files = [
        archive_of(tmp_path / "minutes.csv", 300, empty=77),
        archive_of(tmp_path / "quarters.csv", 20, step_s=900.0),
    ]
    files[1].write_text(files[1].read_text().replace("\ns", "\nt"))
    report, stop = stop_after(100)
    paced = options(node, files[0], speed=1e9, batch=10)
    assert not replay(files, paced, report, stop).complete
    summary = replay(files, paced, Lines())
    assert summary.complete
    assert summary.tally.rejected == {"no_value": 1}
    moments = [moment for _, moment in node.arrived]
    assert moments == sorted(moments)
    assert len(node.stored) == len(node.arrived) == 319


@settings(max_examples=40)
@given(
    minutes=st.lists(st.lists(st.none() | st.integers(0, 20), max_size=12), min_size=1, max_size=3),
    run_rows=st.integers(1, 5),
    most_runs=st.integers(2, 4),
)
def test_time_order_is_stable_and_goes_on_after_any_row(
    tmp_path_factory: pytest.TempPathFactory,
    minutes: list[list[int | None]],
    run_rows: int,
    most_runs: int,
) -> None:
    folder = tmp_path_factory.mktemp("order")
    archives = []
    for index, column in enumerate(minutes):
        path = folder / f"{index}.csv"
        cells = ["bad" if m is None else f"2024-01-01T00:{m:02}:00Z" for m in column]
        path.write_text("sensor_id,timestamp,pm1\n" + "".join(f"a,{cell},1\n" for cell in cells))
        archives.append(open_archive(path, ArchiveOptions()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order_module, "_RUN_ROWS", run_rows)
        patch.setattr(order_module, "_MOST_RUNS", most_runs)
        order = TimeOrder(archives, folder)
    with contextlib.closing(order):
        check_order(order, minutes)


def test_archives_of_any_size_are_sorted_with_as_many_files_as_a_process_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row in each run: as many runs as 130 million rows have."""
    monkeypatch.setattr(order_module, "_RUN_ROWS", 1)
    archive = open_archive(archive_of(tmp_path / "long.csv", 1_300), ArchiveOptions())
    allowed, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1_024, hard), hard))
    try:
        with contextlib.closing(TimeOrder([archive], tmp_path)) as order:
            assert [row.line for _, row in order.rows(START)] == list(range(2, 1_302))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def check_order(order: TimeOrder, minutes: list[list[int | None]]) -> None:
    placed = list(order.rows(START))
    assert [(index, row.line) for index, row in placed if isinstance(row, Row)] == sorted(
        (
            (index, line)
            for index, column in enumerate(minutes)
            for line, minute in enumerate(column, start=2)
            if minute is not None
        ),
        key=lambda place: (minutes[place[0]][place[1] - 2], place),
    )
    assert len(placed) == sum(map(len, minutes))
    for passed, (index, row) in enumerate(placed, start=1):
        assert list(order.rows((index, row.line))) == placed[passed:]
