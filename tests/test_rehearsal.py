"""A copy for a new version to be tried on: whole, apart, and silent."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from tests.processes import NodeProcess
from tests.publisher import Publisher
from tests.readings import reading
from urbanos_edge import control
from urbanos_edge.backup.backup import last_backups
from urbanos_edge.cache.traffic import MAX_TARGET_BYTES, MAX_TARGETS, Traffic
from urbanos_edge.commands import commands
from urbanos_edge.errors import DiskFull
from urbanos_edge.node import Node
from urbanos_edge.settings import Settings
from urbanos_edge.upkeep.upkeep import copy_aside


def test_a_copy_holds_the_same_and_shares_no_file(node: Node, tmp_path: Path) -> None:
    folder = tmp_path / ".tmp" / "copy"

    async def work() -> None:
        await node.ingest.keep([reading()])
        await node.flush()
        await node.ingest.keep([reading(sensor_id="later")])
        await copy_aside(node, folder)

    anyio.run(work)
    mine = [tmp_path / file.path for file in node.store.files]
    assert mine and all(
        (folder / path.relative_to(tmp_path)).read_bytes() == path.read_bytes() for path in mine
    )
    assert all(path.stat().st_nlink == 1 for path in mine)
    assert last_backups(node.database.read(), node.clock.now_us())["last_at"] is None
    assert [path.name for path in folder.parent.glob("copy*")] == ["copy"]
    shutil.copytree(folder, tmp_path / "other")
    copy = Node(Settings(), tmp_path / "other")
    try:
        assert (sum(file.rows for file in copy.store.files), copy.spool.depth) == (1, 1)
        assert copy.node_id == node.node_id
    finally:
        copy.close()


def test_there_is_no_copy_where_two_do_not_fit(
    open_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = open_node(disk_reserve_mib=1 << 30)
    with pytest.raises(DiskFull, match="do not fit"):
        anyio.run(copy_aside, node, tmp_path / ".tmp" / "copy")
    assert not (tmp_path / ".tmp" / "copy").exists()


def test_a_copy_takes_the_place_of_what_a_broken_off_check_has_left(node: Node) -> None:
    left = node.data_dir / ".tmp" / "copy-left" / "readings"
    left.mkdir(parents=True)
    anyio.run(control.answer, commands(node), b'{"command": "copy"}')
    (copy,) = (node.data_dir / ".tmp").glob("copy-*")
    assert (copy / "urbanos.sqlite").is_file()


ENDED_IN_THE_MIDST = """
import os, signal, sys, time
from pathlib import Path
from urbanos_edge.deploy import rehearsal
from urbanos_edge.progress import ignore_progress
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as on a terminal, also below nohup
folder = Path(sys.argv[1])
told = {"copy": {"folder": str(folder)}, "recent_gets": []}
rehearsal.control.request = lambda _, command, *rest: told[command]

def end(*_):
    assert folder.with_name(f"{folder.name}.old").is_dir()
    os.kill(os.getpid(), int(sys.argv[2]))
    time.sleep(10)

rehearsal._compare = end
rehearsal.rehearse(folder, folder, folder.parent, ignore_progress)
"""


@pytest.mark.parametrize("told", [signal.SIGHUP, signal.SIGTERM])
def test_a_check_that_is_told_to_end_leaves_no_copies(tmp_path: Path, told: signal.Signals) -> None:
    (tmp_path / "copy").mkdir()
    words = [sys.executable, "-c", ENDED_IN_THE_MIDST, str(tmp_path / "copy"), str(int(told))]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (128 + told, "")
    assert list(tmp_path.iterdir()) == []


def test_a_node_on_a_copy_reaches_nobody(
    start_node: Callable[..., NodeProcess], publisher: Publisher, tmp_path: Path
) -> None:
    """It would fetch and back up at its start, and tell a CDN of its first flush."""
    pull = f'[{{"kind":"json","url":"{publisher.url}/readings.json","map":"pm25=pm25"}}]'
    target = tmp_path / "backups"
    node = start_node(
        rehearsal=True, pull=pull, backup_target=target, cdn_purge_url=f"{publisher.url}/purge"
    )
    time.sleep(1)
    assert node.client.get("/health/ready").status_code == 200
    assert publisher.asked == []
    assert not target.exists()


def test_a_tenth_of_what_is_got_is_remembered() -> None:
    """Of 5,000 it is 500 on average, 21 the standard deviation: five of them are allowed."""
    traffic = Traffic()
    for number in range(5_000):
        traffic.note_target(b"/api/v1/sensors?n=%d" % number)
    assert 394 <= len(traffic.targets) <= 606
    for number in range(50_000):
        traffic.note_target(b"/api/v1/sensors?n=%d" % number)
    assert len(traffic.targets) == MAX_TARGETS
    traffic.targets.clear()
    for _ in range(1_000):
        traffic.note_target(b"/" * (MAX_TARGET_BYTES + 1))
    assert not traffic.targets
