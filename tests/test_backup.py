"""Backups while the node writes, and bringing them back: everything, once, or nothing changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import boto3
import duckdb
import pytest
from moto.server import ThreadedMotoServer

from tests.damage import spoil
from tests.processes import NodeProcess, command, wait_until
from tests.readings import NOW_US, reading
from tests.test_flush import store
from urbanos_edge.backup.backup import Copied, Shelf
from urbanos_edge.backup.restore import RestoreFailed, find_backup, restore
from urbanos_edge.backup.targets import Directory, TargetFailed, open_target
from urbanos_edge.batch import unpack
from urbanos_edge.clock import DAY_US, Clock, Instant, to_rfc3339
from urbanos_edge.errors import BadRequest, EdgeError, NotFound
from urbanos_edge.health.health import status
from urbanos_edge.node import Node
from urbanos_edge.progress import ignore_progress
from urbanos_edge.settings import Settings
from urbanos_edge.tls.tls import Request, Tls
from urbanos_edge.upkeep.upkeep import RehearsalFailed, back_up, is_backup_due


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("disk") / "backups")


@pytest.fixture(scope="module")
def bucket_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(bucket_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty bucket on an S3-compatible server, its credentials in place."""
    name = f"urbanos-{time.time_ns()}"
    credentials = {"AWS_ACCESS_KEY_ID": "some", "AWS_SECRET_ACCESS_KEY": "secret"}
    for variable, value in {**credentials, "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(variable, value)
    client = boto3.client("s3", endpoint_url=bucket_server, region_name="us-east-1")
    client.create_bucket(Bucket=name)
    client.close()
    return f"s3://{name}/city/air?endpoint={bucket_server}&region=us-east-1"


def backed_up(node: Node, address: str, **options: Any) -> Copied:
    return anyio.run(partial(back_up, node, address, **{"keep": 7, **options}))


def brought_back(address: str, data_dir: Path, name: str | None = None) -> Path | None:
    shelf, catalogue = find_backup(address, None, name)
    return restore(shelf, catalogue, data_dir, time.time_ns() // 1000, ignore_progress)


def held(data_dir: Path) -> Counter[tuple[str, int]]:
    """Every identity that is stored or waits, read without the node's own code for the files."""
    node = Node(Settings(), data_dir)
    try:
        found: Counter[tuple[str, int]] = Counter()
        for entry in node.spool.take(10**9):
            batch = unpack([entry.payload])
            found.update(zip(batch.strings("sensor"), batch["timestamp_us"].tolist(), strict=True))
        paths = [str(node.store.full(file)) for file in node.store.files]
        if paths:
            query = "SELECT sensor_id, epoch_us(timestamp) FROM read_parquet(?)"
            found.update(duckdb.connect().execute(query, [paths]).fetchall())
        return found
    finally:
        node.close()


def fill(node: Node, days: int = 3) -> None:
    for day in range(days):
        store(node, *(reading(f"s{n}", NOW_US - day * DAY_US) for n in range(20)))


@pytest.mark.parametrize("place", ["directory", "bucket"])
def test_what_was_backed_up_comes_back(
    node: Node, tmp_path_factory: pytest.TempPathFactory, place: str, request: pytest.FixtureRequest
) -> None:
    address: str = request.getfixturevalue(place)
    fill(node)
    anyio.run(node.ingest.keep, [reading("waiting")])
    (node.data_dir / "urbanos.toml").write_text('node_name = "Office"\n')
    secret = anyio.run(partial(node.tokens.create, "gateway", name="bridge"))
    copied = backed_up(node, address)
    assert (copied.catalogue.readings, copied.catalogue.waiting) == (60, 1)
    home = tmp_path_factory.mktemp("new box") / "data"
    assert brought_back(address, home) is None
    found = held(home)
    assert set(found.values()) == {1}
    assert len(found) == 61
    assert (home / "urbanos.toml").read_text() == 'node_name = "Office"\n'
    restored = Node(Settings(), home)
    try:
        assert restored.node_id == node.node_id
        assert restored.tokens.authenticate(secret).scope == "gateway"
        assert set(restored.store.files) == set(node.store.files)
    finally:
        restored.close()


@pytest.mark.parametrize("place", ["directory", "bucket"])
def test_what_is_there_is_not_copied_again_and_what_is_old_goes(
    node: Node, place: str, request: pytest.FixtureRequest
) -> None:
    address: str = request.getfixturevalue(place)
    fill(node)
    assert backed_up(node, address).files == 4, "three days and the database"
    store(node, reading("later"))
    assert backed_up(node, address).files == 2, "the new file and the database"
    shelf = Shelf(open_target(address), node.node_id)
    assert len(shelf.names()) == 2
    store(node, *(reading(f"s{n}", values={"pm25": 80.0}) for n in range(20)))
    backed_up(node, address, keep=1)
    (name,) = shelf.names()
    wanted = {kept.checksum for kept in shelf.catalogue(name).files}
    there = open_target(address).sizes(f"{node.node_id}/objects")
    assert {Path(key).name for key in there} == wanted


def ahead_of(clock: Clock, by_us: int) -> Instant:
    return Instant(clock.now_us() + by_us, 0)


def test_a_backup_of_a_clock_that_was_ahead_is_neither_the_newest_nor_in_the_way(
    open_node: Callable[..., Node], directory: str
) -> None:
    node = open_node(backup_target=directory)
    store(node, reading())
    right = node.clock
    later = partial(ahead_of, right, 4 * 365 * DAY_US)
    node.clock = Clock(None, later, lambda: False)
    ahead = backed_up(node, directory).catalogue.name
    node.clock = right
    assert status(node)["backup"]["last_at"] is None
    assert is_backup_due(node), "none of today is there"
    now = backed_up(node, directory).catalogue.name
    shelf = Shelf(open_target(directory), node.node_id)
    assert shelf.names() == [ahead, now]
    assert shelf.catalogue().name == now
    assert status(node)["backup"]["last_at"] is not None
    assert not is_backup_due(node)
    backed_up(node, directory, keep=2)
    assert ahead not in shelf.names()


def test_a_backup_is_none_until_its_catalogue_is_there(
    node: Node, directory: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fill(node, days=1)
    made = backed_up(node, directory).catalogue
    target = open_target(directory)
    target.delete([f"{node.node_id}/backups/{made.name}.json"])
    with pytest.raises(NotFound, match="no complete backup"):
        brought_back(directory, tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("way", ["flipped", "cut", "deleted"])
def test_a_damaged_backup_changes_nothing_and_the_next_one_mends_it(
    node: Node, directory: str, tmp_path_factory: pytest.TempPathFactory, way: str
) -> None:
    fill(node)
    made = backed_up(node, directory).catalogue
    home = tmp_path_factory.mktemp("home")
    (home / "old").write_text("state")
    spoil(next(Path(directory).glob(f"*/objects/*/{made.files[0].checksum}")), way)
    with pytest.raises(TargetFailed):
        brought_back(directory, home)
    assert {path.name for path in home.iterdir()} == {"old"}
    assert {path.name for path in home.parent.iterdir()} & {".home.restoring"} == set()
    if way == "flipped":  # what is missing or short is brought again without a rehearsal
        with pytest.raises(RehearsalFailed, match="is damaged"):
            backed_up(node, directory, prove=True)
    backed_up(node, directory)
    brought_back(directory, home)
    assert len(held(home)) == 60


def cannot_rehearse(*_: object, **__: object) -> bytes:
    raise RehearsalFailed("there is no room")


def cannot_be_read(*_: object) -> Iterator[bytes]:
    raise TargetFailed("503 Slow Down")


def test_a_place_that_does_not_answer_loses_no_good_object(
    node: Node, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(node)
    backed_up(node, directory)
    before = open_target(directory).sizes(f"{node.node_id}/objects")
    monkeypatch.setattr("urbanos_edge.upkeep.upkeep._run", cannot_rehearse)
    monkeypatch.setattr(Directory, "get", cannot_be_read)
    monkeypatch.setattr(Directory, "pieces", cannot_be_read, raising=False)
    with pytest.raises(RehearsalFailed, match="no room"):
        backed_up(node, directory, prove=True)
    after = open_target(directory).sizes(f"{node.node_id}/objects")
    assert before.keys() <= after.keys()


def test_a_backup_that_failed_late_is_tried_again_in_its_place(
    open_node: Callable[..., Node], directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a day of failures, one an hour, would push out all backups of the days before."""
    node = open_node(backup_target=directory)
    fill(node, days=1)
    good = backed_up(node, directory).catalogue.name
    monkeypatch.setattr("urbanos_edge.upkeep.upkeep._run", cannot_rehearse)
    for _ in range(3):
        with pytest.raises(RehearsalFailed):
            backed_up(node, directory, keep=2, prove=True)
    kept = Shelf(open_target(directory), node.node_id).names()
    assert (len(kept), kept[0]) == (2, good)
    assert not is_backup_due(node)
    node.backups.failure = "there is no room"
    assert is_backup_due(node)


def test_a_bucket_at_the_end_of_a_slow_line_has_the_time_that_it_takes(bucket: str) -> None:
    """By default a whole object has 30 s, and three minutes with all its tries."""
    target: Any = open_target(bucket)
    assert target._store.client_options["timeout"] == "1day"
    assert target._store.client_options["read_timeout"] == "5m"
    assert target._store.retry_config["retry_timeout"].total_seconds() == 86_400


def test_backups_are_listed_although_the_newest_cannot_be_read(node: Node, directory: str) -> None:
    fill(node, days=1)
    made = backed_up(node, directory).catalogue.name
    spoil(Path(directory) / node.node_id / "backups" / f"{made}.json", "cut")
    listed = run("restore", directory, "--list")
    assert (listed.returncode, listed.stdout.split()) == (0, [made]), listed.stderr


@pytest.mark.parametrize("why", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_an_old_state_is_not_lost_when_the_last_sync_fails(
    node: Node,
    directory: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    why: BaseException,
) -> None:
    fill(node, days=1)
    backed_up(node, directory)
    home = home_made(tmp_path_factory.mktemp("boxes") / "data")
    (home / "old").write_text("state")

    def fail(path: Path) -> None:
        if path == home.parent:
            raise why

    monkeypatch.setattr("urbanos_edge.backup.restore.sync_path", fail)
    with pytest.raises((EdgeError, KeyboardInterrupt)):
        brought_back(directory, home)
    assert len(held(home)) == 20
    (old,) = home.parent.glob("*/old")
    assert old.read_text() == "state"


def test_the_old_state_is_kept_beside(
    node: Node, directory: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fill(node, days=1)
    backed_up(node, directory)
    home = tmp_path_factory.mktemp("boxes") / "data"
    home.mkdir()
    (home / "old").write_text("state")
    (home / "urbanos.toml").write_text("port = 8081\n")
    trusted = Tls(home / "tls", Settings(), Clock()).init(Request()).sha256
    kept = brought_back(directory, home)
    assert kept is not None
    assert kept.parent == home.parent
    assert (kept / "old").read_text() == "state"
    assert not (home / "old").exists()
    assert (home / "urbanos.toml").read_text() == "port = 8081\n", "the box keeps its settings"
    assert Tls(home / "tls", Settings(), Clock()).standing().sha256 == trusted, "and its trust"


def test_a_file_found_damaged_by_a_backup_is_set_aside_and_the_rest_backed_up(
    node: Node, directory: str
) -> None:
    fill(node)
    spoil(next(node.data_dir.glob("readings/created_date=2025-11-22/*.parquet")), "flipped")
    assert backed_up(node, directory).catalogue.readings == 40
    assert status(node)["quarantined"] == 1


def test_places_that_make_no_sense_are_refused(node: Node, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="inside the data directory"):
        backed_up(node, str(node.data_dir / "backups"))
    with pytest.raises(BadRequest, match="s3://bucket"):
        backed_up(node, "ftp://somewhere/else")
    with pytest.raises(EdgeError, match="cannot be read or written"):
        backed_up(node, "/nowhere/mounted/backups")


def test_a_backup_of_a_newer_schema_is_refused(
    node: Node, directory: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    node.database.write_and_wait(lambda connection: connection.pragma("user_version", 999))
    backed_up(node, directory)
    home = tmp_path_factory.mktemp("home")
    with pytest.raises(RestoreFailed, match="schema 999, newer than this version reads"):
        brought_back(directory, home)
    assert list(home.iterdir()) == []


# --- real processes ---


class Senders:
    """Threads that post readings, each in order, and remember what was acknowledged."""

    def __init__(self, node: NodeProcess, count: int) -> None:
        self.acknowledged: dict[str, list[int]] = {f"sender-{n}": [] for n in range(count)}
        self._node = node
        self._token = node.token()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in self.acknowledged]

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def snapshot(self) -> dict[str, int]:
        return {name: len(moments) for name, moments in self.acknowledged.items()}

    def _send(self, name: str) -> None:
        at_us = (time.time_ns() // 1000) // 1000 * 1000 - DAY_US
        while not self._stop.is_set():
            moments = [at_us + 1000 * n for n in range(50)]
            at_us = moments[-1] + 1000
            lines = [
                f'{{"sensor_id":"{name}","location":{{"lat":60.1,"lng":24.9}},'
                f'"timestamp":"{to_rfc3339(moment)}","values":{{"pm25":{moment % 97}}}}}'
                for moment in moments
            ]
            body = "\n".join(lines).encode()
            kind = {"Content-Type": "application/x-ndjson"}
            if self._node.post(body, self._token, **kind).status_code == 202:
                self.acknowledged[name] += moments


def test_a_backup_under_load_holds_a_prefix_of_what_was_acknowledged(
    start_node: Callable[..., NodeProcess], directory: str, tmp_path: Path
) -> None:
    node = start_node(flush_interval_s=0.3)
    with Senders(node, 3) as senders:
        wait_until(lambda: all(count > 500 for count in senders.snapshot().values()), 30)
        before = senders.snapshot()
        node.run("backup", directory)
        wait_until(lambda: senders.snapshot() != before, 30)
    after = senders.acknowledged
    home = tmp_path / "restored"
    ended = run("restore", directory, "--data-dir", str(home))
    assert ended.returncode == 0, ended.stderr
    found = held(home)
    assert set(found.values()) == {1}, "nothing is double"
    for name, moments in after.items():
        kept = sorted(at_us for sensor, at_us in found if sensor == name)
        assert len(kept) >= before[name], "what was acknowledged before the backup is in it"
        sent = moments + [moments[-1] + 1000 * (n + 1) for n in range(50)]
        assert kept == sent[: len(kept)], "and nothing is missing in between"


@pytest.mark.parametrize("step", ["file fetched", "restore compared", "restore swapped"])
def test_a_restore_that_is_killed_leaves_the_old_state_or_the_new_one(
    node: Node, directory: str, tmp_path_factory: pytest.TempPathFactory, step: str
) -> None:
    fill(node)
    backed_up(node, directory)
    home = tmp_path_factory.mktemp("boxes") / "data"
    old = Node(Settings(), home_made(home))
    store(old, reading("old"))
    old.close()
    before = held(home)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AT, step, "restore", directory, "--data-dir", str(home)],
        timeout=60,
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    is_swapped = step == "restore swapped"
    assert held(home) == before if not is_swapped else len(held(home)) == 60
    ended = run("restore", directory, "--data-dir", str(home))
    assert ended.returncode == 0, ended.stderr
    assert len(held(home)) == 60
    assert len(list(home.parent.glob("*.restoring"))) == 0
    kept = [held(path) for path in home.parent.glob("data.before-*")]
    assert before in kept
    assert len(kept) == 1 + is_swapped, "and what the broken off restore has brought"


KILLED_AT = """
import os, sys
from urbanos_edge.store import steps
from urbanos_edge.cli import main
wanted = sys.argv[1]
steps.watcher = lambda step: os.kill(os.getpid(), 9) if step == wanted else None
main(sys.argv[2:])
"""


def home_made(path: Path) -> Path:
    path.mkdir()
    return path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    words = [*command(), *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, env=os.environ)


def test_a_node_is_backed_up_and_rehearsed_by_itself_and_restored_only_at_rest(
    start_node: Callable[..., NodeProcess], directory: str, bucket: str
) -> None:
    node = start_node(flush_interval_s=0.3, backup_target=bucket)
    wait_until(lambda: node.status()["backup"]["last_proven_at"], 60, node.log)
    backup = node.status()["backup"]
    assert backup["failure"] is None
    assert backup["last_at"] <= backup["last_proven_at"]
    assert "target" not in backup, "the status is public"
    refused = node.run("restore", bucket, check=False)
    assert refused.returncode == 1
    assert "stop it" in refused.stderr
    assert node.client.get("/health/ready").status_code == 200
