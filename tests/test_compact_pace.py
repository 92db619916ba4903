"""Compaction keeps its pace, can be stopped and killed at any step, and asked for."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest

from tests.compacting import EVERYTHING, OLD_DAY_US, compact_all, fill, kinds, reopen
from tests.processes import command, wait_until
from tests.test_flush import stored
from urbanos_edge import app, engine
from urbanos_edge.health.health import status
from urbanos_edge.node import Node
from urbanos_edge.settings import Settings
from urbanos_edge.store import compact
from urbanos_edge.store.compact import SEALED
from urbanos_edge.store.store import day_of
from urbanos_edge.upkeep import rounds

# --- pace ---


def test_seals_wait_until_compaction_has_its_share_of_the_time(
    open_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = open_node(compact_duty_percent=10)
    monkeypatch.setattr(compact, "QUIET_US", 0)
    now_s = itertools.count(1000.0, 1.0)  # each look at the clock is a second later
    monkeypatch.setattr("urbanos_edge.store.compact.time.monotonic", lambda: next(now_s))
    monkeypatch.setattr(node.compactor, "step", lambda **_: True)
    assert node.compactor.paced_step() == compact.POLL_S
    seals: list[bool] = []

    def step(*, may_seal: bool) -> bool:
        seals.append(may_seal)
        return False

    monkeypatch.setattr(node.compactor, "step", step)
    for _ in range(12):
        node.compactor.paced_step()
    assert seals.index(True) == 8, "one second of work, nine of pause"


def test_a_stopped_compactor_leaves_nothing_half_done(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "PIECE_ROWS", 100)
    fill(node, 2)
    for _ in range(3):
        assert node.compactor.step(quiet_us=0)
    assert list((node.data_dir / ".tmp").glob("*.parquet"))
    node.compactor.close()
    assert not list((node.data_dir / ".tmp").glob("*.parquet"))
    assert not node.compactor.step(quiet_us=0)


def test_a_stop_does_not_wait_for_a_long_step(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(node, 2)
    real = engine.statement
    rows = "union_by_name = true) AS r"
    monkeypatch.setattr(
        compact, "statement", lambda name: real(name).replace(rows, f"{rows}, range(1000000000000)")
    )
    step = threading.Thread(target=node.compactor.paced_step)
    step.start()
    wait_until(lambda: node.compactor._cursor is not None, 10)
    step.join(0.2)
    assert step.is_alive()
    node.compactor.close()
    step.join(10)
    assert not step.is_alive()
    assert kinds(node) == {"": 2}


def test_compaction_goes_on_after_its_task_has_failed(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the system had no thread to give."""
    fill(node, 2)
    run_sync = anyio.to_thread.run_sync
    refusals = iter([RuntimeError("can't start new thread")])

    async def run_or_fail(*arguments: Any, **more: Any) -> Any:
        for refusal in refusals:
            raise refusal
        return await run_sync(*arguments, **more)

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(app.kept_running, rounds.compact_forever, node)
            await run_sync(wait_until, lambda: kinds(node) == {SEALED: 1}, 20)
            tasks.cancel_scope.cancel()

    monkeypatch.setattr(anyio.to_thread, "run_sync", run_or_fail)
    monkeypatch.setattr(app, "BEGIN_AGAIN_S", 0.01)
    anyio.run(run)


def test_the_status_tells_what_was_compacted(node: Node) -> None:
    fill(node, 2)
    assert status(node)["compaction"]["files_of_fullest_day"] == 2
    assert status(node)["compaction"]["last"] is None
    compact_all(node)
    found = status(node)["compaction"]
    assert found["files_of_fullest_day"] == 1
    assert (found["last"]["day"], found["last"]["files_before"]) == (day_of(OLD_DAY_US), 2)


# --- killed ---

CHILD = """
import os, signal, sys
from contextlib import closing
from pathlib import Path
from urbanos_edge import engine
from urbanos_edge.store import compact, steps
from urbanos_edge.node import Node
from urbanos_edge.settings import Settings

compact.PIECE_ROWS = 250
node = Node(Settings(), Path(sys.argv[1]))
left = int(sys.argv[2])

def watch(step):
    global left
    left -= 1
    if left == 0:
        print(step, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

steps.watcher = watch
node.compactor.finish_all(lambda *_: None)
node.close()
print("done", flush=True)
"""


def test_killed_at_any_step_it_leaves_the_inputs_or_the_output(
    open_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = open_node()
    fill(node, 2)
    expected = stored(node, EVERYTHING)
    node.close()
    saw: list[str] = []
    for number in itertools.count(1):
        ended = subprocess.run(
            [sys.executable, "-c", CHILD, str(tmp_path), str(number)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        saw.append(ended.stdout.strip())
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        with closing(Node(Settings(), tmp_path)) as node:
            assert stored(node, EVERYTHING) == expected, f"after a kill at '{saw[-1]}'"
            assert kinds(node) in ({"": 2}, {"": 1}, {SEALED: 2})
            if kinds(node) == {SEALED: 2}:
                reopen(node)  # begin again with small files
    assert {"file written", "file synced", "file renamed", "folder synced"} < {*saw}
    assert {"files listed", "file unlinked"} < {*saw}
    assert saw[-1] == "done"


# --- the command ---


def test_the_command_compacts_whether_the_node_runs_or_not(
    start_node: Callable[..., Any], tmp_path: Path
) -> None:
    node = start_node(flush_interval_s=0.2)
    token = node.token()
    for number in range(2):
        body = {
            "sensor_id": "school-12",
            "location": {"lat": 60.171, "lng": 24.941},
            "timestamp": f"2026-01-0{number + 1}T10:00:00Z",
            "values": {"pm25": 12.3},
        }
        assert node.post(body, token).status_code == 202
        node.flush()
        if number == 0:
            assert "sealed 1 files became 1" in node.run("compact").stdout
    assert node.status()["compaction"]["last"]["day"] == "2026-01-01"
    node.stop()
    again = subprocess.run(
        [*command(), "compact", "--json", "--data-dir", str(node.data_dir)],
        capture_output=True,
        text=True,
        env=os.environ,
        timeout=60,
    )
    [done] = msgspec.json.decode(again.stdout)
    assert (done["day"], done["kind"]) == ("2026-01-02", SEALED)


def test_a_serving_node_seals_a_quiet_day_by_itself(
    open_node: Callable[..., Node], start_node: Callable[..., Any], tmp_path: Path
) -> None:
    prepared = open_node()
    fill(prepared, 3)
    expected = stored(prepared, EVERYTHING)
    prepared.close()
    node = start_node(tmp_path)
    wait_until(lambda: node.status()["compaction"]["files_of_fullest_day"] == 1, 20, node.log)
    assert stored(prepared, EVERYTHING) == expected
    assert node.status()["compaction"]["failure"] is None
