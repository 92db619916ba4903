"""A new version: staged, tried on a copy, taken into use, watched, and taken back."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.deployed import DIES_AT_ITS_START, IS_WRONG, Deployed, deployed
from tests.faults.figures import Figures
from tests.faults.upgrades import Readers, upgrade
from tests.processes import wait_until
from tests.releases import NEEDED, sha256_of
from urbanos_edge.database import newest_schema
from urbanos_edge.deploy.cutover import BASELINE


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """9.0.1 runs on it when the first test begins; each test leaves it running a good version."""
    with deployed(tmp_path_factory.mktemp("box")) as made:
        yield made


def break_slot(box: Deployed, fault: dict[str, str]) -> None:
    """Let the staged version have a fault, as if it had been released with it."""
    (packages,) = box.slots.folder(box.slots.idle).glob("lib/python3.*/site-packages")
    for name, addition in fault.items():
        with (packages / name).open("a") as opened:
            opened.write(addition)


def test_a_slot_that_an_installation_has_filled_is_taken_in(box: Deployed) -> None:
    (box.slots.root / "state.json").unlink()
    with box.slots.changing() as state:
        assert state.slots["blue"].version == "9.0.1"
        assert state.slots["blue"].schema == newest_schema()
        box.slots.save(state)


def test_what_nobody_vouches_for_is_not_staged(box: Deployed, tmp_path: Path) -> None:
    wheel = box.release("9.0.9")

    def staged(*words: str) -> str:
        ended = box.run("stage", str(wheel), *words, with_data=False, check=False)
        assert ended.exit_code == 1
        return ended.stderr

    assert "say what urbanos_edge-9.0.9" in staged()
    assert "not the one that was given" in staged("--sha256", "00" * 32)
    (box.slots.root / "release.pub").write_text("untrusted comment: a key\nRWQ=\n")
    try:
        assert "has 2 bytes, not 42" in staged("--sha256", sha256_of(wheel))
    finally:
        (box.slots.root / "release.pub").unlink()
    wheel.unlink()
    assert box.status()["slots"]["green"]["version"] is None
    assert not box.slots.folder("green").exists()


def test_what_is_not_in_the_wheelhouse_is_not_fetched(box: Deployed, tmp_path: Path) -> None:
    wheel = box.release("9.0.9")
    words = ["--sha256", sha256_of(wheel), "--wheelhouse", str(tmp_path)]
    ended = box.run("stage", str(wheel), *words, with_data=False, check=False)
    wheel.unlink()
    assert (box.folder / NEEDED).exists()
    assert ended.exit_code == 1 and "what it needs cannot be installed" in ended.stderr
    assert not box.slots.folder("green").exists()
    assert box.version() == "9.0.1"


def test_an_upgrade_under_load_fails_no_request_and_loses_no_reading(box: Deployed) -> None:
    figures = Figures("deploy")
    with connect(box.url.replace("http", "ws") + "/ws") as follower:
        upgrade(box, ["9.0.2"], figures)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                follower.recv(timeout=10)
    figures.assert_nothing_lost()
    assert figures.more["failed_requests"] == 0 and figures.more["requests"] > 100
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012  # service restart
    with connect(box.url.replace("http", "ws") + "/ws") as follower:
        follower.send('{"type":"ping"}')
        assert json.loads(follower.recv(timeout=10))["type"] == "pong"
    standing = box.status()
    assert (standing["current"], standing["previous"]) == ("green", "blue")
    assert standing["slots"]["green"]["version"] == "9.0.2"
    assert (standing["watched_until"], standing["running"]) == (None, "9.0.2")
    assert not (box.slots.root / BASELINE).exists()


def test_the_version_before_comes_back_when_it_is_told_to(box: Deployed) -> None:
    readers = Readers(box.url, count=1)
    with readers.running():
        box.run("rollback")
    assert box.version() == "9.0.1"
    assert readers.failed() == 0
    again = box.run("rollback", check=False)
    assert again.exit_code == 1 and "no version to go back to" in again.stderr


def test_a_version_that_answers_the_same_passes_the_check(box: Deployed) -> None:
    """The one that was taken back: it lies in the other slot, and stays there."""
    with httpx.Client(base_url=box.url) as client:
        for _ in range(200):  # a tenth is kept, so that none of it is one in a thousand millions
            assert client.get("/api/v1/grids/z12-x2330-y1185").status_code == 200
    ended = box.run("check")
    assert "nothing differs" in ended.stdout, ended.stdout
    assert re.search(r"^(\d+) requests, [1-9]\d* of them asked lately", ended.stdout)
    assert "the version in use opens what the staged one has left" in ended.stdout
    assert not list(box.data_dir.glob(".tmp/copy-*"))
    assert box.version() == "9.0.1"


def test_wrong_answers_are_found_by_the_check(box: Deployed) -> None:
    break_slot(box, IS_WRONG)
    found = box.run("check", check=False)
    assert found.exit_code == 1 and "PROBLEM /api/v1/status lacks ." in found.stdout
    refused = box.run("cutover", check=False)
    assert refused.exit_code == 1 and "the check found" in refused.stderr


def test_a_version_that_does_not_start_gives_way_and_nobody_notices(box: Deployed) -> None:
    break_slot(box, DIES_AT_ITS_START)
    readers = Readers(box.url, count=1)
    with readers.running():
        ended = box.run("cutover", "--unchecked", check=False)
    assert ended.exit_code == 1 and "it ended at its start; 9.0.1 is in use again" in ended.stderr
    assert readers.failed() == 0
    assert box.version() == "9.0.1"
    assert "gave way to 9.0.1" in box.status()["history"][-1]["what"]


def watching(box: Deployed, current: str, previous: str, watch_s: float = 1.5) -> None:
    """Let things stand as in the middle of a watch, the clock having leapt to its end since."""
    with box.slots.changing() as state:
        state.phase, state.previous = "watching", previous
        state.watch_until_us, state.watch_s = 0, watch_s
        box.slots.save(state)
    box.slots.use(current)


def test_a_new_version_that_no_power_cut_has_broken_stands_the_watch_from_its_beginning(
    box: Deployed,
) -> None:
    watching(box, "blue", previous="green")
    began_s = time.monotonic()
    box.run("watch", "--anew")
    assert time.monotonic() - began_s > 1.5
    standing = box.status()
    ended = [event["what"] for event in standing["history"][-2:]]
    assert ended == ["the watch of 9.0.1 begins anew", "9.0.1 has stood the watch"]
    assert standing["watched_until"] is None and not (box.slots.root / "watch").exists()


def test_after_a_power_cut_the_version_before_watches_the_new_one_and_comes_back(
    box: Deployed,
) -> None:
    """The staged one still dies at its start, see above; on a slow machine seconds apart."""
    box.stop()
    watching(box, "green", previous="blue", watch_s=60)
    box.start()
    assert box.version() == "9.0.1"
    assert "gave way to 9.0.1 in blue" in box.status()["history"][-1]["what"]
    wait_until(lambda: not (box.slots.root / "watch").exists(), 10)


def test_a_change_that_a_power_cut_came_before_is_forgotten(box: Deployed) -> None:
    watching(box, "blue", previous="blue")
    box.run("watch", "--anew")
    assert "9.0.1 stayed" in box.status()["history"][-1]["what"]
    assert box.version() == "9.0.1"
