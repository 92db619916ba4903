"""Clients of InfluxDB writing to the node: the real one for version 2, and what the others send."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from influxdb_client import InfluxDBClient, Point, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from tests import devices
from tests.http.sending import Spot, reading, send, stored_of
from tests.processes import NodeProcess

COLUMNS = "pm25, pm10, temperature, humidity, source"


@pytest.fixture
def client(server: NodeProcess, gateway: str) -> Iterator[InfluxDBClient]:
    with InfluxDBClient(url=server.url, token=gateway, org="city", timeout=20_000) as made:
        yield made


def point(spot: Spot, sensor_id: str) -> Point:
    made = Point("air")
    made.tag("sensor_id", sensor_id)
    made.field("lat", spot.lat)
    made.field("lon", spot.lng)
    return made


def post(
    server: NodeProcess, path: str, body: bytes, token: str = "", **more: str
) -> httpx.Response:
    headers = {"Authorization": f"Token {token}"} if token else {}
    return server.client.post(path, content=body, headers=headers | more)


def line(spot: Spot, sensor_id: str, fields: str, timestamp: str = "") -> bytes:
    place = f"lat={spot.lat},lon={spot.lng}"
    return f"air,sensor_id={sensor_id},{place} {fields} {timestamp}\n".encode()


def test_influxdb_client_writes_points_that_are_stored(
    server: NodeProcess, client: InfluxDBClient, spot: Spot
) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    written = point(spot, "influx-2").field("pm25", 12.5).field("pm10", 20).field("rh", 41.0)
    with client.write_api(write_options=SYNCHRONOUS) as writer:
        writer.write(bucket="air", record=written.field("temp", "21.5").time(at))
        older = point(spot, "influx-2").field("pm25", 11.0).time(at - timedelta(seconds=60))
        writer.write(bucket="air", record=[older], write_precision=WritePrecision.MS)
    assert stored_of(server, "influx-2", COLUMNS) == [
        (11.0, None, None, None, "line-protocol"),
        (12.5, 20.0, 21.5, 41.0, "line-protocol"),
    ]


def test_influxdb_client_writes_packed_batches_in_the_background(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    began = datetime.now(UTC) - timedelta(minutes=30)
    with InfluxDBClient(server.url, gateway, org="city", enable_gzip=True) as client:
        with client.write_api() as writer:
            for second in range(1500):
                at = began + timedelta(seconds=second)
                record = point(spot, "influx-batch").field("pm25", second / 10).time(at)
                writer.write(bucket="air", record=record)
    assert stored_of(server, "influx-batch", "pm25") == [(n / 10,) for n in range(1500)]


def test_influxdb_client_finds_the_node_healthy(client: InfluxDBClient) -> None:
    assert client.ping()
    assert client.version()
    with pytest.warns(DeprecationWarning):
        assert client.health().status == "pass"


def test_influxdb_client_is_told_which_line_was_bad_and_the_others_are_stored(
    server: NodeProcess, client: InfluxDBClient, spot: Spot
) -> None:
    good = line(spot, "influx-partial", "pm25=3").decode().strip()
    with client.write_api(write_options=SYNCHRONOUS) as writer:
        with pytest.raises(ApiException) as caught:
            writer.write(bucket="air", record=[good, "no line at all"])
    assert caught.value.status == 400
    assert "line 2" in caught.value.message
    assert stored_of(server, "influx-partial") == [(3.0,)]


def test_influxdb_client_without_a_good_token_is_unauthorized(server: NodeProcess) -> None:
    with InfluxDBClient(url=server.url, token="uoe_wrong", org="city") as client:
        with client.write_api(write_options=SYNCHRONOUS) as writer:
            with pytest.raises(ApiException) as caught:
                writer.write(bucket="air", record="air,sensor=x pm25=1")
    assert caught.value.status == 401


def test_telegrafs_packed_batch_is_stored_as_one_reading(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    send(server, gateway, reading(spot, "telegraf-1", values={"co": 1.0}))
    answer = post(
        server,
        "/api/v2/write?bucket=air&org=city",
        devices.TELEGRAF_PACKED,
        gateway,
        **{"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"},
    )
    assert (answer.status_code, answer.content) == (204, b"")
    rows = stored_of(server, "telegraf-1", f"co, {COLUMNS}")
    assert (None, 12.5, 20.0, 21.5, 40.0, "line-protocol") in rows


def test_version_3_guesses_the_precision_and_answers_as_its_client_expects(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    """The request is what influxdb3-python 0.21 sends; it brings 165 MB with it."""
    at = datetime.now(UTC).replace(microsecond=0)
    path = "/api/v3/write_lp?org=default&db=air&precision=nanosecond"
    headers = {"Accept": "application/json", "Content-Type": "text/plain"}
    body = line(spot, "influx-3", "pm25=1", f"{int(at.timestamp())}000000000")
    assert post(server, path, body, gateway, **headers).status_code == 204
    guessed = line(spot, "influx-3", "pm25=2", f"{int(at.timestamp()) - 60}")
    assert post(server, "/api/v3/write_lp?db=air", guessed, gateway).status_code == 204
    assert stored_of(server, "influx-3", "pm25") == [(2.0,), (1.0,)]


def test_version_3_names_every_bad_line(server: NodeProcess, gateway: str, spot: Spot) -> None:
    body = line(spot, "influx-3b", "pm25=1") + b"bad\n" + b"worse one\n"
    answer = post(server, "/api/v3/write_lp?db=air", body, gateway)
    told = answer.json()
    assert answer.status_code == 400
    assert told["error"].startswith("partial write of line protocol occurred")
    assert [(bad["line_number"], bad["original_line"]) for bad in told["data"]] == [
        (2, "bad"),
        (3, "worse one"),
    ]
    assert stored_of(server, "influx-3b") == [(1.0,)]


def test_nothing_is_kept_where_partial_writes_are_refused(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    body = line(spot, "influx-3c", "pm25=1") + b"bad\n"
    path = "/api/v3/write_lp?db=air&accept_partial=false"
    answer = post(server, path, body, gateway)
    assert answer.status_code == 400
    assert answer.json()["line"] == 2
    assert stored_of(server, "influx-3c") == []


def test_version_1_takes_a_token_in_its_query_and_in_basic(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    in_query = {"db": "air", "u": "sensor", "p": gateway, "precision": "s"}
    body = line(spot, "influx-1", "pm25=1", str(int(datetime.now(UTC).timestamp()) - 5))
    assert server.client.post("/write", params=in_query, content=body).status_code == 204
    pair = base64.b64encode(f"sensor:{gateway}".encode()).decode()
    headers = devices.AIRROHR_LINE_HEADERS | {"Authorization": f"Basic {pair}"}
    answer = server.client.post(
        "/write?db=sensorcommunity", content=line(spot, "influx-1", "SDS_P2=2"), headers=headers
    )
    assert (answer.status_code, answer.content) == (204, b"")
    assert stored_of(server, "influx-1", "pm25") == [(1.0,), (2.0,)]


def test_a_bad_line_is_named_by_code_message_and_number(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    body = b"# a comment\n" + line(spot, "influx-1b", "pm25=1") + b"pm25=2\n"
    for path in ("/write?db=air", "/api/v2/write?bucket=air&org=city"):
        answer = post(server, path, body, gateway)
        told: dict[str, Any] = answer.json()
        assert answer.status_code == 400
        assert (told["code"], told["line"]) == ("invalid", 3)
        assert told["error"] == told["message"]
        assert "partial write" in told["error"]


def test_a_line_that_measures_nothing_is_a_bad_line(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    body = line(spot, "influx-cpu", "usage_idle=97.3")
    answer = post(server, "/api/v2/write", body, gateway)
    assert (answer.status_code, answer.json()["line"]) == (400, 1)


def test_what_nobody_claimed_gets_204_and_waits(server: NodeProcess) -> None:
    answer = post(server, "/write?db=sensorcommunity", b"feinstaub,node=esp8266-9 SDS_P2=4.1\n")
    assert answer.status_code == 204
    headers = {"Authorization": f"Bearer {server.token('operator')}"}
    senders = server.client.get("/api/v1/inbox", headers=headers).json()["senders"]
    assert "esp8266-9" in [unknown["sender"] for unknown in senders]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/write?precision=weeks", b"m a=1", 400, "invalid"),
        ("/api/v2/write", b"m,sensor=a pm25=1\n" * 10_001, 413, "request too large"),
    ],
)
def test_what_cannot_be_read_at_all_is_refused_in_influxdbs_words(
    server: NodeProcess, gateway: str, path: str, body: bytes, status: int, code: str
) -> None:
    answer = post(server, path, body, gateway)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_body_that_does_not_unpack_is_invalid(server: NodeProcess, gateway: str) -> None:
    answer = post(server, "/api/v2/write", b"no gzip", gateway, **{"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_an_empty_body_is_nothing_to_write(server: NodeProcess, gateway: str) -> None:
    assert post(server, "/api/v2/write", b"# nothing\n", gateway).status_code == 204


def test_a_ping_is_204_and_says_which_version(server: NodeProcess) -> None:
    for method in ("GET", "HEAD"):
        answer = server.client.request(method, "/ping")
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["x-influxdb-version"]
