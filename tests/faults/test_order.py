"""The kernel sees a flush in the order that survives a crash at any point."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.straced import Call, parse, skip_without_strace, strace
from tests.faults.victim import Victim, victim

CALLS = "trace=write,writev,sendto,sendmsg,pwrite64,fsync,fdatasync,rename,renameat,renameat2"


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[list[Call]]:
    """What a node asks of the kernel for one reading, from the request to the end of its flush."""
    skip_without_strace()
    with victim(tmp_path / "node", tmp_path / "node.log") as node:
        node.start(flush_interval_s=3600)
        token = node.token()
        with strace(node.pid, tmp_path / "calls", "-y", "-s", "24", "-e", CALLS):
            _send_one(node, token)
            node.flush()
        yield parse(tmp_path / "calls")


def _send_one(node: Victim, token: str) -> None:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sent = {
        "sensor_id": "ordered",
        "timestamp": moment,
        "location": {"lat": 60.17, "lng": 24.94},
        "values": {"pm25": 12.25},
    }
    httpx.post(
        f"{node.url}/api/v1/data/ingest",
        content=json.dumps(sent),
        headers={"Authorization": f"Bearer {token}"},
    ).raise_for_status()


def _one(calls: list[Call], names: str, *said: str, after: int = -1) -> Call:
    """The first such call that began after a line."""
    for call in calls:
        if call.name in names.split() and call.began > after:
            if all(word in call.arguments for word in said):
                return call
    raise AssertionError(f"no {names} with {said} after line {after}")


def test_the_answer_leaves_after_the_log_is_synced(calls: list[Call]) -> None:
    written = _one(calls, "pwrite64", "urbanos.sqlite-wal>")
    synced = _one(calls, "fdatasync fsync", "urbanos.sqlite-wal>", after=written.returned)
    answered = _one(calls, "write writev sendto sendmsg", "HTTP/1.1 202")
    assert answered.began > synced.returned


def test_a_file_is_synced_renamed_and_its_folders_synced_before_it_is_listed(
    calls: list[Call],
) -> None:
    renamed = _one(calls, "rename renameat renameat2", "/.tmp/", "/readings/created_date=")
    path = renamed.arguments.split('"')[1]
    synced = _one(calls, "fsync", f"{path}>")
    written = [c for c in calls if c.name in ("write", "pwrite64") and f"{path}>" in c.arguments]
    assert written
    assert max(call.returned for call in written) < synced.began
    assert synced.returned < renamed.began
    folder = _one(calls, "fsync", "/readings/created_date=", after=renamed.returned)
    parent = _one(calls, "fsync", "/readings>", after=renamed.returned)
    durable = max(folder.returned, parent.returned)
    listed = _one(calls, "pwrite64", "urbanos.sqlite-wal>", after=renamed.returned)
    assert listed.began > durable, "the manifest was written before the folders were synced"
    _one(calls, "fdatasync fsync", "urbanos.sqlite-wal>", after=listed.returned)
