"""A CDN is told what changed: the right places, in bounded requests, holding nobody up."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio
import httpx
import pytest

from tests.http.sending import moment, now_us, reading, send, spot_number
from tests.processes import NodeProcess, wait_until
from tests.receiver import served
from urbanos_edge.cache.purge import MAX_GRIDS, MAX_PENDING, TIMEOUT_S, Purge
from urbanos_edge.errors import SettingsError
from urbanos_edge.grid import FINEST_ZOOM
from urbanos_edge.settings import load

EVERYTHING = {"everything": True, "grids": [], "minZoom": 0, "maxZoom": FINEST_ZOOM}


class Cdn:
    """An HTTP server that notes what it is told; slow or failing when asked to be."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.status = 204
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.under_way = self.most_under_way = 0
        self.on_told: Callable[[], None] = lambda: None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/purge?key=secret"

    @property
    def grids(self) -> set[str]:
        return {grid for told in self.told for grid in told["grids"]}


def _handler(cdn: Cdn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            cdn.under_way += 1
            cdn.most_under_way = max(cdn.most_under_way, cdn.under_way)
            length = int(self.headers["Content-Length"])
            cdn.told.append(json.loads(self.rfile.read(length)))
            cdn.on_told()
            cdn.may_answer.wait()
            cdn.under_way -= 1
            self.send_response(cdn.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@pytest.fixture
def cdn() -> Iterator[Cdn]:
    made = Cdn()
    with served(made.server):
        yield made
        made.may_answer.set()


@pytest.fixture
def told_node(cdn: Cdn, start_node: Callable[..., NodeProcess]) -> NodeProcess:
    return start_node(cdn_purge_url=cdn.url, flush_interval_s=3600)


def send_once(purge: Purge) -> None:
    async def run() -> None:
        async with httpx.AsyncClient() as client:
            await purge.send(client)

    anyio.run(run)


def test_changes_go_out_together_and_once(cdn: Cdn) -> None:
    purge = Purge(cdn.url)
    purge.note({(2330, 1185), (2331, 1185)})
    purge.note({(2330, 1185)})
    send_once(purge)
    send_once(purge)
    grids = ["z12-x2330-y1185", "z12-x2331-y1185"]
    assert cdn.told == [EVERYTHING | {"everything": False, "grids": grids}]


def test_a_request_names_a_bounded_number_of_grids(cdn: Cdn) -> None:
    purge = Purge(cdn.url)
    purge.note({(x, 7) for x in range(MAX_GRIDS + 1)})
    send_once(purge)
    assert [len(told["grids"]) for told in cdn.told] == [MAX_GRIDS, 1]
    assert len(cdn.grids) == MAX_GRIDS + 1


def test_when_too_much_waits_everything_has_changed(cdn: Cdn) -> None:
    purge = Purge(cdn.url)
    for first in range(0, MAX_PENDING + 1, 100):
        purge.note({(first + x, 7) for x in range(100)})
    purge.note({(1, 1)})
    send_once(purge)
    assert cdn.told == [EVERYTHING]


def test_nothing_that_threads_note_at_once_is_lost(cdn: Cdn) -> None:
    purge = Purge(cdn.url)

    def note(column: int) -> None:
        for y in range(300):
            purge.note({(column, y)})

    threads = [threading.Thread(target=note, args=(column,)) for column in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        send_once(purge)
    send_once(purge)
    assert len(cdn.grids) == 4 * 300


def test_a_failing_cdn_is_logged_once_without_its_address(
    cdn: Cdn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "urbanos_edge.cache.purge")
    purge = Purge(cdn.url)
    for cdn.status in (500, 500, 200):
        purge.note({(1, 1)})
        send_once(purge)
    messages = [record.message for record in caplog.records]
    assert messages == [
        "the CDN could not be told what changed: it answered 500",
        "the CDN is told again what changes",
    ]


def test_a_cdn_that_is_not_there_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    gone = Cdn()
    with served(gone.server):
        purge = Purge(gone.url)
    purge.note_everything()
    send_once(purge)
    assert [record.message for record in caplog.records] == [
        "the CDN could not be told what changed: Connection refused"
    ]


@pytest.mark.parametrize("url", ["cdn.example", "ftp://cdn.example/", "https://a b/"])
def test_what_is_no_http_address_stops_the_start(url: str) -> None:
    with pytest.raises(SettingsError, match="cdn_purge_url"):
        load({}, environment={"URBANOS_CDN_PURGE_URL": url})


def test_a_flush_names_the_grids_it_touched_and_no_others(told_node: NodeProcess, cdn: Cdn) -> None:
    gateway = told_node.token()
    here, there = spot_number(1), spot_number(2)
    send(told_node, gateway, reading(here, "one"), reading(here, "two"))
    wait_until(lambda: cdn.grids == {here.grid_id}, 10)
    send(told_node, gateway, reading(there, "one"))
    # The sensor moved: it is no longer shown where it was.
    wait_until(lambda: cdn.told[-1]["grids"] == sorted({here.grid_id, there.grid_id}), 10)


def test_an_urgent_reading_is_told_before_the_flush(told_node: NodeProcess, cdn: Cdn) -> None:
    here = spot_number(1)
    told_node.post(reading(here, "one", priority=9), told_node.token())
    wait_until(lambda: cdn.grids == {here.grid_id}, 10)
    assert told_node.status()["spool"]["readings"] == 1


def test_who_is_told_of_a_change_finds_it(told_node: NodeProcess, cdn: Cdn) -> None:
    here = spot_number(1)
    gateway = told_node.token()
    address = f"/api/v1/grids/{here.grid_id}"
    found: list[int] = []
    cdn.on_told = lambda: found.append(told_node.client.get(address).json()["data_count"])
    told_node.client.get(address)
    for number in range(3):
        send(told_node, gateway, reading(here, "one", now_us() - number * 1_000_000))
        wait_until(lambda n=number: len(found) == n + 1, 10)  # type: ignore[misc]
    assert found == [1, 2, 3]


def test_a_slow_cdn_holds_nobody_up(told_node: NodeProcess, cdn: Cdn) -> None:
    """It does not answer at all: who waited for it would wait until the node gives it up."""
    cdn.may_answer.clear()
    gateway = told_node.token()
    here = spot_number(1)
    send(told_node, gateway, reading(here, "first"))
    wait_until(lambda: cdn.under_way == 1, 10)
    began_s = time.monotonic()
    for number in range(5):
        answer = told_node.post(reading(here, f"s-{number}", priority=9), gateway)
        assert answer.status_code == 202
        told_node.flush()
    assert told_node.client.get(f"/api/v1/grids/{here.grid_id}").json()["data_count"] == 6
    assert time.monotonic() - began_s < TIMEOUT_S
    assert cdn.most_under_way == 1


def test_a_repair_that_counts_anew_says_everything(told_node: NodeProcess, cdn: Cdn) -> None:
    here = spot_number(1)
    at = moment(now_us())
    send(told_node, told_node.token(), reading(here, "one") | {"timestamp": at})
    next(iter(told_node.data_dir.glob("readings/*/*.parquet"))).write_bytes(b"damaged")
    told_node.run("check", "--repair", check=False)
    wait_until(lambda: EVERYTHING in cdn.told, 10)
