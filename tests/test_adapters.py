"""Wire formats of devices: what is read, in which unit, and that no strange field refuses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from airgradient import ApiVersion, parse_measures_json

from tests import devices
from tests.devices import airrohr_fields
from urbanos_edge.adapters import (
    Candidate,
    Location,
    Malformed,
    Message,
    airgradient,
    airrohr,
    purpleair,
    sensorthings,
)
from urbanos_edge.errors import BadRequest
from urbanos_edge.names import FieldMap, parse_field_map
from urbanos_edge.reading import QUANTITY_NAMES

HELSINKI = Location(60.171, 24.941)
NO_MAP = FieldMap()


def only(message: Message) -> Candidate:
    (element,) = message
    assert isinstance(element, Candidate), element
    return element


def refusal(message: Message) -> str:
    (element,) = message
    assert isinstance(element, Malformed), element
    return element.error.code


def known(candidate: Candidate) -> dict[str, float | None]:
    return {name: value for name, value in candidate.values.items() if name in QUANTITY_NAMES}


def aside(candidate: Candidate) -> dict[str, float | None]:
    return {name: value for name, value in candidate.values.items() if name not in QUANTITY_NAMES}


def airrohr_with(**fields: Any) -> Candidate:
    unit = {"esp8266id": "1", "sensordatavalues": airrohr_fields(**fields)}
    return only(airrohr.read(json.dumps(unit).encode()))


def airgradient_with(**fields: Any) -> Candidate:
    return only(airgradient.read(json.dumps(fields).encode(), "ecda3b1eaaaf"))


def purpleair_with(**fields: Any) -> Message:
    return purpleair.read(json.dumps(json.loads(devices.PURPLEAIR) | fields).encode())


def observation_with(fields: FieldMap = NO_MAP, **parts: Any) -> Candidate:
    observation = {"result": 49, "Datastream": {"@iot.id": 999}} | parts
    return only(sensorthings.read(json.dumps(observation).encode(), fields))


def test_an_airrohr_unit_says_p1_for_pm10_p2_for_pm25_and_pressure_in_pascal() -> None:
    candidate = only(airrohr.read(devices.AIRROHR, "esp8266-12345"))
    assert candidate.sensor_id == "esp8266-12345"
    assert candidate.source == "airrohr"
    assert candidate.timestamp is None
    assert known(candidate) == {
        "pm10": 9.3,
        "pm25": 4.1,
        "temperature": 21.4,
        "pressure": pytest.approx(987.315),
        "humidity": 47.2,
    }
    assert aside(candidate)["signal"] == -61


def test_an_airrohr_unit_is_known_by_its_number_where_the_header_is_missing() -> None:
    assert only(airrohr.read(devices.AIRROHR)).sensor_id == "esp8266-12345"
    assert only(airrohr.read(devices.AIRROHR, "esp32-99")).sensor_id == "esp32-99"
    assert only(airrohr.read(b'{"esp8266id":7,"sensordatavalues":[]}')).sensor_id == "esp8266-7"


def test_an_airrohr_unit_that_says_nothing_of_itself_is_refused() -> None:
    assert refusal(airrohr.read(b'{"sensordatavalues":[]}')) == "no_sensor_id"
    assert refusal(airrohr.read(b'{"esp8266id":null}', "no hyphen")) == "no_sensor_id"


def test_a_unit_with_a_gps_is_where_its_gps_says_but_not_when() -> None:
    candidate = only(airrohr.read(devices.AIRROHR_WITH_GPS))
    assert candidate.location == HELSINKI
    assert candidate.timestamp is None
    assert known(candidate)["pm1"] == 3.0


def test_a_gps_without_a_fix_is_no_place() -> None:
    for lat, lon in (("-200.000000", "-200.000000"), ("0.000000", "0.000000"), ("x", "1")):
        assert airrohr_with(P2="4", GPS_lat=lat, GPS_lon=lon).location is None


def test_counts_of_particles_are_no_mass() -> None:
    candidate = only(airrohr.read(devices.AIRROHR_PPD42))
    assert known(candidate) == {"temperature": 18.0}
    assert aside(candidate)["P1"] == 612.2


def test_a_second_chip_for_the_same_quantity_is_set_aside() -> None:
    candidate = airrohr_with(SDS_P2="4.1", PMS_P2="40", temperature="20", BME280_temperature="25")
    assert known(candidate) == {"pm25": 4.1, "temperature": 20.0}
    assert aside(candidate) == {"PMS_P2": 40.0, "BME280_temperature": 25.0}


def test_the_air_in_the_heater_of_a_nettigo_unit_is_nobodys() -> None:
    candidate = airrohr_with(HECA_temperature="45.2", HECA_humidity="18", BME280_temperature="10.1")
    assert known(candidate) == {"temperature": 10.1}
    assert aside(candidate) == {"HECA_temperature": 45.2, "HECA_humidity": 18.0}


@pytest.mark.parametrize(
    "strange", ["nan", "inf", "-", "", "4,1", "1_0", "9" * 400, None, True, [], {}, "\ud800"]
)
def test_a_strange_value_is_set_aside_and_the_rest_is_kept(strange: Any) -> None:
    candidate = airrohr_with(SDS_P1=strange, SDS_P2="4.1")
    assert known(candidate) == {"pm25": 4.1}
    assert aside(candidate) == {"SDS_P1": None}


def test_a_list_with_strange_elements_is_read_all_the_same() -> None:
    unit = {
        "esp8266id": "1",
        "sensordatavalues": [
            None,
            3,
            {"value": "1"},
            {"value_type": 3, "value": "1"},
            {"value_type": "SDS_P2"},
            {"value_type": "SDS_P2", "value": 4.1},
        ],
    }
    assert known(only(airrohr.read(json.dumps(unit).encode()))) == {"pm25": 4.1}


def test_a_number_beyond_any_and_bytes_that_are_no_text_spoil_only_themselves() -> None:
    body = b'{"esp8266id":"1","software_version":"\xff","x":%s,"sensordatavalues":[%s]}' % (
        b"9" * 5000,
        b'{"value_type":"P2","value":4.1},{"value_type":"P1","value":NaN}',
    )
    assert known(only(airrohr.read(body))) == {"pm25": 4.1}


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"null", b"{", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_object_is_a_bad_request(body: bytes) -> None:
    readers: tuple[Callable[[], object], ...] = (
        lambda: airrohr.read(body),
        lambda: airgradient.read(body, "1"),
        lambda: purpleair.read(body),
        lambda: sensorthings.read(body, NO_MAP),
    )
    for read in readers:
        with pytest.raises(BadRequest):
            read()


def test_a_pushed_chip_is_a_sensor_of_its_own_but_for_the_particles() -> None:
    particles = only(airrohr.read_push(devices.PUSHED_PARTICLES, "esp8266-12345", "1"))
    weather = only(airrohr.read_push(devices.PUSHED_WEATHER, "esp8266-12345", "11"))
    assert (particles.sensor_id, weather.sensor_id) == ("esp8266-12345", "esp8266-12345-11")
    assert known(particles) == {"pm10": 9.3, "pm25": 4.1}
    assert known(weather) == {
        "temperature": 21.4,
        "pressure": pytest.approx(987.315),
        "humidity": 47.2,
    }


def test_a_pushed_gps_alone_is_nothing_to_store() -> None:
    body = json.dumps({"sensordatavalues": airrohr_fields(lat="60.171", lon="24.941")}).encode()
    assert list(airrohr.read_push(body, "esp8266-1", "9")) == []


def test_an_airgradient_monitor_is_known_by_the_serial_in_its_address() -> None:
    candidate = only(airgradient.read(devices.AIRGRADIENT_PUSH, "ECDA3B1EAAAF"))
    assert candidate.sensor_id == "airgradient-ecda3b1eaaaf"
    assert known(candidate) == {
        "pm1": 3.0,
        "pm25": 7.0,
        "pm10": 8.0,
        "temperature": 25.87,
        "humidity": 43.0,
    }
    assert aside(candidate)["rco2"] == 447


def test_an_airgradient_monitor_that_is_asked_says_its_serial_itself() -> None:
    candidate = only(airgradient.read(devices.AIRGRADIENT_LOCAL))
    assert candidate.sensor_id == "airgradient-ecda3b1eaaaf"
    assert known(candidate)["pm25"] == 7.0, "raw, not what the monitor made of it"
    assert aside(candidate)["pm02Compensated"] == 5.2


def test_a_missing_mean_of_two_channels_is_taken_from_the_channels() -> None:
    candidate = only(airgradient.read(devices.AIRGRADIENT_TWO_CHANNELS, "1"))
    assert known(candidate) == {
        "pm1": 3.5,
        "pm25": 6.5,
        "pm10": 8.5,
        "temperature": 20.5,
        "humidity": 50.0,
    }


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [(13, 27, True), (13, 26.9, False), (2, 7, True), (300, None, False), ("x", 300, False)],
)
def test_two_channels_of_an_airgradient_monitor_are_compared(
    a: Any, b: Any, expected: bool
) -> None:
    """They disagree from 5 µg/m³ and 70 % of their mean on: 14 is 70 % of 20."""
    channels = {"1": {"pm02": a}, "2": {"pm02": b}}
    body = json.dumps({"serialno": "1", "pm02": 20, "channels": channels}).encode()
    assert only(airgradient.read(body)).channels_disagree is expected


def test_nulls_and_unknown_words_of_a_monitor_spoil_nothing() -> None:
    candidate = only(airgradient.read(devices.AIRGRADIENT_STARTING))
    assert candidate.sensor_id == "airgradient-84fce612eff4"
    assert known(candidate) == {"pm25": 7.0}
    assert {"rco2", "atmp", "rhum"} <= aside(candidate).keys()


def test_a_channel_that_failed_is_not_in_the_mean() -> None:
    channels = {"1": {"pm02": 10, "pm10": -1}, "2": {"pm02": -1, "pm10": -1}}
    body = json.dumps({"serialno": "1", "channels": channels}).encode()
    assert known(only(airgradient.read(body))) == {"pm25": 10.0, "pm10": -1.0}
    assert known(only(purpleair_with(pm2_5_cf_1=12.0, pm2_5_cf_1_b=3000.0)))["pm25"] == 12.0


@pytest.mark.parametrize("word", ["nan", "-nan", "NAN", "inf", "-inf", "Infinity", "-NaN"])
def test_what_c_prints_for_a_number_that_is_none_costs_only_its_field(word: str) -> None:
    body = f'{{"serialno":"1","pm02":12,"atmp":{word},"model":"nan, \\"inf","x":[1, {word}]}}'
    candidate = only(airgradient.read(body.encode()))
    assert known(candidate) == {"pm25": 12.0}
    assert aside(candidate).keys() >= {"atmp"}


@pytest.mark.parametrize("serial", [None, "", 1.5, [], "\n", "x" * 200])
def test_a_monitor_without_a_serial_is_refused(serial: Any) -> None:
    body = json.dumps({"serialno": serial, "pm02": 7}).encode()
    assert refusal(airgradient.read(body)) == "no_sensor_id"


def test_a_purpleair_monitor_is_read_as_the_mean_of_its_channels() -> None:
    candidate = only(purpleair.read(devices.PURPLEAIR))
    assert candidate.sensor_id == "purpleair-84f3eb0801c2", "with the zeros that firmware drops"
    assert candidate.location == HELSINKI
    assert candidate.timestamp == datetime(2026, 5, 17, 22, 23, 6, tzinfo=UTC)
    assert known(candidate) == {
        "pm1": 5.5,
        "pm25": 12.5,
        "pm10": 15.0,
        "temperature": pytest.approx((80 - 32) / 1.8),
        "humidity": 14.0,
        "pressure": 933.9,
    }
    assert "pm2.5_aqi" in aside(candidate)


def test_a_purpleair_monitor_indoors_is_left_out() -> None:
    assert list(purpleair_with(place="inside")) == []


def test_a_channel_that_is_missing_leaves_the_other() -> None:
    candidate = only(purpleair_with(pm2_5_cf_1_b=None))
    assert known(candidate)["pm25"] == 12.0
    without = only(purpleair_with(pm2_5_cf_1="?", pm2_5_cf_1_b=None))
    assert known(without)["pm25"] == 11.5, "the mean of what it calls atmospheric"


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [(13, 27, True), (13, 26.9, False), (1e308, -1e308, True), (300, None, False)],
)
def test_two_channels_of_a_purpleair_monitor_are_compared(a: Any, b: Any, expected: bool) -> None:
    candidate = only(purpleair_with(pm2_5_cf_1=a, pm2_5_cf_1_b=b))
    assert candidate.channels_disagree is expected


@pytest.mark.parametrize("at", ["2000/01/01T00:00:00z", "2026-05-17T22:23:06Z", "", None, 5])
def test_a_clock_that_was_never_set_is_no_time(at: Any) -> None:
    assert only(purpleair_with(DateTime=at)).timestamp is None


def test_a_monitor_that_does_not_know_where_it_stands_says_nothing_of_it() -> None:
    assert only(purpleair_with(lat=0.0, lon=0.0)).location is None


@pytest.mark.parametrize("hardware_id", [None, "", "84:f3", "84:f3:eb:8:1:zz", 12])
def test_a_purpleair_monitor_without_its_id_is_refused(hardware_id: Any) -> None:
    assert refusal(purpleair_with(SensorId=hardware_id)) == "no_sensor_id"


def test_an_observation_is_what_the_map_says_of_its_datastream() -> None:
    candidate = only(sensorthings.read(devices.OBSERVATION, parse_field_map("pm25=sta-999")))
    assert candidate.sensor_id == "sta-999"
    assert candidate.timestamp == datetime(2020, 10, 11, 10, 13, 14, tzinfo=UTC)
    assert candidate.values == {"pm25": 49.0}


def test_a_datastream_that_nobody_mapped_is_set_aside() -> None:
    candidate = only(sensorthings.read(devices.OBSERVATION, NO_MAP))
    assert candidate.values == {"sta-999": 49.0}


def test_an_observation_may_say_itself_what_where_and_when() -> None:
    candidate = only(sensorthings.read(devices.OBSERVATION_IN_FULL, NO_MAP))
    assert candidate.sensor_id == "sta-no2-roof"
    assert candidate.values == {"no2": 12.5}
    assert candidate.location == HELSINKI
    assert candidate.timestamp == datetime(2026, 5, 17, 11, tzinfo=UTC), "the end of the interval"


def test_a_unit_is_converted_and_one_that_nobody_knows_is_not_guessed() -> None:
    def of(symbol: str, quantity: str = "Temperature") -> dict[str, float | None]:
        unit = {"symbol": symbol}
        stream = {"@iot.id": 1, "name": quantity, "unitOfMeasurement": unit}
        return known(observation_with(Datastream=stream))

    assert of("degF") == {"temperature": pytest.approx((49 - 32) / 1.8)}
    assert of("°C") == {"temperature": 49.0}
    assert of("furlong") == {}
    assert of("ug/m3", "NO2") == {}, "a gas by mass needs its temperature"
    assert of("µg/m³", "PM2.5") == {"pm25": 49.0}


def test_the_datastream_in_the_address_comes_before_the_one_in_the_body() -> None:
    assert only(sensorthings.read(devices.OBSERVATION, NO_MAP, "7")).sensor_id == "sta-7"
    assert only(sensorthings.read(devices.OBSERVATION, NO_MAP, "'roof'")).sensor_id == "sta-roof"


@pytest.mark.parametrize("at", [None, "", "now", 12, "2026-13-01T00:00:00Z", []])
def test_an_observation_without_a_time_has_none(at: Any) -> None:
    assert observation_with(phenomenonTime=at).timestamp is None


@pytest.mark.parametrize("stream", [None, {}, {"@iot.id": None}, 3, {"@iot.id": {}}])
def test_an_observation_without_a_datastream_is_refused(stream: Any) -> None:
    body = json.dumps({"result": 1, "Datastream": stream}).encode()
    assert refusal(sensorthings.read(body, NO_MAP)) == "no_sensor_id"


@pytest.mark.parametrize(
    ("version", "shown"),
    [(0, devices.AIRGRADIENT_LOCAL), (1, devices.AIRGRADIENT_LOCAL_V1)],
)
def test_a_monitor_is_read_as_its_own_client_reads_it(version: int, shown: bytes) -> None:
    theirs = parse_measures_json(shown, api_version=ApiVersion(version))
    ours = only(airgradient.read(shown))
    raw_temperature = theirs.raw_ambient_temperature or theirs.ambient_temperature
    raw_humidity = theirs.raw_relative_humidity or theirs.relative_humidity
    assert ours.sensor_id == f"airgradient-{theirs.serial_number}"
    assert known(ours) == {
        "pm1": theirs.pm01,
        "pm25": theirs.raw_pm02 or theirs.pm02,
        "pm10": theirs.pm10,
        "temperature": raw_temperature,
        "humidity": raw_humidity,
    }
