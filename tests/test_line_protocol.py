"""Line protocol: its grammar beside two peers, and what becomes of fields and tags."""

from __future__ import annotations

import math
import time
import tracemalloc
from datetime import UTC, datetime
from typing import Any, Final, Literal

import line_protocol_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st
from influxdb_client import Point

from tests import devices
from urbanos_edge.adapters import Candidate, Location, Malformed
from urbanos_edge.adapters.line_protocol import MAX_LINES, BadLine, Line, Lines, parse, read
from urbanos_edge.errors import BadRequest, BodyTooLarge
from urbanos_edge.names import FieldMap, FieldMapError, meaning_of, parse_field_map

NO_MAP = FieldMap()
MOMENT = datetime(2026, 5, 17, 14, tzinfo=UTC)
MOMENT_S = 1779026400
NO_TIME_S = 0.02
"""Less than a clock tells reliably; the square of 200,000 is a thousand times as much."""


def lines(text: str, precision: str = "s", fields: FieldMap = NO_MAP) -> Lines:
    return read(text.encode(), precision, fields)


def candidates(text: str, precision: str = "s", fields: FieldMap = NO_MAP) -> list[Candidate]:
    found = [c for c in lines(text, precision, fields).message if isinstance(c, Candidate)]
    assert len(found) == len(lines(text, precision, fields).message)
    return found


def values(text: str, fields: FieldMap = NO_MAP) -> dict[str, float | None]:
    (candidate,) = candidates(text, fields=fields)
    return candidate.values


def one(text: str) -> Line:
    (line,) = parse(text)
    assert isinstance(line, Line), line
    return line


def test_a_line_has_a_measurement_tags_fields_and_a_time() -> None:
    line = one('air,sensor=s1,city=Oulu pm25=12.5,n=3i,u=4u,ok=t,note="dry" 1779026400')
    assert (line.measurement, line.tags) == ("air", {"sensor": "s1", "city": "Oulu"})
    assert line.fields == {"pm25": 12.5, "n": 3.0, "u": 4.0, "ok": None, "note": "dry"}
    assert line.timestamp == MOMENT_S


def test_commas_spaces_and_equal_signs_are_escaped_and_other_backslashes_are_none() -> None:
    line = one(r"my\ air\,x,a\=b\ c=d\,e\ f\=g,w=C:\temp f\,1\=2\ 3=1")
    assert line.measurement == "my air,x"
    assert line.tags == {"a=b c": "d,e f=g", "w": r"C:\temp"}
    assert line.fields == {"f,1=2 3": 1.0}


def test_a_text_has_escaped_quotes_and_backslashes_and_may_run_over_lines() -> None:
    first, second = parse('m a="say \\"hi\\", \\\\ 1=2",b="two\nlines" 7\nm c=1')
    assert isinstance(first, Line)
    assert first.fields == {"a": 'say "hi", \\ 1=2', "b": "two\nlines"}
    assert first.timestamp == 7
    assert isinstance(second, Line)
    assert second.number == 3


def test_comments_and_blank_lines_are_stepped_over_and_every_line_keeps_its_number() -> None:
    found = list(parse("# head\r\n\r\nm a=1\r\n  \n  # more\nm b=2 5  \n\n"))
    assert [line.number for line in found] == [3, 6]
    assert [line.fields for line in found if isinstance(line, Line)] == [{"a": 1.0}, {"b": 2.0}]


@pytest.mark.parametrize(
    "text",
    [
        "m",
        "m,",
        "m,t",
        "m,t a=1",
        "m,=x a=1",
        ",t=1 a=1",
        "m ",
        "m =1",
        "m a",
        "m a=1,",
        "m a=1 b=2",
        "m a=1 1.5",
        "m a=1 2 3",
        'm a="open',
        'm a="x"y',
        "m a=1 99999999999999999999999",
    ],
)
def test_a_line_that_is_none_is_named_and_costs_no_other(text: str) -> None:
    found = lines(f"m,sensor=a pm25=1\n{text}\nm,sensor=b pm25=2")
    refused = [one for one in found.message if isinstance(one, Malformed)]
    assert [c.sensor_id for c in found.message if isinstance(c, Candidate)] == ["a", "b"]
    assert [one.error.code for one in refused] == ["invalid_line"]
    assert found.numbers[found.message.index(refused[0])] == 2


def test_the_other_lines_keep_their_numbers_after_one_that_cannot_be_read() -> None:
    found = lines('m,sensor=a pm25=1\nx\ny\nm,sensor=b note="a\nb",pm25=2\nz')
    numbers = dict(zip(found.numbers, found.message, strict=True))
    assert sorted(numbers) == [1, 2, 3, 4, 6]
    assert isinstance(numbers[4], Candidate)


@pytest.mark.parametrize(
    "value", ["nan", "NaN", "inf", "-Infinity", "null", "1_0", "t", "False", "1e999", "", "0x1f"]
)
def test_a_value_that_is_no_number_is_set_aside_and_the_rest_is_kept(value: str) -> None:
    assert values(f"m,sensor=a pm10={value},pm25=2") == {"pm25": 2.0, "pm10": None}


def test_times_and_words_without_quotes_as_airrohr_sends_them_spoil_nothing() -> None:
    (candidate,) = read(devices.AIRROHR_LINE_UNQUOTED, "", NO_MAP).message
    assert isinstance(candidate, Candidate)
    assert candidate.sensor_id == "esp8266-77"
    assert candidate.values == {"pm25": 4.1, "GPS_timestamp": None, "signal": -61.0}


@pytest.mark.parametrize(
    ("precision", "timestamp"),
    [
        *[(name, MOMENT_S * 10**9) for name in ("", "n", "ns", "nanosecond", "auto")],
        *[(name, MOMENT_S * 10**6) for name in ("u", "us", "µ", "microsecond", "auto", "")],
        *[(name, MOMENT_S * 10**3) for name in ("ms", "millisecond", "auto", "")],
        *[(name, MOMENT_S) for name in ("s", "second", "auto", "")],
        ("m", MOMENT_S // 60),
        ("h", MOMENT_S // 3600),
    ],
)
def test_a_time_is_in_the_precision_that_was_said(precision: str, timestamp: int) -> None:
    (candidate,) = candidates(f"m,sensor=a pm25=1 {timestamp}", precision)
    assert candidate.timestamp == MOMENT


def test_nanoseconds_are_cut_to_microseconds() -> None:
    (candidate,) = candidates(f"m,sensor=a pm25=1 {MOMENT_S}123456789", "ns")
    assert candidate.timestamp == MOMENT.replace(microsecond=123456)


def test_a_precision_that_is_none_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="'weeks' is no precision"):
        lines("m a=1", "weeks")


def test_a_time_beyond_all_calendars_is_named() -> None:
    (refused,) = lines("m,sensor=a pm25=1 9223372036854775807").message
    assert isinstance(refused, Malformed)


def test_more_lines_than_a_request_may_have_are_refused_at_once() -> None:
    with pytest.raises(BodyTooLarge):
        lines("m,sensor=a pm25=1\n" * (MAX_LINES + 1))


@pytest.mark.parametrize(
    ("name", "quantity", "value"),
    [
        *[(name, "pm10", 1.0) for name in ("SDS_P1", "P1", "PMS_P1", "pm10", "PM10", "pm10_0")],
        *[(name, "pm25", 1.0) for name in ("SDS_P2", "P2", "pm2_5", "PM2.5", "pm25", "pm02")],
        *[(name, "pm1", 1.0) for name in ("NPM_P0", "pm1_0", "pm01", "PM1")],
        *[(name, "temperature", 1.0) for name in ("BME280_temperature", "temp", "sht31_temp")],
        *[(name, "humidity", 1.0) for name in ("rh", "hum", "relative_humidity", "DHT22_humidity")],
        ("temp_f", "temperature", (1 - 32) / 1.8),
        ("pressure", "pressure", 1.0),
        ("pressure_hpa", "pressure", 1.0),
        ("pressure_pa", "pressure", 0.01),
        ("BME280_pressure", "pressure", 0.01),
        ("bme280_pressure", "pressure", 1.0),
        ("NO2_ppb", "no2", 1.0),
        ("co_ppb", "co", 0.001),
        *[(name, "pm25", 1.0) for name in ("PM₂.₅", "PM₂₅ (µg/m³)", "PM2,5 [μg/m³]")],  # noqa: RUF001
        *[("O₃", "o3", 1.0), ("NO₂ (ppb)", "no2", 1.0), ("SO²", "so2", 1.0)],
    ],
)
def test_a_field_is_known_by_its_name_and_the_unit_in_it(
    name: str, quantity: str, value: float
) -> None:
    meaning = meaning_of(name)
    assert meaning is not None
    assert meaning.quantity == quantity
    assert meaning.value(1.0) == pytest.approx(value)


@pytest.mark.parametrize(
    "name",
    [
        *("HECA_temperature", "HECA_humidity"),
        *("usage_idle", "p2p", "no2_ugm3", "P4", "count", "", "x" * 5000, "spam", "combat"),
        *("CO₂", "CO²", "co₂_ppm", "N₂O", "NO₂ (µg/m³)"),
    ],
)
def test_a_field_whose_name_says_nothing_is_not_guessed(name: str) -> None:
    assert meaning_of(name) is None


def test_a_pressure_is_never_converted_by_its_size() -> None:
    assert values("m,sensor=a pressure=98731.5")["pressure"] == 98731.5


def test_a_field_called_value_has_the_name_of_its_measurement() -> None:
    assert values("temperature,sensor=a value=21.5") == {"temperature": 21.5}
    assert values("door,sensor=a value=1") == {"door": 1.0}


def test_the_first_tag_that_may_name_a_sensor_does() -> None:
    assert candidates("m,host=h,node=n,sensor=s,sensor_id=i pm25=1")[0].sensor_id == "i"
    assert candidates("m,host=h,node=n pm25=1")[0].sensor_id == "n"
    assert candidates("m,sensorId=x,host=h pm25=1")[0].sensor_id == "x"
    assert candidates("m,sensor_id=,host=h pm25=1")[0].sensor_id == "h"
    assert candidates("m,room=r pm25=1")[0].sensor_id is None


def test_a_sensor_whose_name_cannot_be_kept_is_not_taken_for_its_host() -> None:
    (refused,) = lines(f"m,sensor={'x' * 200},host=h pm25=1").message
    assert isinstance(refused, Malformed)
    (refused,) = read(b"m,sensor=\xff,host=h pm25=1", "", NO_MAP).message
    assert isinstance(refused, Malformed)


@pytest.mark.parametrize(
    "text",
    [
        "m,sensor=a,lat=60.171,lon=24.941 pm25=1",
        "m,sensor=a lat=60.171,lng=24.941,pm25=1",
        "m,sensor=a pm25=1,latitude=60.171,longitude=24.941",
        "m,sensor=a pm25=1,GPS_lat=60.171,GPS_lon=24.941",
    ],
)
def test_a_place_comes_in_tags_or_in_fields(text: str) -> None:
    (candidate,) = candidates(text)
    assert candidate.location == Location(60.171, 24.941)
    assert candidate.values == {"pm25": 1.0}


@pytest.mark.parametrize("lat", ["91", "nan", "0", "north"])
def test_a_place_that_is_none_is_left_out(lat: str) -> None:
    assert candidates(f"m,sensor=a pm25=1,lat={lat},lon=0")[0].location is None


def test_lines_about_one_sensor_at_one_moment_are_one_reading() -> None:
    (candidate,) = candidates(
        f"temperature,sensor=a value=21 {MOMENT_S}\n"
        f"humidity,sensor=a value=40 {MOMENT_S}\n"
        f"air,sensor=a,lat=60.171,lon=24.941 pm25=3 {MOMENT_S}\n"
    )
    assert candidate.values == {"temperature": 21.0, "humidity": 40.0, "pm25": 3.0}
    assert candidate.location == Location(60.171, 24.941)


def test_devices_that_only_their_host_names_are_not_taken_for_each_other() -> None:
    text = (
        "bme,host=h,bus=1 temp=20 5\n"
        "bme,host=h,bus=1 temp=21 5\n"  # the same again: a revision
        "bme,host=h,bus=2 temp=30,rh=40 5\n"
        "bme,host=h,bus=2 temp=31 6\n"
        "dust,host=h,port=a pm25=3 5\n"  # another quantity: what one device measures
        "dht,host=h rh=50 5\n"
        "bme,host=h,bus=1,sensor=s temp=40 5\n"
        "bme,host=h,bus=2,sensor=s temp=41 5\n"
    )
    found = lines(text)
    [refused] = [one for one in found.message if isinstance(one, Malformed)]
    assert found.numbers[found.message.index(refused)] == 3
    assert refused.error.message.startswith("another device of host 'h' has said this")
    assert "give each a tag of its own, like 'sensor'" in refused.error.message
    kept = [one.values for one in found.message if isinstance(one, Candidate)]
    assert {"temperature": 21.0, "pm25": 3.0, "humidity": 50.0} in kept
    assert len(kept) == 5


def test_lines_that_say_the_same_quantity_twice_are_two_readings() -> None:
    assert [c.values for c in candidates("m,sensor=a pm25=1\nm,sensor=a pm25=2,pm10=4\n")] == [
        {"pm25": 1.0},
        {"pm25": 2.0, "pm10": 4.0},
    ]


def test_lines_about_other_sensors_and_moments_stay_apart() -> None:
    assert len(candidates("m,sensor=a pm25=1 5\nm,sensor=b pm10=1 5\nm,sensor=a pm10=1 6")) == 3


def test_a_map_says_what_names_do_not() -> None:
    fields = parse_field_map(
        "pm25=fine dust, temperature=T1:f, no2=N:ugm3@20C, sensor_id=station, lat=Y, lng=X"
    )
    (candidate,) = candidates(
        r"m,station=st-1,host=h,Y=60.171,X=24.941 fine\ dust=5,T1=50,N=19.1,pm10=7", fields=fields
    )
    assert candidate.sensor_id == "st-1"
    assert candidate.location == Location(60.171, 24.941)
    assert candidate.values == {
        "pm25": 5.0,
        "temperature": pytest.approx(10.0),
        "no2": pytest.approx(19.1 * 24.04 / 46.01),
        "pm10": 7.0,
    }


def test_what_a_map_says_comes_before_what_names_say_wherever_it_stands() -> None:
    fields = parse_field_map("pm25=fine,pm25=finer,pm10=P2")
    assert values("m,sensor=a SDS_P2=1,fine=5,finer=6", fields) == {
        **{"SDS_P2": 1.0, "pm25": 5.0, "finer": 6.0}
    }
    assert values("m,sensor=a P1=1,P2=2", fields) == {"P1": 1.0, "pm10": 2.0}
    assert values("m,sensor=a pm25=1,fine=x", fields) == {"pm25": 1.0, "fine": None}


def test_what_a_ppd42_counts_is_no_mass_unless_a_map_says_so() -> None:
    text = "feinstaub,node=esp8266-1 durP1=3512,ratioP1=1.17,P1=612.2,ratioP2=0.04,P2=62,SDS_P2=4"
    counted = {"durP1": 3512.0, "ratioP1": 1.17, "P1": 612.2, "ratioP2": 0.04}
    assert values(text) == {**counted, "P2": 62.0, "pm25": 4.0}
    told = parse_field_map("pm25=P2")
    assert values(text, told) == {**counted, "pm25": 62.0, "SDS_P2": 4.0}


@pytest.mark.parametrize("spec", ["pm25", "pm25=", "dust=x", "no2=N:ugm3", "pm25=x:furlong", "=x"])
def test_a_map_that_is_none_is_refused(spec: str) -> None:
    with pytest.raises(FieldMapError):
        parse_field_map(spec)


def test_a_batch_of_telegraf_is_one_reading_a_moment() -> None:
    (candidate,) = read(devices.TELEGRAF, "", NO_MAP).message
    assert isinstance(candidate, Candidate)
    assert candidate.sensor_id == "telegraf-1"
    assert candidate.timestamp == MOMENT
    assert candidate.values == {
        "pm25": 12.5,
        "pm10": 20.0,
        "temperature": 21.5,
        "humidity": 40.0,
        "usage_idle": 97.3,
        "n": 4.0,
    }


_CONTROLS: Final[tuple[Literal["Cs", "Cc"], ...]] = ("Cs", "Cc")
_names = st.text(
    st.characters(blacklist_categories=_CONTROLS, blacklist_characters='\\"#'), min_size=1
).filter(lambda name: name.strip() == name and not name.startswith("_"))
_numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
_words = st.text(st.characters(blacklist_categories=_CONTROLS[:1], blacklist_characters="\r\0"))
_fields = st.dictionaries(_names, st.one_of(_numbers, st.integers(-(2**53), 2**53), _words))


@given(_names, st.dictionaries(_names, _names), _fields.filter(bool), st.integers(0, 2**62))
def test_what_influxdb_client_writes_is_read_as_it_was_meant(
    measurement: str, tags: dict[str, str], fields: dict[str, Any], timestamp: int
) -> None:
    point = Point(measurement).time(timestamp)
    for name, value in tags.items():
        point.tag(name, value)
    for name, value in fields.items():
        point.field(name, value)
    line = one(point.to_line_protocol())
    assert (line.measurement, line.tags, line.timestamp) == (measurement, tags, timestamp)
    assert line.fields == fields


@given(_names, st.dictionaries(_names, _names, max_size=3), _fields.filter(bool))
def test_a_line_is_read_as_another_parser_reads_it(
    measurement: str, tags: dict[str, str], fields: dict[str, Any]
) -> None:
    point = Point(measurement)
    for name, value in tags.items():
        point.tag(name, value)
    for name, value in fields.items():
        point.field(name, value.replace("\n", " ") if isinstance(value, str) else value)
    text = point.to_line_protocol()
    theirs = line_protocol_parser.parse_line(text)
    ours = one(text)
    assert (ours.measurement, ours.tags) == (theirs["measurement"], theirs["tags"])
    assert ours.fields == theirs["fields"]


@given(st.text(st.sampled_from('m,= "\\\n\r1.5ie#tx')))
def test_any_text_is_read_to_its_end_and_every_line_has_its_number(text: str) -> None:
    found = list(parse(text))
    numbers = [line.number for line in found]
    assert numbers == sorted(set(numbers))
    assert all(1 <= number <= text.count("\n") + 1 for number in numbers)
    for line in found:
        assert isinstance(line, BadLine) or line.fields
        for value in line.fields.values() if isinstance(line, Line) else ():
            assert not isinstance(value, float) or math.isfinite(value)


def took_s(text: str) -> float:
    """Of the processor's time, to read a text: the best of three."""

    def once() -> float:
        began_s = time.process_time()
        for _ in zip(range(MAX_LINES), parse(text), strict=False):
            pass
        return time.process_time() - began_s

    return min(once() for _ in range(3))


@pytest.mark.parametrize("piece", ["\\", '"', "=", ",", " ", "a=", '\\"', 'm a="', "m,a\\="])
def test_no_text_takes_more_time_than_its_length(piece: str) -> None:
    """Where it took the square, eight times as much would take sixty-four times as long."""
    for head, tail in (("", ""), ("m ", ""), ("m,t=", "\n x")):
        short, long = (head + piece * count + tail for count in (25_000, 200_000))
        assert took_s(long) < max(20 * took_s(short), NO_TIME_S)


@pytest.mark.parametrize("piece", ["#\n", "\n#", " #x\n"])
def test_what_is_stepped_over_takes_no_more_memory_than_its_length(piece: str) -> None:
    """A trail of every step would be forty times as long; packed, such a body has a kilobyte."""
    text = piece * 500_000
    tracemalloc.start()
    try:
        assert list(parse(text)) == []
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < len(text)
