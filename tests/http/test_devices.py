"""Devices at their own doors: the answers their firmware wants, and what becomes of a message."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests import devices
from tests.http.sending import (
    Spot,
    assert_is_error,
    reading,
    send,
    stored_of,
)
from tests.processes import NodeProcess

WEATHER = "temperature, humidity, round(pressure, 2)"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A node that knows what a datastream is."""
    settings = {"flush_interval_s": 0.5, "field_map": "pm25=sta-999"}
    process = NodeProcess(tmp_path_factory.mktemp("node"), settings)
    yield process
    process.stop()


@pytest.fixture
def operator(server: NodeProcess) -> str:
    return server.token("operator")


def basic(user: str, password: str) -> dict[str, str]:
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def place(server: NodeProcess, gateway: str, spot: Spot, sensor_id: str) -> None:
    """Register a sensor where it stands, by a reading that says so."""
    send(server, gateway, reading(spot, sensor_id, values={"co": 0.1}))


def measured(server: NodeProcess, sensor_id: str, columns: str) -> list[tuple[Any, ...]]:
    """What is stored of a sensor, without the reading that placed it."""
    rows = stored_of(server, sensor_id, f"co, {columns}")
    return [row[1:] for row in rows if row[0] is None]


def waiting(server: NodeProcess, operator: str) -> dict[str, Any]:
    answer = server.client.get("/api/v1/inbox", headers={"Authorization": f"Bearer {operator}"})
    return {unknown["sender"]: unknown for unknown in answer.json()["senders"]}


def test_an_airrohr_unit_that_nobody_claimed_gets_200_and_waits_in_the_inbox(
    server: NodeProcess, operator: str
) -> None:
    body = devices.AIRROHR.replace(b"12345", b"1000001")
    headers = devices.AIRROHR_HEADERS | {"X-Sensor": "esp8266-1000001"}
    answer = server.client.post("/data.php", content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    unknown = waiting(server, operator)["esp8266-1000001"]
    assert (unknown["protocol"], unknown["messages"]) == ("airrohr", 1)
    assert unknown["last"]["values"]["pm25"] == 4.1


def test_an_airrohr_unit_with_a_token_as_its_password_is_stored(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    place(server, gateway, spot, "esp8266-12345")
    token = server.token("sensor", "esp8266-12345")
    headers = devices.AIRROHR_HEADERS | basic("airrohr", token)
    answer = server.client.post("/data.php", content=devices.AIRROHR, headers=headers)
    assert answer.status_code == 200, answer.text
    (row,) = measured(server, "esp8266-12345", f"pm10, pm25, source, flags, {WEATHER}")
    assert row == (9.3, 4.1, "airrohr", "", 21.4, 47.2, 987.32)


def test_what_a_dead_fan_sends_is_stored_and_flagged(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    place(server, gateway, spot, "esp8266-666")
    headers = devices.AIRROHR_HEADERS | {"X-Sensor": "esp8266-666"} | basic("x", gateway)
    answer = server.client.post("/data.php", content=devices.AIRROHR_DEAD_FAN, headers=headers)
    assert answer.status_code == 200, answer.text
    assert measured(server, "esp8266-666", "pm10, pm25, flags") == [(1999.9, 999.9, "range")]


def test_a_push_to_sensor_community_is_answered_201_chip_by_chip(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    place(server, gateway, spot, "esp8266-2000")
    place(server, gateway, spot, "esp8266-2000-11")
    for pin, body in (("1", devices.PUSHED_PARTICLES), ("11", devices.PUSHED_WEATHER)):
        headers = {"X-Sensor": "esp8266-2000", "X-PIN": pin} | basic("x", gateway)
        answer = server.client.post("/v1/push-sensor-data/", content=body, headers=headers)
        assert answer.status_code == 201, answer.text
    assert measured(server, "esp8266-2000", "pm10, pm25") == [(9.3, 4.1)]
    assert measured(server, "esp8266-2000-11", WEATHER) == [(21.4, 47.2, 987.32)]


def test_another_sensors_token_is_forbidden_at_every_door(server: NodeProcess) -> None:
    token = server.token("sensor", "somebody-else")
    doors = {
        "/data.php": devices.AIRROHR,
        "/sensors/airgradient:ecda3b1eaaaf/measures": devices.AIRGRADIENT_PUSH,
        "/v1.1/Observations": devices.OBSERVATION,
        "/api/v2/write": devices.AIRROHR_LINE,
    }
    for path, body in doors.items():
        headers = {"Authorization": f"Bearer {token}"}
        answer = server.client.post(path, content=body, headers=headers)
        assert answer.status_code == 403, (path, answer.text)


def test_a_token_that_is_none_is_unauthorized_at_every_door(server: NodeProcess) -> None:
    doors = {
        "/data.php": devices.AIRROHR,
        "/v1/push-sensor-data/": devices.AIRROHR,
        "/sensors/airgradient:ecda3b1eaaaf/measures": devices.AIRGRADIENT_PUSH,
        "/v1.1/Observations": devices.OBSERVATION,
        "/write": devices.AIRROHR_LINE,
    }
    for path, body in doors.items():
        headers = {"Authorization": "Bearer uoe_no-such-token"}
        answer = server.client.post(path, content=body, headers=headers)
        assert answer.status_code == 401, (path, answer.text)


def test_an_airgradient_monitor_is_answered_200_and_nothing_else(
    server: NodeProcess, operator: str
) -> None:
    path = "/sensors/airgradient:84fce612eff4/measures"
    headers = {"content-type": "application/json"}
    answer = server.client.post(path, content=devices.AIRGRADIENT_PUSH, headers=headers)
    assert answer.status_code == 200
    assert waiting(server, operator)["airgradient-84fce612eff4"]["protocol"] == "airgradient"


def test_an_airgradient_monitor_at_a_known_place_is_stored(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    place(server, gateway, spot, "airgradient-ecda3b1eaaaf")
    answer = server.client.post(
        "/sensors/airgradient:ecda3b1eaaaf/measures",
        content=devices.AIRGRADIENT_PUSH,
        headers={"Authorization": f"Bearer {gateway}"},
    )
    assert answer.status_code == 200, answer.text
    columns = "pm1, pm25, pm10, temperature, humidity, source"
    assert measured(server, "airgradient-ecda3b1eaaaf", columns) == [
        (3.0, 7.0, 8.0, 25.87, 43.0, "airgradient")
    ]


def test_a_monitor_whose_channels_disagree_is_stored_with_that_flag(
    server: NodeProcess, gateway: str, spot: Spot, operator: str
) -> None:
    """By a token, and by way of the inbox."""
    bearer = {"Authorization": f"Bearer {operator}"}
    place(server, gateway, spot, "airgradient-aa01")
    for serial, headers in (("aa01", {"Authorization": f"Bearer {gateway}"}), ("aa02", {})):
        path = f"/sensors/airgradient:{serial}/measures"
        answer = server.client.post(path, content=devices.AIRGRADIENT_TORN, headers=headers)
        assert answer.status_code == 200, answer.text
    claim = {"sender": "airgradient-aa02", "lat": spot.lat, "lng": spot.lng}
    answer = server.client.post("/api/v1/inbox/claim", json=claim, headers=bearer)
    assert answer.json()["imported"] == 1, answer.text
    for sensor_id in ("airgradient-aa01", "airgradient-aa02"):
        assert measured(server, sensor_id, "pm25, flags") == [(20.0, "channels")]


def test_a_monitor_that_asks_for_its_settings_is_told_to_change_none(server: NodeProcess) -> None:
    answer = server.client.get("/sensors/airgradient:ecda3b1eaaaf/one/config")
    assert (answer.status_code, answer.json()) == (200, {})


def test_an_address_that_is_no_monitors_is_not_found(server: NodeProcess) -> None:
    assert_is_error(server.client.get("/sensors/school-12/one/config"), 404)
    assert_is_error(server.client.post("/sensors/school-12/measures", content=b"{}"), 404)
    assert_is_error(server.client.post("/v1.1/Things(1)/Observations", content=b"{}"), 404)


def test_an_observation_is_created_with_its_location_and_once_however_often_it_is_sent(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    place(server, gateway, spot, "sta-999")
    headers = {"Authorization": f"Bearer {gateway}"}
    for path in ("/v1.1/Observations", "/v1.1/Datastreams(999)/Observations"):
        answer = server.client.post(path, content=devices.OBSERVATION, headers=headers)
        assert answer.status_code == 201, answer.text
        location = answer.headers["location"]
        assert location.startswith(f"{server.url}/v1.1/Observations('")
        assert answer.json()["@iot.selfLink"] == location
    observed = datetime(2020, 10, 11, 10, 13, 14, tzinfo=UTC)
    assert measured(server, "sta-999", "pm25, epoch(timestamp)") == [(49.0, observed.timestamp())]


def test_an_observation_without_a_time_is_of_now(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    place(server, gateway, spot, "sta-998")
    answer = server.client.post(
        "/v1.1/Datastreams(998)/Observations",
        json={"result": 3, "Datastream": {"name": "PM10"}},
        headers={"Authorization": f"Bearer {gateway}"},
    )
    assert answer.status_code == 201, answer.text
    columns = "pm10, epoch(received_at) - epoch(timestamp) BETWEEN -1 AND 1"
    assert measured(server, "sta-998", columns) == [(3.0, True)]


@pytest.mark.parametrize(
    "path",
    [
        "/data.php",
        "/v1/push-sensor-data/",
        "/sensors/airgradient:ecda3b1eaaaf/measures",
        "/v1.1/Observations",
    ],
)
def test_what_is_no_json_is_a_bad_request(server: NodeProcess, path: str) -> None:
    for body in (b"", b"[1]", b'{"esp8266id"', b"\xff"):
        assert_is_error(server.client.post(path, content=body), 400)


def test_a_message_without_a_sender_or_without_a_quantity_is_unprocessable(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    assert_is_error(server.client.post("/data.php", content=b'{"sensordatavalues":[]}'), 422)
    place(server, gateway, spot, "esp8266-3000")
    unit = {"esp8266id": "3000", "sensordatavalues": devices.airrohr_fields(signal="-61")}
    headers = {"Authorization": f"Bearer {gateway}"}
    answer = server.client.post("/data.php", json=unit, headers=headers)
    assert assert_is_error(answer, 422)["code"] == "no_known_quantity"


def test_a_strange_field_is_counted_and_the_rest_is_stored(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    place(server, gateway, spot, "esp8266-4000")
    fields = devices.airrohr_fields(SDS_P1="nan", SDS_P2="4.1", frobnication="7")
    unit = {"esp8266id": "4000", "sensordatavalues": fields}
    headers = {"Authorization": f"Bearer {gateway}"}
    assert server.client.post("/data.php", json=unit, headers=headers).status_code == 200
    assert measured(server, "esp8266-4000", "pm10, pm25") == [(None, 4.1)]
    assert "frobnication" in json.dumps(server.status())


def test_a_body_over_the_limit_is_413_at_every_door(server: NodeProcess) -> None:
    body = b" " * (17 << 20)
    for path in ("/data.php", "/write", "/v1.1/Observations"):
        assert server.client.post(path, content=body).status_code == 413
