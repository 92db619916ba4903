"""Lines of NDJSON, files that end early, and whatever else may be in an archive."""

from __future__ import annotations

import csv
import gzip
import io
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.archived import opened, readings, rejections, written
from urbanos_edge.archives import REASONS, ArchiveError, MapError, Rejected, Row

# --- NDJSON ---


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


# --- files ---

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


# --- properties ---

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
