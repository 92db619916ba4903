"""`/ws`: who follows a grid hears of every change in it, the urgent ones at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.http.listening import (
    UPGRADE,
    Client,
    listening,
    masked,
    narrow_link,
    raw_listener,
    sensors_of,
)
from tests.http.sending import (
    INDEX_OF_PM25,
    SECOND_US,
    Spot,
    now_us,
    reading,
    send,
    taking,
)
from tests.processes import NodeProcess

# --- updates ---


def test_a_flush_tells_each_grid_what_came_in(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    """Grids of all zooms at once, the whole world among them."""
    grids = [spot.at_zoom(zoom) for zoom in range(19)]
    sent = [
        reading(spot, f"heard-{n}", values={"pm25": pm25}) for n, pm25 in enumerate(INDEX_OF_PM25)
    ]
    indexes = list(INDEX_OF_PM25.values())
    with listening(server, *grids) as client:
        send(server, gateway, *sent)
        frames = [client.hear() for _ in grids]
    assert {frame["gridId"] for frame in frames} == set(grids)
    for frame in frames:
        assert frame["type"] == "grid-update"
        assert frame["data"]["count"] == len(indexes)
        assert frame["data"]["avgAqi"] == pytest.approx(sum(indexes) / len(indexes), abs=0.01)
        assert frame["data"]["maxAqi"] == max(indexes)
        assert sensors_of(frame) == {each["sensor_id"] for each in sent}


def test_frames_are_numbered_for_the_whole_node(
    server: NodeProcess, gateway: str, spot: Spot, other_spot: Spot
) -> None:
    rfc3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
    before = server.status()["seq"]
    with listening(server, spot.grid_id) as one, listening(server, other_spot.grid_id) as other:
        send(server, gateway, reading(spot, "n1"))
        send(server, gateway, reading(other_spot, "n2"))
        send(server, gateway, reading(spot, "n3"))
        frames = [one.hear(), other.hear(), one.hear()]
    assert [frame["seq"] for frame in frames] == sorted({frame["seq"] for frame in frames})
    assert frames[0]["seq"] > before
    assert {frame["boot"] for frame in frames} == {server.status()["boot"]}
    for frame in frames:
        assert rfc3339.fullmatch(frame["timestamp"])
        assert rfc3339.fullmatch(frame["data"]["timestamp"])


def test_an_update_shows_the_latest_reading_of_each_sensor(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    end_us = now_us()
    older = reading(spot, "twice", end_us - SECOND_US, values={"pm25": 9.0})
    newer = reading(spot, "twice", end_us, values={"pm25": 35.4})
    with listening(server, spot.grid_id) as client:
        send(server, gateway, newer, older)
        update = client.hear()["data"]
    (row,) = update["readings"]
    assert (row["pm25"], row["aqi_value"], row["grid_id"]) == (35.4, 100, spot.grid_id)
    assert (update["count"], update["avgAqi"], update["maxAqi"]) == (2, (50 + 100) / 2, 100)
    assert not update.get("truncated", False)


def test_an_update_shows_at_most_100_sensors_and_says_so(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    with listening(server, spot.grid_id) as client:
        send(server, gateway, *[reading(spot, f"full-{n}") for n in range(100)])
        full = client.hear()["data"]
        send(server, gateway, *[reading(spot, f"over-{n}") for n in range(101)])
        over = client.hear()["data"]
    assert (full["count"], len(full["readings"])) == (100, 100)
    assert not full.get("truncated", False)
    assert (over["count"], len(over["readings"]), over["truncated"]) == (101, 100, True)


def test_one_grid_may_be_named_alone(server: NodeProcess, gateway: str, spot: Spot) -> None:
    with listening(server) as client:
        client.say("subscribe-grid", gridId=spot.grid_id)
        assert client.heard_until_now() == []
        send(server, gateway, reading(spot, "single"))
        assert client.hear()["gridId"] == spot.grid_id


def test_nobody_hears_of_other_grids_or_of_those_left(
    server: NodeProcess, gateway: str, spot: Spot, other_spot: Spot
) -> None:
    with listening(server, spot.grid_id, other_spot.grid_id) as client:
        client.say("unsubscribe-grid", gridId=other_spot.grid_id)
        assert client.heard_until_now() == []
        send(server, gateway, reading(spot, "stay"), reading(other_spot, "gone"))
        assert client.hear()["gridId"] == spot.grid_id
        send(server, gateway, reading(other_spot, "gone-too"))
        assert client.heard_until_now() == []


def test_what_is_known_already_is_no_news(server: NodeProcess, gateway: str, spot: Spot) -> None:
    sent = reading(spot, "stale")
    send(server, gateway, sent)
    with listening(server, spot.grid_id) as client:
        send(server, gateway, sent)
        assert client.heard_until_now() == []


# --- what clients get wrong ---

BAD_FRAMES = {
    "no JSON": "garbage",
    "nothing": "",
    "an array": "[]",
    "a number": "1",
    "no type": "{}",
    "a number for a type": '{"type":5}',
    "an unknown type": '{"type":"launch"}',
    "no grid": '{"type":"subscribe-grid"}',
    "a number for a grid": '{"type":"subscribe-grid","gridId":5}',
    "a text for grids": '{"type":"subscribe-grid","gridIds":"z1-x0-y0"}',
    "zoom 99": '{"type":"subscribe-grid","gridId":"z99-x-1-y0"}',
    "a tile out of range": '{"type":"subscribe-grid","gridId":"z1-x2-y0"}',
    "garbage for a grid": '{"type":"unsubscribe-grid","gridId":"\\u0000"}',
    "half a character": '{"type":"subscribe-grid","gridId":"\\ud800"}',
    "a text for seq": '{"type":"resume","seq":"1","boot":"x"}',
    "a huge seq": '{"type":"resume","seq":1e999,"boot":"x"}',
    "deep nesting": '{"type":"ping","more":' + "[" * 20_000 + "]" * 20_000 + "}",
    "many grids": json.dumps(
        {"type": "subscribe-grid", "gridIds": [f"z18-x{n}-y0" for n in range(3000)]}
    ),
    "a binary frame": b'{"type":"launch"}',
    "a binary frame of noise": b"\x00\xff\xfe",
}


@pytest.mark.parametrize(
    "frame", [pytest.param(text, id=name) for name, text in BAD_FRAMES.items()]
)
def test_a_bad_frame_gets_an_error_and_the_connection_lives(
    server: NodeProcess, gateway: str, spot: Spot, frame: str | bytes
) -> None:
    with listening(server, spot.grid_id) as client:
        client.send(frame)
        answer = client.hear()
        assert answer["type"] == "error", answer
        assert not re.search(r"Traceback|\.py\b|msgspec", json.dumps(answer))
        send(server, gateway, reading(spot, "still"))
        assert client.hear()["gridId"] == spot.grid_id


@pytest.mark.parametrize("size", [70_000, 2_000_000])
def test_a_huge_frame_ends_its_own_connection_only(
    server: NodeProcess, gateway: str, spot: Spot, size: int
) -> None:
    with listening(server, spot.grid_id) as bystander, listening(server) as client:
        try:
            client.send("x" * size)
        except ConnectionClosed:
            pass
        assert client.close_code() == 1009  # RFC 6455 7.4.1: too big to process
        send(server, gateway, reading(spot, "unharmed"))
        assert bystander.hear()["gridId"] == spot.grid_id


def test_who_still_sends_a_huge_frame_hears_why_it_is_refused(server: NodeProcess) -> None:
    frame = masked(0x81, b"x" * 2_000_000)
    with raw_listener(server) as link:
        link.sendall(frame[:100_000])
        farewell = link.recv(1000)
        assert (farewell[:1], farewell[2:4]) == (b"\x88", (1009).to_bytes(2, "big"))
        for at in range(100_000, len(frame), 100_000):
            link.sendall(frame[at : at + 100_000])  # a reset would break it off


def test_bytes_that_are_no_text_end_their_own_connection_only(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    with listening(server, spot.grid_id) as bystander, raw_listener(server) as link:
        link.sendall(masked(0x81, b"\xff\xfe"))
        assert link.recv(100)[:1] == b"\x88"  # a close frame
        send(server, gateway, reading(spot, "unharmed"))
        assert bystander.hear()["gridId"] == spot.grid_id


def test_a_text_may_come_in_pieces_some_of_them_empty(server: NodeProcess) -> None:
    with raw_listener(server) as link:
        link.sendall(masked(0x01, b'{"type":') + masked(0x00, b"") * 100)
        link.sendall(masked(0x00, b'"ping"}') + masked(0x80, b""))
        assert link.recv(100).endswith(b'{"type":"pong"}')


REFUSED = {
    "no HTTP": b"garbage\r\n\r\n",
    "another page's": b"GET /ws HTTP/1.1\r\nOrigin: https://elsewhere.example\r\n",
    "a header that is too long": b"GET /ws HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n",
    "no such place": b"GET /nowhere HTTP/1.1\r\n",
}


@pytest.mark.parametrize("request_line", [pytest.param(v, id=k) for k, v in REFUSED.items()])
def test_what_is_no_web_socket_is_refused_at_once(server: NodeProcess, request_line: bytes) -> None:
    with narrow_link(server) as link:
        link.sendall(request_line + UPGRADE)
        assert link.recv(12) in (b"HTTP/1.1 400", b"HTTP/1.1 403")
        while link.recv(1000):
            pass


def test_who_listens_or_is_refused_leaves_no_line_in_the_log(
    server: NodeProcess, spot: Spot
) -> None:
    before = len(server.log())
    with listening(server, spot.grid_id):
        pass
    for request_line in REFUSED.values():
        with narrow_link(server) as link:
            link.sendall(request_line + UPGRADE)
            while link.recv(1000):
                pass
    assert not re.search(r"127\.0\.0\.1|uvicorn", server.log()[before:])


# --- the express lane ---


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node that flushes only when told: what is heard earlier came by the express lane."""
    node = NodeProcess(tmp_path_factory.mktemp("patient") / "node", {"flush_interval_s": 3600})
    yield node
    node.client.close()
    node.stop()


def urgent(spot: Spot, sensor_id: str, priority: int = 9) -> dict[str, Any]:
    return reading(spot, sensor_id, priority=priority, values={"pm25": 125.4})


@pytest.mark.parametrize("priority", [8, 9, 10])
def test_an_urgent_reading_is_heard_within_a_second(
    patient: NodeProcess, spot: Spot, priority: int
) -> None:
    token = patient.token()
    grids = [spot.grid_id, spot.at_zoom(3), spot.at_zoom(18)]
    with listening(patient, *grids) as client:
        patient.post(urgent(spot, "warm-up"), token)
        for _ in grids:
            client.hear()
        patient_s = taking(lambda: hear_urgent(patient, client, token, spot, priority, len(grids)))
    assert patient_s < 1


def hear_urgent(
    node: NodeProcess, client: Client, token: str, spot: Spot, priority: int, times: int
) -> None:
    assert node.post(urgent(spot, "alarm", priority), token).status_code == 202
    for _ in range(times):
        frame = client.hear()
        assert sensors_of(frame) == {"alarm"}
        assert (frame["data"]["maxAqi"], frame["data"]["avgAqi"]) == (200, 200)


@pytest.mark.parametrize("priority", [1, 5, 7])
def test_what_is_not_urgent_waits_for_the_flush(
    patient: NodeProcess, spot: Spot, priority: int
) -> None:
    token = patient.token()
    with listening(patient, spot.grid_id) as client:
        patient.post(urgent(spot, "calm", priority), token)
        assert client.heard_until_now() == []
        patient.flush()
        assert sensors_of(client.hear()) == {"calm"}


def test_the_eleventh_urgent_reading_of_a_minute_waits_for_the_flush(
    patient: NodeProcess, spot: Spot
) -> None:
    first, second = patient.token(), patient.token()
    with listening(patient, spot.grid_id) as client:
        for n in range(11):
            assert patient.post(urgent(spot, f"u{n}"), first).status_code == 202
        heard = [sensors_of(frame) for frame in client.heard_until_now()]
        assert heard == [{f"u{n}"} for n in range(10)]
        patient.post(urgent(spot, "other-token"), second)
        assert sensors_of(client.hear()) == {"other-token"}
        patient.flush()
        assert sensors_of(client.hear()) >= {"u10"}


def test_an_urgent_reading_shows_at_once_and_counts_with_the_flush(
    patient: NodeProcess, spot: Spot
) -> None:
    token = patient.token()
    patient.post(urgent(spot, "smoke"), token)
    sensor = patient.client.get("/api/v1/sensors/smoke").json()
    assert sensor["latest"]["aqi_value"] == 200
    grid = f"/api/v1/grids/{spot.grid_id}"
    assert patient.client.get(grid).json()["data_count"] == 0
    patient.flush()
    assert patient.client.get(grid).json()["data_count"] == 1
    assert len(patient.client.get(f"{grid}/data").json()) == 1
