"""What one side lost, the other one keeps, or brings again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.central.conftest import Centre
from tests.central.mirror import counted, stored_readings, sync, told, told_readings
from tests.central.test_sync import SHOWN, hour_us, some
from tests.damage import settle_loss, spoil
from tests.readings import reading
from tests.test_backup import backed_up
from tests.test_flush import store
from urbanos_edge.backup.restore import find_backup, restore
from urbanos_edge.clock import DAY_US, HOUR_US
from urbanos_edge.errors import EdgeError, StorageUnavailable
from urbanos_edge.node import Node
from urbanos_edge.progress import ignore_progress
from urbanos_edge.sync.originals import Originals

Reopen = Callable[..., Node]
MODES = pytest.mark.parametrize("mode", ["aggregates", "readings"])


def at_the_centre(centre: Centre) -> Any:
    """All that it has of the node."""
    return told(centre, "north"), told_readings(centre, "north")


def file_of(node: Node, at_us: int) -> Path:
    """The file that has a reading of that moment."""
    [file] = [f for f in node.store.files if f.min_at_us <= at_us <= f.max_at_us]
    return node.store.full(file)


@MODES
@pytest.mark.parametrize("way", ["deleted", "flipped"])
def test_a_file_that_is_set_aside_costs_the_centre_nothing(
    synced: Reopen,
    centre: Centre,
    mode: str,
    way: str,
) -> None:
    node = synced(sync_mode=mode)
    store(node, *some(range(3, 5)))
    store(node, *some(range(10, 12)))
    sync(node)
    before = at_the_centre(centre)
    spoil(file_of(node, hour_us(10)), way)
    [damaged] = [file for file in node.store.files if node.store.fault(file, thorough=True)]
    node.store.set_aside([(damaged, "is gone")])
    node.hours.count_all()
    assert anyio.run(node.sync.verify) == []
    anyio.run(node.sync.bring_everything)
    assert at_the_centre(centre) == before
    assert counted(node) != before[0]
    node = synced(sync_mode=mode)
    anyio.run(node.sync.bring_everything)
    assert at_the_centre(centre) == before, "also after another start"
    late = reading("late", hour_us(3))
    store(node, late, reading("late", hour_us(10)))
    sync(node)
    aggregates, readings = at_the_centre(centre)
    assert aggregates.items() > before[0].items(), "what is intact goes on, the hour waits"
    assert len(readings) == (len(before[1]) + 2 if mode == "readings" else 0)
    assert readings.items() >= before[1].items()


@MODES
def test_a_file_found_damaged_while_it_is_sent_costs_the_centre_nothing(
    synced: Reopen,
    centre: Centre,
    mode: str,
) -> None:
    node = synced(sync_mode=mode)
    store(node, *some(range(10, 12)))
    sync(node)
    before = at_the_centre(centre)
    spoil(file_of(node, hour_us(10)), "emptied")
    store(node, reading("late", hour_us(10)))
    for _ in range(3):  # a round that breaks off leaves all to the next one
        try:
            sync(node)
        except StorageUnavailable:
            continue
    assert node.store.losses == 1
    aggregates, readings = at_the_centre(centre)
    assert aggregates == before[0]
    assert readings.items() >= before[1].items()
    assert node.sync.standing().pending_hours == 0


@MODES
@pytest.mark.parametrize("is_back", [True, False])
def test_a_file_that_is_back_or_given_up_is_compared_again(
    synced: Reopen, centre: Centre, mode: str, is_back: bool
) -> None:
    node = synced(sync_mode=mode)
    store(node, *some(range(10, 12)))
    sync(node)
    path = file_of(node, hour_us(10))
    content = path.read_bytes()
    path.unlink()
    node.store.set_aside([(node.store.file_at(str(path)), "is gone")])
    store(node, reading("late", hour_us(10)))
    sync(node)
    assert told(centre, "north") != counted(node)
    settle_loss(node, path, content if is_back else None)
    sync(node)
    assert told(centre, "north") == counted(node)
    if mode == "readings":
        assert told_readings(centre, "north") == stored_readings(node)


def test_the_span_of_a_file_that_an_older_version_set_aside_is_its_day(node: Node) -> None:
    day_us = hour_us(48) // DAY_US * DAY_US
    store(node, reading(timestamp_us=day_us + 5 * HOUR_US))
    [file] = node.store.files
    node.store.set_aside([(file, "is gone")])
    assert node.hours.lost_for_now() == {day_us // HOUR_US + 5}
    unknown = "UPDATE quarantine SET min_at_us = NULL, max_at_us = NULL"
    node.database.write_and_wait(lambda work: work.execute(unknown))
    first = day_us // HOUR_US
    assert node.hours.lost_for_now() == set(range(first, first + 24))


def test_a_file_set_aside_while_the_database_is_full_counts_as_lost(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_us = hour_us(5)
    store(node, reading(timestamp_us=at_us))

    def fail(_: object) -> None:
        raise EdgeError("full")

    with monkeypatch.context() as patch:
        patch.setattr(node.database, "write_and_wait", fail)
        node.store.set_aside([(node.store.files[0], "is gone")])
    assert node.hours.lost_for_now() == {at_us // HOUR_US}


@pytest.mark.parametrize("moment", ["compared", "read"])
def test_readings_that_expire_while_they_are_sent_stay_at_the_centre(
    synced: Reopen,
    centre: Centre,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    node = synced(sync_mode="readings", retention_days=1)
    at_us = hour_us(72)
    store(node, *(reading(name, at_us, received_us=at_us) for name in ("s0", "s1")))
    sync(node)
    late = reading("s0", at_us, received_us=at_us, values={"pm25": 99.0})
    store(node, late)
    dropped: list[object] = []

    def expire_first(read: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            monkeypatch.undo()
            dropped.extend(node.expiry.drop() or _force(node))
            return read(*args)

        return wrapped

    name = {"compared": "digests", "read": "slices"}[moment]
    monkeypatch.setattr(Originals, name, expire_first(getattr(Originals, name)))
    with pytest.raises(StorageUnavailable, match="went away while they were sent"):
        sync(node)
    assert dropped
    assert centre.value(SHOWN["readings"]) == 2
    assert node.sync.standing().pending_hours == 1
    sync(node)
    assert centre.value(SHOWN["readings"]) == 2
    assert node.sync.standing().pending_hours == 0


def _force(node: Node) -> list[object]:
    """Drop what waits for the centre, as on a disk that is low."""
    return [day for day in node.expiry.due() if node.expiry._drop_day(day)]


@MODES
def test_a_centre_that_was_set_back_gets_all_again(
    synced: Reopen,
    centre: Centre,
    mode: str,
) -> None:
    """As by a backup, or by a replica that was behind and was promoted."""
    node = synced(sync_mode=mode)
    store(node, *some(range(30, 33)))
    sync(node)
    [saved] = centre.rows("SELECT revision, epoch FROM nodes")
    store(node, *some(range(3, 6)))
    sync(node)
    for column, table in (
        ("bucket_start", "pollution_aggregates"),
        ("timestamp", "pollution_data"),
    ):
        since = f"(SELECT max({column}) - '20 h'::INTERVAL FROM {table})"
        centre.owner.execute(f"DELETE FROM {table} WHERE {column} > {since}".encode())
    assert told(centre, "north") != counted(node)
    centre.value("UPDATE nodes SET revision = %s, epoch = %s RETURNING 1", *saved)
    partitions = node.sync._carrier._days_with_partitions
    assert partitions
    sync(node)
    assert told(centre, "north") == counted(node)
    if mode == "readings":
        assert told_readings(centre, "north") == stored_readings(node)
    assert sync(node).hours == 0, "once"


def test_a_centre_that_came_back_from_a_dump_gets_all_again(
    open_node: Reopen, own_centre: Centre
) -> None:
    """Also the partitions that it had made since."""
    node = open_node(sync_dsn=own_centre.add_node("north"), node_id="north")
    store(node, *some(range(30, 33)))
    sync(node)
    dump = own_centre.postgres.folder / "dump"
    where = ["-d", own_centre.dsn]
    own_centre.postgres.tool("pg_dump", "-Fc", "-f", str(dump), *where)
    store(node, *some(range(100, 103)))
    sync(node)
    own_centre.owner.execute(b"DROP SCHEMA public CASCADE")
    own_centre.owner.execute(b"CREATE SCHEMA public")
    own_centre.owner.execute(b"GRANT USAGE ON SCHEMA public TO PUBLIC")
    own_centre.postgres.tool("pg_restore", *where, str(dump))
    assert told(own_centre, "north") != counted(node)
    sync(node)
    assert told(own_centre, "north") == counted(node)
    waiting = own_centre.value("SELECT count(*) FROM pollution_aggregates_default")
    assert waiting == 0
    assert anyio.run(node.sync.verify) == []


def test_days_that_only_the_centre_has_after_a_restore_are_emptied(
    synced: Reopen,
    centre: Centre,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Those between two that the node has; what is older may have been dropped by age."""
    shelf = str(tmp_path_factory.mktemp("shelf"))
    node = synced()
    store(node, *some(range(4, 6)), *some(range(200, 202)))
    sync(node)
    backed_up(node, shelf)
    store(node, *some(range(100, 102)))
    sync(node)
    node.close()
    restore(*find_backup(shelf, None, None), node.data_dir, node.clock.now_us(), ignore_progress)
    node = synced()
    sync(node)
    assert told(centre, "north") == counted(node)
