"""The benchmarks run, small and without peers, so that they are there when they are needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench import report
from bench.dataset import Shape, busy_tiles, places, prepared, staged
from bench.figures import Figure, Floor, compare, spread
from bench.page import ANIMATED, main_thread
from bench.servers import ready_on_a_socket
from bench.tools import ROOT
from tests.http.sending import stored
from tests.processes import wait_until
from urbanos_edge.clock import DAY_US

TINY = Shape(3600, sensors=40)


def bench(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def figures_of(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return [json.loads(line) for line in output.splitlines()]


def test_a_quick_run_measures_real_nodes_and_keeps_no_results() -> None:
    kept = {path: path.stat().st_mtime for path in (ROOT / "bench" / "results").glob("*")}
    figures = figures_of(bench("--quick", "--rounds", "1", "growth"))
    assert [figure["name"].split(",")[0] for figure in figures] == [
        f"uncached tile z{zoom}" for zoom in (10, 12, 14)
    ]
    for figure in figures:
        assert figure["ours"]["min"] > 0
        assert figure["more"]["ours"]["requests"] > 0
    assert kept == {path: path.stat().st_mtime for path in (ROOT / "bench" / "results").glob("*")}


def nodes_of(pid: int) -> list[int]:
    """The nodes that a benchmark has started and not ended."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(child) for child in children if "urbanos_edge" in words_of(int(child))]


def words_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    except OSError:
        return ""


def test_a_run_that_is_broken_off_leaves_no_process_behind() -> None:
    with bench("--quick", "startup") as process:
        wait_until(lambda: nodes_of(process.pid), 60)
        started = nodes_of(process.pid)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert not any("urbanos_edge" in words_of(pid) for pid in started)


def test_a_frame_is_the_task_that_animates_and_its_share_of_what_came_between() -> None:
    """Two frames of 3 and 5 ms, and tasks of 2 and 4 ms that a screen had spread over six."""

    def event(name: str, begin_ms: int, for_ms: int, tid: int = 1) -> dict[str, Any]:
        times = {"ts": begin_ms * 1000, "dur": for_ms * 1000, "tdur": for_ms * 1000}
        return {"name": name, "ph": "X", "pid": 1, "tid": tid, **times}

    frames = [event("RunTask", at, ms) for at, ms in ((0, 3), (100, 5))]
    animated = [event(ANIMATED, at + 1, 1) for at in (0, 100)]
    between = [event("RunTask", at, ms) for at, ms in ((50, 2), (60, 4))]
    elsewhere = [event("RunTask", 0, 90, tid=2)]
    found = main_thread([*between, *frames, *animated, *elsewhere], shown=6)
    assert found.frames == [3 + 1, 5 + 1]
    assert found.between == [2, 4]


@pytest.mark.parametrize("server", ["node", "uvicorn"])
def test_who_connects_before_a_server_is_there_is_answered_by_it(
    server: str, tmp_path: Path
) -> None:
    assert 0 < ready_on_a_socket(server, tmp_path / "empty") < 60


def test_the_data_set_reaches_up_to_now_and_is_topped_up(tmp_path: Path) -> None:
    directory = prepared(TINY, tmp_path)
    [[rows, distinct, first_us, last_us]] = stored(
        directory,
        "count(*), count(DISTINCT (sensor_id, timestamp)), epoch_us(min(timestamp)),"
        " epoch_us(max(timestamp))",
    )
    now_us = time.time_ns() // 1000
    assert rows == distinct
    assert rows >= 24 * TINY.sensors
    assert first_us < now_us - DAY_US + 3_600_000_000
    assert now_us - 3_660_000_000 < last_us <= now_us
    assert prepared(TINY, tmp_path) == directory
    [[again]] = stored(directory, "count(*) - count(DISTINCT (sensor_id, timestamp))")
    assert again == 0
    copy = staged(directory, tmp_path / "copy")
    assert stored(copy, "count(*)") == stored(directory, "count(*)")


def test_every_sensor_stands_in_one_tile_of_each_zoom() -> None:
    for zoom in (8, 12, 16):
        assert sum(sensors for *_, sensors in busy_tiles(zoom)) == len(places().ids)


def test_a_ratio_above_one_means_that_the_node_is_better() -> None:
    assert compare([2.0], [8.0], "lower").median == 4
    assert compare([2.0], [8.0], "higher").median == 0.25


@pytest.mark.parametrize(("limit", "met"), [(3.0, True), (5.0, False)])
def test_a_floor_is_held_against_the_number_it_names(limit: float, met: bool) -> None:
    figure = Figure(
        bench="b",
        name="n",
        unit="ms",
        better="lower",
        ratio=spread([3.0, 4.0, 9.0]),
        floors=[Floor("ratio.median", limit)],
    )
    assert figure.judge().met is met


def test_the_page_shows_every_result_that_is_kept() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    for path in (ROOT / "bench" / "results").glob("*.json"):
        for figure in json.loads(path.read_text(encoding="utf-8"))["figures"]:
            assert f"| {path.stem}: {figure['name']} |" in text, "run scripts/bench --report"
    assert report.BEGIN in text


def test_no_peer_is_told_where_packages_come_from() -> None:
    lock = (ROOT / "scripts" / "locks" / "bench.txt").read_text(encoding="utf-8")
    assert "://" not in lock
    assert os.access(ROOT / "scripts" / "bench", os.X_OK)
