"""Replays against a small server that plays the node: what it refuses, drops and forgets."""

from __future__ import annotations

import gzip
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.processes import command, free_port, wait_until
from tests.replay.played import (
    Lines,
    PlayedNode,
    archive_of,
    options,
    run,
    send,
    states,
    stop_after,
)
from urbanos_edge.archives import ArchiveError, ArchiveOptions
from urbanos_edge.replay import NodeGone, NodeRefused, replay
from urbanos_edge.replay.state import StateFile

# --- what becomes of the rows ---


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


# --- a node in trouble ---


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


# --- stopping and going on ---


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
    wait_until(lambda: node.connections == 0, 15)  # what it sent before has arrived
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
