"""What a column of an archive is taken for, and in which unit."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.archived import only_values, opened, readings, written
from urbanos_edge.archives import ArchiveError, MapError

# --- units ---


@pytest.mark.parametrize(
    ("source", "cell", "quantity", "expected"),
    [
        ("no2=X:ugm3@20C", "40", "no2", 40 * 24.04 / 46.01),
        ("no2=X:µg/m³@25°C", "40", "no2", 40 * 24.45 / 46.01),
        ("o3=X:mg/m3@25C", "0.12", "o3", 120 * 24.45 / 48.00),
        ("so2=X:ugm3@0C", "64.07", "so2", 22.41),
        ("co=X:mgm3@20C", "10", "co", 10 * 24.04 / 28.01),
        ("co=X:ugm3@25C", "500", "co", 0.5 * 24.45 / 28.01),
        ("co=X:ppb", "350", "co", 0.35),
        ("o3=X:ppm", "0.07", "o3", 70.0),
        ("pm25=X:mg/m3", "0.035", "pm25", 35.0),
        ("temperature=X:F", "68", "temperature", 20.0),
        ("temperature=X:K", "273.15", "temperature", 0.0),
        ("pressure=X:Pa", "101325", "pressure", 1013.25),
        ("pressure=X:kPa", "101.325", "pressure", 1013.25),
        ("pressure=X:inHg", "29.92", "pressure", 29.92 * 33.86389),
        ("humidity=X:fraction", "0.81", "humidity", 81.0),
    ],
)
def test_a_unit_of_the_map_becomes_the_unit_of_the_node(
    tmp_path: Path, source: str, cell: str, quantity: str, expected: float
) -> None:
    assert only_values(tmp_path, "X", cell, source) == {quantity: pytest.approx(expected)}


def test_a_unit_in_the_name_of_a_column_is_understood(tmp_path: Path) -> None:
    header = "PM2.5 (µg/m³),temperature_f,Pressure [Pa],NO2 (ppm),CO_mgm3@20C"
    assert only_values(tmp_path, header, "12,50,99000,0.02,1") == pytest.approx(
        {"pm25": 12, "temperature": 10, "pressure": 990, "no2": 20, "co": 24.04 / 28.01}
    )


def test_a_gas_in_micrograms_needs_the_temperature_it_is_stated_at(tmp_path: Path) -> None:
    with pytest.raises(MapError, match="no2 in ugm3 needs the temperature"):
        only_values(tmp_path, "NO2", "40", "no2=NO2:ugm3")
    with pytest.raises(MapError, match="no2 in ugm3 needs the temperature"):
        only_values(tmp_path, "no2_ugm3", "40")


# --- columns ---


@pytest.mark.parametrize(
    ("header", "quantity"),
    [
        ("PM1.0", "pm1"),
        ("PM10", "pm10"),
        ("PM 10", "pm10"),
        ("pm2_5", "pm25"),
        ("PM2,5", "pm25"),
        ("Ozone", "o3"),
        ("Relative Humidity (%)", "humidity"),
        ("Temp (°C)", "temperature"),
    ],
)
def test_quantities_are_known_by_their_common_names(
    tmp_path: Path, header: str, quantity: str
) -> None:
    assert only_values(tmp_path, f'"{header}"', "7") == {quantity: 7.0}


@pytest.mark.parametrize("header", ["pm25_aqi", "PM10 24h", "pm2.5_atm_b", "no2_flag", "count"])
def test_what_only_resembles_a_quantity_is_not_read(tmp_path: Path, header: str) -> None:
    with pytest.raises(MapError, match="no column is a quantity"):
        only_values(tmp_path, header, "7")


def test_a_map_that_names_quantities_names_all_that_are_read(tmp_path: Path) -> None:
    assert only_values(tmp_path, "CO,PM2.5", "500,12", "pm25=PM2.5") == {"pm25": 12}


def test_a_map_names_a_column_with_a_comma_in_it(tmp_path: Path) -> None:
    spec = "pm25=PM2,5,pm10=PM10"
    assert only_values(tmp_path, '"PM2,5",PM10', "1,2", spec) == {"pm25": 1, "pm10": 2}


def test_a_map_names_who_where_and_when(tmp_path: Path) -> None:
    path = written(tmp_path, "unit;y;x;taken;dust\nA;60.1;24.9;2024-05-01 12:00;8\n")
    spec = "sensor_id=unit,lat=y,lng=x,timestamp=taken,pm25=dust"
    assert readings(opened(path, spec)) == [
        {
            "sensor_id": "A",
            "timestamp": datetime(2024, 5, 1, 12, tzinfo=UTC),
            "location": {"lat": 60.1, "lng": 24.9},
            "values": {"pm25": 8.0},
        }
    ]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("pm52=PM2.5", "'pm52' is neither a quantity nor .* did you mean pm25"),
        ("pm25=PM2.5:stone", "'stone' is not a unit of pm25; there is: ugm3, mgm3"),
        ("pm25=DUST", "there is no column 'DUST'; there is: sensor_id, timestamp, PM2.5"),
        ("pm25", "'pm25' in the map is not of the form"),
        ("pm25=PM2.5,pm25=PM2.5", "names pm25 twice"),
        ("lat=north", "there is no column 'north'"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_in_one_clear_line(
    tmp_path: Path, spec: str, message: str
) -> None:
    with pytest.raises(MapError, match=message) as caught:
        only_values(tmp_path, "PM2.5", "1", spec)
    assert "\n" not in caught.value.message


def test_a_file_without_an_id_or_a_time_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(MapError, match="no column is the sensor's id.*the file has: when, pm25"):
        opened(written(tmp_path, "when,pm25\n2024-01-01,1\n"))
    with pytest.raises(MapError, match="no column is the time.*--map timestamp=COLUMN"):
        opened(written(tmp_path, "station,pm25\nA,1\n"))


def test_stations_place_only_the_rows_that_have_no_place(tmp_path: Path) -> None:
    path = written(
        tmp_path, "site,lat,lon,time,pm25\nA,1,2,2024-01-01,5\nB,,,2024-01-01,5\nC,,,2024-01-01,5\n"
    )
    stations = written(tmp_path, "id;latitude;longitude\nA;9;9\nB;3;4,5\n", "stations.csv")
    with pytest.raises(ArchiveError, match="'4,5' in stations.csv is no lng"):
        opened(path, stations=stations)
    stations.write_text("id;latitude;longitude\nA;9;9\nB;3;4.5\n")
    assert [reading.get("location") for reading in readings(opened(path, stations=stations))] == [
        {"lat": 1, "lng": 2},
        {"lat": 3, "lng": 4.5},
        None,
    ]
