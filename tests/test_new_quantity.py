"""One quantity more: a newer version reads what an older one wrote, and the other way round."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes import NodeProcess
from urbanos_edge.clock import HOUR_US, to_rfc3339
from urbanos_edge.control import request

NEWER = """
from urbanos_edge import reading

ammonia = reading.Quantity(
    name="nh3", kind="gas", unit="ppb", low=0, high=5000, molar_mass=17.03, has_index=True
)
reading.QUANTITIES += (ammonia,)
reading.QUANTITY_NAMES += ("nh3",)
reading.INDEXED += ("nh3",)

from urbanos_edge.cli import main
from urbanos_edge.demo.fleet import Fleet

assert Fleet().readings(0), "the demonstration simulates what it did"
main()
"""
"""The program with one quantity more, as if it stood in the table."""
SENSOR = "roof"
SETTINGS = {"public_read": True, "flush_interval_s": 3600}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Run one version after the other on the same data; the last is ended by its id."""
    running: list[NodeProcess] = []

    def start(program: list[str] | None = None) -> NodeProcess:
        if running:
            running.pop().stop()
        running.append(NodeProcess(tmp_path / "node", SETTINGS, program))
        return running[-1]

    yield start
    for node in running:
        node.stop()


def test_what_an_older_version_wrote_is_read_with_a_quantity_more_and_goes_back_again(
    run: Callable[..., NodeProcess],
) -> None:
    hours = [to_rfc3339((time.time_ns() // 1000 // HOUR_US - ago) * HOUR_US) for ago in (3, 2, 1)]
    older = run()
    token = older.token()
    send(older, token, hours[0], pm25=10)
    request(older.data_dir, "flush")
    send(older, token, hours[1], pm25=20)
    older.kill()  # the second waits in the spool, as that version lays it out
    newer = run([sys.executable, "-c", NEWER])
    send(newer, token, hours[2], pm25=30, nh3=7)
    for command in ("flush", "compact"):
        request(newer.data_dir, command)
        for resolution in ("raw", "1h"):
            assert history(newer, resolution, "pm25") == [10, 20, 30]
            assert history(newer, resolution, "nh3") == [7]
    assert request(newer.data_dir, "check")["findings"] == []
    send(newer, token, to_rfc3339(time.time_ns() // 1000), pm25=40, nh3=8)
    newer.kill()  # the fourth waits with room for what the older version does not know
    older = run()
    request(older.data_dir, "flush")
    assert history(older, "raw", "pm25") == [10, 20, 30, 40]
    assert request(older.data_dir, "check")["findings"] == []


def send(node: NodeProcess, token: str, at: str, **values: float) -> None:
    place = {"lat": 60.17, "lng": 24.94}
    sent = {"sensor_id": SENSOR, "timestamp": at, "location": place, "values": values}
    assert node.post(sent, token).status_code == 202


def history(node: NodeProcess, resolution: str, quantity: str) -> list[float]:
    """The values of the last day, those that there are."""
    asked = {"resolution": resolution, "quantity": quantity}
    answer = node.client.get(f"/api/v1/sensors/{SENSOR}/history", params=asked)
    assert answer.status_code == 200, answer.text
    told = answer.json()["series"][quantity]["value" if resolution == "raw" else "avg"]
    return [value for value in told if value is not None]
