"""What others publish: what is read, in which unit, and when it is no longer what it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from tests import published
from tests.published import SINCE, latest, location, measurement
from urbanos_edge.adapters import (
    Candidate,
    Location,
    Malformed,
    Message,
    openaq,
    records,
    sensor_community,
)
from urbanos_edge.archives.columns import parse_map
from urbanos_edge.errors import BadRequest
from urbanos_edge.names import FieldMap, parse_field_map
from urbanos_edge.reading import QUANTITY_NAMES

TEN = datetime(2026, 11, 23, 10, tzinfo=UTC)


def known(candidate: Candidate | Malformed) -> dict[str, float | None]:
    assert isinstance(candidate, Candidate), candidate
    return {name: value for name, value in candidate.values.items() if name in QUANTITY_NAMES}


def ids(message: Message) -> list[str | None]:
    return [one.sensor_id for one in message if isinstance(one, Candidate)]


def plan(column_map: str = "", **more: Any) -> records.Plan:
    chosen = parse_map(column_map)
    return records.Plan(source="json", prefix="town", chosen=chosen, **more)


def told_times(*times: Any, **more: Any) -> list[datetime | None]:
    """What the times of as many records become."""
    body = json.dumps([{"id": "a", "time": time, "pm25": 1} for time in times]).encode()
    read = records.read_json(body, plan(**more))
    return [one.timestamp if isinstance(one, Candidate) else None for one in read]


def test_a_list_of_sensor_community_is_one_sensor_for_each_chip_that_stands_outside() -> None:
    dust, weather = sensor_community.read(published.SENSOR_COMMUNITY)
    assert ids([dust, weather]) == ["sensorcommunity-41", "sensorcommunity-42"]
    assert known(dust) == {"pm10": 9.3, "pm25": 4.1}
    assert known(weather) == {"temperature": -2.5, "humidity": 81.0, "pressure": 987.315}
    assert isinstance(dust, Candidate)
    assert (dust.location, dust.timestamp) == (Location(60.171, 24.941), TEN)
    assert dust.source == "sensor-community"


@pytest.mark.parametrize("body", [b'{"error":"gone"}', b'["P1"]', b"<html>", b'[{"id":1},', b""])
def test_what_is_no_list_of_measurements_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(BadRequest):
        sensor_community.read(body)


def test_a_measurement_that_names_no_sensor_costs_no_other() -> None:
    nameless = measurement(1, "2026-11-23 10:00:00", P2="1")
    nameless["sensor"] = None
    body = json.dumps([nameless, measurement(2, "2026-11-23 10:00:00", P2="2")]).encode()
    malformed, read = sensor_community.read(body)
    assert isinstance(malformed, Malformed)
    assert known(read) == {"pm25": 2.0}


def test_locations_of_openaq_that_are_silent_are_not_asked() -> None:
    [station] = openaq.read_locations(published.OPENAQ_LOCATIONS, SINCE)
    assert station.id == 7
    assert station.fields == {
        70: "pm25_ugm3",
        71: "no2_ugm3",
        72: "o3_ppm",
        73: "relativehumidity_%",
    }


def test_the_latest_of_a_location_is_a_reading_for_each_moment_and_the_old_is_left_out() -> None:
    [station] = openaq.read_locations(published.OPENAQ_LOCATIONS, SINCE)
    earlier, later = openaq.read_latest(published.OPENAQ_LATEST, station, FieldMap(), SINCE)
    assert ids([earlier, later]) == ["openaq-7", "openaq-7"]
    assert known(earlier) == {"o3": pytest.approx(31.0)}, "0.031 ppm"
    assert known(later) == {"pm25": 12.5}, "NO₂ by mass has no temperature"
    assert isinstance(later, Candidate)
    assert (later.timestamp, later.location) == (TEN, Location(60.171, 24.941))
    assert later.values["no2_ugm3"] == 46.01, "kept aside and counted"


def test_a_map_tells_the_temperature_of_a_gas_by_mass() -> None:
    """46.01 g/mol and 24.04 L/mol: 46.01 µg/m³ at 20 °C are 24.04 ppb."""
    [station] = openaq.read_locations(published.OPENAQ_LOCATIONS, SINCE)
    names = parse_field_map("no2=no2_ugm3:ugm3@20C")
    _, later = openaq.read_latest(published.OPENAQ_LATEST, station, names, SINCE)
    assert known(later) == {"pm25": 12.5, "no2": pytest.approx(24.04)}


def test_strange_results_of_openaq_cost_no_others() -> None:
    body = published.openaq([None, {}, {"id": "x"}, {**location(7), "sensors": [None, {"id": 1}]}])
    assert [station.id for station in openaq.read_locations(body, SINCE)] == [7]
    [station] = openaq.read_locations(published.OPENAQ_LOCATIONS, SINCE)
    said = [3, {"sensorsId": []}, latest(7, 0, None, "2026-11-23T10:00:00Z")]
    good = latest(7, 2, 0.031, "2026-11-23T10:00:00Z")
    [read] = openaq.read_latest(published.openaq([*said, good]), station, FieldMap(), SINCE)
    assert known(read) == {"o3": pytest.approx(31.0)}
    for body in (b'{"detail":"not found"}', b"[]", b"{"):
        with pytest.raises(BadRequest):
            openaq.read_locations(body, SINCE)


def test_nested_records_are_read_by_the_way_to_their_fields() -> None:
    by_way = plan(
        "sensor_id=properties.station,timestamp=properties.measured,pm25=properties.dust.PM2.5,"
        "pm10=properties.dust.PM10,lng=geometry.coordinates.0,lat=geometry.coordinates.1",
        records="features",
        time_format="%d.%m.%Y %H:%M",
        zone=ZoneInfo("Europe/Helsinki"),
    )
    harbour, park = records.read_json(published.FEATURES, by_way)
    assert known(harbour) == {"pm25": 12.5, "pm10": 20.1}
    assert isinstance(harbour, Candidate)
    assert harbour.sensor_id == "town-harbour"
    assert harbour.location == Location(60.171, 24.941)
    assert harbour.timestamp == TEN, "noon in Helsinki, two hours ahead in November"
    assert isinstance(park, Malformed), "a time that cannot be read"


def test_a_table_with_decimal_commas_is_read_and_what_measured_nothing_left_out() -> None:
    columns = plan("sensor_id=Station,timestamp=Zeit,pm10=PM10,no2=NO2 µg/m³:ugm3@20C")
    [row] = records.read_csv(published.TABLE, columns)
    assert known(row) == {"pm10": 20.1, "no2": pytest.approx(24.04)}
    assert isinstance(row, Candidate)
    assert (row.sensor_id, row.timestamp) == ("town-Mitte", TEN)
    assert row.location == Location(60.171, 24.941)


def test_fields_that_say_what_they_are_need_no_map() -> None:
    body = b"sensor_id,time,lat,lon,PM2.5,temperature_f\na,2026-11-23T10:00:00Z,60,25,7,50\n"
    [row] = records.read_csv(body, plan())
    assert known(row) == {"pm25": 7.0, "temperature": 10.0}


def test_one_station_that_does_not_name_itself_is_named_by_its_plan() -> None:
    body = b'{"data":[{"station":{"time":1779026400,"pm25":5}}]}'
    named = plan(records="data.0.station", sensor_id="roof")
    [read] = records.read_json(body, named)
    assert ids([read]) == ["town-roof"]


def test_times_are_read_as_they_are_given() -> None:
    iso, naive, seconds, millis = told_times(
        "2026-11-23T12:00:00+02:00", "2026-11-23 10:00", 1795428000, "1795428000000"
    )
    assert (iso, naive, seconds, millis) == (TEN, TEN, TEN, TEN)
    assert told_times("2026-11-23 12:00", zone=ZoneInfo("Europe/Helsinki")) == [TEN]
    unusual = (
        "2026/11/23 10:00:00",
        "2026-11-23 10:00:00 UTC",
        1795428000.0,
        "1795428000000000000",
    )
    assert told_times(*unusual) == [TEN] * 4
    assert told_times(1795428000.25, 1795428000250.5) == [
        TEN.replace(microsecond=250_000),
        TEN.replace(microsecond=250_500),
    ]
    assert told_times(1e300, 1.5, "1795428000.2x") == [None] * 3
    assert told_times("", "soon", None, True, [], 17, "0001-01-01T00:00+14:00") == [None] * 7


@pytest.mark.parametrize(
    ("text", "time_format"),
    [
        ("25.10.2026 24:00", "%d.%m.%Y %H:%M"),
        ("24.00 25.10.2026", "%H.%M %d.%m.%Y"),
        ("2026-10-25T24:00:00", ""),
        ("2026/10/25 24:00", ""),
        ("2026-10-25 24:00:00Z", ""),
    ],
)
def test_the_hour_24_is_the_first_of_the_next_day(text: str, time_format: str) -> None:
    assert told_times(text, time_format=time_format) == [datetime(2026, 10, 26, tzinfo=UTC)]
    wrong = (text.replace("24", "25", 1), text.replace("00", "01", 1), text.replace("25", "32"))
    assert told_times(*wrong, time_format=time_format) == [None] * 3


@pytest.mark.parametrize(
    ("asked_at", "expected_hour"), [((0, 31), 0), ((0, 59), 0), ((1, 29), 1), ((9, 0), 1)]
)
def test_of_two_hours_that_are_called_alike_the_last_that_has_come_is_meant(
    asked_at: tuple[int, int], expected_hour: int
) -> None:
    """In Berlin it was 2:30 at 0:30 UTC and again at 1:30 UTC; a publisher's clock may be ahead."""
    berlin = plan(zone=ZoneInfo("Europe/Berlin"))
    body = b"sensor_id,time,pm25\na,2026-10-25 02:30,7\na,2026-10-25 01:30,6\n"
    now = datetime(2026, 10, 25, *asked_at, tzinfo=UTC)
    repeated, before = records.read_csv(body, berlin, now)
    assert isinstance(repeated, Candidate)
    assert isinstance(before, Candidate)
    assert repeated.timestamp == datetime(2026, 10, 25, expected_hour, 30, tzinfo=UTC)
    assert before.timestamp == datetime(2026, 10, 24, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"data":{"stations":[]}}', "there is no 'rows' in what came; there is: stations"),
        (b'{"data":{"rows":[1]}}', "there are no records"),
        (b'{"data":{"rows":[{"id":1,"time":"x","dust":1}]}}', "no field is a quantity"),
        (b'{"data":{"rows":[{"id":1,"pm25":1}]}}', "no field is the time; there is: id, pm25"),
        (b'{"data":{"rows":[{"time":"x","pm25":1}]}}', "no field is the sensor"),
        (b"[]", "there is no 'data'"),
    ],
)
def test_what_has_changed_its_shape_is_refused_with_what_is_there(body: bytes, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        records.read_json(body, plan(records="data.rows"))


def test_an_empty_list_is_nothing_and_ten_thousand_records_are_the_most() -> None:
    assert records.read_json(b"[]", plan()) == []
    row = b"a,2026-11-23T10:00:00Z,7\n"
    header = b"sensor_id,time,pm25\n"
    assert records.read_csv(header, plan()) == []
    assert len(records.read_csv(header + row * records.MAX_RECORDS, plan())) == 10_000
    with pytest.raises(BadRequest, match="more than 10,000 records"):
        records.read_csv(header + row * (records.MAX_RECORDS + 1), plan())


@pytest.mark.parametrize("body", [b"\xff\xfe", b'a,b\n"' + b"x" * 140_000])
def test_what_is_no_table_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="no table"):
        records.read_csv(body, plan())


def test_a_place_that_cannot_be_is_none() -> None:
    row = {"id": "a", "time": "2026-11-23T10:00:00Z", "pm25": 1, "lat": 91, "lng": 25}
    [read] = records.read_json(msgspec.json.encode([row]), plan())
    assert isinstance(read, Candidate)
    assert read.location is None
