"""What topics and payloads over MQTT mean: who speaks, when, in which units, and for whom."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tests import devices
from tests.test_adapters import aside, known, only
from tests.test_device_fuzz import mutated
from urbanos_edge.adapters import Candidate, Location, Malformed, mqtt
from urbanos_edge.errors import BadRequest, EdgeError
from urbanos_edge.names import FieldMap, parse_field_map

NO_MAP = FieldMap()
STRANGE_TIMES: tuple[Any, ...] = (None, "", "now", 5, {}, "2026-13-01T00:00:00Z")
STRANGE_COUNTS: tuple[Any, ...] = (0, -1, 1e300, True, None, "12", [])
OWN_TOPIC = "urbanos/harbour/readings"


def read(topic: str, content: Any, fields: FieldMap = NO_MAP) -> Sequence[Candidate | Malformed]:
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    return mqtt.read(topic, payload, fields)


def test_an_airgradient_monitor_is_called_after_its_topic() -> None:
    candidate = only(read("airgradient/readings/ECDA3B1EAAAF", devices.AIRGRADIENT_PUSH))
    assert candidate.sensor_id == "airgradient-ecda3b1eaaaf"
    assert known(candidate)["pm25"] == 7


def test_a_tasmota_device_is_read_chip_by_chip() -> None:
    candidate = only(read("tele/yard/SENSOR", devices.TASMOTA))
    assert (candidate.sensor_id, candidate.source) == ("tasmota-yard", "tasmota")
    assert known(candidate) == {
        **{"pm1": 4, "pm25": 7, "pm10": 8},
        **{"temperature": 23.4, "humidity": 45.2, "pressure": 988.1},
    }
    assert "ESP32_Temperature" not in aside(candidate), "that of the processor is not even aside"
    assert aside(candidate)["PMS5003_CF2.5"] == 9


def test_the_units_of_a_tasmota_message_are_its_own_and_the_first_chip_counts() -> None:
    """77 °F are 25 °C; an inch of mercury is 33.86389 hPa (NIST SP 811)."""
    candidate = only(read("tele/yard/SENSOR", devices.TASMOTA_IN_OTHER_UNITS))
    assert known(candidate) == {
        **{"pm25": 4.5, "pm10": 6.7, "humidity": 48.1},
        "temperature": pytest.approx(25.0),
        "pressure": pytest.approx(29.0 * 33.86389),
    }
    assert aside(candidate)["BMP280_Temperature"] == 80.0


def test_what_may_be_the_inside_of_a_device_counts_where_nothing_else_does() -> None:
    message = {"ANALOG": {"Temperature": 55.1}, "BME280": {"Temperature": 12, "Humidity": 81}}
    candidate = only(read("tele/yard/SENSOR", message))
    assert known(candidate) == {"temperature": 12, "humidity": 81}
    assert aside(candidate) == {"ANALOG_Temperature": 55.1}
    alone = only(read("tele/yard/SENSOR", {"ANALOG": {"Temperature": 5.1}}))
    assert known(alone) == {"temperature": 5.1}


def test_a_unit_that_the_node_does_not_know_is_not_guessed() -> None:
    message = {"BME280": {"Temperature": 20, "Humidity": 50}, "TempUnit": "Re"}
    assert known(only(read("tele/yard/SENSOR", message))) == {"humidity": 50}


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-05-17T22:23:06+02:00", datetime(2026, 5, 17, 20, 23, 6, tzinfo=UTC)),
        ("2026-05-17T22:23:06Z", datetime(2026, 5, 17, 22, 23, 6, tzinfo=UTC)),
        ("2026-05-17T22:23:06", None),
        ("1970-01-01T00:00:09+01:00", None),
        *((given, None) for given in STRANGE_TIMES),
    ],
)
def test_a_tasmota_time_counts_if_it_says_its_zone_and_was_set(
    at: Any, expected: datetime | None
) -> None:
    message = {"Time": at, "SDS0X1": {"PM2.5": 4.5}}
    assert only(read("tele/yard/SENSOR", message)).timestamp == expected


@pytest.mark.parametrize(
    ("topic", "sender"),
    [
        ("tele/yard/SENSOR", "tasmota-yard"),
        ("tele/city/mast 4/SENSOR", "tasmota-city/mast 4"),
        ("yard/tele/SENSOR", "tasmota-yard"),
        ("zigbee2mqtt/balcony", "zigbee2mqtt-balcony"),
        ("zigbee2mqtt/floor 2/balcony", "zigbee2mqtt-floor 2/balcony"),
        ("home/airgradient/readings/ab12", "airgradient-ab12"),
        (OWN_TOPIC, "harbour"),
        ("city/mast/state", "mqtt-city/mast/state"),
        ("city/\x01", None),
        ("x" * 200, None),
    ],
)
def test_the_topic_names_the_sender(topic: str, sender: str | None) -> None:
    assert mqtt.sender_of(topic) == sender


def test_a_zigbee_device_is_read_as_of_when_it_was_seen() -> None:
    candidate = only(read("zigbee2mqtt/balcony", devices.ZIGBEE))
    assert (candidate.sensor_id, candidate.source) == ("zigbee2mqtt-balcony", "zigbee2mqtt")
    assert known(candidate) == {"pm25": 11, "temperature": 21.5, "humidity": 41.3}
    assert candidate.timestamp == datetime(2026, 5, 17, 20, 23, 6, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (1_779_049_386_500, datetime(2026, 5, 17, 20, 23, 6, 500_000, tzinfo=UTC)),
        *((given, None) for given in STRANGE_COUNTS),
    ],
)
def test_when_a_device_was_seen_may_be_in_milliseconds(
    seen: Any, expected: datetime | None
) -> None:
    message = {"pm25": 3, "last_seen": seen}
    assert only(read("zigbee2mqtt/balcony", message)).timestamp == expected


@pytest.mark.parametrize(
    ("topic", "content"),
    [
        ("tele/plug/SENSOR", devices.TASMOTA_PLUG),
        ("zigbee2mqtt/lamp", {"state": "ON", "brightness": 254}),
        ("zigbee2mqtt/bridge/state", {"state": "online"}),
        ("city/mast/state", {"alive": True}),
        (OWN_TOPIC, b""),
        ("zigbee2mqtt/gone", b" "),
    ],
)
def test_what_measures_nothing_is_passed_over(topic: str, content: Any) -> None:
    assert list(read(topic, content)) == []


def test_other_topics_are_read_by_the_names_of_their_fields() -> None:
    fields = parse_field_map("no2=gas:ugm3@25C,lat=Y")
    content = {
        "PM2_5": 3,
        "gas": 46.01,
        "Y": 60.1,
        "lon": 24.9,
        "timestamp": "2026-11-01T00:00:00Z",
    }
    candidate = only(read("city/mast/state", content, fields))
    assert known(candidate) == {"pm25": 3, "no2": pytest.approx(24.45)}
    assert candidate.location == Location(60.1, 24.9)
    assert candidate.timestamp == datetime(2026, 11, 1, tzinfo=UTC)
    assert aside(candidate) == {}


@pytest.mark.parametrize("times", [1, 1_000, 1_000_000, 1_000_000_000])
def test_other_topics_may_count_their_time_since_1970(times: int) -> None:
    given = 1_779_049_386 * times
    candidate = only(read("city/mast/state", {"pm25": 3, "timestamp": given}))
    assert candidate.timestamp == datetime(2026, 5, 17, 20, 23, 6, tzinfo=UTC)


@pytest.mark.parametrize("given", STRANGE_COUNTS)
def test_a_count_that_is_no_time_of_a_clock_that_was_set_is_left_out(given: Any) -> None:
    assert only(read("city/mast/state", {"pm25": 3, "timestamp": given})).timestamp is None


def test_a_field_map_names_a_chip_and_its_field() -> None:
    fields = parse_field_map("no2=MICS_NO2:ppm,pm25=dust")
    message = {"MICS": {"NO2": 0.02}, "X": {"dust": 5}}
    candidate = only(read("tele/yard/SENSOR", message, fields))
    assert known(candidate) == {"no2": pytest.approx(20), "pm25": 5}


def test_what_a_field_map_names_comes_before_what_names_mean() -> None:
    fields = parse_field_map("pm25=dust,temperature=DS18B20_Temperature")
    for topic in ("zigbee2mqtt/balcony", "city/mast/state"):
        assert known(only(read(topic, {"pm25": 3, "dust": 5}, fields))) == {"pm25": 5}
    chips = {"BME280": {"Temperature": 30}, "DS18B20": {"Temperature": 20}}
    candidate = only(read("tele/yard/SENSOR", chips, fields))
    assert known(candidate) == {"temperature": 20}
    assert aside(candidate) == {"BME280_Temperature": 30}


def test_what_a_tasmota_hub_hears_by_radio_are_sensors_of_their_own() -> None:
    """Whichever is silent: by kind and half a hardware address, as the documentation has it."""
    thermometers = {
        "MJ_HT_V1-d8799d": {"Temperature": 21.4, "Humidity": 54.6},
        "ATC-2B3C4D": {"Temperature": 7.5},
        "LYWSD02-a2fd09": {"Battery": 2},
    }
    own = {"BMP280-76": {"Pressure": 988}, "BMP280-77": {"Pressure": 987, "Temperature": 20}}
    message = {"Time": "2026-05-17T22:23:06Z", **thermometers, **own, "TempUnit": "C"}
    heard = [one for one in read("tele/hub/SENSOR", message) if isinstance(one, Candidate)]
    assert {one.sensor_id: known(one) for one in heard} == {
        "tasmota-hub-MJ_HT_V1-d8799d": {"temperature": 21.4, "humidity": 54.6},
        "tasmota-hub-ATC-2B3C4D": {"temperature": 7.5},
        "tasmota-hub": {"pressure": 988, "temperature": 20},
    }
    assert {one.timestamp for one in heard} == {datetime(2026, 5, 17, 22, 23, 6, tzinfo=UTC)}


def test_on_its_own_topic_a_sensor_speaks_for_itself_only() -> None:
    content = [
        {"values": {"pm25": 1}},
        {"sensor_id": "school", "values": {"pm25": 2}},
        {"sensor_id": "harbour", "values": {"pm25": 3}},
        {"values": "much"},
    ]
    own, others, same, broken = read(OWN_TOPIC, content)
    assert isinstance(own, Candidate)
    assert isinstance(same, Candidate)
    assert own.sensor_id == same.sensor_id == "harbour"
    assert isinstance(others, Malformed)
    assert others.error.code == "not_your_sensor"
    assert isinstance(broken, Malformed)
    assert broken.error.code == "invalid_reading"


@pytest.mark.parametrize("topic", [OWN_TOPIC, "tele/a/SENSOR", "zigbee2mqtt/a", "other"])
@pytest.mark.parametrize("payload", [b"{]", b"\xff", b"online", b"[" * 100_000])
def test_what_is_no_json_is_refused(topic: str, payload: bytes) -> None:
    with pytest.raises(BadRequest):
        read(topic, payload)


def test_mutated_readings_on_a_topic_of_our_own_raise_nothing_else() -> None:
    chance = random.Random(20261126)
    good = json.dumps([{"sensor_id": "harbour", "values": {"pm25": 12.3, "o3": None}}]).encode()
    for _ in range(10_000):
        body = mutated(good, chance)
        try:
            message = read(OWN_TOPIC, body)
        except EdgeError as error:
            assert error.status in (400, 422), body
        else:
            named = {one.sensor_id for one in message if isinstance(one, Candidate)}
            assert named <= {"harbour"}
