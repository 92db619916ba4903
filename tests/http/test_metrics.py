"""GET /metrics: what Prometheus reads, held against what was asked and what the status says."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.http.listening import events, listening
from tests.http.sending import Spot, reading, send
from tests.http.test_ready_answers import path, say
from tests.processes import NodeProcess, wait_until
from urbanos_edge.health.metrics import registry
from urbanos_edge.node import Node
from urbanos_edge.settings import Settings

ALERTS = Path(__file__).parents[2] / "systemd" / "urbanos-alerts.yml"
TILE = "/tiles/readings/{z}/{x}/{file}"


class Numbers:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in read_text(text)
            for sample in family.samples
        }

    def of(self, name: str, **labels: str) -> float:
        return self._samples.get((name, frozenset(labels.items())), 0)

    def requests(self, method: str, route: str, status: int) -> float:
        asked = {"method": method, "route": route, "status_code": str(status)}
        counted = self.of("http_requests_total", **asked)
        assert self.of("http_request_duration_seconds_count", **asked) == counted
        return counted

    def values_of(self, label: str) -> set[str]:
        return {value for _, labels in self._samples for name, value in labels if name == label}

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self._samples}


def scrape(node: NodeProcess) -> Numbers:
    answer = node.client.get("/metrics")
    assert answer.status_code == 200
    return Numbers(answer.text)


def test_it_is_prometheus_text_and_openmetrics_where_asked_for(server: NodeProcess) -> None:
    plain = server.client.get("/metrics")
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert plain.headers["cache-control"] == "no-store"
    names = {family.name.removesuffix("_info") for family in read_text(plain.text)}
    wanted = {"Accept": "application/openmetrics-text; version=1.0.0, text/plain; q=0.5"}
    asked = server.client.get("/metrics", headers=wanted)
    assert asked.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {family.name for family in read_openmetrics(asked.text)} == names


def test_requests_are_counted_by_route_and_never_by_address(server: NodeProcess) -> None:
    before = scrape(server)
    for number in range(3):
        server.client.get(f"/no/such/place-{number}")
        server.client.get(f"/api/v1/grids/z12-x{number}-y7/data")
        server.client.get(f"/api/v1/grids/z99-x{number}-y7/data")
        server.client.head(f"/api/v1/sensors/nobody-{number}")
        server.client.request("PROPFIND", f"/place-{number}")
    after = scrape(server)
    rows = "/api/v1/grids/{grid_id}/data"
    for method, route, status, times in (
        ("GET", "unmatched", 404, 3),
        ("GET", rows, 200, 3),
        ("GET", rows, 422, 3),
        ("GET", "/api/v1/sensors/{sensor_id}", 404, 3),
        ("other", "unmatched", 405, 3),
        ("GET", "/metrics", 200, 1),
    ):
        asked = method, route, status
        assert after.requests(*asked) - before.requests(*asked) == times, asked
    assert not [route for route in after.values_of("route") if re.search("place|z12|nobody", route)]


def test_ready_answers_are_counted_as_what_they_are(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    send(server, gateway, reading(spot, "counted"))
    request = f"GET {path(spot)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    before = scrape(server)
    for _ in range(4):
        assert say(server, request).status == b"HTTP/1.1 200 OK"
    etag = server.client.get(path(spot)).headers["etag"]
    same = f"GET {path(spot)} HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {etag}\r\n\r\n".encode()
    for _ in range(2):
        assert say(server, same).status == b"HTTP/1.1 304 Not Modified"
    after = scrape(server)
    assert after.requests("GET", TILE, 200) - before.requests("GET", TILE, 200) == 5
    assert after.requests("GET", TILE, 304) - before.requests("GET", TILE, 304) == 2
    misses, hits = (
        after.of("urbanos_cache_answers_total", route=TILE, cache_hit=hit)
        - before.of("urbanos_cache_answers_total", route=TILE, cache_hit=hit)
        for hit in ("false", "true")
    )
    assert (misses, hits) == (1, 6)


def test_readings_are_counted_at_their_door(server: NodeProcess, gateway: str, spot: Spot) -> None:
    route, before = "/api/v1/data/ingest", scrape(server)
    good = reading(spot, "at-the-door")
    server.post([good, good], gateway)
    server.post([good, reading(spot, "x", values={})], gateway)
    server.post(good, "not-a-token")
    server.flush()
    after = scrape(server)
    assert after.requests("POST", route, 202) - before.requests("POST", route, 202) == 2
    assert after.requests("POST", route, 401) - before.requests("POST", route, 401) == 1
    for outcome, readings in (("stored", 1), ("duplicates", 2), ("rejected", 1)):
        counts = [one.of("urbanos_readings_total", outcome=outcome) for one in (before, after)]
        assert counts[1] - counts[0] == readings, outcome
    assert after.of("urbanos_dead_letters") - before.of("urbanos_dead_letters") == 1


def test_fetches_of_grids_tell_hits_from_misses(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    send(server, gateway, reading(spot, "fetched"))
    before = scrape(server)
    for _ in range(3):
        server.client.get(f"/api/v1/grids/{spot.grid_id}/data")
    server.client.get(path(spot))
    after = scrape(server)
    misses, hits = (
        after.of("grid_data_fetches_total", cache_hit=hit)
        - before.of("grid_data_fetches_total", cache_hit=hit)
        for hit in ("false", "true")
    )
    assert (misses, hits) == (1, 2)


def test_listeners_are_counted_while_they_listen(server: NodeProcess, spot: Spot) -> None:
    name = "websocket_connections_active"
    with listening(server, spot.grid_id), listening(server), events(server, spot.grid_id):
        assert scrape(server).of(name) == 3
    wait_until(lambda: scrape(server).of(name) == 0, 10)


def test_a_stream_counts_when_it_begins_and_its_length_does_not(
    server: NodeProcess, spot: Spot
) -> None:
    asked = {"method": "GET", "route": "/api/v1/live", "status_code": "200"}
    before = scrape(server)
    with events(server, spot.grid_id):
        time.sleep(1)
        during = scrape(server)
    after = scrape(server)
    assert during.requests("GET", "/api/v1/live", 200) == after.requests("GET", "/api/v1/live", 200)
    name = "http_request_duration_seconds_sum"
    assert after.of(name, **asked) - before.of(name, **asked) < 1


def test_what_waits_shows_as_queue_and_lag_until_it_is_flushed(
    start_node: Callable[..., NodeProcess], spot: Spot
) -> None:
    node = start_node(flush_interval_s=3600)
    token = node.token()
    sent_s = time.monotonic()
    node.post([reading(spot, f"waits-{n}") for n in range(7)], token)
    time.sleep(0.3)
    waiting = scrape(node)
    assert waiting.of("update_queue_length", queue_name="spool") == 7
    assert 0.3 <= waiting.of("urbanos_flush_lag_seconds") <= time.monotonic() - sent_s
    assert waiting.of("urbanos_flush_age_seconds") == float("inf")
    assert waiting.of("urbanos_flush_duration_seconds_count") == 0
    node.flush()
    flushed = scrape(node)
    assert flushed.of("update_queue_length", queue_name="spool") == 0
    assert flushed.of("urbanos_flush_lag_seconds") == 0
    assert flushed.of("urbanos_flush_age_seconds") < 30
    assert flushed.of("urbanos_flush_duration_seconds_count") == 1
    assert flushed.of("urbanos_store_rows") == 7


def test_the_numbers_are_those_of_the_status(server: NodeProcess) -> None:
    server.flush()
    numbers, status = scrape(server), server.status()
    for name, value in (
        ("urbanos_ready", 1),
        ("urbanos_store_files", status["store"]["files"]),
        ("urbanos_store_bytes", status["store"]["bytes"]),
        ("urbanos_sensors_known", status["sensors"]["total"]),
        ("urbanos_disk_ballast_bytes", 64 << 20),
        ("urbanos_backup_proven_age_seconds", float("inf")),
        ("urbanos_clock_in_doubt", status["clock_in_doubt_since"] is not None),
        ("urbanos_recent_readings", status["recent"]["readings"]),
    ):
        assert numbers.of(name) == value, name
    resident = Path(f"/proc/{server.pid}/statm").read_text().split()[1]
    assert numbers.of("process_resident_memory_bytes") == pytest.approx(
        int(resident) * 4096, rel=0.2
    )
    assert 0 < numbers.of("urbanos_ready_seconds_total")
    assert numbers.of("urbanos_disk_written_bytes_total") > 0


def test_each_node_has_numbers_of_its_own(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with closing(Node(Settings(), tmp_path / name)) as node:
            node.traffic.note("GET", f"/{name}", 200, 0.02)
            found.append(Numbers(generate_latest(registry(node)).decode()).values_of("route"))
    assert found == [{"/one"}, {"/two"}]


def test_a_duration_is_in_every_bucket_that_reaches_it(node: Node) -> None:
    for took_s in (0.001, 0.02, 0.025, 0.03, 60.0):
        node.traffic.note("GET", "/here", 200, took_s)
    found = Numbers(generate_latest(registry(node)).decode())
    asked = {"method": "GET", "route": "/here", "status_code": "200"}
    name = "http_request_duration_seconds"
    for bound, count in (("0.001", 1), ("0.01", 1), ("0.025", 3), ("10.0", 4), ("+Inf", 5)):
        assert found.of(f"{name}_bucket", le=bound, **asked) == count, bound
    assert found.of(f"{name}_sum", **asked) == pytest.approx(60.076)


def test_every_alert_names_numbers_that_there_are(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    send(server, gateway, reading(spot, "alerting"))
    server.client.get(f"/api/v1/grids/{spot.grid_id}")
    there = scrape(server).names | {"up"}
    rules = [
        rule
        for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]
    assert {"HighAPILatency", "HighErrorRate", "QueueBacklog"} <= {rule["alert"] for rule in rules}
    for rule in rules:
        named = numbers_in(rule["expr"])
        assert named, rule["alert"]
        assert named <= there, rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["labels"]["severity"] in ("warning", "critical")


def numbers_in(expression: str) -> set[str]:
    """The names in PromQL that are no functions, labels, units or operators."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on) \([^)]*\)", "", expression)
    names = re.findall(r"\b[a-z_]+\b(?! ?\()", bare)
    return set(names) - {"and", "sum"}
