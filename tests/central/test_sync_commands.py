"""A running node keeps its centre up to date by itself; the commands say how it stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from click.testing import CliRunner, Result

from tests.central.conftest import Centre
from tests.central.mirror import counted, told
from tests.processes import NodeProcess, wait_until
from tests.readings import reading
from tests.test_flush import store
from urbanos_edge.cli import main
from urbanos_edge.clock import DAY_US, HOUR_US, to_rfc3339
from urbanos_edge.hours.aggregates import AggregatePage
from urbanos_edge.node import Node

HAS_ARRIVED = "SELECT sum(count) FROM pollution_aggregates WHERE quantity = 'pm25'"


@pytest.fixture
def run(centre: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command on the node's directory, whose node rests, with the centre set."""
    monkeypatch.setenv("URBANOS_SYNC_DSN", centre.add_node("north"))
    monkeypatch.setenv("URBANOS_NODE_ID", "north")

    def command(*words: str) -> Result:
        return CliRunner().invoke(main, ["sync", *words, "--data-dir", str(tmp_path)])

    return command


def two_days(node: Node) -> list[int]:
    """Store readings of two days; return the hours they are of."""
    now_us = node.clock.now_us()
    moments = [now_us - 24 * HOUR_US, now_us - 72 * HOUR_US]
    store(node, *(reading(timestamp_us=at_us) for at_us in moments))
    node.close()
    return [at_us // HOUR_US for at_us in moments]


def test_commands_work_while_the_node_rests(
    open_node: Callable[..., Node], run: Callable[..., Result], centre: Centre
) -> None:
    node = open_node()
    new, old = two_days(node)
    before = json.loads(run("status", "--json").stdout)
    assert (before["state"], before["pending_hours"]) == ("starting", 2)
    span = ("--from", day(old), "--to", day(new))
    done = json.loads(run("backfill", *span, "--json").stdout)
    assert done["buckets"] == 4, "what was owed goes with it"
    centre.owner.execute(b"DELETE FROM pollution_aggregates WHERE quantity = 'pm25'")
    found = run("verify", "--json")
    assert found.exit_code == 1
    assert [
        (one["hour"], one["rows_here"], one["rows_there"]) for one in json.loads(found.stdout)
    ] == [(to_rfc3339(hour * HOUR_US), 2, 1) for hour in (new, old)]
    assert "2 hours differ" in found.stderr
    sent = run("now")
    assert (sent.exit_code, "2 sent with 4 buckets" in sent.stdout) == (0, True)
    assert run("verify").exit_code == 0
    node = open_node(sync_dsn="")
    assert told(centre, "north") == counted(node)
    [line] = node.access.audit.list(10)
    assert (line.who, line.act) == ("local command", "sync_backfill")
    assert line.details == {"since_us": midnight_us(old), "until_us": midnight_us(new)}


def test_what_is_no_span_is_wrong_usage(run: Callable[..., Result]) -> None:
    assert run("backfill", "--from", "2026-11-02", "--to", "2026-11-02").exit_code == 2
    assert run("backfill", "--from", "yesterday", "--to", "2026-11-02").exit_code == 2


def test_without_a_centre_the_commands_say_so(
    open_node: Callable[..., Node], tmp_path: Path
) -> None:
    open_node().close()
    result = CliRunner().invoke(main, ["sync", "now", "--data-dir", str(tmp_path)])
    assert (result.exit_code, "sync_dsn" in result.stderr) == (1, True)


def test_a_serving_node_brings_what_it_has_by_itself_and_lets_pull(
    open_node: Callable[..., Node], start_node: Callable[..., NodeProcess], centre: Centre
) -> None:
    resting = open_node()
    two_days(resting)
    dsn = centre.add_node("north")
    node = start_node(resting.data_dir, sync_dsn=dsn, node_id="north")
    wait_until(lambda: node.status()["sync"]["state"] == "in_sync", 20, node.log)
    assert centre.value(HAS_ARRIVED) == 2
    assert node.run("sync", "verify").returncode == 0
    metrics = {
        line.split()[0]: line.split()[1] for line in node.client.get("/metrics").text.splitlines()
    }
    assert (metrics["urbanos_sync_pending_hours"], metrics["urbanos_sync_failing"]) == (
        "0.0",
        "0.0",
    )
    assert float(metrics["urbanos_sync_sent_buckets_total"]) == 4
    pulled = node.client.get("/api/v1/aggregates", params={"limit": 3})
    page = msgspec.json.decode(pulled.content, type=AggregatePage)
    assert ([one.quantity for one in page.aggregates], page.more) == (["aqi", "pm25", "aqi"], True)
    assert pulled.headers["X-Cursor"] == page.cursor
    rest = lines(node.client, since=page.cursor)
    assert [one["quantity"] for one in rest] == ["pm25"]
    assert node.client.get("/api/v1/aggregates?since=x").status_code == 422
    assert node.client.get("/api/v1/aggregates?since=0.1.0").status_code == 410


def lines(client: httpx.Client, **parameters: Any) -> list[Any]:
    accept = {"Accept": "application/x-ndjson"}
    found = client.get("/api/v1/aggregates", params=parameters, headers=accept)
    assert found.headers["Content-Type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in found.text.splitlines()]


def day(hour: int) -> str:
    return to_rfc3339(hour * HOUR_US)[:10]


def midnight_us(hour: int) -> int:
    return hour // 24 * DAY_US
