"""The ingest door, when what comes in is bad: a readable refusal, and nothing good is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http.sending import (
    NDJSON,
    Spot,
    assert_is_error,
    assert_only_rejected,
    moment,
    now_us,
    reading,
    rows,
    spot_number,
    stored,
    stored_of,
)
from tests.processes import NodeProcess

HUNDRED_YEARS_US = 36_525 * 86_400_000_000


def template(spot: Spot, sensor_id: str = "bad") -> str:
    """A good reading as JSON text whose parts can be replaced by bad ones."""
    return json.dumps(reading(spot, sensor_id))


def with_value(text: str) -> str:
    return f'{{"sensor_id":"bad","location":{{"lat":60.1,"lng":24.9}},"values":{{"pm25":{text}}}}}'


def with_field(name: str, text: str) -> str:
    place = '"location":{"lat":60.1,"lng":24.9},'
    if name == "location":
        place = ""
    return f'{{{place}"values":{{"pm25":9.0}},"{name}":{text}}}'


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


BAD_ELEMENTS = {
    "NaN": with_value("NaN"),
    "Infinity": with_value("Infinity"),
    "minus Infinity": with_value("-Infinity"),
    "1e999": with_value("1e999"),
    "an integer of 400 digits": with_value("1" + "0" * 400),
    "an integer of 5000 digits": with_value("1" + "0" * 5000),
    "a word for a value": with_value('"warm"'),
    "a truth for a value": with_value("true"),
    "an array for a value": with_value("[9.0]"),
    "an array for all values": with_field("values", "[9.0]"),
    "no values": with_field("values", "{}"),
    "only null values": with_field("values", '{"pm25":null}'),
    "only an unknown quantity": with_field("values", '{"radon":3.0}'),
    "latitude 91": with_field("location", '{"lat":91,"lng":24.9}'),
    "latitude -90.0001": with_field("location", '{"lat":-90.0001,"lng":24.9}'),
    "longitude 181": with_field("location", '{"lat":60.1,"lng":181}'),
    "a NaN latitude": with_field("location", '{"lat":NaN,"lng":24.9}'),
    "half a location": with_field("location", '{"lat":60.1}'),
    "a text for a location": with_field("location", '"Helsinki"'),
    "neither a sensor nor a location": '{"values":{"pm25":9.0}}',
    "no location and no known quantity": '{"sensor_id":"nowhere-ever","values":{"noise":40}}',
    "the year 2099": with_field("timestamp", '"2099-01-01T00:00:00Z"'),
    "the year 10000 in UTC": with_field("timestamp", '"9999-12-31T23:59:59-12:00"'),
    "the year 0 in UTC": with_field("timestamp", '"0001-01-01T00:00:00+12:00"'),
    "a naive timestamp": with_field("timestamp", '"2026-01-01T00:00:00"'),
    "a moment before 1970": with_field("timestamp", '"1969-12-31T23:59:59Z"'),
    "a negative epoch": with_field("timestamp", "-1"),
    "the year 1 east of Greenwich": with_field("timestamp", '"0001-01-01T00:00:00+14:00"'),
    "the 30th of February": with_field("timestamp", '"2026-02-30T00:00:00Z"'),
    "a date alone": with_field("timestamp", '"2026-01-01"'),
    "a number for a sensor": with_field("sensor_id", "12"),
    "an empty sensor": with_field("sensor_id", '""'),
    "a sensor of 500 characters": with_field("sensor_id", f'"{"x" * 500}"'),
    "a control character in a sensor": with_field("sensor_id", '"a\\u0000b"'),
    "a line feed after a sensor": with_field("sensor_id", '"school\\n"'),
    "half a character in a sensor": with_field("sensor_id", '"\\ud800"'),
    "half a character in a source": with_field("source", '"\\udfff"'),
    "half a character in a type": with_field("type", '"\\ud800x"'),
    "a source of 500 characters": with_field("source", f'"{"x" * 500}"'),
    "priority 11": with_field("priority", "11"),
    "priority 0": with_field("priority", "0"),
    "a fractional priority": with_field("priority", "5.5"),
    "a text for an index": with_field("aqi", '"good"'),
    "an infinite index": with_field("aqi", "1e999"),
    "values nested 450 deep": with_field("values", nested(450)),
    "values nested 5000 deep": with_field("values", nested(5000)),
    "values nested 200000 deep": with_field("values", nested(200_000)),
    "a number": "1",
    "a text": '"reading"',
    "a null": "null",
    "an empty object": "{}",
    "an array inside": f"[{with_value('9.0')}]",
}
each_bad_element = pytest.mark.parametrize(
    "bad", [pytest.param(text, id=name) for name, text in BAD_ELEMENTS.items()]
)


@each_bad_element
def test_a_bad_reading_alone_is_refused(server: NodeProcess, gateway: str, bad: str) -> None:
    if bad.startswith("["):
        return  # alone, that is a good array
    assert_is_error(server.post(bad.encode(), gateway), 400, 422)


@each_bad_element
def test_a_bad_reading_in_an_array_is_the_only_one_refused(
    server: NodeProcess, gateway: str, spot: Spot, bad: str
) -> None:
    good = template(spot, "array")
    answer = server.post(f"[{good},{bad},{good}]".encode(), gateway)
    assert_only_rejected(answer, accepted=2, rejected=[1])


@each_bad_element
def test_a_bad_line_in_ndjson_is_the_only_one_refused(
    server: NodeProcess, gateway: str, spot: Spot, bad: str
) -> None:
    good = template(spot, "ndjson")
    answer = server.post(f"{good}\n{bad}\n{good}\n".encode(), gateway, **NDJSON)
    assert_only_rejected(answer, accepted=2, rejected=[1])


@pytest.mark.parametrize("headers", [{}, NDJSON])
def test_every_good_reading_between_bad_ones_is_stored(
    server: NodeProcess, gateway: str, spot: Spot, headers: dict[str, str]
) -> None:
    mixed = [template(spot, "good-0")]
    for number, bad in enumerate(BAD_ELEMENTS.values(), start=1):
        mixed += [bad, template(spot, f"good-{number}")]
    body = "\n".join(mixed) if headers else f"[{','.join(mixed)}]"
    answer = server.post(body.encode(), gateway, **headers)
    count = len(BAD_ELEMENTS)
    assert_only_rejected(answer, count + 1, range(1, 2 * count, 2))
    assert_stored(server, spot, {f"good-{number}" for number in range(count + 1)})


@pytest.mark.parametrize(
    "bad",
    [
        b"not json",
        b'{"sensor_id":',
        b'{"sensor_id":"\xff","location":{"lat":60.1,"lng":24.9},"values":{"pm25":9.0}}',
        b"\x00\x01\x02",
        b"{}{}",
    ],
)
def test_a_line_that_is_not_json_takes_no_good_one_along(
    server: NodeProcess, gateway: str, spot: Spot, bad: bytes
) -> None:
    first, last = template(spot, "first").encode(), template(spot, "last").encode()
    answer = server.post(first + b"\n" + bad + b"\n" + last, gateway, **NDJSON)
    assert_only_rejected(answer, accepted=2, rejected=[1])
    assert_stored(server, spot, {"first", "last"})


def assert_stored(server: NodeProcess, spot: Spot, sensors: set[str]) -> None:
    """Exactly these sensors have a row there, one each, over HTTP and in the files."""
    server.flush()
    assert sorted(row["sensor_id"] for row in rows(server, spot.grid_id)) == sorted(sensors)
    where = "WHERE lat = ? AND lng = ? ORDER BY sensor_id"
    found = stored(server.data_dir, "sensor_id", where, spot.lat, spot.lng)
    assert found == [(sensor_id,) for sensor_id in sorted(sensors)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"not json",
        b"{",
        b"[",
        b'{"sensor_id":"a"',
        b"1",
        b"null",
        b'"text"',
        b"true",
        b"\xff\xfe\x00",
        b"\x00" * 100,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"sensor_id":"\xff"}',
        b'[{"sensor_id":"\xc3\x28"}]',
        b"9" * 10_000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_body_that_is_no_reading_is_refused(
    server: NodeProcess, gateway: str, body: bytes
) -> None:
    assert_is_error(server.post(body, gateway), 400, 422)


def test_an_unknown_quantity_alone_is_unprocessable_and_counted(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    sent = reading(spot, "odd", values={"radon_alone": 3.0})
    assert_is_error(server.post(sent, gateway), 422)
    assert server.status()["unknown_quantities"]["radon_alone"] == 1


def test_numbers_may_come_as_texts_and_what_is_none_costs_no_other(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    """As ESPHome's and Arduino's JSON often has them."""
    values = {"pm25": "12.5", "pm10": 20, "o3": "n/a", "co": True, "no2": [4.0], "humidity": ""}
    place = {"lat": f"{spot.lat}", "lng": f"{spot.lng}"}
    sent = {"sensor_id": "texts", "location": place, "values": values}
    assert server.post(sent, gateway).status_code == 202
    assert server.post([sent | {"sensor_id": "texts-2"}], gateway).json()["accepted"] == 1
    for sensor_id in ("texts", "texts-2"):
        found = stored_of(server, sensor_id, "pm25, pm10, o3, co, no2, humidity, lat, lng")
        assert found == [(12.5, 20.0, None, None, None, None, spot.lat, spot.lng)]


def test_a_half_character_in_an_unknown_quantity_harms_nobody(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    body = template(spot, "half").replace('"pm25"', '"\\ud800": 1.0, "pm25"')
    assert server.post(body.encode(), gateway).status_code in (202, 422)
    assert server.client.get("/api/v1/status").status_code == 200


def test_of_repeated_keys_the_last_counts(server: NodeProcess, gateway: str, spot: Spot) -> None:
    body = template(spot, "twice").replace('"pm25": 9.0', '"pm25": 1.0, "pm25": 9.0')
    assert server.post(body.encode(), gateway).status_code == 202
    assert stored_of(server, "twice") == [(9.0,)]


def test_a_batch_without_anything_good_is_refused_reading_by_reading(
    server: NodeProcess, gateway: str
) -> None:
    answer = server.post(f"[{with_value('NaN')},{with_value('true')}]".encode(), gateway)
    assert_is_error(answer, 422)
    assert [refusal["index"] for refusal in answer.json()["rejected"]] == [0, 1]


def test_what_is_refused_is_counted_among_the_dead_letters(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    before = server.status()["totals"]
    server.post(f"[{with_value('NaN')},{template(spot)},{with_value('true')}]".encode(), gateway)
    after = server.status()["totals"]
    assert after["rejected"] - before["rejected"] == 2
    assert after["dead_letters"] - before["dead_letters"] == 2


def test_five_minutes_ahead_is_the_border_of_the_future(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    ahead_s = {"near": 290, "far": 310}
    sent = [reading(spot, name, now_us() + s * 1_000_000) for name, s in ahead_s.items()]
    assert_only_rejected(server.post(sent, gateway), accepted=1, rejected=[1])


@pytest.mark.parametrize("headers", [{}, NDJSON])
def test_ten_thousand_and_one_readings_are_too_many(
    server: NodeProcess, gateway: str, spot: Spot, headers: dict[str, str]
) -> None:
    sent = [template(spot, f"crowd-{n}") for n in range(10_001)]
    body = "\n".join(sent) if headers else f"[{','.join(sent)}]"
    error = assert_is_error(server.post(body.encode(), gateway, **headers), 422)
    assert "10000" in error["message"].replace(",", "")
    server.flush()
    assert rows(server, spot.grid_id) == []


@pytest.mark.parametrize(
    "content_type", ["text/csv", "application/xml", "multipart/form-data; boundary=x", "garbage"]
)
def test_another_content_type_is_not_read(
    server: NodeProcess, gateway: str, spot: Spot, content_type: str
) -> None:
    body = template(spot).encode()
    assert_is_error(server.post(body, gateway, **{"Content-Type": content_type}), 415)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x" * 500])
def test_another_content_encoding_is_not_read(
    server: NodeProcess, gateway: str, spot: Spot, encoding: str
) -> None:
    body = template(spot).encode()
    assert_is_error(server.post(body, gateway, **{"Content-Encoding": encoding}), 415)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=10)
    | st.sampled_from([2**63, 10**30, moment(0), moment(HUNDRED_YEARS_US), "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["lat", "lng", "pm25", "o3", "x", "\udc00"]), inner)
    ),
    max_leaves=6,
)
names = ["sensor_id", "location", "timestamp", "source", "type", "priority", "aqi", "values"]
almost_readings = st.dictionaries(st.sampled_from(names), json_values).map(
    lambda given: reading(spot_number(5000), "fuzz") | given
)
fuzz = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzz
@given(st.lists(almost_readings | json_values, max_size=3))
def test_no_json_at_the_door_makes_the_node_fail(
    server: NodeProcess, gateway: str, sent: list[Any]
) -> None:
    answer = server.post(json.dumps(sent).encode(), gateway)
    if answer.status_code == 202:
        body = answer.json()
        assert body["accepted"] + len(body["rejected"]) == len(sent)
    else:
        assert_is_error(answer, 422)
    assert server.client.get("/api/v1/status").status_code == 200


@fuzz
@given(st.binary(max_size=60), st.sampled_from(["identity", "gzip", "zstd"]), st.booleans())
def test_no_bytes_at_the_door_make_the_node_fail(
    server: NodeProcess, gateway: str, body: bytes, encoding: str, is_ndjson: bool
) -> None:
    headers = {"Content-Encoding": encoding} | (NDJSON if is_ndjson else {})
    answer = server.post(body, gateway, **headers)
    if not (is_ndjson and answer.status_code == 202 and answer.json()["accepted"] == 0):
        assert_is_error(answer, 400, 422)
