"""Fetching: what is asked for, what is taken, and what a source may do wrong."""

from __future__ import annotations

import gzip
import json
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.processes import NodeProcess, wait_until
from tests.published import latest, location, measurement, openaq
from tests.publisher import Page, Publisher, publishing
from tests.pulling import HERE, Pulling, at, letters, pulled, rows, run_for, stored, wait_s
from urbanos_edge import clock as clock_module
from urbanos_edge.adapters import node_json
from urbanos_edge.clock import DAY_US, SECOND_US, to_rfc3339
from urbanos_edge.feeds import Feed
from urbanos_edge.health.health import status
from urbanos_edge.node import OWN_TOKEN, Node
from urbanos_edge.pulls.pulls import MAX_AT_ONCE


def json_feed(**more: Any) -> dict[str, Any]:
    return {"kind": "json", "url": "/air.json", "name": "town", **more}


# --- what is taken ----------------------------------------------------------------------------


def test_what_a_source_says_is_stored_under_its_name_where_it_says_it_stands(
    pulling: Pulling, publisher: Publisher
) -> None:
    node = pulling(json_feed())
    publisher.pages["/air.json"] = Page(rows(("a", at(node), 7.0), ("b", at(node), 8.0)))
    standing = pulled(node)
    assert (standing.accepted, standing.failure, standing.host) == (2, None, "127.0.0.1")
    assert stored(node) == [("town-a", "json", 7.0), ("town-b", "json", 8.0)]
    sensor = node.sensors.get("town-a")
    assert (sensor.lat, sensor.lng, sensor.source) == (60.171, 24.941, "json")


def test_what_a_source_repeats_costs_nothing_and_what_it_adds_is_taken(
    pulling: Pulling, publisher: Publisher
) -> None:
    node = pulling(json_feed())
    first = ("a", at(node, 120), 7.0)
    publisher.pages["/air.json"] = Page(rows(first, ("a", "soon", 1.0)))
    pulled(node)
    assert letters(node) == 1, "a time that cannot be read"
    publisher.pages["/air.json"] = Page(rows(first, ("a", "soon", 1.0), ("a", at(node), 9.0)))
    assert pulled(node).accepted == 2
    assert letters(node) == 1
    assert [pm25 for *_, pm25 in stored(node)] == [7.0, 9.0]
    assert "duplicates" not in dict(node.database.read().execute("SELECT * FROM totals"))


def test_a_source_says_nothing_in_the_name_of_a_sensor_that_reports_itself(
    pulling: Pulling, publisher: Publisher
) -> None:
    node = pulling(json_feed())
    push = json.dumps({"sensor_id": "town-a", "location": HERE, "values": {"pm25": 3}}).encode()
    anyio.run(node.ingest.accept, node_json.read_object_or_array(push)[0], OWN_TOKEN)
    anyio.run(node.registry.add, "town-b", "Harbour", 60.0, 25.0)
    told = rows(("a", at(node), 99.0), ("b", at(node), 8.0))
    publisher.pages["/air.json"] = Page(told)
    standing = pulled(node)
    assert (standing.accepted, standing.left_out) == (1, 1)
    assert stored(node) == [("town-a", "api", 3.0), ("town-b", "json", 8.0)]


def test_an_area_of_sensor_community_is_taken(pulling: Pulling, publisher: Publisher) -> None:
    path = "/airrohr/v1/filter/area=60.17,24.94,10"
    node = pulling({"kind": "sensor-community", "url": path})
    moment = at(node)[:19].replace("T", " ")
    publisher.pages[path] = Page(json.dumps([measurement(41, moment, P2="4.10")]).encode())
    assert pulled(node).accepted == 1
    assert stored(node) == [("sensorcommunity-41", "sensor-community", 4.1)]


def test_a_table_is_taken_for_a_sensor_that_stands_where_the_settings_say(
    pulling: Pulling, publisher: Publisher
) -> None:
    node = pulling(
        {"kind": "csv", "url": "/t.csv", "name": "hall", "sensor_id": "roof", **HERE},
    )
    body = f"time;PM2.5\n{at(node)};4,5\n".encode()
    publisher.pages["/t.csv"] = Page(gzip.compress(body), headers={"Content-Encoding": "gzip"})
    assert pulled(node).accepted == 1
    assert stored(node) == [("hall-roof", "csv", 4.5)]
    assert node.sensors.get("hall-roof").lat == 60.171


# --- asking for news only ---------------------------------------------------------------------


def test_an_answer_is_asked_for_again_only_if_it_changed(
    pulling: Pulling, publisher: Publisher
) -> None:
    node = pulling(json_feed())
    headers = {"ETag": '"1"', "Last-Modified": "Mon, 23 Nov 2026 10:00:00 GMT"}
    publisher.pages["/air.json"] = Page(rows(("a", at(node), 7.0)), headers=headers)
    assert pulled(node).accepted == 1
    unchanged = pulled(node)
    assert (unchanged.accepted, unchanged.failure) == (1, None)
    first, second = (asked.headers for asked in publisher.asked)
    assert "if-none-match" not in first
    assert second["if-none-match"] == '"1"'
    assert second["if-modified-since"] == headers["Last-Modified"]
    publisher.pages["/air.json"] = Page(rows(("a", at(node), 9.0)), headers={"ETag": '"2"'})
    assert pulled(node).accepted == 2
    assert "if-modified-since" in publisher.asked[-1].headers
    pulled(node)
    assert publisher.asked[-1].headers["if-none-match"] == '"2"'


def test_a_restart_asks_no_sooner_and_for_news_only(pulling: Pulling, publisher: Publisher) -> None:
    node = pulling(json_feed(every_s=600))
    page = Page(rows(("a", at(node), 7.0)), headers={"ETag": '"1"'})
    publisher.pages["/air.json"] = page
    before = pulled(node)
    node = pulling(json_feed(every_s=900, key="secret"))
    [after] = node.pulls.list()
    assert after.succeeded_at_us == before.succeeded_at_us
    assert after.next_at_us == pytest.approx(before.next_at_us, abs=SECOND_US)
    run_for(node, 0.2)
    assert len(publisher.asked) == 1
    pulled(node)
    assert publisher.asked[-1].headers["if-none-match"] == '"1"'


def test_a_node_whose_clock_is_in_doubt_waits_for_no_source(
    pulling: Pulling, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = pulling(json_feed(every_s=600))
    publisher.pages["/air.json"] = Page(rows(("a", at(node), 7.0)))
    pulled(node)
    monkeypatch.setattr(clock_module, "RELEASED_US", node.clock.now_us() + DAY_US)
    node = pulling(json_feed(every_s=600))
    assert node.clock.doubt is not None
    [standing] = node.pulls.list()
    assert wait_s(node, standing) <= 0


def test_a_source_that_is_read_otherwise_is_read_anew(
    pulling: Pulling, publisher: Publisher
) -> None:
    node = pulling(json_feed())
    page = Page(rows(("a", at(node), 7.0)), headers={"ETag": '"1"'})
    publisher.pages["/air.json"] = page
    pulled(node)
    node = pulling(json_feed(map="pm10=pm25"))
    pulled(node)
    assert "if-none-match" not in publisher.asked[-1].headers
    node = pulling()
    assert node.database.read().execute("SELECT count(*) FROM pulls").get == 0, "it is no source"


def test_what_could_not_be_kept_is_asked_for_again(pulling: Pulling, publisher: Publisher) -> None:
    node = pulling(json_feed())
    page = Page(rows(("a", at(node), 7.0)), headers={"ETag": '"1"'})
    publisher.pages["/air.json"] = page
    node.disk.is_low = True  # as it is when the disk is almost full
    full = pulled(node)
    assert (full.accepted, full.failures) == (0, 1)
    node.disk.is_low = False
    assert pulled(node).accepted == 1
    assert "if-none-match" not in publisher.asked[-1].headers


# --- what a source may do wrong ---------------------------------------------------------------


def test_what_cannot_be_used_is_told_costs_nothing_and_ends_with_a_success(
    pulling: Pulling, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "urbanos_edge")
    node = pulling(json_feed())
    bodies = {
        b"<html>Sorry</html>": "the body is not JSON",
        b'{"error": "moved"}': "no field is the time or the sensor or a quantity",
        b'[{"id": "a", "time": "x", "pm25": 1}]': "nothing of it can be read: the record's time",
    }
    for body, said in bodies.items():
        publisher.pages["/air.json"] = Page(body)
        failure = pulled(node).failure
        assert failure is not None
        assert failure.startswith(said)
    assert (node.spool.depth, letters(node)) == (0, 0)
    publisher.pages["/air.json"] = Page(rows(("a", at(node), 7.0)))
    standing = pulled(node)
    assert (standing.failures, standing.failure, node.pulls.failed()) == (0, None, {"town": 3})
    assert 290 <= wait_s(node, standing) <= 300
    first, last = (record.message for record in caplog.records if "town" in record.message)
    assert first.startswith("town could not be fetched: the body is not JSON")
    assert last == "town is fetched again"


def test_what_the_node_does_not_take_stays_a_failure_but_fills_no_letters(
    pulling: Pulling, publisher: Publisher
) -> None:
    """A clock that is ahead, say: the same is said again and again."""
    node = pulling(json_feed())
    publisher.pages["/air.json"] = Page(rows(("a", at(node, -3600), 7.0)))
    for _ in range(3):
        failure = pulled(node).failure
        assert failure is not None
        assert failure.startswith("nothing of it was taken:")
        assert "5 minutes ahead" in failure
    assert letters(node) == 1


# --- keys and redirects -----------------------------------------------------------------------


def test_a_key_goes_to_its_own_origin_only_and_is_shown_nowhere(
    pulling: Pulling, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "urbanos_edge")
    node = pulling(json_feed(url="/air.json?secret=1", key="hush", key_header="X-Key"))
    with publishing() as other:
        moved = {"Location": other.url + "/elsewhere"}
        publisher.pages["/air.json?secret=1"] = Page(status=302, headers={"Location": "/moved"})
        publisher.pages["/moved"] = Page(status=307, headers=moved)
        other.pages["/elsewhere"] = Page(rows(("a", at(node), 7.0)))
        assert pulled(node).accepted == 1
        assert [asked.headers.get("x-key") for asked in publisher.asked] == ["hush", "hush"]
        assert "x-key" not in other.asked[0].headers
        other.pages["/elsewhere"] = Page(status=403)
        pulled(node)
    told = str(status(node)) + str(node.pulls.list()) + repr(node.settings) + caplog.text
    assert "town could not be fetched: it answered 403" in told
    assert "hush" not in told
    assert "secret=1" not in told


# --- OpenAQ -----------------------------------------------------------------------------------

LIST = "/v3/locations?bbox=24.8,60.1,25.1,60.3&limit=1000"
AQ = {"kind": "openaq", "url": "/v3", "bbox": "24.8,60.1,25.1,60.3", "key": "k"}


def latest_path(number: int) -> str:
    return f"/v3/locations/{number}/latest?limit=100"


def test_an_area_of_openaq_is_listed_once_and_each_location_asked(
    pulling: Pulling, publisher: Publisher
) -> None:
    node = pulling(AQ)
    now = at(node)
    publisher.pages[LIST] = Page(openaq([location(7, now), location(8, now)]))
    publisher.pages[latest_path(7)] = Page(openaq([latest(7, 0, 12.5, now)]))
    publisher.pages[latest_path(8)] = Page(openaq([latest(8, 0, 3.5, now)]))
    assert pulled(node).accepted == 2
    assert publisher.paths() == [LIST, latest_path(7), latest_path(8)]
    assert {asked.headers["x-api-key"] for asked in publisher.asked} == {"k"}
    assert pulled(node).accepted == 2
    assert publisher.paths()[3:] == [latest_path(7), latest_path(8)]
    assert stored(node) == [("openaq-7", "openaq", 12.5), ("openaq-8", "openaq", 3.5)]


def test_where_openaq_breaks_off_it_is_gone_on_with(pulling: Pulling, publisher: Publisher) -> None:
    node = pulling({**AQ, "bbox": "", "locations": [7, 8, 9]})
    now = at(node)
    for number in (7, 9):
        publisher.pages[f"/v3/locations/{number}"] = Page(openaq([location(number, now)]))
        publisher.pages[latest_path(number)] = Page(openaq([latest(number, 0, number, now)]))
    publisher.pages["/v3/locations/9"].status = 429
    assert pulled(node).failure == "it answered 429"
    publisher.pages["/v3/locations/9"].status = 200
    publisher.pages[latest_path(7)].status = 500
    assert pulled(node).failure == "it answered 500"
    publisher.pages[latest_path(7)].status = 200
    assert pulled(node).accepted == 2
    assert publisher.paths() == [
        *("/v3/locations/7", "/v3/locations/8", "/v3/locations/9"),
        *("/v3/locations/9", latest_path(7)),
        *(latest_path(9), latest_path(7)),
    ]


# --- when -------------------------------------------------------------------------------------


def test_no_source_is_asked_twice_at_once_nor_more_than_eight_together(
    pulling: Pulling, publisher: Publisher
) -> None:
    paths = [f"/{number}.json" for number in range(12)]
    node = pulling(*(json_feed(url=path, name=f"n{path[1:-5]}") for path in paths))
    for path in paths:
        publisher.pages[path] = Page(b"[]", pause_s=0.2, waits_for=MAX_AT_ONCE)

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.pulls.fetch_forever)
            await anyio.sleep(0.05)
            await node.pulls.now("n0")
            await node.pulls.now()
            tasks.cancel_scope.cancel()

    anyio.run(work)
    assert publisher.most_at_once == MAX_AT_ONCE == 8
    assert sorted(publisher.paths()) == sorted([*paths, "/0.json", *paths])


def test_each_source_is_asked_again_when_its_interval_is_over(
    open_node: Callable[..., Node], publisher: Publisher
) -> None:
    feeds = [
        Feed(kind="json", name="often", url=f"{publisher.url}/often", every_s=0.1),
        Feed(kind="json", name="seldom", url=f"{publisher.url}/seldom", every_s=60),
    ]
    publisher.pages |= {"/often": Page(b"[]"), "/seldom": Page(b"[]")}
    node = open_node(pull=feeds)

    def is_asked_often() -> bool:
        return publisher.paths().count("/often") >= 6

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.pulls.fetch_forever)
            await anyio.to_thread.run_sync(wait_until, is_asked_often, 30)
            tasks.cancel_scope.cancel()

    began_s = time.monotonic()
    anyio.run(work)
    assert time.monotonic() - began_s >= 5 * 0.1
    assert publisher.paths().count("/seldom") == 1


# --- a running node ---------------------------------------------------------------------------


def test_a_running_node_fetches_by_itself_and_tells_how_its_sources_stand(
    start_node: Callable[..., NodeProcess], publisher: Publisher, tmp_path: Path
) -> None:
    now = to_rfc3339(time.time_ns() // 1000 - 60 * SECOND_US)
    publisher.pages["/good.json"] = Page(rows(("a", now, 7.0)))
    feeds = [
        {"kind": "json", "name": "good", "url": f"{publisher.url}/good.json"},
        {"kind": "csv", "name": "bad", "url": f"{publisher.url}/bad.csv", "key": "hush"},
    ]
    (tmp_path / "node").mkdir()
    tables = [
        "\n".join(["[[pull]]", *(f'{name} = "{text}"' for name, text in feed.items())])
        for feed in feeds
    ]
    (tmp_path / "node" / "urbanos.toml").write_text("\n".join(tables))
    node = start_node(flush_interval_s=0.5)
    wait_until(lambda: node.status()["pulls"]["failing"] == 1, 10, node.log)
    wait_until(lambda: node.status()["totals"]["stored"] == 1, 10, node.log)
    shown = node.client.get("/api/v1/sensors/good-a").json()
    assert (shown["lat"], shown["lng"]) == (60.171, 24.941)
    metrics = node.client.get("/metrics").text
    assert 'urbanos_pull_failures_total{name="bad"} 1.0' in metrics
    assert 'urbanos_pull_age_seconds{name="bad"} +Inf' in metrics
    [age] = re.findall(r'urbanos_pull_age_seconds\{name="good"\} ([\d.]+)', metrics)
    assert 0 <= float(age) < 30
    good, bad = json.loads(node.run("pull", "list", "--json").stdout)
    assert (good["accepted"], good["failures"], bad["failure"]) == (1, 0, "it answered 404")
    failed = node.run("pull", "now", check=False)
    assert (failed.returncode, failed.stderr) == (1, "urbanos-edge: bad: it answered 404\n")
    assert "it answered 404" in failed.stdout
    node.stop()
    [away] = json.loads(node.run("pull", "now", "good", "--json").stdout)
    assert away["failure"] is None
    assert "hush" not in node.log()
