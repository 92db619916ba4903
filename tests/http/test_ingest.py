"""The ingest door, when what comes in is good: shapes, packing, tokens, and the exact answers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.http.sending import (
    INGEST,
    NDJSON,
    SECOND_US,
    Spot,
    assert_is_error,
    assert_only_rejected,
    now_us,
    reading,
    rows,
    spot_number,
    stored,
    stored_of,
)
from tests.processes import NodeProcess
from urbanos_edge import control
from urbanos_edge.zstd import zstd

Pack = Callable[[bytes], bytes]


def lines(*readings: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in readings)


def test_one_reading_is_answered_with_its_grid(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    answer = server.post(reading(spot, "one"), gateway)
    assert answer.status_code == 202
    assert answer.json() == {
        "success": True,
        "gridId": spot.grid_id,
        "message": "Data queued for processing",
    }


def test_every_field_of_the_contract_is_stored_and_shown(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    values = {
        **{"pm1": 4.5, "pm25": 12.3, "pm10": 20.1, "o3": 31.0, "no2": 14.2, "so2": 2.0},
        **{"co": 0.3, "temperature": 4.5, "humidity": 81.0, "pressure": 1008.0},
    }
    at_us = now_us() - SECOND_US
    sent = reading(spot, "whole", at_us, values=values, source="lorawan", type="street", priority=5)
    assert server.post(sent, gateway).status_code == 202
    columns = ", ".join(values)
    rest = "epoch_us(timestamp), grid_id, lat, lng, source, pollution_type, flags"
    assert stored_of(server, "whole", f"{columns}, {rest}") == [
        (*values.values(), at_us, spot.grid_id, spot.lat, spot.lng, "lorawan", "street", "")
    ]
    (row,) = rows(server, spot.grid_id)
    assert {name: row[name] for name in values} == values
    assert (row["sensor_id"], row["source"], row["pollution_type"]) == (
        "whole",
        "lorawan",
        "street",
    )


def test_an_array_is_answered_with_a_tally(server: NodeProcess, gateway: str, spot: Spot) -> None:
    answer = server.post([reading(spot, f"tally-{n}") for n in range(3)], gateway)
    assert answer.status_code == 202
    assert answer.json() == {"success": True, "accepted": 3, "duplicates": 0, "rejected": []}


def test_an_array_of_one_is_answered_as_an_array(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    answer = server.post([reading(spot, "alone")], gateway)
    assert answer.json() == {"success": True, "accepted": 1, "duplicates": 0, "rejected": []}


def test_an_empty_array_accepts_nothing(server: NodeProcess, gateway: str) -> None:
    answer = server.post([], gateway)
    assert answer.status_code == 202
    assert answer.json() == {"success": True, "accepted": 0, "duplicates": 0, "rejected": []}


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\n\n  \n"])
def test_ndjson_is_one_reading_a_line(
    server: NodeProcess, gateway: str, spot: Spot, separator: bytes
) -> None:
    sent = [reading(spot, f"line-{spot.grid_id}-{n}") for n in range(3)]
    body = separator.join(json.dumps(each).encode() for each in sent)
    assert_only_rejected(server.post(body, gateway, **NDJSON), accepted=3, rejected=[])


@pytest.mark.parametrize("shape", ["array", "ndjson"])
@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_a_packed_body_brings_the_same_readings(
    server: NodeProcess, gateway: str, spot: Spot, shape: str, encoding: str, pack: Pack
) -> None:
    sent = [reading(spot, f"packed-{shape}-{encoding}-{n}") for n in range(200)]
    body = lines(*sent) if shape == "ndjson" else json.dumps(sent).encode()
    headers = {"Content-Encoding": encoding} | (NDJSON if shape == "ndjson" else {})
    assert_only_rejected(server.post(pack(body), gateway, **headers), 200, [])
    server.flush()
    found = {row["sensor_id"] for row in rows(server, spot.grid_id)}
    assert found == {each["sensor_id"] for each in sent}


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_a_body_packed_in_several_pieces_is_read_to_its_end(
    server: NodeProcess, gateway: str, spot: Spot, encoding: str, pack: Pack
) -> None:
    """Both formats allow it (RFC 1952 2.2, RFC 8878 3.1); `cat a.gz b.gz` makes such a body."""
    sent = [reading(spot, f"piece-{encoding}-{n}") for n in range(3)]
    body = b"".join(pack(lines(each)) for each in sent)
    answer = server.post(body, gateway, **NDJSON, **{"Content-Encoding": encoding})
    assert_only_rejected(answer, accepted=3, rejected=[])


def test_ten_thousand_readings_fit_into_one_request(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    start_us = now_us() - 10_000
    sent = [reading(spot, "many", start_us + n) for n in range(10_000)]
    assert_only_rejected(server.post(sent, gateway), accepted=10_000, rejected=[])
    assert stored_of(server, "many", "epoch_us(timestamp)") == [
        (start_us + n,) for n in range(10_000)
    ]


def test_readings_without_a_timestamp_get_distinct_ones(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    before_us = now_us()
    sent = [reading(spot, "stamped") for _ in range(50)]
    for each in sent:
        del each["timestamp"]
    server.post(sent[:49], gateway)
    server.post(sent[49] | {"timestamp": None}, gateway)
    moments = [at_us for (at_us,) in stored_of(server, "stamped", "epoch_us(timestamp)")]
    assert len(set(moments)) == 50
    assert before_us <= min(moments) <= max(moments) <= now_us()


@pytest.mark.parametrize(
    ("lat", "lng"), [(90.0, 0.0), (-90.0, 179.9), (0.0, 180.0), (0.0, -180.0), (85.06, 10.0)]
)
def test_the_rim_of_the_world_is_a_place(
    server: NodeProcess, gateway: str, lat: float, lng: float
) -> None:
    sensor_id = f"rim-{lat}-{lng}"
    sent = reading(Spot("", lat, lng), sensor_id)
    answer = server.post(sent, gateway)
    assert answer.status_code == 202
    assert stored_of(server, sensor_id, "lat, lng") == [(lat, lng)]
    assert sensor_id in [row["sensor_id"] for row in rows(server, answer.json()["gridId"])]


@pytest.mark.parametrize("sensor_id", ["школа-7", "空氣 9", "a/b?c#d", "é" * 120, "🌫", "x' OR 1=1"])
def test_a_sensor_may_be_called_anything_printable(
    server: NodeProcess, gateway: str, spot: Spot, sensor_id: str
) -> None:
    assert server.post(reading(spot, sensor_id), gateway).status_code == 202
    assert stored_of(server, sensor_id, "sensor_id") == [(sensor_id,)]
    assert [row["sensor_id"] for row in rows(server, spot.grid_id)] == [sensor_id]


def test_a_reading_without_a_place_is_where_its_sensor_stands(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    server.post(reading(spot, "settled"), gateway)
    later = reading(spot, "settled", now_us() + SECOND_US)
    del later["location"]
    answer = server.post(later, gateway)
    assert answer.json()["gridId"] == spot.grid_id
    assert stored_of(server, "settled", "lat, lng") == [(spot.lat, spot.lng)] * 2


@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize("nowhere", [{"lat": 0, "lng": 0.0}, {"lat": None, "lng": None}])
def test_a_device_that_does_not_know_where_it_stands_is_where_it_is_registered(
    server: NodeProcess, gateway: str, spot: Spot, nowhere: dict[str, float | None], times: int
) -> None:
    adrift = f"adrift-{spot.grid_id}"
    server.post(reading(spot, adrift), gateway)
    sent = [reading(spot, adrift, now_us() + n, location=nowhere) for n in range(times)]
    assert server.post(sent, gateway).json()["accepted"] == times
    assert set(stored_of(server, adrift, "lat, lng")) == {(spot.lat, spot.lng)}


@pytest.mark.parametrize("times", [1, 100])
def test_a_clock_that_was_never_set_says_nothing(
    server: NodeProcess, gateway: str, spot: Spot, times: int
) -> None:
    """Two boots stamp two readings with the same second of 1970: neither may replace the other."""
    began_us, unset = now_us(), f"unset-{spot.grid_id}"
    for value in (5.0, 6.0):
        sent = [reading(spot, unset, n * SECOND_US, values={"pm25": value}) for n in range(times)]
        assert server.post(sent, gateway).json()["accepted"] == times
    found = stored_of(server, unset, "pm25, epoch_us(timestamp)")
    assert len(found) == 2 * times
    assert all(began_us <= at_us <= now_us() for _, at_us in found)


def test_bytes_of_no_type_are_read_as_json(server: NodeProcess, gateway: str, spot: Spot) -> None:
    answer = server.client.post(
        INGEST,
        content=json.dumps(reading(spot, "typeless")),
        headers={"Authorization": f"Bearer {gateway}", "Content-Type": "application/octet-stream"},
    )
    assert answer.status_code == 202


def test_the_source_designs_shape_is_accepted(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    sent = {"location": {"lat": spot.lat, "lng": spot.lng}, "type": "air", "aqi": 77}
    answer = server.post(sent, gateway)
    assert (answer.status_code, answer.json()["gridId"]) == (202, spot.grid_id)
    server.flush()
    (row,) = rows(server, spot.grid_id)
    assert row["sensor_id"].startswith("anon-")
    assert (row["reported_aqi"], row["aqi_value"]) == (77, None)
    assert stored_of(server, row["sensor_id"], "reported_aqi, aqi_value") == [(77.0, None)]


def test_an_anonymous_sensor_is_its_place_and_type(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    place = {"lat": spot.lat, "lng": spot.lng}
    server.post({"location": place, "type": "air", "aqi": 10}, gateway)
    server.post({"location": place, "type": "air", "aqi": 20}, gateway)
    server.post({"location": place, "type": "water", "aqi": 30}, gateway)
    server.flush()
    by_type: dict[str, set[str]] = {"air": set(), "water": set()}
    for row in rows(server, spot.grid_id):
        by_type[row["pollution_type"]].add(row["sensor_id"])
    assert len(by_type["air"]) == len(by_type["water"]) == 1
    assert by_type["air"] != by_type["water"]


def test_a_clients_own_index_never_stands_over_the_computed_one(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    server.post(reading(spot, "boastful", aqi=3, values={"pm25": 55.4}), gateway)
    server.flush()
    (row,) = rows(server, spot.grid_id)
    assert (row["aqi_value"], row["reported_aqi"]) == (150, 3)


def test_a_value_outside_the_physical_range_is_stored_and_flagged(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    server.post(reading(spot, "soaked", values={"pm25": 9.0, "humidity": 150.0}), gateway)
    assert stored_of(server, "soaked", "humidity, flags") == [(150.0, "range")]
    assert [row["flags"] for row in rows(server, spot.grid_id)] == [["range"]]


def test_an_unknown_quantity_beside_a_known_one_is_counted(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    sent = reading(spot, "curious", values={"pm25": 9.0, "radon_spot": 3.0})
    assert server.post(sent, gateway).status_code == 202
    assert server.post(sent, gateway).status_code == 202
    assert server.status()["unknown_quantities"]["radon_spot"] == 2
    assert stored_of(server, "curious") == [(9.0,)]


def test_what_is_known_is_told_by_the_duplicates(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    sent = [reading(spot, f"again-{n}") for n in range(4)]
    server.post(sent, gateway)
    answer = server.post([*sent, reading(spot, "again-new")], gateway)
    assert answer.json() == {"success": True, "accepted": 5, "duplicates": 4, "rejected": []}


@pytest.mark.parametrize(
    "authorization", [None, "Bearer", "Bearer uoe_unknown", "Basic YTpi", "Bearer ü", "uoe_unknown"]
)
def test_without_a_known_token_nothing_is_taken(
    server: NodeProcess, authorization: str | None
) -> None:
    headers = {} if authorization is None else {b"Authorization": authorization.encode()}
    answer = server.client.post(INGEST, json=reading(spot_number(0), "unasked"), headers=headers)
    assert_is_error(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_token_is_no_token(server: NodeProcess, spot: Spot) -> None:
    secret = server.token()
    assert server.post(reading(spot, "before"), secret).status_code == 202
    newest = max(token["id"] for token in control.request(server.data_dir, "tokens"))
    control.request(server.data_dir, "revoke_token", {"id": newest})
    assert_is_error(server.post(reading(spot, "after"), secret), 401)
    server.flush()
    assert [row["sensor_id"] for row in rows(server, spot.grid_id)] == ["before"]


def test_a_sensors_token_speaks_for_its_own_sensor(server: NodeProcess, spot: Spot) -> None:
    secret = server.token("sensor", "mine")
    assert server.post(reading(spot, "mine"), secret).status_code == 202
    assert server.post(reading(spot), secret).status_code == 202
    assert stored_of(server, "mine", "lat") == [(spot.lat,)] * 2


def test_a_sensors_token_is_refused_for_anothers_sensor(server: NodeProcess, spot: Spot) -> None:
    secret = server.token("sensor", "own")
    assert_is_error(server.post(reading(spot, "foreign"), secret), 403)
    server.flush()
    assert rows(server, spot.grid_id) == []


def test_in_a_batch_only_anothers_reading_is_refused(server: NodeProcess, spot: Spot) -> None:
    secret = server.token("sensor", "own-batch")
    sent = [reading(spot, "own-batch"), reading(spot, "foreign-batch"), reading(spot)]
    assert_only_rejected(server.post(sent, secret), accepted=2, rejected=[1])
    server.flush()
    assert {row["sensor_id"] for row in rows(server, spot.grid_id)} == {"own-batch"}
    assert stored(server.data_dir, "*", "WHERE sensor_id = 'foreign-batch'") == []


@pytest.mark.parametrize("scope", ["operator", "sync"])
def test_a_token_for_something_else_does_not_write(
    server: NodeProcess, spot: Spot, scope: str
) -> None:
    secret = server.token(scope)
    assert_is_error(server.post(reading(spot, "stranger"), secret), 403)


def test_acceptance_is_answered_as_json(server: NodeProcess, gateway: str, spot: Spot) -> None:
    answer = server.post(reading(spot, "typed"), gateway)
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["cache-control"] == "no-store"
