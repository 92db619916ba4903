"""The centre has what the node has, whatever happens on the way."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from tests.central.conftest import Centre
from tests.central.cutting import cut_line, pooled
from tests.central.mirror import (
    Bucket,
    Key,
    counted,
    fingerprint,
    stored_readings,
    sync,
    told,
    told_readings,
)
from tests.processes import wait_until
from tests.readings import reading
from tests.test_backup import backed_up
from tests.test_flush import store
from urbanos_edge.backup.restore import find_backup, restore
from urbanos_edge.clock import DAY_US, HOUR_US, SECOND_US, Correction
from urbanos_edge.node import Node
from urbanos_edge.progress import ignore_progress
from urbanos_edge.reading import Reading, Timing
from urbanos_edge.settings import Settings
from urbanos_edge.sync import backlog
from urbanos_edge.sync import sync as rounds
from urbanos_edge.sync.central import CentreUnavailable
from urbanos_edge.upkeep.amends import Span, regrade

SHOWN = {
    "aggregates": "SELECT count(*) FROM pollution_aggregates WHERE node_id = 'north' AND count > 0",
    "readings": "SELECT count(*) FROM pollution_data WHERE node_id = 'north'",
}
_BEGUN: Final = time.time_ns() // 1000 // HOUR_US
"""The hour in which these tests began: what they reckon holds also when another one begins."""


def hour_us(back: int) -> int:
    """Half past an hour that lies so many hours back."""
    return (_BEGUN - back) * HOUR_US + HOUR_US // 2


def some(hours: range, sensors: int = 2) -> list[Reading]:
    """Readings half past each of the hours back, of two quantities."""
    return [
        reading(
            f"s{number}",
            timestamp_us=hour_us(back),
            lat=60.1 + number / 10,
            values={"pm25": 10.0 + back % 7 + number / 10, "temperature": -3.75 + number},
        )
        for back in hours
        for number in range(sensors)
    ]


def doubted(back: int, **more: Any) -> Reading:
    """A reading that the node stamped by a clock that nobody had set."""
    return reading("doubt\\ed", hour_us(back), timing=Timing.NODE_IN_DOUBT, **more)


def shifted(one: Reading, shift_us: int) -> Correction:
    """What the clock, once it is set, says of that."""
    return Correction(one.timestamp_us, one.timestamp_us + SECOND_US, shift_us)


def test_the_centre_gets_the_sums_that_the_readings_give(
    synced: Callable[..., Node], centre: Centre
) -> None:
    node = synced()
    beside = reading("s9", hour_us(1), lat=60.1, values={"pm25": 17.3, "pm10": 1999.9})
    store(node, *some(range(1, 5)), beside)
    done = sync(node)
    assert told(centre, "north") == counted(node)
    assert (done.hours_sent, done.buckets) == (4, len(counted(node)))
    [(mode, since)] = centre.rows("SELECT mode, now() - last_synced_at FROM nodes")
    assert (mode, since.total_seconds() < 60) == ("aggregates", True)
    assert sync(node).hours == 0
    assert anyio.run(node.sync.verify) == []


def test_late_revised_and_moved_readings_reach_the_centre(
    synced: Callable[..., Node], centre: Centre
) -> None:
    node = synced()
    store(node, *some(range(2, 30)))
    sync(node)
    late = reading("late", hour_us(28))
    revised = reading("s0", hour_us(20), lat=60.1, values={"pm25": 99.0})
    store(node, late, revised)
    assert sync(node).hours_sent == 2
    assert told(centre, "north") == counted(node)
    alone = doubted(40)
    store(node, alone)
    sync(node)
    anyio.run(node.restamp, shifted(alone, -5 * HOUR_US))
    sync(node)
    assert told(centre, "north") == counted(node)


def test_regraded_readings_reach_the_centre(synced: Callable[..., Node], centre: Centre) -> None:
    node = synced()
    store(node, *some(range(3, 5)))
    sync(node)
    before = told(centre, "north")
    node = synced(aqi_standard="uk-defra-2013")
    anyio.run(partial(regrade, node, Span(), ignore_progress))
    assert sync(node).hours_sent == 2
    after = told(centre, "north")
    assert after == counted(node)
    assert {key for key in before if before[key] != after[key]} == {
        key for key in before if key[2] == "aqi"
    }


def test_an_emptied_bucket_stays_with_count_0_and_a_higher_revision(
    synced: Callable[..., Node], centre: Centre
) -> None:
    node = synced()
    one = doubted(5, values={"temperature": 4.5})
    store(node, one)
    sync(node)
    anyio.run(node.restamp, shifted(one, -DAY_US))
    sync(node)
    query = (
        "SELECT count, flagged, sum, min, revision FROM pollution_aggregates"
        " ORDER BY bucket_start DESC"
    )
    (*emptied, late), (*moved, _) = centre.rows(query)
    assert emptied == [0, 0, 0, None]
    assert moved == [1, 0, Decimal("4.5"), Decimal("4.5")]
    assert late > 1, "the first had been 1"
    assert anyio.run(node.sync.verify) == []


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM pollution_aggregates WHERE quantity = 'pm25'",
        "UPDATE pollution_aggregates SET sum = sum + 0.0001 WHERE quantity = 'temperature'",
        "UPDATE pollution_aggregates SET sum = 0, revision = revision + 1000000",
        "INSERT INTO pollution_aggregates (node_id, bucket_start, bucket_s, cell, quantity, count,"
        " sum, sum_sq, min, max, revision) SELECT node_id, bucket_start, bucket_s, 'z18-x1-y1',"
        " quantity, 1, 1, 1, 1, 1, revision FROM pollution_aggregates LIMIT 1",
    ],
)
def test_what_is_lost_or_altered_at_the_centre_is_found_and_healed(
    synced: Callable[..., Node], centre: Centre, damage: str
) -> None:
    node = synced()
    readings = some(range(5, 9))
    hours = {one.timestamp_us // HOUR_US for one in readings}
    store(node, *readings)
    sync(node)
    centre.owner.execute(damage.encode())
    assert told(centre, "north") != counted(node)
    found = anyio.run(node.sync.verify)
    assert {one.hour for one in found} <= hours
    assert found
    sync(node)
    assert told(centre, "north") == counted(node)
    assert anyio.run(node.sync.verify) == []
    assert node.sync.standing().pending_hours == 0


def test_after_a_month_offline_every_cut_of_the_line_leaves_nothing_out(
    synced: Callable[..., Node], centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line is cut fifty times, at and behind each acknowledgement that a round can get."""
    node = synced()
    store(node, *some(range(1, 30 * 24, 4), sensors=1))
    node.hours.count_all()
    monkeypatch.setattr(backlog, "PAUSE", 0)
    with cut_line(centre.postgres, 50) as line:
        node = synced(sync_dsn=line.through(node.settings.sync_dsn))
        failures = 0
        while True:
            try:
                sync(node)
            except CentreUnavailable:
                failures += 1
                continue
            break
        assert failures >= 50 == line.made
        assert told(centre, "north") == counted(node)
        before = fingerprint(centre)
        assert anyio.run(node.sync.bring_everything).buckets == 0
        assert anyio.run(node.sync.bring_everything).buckets == 0
    assert fingerprint(centre) == before, "replayed twice"


def test_rounds_go_on_by_themselves_and_get_over_failures(
    synced: Callable[..., Node], centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "EVERY_S", 0.1)
    monkeypatch.setattr(rounds, "RETRY_S", (0.05, 0.1))
    node = synced()

    query = "SELECT coalesce(sum(count), 0) FROM pollution_aggregates WHERE quantity = 'pm25'"

    async def store_one(sensor_id: str) -> None:
        await node.ingest.keep([reading(sensor_id, node.clock.now_us())])
        await node.flush()

    async def until(is_true: Callable[[], object]) -> None:
        await anyio.to_thread.run_sync(wait_until, is_true, 20)

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.sync.run_forever)
            await store_one("a")
            await until(lambda: centre.value(query) == 1)
            centre.owner.execute(b"ALTER TABLE pollution_aggregates RENAME TO away")
            await store_one("b")
            await until(lambda: node.sync.standing().state == "failing")
            centre.owner.execute(b"ALTER TABLE away RENAME TO pollution_aggregates")
            await until(lambda: centre.value(query) == 2)
            await until(lambda: node.sync.standing().state == "in_sync")
            tasks.cancel_scope.cancel()

    anyio.run(work)


def test_what_is_new_does_not_wait_for_a_backfill(
    synced: Callable[..., Node], centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "LIVE_EVERY_S", 0.2)
    monkeypatch.setattr(backlog, "STEP_BUCKETS", 1)  # so that each hour is a step
    node = synced(sync_max_mib_s=0.002)
    store(node, *some(range(4, 100), sensors=1))
    seen: list[int] = []

    async def measure() -> None:
        await node.ingest.keep([reading("new", node.clock.now_us())])
        await node.flush()
        query = "SELECT true FROM pollution_aggregates WHERE bucket_start > now() - '2 h'::INTERVAL"
        arrived = partial(wait_until, lambda: centre.value(query), 20)
        await anyio.to_thread.run_sync(arrived)
        seen.append(node.sync.standing().pending_hours)

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.sync.catch_up)
            await anyio.sleep(0.5)
            await measure()
            tasks.cancel_scope.cancel()

    anyio.run(work)
    assert seen[0] > 50, "most of the backfill is still to come"


def test_what_was_read_ahead_is_not_sent_once_another_round_was_faster(
    synced: Callable[..., Node], centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hour loses its only bucket after it was read, and before it is sent."""
    monkeypatch.setattr(backlog, "PAUSE", 0)
    node = synced()
    moved = doubted(7)
    store(node, *some(range(6, 7)), moved)

    async def work() -> None:
        async with node.sync._linked() as (link, kept):
            _, ahead, _ = await node.sync._backlog._step(link, kept, None)
            assert ahead is not None
            assert ahead.lines.rows == 2
            await node.restamp(shifted(moved, -DAY_US))
            await node.sync.catch_up()
            await node.sync._backlog._step(link, kept, ahead)

    anyio.run(work)
    assert told(centre, "north") == counted(node)


def test_three_nodes_give_their_merged_truth_through_a_pool_of_connections(
    centre: Centre, tmp_path: Path
) -> None:
    names = ("east", "west", "harbour")
    with ExitStack() as stack:
        dsns = stack.enter_context(pooled(centre.postgres, *map(centre.add_node, names)))
        nodes = []
        for name, dsn in zip(names, dsns, strict=True):
            (tmp_path / name).mkdir()
            nodes.append(Node(Settings(sync_dsn=dsn, node_id=name), tmp_path / name))
        for number, node in enumerate(nodes):
            stack.callback(node.close)
            store(node, *some(range(1 + number, 6 + number), sensors=1 + number))
            sync(node)
            assert anyio.run(node.sync.verify) == []
        expected = merged([counted(node) for node in nodes])
    query = (
        "SELECT bucket_start, cell, quantity, count, sum, sum_sq, min, max, flagged"
        " FROM merged_aggregates"
    )
    found = {tuple(row[:3]): tuple(row[3:]) for row in centre.rows(query)}
    assert found == expected
    assert max(count for count, *_ in found.values()) == 3, "all three were in one place"


def merged(parts: list[dict[Key, Bucket]]) -> dict[Key, Bucket]:
    """Sums over nodes."""
    groups: defaultdict[Key, list[Bucket]] = defaultdict(list)
    for part in parts:
        for key, bucket in part.items():
            groups[key].append(bucket)
    return {key: _sum(buckets) for key, buckets in groups.items()}


def _sum(buckets: list[Bucket]) -> Bucket:
    count, total, squares, low, high, flagged = zip(*buckets, strict=True)
    sums: Any = (sum(count), sum(total), sum(squares))
    return (*sums, min(low), max(high), sum(flagged))


def test_after_a_restore_the_centre_has_what_was_restored(
    synced: Callable[..., Node], centre: Centre, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Also where the lost hours had higher revisions, and hours that are there no more."""
    shelf = str(tmp_path_factory.mktemp("shelf"))
    node = synced()
    store(node, *some(range(4, 8)))
    sync(node)
    backed_up(node, shelf)
    for value in (1.0, 2.0, 3.0):
        store(node, reading("s0", hour_us(4), lat=60.1, values={"pm25": value}))
    store(node, reading("lost", hour_us(1)))
    sync(node)
    node.close()
    restore(*find_backup(shelf, None, None), node.data_dir, node.clock.now_us(), ignore_progress)
    node = synced()
    assert told(centre, "north") != counted(node)
    sync(node)
    assert told(centre, "north") == counted(node)
    assert anyio.run(node.sync.verify) == []


def test_the_readings_follow_where_they_are_wanted(
    synced: Callable[..., Node], centre: Centre
) -> None:
    """Late, revised, moved and damaged ones, too; and those of hours that were settled before."""
    node = synced()
    store(node, *some(range(3, 6)))
    sync(node)
    assert told_readings(centre, "north") == {}
    node = synced(sync_mode="readings")
    assert sync(node).readings == 6
    odd = doubted(3, source="a\tb\\c\n", reported_aqi=51.5)
    store(node, odd, reading("s0", hour_us(4), lat=60.1, values={"pm25": 1234.5}))
    sync(node)
    assert told_readings(centre, "north") == stored_readings(node)
    assert (
        centre.value("SELECT source FROM pollution_data WHERE reported_aqi = 51.5") == "a\tb\\c\n"
    )
    anyio.run(node.restamp, shifted(odd, -HOUR_US))
    centre.owner.execute(b"UPDATE pollution_data SET temperature = 40 WHERE sensor_id = 's1'")
    centre.owner.execute(b"DELETE FROM pollution_data WHERE sensor_id = 's0' AND pm25 < 1000")
    found = anyio.run(node.sync.verify)
    assert {one.of for one in found} == {"aggregates", "readings"}
    sync(node)
    assert told_readings(centre, "north") == stored_readings(node)
    assert told(centre, "north") == counted(node)
    assert centre.value("SELECT mode FROM nodes") == "readings"


def test_readings_that_expired_here_stay_at_the_centre(
    synced: Callable[..., Node], centre: Centre
) -> None:
    node = synced(sync_mode="readings", retention_days=1)
    at_us = hour_us(72)
    store(node, reading("s0", at_us, received_us=at_us), reading("s1", at_us, received_us=at_us))
    sync(node)
    assert node.expiry.drop()
    anyio.run(node.sync.bring_everything)
    store(node, reading("late", at_us))
    sync(node)
    assert centre.value(SHOWN["readings"]) == 3
    assert centre.value(SHOWN["aggregates"]) == 2, "pm25 and its index"
