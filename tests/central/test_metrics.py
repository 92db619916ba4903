"""GET /metrics of the centre: what was asked of it, as of a node, and how its servers are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from psycopg.conninfo import make_conninfo
from websockets.sync.client import connect

from tests.central.conftest import Centre
from tests.central.serving import CentralProcess, reader_of
from tests.http.test_metrics import ALERTS, Numbers, numbers_in
from tests.processes import wait_until

GRID = "/api/v1/grids/{grid_id}"
OF_ALL_SERVERS = {"HighAPILatency", "HighErrorRate"}
"""The alerts of the source design that are of whoever answers."""


def scrape(served: CentralProcess) -> Numbers:
    answer = served.client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    return Numbers(answer.text)


@contextmanager
def serving(log: Path, dsn: str, *replicas: str) -> Iterator[CentralProcess]:
    served = CentralProcess(log, dsn, replicas)
    try:
        yield served
    finally:
        assert served.stop() == 0


def test_what_was_asked_is_counted_under_the_names_of_a_node(
    centre: Centre, tmp_path: Path
) -> None:
    with serving(tmp_path / "log", reader_of(centre)) as served:
        wait_until(lambda: scrape(served).of("urbanos_centre_listening") == 1, 10, served.log)
        for _ in range(3):
            assert served.client.get("/api/v1/grids/z14-x9325-y4741").status_code == 200
        served.client.get("/api/v1/grids/z99-x1-y1")
        served.client.get("/no/such/place")
        found = scrape(served)
        rules = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
    for asked, times in (
        (("GET", GRID, 200), 3),
        (("GET", GRID, 422), 1),
        (("GET", "unmatched", 404), 1),
    ):
        assert found.requests(*asked) == times, asked
    hits = [found.of("grid_data_fetches_total", cache_hit=hit) for hit in ("false", "true")]
    assert hits == [1, 2]
    assert found.of("urbanos_cache_entries") == 1
    assert found.of("process_resident_memory_bytes") > 0
    for rule in rules:
        if rule["alert"] in OF_ALL_SERVERS:
            assert numbers_in(rule["expr"]) <= found.names, rule["alert"]


def test_listeners_are_counted_while_they_listen(centre: Centre, tmp_path: Path) -> None:
    name = "websocket_connections_active"
    with serving(tmp_path / "log", reader_of(centre)) as served:
        with connect(served.url.replace("http", "ws") + "/ws"):
            wait_until(lambda: scrape(served).of(name) == 1, 10, served.log)
        wait_until(lambda: scrape(served).of(name) == 0, 10, served.log)


def test_each_server_is_told_by_its_state_and_by_what_it_was_asked(
    centre: Centre, tmp_path: Path
) -> None:
    """Two replicas that nobody hears of, and at one address: the primary answers."""
    dsn = reader_of(centre)
    nobody = make_conninfo(dsn, port=1)
    with serving(tmp_path / "log", dsn, nobody, nobody) as served:
        before = scrape(served)
        for x in range(5):
            served.client.get(f"/api/v1/grids/z14-x{x}-y1")
        found = scrape(served)
        primary, gone = (
            one["address"] for one in served.client.get("/api/v1/status").json()["servers"][:2]
        )
    for server, state in (
        (primary, "primary"),
        (gone, "unreachable"),
        (f"{gone} (2)", "unreachable"),
    ):
        states = {
            one: found.of("urbanos_centre_server_state", server=server, state=one)
            for one in ("primary", "replica", "behind", "unreachable")
        }
        assert states == dict.fromkeys(states, 0) | {state: 1}, server
    name = "urbanos_centre_server_asked_total"
    assert found.of(name, server=primary) - before.of(name, server=primary) == 5
    assert found.of(name, server=gone) == 0
    assert found.of("urbanos_centre_server_behind_bytes", server=primary) == 0
    assert found.of("urbanos_centre_server_connections", server=primary) >= 1
    assert found.of("urbanos_ready") == 1
