"""Readers of archives: real files, every unit, and whatever else a file may hold."""

from __future__ import annotations

import csv
import gzip
import io
import tracemalloc
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from urbanos_edge.archives import (
    REASONS,
    Archive,
    ArchiveError,
    ArchiveOptions,
    MapError,
    Rejected,
    Row,
    open_archive,
)


def written(tmp_path: Path, text: str, name: str = "archive.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def opened(path: Path, column_map: str = "", **options: Any) -> Archive:
    return open_archive(path, ArchiveOptions(column_map=column_map, **options))


def readings(archive: Archive) -> list[dict[str, Any]]:
    return [row.ingest for row in archive.rows() if isinstance(row, Row)]


def only_values(tmp_path: Path, header: str, cells: str, column_map: str = "") -> dict[str, float]:
    text = f"sensor_id,timestamp,{header}\ns,2024-01-01T00:00:00Z,{cells}\n"
    (reading,) = readings(opened(written(tmp_path, text), column_map))
    values: dict[str, float] = reading["values"]
    return values


def rejections(archive: Archive) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in archive.rows() if isinstance(row, Rejected)]


# --- real files -------------------------------------------------------------------------------


def test_every_row_of_the_aberdeen_dust_archive_is_a_reading_but_the_empty_one(data: Path) -> None:
    archive = opened(data / "readings/aberdeen/sds011.csv.gz")
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
    assert sum(total[0] for total in sums.values()) == 1_049_062
    assert {sensor for sensor, *_ in expected} == sums.keys()
    for sensor, *totals in expected:
        assert sums[sensor] == pytest.approx(totals, rel=1e-9)


def test_the_aberdeen_weather_archive_gives_hectopascals(data: Path) -> None:
    archive = opened(data / "readings/aberdeen/bme280.csv.gz")
    assert archive.format == "sensor-community"
    rows = readings(archive)
    assert len(rows) == 213_618
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


# --- units ------------------------------------------------------------------------------------


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


# --- columns ----------------------------------------------------------------------------------


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


# --- rows -------------------------------------------------------------------------------------


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
    ],
)
def test_one_moment_in_many_spellings(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, f"sensor_id,timestamp,pm25\na,{text},1\n")
    (row,) = opened(path).rows()
    assert isinstance(row, Row)
    assert row.timestamp == datetime(2024, 3, 1, 10, tzinfo=UTC)


def test_digits_that_also_read_as_a_compact_date_are_a_count_of_milliseconds(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "sensor_id,timestamp,pm25\na,1512121210000,1\n")
    (row,) = opened(path).rows()
    assert isinstance(row, Row)
    assert row.timestamp == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=1_512_121_210)


# --- NDJSON -----------------------------------------------------------------------------------


def test_a_reading_in_the_shape_of_the_node_passes_unchanged(tmp_path: Path) -> None:
    reading = {
        "sensor_id": "school-12",
        "location": {"lat": 60.171, "lng": 24.941},
        "timestamp": "2026-11-23T10:00:00Z",
        "source": "api",
        "priority": 5,
        "aqi": None,
        "values": {"pm25": 12.3, "voc": 7},
    }
    path = written(tmp_path, msgspec.json.encode(reading).decode() + "\n", "r.ndjson")
    archive = opened(path)
    assert archive.format == "ndjson"
    assert msgspec.json.decode(msgspec.json.encode(readings(archive)[0])) == reading


def test_flat_objects_are_read_by_their_keys_each_by_its_own(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '{"station":7,"lat":1,"lon":2,"time":1709287200,"PM2.5":12}\n'
        '{"station":8,"time":"2024-03-01T10:00:00Z","temperature_f":"50","location":{"lat":3,"lng":4}}\n',
        "r.ndjson",
    )
    moment = datetime(2024, 3, 1, 10, tzinfo=UTC)
    assert readings(opened(path)) == [
        {
            "sensor_id": "7",
            "timestamp": moment,
            "location": {"lat": 1, "lng": 2},
            "values": {"pm25": 12},
        },
        {
            "sensor_id": "8",
            "timestamp": moment,
            "location": {"lat": 3, "lng": 4},
            "values": {"temperature": 10.0},
        },
    ]


def test_a_map_reaches_into_the_values_of_an_object(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '{"sensor_id":"a","timestamp":"2024-03-01T10:00:00Z","values":{"p":101325}}\n',
        "r.ndjson",
    )
    assert readings(opened(path, "pressure=p:Pa"))[0]["values"] == {"pressure": 1013.25}
    with pytest.raises(MapError, match="there is no column 'q'; there is: sensor_id, timestamp, p"):
        opened(path, "pressure=q:Pa")


def test_bad_lines_of_ndjson_are_counted_with_their_reason(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '{"sensor_id":"a","timestamp":"2024-03-01T10:00:00Z","values":{"pm25":1}}\n'
        '{"sensor_id":"a","timestamp":"2024-03-01T10:00:00Z","values":{"pm25":null}}\n'
        '{"sensor_id":"a","values":{"pm25":1}}\n'
        '{"sensor_id":"a","timestamp":"2024-03-01T10:00:00Z","pm25":true}\n'
        '{"sensor_id":"a","timestamp":"2024-03-01T10:00:00Z","pm25":1e999}\n'
        '{"timestamp":"2024-03-01T10:00:00Z","pm25":1}\n'
        '{"sensor_id":"a","lat":"x","lon":1,"timestamp":"2024-03-01T10:00:00Z","pm25":1}\n'
        "[1]\n"
        "\n"
        '{"sensor_id":\n',
        "r.ndjson",
    )
    assert rejections(opened(path)) == [
        (2, "no_value"),
        (3, "unreadable_time"),
        (4, "unreadable_value"),
        (5, "unreadable_row"),
        (6, "no_sensor_id"),
        (7, "unreadable_place"),
        (8, "unreadable_row"),
        (10, "unreadable_row"),
    ]


# --- files ------------------------------------------------------------------------------------

GOOD = "sensor_id,timestamp,pm25\n" + "".join(
    f"s{n % 7},2024-01-01T{n // 60 % 24:02}:{n % 60:02}:00Z,{n}.5\n" for n in range(1000)
)


def test_a_gzipped_file_reads_like_the_plain_one_whatever_its_name(tmp_path: Path) -> None:
    plain = written(tmp_path, GOOD)
    packed = tmp_path / "packed.csv"
    packed.write_bytes(gzip.compress(GOOD.encode()))
    assert list(opened(packed).rows()) == list(opened(plain).rows())


def test_reading_goes_on_after_any_line(tmp_path: Path) -> None:
    archive = opened(written(tmp_path, GOOD))
    everything = list(archive.rows())
    for line in (0, 1, 2, 500, 1001):
        assert list(archive.rows(line)) == [row for row in everything if row.line > line]


def test_a_file_that_breaks_off_gives_what_it_has_and_then_says_so(tmp_path: Path) -> None:
    path = tmp_path / "broken.csv.gz"
    path.write_bytes(gzip.compress(GOOD.encode())[:-200])
    lines = []
    with pytest.raises(ArchiveError, match=r"broken.csv.gz is damaged after line \d+") as caught:
        for row in opened(path).rows():
            lines.append(row.line)  # noqa: PERF401 - kept although the loop is broken off
    assert f"after line {lines[-1]:,} " in caught.value.message
    assert lines == list(range(2, lines[-1] + 1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"PK\x03\x04\xff\xfe", "packed with zip; unpack it first"),
        ("sensor_id,timestamp,pm25,größe\n".encode("latin-1"), "not UTF-8; convert it with iconv"),
        (b'[{"sensor_id":"a"}]', "one JSON array; make it NDJSON"),
        (b"\x1f\x8bnonsense", "cannot read"),
    ],
)
def test_a_file_of_no_known_kind_says_what_to_do(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "odd"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=message):
        opened(path)


def test_a_reader_holds_one_row_at_a_time(tmp_path: Path) -> None:
    archive = opened(written(tmp_path, GOOD.splitlines()[0] + "\n" + GOOD.partition("\n")[2] * 50))
    tracemalloc.start()
    count = sum(1 for _ in archive.rows())
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 50_000
    assert peak_bytes < 1 << 20


# --- properties -------------------------------------------------------------------------------

moments = st.datetimes(
    min_value=datetime(1970, 1, 2), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)
)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20)


@settings(max_examples=60)
@given(
    rows=st.lists(
        st.tuples(names, moments, zones, numbers, numbers, numbers, st.none() | numbers),
        min_size=1,
        max_size=20,
    ),
    delimiter=st.sampled_from(",;\t|"),
    packed=st.booleans(),
)
def test_what_is_written_as_csv_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], delimiter: str, packed: bool
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["sensor_id", "timestamp", "lat", "lng", "pm25", "co"])
    for name, moment, zone, lat, lng, pm25, co in rows:
        writer.writerow([name, moment.astimezone(zone).isoformat(), lat, lng, pm25, co])
    path = tmp_path_factory.mktemp("csv") / "archive"
    encoded = text.getvalue().encode()
    path.write_bytes(gzip.compress(encoded) if packed else encoded)
    assert readings(opened(path)) == [
        {
            "sensor_id": name,
            "timestamp": moment,
            "location": {"lat": lat, "lng": lng},
            "values": {"pm25": pm25} | ({} if co is None else {"co": co}),
        }
        for name, moment, _, lat, lng, pm25, co in rows
    ]


@settings(max_examples=200)
@given(
    lines=st.lists(st.text(st.characters(codec="utf-8", exclude_characters='\r\n"'), max_size=60)),
    delimiter=st.sampled_from(",;"),
)
def test_no_line_of_text_is_lost_or_stops_the_reader(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], delimiter: str
) -> None:
    header = delimiter.join(["sensor_id", "timestamp", "pm25"])
    path = tmp_path_factory.mktemp("text") / "archive.csv"
    path.write_text("\n".join([header, *lines]) + "\n", "utf-8", newline="")
    rows = list(opened(path, format="csv").rows())
    assert [row.line for row in rows] == [
        number for number, line in enumerate(lines, start=2) if line
    ]
    assert all(row.reason in REASONS for row in rows if isinstance(row, Rejected))
    msgspec.json.encode([row.ingest for row in rows if isinstance(row, Row)])


@settings(max_examples=200)
@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | numbers | st.integers() | st.text(max_size=10),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["sensor_id", "timestamp", "values", "location", "lat", "pm25"]
                    ),
                    inner,
                )
            ),
        ),
        min_size=1,
    )
)
def test_no_json_value_is_lost_or_stops_the_reader(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any]
) -> None:
    path = tmp_path_factory.mktemp("json") / "archive.ndjson"
    path.write_bytes(b"".join(msgspec.json.encode(value) + b"\n" for value in values))
    rows = list(opened(path, format="ndjson").rows())
    assert [row.line for row in rows] == list(range(1, len(values) + 1))
    assert all(row.reason in REASONS for row in rows if isinstance(row, Rejected))
    msgspec.json.encode([row.ingest for row in rows if isinstance(row, Row)])


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "archive"
    path.write_bytes(content)
    try:
        list(opened(path).rows())
    except ArchiveError as error:
        assert error.message and "\n" not in error.message
