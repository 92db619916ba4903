"""The command `replay`: what it says, and what it does not tell another node."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from tests.processes import NodeProcess, command, wait_until
from tests.replay.played import PlayedNode, archive_of, complaint, run
from urbanos_edge.control import listen
from urbanos_edge.replay import report as report_module
from urbanos_edge.replay.report import Course, span

# --- the real node ---


@pytest.fixture
def replaying(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `urbanos-edge replay` as a process of its own; it is ended by its id afterwards."""
    with contextlib.ExitStack() as started:

        def start(*arguments: str) -> subprocess.Popen[str]:
            words = [*command(), "replay", *arguments, "--state-dir", str(tmp_path / "state")]
            process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
            started.enter_context(process)
            started.callback(process.kill)
            return process

        yield start


def test_a_node_killed_during_a_replay_ends_up_with_every_reading_once(
    tmp_path: Path,
    start_node: Callable[..., NodeProcess],
    replaying: Callable[..., subprocess.Popen[str]],
) -> None:
    archive = archive_of(tmp_path / "archive.csv", 40_000, empty=30_000, step_s=10.0)
    first = start_node(flush_interval_s=0.5)
    data_dir = first.data_dir
    # 80,000 times as fast takes 5 s: long enough to be killed in the middle.
    replay = replaying(str(archive), "--data-dir", str(data_dir), "--speed", "80000")
    wait_until(lambda: any((data_dir / "readings").glob("*/*.parquet")), 30, first.log)
    first.kill()
    start_node(port=first.port, flush_interval_s=0.5)
    output, _ = replay.communicate(timeout=60)
    assert replay.returncode == 0, output
    assert "does not answer" in output
    assert "39,999 sent, 39,999 accepted" in output
    assert "stored on the node: 0 before, 39,999 after" in output
    stored = duckdb.sql(
        f"""SELECT count(*), count(DISTINCT (sensor_id, timestamp)), round(sum(pm25), 1)
        FROM '{data_dir}/readings/created_date=*/*.parquet'"""
    ).fetchone()
    assert stored == (39_999, 39_999, sum(n for n in range(40_000) if n != 30_000) / 10)


# --- the command ---


def test_the_closing_line_tells_it_all(node: PlayedNode, archive: Path, tmp_path: Path) -> None:
    result = run(
        [str(archive), "--to", node.url, "--token", "secret", "--state-dir", str(tmp_path / "s")]
    )
    assert result.exit_code == 0, result.output
    *_, rejected, closing = result.output.splitlines()
    assert rejected == "Rejected: 1 no value in the row, first at archive.csv line 2,502."
    assert re.fullmatch(
        r"Done after \d+ s: 5,000 rows, 4,999 sent, 4,999 accepted, 0 of them duplicate, "
        r"1 rejected \(1 no value in the row\); stored on the node: 0 before, 4,999 after\.",
        closing,
    )


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["--map", "pm52=pm25"], 2, "did you mean pm25"),
        (["--map", "pm25=dust"], 2, "archive.csv: there is no column 'dust'"),
        (["--speed", "fast"], 2, "neither 'max' nor a number above 0"),
        (["--speed", "-1"], 2, "neither 'max' nor a number above 0"),
        (["--to", "localhost:8080"], 2, "write --to http://localhost:8080"),
        (["--state-dir", "/dev/null/x"], 1, "name another --state-dir"),
        (["--batch", "10001"], 2, "10001 is not in the range"),
        (["--token", "wrong"], 1, "refuses the token, 401 (unknown token)"),
    ],
)
def test_a_command_that_cannot_work_says_so_with_its_exit_code(
    node: PlayedNode, archive: Path, arguments: list[str], exit_code: int, message: str
) -> None:
    state_dir = str(archive.parent / "state")
    known = [str(archive), "--to", node.url, "--token", "secret", "--state-dir", state_dir]
    result = run([*known, *arguments])
    assert result.exit_code == exit_code
    assert message in complaint(result)


def test_without_a_node_on_this_machine_the_command_says_what_to_do(
    archive: Path, tmp_path: Path
) -> None:
    result = run([str(archive), "--data-dir", str(tmp_path / "nowhere")])
    assert result.exit_code == 1
    assert complaint(result).startswith("there is no data directory at")
    assert "name one with --to and --token" in complaint(result)


def test_a_node_elsewhere_is_never_given_the_token_of_this_one(archive: Path) -> None:
    result = run([str(archive), "--to", "https://node.example"])
    assert result.exit_code == 2
    assert "pass --token" in result.stderr


def test_the_token_comes_over_the_control_socket_and_is_given_back(
    node: PlayedNode, archive: Path
) -> None:
    asked: list[dict[str, Any]] = []
    data_dir = archive.parent / "node"
    data_dir.mkdir()
    granted = {"token": "secret", "id": 7, "url": node.url}
    with control_socket(data_dir, granted, asked):
        result = run(
            [str(archive), "--data-dir", str(data_dir), "--state-dir", str(archive.parent / "s")]
        )
    assert result.exit_code == 0, result.output
    assert asked == [{"scope": "gateway", "name": "replay"}, {"id": 7}]
    assert len(node.stored) == 4_999


def test_ctrl_c_leaves_a_state_and_says_how_to_go_on(node: PlayedNode, archive: Path) -> None:
    node.trouble = ["slow"] * 100
    arguments = [str(archive), "--to", node.url, "--token", "secret", "--batch", "100"]
    arguments += ["--state-dir", str(archive.parent / "state")]
    replaying = subprocess.Popen(
        [*command(), "replay", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: node.requests >= 3, 15)
    replaying.send_signal(signal.SIGINT)
    output, errors = replaying.communicate(timeout=10)
    assert replaying.returncode == 1
    assert errors == "urbanos-edge: stopped; the same command goes on, --restart begins anew\n"
    assert "Stopped after" in output.splitlines()[-1]
    node.trouble.clear()
    assert run(arguments).exit_code == 0
    assert len(node.stored) == len(node.arrived) == 4_999


def test_the_help_fits_one_screen() -> None:
    lines = run(["--help"]).output.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_rate_and_time_left_follow_from_what_is_gone_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([100.0, 110.0])
    monkeypatch.setattr(report_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    course = Course()
    assert course.tell(1_000, 0.1) == "1,000 rows"
    assert course.tell(5_000, 0.5) == "5,000 rows, 400 rows/s, 12 s left"
    assert [span(seconds) for seconds in (17.4, 250, 11_100)] == ["17 s", "4 min 10 s", "3 h 5 min"]


@contextlib.contextmanager
def control_socket(
    data_dir: Path, result: dict[str, Any], asked: list[dict[str, Any]]
) -> Iterator[None]:
    async def answer(arguments: dict[str, Any]) -> dict[str, Any]:
        asked.append(arguments)
        return result

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    commands = {"token": answer, "revoke_token": answer}
    server = asyncio.run_coroutine_threadsafe(listen(data_dir, commands), loop).result(5)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
