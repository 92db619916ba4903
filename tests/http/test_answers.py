"""How reads are answered: headers, caching, and what is not there or not so."""

from __future__ import annotations

import time
from functools import partial
from urllib.parse import quote

import mercantile
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http.sending import (
    Spot,
    assert_is_error,
    box_around,
    reading,
    send,
    spot_number,
)
from tests.processes import NodeProcess, wait_until


def addresses(spot: Spot) -> dict[str, str]:
    """One address for every kind of read about a spot."""
    box = "&".join(f"{name}={value}" for name, value in box_around(spot, 0.01).items())
    tile = mercantile.tile(spot.lng, spot.lat, 12)
    return {
        "rows": f"/api/v1/grids/{spot.grid_id}/data",
        "rows of a box": f"/api/v1/grids/bounds?{box}&zoom=12",
        "statistics": f"/api/v1/grids/{spot.grid_id}",
        "clusters": f"/api/v1/clusters?{box}&gridSize=0.001",
        "tile": f"/tiles/readings/12/{tile.x}/{tile.y}.mvt",
    }


each_read = pytest.mark.parametrize("read", addresses(spot_number(0)))


# --- caching ---


@each_read
def test_every_read_carries_the_headers_of_the_contract(
    server: NodeProcess, gateway: str, spot: Spot, read: str
) -> None:
    send(server, gateway, reading(spot, "headed"))
    answer = server.client.get(addresses(spot)[read])
    assert answer.status_code == 200
    expected = {
        "Cache-Control": "public, max-age=10, s-maxage=10, stale-while-revalidate=5",
        "CDN-Cache-Control": "max-age=10",
        "Vary": "Accept-Encoding",
    }
    assert {name: answer.headers.get(name) for name in expected} == expected
    assert answer.headers["ETag"].startswith('"')
    assert answer.headers["X-Cache"] in ("HIT", "MISS")


@pytest.mark.parametrize(
    "address",
    [
        *("/api/v1/sensors/headed-too", "/api/v1/standard", "/api/v1/standards"),
        "/tiles/readings.json",
    ],
)
def test_what_is_of_no_place_carries_them_too_and_gives_304(
    server: NodeProcess, gateway: str, spot: Spot, address: str
) -> None:
    send(server, gateway, reading(spot, "headed-too"))
    first = server.client.get(address)
    assert first.headers["Cache-Control"].startswith("public, max-age=10, s-maxage=10")
    assert first.headers["X-Cache"] in ("HIT", "MISS")
    tag = first.headers["ETag"]
    again = server.client.get(address, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)


def test_one_sensor_is_a_hit_until_something_is_new(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    address = "/api/v1/sensors/one-alone"
    send(server, gateway, reading(spot, "one-alone"))
    first, second = server.client.get(address), server.client.get(address)
    assert [each.headers["X-Cache"] for each in (first, second)] == ["MISS", "HIT"]
    send(server, gateway, reading(spot, "one-alone", values={"pm25": 55.4}))
    third = server.client.get(address)
    assert third.json()["latest"]["values"]["pm25"]["value"] == 55.4
    assert third.headers["ETag"] != first.headers["ETag"]


def test_what_names_an_address_is_never_given_at_another(server: NodeProcess) -> None:
    """Not even when the same bytes but for that were asked for before."""
    told: dict[str, set[str]] = {}
    for host in ("localhost", "127.0.0.1", "localhost"):
        answer = server.client.get("/tiles/readings.json", headers={"Host": host})
        assert answer.json()["tiles"][0].startswith(f"http://{host}/tiles/")
        told.setdefault(host, set()).add(answer.headers["ETag"])
    assert all(len(tags) == 1 for tags in told.values())
    assert told["localhost"] != told["127.0.0.1"]


@each_read
def test_a_read_is_a_hit_until_something_there_changes(
    server: NodeProcess, gateway: str, spot: Spot, read: str
) -> None:
    address = addresses(spot)[read]
    send(server, gateway, reading(spot, "first"))
    first, second = server.client.get(address), server.client.get(address)
    assert [each.headers["X-Cache"] for each in (first, second)] == ["MISS", "HIT"]
    assert (first.content, first.headers["ETag"]) == (second.content, second.headers["ETag"])
    send(server, gateway, reading(spot, "second", values={"pm25": 55.4}))
    third = server.client.get(address)
    assert third.headers["X-Cache"] == "MISS"
    assert third.headers["ETag"] != first.headers["ETag"]


@each_read
def test_what_happens_elsewhere_leaves_an_etag_alone(
    server: NodeProcess, gateway: str, spot: Spot, other_spot: Spot, read: str
) -> None:
    send(server, gateway, reading(spot, "quiet"))
    before = server.client.get(addresses(spot)[read]).headers["ETag"]
    send(server, gateway, reading(other_spot, "loud"))
    assert server.client.get(addresses(spot)[read]).headers["ETag"] == before


@each_read
@pytest.mark.parametrize(
    "form", ["{0}", "W/{0}", '"other", {0}', '"other",{0},"more"', 'W/"other", W/{0}', "*"]
)
def test_who_has_it_already_gets_304(
    server: NodeProcess, gateway: str, spot: Spot, read: str, form: str
) -> None:
    address = addresses(spot)[read]
    send(server, gateway, reading(spot, "known"))
    tag = server.client.get(address).headers["ETag"]
    answer = server.client.get(address, headers={"If-None-Match": form.format(tag)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == tag
    assert answer.headers["Cache-Control"].startswith("public, max-age=10")


@each_read
@pytest.mark.parametrize("tag", ['"other"', 'W/"other"', "garbage", ""])
def test_who_has_something_else_gets_it_whole(
    server: NodeProcess, spot: Spot, read: str, tag: str
) -> None:
    answer = server.client.get(addresses(spot)[read], headers={"If-None-Match": tag})
    assert answer.status_code == 200


@each_read
def test_head_answers_as_get_does_without_the_body(
    server: NodeProcess, gateway: str, spot: Spot, read: str
) -> None:
    address = addresses(spot)[read]
    send(server, gateway, reading(spot, "heady"))
    whole, head = server.client.get(address), server.client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("ETag", "Content-Type", "Content-Length", "Cache-Control"):
        assert head.headers[name] == whole.headers[name]


def test_a_reading_is_visible_within_a_flush_interval_and_two_seconds(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    interval_s = server.status()["flush_interval_s"]
    server.post(reading(spot, "prompt"), gateway)
    deadline_s = time.monotonic() + interval_s + 2
    for address in addresses(spot).values():
        left_s = max(deadline_s - time.monotonic(), 0.1)
        wait_until(partial(shows, server, address), left_s)


def shows(server: NodeProcess, address: str) -> bool:
    """Whether there is a reading in the answer."""
    answer = server.client.get(address)
    if not answer.headers["content-type"].startswith("application/json"):
        return len(answer.content) > 0
    body = answer.json()
    counted = body.get("data_count", body.get("count")) if isinstance(body, dict) else len(body)
    return bool(counted)


# --- what is not there, or not so ---

BAD_READS = {
    "zoom 99": "/api/v1/grids/z99-x-1-y0/data",
    "zoom 19": "/api/v1/grids/z19-x0-y0/data",
    "a column outside": "/api/v1/grids/z12-x4096-y0/data",
    "a row outside": "/api/v1/grids/z12-x0-y4096",
    "a negative column": "/api/v1/grids/z12-x-1-y0",
    "garbage": "/api/v1/grids/garbage/data",
    "no zoom": "/api/v1/grids/x1-y1",
    "digits of elsewhere": "/api/v1/grids/z12-x١-y١/data",
    "a null": "/api/v1/grids/%00/data",
    "bytes that are no text": "/api/v1/grids/%ff%fe%80/data",
    "a quote": "/api/v1/grids/z12-x1-y1'%20OR%201=1--/data",
    "a path": "/api/v1/grids/..%2f..%2fetc%2fpasswd/data",
    "very long": f"/api/v1/grids/z{'1' * 3000}-x1-y1/data",
    "a tile of zoom 99": "/tiles/readings/99/0/0.mvt",
    "a tile outside": "/tiles/readings/3/8/0.mvt",
    "a tile below": "/tiles/readings/3/0/8.mvt",
    "a negative tile": "/tiles/readings/3/0/-1.mvt",
    "a negative zoom": "/tiles/readings/-1/0/0.mvt",
    "a tile of words": "/tiles/readings/a/b/c.mvt",
    "a tile of a huge number": f"/tiles/readings/3/0/{'9' * 400}.mvt",
    "a tile of another kind": "/tiles/readings/3/0/0.png",
    "no box": "/api/v1/clusters",
    "half a box": "/api/v1/clusters?minLat=1&maxLat=2",
    "a box upside down": "/api/v1/clusters?minLat=2&maxLat=1&minLng=1&maxLng=2&gridSize=1",
    "a box from east to west": "/api/v1/clusters?minLat=1&maxLat=2&minLng=2&maxLng=1&gridSize=1",
    "a box of NaN": "/api/v1/clusters?minLat=nan&maxLat=2&minLng=1&maxLng=2&gridSize=1",
    "an endless box": "/api/v1/clusters?minLat=1&maxLat=inf&minLng=1&maxLng=2&gridSize=1",
    "a box beyond the pole": "/api/v1/clusters?minLat=1&maxLat=91&minLng=1&maxLng=2&gridSize=1",
    "a box of words": "/api/v1/clusters?minLat=a&maxLat=b&minLng=c&maxLng=d&gridSize=1",
    "cells of nothing": "/api/v1/clusters?minLat=1&maxLat=2&minLng=1&maxLng=2&gridSize=0",
    "negative cells": "/api/v1/clusters?minLat=1&maxLat=2&minLng=1&maxLng=2&gridSize=-1",
    "cells of NaN": "/api/v1/clusters?minLat=1&maxLat=2&minLng=1&maxLng=2&gridSize=nan",
    "a huge box": "/api/v1/grids/bounds?minLat=-80&maxLat=80&minLng=-180&maxLng=180&zoom=18",
    "a box at zoom 19": "/api/v1/grids/bounds?minLat=1&maxLat=1&minLng=1&maxLng=1&zoom=19",
    "a box at zoom -1": "/api/v1/grids/bounds?minLat=1&maxLat=1&minLng=1&maxLng=1&zoom=-1",
    "a box east of 180": "/api/v1/grids/bounds?minLat=1&maxLat=1&minLng=1&maxLng=181&zoom=1",
    "a box of NaN rows": "/api/v1/grids/bounds?minLat=nan&maxLat=1&minLng=1&maxLng=2&zoom=1",
    "nothing": "/api/v1/nothing",
    "no page": "/nowhere/at/all.html",
    "a page above": "/..%2f..%2f..%2fetc/passwd",
    "no sensor": "/api/v1/sensors/nobody",
}


@pytest.mark.parametrize(
    "address", [pytest.param(address, id=name) for name, address in BAD_READS.items()]
)
def test_a_bad_read_is_refused_readably(server: NodeProcess, address: str) -> None:
    assert_is_error(server.client.get(address), 400, 404, 422)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("read", [*addresses(spot_number(0)), "status"])
def test_another_method_is_not_allowed(server: NodeProcess, method: str, read: str) -> None:
    address = (addresses(spot_number(0)) | {"status": "/api/v1/status"})[read]
    answer = server.client.request(method, address)
    assert_is_error(answer, 405)
    assert "GET" in answer.headers["Allow"]


def test_the_ingest_door_cannot_be_read(server: NodeProcess) -> None:
    answer = server.client.get("/api/v1/data/ingest")
    assert_is_error(answer, 405)
    assert "POST" in answer.headers["Allow"]


junk = st.text(max_size=30) | st.from_regex(r"\Az-?[0-9]{1,8}-x-?[0-9]{1,8}-y-?[0-9]{1,8}\Z")


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk, st.sampled_from(["/api/v1/grids/{}/data", "/api/v1/grids/{}", "/tiles/readings/{}"]))
def test_no_address_makes_the_node_fail(server: NodeProcess, words: str, form: str) -> None:
    try:
        address = form.format(quote(words, safe=""))
    except UnicodeEncodeError:
        return  # half a character cannot be sent
    answer = server.client.get(address)
    if answer.status_code != 200:
        assert_is_error(answer, 400, 404, 422)


def test_the_node_describes_its_interface(server: NodeProcess) -> None:
    described = server.client.get("/schema/openapi.json").json()
    assert described["openapi"].startswith("3.")
    paths = set(described["paths"])
    assert {"/api/v1/data/ingest", "/api/v1/clusters", "/api/v1/grids/bounds"} <= paths
    assert server.client.get("/schema").status_code == 200
