"""Started, stopped, killed: what was acknowledged is stored exactly once."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import mapbox_vector_tile
import pytest

from tests.http.listening import events, listening
from tests.http.sending import (
    INGEST,
    SECOND_US,
    Spot,
    assert_is_error,
    now_us,
    reading,
    rows,
    send,
    spot_number,
    stored,
)
from tests.processes import NodeProcess, wait_until

BATCH = 200
Identity = tuple[str, int]
StartNode = Callable[..., NodeProcess]


class Load(threading.Thread):
    """A sensor that posts batches as fast as it can until the node is gone or `stop` is called.

    What was under way when the node went away is sent first the next time, as a sensor would.
    """

    def __init__(self, sensor_id: str) -> None:
        super().__init__()
        self.sensor_id = sensor_id
        self.acknowledged: set[Identity] = set()
        self._moments = count(now_us() - 3_600_000_000)
        self._pending: list[int] = []
        self._stopping = threading.Event()
        self._node: NodeProcess | None = None
        self._token = ""

    def aim(self, node: NodeProcess, token: str) -> Load:
        """The same sensor, ready to start sending to this process."""
        following = Load(self.sensor_id)
        following.acknowledged, following._moments = self.acknowledged, self._moments
        following._pending = self._pending
        following._node, following._token = node, token
        return following

    def run(self) -> None:
        assert self._node is not None
        headers = {"Authorization": f"Bearer {self._token}"}
        with httpx.Client(base_url=self._node.url, headers=headers, timeout=30) as client:
            try:
                while not self._stopping.is_set():
                    self._send_one_batch(client)
            except httpx.TransportError:
                pass  # the node is gone

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def _send_one_batch(self, client: httpx.Client) -> None:
        self._pending = self._pending or [next(self._moments) for _ in range(BATCH)]
        place = spot_number(0)
        batch = [reading(place, self.sensor_id, at_us) for at_us in self._pending]
        answer = client.post(INGEST, json=batch)
        if answer.status_code == 202 and answer.json()["accepted"] == BATCH:
            self.acknowledged |= {(self.sensor_id, at_us) for at_us in self._pending}
            self._pending = []


def counts(data_dir: Path) -> dict[Identity, int]:
    """How often each identity is stored, as plain DuckDB sees the files."""
    columns = "sensor_id, epoch_us(timestamp), count(*)"
    return {(who, at_us): n for who, at_us, n in stored(data_dir, columns, "GROUP BY ALL")}


def assert_all_stored_once(node: NodeProcess, loads: list[Load]) -> None:
    node.flush()
    found = counts(node.data_dir)
    missing = set.union(*(load.acknowledged for load in loads)) - found.keys()
    assert not missing, f"{len(missing)} acknowledged readings are gone"
    assert set(found.values()) == {1}
    status = node.status()
    assert (status["store"]["rows"], status["quarantined"]) == (len(found), 0)


def kill_under_load(node: NodeProcess, loads: list[Load], more: int) -> None:
    """Kill it as soon as that many more readings have been acknowledged."""
    start = sum(len(load.acknowledged) for load in loads)
    for load in loads:
        load.start()
    wait_until(lambda: sum(len(load.acknowledged) for load in loads) >= start + more, 30)
    node.kill()
    for load in loads:
        load.stop()
    node.client.close()


def test_five_kills_under_load_lose_and_double_nothing(start_node: StartNode) -> None:
    """Flushes follow each other closely, so that every step of one is hit at some time."""
    node = start_node(flush_interval_s=0.1)
    token = node.token()
    loads = [Load("load-0"), Load("load-1")]
    dice = random.Random(5)
    for _ in range(5):
        loads = [load.aim(node, token) for load in loads]
        kill_under_load(node, loads, more=dice.randint(1, 20) * BATCH)
        node = start_node(flush_interval_s=0.1)
        assert_all_stored_once(node, loads)


def test_a_stop_under_load_loses_and_doubles_nothing(start_node: StartNode) -> None:
    node = start_node(flush_interval_s=0.1)
    load = Load("stopped").aim(node, node.token())
    load.start()
    wait_until(lambda: len(load.acknowledged) >= 10 * BATCH, 30)
    node.stop()
    load.stop()
    assert_all_stored_once(start_node(flush_interval_s=3600), [load])


def test_what_waits_at_a_stop_is_stored_or_waits_at_the_next_start(
    start_node: StartNode, spot: Spot
) -> None:
    node = start_node(flush_interval_s=3600)
    token = node.token()
    assert node.post([reading(spot, f"w{n}") for n in range(500)], token).status_code == 202
    assert node.status()["store"]["rows"] == 0
    node.stop()
    again = start_node(flush_interval_s=3600)
    status = again.status()
    assert status["store"]["rows"] + status["spool"]["readings"] == 500
    again.flush()
    assert stored(again.data_dir, "count(*)") == [(500,)]


def test_after_a_restart_the_node_shows_the_same(start_node: StartNode, spot: Spot) -> None:
    node = start_node(flush_interval_s=3600)
    token = node.token()
    sent = [reading(spot, f"k{n}", values={"pm25": 35.4, "no2": n}) for n in range(20)]
    send(node, token, *sent)
    before, boot = everything_about(node, spot), node.status()["boot"]
    node.stop()
    again = start_node(flush_interval_s=3600)
    assert everything_about(again, spot) == before
    assert again.status()["boot"] != boot
    assert again.post(reading(spot, "later"), token).status_code == 202


def everything_about(node: NodeProcess, spot: Spot) -> dict[str, Any]:
    tile = mapbox_vector_tile.decode(node.client.get("/tiles/readings/0/0/0.mvt").content)
    features = [str(each) for layer in tile.values() for each in layer["features"]]
    return {
        "rows": rows(node, spot.grid_id),
        "tile": sorted(features),
        "grid": node.client.get(f"/api/v1/grids/{spot.grid_id}").json(),
        "sensors": node.client.get("/api/v1/sensors").json(),
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_is_told_to_stop_ends_well(start_node: StartNode, number: int) -> None:
    node = start_node()
    os.kill(node.pid, number)
    wait_until(lambda: has_ended(node.pid), 20, node.log)
    assert node.stop() == 0, node.log()
    assert "Traceback" not in node.log()


def has_ended(pid: int) -> bool:
    """Whether a child process is over, without taking its exit code away from its owner."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def test_listeners_do_not_keep_a_node_from_stopping(start_node: StartNode, spot: Spot) -> None:
    node = start_node()
    with listening(node, spot.grid_id) as client, events(node, spot.grid_id):
        started_s = time.monotonic()
        node.stop()
        assert time.monotonic() - started_s < 10
        assert client.close_code() in (1001, 1012)  # going away, or service restart
    assert "Traceback" not in node.log(), node.log()


def test_half_a_file_that_nothing_lists_is_no_obstacle(start_node: StartNode, spot: Spot) -> None:
    """As a power cut may leave it in a day's folder."""
    node = start_node(flush_interval_s=3600)
    send(node, node.token(), reading(spot, "kept"))
    node.kill()
    (day,) = (node.data_dir / "readings").iterdir()
    (day / "half.parquet").write_bytes(b"PAR1 and nothing more")
    again = start_node(flush_interval_s=3600)
    assert [row["sensor_id"] for row in rows(again, spot.grid_id)] == ["kept"]
    assert stored(again.data_dir, "count(*)") == [(1,)]


def test_a_full_spool_is_told_until_there_is_room(start_node: StartNode, spot: Spot) -> None:
    node = start_node(flush_interval_s=3600, spool_limit=10_000)
    token = node.token()
    start_us = now_us() - SECOND_US
    many = [reading(spot, "many", start_us + n) for n in range(10_000)]
    assert node.post(many, token).status_code == 202
    refused = node.post(reading(spot, "one-more"), token)
    assert_is_error(refused, 503)
    assert int(refused.headers["Retry-After"]) > 0
    assert node.client.get("/health/ready").status_code == 503
    node.flush()
    assert node.post(reading(spot, "one-more"), token).status_code == 202
    assert node.client.get("/health/ready").status_code == 200
    node.flush()
    assert stored(node.data_dir, "count(*)") == [(10_001,)]
