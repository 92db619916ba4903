"""Devices without a token at a running node: held, listed, claimed, believed or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.http.sending import assert_is_error, stored, stored_of
from tests.processes import NodeProcess
from urbanos_edge.api.inbox import Claim

PLACE = ("--lat", "60.161", "--lng", "24.951")


def push(
    node: NodeProcess, chip: str, pm25: float, come_from: str = "127.0.0.1", **more: Any
) -> httpx.Response:
    """One message of an airRohr unit, sent from an address of this machine's own."""
    message = {
        "esp8266id": chip,
        "software_version": "NRZ-2024-135",
        "sensordatavalues": [{"value_type": "SDS_P2", "value": str(pm25)}],
    }
    # Without TLS: its context alone takes 20 ms.
    transport = httpx.HTTPTransport(verify=False, local_address=come_from)
    with httpx.Client(transport=transport) as client:
        return client.post(f"{node.url}/data.php", json=message, **more)


def inbox(node: NodeProcess) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = node.ask("inbox")
    return listed


def test_a_unit_is_heard_claimed_and_believed_from_its_address(
    start_node: Callable[..., NodeProcess],
) -> None:
    node = start_node(flush_interval_s=3600)
    assert push(node, "1", 4.0).status_code == 200
    assert push(node, "1", 6.0, "127.0.0.9").status_code == 200
    [unknown] = json.loads(node.run("inbox", "list", "--json").stdout)
    assert (unknown["sender"], unknown["protocol"]) == ("esp8266-1", "airrohr")
    assert (unknown["address"], unknown["messages"], unknown["kept"]) == ("127.0.0.9", 2, 2)
    assert unknown["last"]["values"]["pm25"] == 6.0
    assert inbox(node) == [unknown]
    told = node.run("inbox", "list").stdout
    for bound in ("500 senders", "1,000 candidates", "256 KiB"):
        assert bound in told
    claimed = node.run(
        "inbox", "claim", "esp8266-1", "--name", "Harbour", *PLACE, "--rule", "address"
    )
    assert claimed.stdout == ""
    assert "2 readings imported" in claimed.stderr
    assert push(node, "1", 8.0, "127.0.0.9").status_code == 200
    assert_is_error(push(node, "1", 500.0), 403)
    assert stored_of(node, "esp8266-1", "pm25, lat, lng") == [
        (pm25, 60.161, 24.951) for pm25 in (4.0, 6.0, 8.0)
    ]
    shown = node.run("sensor", "show", "esp8266-1").stdout
    for word in ("Harbour", "address 127.0.0.9/32", "refused 1, last from 127.0.0.1"):
        assert word in shown
    assert node.client.get("/api/v1/sensors/esp8266-1").json()["rule"] == "address"
    [listed] = node.client.get("/api/v1/sensors").json()["sensors"]
    assert listed["rule"] == "address"
    assert "127.0.0.9" not in node.client.get("/api/v1/sensors/esp8266-1").text


def test_what_is_held_outlives_a_crash_right_after_the_answer(
    start_node: Callable[..., NodeProcess],
) -> None:
    node = start_node(flush_interval_s=3600)
    token = node.token()
    for number in range(20):
        assert push(node, "1", float(number)).status_code == 200
    answer = node.post({"sensor_id": "placeless", "values": {"pm25": 5}}, token)
    assert (answer.status_code, answer.json()["gridId"]) == (202, None)
    assert "inbox" in answer.json()["message"]
    node.kill()
    node = start_node(flush_interval_s=3600)
    assert {one["sender"]: one["kept"] for one in inbox(node)} == {"esp8266-1": 20, "placeless": 1}
    node.run("inbox", "claim", "esp8266-1", *PLACE, "--rule", "open")
    node.kill()
    node = start_node(flush_interval_s=3600)
    found = stored_of(node, "esp8266-1")
    assert found == [(float(number),) for number in range(20)]


def test_a_batch_tells_how_much_is_held(server: NodeProcess, gateway: str) -> None:
    batch = [
        {"sensor_id": "held-1", "values": {"pm25": 5}},
        {"sensor_id": "placed-1", "location": {"lat": 1, "lng": 2}, "values": {"pm25": 5}},
        {"sensor_id": "held-2", "values": {"pm25": 5}},
    ]
    answer = server.post(batch, gateway)
    assert answer.status_code == 202
    assert answer.json() == {
        "success": True,
        "accepted": 1,
        "duplicates": 0,
        "rejected": [],
        "held": 2,
    }
    assert server.post(batch[:1], gateway).json()["held"] == 1


def test_who_registers_a_sensor_is_told_what_waits_of_it(server: NodeProcess, gateway: str) -> None:
    server.post({"sensor_id": "early", "values": {"pm25": 5}}, gateway)
    added = server.run("sensor", "add", "early", "--lat", "60.1", "--lng", "24.9")
    assert "1 readings of that name wait in the inbox: inbox claim early" in added.stderr
    refused = server.run("inbox", "ignore", "early", check=False)
    assert "claim it to take what waits of it" in refused.stderr
    server.run("inbox", "claim", "early")
    assert stored_of(server, "early") == [(5.0,)]


def test_a_claim_gives_a_token_that_opens_the_door_for_this_sensor_only(
    server: NodeProcess,
) -> None:
    push(server, "21", 4.0)
    claimed = server.run("inbox", "claim", "esp8266-21", "--sensor", "pier", *PLACE)
    token = claimed.stdout.strip()
    bearer = {"Authorization": f"Bearer {token}"}
    assert push(server, "21", 5.0, headers=bearer).status_code == 200
    assert push(server, "21", 6.0, auth=("any", token)).status_code == 200
    assert_is_error(push(server, "21", 7.0), 403)
    assert_is_error(push(server, "22", 7.0, headers=bearer), 403)
    assert stored_of(server, "pier") == [(4.0,), (5.0,), (6.0,)]
    assert stored(server.data_dir, "*", "WHERE sensor_id LIKE 'esp8266-2%'") == []


def test_a_sensors_token_is_rotated(server: NodeProcess) -> None:
    server.run("sensor", "add", "roof", "--name", "Roof", *PLACE)
    first = server.run("sensor", "token", "roof").stdout.strip()
    reading = {"values": {"pm25": 5}}
    assert server.post(reading, first).status_code == 202
    rotated = server.run("sensor", "token", "roof", "--rotate")
    assert_is_error(server.post(reading, first), 401)
    assert server.post(reading, rotated.stdout.strip()).status_code == 202
    shown = json.loads(server.run("sensor", "show", "roof", "--json").stdout)
    assert len(shown["tokens"]) == 1


def test_a_sensor_is_named_moved_and_removed_by_command(server: NodeProcess) -> None:
    server.run("sensor", "add", "yard", *PLACE)
    server.run("sensor", "rename", "yard", "The yard")
    server.run("sensor", "move", "yard", "--lat", "60.2", "--lng", "25.0")
    shown = json.loads(server.run("sensor", "show", "yard", "--json").stdout)
    assert (shown["name"], shown["lat"], shown["lng"]) == ("The yard", 60.2, 25.0)
    server.run("sensor", "remove", "yard")
    for words in (("show", "yard"), ("remove", "yard"), ("token", "yard")):
        ended = server.run("sensor", *words, check=False)
        assert ended.returncode == 1
        assert "there is no sensor 'yard'" in ended.stderr
    assert_is_error(server.client.get("/api/v1/sensors/yard"), 404)


def test_operators_claim_and_ignore_over_http(server: NodeProcess, gateway: str) -> None:
    push(server, "31", 4.0)
    push(server, "32", 4.0)
    operator = {"Authorization": f"Bearer {server.token('operator')}"}
    ask = server.client
    for headers, status in (({}, 401), ({"Authorization": f"Bearer {gateway}"}, 403)):
        assert_is_error(ask.get("/api/v1/inbox", headers=headers), status)
        for path in ("claim", "ignore"):
            body = {"sender": "esp8266-31"}
            answer = ask.post(f"/api/v1/inbox/{path}", json=body, headers=headers)
            assert_is_error(answer, status)
    listed = ask.get("/api/v1/inbox", headers=operator).json()
    assert {"esp8266-31", "esp8266-32"} <= {one["sender"] for one in listed["senders"]}
    assert listed["limits"]["senders"] == 500
    wanted = {"sender": "esp8266-31", "lat": 60.16, "lng": 24.95, "rule": "basic", "user": "u"}
    claimed = ask.post("/api/v1/inbox/claim", json=wanted, headers=operator)
    assert claimed.status_code == 200, claimed.text
    assert claimed.json()["imported"] == 1
    assert msgspec.convert(claimed.json(), Claim, strict=True).source.refused is None
    for told, moment in (("sensor", "registered_at"), ("source", "claimed_at")):
        assert datetime.fromisoformat(claimed.json()[told][moment]).tzinfo is not None
    assert push(server, "31", 5.0, auth=("u", claimed.json()["secret"])).status_code == 200
    assert_is_error(push(server, "31", 5.0, auth=("u", "wrong")), 403)
    ignored = ask.post("/api/v1/inbox/ignore", json={"sender": "esp8266-32"}, headers=operator)
    assert ignored.status_code == 200
    assert push(server, "32", 5.0).status_code == 200
    listed = ask.get("/api/v1/inbox", headers=operator).json()
    assert {"esp8266-31", "esp8266-32"}.isdisjoint(one["sender"] for one in listed["senders"])
    assert "esp8266-32" in listed["ignored"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"sender": "nobody"}, "not_found"),
        ({"sender": "esp8266-41"}, "place_missing"),
        ({"sender": "esp8266-41", "lat": 91, "lng": 0}, None),
        ({"sender": "esp8266-41", "lat": 0, "lng": 0, "rule": "hope"}, None),
        ({"sender": "esp8266-41", "lat": 0, "lng": 0, "nmae": "x"}, None),
        ({"sender": "esp8266-41", "lat": 0, "lng": 0, "sensor": "a\nb"}, None),
        ({}, None),
    ],
)
def test_a_claim_that_cannot_be_is_refused_in_words(
    server: NodeProcess, body: dict[str, Any], code: str | None
) -> None:
    push(server, "41", 4.0)
    operator = {"Authorization": f"Bearer {server.token('operator')}"}
    answer = server.client.post("/api/v1/inbox/claim", json=body, headers=operator)
    error = assert_is_error(answer, 400, 404, 422)
    assert code is None or error["code"] == code


def test_an_unknown_token_is_refused_and_nothing_is_held(server: NodeProcess) -> None:
    for headers in ({"Authorization": "Bearer uoe_wrong"}, {"Authorization": "Token uoe_wrong"}):
        assert_is_error(push(server, "51", 4.0, headers=headers), 401)
    assert_is_error(push(server, "51", 4.0, auth=("x", "uoe_wrong")), 401)
    assert "esp8266-51" not in {one["sender"] for one in inbox(server)}


def test_the_status_counts_what_waits(server: NodeProcess) -> None:
    before = server.status()
    push(server, "61", 4.0)
    push(server, "61", 4.0)
    after = server.status()
    assert after["inbox"]["senders"] == before["inbox"]["senders"] + 1
    assert after["inbox"]["candidates"] == before["inbox"]["candidates"] + 2
    assert after["totals"]["held"] == before["totals"].get("held", 0) + 2
    server.flush()


def test_what_is_nearby_is_shown_to_operators_only(server: NodeProcess) -> None:
    path = "/api/v1/discovered"
    assert_is_error(server.client.get(path), 401)
    for scope, status in (("gateway", 403), ("operator", 200)):
        headers = {"Authorization": f"Bearer {server.token(scope)}"}
        assert server.client.get(path, headers=headers).status_code == status
    nobody = {"here": 0, "known": 0, "turned_away": 0}
    assert server.client.get(path, headers=headers).json() == {
        "devices": [],
        "limit": 200,
        **nobody,
    }
    assert server.status()["discovered"] == nobody
    assert json.loads(server.run("inbox", "nearby", "--json").stdout) == []


def test_an_archive_without_places_is_told_to_wait_in_the_inbox(
    server: NodeProcess, tmp_path: Path
) -> None:
    archive = tmp_path / "archive.ndjson"
    rows = [
        {"sensor_id": "nowhere", "timestamp": f"2026-11-20T08:0{n}:00Z", "values": {"pm25": n}}
        for n in range(3)
    ]
    archive.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ended = server.run("replay", str(archive), "--speed", "max")
    assert "inbox for want of a place: 3" in ended.stdout + ended.stderr
    server.run("inbox", "claim", "nowhere", *PLACE)
    assert stored_of(server, "nowhere") == [(0.0,), (1.0,), (2.0,)]
