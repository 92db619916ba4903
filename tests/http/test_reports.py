"""User reports of a real node: sent without a token, looked at, shown as a layer apart."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from click.testing import CliRunner, Result

from tests.http.listening import listening
from tests.http.sending import Spot, assert_is_error, box_around, now_us, reading, send
from tests.processes import NodeProcess
from urbanos_edge.cli import main
from urbanos_edge.clock import to_rfc3339

PATH: Final = "/api/v1/reports"
Report = dict[str, Any]
_hosts = itertools.count(2)


@pytest.fixture
def stranger(server: NodeProcess) -> Iterator[httpx.Client]:
    """A client with an address of its own on the loopback network, so with all its reports."""
    address = f"127.0.0.{next(_hosts)}"
    transport = httpx.HTTPTransport(local_address=address, verify=False)  # plain HTTP; quicker
    with httpx.Client(base_url=server.url, transport=transport, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def operator(server: NodeProcess) -> dict[str, str]:
    """The header of somebody who decides."""
    return {"Authorization": f"Bearer {server.token('operator')}"}


def report(spot: Spot, **more: Any) -> Report:
    return {"lat": spot.lat, "lng": spot.lng, "kind": "burning", **more}


def sent(stranger: httpx.Client, spot: Spot, **more: Any) -> Report:
    answer = stranger.post(PATH, json=report(spot, **more))
    assert answer.status_code == 202, answer.text
    kept: Report = answer.json()
    return kept


def decide(server: NodeProcess, headers: dict[str, str], number: int, word: str) -> httpx.Response:
    return server.client.post(f"{PATH}/{number}/{word}", headers=headers)


def around(spot: Spot) -> dict[str, str]:
    """The query for what lies around a spot."""
    box = box_around(spot, 0.01)
    return {"bbox": ",".join(str(box[edge]) for edge in ("minLng", "minLat", "maxLng", "maxLat"))}


def listed(server: NodeProcess, spot: Spot, headers: dict[str, str], **query: str) -> list[Report]:
    answer = server.client.get(PATH, params={**around(spot), **query}, headers=headers)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["count"] == len(found["reports"])
    reports: list[Report] = found["reports"]
    return reports


def test_a_report_waits_until_it_is_approved_and_is_gone_when_rejected(
    server: NodeProcess, stranger: httpx.Client, operator: dict[str, str], spot: Spot
) -> None:
    kept = sent(stranger, spot, note="tyres, <script>alert(1)</script>", at="2026-11-01T10:00:00Z")
    since = {"from": "2026-11-01"}
    number = kept["id"]
    assert (kept["state"], kept["decided_at"]) == ("pending", None)
    assert listed(server, spot, {}, **since) == []
    [waiting] = listed(server, spot, operator)
    assert waiting == kept
    assert decide(server, operator, number, "approve").json()["state"] == "approved"
    [shown] = listed(server, spot, {}, **since)
    assert shown == {
        "id": number,
        "kind": "burning",
        "note": "tyres, <script>alert(1)</script>",
        "lat": round(spot.lat, 3),
        "lng": round(spot.lng, 3),
        "at": "2026-11-01T10:00:00Z",
    }
    assert decide(server, operator, number, "reject").json()["state"] == "rejected"
    assert listed(server, spot, {}, **since) == []
    assert listed(server, spot, operator) == []
    [rejected] = listed(server, spot, operator, state="rejected")
    assert rejected["id"] == number


def test_everybody_sees_the_last_seven_days_where_no_beginning_is_named(
    server: NodeProcess, stranger: httpx.Client, operator: dict[str, str], spot: Spot
) -> None:
    day_us = 86_400_000_000
    moments = [now_us() - days * day_us for days in (6, 8)]
    young, old = (sent(stranger, spot, at=to_rfc3339(at_us))["id"] for at_us in moments)
    for number in (young, old):
        decide(server, operator, number, "approve")
    assert [one["id"] for one in listed(server, spot, {})] == [young]
    earlier = to_rfc3339(now_us() - 9 * day_us)
    assert [one["id"] for one in listed(server, spot, {}, **{"from": earlier})] == [young, old]
    until = to_rfc3339(moments[0])
    assert [one["id"] for one in listed(server, spot, {}, **{"from": earlier, "to": until})] == [
        old
    ]


def test_reports_are_points_for_a_map(
    server: NodeProcess, stranger: httpx.Client, operator: dict[str, str], spot: Spot
) -> None:
    """RFC 7946: longitude first."""
    number = sent(stranger, spot, note="grey")["id"]
    decide(server, operator, number, "approve")
    answer = server.client.get(PATH, params={**around(spot), "format": "geojson"})
    assert answer.headers["content-type"] == "application/geo+json"
    assert answer.json()["type"] == "FeatureCollection"
    [feature] = answer.json()["features"]
    place = {"type": "Point", "coordinates": [round(spot.lng, 3), round(spot.lat, 3)]}
    assert (feature["type"], feature["id"], feature["geometry"]) == ("Feature", number, place)
    assert feature["properties"].keys() == {"id", "kind", "note", "at"}
    tag = {"If-None-Match": answer.headers["etag"]}
    again = server.client.get(PATH, params={**around(spot), "format": "geojson"}, headers=tag)
    assert again.status_code == 304
    deciding = server.client.get(PATH, params={"format": "geojson"}, headers=operator)
    assert deciding.headers["content-type"] == "application/geo+json"


def test_nobody_decides_without_the_right_token(
    server: NodeProcess, stranger: httpx.Client, gateway: str, spot: Spot
) -> None:
    number = sent(stranger, spot)["id"]
    assert_is_error(decide(server, {}, number, "approve"), 401)
    writer = {"Authorization": f"Bearer {gateway}"}
    assert_is_error(decide(server, writer, number, "approve"), 403)
    assert listed(server, spot, writer) == [], "who may write readings reads as everybody does"
    for state in ("pending", "rejected"):
        assert_is_error(server.client.get(PATH, params={"state": state}), 401)
    unknown = {"Authorization": "Bearer uoe_nonsense"}
    assert_is_error(server.client.get(PATH, headers=unknown), 401)
    basic = {"Authorization": "Basic b2ZmaWNlOnNlY3JldA=="}
    assert listed(server, spot, basic) == [], "what a proxy in front asks for is none of ours"


def test_what_is_not_there_is_not_decided(server: NodeProcess, operator: dict[str, str]) -> None:
    for number in (0, 999_999, 1 << 70):
        assert_is_error(decide(server, operator, number, "approve"), 404)


def test_an_operator_is_never_given_what_was_kept_for_everybody(
    server: NodeProcess, stranger: httpx.Client, operator: dict[str, str], spot: Spot
) -> None:
    listed(server, spot, {})
    number = sent(stranger, spot)["id"]
    assert [one["id"] for one in listed(server, spot, operator)] == [number]
    assert listed(server, spot, {}) == []
    for headers, kept in (({}, "public"), (operator, "no-store")):
        answer = server.client.get(PATH, params=around(spot), headers=headers)
        assert answer.headers["cache-control"].startswith(kept)
    public = server.client.get(PATH, params=around(spot))
    assert "Authorization" in public.headers["vary"]


def test_an_address_sends_ten_an_hour_and_harms_no_other(
    server: NodeProcess, stranger: httpx.Client, spot: Spot
) -> None:
    """One comes back every six minutes."""
    for _ in range(10):
        sent(stranger, spot)
    refused = stranger.post(PATH, json=report(spot))
    assert_is_error(refused, 429)
    assert 300 < int(refused.headers["retry-after"]) <= 360
    assert server.client.post(PATH, json=report(spot)).status_code == 202


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_what_a_form_of_another_site_could_send_is_refused(
    stranger: httpx.Client, spot: Spot, media_type: str
) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    body = json.dumps(report(spot)).encode()
    assert_is_error(stranger.post(PATH, content=body, headers=headers), 415)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"smoke!", 400),
        (b'{"lat":60.1,"lng":24.9,"kind":"smoke"', 400),
        (b"[" * 100_000, 422),
        (b'{"lat":60.1,"lng":24.9,"kind":"smoke","note":"\\ud800"}', 400),
        (b'{"lat":1e999,"lng":24.9,"kind":"smoke"}', 422),
        (b'{"lat":60.1,"lng":24.9}', 422),
        (b'{"lat":60.1,"lng":24.9,"kind":"smoke","at":"9999-12-31T23:59:59Z"}', 422),
        (b'{"lat":60.1,"lng":24.9,"kind":"smoke","at":"0001-01-01T00:00:00Z"}', 422),
        (b'{"note":"' + b"x" * (1 << 20) + b'"}', 413),
    ],
)
def test_bad_reports_are_told_apart(stranger: httpx.Client, body: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json"}
    assert_is_error(stranger.post(PATH, content=body, headers=headers), status)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"from": "yesterday"}, 422),
        ({"from": "2026-11-02", "to": "2026-11-01"}, 422),
        ({"bbox": "1,2,3"}, 422),
        ({"bbox": "10,0,5,1"}, 422),
        ({"limit": "0"}, 400),
        ({"limit": "10001"}, 400),
        ({"format": "kml"}, 400),
        ({"state": "secret"}, 400),
    ],
)
def test_bad_questions_are_refused(server: NodeProcess, query: dict[str, str], status: int) -> None:
    assert_is_error(server.client.get(PATH, params=query), status)


def test_who_follows_the_grid_hears_of_it(
    server: NodeProcess,
    stranger: httpx.Client,
    operator: dict[str, str],
    spot: Spot,
    other_spot: Spot,
) -> None:
    grids = {spot.at_zoom(9), spot.grid_id}
    with listening(server, *grids) as near, listening(server, other_spot.grid_id) as far:
        number = sent(stranger, spot, note="sweet")["id"]
        assert near.heard_until_now() == [], "nobody has looked at it yet"
        decide(server, operator, number, "approve")
        decide(server, operator, number, "approve")
        [shown] = listed(server, spot, {})
        news = near.heard_until_now()
        assert {frame["gridId"] for frame in news} == grids
        assert len(news) == len(grids), "once for each grid, however often it is approved"
        assert all(
            (frame["type"], frame["event"], frame["report"]) == ("report", "approved", shown)
            for frame in news
        )
        decide(server, operator, number, "reject")
        assert {frame["event"] for frame in near.heard_until_now()} == {"withdrawn"}
        assert far.heard_until_now() == []


def test_no_report_reaches_a_tile_a_cluster_an_average_or_an_export(
    server: NodeProcess,
    stranger: httpx.Client,
    gateway: str,
    operator: dict[str, str],
    spot: Spot,
) -> None:
    """What is measured answers the same bytes, under the same tags, before and after."""
    send(server, gateway, reading(spot, "measured"), reading(spot, "beside"))
    _, x, y = spot.at_zoom(14).split("-")
    box = box_around(spot, 0.01)
    asked: list[tuple[str, dict[str, Any]]] = [
        (f"/tiles/readings/14/{x[1:]}/{y[1:]}.mvt", {}),
        ("/api/v1/clusters", box),
        (f"/api/v1/grids/{spot.grid_id}", {}),
        (f"/api/v1/grids/{spot.grid_id}/data", {}),
        ("/api/v1/grids/bounds", {**box, "zoom": 12}),
        ("/api/v1/sensors/measured", {}),
        ("/api/v1/export", {"from": "2026-11-01", **around(spot)}),
    ]

    def measured() -> list[tuple[str | None, bytes]]:
        answers = [server.client.get(path, params=query) for path, query in asked]
        assert [answer.status_code for answer in answers] == [200] * len(asked)
        assert all(answer.content for answer in answers)
        return [(answer.headers.get("etag"), answer.content) for answer in answers]

    before = measured()
    decide(server, operator, sent(stranger, spot, kind="smoke")["id"], "approve")
    assert len(listed(server, spot, {})) == 1
    assert measured() == before


def test_what_waits_is_counted(
    server: NodeProcess, stranger: httpx.Client, operator: dict[str, str], spot: Spot
) -> None:
    def pending() -> tuple[int, str]:
        lines = server.client.get("/metrics").text.splitlines()
        (gauge,) = (line for line in lines if line.startswith("urbanos_reports_pending "))
        return server.status()["reports"]["pending"], gauge

    before = pending()[0]
    number = sent(stranger, spot)["id"]
    assert pending() == (before + 1, f"urbanos_reports_pending {before + 1}.0")
    decide(server, operator, number, "approve")
    assert pending()[0] == before


def command(server: NodeProcess, *words: str) -> Result:
    """A command of the command line, asked of the running node."""
    return CliRunner().invoke(main, ["report", *words, "--data-dir", str(server.data_dir)])


def test_reports_are_decided_by_command(
    server: NodeProcess, stranger: httpx.Client, spot: Spot
) -> None:
    first, second = (sent(stranger, spot, note=note)["id"] for note in ("first", "second"))
    waiting = json.loads(command(server, "list", "--state", "pending", "--json").stdout)
    assert {first, second} <= {one["id"] for one in waiting}
    approved = command(server, "approve", str(first), str(second), "--json")
    assert [(one["id"], one["state"]) for one in json.loads(approved.stdout)] == [
        (first, "approved"),
        (second, "approved"),
    ]
    assert [one["id"] for one in listed(server, spot, {})] == [second, first]
    assert command(server, "reject", str(second)).exit_code == 0
    assert [one["note"] for one in listed(server, spot, {})] == ["first"]
    assert "second" in command(server, "list", "--state", "rejected").stdout
    unknown = command(server, "approve", "999999")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert unknown.stderr == "urbanos-edge: there is no report 999999; see 'report list'\n"
