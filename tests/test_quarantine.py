"""A damaged file under a running node: that one is set aside, all else is served."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.damage import WAYS, spoil
from tests.processes import NodeProcess, wait_until
from tests.readings import NOW_US, reading
from tests.test_flush import store, stored
from urbanos_edge.clock import DAY_US, HOUR_US
from urbanos_edge.grid import parse_grid_id
from urbanos_edge.health.health import status
from urbanos_edge.node import Node
from urbanos_edge.upkeep.upkeep import scrub_one

MINUTE_S = 60
GRID = "/api/v1/grids/z12-x2331-y1185"


def sent(sensor_id: str, age_s: float, **values: float) -> dict[str, Any]:
    """A reading in Helsinki of some time ago, as a client sends it."""
    moment = datetime.fromtimestamp(time.time() - age_s, UTC).isoformat()
    place = {"lat": 60.171, "lng": 24.941}
    quantities = {"pm25": 12.0, **values}
    return {"sensor_id": sensor_id, "location": place, "timestamp": moment, "values": quantities}


def files_of(data_dir: Path) -> set[Path]:
    return set(data_dir.glob("readings/created_date=*/*.parquet"))


def only_file(node: Node, day: str) -> Path:
    return next(node.data_dir.glob(f"readings/created_date={day}/*.parquet"))


def test_only_the_damaged_file_is_set_aside_and_all_else_is_answered(
    start_node: Callable[..., NodeProcess],
) -> None:
    node = start_node(flush_interval_s=0.2, scrub_interval_s=0.1)
    token, kept = node.token(), set()
    for number, way in enumerate(WAYS):
        before = files_of(node.data_dir)
        old = [sent(f"{way}-{n}", 5 * MINUTE_S) for n in range(200)]
        node.post(old, token)
        node.flush()
        (victim,) = files_of(node.data_dir) - before
        node.post([sent(f"new-{way}", MINUTE_S)], token)
        node.flush()
        spoil(victim, way)
        statuses = [node.client.get(f"{GRID}/data?limit={300 + n}").status_code for n in range(9)]
        statuses.append(node.post([old[0], sent(f"newer-{way}", 0)], token).status_code)
        wait_until(lambda: node.status()["quarantined"] == number + 1, 15, node.log)  # noqa: B023
        node.flush()
        answer = node.client.get(f"{GRID}/data?limit=400")
        assert set(statuses) <= {200, 202}, (way, statuses)
        kept |= {f"new-{way}", f"newer-{way}"}
        ids = {row["sensor_id"] for row in answer.json()}
        assert kept <= ids <= kept | {f"{one}-0" for one in WAYS}, way
        finding = node.status()["quarantine"][-1]
        assert (finding["rows"], bool(finding["reason"])) == (200, True)
        assert victim not in files_of(node.data_dir)
        assert (node.data_dir / "quarantine" / victim.name).exists() == (way != "deleted")
    wait_until(lambda: _counted(node) == len(ids), 15, node.log)
    assert node.client.get("/health/ready").status_code == 200


def _counted(node: NodeProcess) -> int:
    """Readings the live map's sums are made of."""
    count: int = node.client.get(GRID).json()["data_count"]
    return count


@pytest.mark.parametrize("way", WAYS)
def test_a_flush_that_meets_a_damaged_file_goes_on_without_it(node: Node, way: str) -> None:
    store(node, reading(), *(reading(f"other-{n}") for n in range(50)))
    spoil(only_file(node, "2025-11-23"), way)
    store(node, reading(values={"pm25": 44.0}))
    found = status(node)
    assert found["quarantined"] == 1
    assert found["totals"]["dead_letters"] == 0
    assert stored(node, "sensor_id, pm25") == [("school-12", 44.0)]


def test_a_changed_byte_is_never_passed_on_into_a_new_file(node: Node) -> None:
    """A revision writes the file anew; that copy would have a checksum of its own."""
    arrivals = [reading(f"s{n}", values={"pm25": n / 7}) for n in range(500)]
    store(node, *arrivals)
    spoil(only_file(node, "2025-11-23"), "flipped")
    store(node, reading("s7", values={"pm25": 44.0}))
    assert stored(node, "sensor_id, pm25") == [("s7", 44.0)]
    assert status(node)["quarantine"][0]["reason"] == "holds other bytes than were written"


def test_the_scrub_looks_at_every_file_in_turn(node: Node) -> None:
    for day in range(4):
        store(node, reading(timestamp_us=NOW_US - day * DAY_US))
    spoil(only_file(node, "2025-11-21"), "flipped")
    seen, after = [], ""
    for _ in range(6):
        after = scrub_one(node, after)
        seen.append(after.split("=")[1][:10])
    assert seen == ["2025-11-20", "2025-11-21", "2025-11-22", "2025-11-23"] + seen[:1] + seen[2:3]
    assert node.scrub["verified"] == 6
    assert node.scrub["damaged"] == 1
    assert status(node)["quarantined"] == 1
    assert stored(node, "count(*)") == [(3,)]


def test_a_file_set_aside_while_it_is_read_breaks_no_query(node: Node) -> None:
    now_us = node.clock.now_us() - HOUR_US
    store(node, reading("a", now_us))
    store(node, reading("b", now_us))
    first, second = node.store.files
    real_lease, is_aside = node.store.hold, False

    def lease(wanted: Any) -> Any:
        nonlocal is_aside
        held = real_lease(wanted)
        files = held.__enter__()  # the list is taken, then another thread is faster
        if not is_aside:
            node.store.set_aside([(first, "is missing")])
            is_aside = True

        class Held:
            def __enter__(self) -> Any:
                return files

            def __exit__(self, *error: Any) -> Any:
                return held.__exit__(*error)

        return Held()

    node.store.hold = lease  # type: ignore[method-assign]
    tile = node.view().latest  # the map itself needs no file
    assert len(tile) == 2
    rows = node.query.rows(parse_grid_id("z12-x2331-y1185"), now_us - HOUR_US)
    assert [row.sensor_id for row in rows] == [["a", "b"][node.store.files[0] == second]]
