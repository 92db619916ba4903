"""What is wrong between node and centre is said in plain words, and nothing is lost meanwhile."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from psycopg.conninfo import make_conninfo

from tests.central.conftest import Centre
from tests.central.mirror import counted, sync, told
from tests.faults.disks import new_disk, skip_without_disks
from tests.postgres import Postgres, give_to_owner, scratch
from tests.processes import free_port
from tests.readings import reading
from tests.test_flush import store
from urbanos_edge.clock import DAY_US, HOUR_US, Instant, read_clocks
from urbanos_edge.errors import DiskFull, EdgeError
from urbanos_edge.health.health import status
from urbanos_edge.node import Node
from urbanos_edge.settings import Settings
from urbanos_edge.sync import link
from urbanos_edge.sync.central import CentreRefused, CentreUnavailable
from urbanos_edge.sync.link import BUNDLES, NodeIdUsedTwice, secured
from urbanos_edge.sync.pace import Pace
from urbanos_edge.sync.sync import NoCentre

MODE_OF = {"buckets": "aggregates", "readings": "readings"}
Fails = Callable[[type[EdgeError]], str]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Open nodes beside each other, each with one reading, of two hours ago."""
    opened: list[Node] = []

    def another(dsn: str, back_us: int = 2 * HOUR_US, **settings: Any) -> Node:
        folder = tmp_path / str(len(opened))
        folder.mkdir()
        node = Node(Settings(**{"sync_dsn": dsn, "node_id": "north", **settings}), folder)
        opened.append(node)
        store(node, reading(timestamp_us=node.clock.now_us() - back_us))
        return node

    yield another
    for node in opened:
        node.close()


def failure(node: Node, kind: type[EdgeError], code: str) -> str:
    """What the node says when it cannot sync; what it has is still owed."""
    with pytest.raises(kind):
        sync(node)
    found = status(node)["sync"]
    assert (found["state"], found["failure_code"]) == ("failing", code)
    assert found["pending_hours"] == 1
    said: str = found["failure"]
    return said


def heals(node: Node, centre: Centre) -> None:
    """What was owed arrives once the cause is gone."""
    sync(node)
    assert told(centre, "north") == counted(node)
    assert status(node)["sync"]["failure"] is None


def test_without_a_centre_there_is_nothing_to_do(nodes: Callable[..., Node]) -> None:
    node = nodes("")
    with pytest.raises(NoCentre, match="sync_dsn"):
        anyio.run(node.sync.bring_everything)
    assert status(node)["sync"]["state"] == "off"


def test_a_centre_that_does_not_answer(nodes: Callable[..., Node], centre: Centre) -> None:
    centre.add_node("north")
    node = nodes(f"host=127.0.0.1 port={free_port()} dbname=x user=y")
    assert "cannot be reached" in failure(node, CentreUnavailable, "centre_unavailable")


def test_a_wrong_password(nodes: Callable[..., Node], centre: Centre) -> None:
    node = nodes(make_conninfo(centre.add_node("north"), password="wrong"))
    said = failure(node, CentreUnavailable, "centre_login")
    assert said.startswith("the centre refuses the name or the password in sync_dsn")
    assert "wrong" not in said


def test_another_ones_login_and_a_node_that_is_not_let_in(
    nodes: Callable[..., Node], centre: Centre
) -> None:
    node = nodes(centre.add_node("south"))
    said = failure(node, CentreRefused, "other_node")
    assert "is that of node 'south', but this is 'north'" in said
    centre.owner.execute(b"DELETE FROM nodes")
    assert "add-node north" in failure(node, CentreRefused, "unknown_node")


def test_a_centre_of_another_schema(nodes: Callable[..., Node], own_centre: Centre) -> None:
    node = nodes(own_centre.add_node("north"))
    newest = own_centre.value("SELECT max(version) FROM schema_migrations")
    own_centre.owner.execute(b"INSERT INTO schema_migrations VALUES (%s, 'newer')", [newest + 1])
    said = failure(node, CentreRefused, "centre_schema")
    assert f"of schema {newest + 1}, this version knows {newest}; install the newer" in said
    own_centre.owner.execute(b"DELETE FROM schema_migrations WHERE version >= %s", [newest])
    assert "run central migrate" in failure(node, CentreRefused, "centre_schema")
    own_centre.owner.execute(b"INSERT INTO schema_migrations VALUES (%s, 'back')", [newest])
    heals(node, own_centre)


def test_a_database_that_is_no_centre(nodes: Callable[..., Node], postgres: Postgres) -> None:
    node = nodes(postgres.dsn("postgres"))
    assert "central init" in failure(node, CentreRefused, "no_centre")


def test_a_full_disk_at_the_centre(
    nodes: Callable[..., Node], own_centre: Centre, tmp_path: Path
) -> None:
    skip_without_disks()
    node = nodes(own_centre.add_node("north"), 40 * DAY_US)  # there is no partition of that day
    with small_tablespace(own_centre) as folder:
        filler = folder / "filler"
        with filler.open("wb") as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        assert "no room left" in failure(node, DiskFull, "disk_full")
        filler.unlink()
        heals(node, own_centre)
        own_centre.owner.execute(b"DROP TABLE pollution_aggregates, pollution_data CASCADE")


@contextmanager
def small_tablespace(centre: Centre) -> Iterator[Path]:
    """A disk of 8 MiB that new partitions lie on."""
    with scratch() as folder, new_disk(folder / "small", 8) as disk:
        give_to_owner(folder / "small")
        place = disk.mount / "tables"
        place.mkdir()
        give_to_owner(place)
        # A file system keeps some blocks for a process of the superuser, which fills it here.
        centre.owner.execute(f"CREATE TABLESPACE small LOCATION '{place}'".encode())
        database = f"ALTER DATABASE {centre.database} SET default_tablespace = "
        centre.owner.execute(b"GRANT CREATE ON TABLESPACE small TO PUBLIC")
        centre.owner.execute(f"{database} small".encode())
        yield disk.mount
        centre.owner.execute(f"{database} pg_default".encode())
        centre.owner.execute(b"DROP TABLESPACE small")


@pytest.mark.parametrize(("ahead_s", "word"), [(600, "ahead of"), (-600, "behind")])
def test_clocks_that_are_ten_minutes_apart(
    nodes: Callable[..., Node], centre: Centre, ahead_s: int, word: str
) -> None:
    node = nodes(centre.add_node("north"))

    def read() -> Instant:
        now = read_clocks()
        return Instant(now.wall_us + ahead_s * 1_000_000, now.since_boot_us)

    node.clock._read = read
    heals(node, centre)
    [said] = status(node)["sync"]["warnings"]
    assert f"{word} the centre's" in said
    assert abs(centre.value("SELECT clock_offset_s FROM nodes") - ahead_s) < 5


def test_a_node_id_that_two_boxes_use(nodes: Callable[..., Node], centre: Centre) -> None:
    """The first one goes on, until it has been silent for ten minutes."""
    dsn = centre.add_node("north")
    first, second = nodes(dsn), nodes(dsn)
    sync(first)
    said = failure(second, NodeIdUsedTwice, "node_id_used_twice")
    assert said.startswith("another box syncs as node 'north'")
    sync(first)
    silent = "UPDATE nodes SET last_seen_at = now() - '601 s'::INTERVAL"
    centre.owner.execute(silent.encode())
    heals(second, centre)
    store(first, reading("late", first.clock.now_us() - 2 * HOUR_US))
    failure(first, NodeIdUsedTwice, "node_id_used_twice")


def test_a_line_that_went_dead_holds_the_row_for_a_while_only(
    nodes: Callable[..., Node], centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server hears no more of keeps the row; a round says so, and a later one goes on."""
    monkeypatch.setattr(link, "LOCK_WITHIN_S", 1)
    monkeypatch.setattr(link, "SILENT_WITHIN_S", 4)
    node = nodes(centre.add_node("north"))

    async def work() -> None:
        opened = link.opened(node.settings.sync_dsn, node.sync._sender, Pace(0))
        with anyio.fail_after(30):
            async with opened as dead, dead.greeting():
                with pytest.raises(CentreUnavailable, match="holds what is needed"):
                    await node.sync.catch_up()
                assert node.sync.standing().failure_code == "centre_busy"
                await anyio.sleep(4)
                await node.sync.catch_up()

    with pytest.raises(CentreUnavailable, match="idle-in-transaction"):
        anyio.run(work)
    assert told(centre, "north") == counted(node)


@pytest.mark.parametrize("sends", ["buckets", "readings"])
def test_a_line_that_goes_dead_after_all_was_sent_is_ended_by_the_server(
    nodes: Callable[..., Node], centre: Centre, monkeypatch: pytest.MonkeyPatch, sends: str
) -> None:
    monkeypatch.setattr(link, "SILENT_WITHIN_S", 1)
    node = nodes(centre.add_node("north"), sync_mode=MODE_OF[sends])
    notify, silent = link.Link._notify, []

    async def dies(self: link.Link, table: str, hours: list[int]) -> None:
        await notify(self, table, hours)
        if table == {"buckets": "pollution_aggregates", "readings": "pollution_data"}[sends]:
            silent.append(table)
            await anyio.sleep(3)

    with monkeypatch.context() as patch:
        patch.setattr(link.Link, "_notify", dies)
        with pytest.raises(CentreUnavailable):
            sync(node)
    assert len(silent) == 1
    heals(node, centre)


def test_a_copy_of_a_box_is_found_out(
    nodes: Callable[..., Node], centre: Centre, tmp_path: Path
) -> None:
    """A directory that was copied looks like the same box started again: the older one notices."""
    first = nodes(centre.add_node("north"))
    sync(first)
    shutil.copytree(first.data_dir, tmp_path / "copy")
    second = Node(first.settings, tmp_path / "copy")
    sync(second)
    store(first, reading("late", first.clock.now_us() - 2 * HOUR_US))
    failure(first, NodeIdUsedTwice, "node_id_used_twice")
    sync(second)
    second.close()
    second = Node(first.settings, tmp_path / "copy")
    sync(second)
    failure(first, NodeIdUsedTwice, "node_id_used_twice")
    second.close()


def test_a_server_elsewhere_is_verified_unless_the_address_says_otherwise() -> None:
    far = secured("host=centre.example dbname=urbanos")
    assert far["sslmode"] == "verify-full"
    assert far["sslrootcert"] in map(str, BUNDLES)
    assert "sslmode" not in secured("host=127.0.0.1 dbname=urbanos")
    assert "sslmode" not in secured("dbname=urbanos"), "a socket of this machine"
    assert "sslmode" not in secured("postgresql://centre.example/urbanos?sslmode=disable")
    own = secured("host=centre.example sslrootcert=/etc/own.pem")
    assert (own["sslmode"], "sslrootcert" in own) == ("verify-full", False)


def test_a_centre_is_verified_by_its_certificate(
    nodes: Callable[..., Node], centre: Centre, tmp_path: Path
) -> None:
    good, other = certificate(tmp_path / "good"), certificate(tmp_path / "other")
    dsn = centre.add_node("north")
    with speaking_tls(centre, good):
        how = {"sslmode": "verify-full", "gssencmode": "disable"}
        node = nodes(make_conninfo(dsn, sslrootcert=str(other), **how))
        assert "cannot be verified" in failure(node, CentreUnavailable, "centre_tls")
        heals(nodes(make_conninfo(dsn, sslrootcert=str(good), **how)), centre)


def certificate(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that vouches for itself, its key beside it."""
    folder.mkdir()
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    words += ["-nodes", "-days", "2", "-subj", "/CN=centre", "-addext"]
    words += ["subjectAltName=IP:127.0.0.1", "-out", "cert.pem", "-keyout", "key.pem"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem"


@contextmanager
def speaking_tls(centre: Centre, cert: Path) -> Iterator[None]:
    """Let the cluster speak TLS until the block ends."""
    files = {"ssl_cert_file": cert, "ssl_key_file": cert.with_name("key.pem")}
    for name, path in files.items():
        copy = centre.postgres.data / path.name
        shutil.copy(path, copy)
        copy.chmod(0o600)
        give_to_owner(copy)
        centre.owner.execute(f"ALTER SYSTEM SET {name} = '{path.name}'".encode())
    switch(centre, "on")
    try:
        yield
    finally:
        switch(centre, "off")


def switch(centre: Centre, state: str) -> None:
    centre.owner.execute(f"ALTER SYSTEM SET ssl = {state}".encode())
    centre.owner.execute(b"SELECT pg_reload_conf()")
    while centre.value("SHOW ssl") != state:
        time.sleep(0.02)
