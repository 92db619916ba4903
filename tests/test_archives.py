"""Archives: real ones, and rows that are readings or are none."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import duckdb
import pytest

from tests.archived import opened, readings, rejections, written
from urbanos_edge.archives import Rejected, Row

# --- real files ---


def beginning(path: Path, lines: int, folder: Path) -> Path:
    """A file of its first lines, packed and named like the whole."""
    with gzip.open(path, "rt") as whole, gzip.open(folder / path.name, "wt", 1) as part:
        part.writelines(islice(whole, lines))
    return folder / path.name


def test_every_row_of_the_aberdeen_dust_archive_is_a_reading_but_the_empty_one(
    data: Path, tmp_path: Path
) -> None:
    archive = opened(beginning(data / "readings/aberdeen/sds011.csv.gz", 120_000, tmp_path))
    sums: dict[str, list[float]] = {}
    rejected = []
    for row in archive.rows():
        if isinstance(row, Rejected):
            rejected.append((row.line, row.reason))
            continue
        total = sums.setdefault(row.ingest["sensor_id"], [0, 0.0, 0.0])
        total[0] += 1
        total[1] += row.ingest["values"].get("pm10", 0.0)
        total[2] += row.ingest["values"].get("pm25", 0.0)
    assert rejected == [(109_638, "no_value")]
    expected = duckdb.sql(
        f"""SELECT sensor_id::VARCHAR, count(*), sum(coalesce(P1, 0)), sum(coalesce(P2, 0))
        FROM read_csv('{archive.path}', delim = ';')
        WHERE coalesce(P1, P2) IS NOT NULL GROUP BY 1"""
    ).fetchall()
    assert sum(total[0] for total in sums.values()) == 120_000 - 2
    assert {sensor for sensor, *_ in expected} == sums.keys()
    for sensor, *totals in expected:
        assert sums[sensor] == pytest.approx(totals, rel=1e-9)


def test_the_aberdeen_weather_archive_gives_hectopascals(data: Path, tmp_path: Path) -> None:
    archive = opened(beginning(data / "readings/aberdeen/bme280.csv.gz", 50_000, tmp_path))
    assert archive.format == "sensor-community"
    rows = readings(archive)
    assert len(rows) == 50_000 - 1
    assert rows[0] == {
        "sensor_id": "15093",
        "timestamp": datetime(2019, 2, 18, 0, 2, 1, tzinfo=UTC),
        "location": {"lat": 56.963, "lng": -2.211},
        "values": {"pressure": 100301.28 / 100, "temperature": 7.51, "humidity": 92.23},
    }


def test_taichung_is_read_by_the_names_of_its_columns(data: Path) -> None:
    archive = opened(data / "readings/taichung/taichung_123.csv.gz")
    assert archive.format == "csv"
    rows = readings(archive)
    assert len(rows) == 91_512
    assert rows[0] == {
        "sensor_id": "airbox-051",
        "timestamp": datetime(2017, 2, 28, 16, tzinfo=UTC),
        "location": {"lat": 24.149, "lng": 120.681},
        "values": {"pm25": 54.18},
    }


def test_beijing_is_converted_by_its_map_and_placed_by_its_stations(data: Path) -> None:
    column_map = (
        "pm25=PM2.5,pm10=PM10,so2=SO2:ugm3@20C,no2=NO2:ugm3@20C,co=CO:ugm3@25C,o3=O3:ugm3@0C,"
        "temperature=TEMP,pressure=PRES:hPa"
    )
    archive = opened(
        data / "readings/beijing/haze.csv.gz",
        column_map,
        stations=data / "readings/beijing/stations_coords.csv",
    )
    first = readings(archive)[0]
    assert first["sensor_id"] == "Aotizhongxin"
    assert first["location"] == {"lat": 39.982, "lng": 116.397}
    assert first["values"] == pytest.approx(
        {
            "pm25": 19.0,
            "pm10": 19.0,
            "so2": 5.0 * 24.04 / 64.07,
            "no2": 40.0 * 24.04 / 46.01,
            "co": 0.5 * 24.45 / 28.01,
            "o3": 38.0 * 22.41 / 48.00,
            "temperature": -1.7,
            "pressure": 1031.2,
        }
    )
    assert len(readings(archive)) + len(rejections(archive)) == 7_776
    assert "ignores DEWP, RAIN, wd, WSPM" in archive.describe


def test_rows_of_beijing_without_particles_are_counted_as_rejected_when_only_those_are_read(
    data: Path,
) -> None:
    archive = opened(data / "readings/beijing/haze.csv.gz", "pm25=PM2.5,pm10=PM10")
    expected = duckdb.sql(
        f"""SELECT count(*) FROM read_csv('{archive.path}')
        WHERE coalesce("PM2.5", PM10) IS NULL"""
    ).fetchone()
    assert expected is not None and expected[0] > 0
    assert Counter(reason for _, reason in rejections(archive)) == {"no_value": expected[0]}


# --- rows ---


def test_every_row_that_is_no_reading_says_why(tmp_path: Path) -> None:
    text = (
        "sensor_id,lat,lon,timestamp,pm25,pm10\n"
        "a,1,2,2024-01-01T00:00:00Z,5,6\n"  # line 2: good
        "a,1,2,2024-01-01T00:01:00Z,,\n"
        "a,1,2,yesterday,5,6\n"
        "a,1,2,,5,6\n"
        ",1,2,2024-01-01T00:01:00Z,5,6\n"
        "a,north,2,2024-01-01T00:01:00Z,5,6\n"
        "a,1,2,2024-01-01T00:01:00Z,five,6\n"
        "a,1,2,2024-01-01T00:01:00Z,inf,6\n"
        "a,1,2,2024-01-01T00:01:00Z\n"
        "\n"
        "sensor_id,lat,lon,timestamp,pm25,pm10\n"
        "a,1,2,2024-01-01T00:02:00Z,nan,6\n"  # line 13: good
    )
    archive = opened(written(tmp_path, text))
    assert rejections(archive) == [
        (3, "no_value"),
        (4, "unreadable_time"),
        (5, "unreadable_time"),
        (6, "no_sensor_id"),
        (7, "unreadable_place"),
        (8, "unreadable_value"),
        (9, "unreadable_value"),
        (10, "unreadable_row"),
        (12, "unreadable_time"),
    ]
    assert [reading["values"] for reading in readings(archive)] == [
        {"pm25": 5, "pm10": 6},
        {"pm10": 6},
    ]


def test_particle_counts_are_not_taken_for_a_mass(tmp_path: Path) -> None:
    header = "sensor_id;sensor_type;location;lat;lon;timestamp;P1;durP1;ratioP1;P2;durP2;ratioP2\n"
    rows = (
        "1;PPD42NS;2;48.1;9.1;2019-01-01T00:00:00;2210.5;;;0.62;;\n"
        "2;PMS7003;2;48.1;9.1;2019-01-01T00:00:00;9.5;;;4.5;;\n"
    )
    archive = opened(written(tmp_path, header + rows))
    assert rejections(archive) == [(2, "particle_counts")]
    assert [reading["values"] for reading in readings(archive)] == [{"pm10": 9.5, "pm25": 4.5}]


def test_a_decimal_comma_is_read_where_commas_do_not_separate(tmp_path: Path) -> None:
    semicolons = written(tmp_path, "sensor_id;timestamp;pm25\na;2024-01-01;12,5\n")
    assert readings(opened(semicolons))[0]["values"] == {"pm25": 12.5}
    commas = written(tmp_path, 'sensor_id,timestamp,pm25\na,2024-01-01,"1,250"\n')
    assert rejections(opened(commas)) == [(2, "unreadable_value")]


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-01T10:00:00Z",
        "2024-03-01 10:00:00",
        "2024-03-01T12:00:00+02:00",
        "2024/03/01T10:00:00z",
        "2024-03-01 10:00:00 UTC",
        "1709287200",
        "1709287200000",
        "1709287200000000",
        "1709287200000000000",
        "1709287200.0",
    ],
)
def test_one_moment_in_many_spellings(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, f"sensor_id,timestamp,pm25\na,{text},1\n")
    (row,) = opened(path).rows()
    assert isinstance(row, Row)
    assert row.timestamp == datetime(2024, 3, 1, 10, tzinfo=UTC)


def test_the_hour_24_ends_a_day_and_no_calendar(tmp_path: Path) -> None:
    times = ("2024-02-29 24:00", "2024-02-29T24:00:00Z", "9999-12-31 24:00", "2024-02-29 24:01")
    rows = "".join(f"a,{time},1\n" for time in times)
    archive = opened(written(tmp_path, f"sensor_id,timestamp,pm25\n{rows}"))
    assert [one["timestamp"] for one in readings(archive)] == [datetime(2024, 3, 1, tzinfo=UTC)] * 2
    assert rejections(archive) == [(4, "unreadable_time"), (5, "unreadable_time")]


def test_digits_that_also_read_as_a_compact_date_are_a_count_of_milliseconds(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "sensor_id,timestamp,pm25\na,1512121210000,1\n")
    (row,) = opened(path).rows()
    assert isinstance(row, Row)
    assert row.timestamp == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=1_512_121_210)


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (
            "UBIGINT",
            "18446744073709551615, 9007199254740993",
            "18446744073709551615 9007199254740993",
        ),
        ("DECIMAL(20,0)", "9007199254740993, 12345", "9007199254740993 12345"),
        ("HUGEINT", "12345, 67890", "12345 67890"),
        ("UINTEGER", "4294967295, 7", "4294967295 7"),
        ("USMALLINT", "65535, 7", "65535 7"),
        ("UTINYINT", "255, 7", "255 7"),
        ("DOUBLE", "12345, 'NaN'::DOUBLE, 67890, 1.5", "12345 67890 1.5"),
        ("FLOAT", "12345, NULL", "12345"),
    ],
)
def test_sensors_that_have_numbers_are_called_by_all_their_digits(
    tmp_path: Path, kind: str, given: str, expected: str
) -> None:
    query = (
        f"SELECT unnest([{given}]::{kind}[]) AS id, TIMESTAMP '2024-03-01 10:00' AS time, 7 AS pm25"
    )
    path = tmp_path / "sensors.parquet"
    duckdb.sql(query).write_parquet(str(path))
    archive = opened(path)
    assert [reading["sensor_id"] for reading in readings(archive)] == expected.split()
    assert {reason for _, reason in rejections(archive)} <= {"no_sensor_id"}


@pytest.mark.parametrize(
    "kind", ["BIGINT", "UBIGINT", "HUGEINT", "DECIMAL(18,0)", "DECIMAL(18,3)", "DOUBLE"]
)
@pytest.mark.parametrize("count", [1_709_287_200, 1_709_287_200_000])
def test_counts_since_1970_are_read_whatever_their_column_is(
    tmp_path: Path, kind: str, count: int
) -> None:
    path = tmp_path / "counts.parquet"
    query = f"SELECT 'a' AS id, {count}::{kind} AS time, 7::UTINYINT AS pm25"
    duckdb.sql(query).write_parquet(str(path))
    (reading,) = readings(opened(path))
    assert reading["timestamp"] == datetime(2024, 3, 1, 10, tzinfo=UTC)
    assert reading["values"] == {"pm25": 7}
