"""Archives taken into the store: what becomes of them there, and what must not happen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import duckdb
import msgspec
import pytest
from click.testing import CliRunner, Result

from tests.readings import NOW_US, reading
from tests.replay.played import Lines, archive_of, stop_after
from tests.test_export import exported, wanted
from tests.test_flush import GLOB, store, stored
from urbanos_edge.alerts.rules import WantedRule
from urbanos_edge.archives import ArchiveOptions
from urbanos_edge.cli import main
from urbanos_edge.cli.import_ import Owner
from urbanos_edge.cli.standing_in import attending
from urbanos_edge.clock import DAY_US, HOUR_US, SECOND_US, to_rfc3339
from urbanos_edge.node import Node
from urbanos_edge.query.export import FORMATS
from urbanos_edge.replay import CarryOptions, carry, open_archives
from urbanos_edge.settings import Settings
from urbanos_edge.upkeep.past import Archived, Past, Taken
from urbanos_edge.upkeep.vigil import add_rule

SAID = (
    "sensor_id, timestamp, lat, lng, source, pollution_type, aqi_value, reported_aqi, pm1, pm25,"
    " pm10, o3, no2, so2, co, temperature, humidity, pressure, pm25_raw, correction, flags"
)
OPENAQ = """\
location_id,sensors_id,location,datetime,lat,lon,parameter,units,value
2178,3919,Del Norte-2178,2023-02-22T01:00:00-07:00,35.1353,-106.584702,pm10,µg/m³,14.0
2178,3917,Del Norte-2178,2023-02-22T01:00:00-07:00,35.1353,-106.584702,o3,ppm,0.041
2178,3918,Del Norte-2178,2023-02-22T01:00:00-07:00,35.1353,-106.584702,no2,µg/m³,46.01
2178,3920,Del Norte-2178,2023-02-22T01:00:00-07:00,35.1353,-106.584702,pressure,mb,835.5
2178,3921,Del Norte-2178,2023-02-22T01:00:00-07:00,35.1353,-106.584702,um003,particles/cm³,1.5
2178,3919,Del Norte-2178,2023-02-22T02:00:00-07:00,35.1353,-106.584702,pm10,µg/m³,
"""


def taken_in(data_dir: Path, file: Path, *more: str) -> Result:
    """Run the command as a person would, on a directory whose node rests."""
    state_dir = str(data_dir.parent / "state")
    words = ["import", str(file), "--data-dir", str(data_dir), "--state-dir", state_dir, *more]
    return CliRunner().invoke(main, words)


def rows(data_dir: Path, columns: str, tail: str = "ORDER BY ALL") -> list[tuple[Any, ...]]:
    query = f"SELECT {columns} FROM read_parquet('{data_dir / GLOB}', union_by_name = true) {tail}"
    with duckdb.connect() as connection:
        return connection.execute(query.replace("timestamp,", "epoch_us(timestamp),")).fetchall()


def take(past: Past, *readings: dict[str, Any], begins: bool = True) -> Taken:
    archived = Archived(msgspec.json.encode(readings).decode(), begins)
    return anyio.run(past.take, archived)


def said(sensor_id: str, at_us: int, pm25: float, **more: Any) -> dict[str, Any]:
    """A reading as archives give it."""
    place = {"lat": 60.171, "lng": 24.941}
    given = {"sensor_id": sensor_id, "timestamp": to_rfc3339(at_us), "location": place}
    return given | {"values": {"pm25": pm25}} | more


# --- exports of a node ---


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with all that a reading can have: odd names, no value, two channels, a correction."""
    node = Node(Settings(), tmp_path_factory.mktemp("full"))
    store(
        node,
        reading("all", values={"pm1": 1.5, "pm25": 12.3, "o3": 31.0, "co": 0.3, "humidity": 81.0}),
        reading("rest", values={"pm10": 20.1, "no2": 14.2, "so2": 2.0, "temperature": -4.5}),
        reading("half-a-second", NOW_US + SECOND_US // 2, reported_aqi=40.0),
        reading("only an index", values={}, reported_aqi=55.0, pollution_type="dust"),
        reading(' quoted "a,b"', values={"pressure": 1008.0}, source="über; uns"),
        reading("impossible", values={"pm25": 5000.0}),
        reading("two-channels", channels_disagree=True),
        reading(
            "purple", NOW_US - DAY_US, source="purpleair", values={"pm25": 40.0, "humidity": 50.0}
        ),
    )
    yield node
    node.close()


@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_taken_into_an_empty_node_gives_the_same_readings(
    full: Node, tmp_path: Path, kind: str
) -> None:
    """What was corrected is corrected once: what the sensor said goes in."""
    file = tmp_path / f"export.{kind}"
    file.write_bytes(exported(full, wanted(kind)))
    result = taken_in(tmp_path / "node", file)
    assert result.exit_code == 0, result.output
    assert "8 rows, 8 sent, 8 accepted, 0 of them duplicate, 0 rejected" in result.output
    expected = rows(full.data_dir, SAID)
    assert [row[-3:-1] for row in expected if row[0] == "purple"] == [
        (40.0, "pm25=us-epa-purpleair-2022@1")
    ]
    assert rows(tmp_path / "node", SAID) == expected


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_columns_of_openaq_have_a_row_for_each_value_that_is_believed(
    full: Node, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / f"openaq.{kind}"
    file.write_bytes(exported(full, msgspec.structs.replace(wanted(kind), columns="openaq")))
    reader = {"csv": "read_csv", "ndjson": "read_json", "parquet": "read_parquet"}[kind]
    with duckdb.connect() as connection:
        table = connection.sql(f"FROM {reader}('{file}')")
        names = table.columns
        of_all = table.filter("location_id = 'all'").project("parameter, units, value").fetchall()
        values = {parameter: (units, value) for parameter, units, value in of_all}
        ids = table.project("location_id").distinct().fetchall()
    assert names == OPENAQ.splitlines()[0].split(",")
    assert values == {
        "pm1": ("µg/m³", 1.5),
        "pm25": ("µg/m³", 12.3),
        "o3": ("ppb", 31.0),
        "co": ("ppm", 0.3),
        "relativehumidity": ("%", 81.0),
    }
    kept = {"all", "rest", "half-a-second", ' quoted "a,b"', "purple"}
    assert {name for (name,) in ids} == kept


def test_columns_of_openaq_come_back_as_the_same_values(full: Node, tmp_path: Path) -> None:
    file = tmp_path / "openaq.csv"
    file.write_bytes(exported(full, msgspec.structs.replace(wanted("csv"), columns="openaq")))
    assert taken_in(tmp_path / "node", file).exit_code == 0
    columns = "sensor_id, timestamp, lat, lng, pm1, pm25, o3, no2, co, temperature, humidity"
    believed = "WHERE flags = '' AND sensor_id <> 'only an index' ORDER BY ALL"
    assert rows(tmp_path / "node", columns) == rows(full.data_dir, columns, believed)


# --- archives of others ---


def test_a_file_of_openaq_becomes_a_reading_a_moment(tmp_path: Path) -> None:
    """46.01 µg/m³ of NO2 are 24.45 ppb at 25 °C: its molar mass is 46.01 g/mol."""
    file = tmp_path / "location-2178-20230222.csv"
    file.write_text(OPENAQ, "utf-8")
    result = taken_in(tmp_path / "node", file, "--map", "no2=no2:ugm3@25C")
    assert result.exit_code == 0, result.output
    found = rows(tmp_path / "node", "sensor_id, timestamp, lat, lng, pm10, o3, no2, pressure")
    at_us = 1_677_052_800 * SECOND_US
    assert found == [("2178", at_us, 35.1353, -106.584702, 14.0, 41.0, pytest.approx(24.45), 835.5)]
    assert "(1 no value in the row, 1 a quantity that the node does not know)" in result.output


def test_a_gas_of_openaq_in_micrograms_needs_the_map(tmp_path: Path) -> None:
    file = tmp_path / "location-2178-20230222.csv"
    file.write_text(OPENAQ, "utf-8")
    assert "1 a unit that the node does not know" in taken_in(tmp_path / "node", file).output
    assert rows(tmp_path / "node", "no2") == [(None,)]


# --- what is old ---


def test_what_is_old_raises_no_alert(node: Node) -> None:
    """Not even what is of the last hour; the same reading raises one when it is sent."""
    rule = WantedRule(when="over", quantity="pm25", threshold=100.0)
    anyio.run(add_rule, node, rule)
    at_us = node.clock.now_us() - HOUR_US
    taken = take(Past(node), said("s", at_us, 300.0), said("s", at_us - 900 * DAY_US, 300.0))
    assert (taken.accepted, taken.duplicates, taken.rejected) == (2, 0, [])
    assert (taken.beyond, taken.retention_days) == (1, 90)
    assert node.alerts.raised() == {}
    assert stored(node, "count(*)") == [(2,)]
    store(node, reading("s", at_us + 1, values={"pm25": 300.0}))
    assert list(node.alerts.raised().values()) == [1]


def test_an_archive_is_flagged_as_the_node_would_have_flagged_it_then(node: Node) -> None:
    """One of five sensors side by side reads 80 µg/m³ too much, in every hour of a day in 2019."""
    began_us = 1_550_448_000 * SECOND_US
    hours = [
        said(f"s-{n}", began_us + hour * HOUR_US + n, 10.0 + hour % 3 + (80.0 if n == 4 else 0.0))
        for hour in range(24)
        for n in range(5)
    ]
    past = Past(node)
    assert take(past, *hours[:60]).accepted == 60
    assert take(past, *hours[60:], begins=False).accepted == 60
    found = stored(node, "sensor_id, flags, count(*)", "GROUP BY ALL ORDER BY ALL")
    assert found == [
        *((f"s-{n}", "", 24) for n in range(4)),
        ("s-4", "neighbours", 24),
    ]


def test_a_sensor_without_a_place_is_refused_and_waits_nowhere(node: Node) -> None:
    placeless = said("nowhere", NOW_US, 5.0)
    del placeless["location"]
    taken = take(Past(node), said("s", NOW_US, 5.0), placeless)
    assert [(one.index, one.code) for one in taken.rejected] == [(1, "no_location")]
    assert taken.accepted == 1
    assert node.inbox.list() == []
    assert node.dead_letters.list(10) == []


def test_the_newest_value_of_a_sensor_is_what_it_said_last(node: Node) -> None:
    now_us = node.clock.now_us()
    store(node, reading("s", now_us, values={"pm25": 7.0}))
    take(Past(node), said("s", now_us - HOUR_US, 5.0), said("new", now_us - HOUR_US, 6.0))
    latest = node.view().latest
    assert dict(zip(latest.strings("sensor"), latest["pm25"], strict=True)) == {
        "s": 7.0,
        "new": 6.0,
    }


# --- the command ---


def test_a_second_import_finds_everything_known(tmp_path: Path) -> None:
    file = archive_of(tmp_path / "a.csv", 100)
    assert taken_in(tmp_path / "node", file).exit_code == 0
    again = taken_in(tmp_path / "node", file)
    assert "100 accepted, 100 of them duplicate" in again.output
    assert "100 before, 100 after" in again.output
    assert "older than the retention of 90 days" in again.output


def test_an_import_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    archive = open_archives([archive_of(tmp_path / "a.csv", 500)], ArchiveOptions(), Lines())
    options = CarryOptions(state_dir=tmp_path / "state", by_time=True, batch=100)
    with attending(tmp_path / "node") as ask:
        owner = Owner(tmp_path / "node", [], ask)
        lines, stop = stop_after(200)
        first = carry(archive, options, lines, stop, owner)
        assert not first.complete
        assert 200 <= first.tally.rows < 500
        second = carry(archive, options, Lines(), threading.Event(), owner)
    assert second.complete
    assert (second.tally.rows, second.tally.accepted, second.duplicates) == (500, 500, 0)
    assert second.after is not None and second.after.rows == 500


def test_a_damaged_archive_is_refused_before_anything_of_it_is_stored(tmp_path: Path) -> None:
    file = tmp_path / "export.parquet"
    file.write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    result = taken_in(tmp_path / "node", file)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "export.parquet cannot be read" in result.stderr
    assert not (tmp_path / "node").exists()


def test_a_feature_collection_on_one_line_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "one.geojson"
    file.write_text('{"type":"FeatureCollection","features":[{"type":"Feature"}]}')
    result = taken_in(tmp_path / "node", file)
    assert result.exit_code == 1
    assert "jq -c '.features[]'" in result.stderr
