"""Replays against a small server that plays the node: what it refuses, drops and forgets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.processes import NodeProcess, command, free_port, wait_until
from urbanos_edge.archives import ArchiveError, ArchiveOptions, Row, open_archive
from urbanos_edge.cli.replay import replay_command
from urbanos_edge.control import listen
from urbanos_edge.errors import EdgeError
from urbanos_edge.replay import (
    NodeGone,
    NodeRefused,
    ReplayOptions,
    ReplaySummary,
    replay,
)
from urbanos_edge.replay import order as order_module
from urbanos_edge.replay import report as report_module
from urbanos_edge.replay.order import TimeOrder
from urbanos_edge.replay.report import Course, span
from urbanos_edge.replay.state import START, StateFile

START_AT = datetime(2024, 1, 1, tzinfo=UTC)
Answer = tuple[int, dict[str, str], Any]
"""Status, headers, body."""


@dataclass
class PlayedNode:
    """Keeps what it is sent by identity, and answers as `trouble` says while it lasts.

    An element of `trouble` is an answer to give instead of taking the request, or a word: `drop`
    takes it and closes the connection unanswered, `slow` takes it after 0.2 s.
    """

    trouble: list[Answer | str] = field(default_factory=list)
    reject: Callable[[dict[str, Any]], str | None] = lambda reading: None
    stored: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    arrived: list[tuple[str, str]] = field(default_factory=list)
    requests: int = 0
    node_id: str = "node-1"
    encodings: set[str | None] = field(default_factory=set)
    port: int = 0
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        node = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                if node._server is None:  # connections kept alive end with the server
                    self.close_connection = True
                else:
                    super().handle_one_request()

            def do_GET(self) -> None:  # noqa: N802
                self._answer(200, {}, node.status())

            def do_POST(self) -> None:  # noqa: N802
                body = self.rfile.read(int(self.headers["content-length"]))
                node.encodings.add(self.headers.get("content-encoding"))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                answer = node.take(self.headers["authorization"], json.loads(body))
                if answer is None:
                    self.close_connection = True
                    return
                self._answer(*answer)

            def _answer(self, status: int, headers: dict[str, str], body: Any) -> None:
                encoded = json.dumps(body).encode()
                with contextlib.suppress(ConnectionError):  # a killed client hears nothing
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(encoded)))
                    self.end_headers()
                    self.wfile.write(encoded)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Door)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def status(self) -> dict[str, Any]:
        return {
            "node": {"id": self.node_id, "name": "played"},
            "totals": {
                "stored": len(self.stored),
                "duplicates": len(self.arrived) - len(self.stored),
                "revisions": 0,
                "rejected": 0,
                "dead_letters": 0,
            },
            "spool": {"readings": 0},
            "store": {"rows": len(self.stored), "files": 1, "bytes": 1},
        }

    def take(self, authorization: str, readings: list[dict[str, Any]]) -> Answer | None:
        if authorization != "Bearer secret":
            return 401, {}, {"error": {"code": "unauthorized", "message": "unknown token"}}
        self.requests += 1
        trouble = self.trouble.pop(0) if self.trouble else ""
        if isinstance(trouble, tuple):
            return trouble
        if trouble == "slow":
            time.sleep(0.2)
        rejected = []
        for index, reading in enumerate(readings):
            code = self.reject(reading)
            if code is not None:
                rejected.append({"index": index, "code": code, "message": "no"})
                continue
            identity = reading["sensor_id"], reading["timestamp"]
            self.arrived.append(identity)
            self.stored[identity] = reading
        if trouble == "drop":
            return None
        accepted = len(readings) - len(rejected)
        tally = {"accepted": accepted, "duplicates": 0, "rejected": rejected}
        return (202 if accepted else 422), {}, {"success": bool(accepted), **tally}


class Lines:
    """A report that keeps what it is told."""

    def __init__(self, on_progress: Callable[[int], None] = lambda rows: None) -> None:
        self.said: list[str] = []
        self.shares: list[float] = []
        self._on_progress = on_progress

    def say(self, line: str) -> None:
        self.said.append(line)

    def progress(self, rows: int, share: float) -> None:
        self.shares.append(share)
        self._on_progress(rows)


@pytest.fixture
def node() -> Iterator[PlayedNode]:
    played = PlayedNode()
    played.start()
    yield played
    played.stop()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """5,000 rows, one of them without a value, at line 2,502."""
    return archive_of(tmp_path / "archive.csv", 5_000, empty=2_500)


def archive_of(path: Path, rows: int, *, empty: int = -1, step_s: float = 60.0) -> Path:
    lines = ["sensor_id,latitude,longitude,timestamp,pm25"]
    for n in range(rows):
        moment = (START_AT + timedelta(seconds=n * step_s)).isoformat()
        lines.append(f"s{n % 7},60.1,24.9,{moment},{'' if n == empty else n / 10}")
    path.write_text("\n".join(lines) + "\n")
    return path


def options(node: PlayedNode, path: Path, **changes: Any) -> ReplayOptions:
    settled = {"url": node.url, "token": "secret", "state_dir": path.parent / "state"}
    brisk = {"batch": 500, "patience_s": 5.0, "flush_wait_s": 1.0}
    return ReplayOptions(**{**settled, **brisk, **changes})


def send(node: PlayedNode, archive: Path, **changes: Any) -> ReplaySummary:
    return replay([archive], options(node, archive, **changes), Lines())


def states(archive: Path) -> list[Path]:
    return list((archive.parent / "state").glob("*"))


def stop_after(rows: int) -> tuple[Lines, threading.Event]:
    stop = threading.Event()
    return Lines(lambda settled: stop.set() if settled >= rows else None), stop


# --- what becomes of the rows -----------------------------------------------------------------


def test_every_row_is_accounted_for(node: PlayedNode, archive: Path) -> None:
    node.stored[("before", "")] = {}
    node.arrived.append(("before", ""))
    report = Lines()
    summary = replay([archive], options(node, archive), report)
    assert summary.complete
    assert (summary.tally.rows, summary.tally.sent, summary.tally.accepted) == (5_000, 4_999, 4_999)
    assert summary.tally.rejected == {"no_value": 1}
    assert summary.tally.first == {"no_value": "archive.csv line 2,502"}
    assert summary.before is not None and summary.after is not None
    assert (summary.before.rows, summary.after.rows) == (1, 5_000)
    assert summary.duplicates == 0
    assert report.shares == sorted(report.shares)
    assert report.shares[-1] == 1.0
    assert states(archive) == []


def test_a_second_replay_is_counted_as_duplicates_by_the_node(
    node: PlayedNode, archive: Path
) -> None:
    send(node, archive)
    assert send(node, archive).duplicates == 4_999


def test_the_order_of_the_file_is_kept(node: PlayedNode, archive: Path) -> None:
    node.trouble = ["slow", "", "slow", ""]
    send(node, archive)
    assert [moment for _, moment in node.arrived] == sorted(moment for _, moment in node.arrived)


def test_what_the_node_rejects_is_counted_by_its_reason(node: PlayedNode, archive: Path) -> None:
    node.reject = lambda reading: "no_location" if reading["sensor_id"] == "s3" else None
    summary = send(node, archive)
    of_s3 = sum(1 for n in range(5_000) if n % 7 == 3 and n != 2_500)
    assert summary.tally.rejected == {"no_value": 1, "no_location": of_s3}
    assert summary.tally.first["no_location"] == "archive.csv line 5"
    assert summary.tally.accepted == 4_999 - of_s3


def test_a_batch_rejected_whole_is_accounted_for_like_any(node: PlayedNode, archive: Path) -> None:
    node.reject = lambda reading: "timestamp_in_future"
    assert send(node, archive).tally.rejected == {"no_value": 1, "timestamp_in_future": 4_999}


def test_a_damaged_archive_is_sent_as_far_as_it_goes(node: PlayedNode, tmp_path: Path) -> None:
    whole = archive_of(tmp_path / "whole.csv", 3_000)
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(whole.read_bytes())[:-3_000])
    with pytest.raises(ArchiveError, match=r"damaged after line ([\d,]+)") as caught:
        send(node, broken)
    last_line = re.search(r"line ([\d,]+)", caught.value.message)
    assert last_line is not None
    assert len(node.stored) == int(last_line[1].replace(",", "")) - 1 > 0


# --- a node in trouble ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503, 507])
def test_a_busy_node_is_asked_again_when_it_says(
    node: PlayedNode, archive: Path, status: int
) -> None:
    busy = {"error": {"code": "busy", "message": "the spool is full"}}
    node.trouble = [(status, {"retry-after": "0.3"}, busy)] * 2
    report = Lines()
    started = time.monotonic()
    summary = replay([archive], options(node, archive), report)
    assert summary.complete and summary.duplicates == 0
    assert time.monotonic() - started >= 0.6
    told = [line for line in report.said if "the spool is full" in line]
    assert told == [f"Waiting up to 5 s: the node answers {status} (the spool is full)."]
    assert "The node answers again." in report.said


def test_an_answer_that_is_lost_costs_nothing_but_duplicates(
    node: PlayedNode, archive: Path
) -> None:
    node.trouble = ["", "drop", "", "drop"]
    summary = send(node, archive)
    assert summary.complete
    assert len(node.stored) == 4_999
    assert summary.duplicates == 1_000


def test_a_node_that_comes_up_late_is_waited_for(archive: Path) -> None:
    node = PlayedNode(port=free_port())
    report = Lines(lambda rows: None)
    later = threading.Timer(0.7, node.start)
    later.start()
    try:
        assert replay([archive], options(node, archive), report).complete
    finally:
        later.join()
        node.stop()
    assert any("does not answer" in line for line in report.said)
    assert len(node.stored) == 4_999


def test_a_node_that_stays_away_ends_the_replay_and_the_same_call_goes_on(
    node: PlayedNode, archive: Path
) -> None:
    report = Lines(lambda rows: node.stop() if rows == 2_000 else None)
    with pytest.raises(NodeGone, match="gave up after 1 s"):
        replay([archive], options(node, archive, patience_s=1.0), report)
    node.start()
    node.requests = 0
    summary = send(node, archive)
    assert len(node.stored) == 4_999
    assert summary.tally.sent == 4_999
    assert node.requests <= 6
    assert summary.before is not None and summary.before.rows == 0


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (400, "refuses the batch: 400 \\(because\\)"),
        (403, "create one with 'urbanos-edge token create --scope gateway'"),
        (404, "correct --to"),
        (413, "use a smaller --batch"),
        (422, "refuses the batch: 422 \\(because\\)"),
    ],
)
def test_a_refused_batch_ends_the_replay_with_advice(
    node: PlayedNode, archive: Path, status: int, advice: str
) -> None:
    node.trouble = ["", (status, {}, {"error": {"code": "x", "message": "because"}})]
    with pytest.raises(NodeRefused, match=advice):
        send(node, archive)
    assert len(states(archive)) == 1


def test_readings_travel_packed_unless_the_node_is_on_this_machine(
    node: PlayedNode, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    send(node, archive)
    assert node.encodings == {None}
    send(node, archive, url=f"http://0.0.0.0:{node.port}")
    assert node.encodings == {None, "gzip"}
    assert len(node.stored) == 4_999


# --- stopping and going on --------------------------------------------------------------------


def test_a_stopped_replay_goes_on_where_it_was(node: PlayedNode, archive: Path) -> None:
    report, stop = stop_after(1_500)
    stopped = replay([archive], options(node, archive), report, stop)
    assert not stopped.complete
    assert stopped.after is None
    assert 1_500 <= stopped.tally.rows < 5_000
    resumed = send(node, archive)
    assert resumed.complete
    assert resumed.tally.rows == 5_000
    assert resumed.tally.rejected == {"no_value": 1}
    assert resumed.duplicates == 0
    assert len(node.stored) == len(node.arrived) == 4_999
    assert states(archive) == []


def test_a_stop_ends_the_wait_for_a_node(archive: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    away = PlayedNode(port=free_port())
    assert not replay([archive], options(away, archive, patience_s=60), Lines(), stop).complete


def test_restart_begins_anew(node: PlayedNode, archive: Path) -> None:
    report, stop = stop_after(1_500)
    replay([archive], options(node, archive), report, stop)
    known = len(node.stored)
    summary = send(node, archive, restart=True)
    assert summary.tally.sent == 4_999
    assert summary.duplicates == known


def test_another_file_map_or_node_is_another_replay(node: PlayedNode, archive: Path) -> None:
    report, stop = stop_after(500)
    replay([archive], options(node, archive), report, stop)
    mapped = ArchiveOptions(column_map="pm10=pm25")
    report, stop = stop_after(500)
    replay([archive], options(node, archive, archive=mapped), report, stop)
    assert len(states(archive)) == 2


def test_a_node_that_was_emptied_gets_everything_again(node: PlayedNode, archive: Path) -> None:
    report, stop = stop_after(1_500)
    replay([archive], options(node, archive), report, stop)
    node.stored.clear()
    node.arrived.clear()
    node.node_id = "node-2"
    report = Lines()
    summary = replay([archive], options(node, archive), report)
    assert f"Another node answers at {node.url}: beginning anew." in report.said
    assert summary.tally.sent == len(node.stored) == 4_999


def test_a_broken_state_begins_anew(node: PlayedNode, archive: Path) -> None:
    report, stop = stop_after(500)
    replay([archive], options(node, archive), report, stop)
    (state,) = states(archive)
    state.write_text('{"position": [0')
    assert send(node, archive).tally.sent == 4_999


def test_a_state_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    state_file = StateFile(tmp_path, "identity")
    assert state_file.load() is None
    assert StateFile(tmp_path, "identity").path == state_file.path
    assert StateFile(tmp_path, "another").path != state_file.path


def test_after_kill_9_the_same_command_goes_on(node: PlayedNode, archive: Path) -> None:
    node.trouble = ["slow"] * 100
    arguments = [str(archive), "--to", node.url, "--token", "secret", "--batch", "100"]
    arguments += ["--state-dir", str(archive.parent / "state")]
    killed = subprocess.Popen([*command(), "replay", *arguments], stdout=subprocess.DEVNULL)
    wait_until(lambda: node.requests >= 9, 15)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    node.trouble.clear()
    assert len(states(archive)) == 1
    result = run(arguments)
    assert result.exit_code == 0, result.output
    assert "Going on after" in result.output
    assert len(node.stored) == 4_999
    again = len(node.arrived) - 4_999
    assert 0 < again < 900
    assert f"{again:,} of them duplicate" in result.output
    assert "stored on the node: 0 before, 4,999 after" in result.output
    assert states(archive) == []


# --- time -------------------------------------------------------------------------------------


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
    assert 1.0 <= time.monotonic() - started < 3.0
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


@settings(max_examples=40, deadline=None)
@given(
    minutes=st.lists(st.lists(st.none() | st.integers(0, 20), max_size=12), min_size=1, max_size=3),
    run_rows=st.integers(1, 5),
)
def test_time_order_is_stable_and_goes_on_after_any_row(
    tmp_path_factory: pytest.TempPathFactory, minutes: list[list[int | None]], run_rows: int
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
        order = TimeOrder(archives, folder)
    with contextlib.closing(order):
        check_order(order, minutes)


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


# --- the real node ----------------------------------------------------------------------------


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


# --- the command ------------------------------------------------------------------------------


def run(arguments: list[str]) -> Result:
    return CliRunner().invoke(replay_command, arguments, prog_name="urbanos-edge replay")


def complaint(result: Result) -> str:
    """The last line of the errors; what is left to the command line to show, as it is shown."""
    if isinstance(result.exception, EdgeError):
        return result.exception.message
    return result.stderr.splitlines()[-1]


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
