"""Corrections: what the published formulas say, who gets which, and raw values kept all the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import apsw
import duckdb
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.readings import NOW_US, reading
from tests.test_check import report_of
from tests.test_export import read_back
from tests.test_flush import GLOB, store, stored
from urbanos_edge.batch import RAW_NAMES, uncorrected, unpack
from urbanos_edge.batch import pack as packed
from urbanos_edge.clock import DAY_US, HOUR_US, SECOND_US, Correction
from urbanos_edge.errors import SettingsError
from urbanos_edge.grid import tile_at
from urbanos_edge.health.health import status
from urbanos_edge.node import Node
from urbanos_edge.quality.formulas import (
    PUBLISHED,
    SourceCorrectionsError,
    parse_source_corrections,
)
from urbanos_edge.reading import Reading, Timing
from urbanos_edge.settings import load
from urbanos_edge.store.integrity import checksum_of

EPA = "pm25=us-epa-purpleair-2022@1"
MINUTE_US = 60 * SECOND_US


def purple(pm25: float = 20.0, humidity: float | None = 60.0, **more: Any) -> Reading:
    """A PurpleAir's reading; 20 µg/m³ at 60 % are 10.48 - 5.172 + 5.75 = 11.058 by EPA."""
    values = {"pm25": pm25} if humidity is None else {"pm25": pm25, "humidity": humidity}
    return reading(**{"values": values, "source": "purpleair"} | more)


def of(name: str, pm25: float, humidity: float) -> float:
    corrected = PUBLISHED[name].of(np.array([pm25]), np.array([humidity]))
    return float(corrected[0])


def calibrate(node: Node, *line: float, **more: Any) -> None:
    """Give `school-12` a line for PM2.5 of its own, valid from the beginning unless told so."""
    asked: dict[str, Any] = {"quantity": "pm25", "from_us": 0, "until_us": None} | more
    span_us = asked["from_us"], asked["until_us"]
    basis = "set by hand"

    async def work() -> None:
        gain, shift = line
        add = node.corrections.add
        await add("school-12", asked["quantity"], (gain, shift), span_us, basis, NOW_US)

    anyio.run(work)


COLUMNS = "pm25, pm25_raw, correction, aqi_value, flags"


# --- the formulas ---


def test_the_line_of_2021_is_what_was_published() -> None:
    assert of("us-epa-purpleair-2021", 20, 60) == pytest.approx(11.058)
    assert of("us-epa-purpleair-2021", 700, 10) == pytest.approx(700 * 0.524 - 0.862 + 5.75)


def test_the_form_of_2022_is_the_line_then_the_curve_and_a_mixture_in_between() -> None:
    assert of("us-epa-purpleair-2022", 569.9, 60) == of("us-epa-purpleair-2021", 569.9, 60)
    assert of("us-epa-purpleair-2022", 611, 60) == of("us-epa-purpleair-2022", 611, 5)
    assert of("us-epa-purpleair-2022", 700, 60) == pytest.approx(206.29 + 274.4 + 3.44)
    line = 590.5 * 0.524 - 0.0862 * 60 + 5.75
    curve = 4.21e-4 * 590.5**2 + 0.392 * 590.5 + 3.44
    middle = of("us-epa-purpleair-2022", 590.5, 60)
    assert middle == pytest.approx((line + curve) / 2, abs=0.001)
    share = 0.0244 * 590.5 - 13.9  # as printed, with its rounded numbers
    assert middle == pytest.approx((1 - share) * line + share * curve, rel=0.005)


def test_no_form_gives_less_than_nothing() -> None:
    assert of("us-epa-purpleair-2022", 0, 100) == 0.0  # 5.75 - 8.62 is less


@pytest.mark.parametrize(
    "wrong", ["purpleair", "purpleair=nobody", "=us-epa-purpleair-2021", "a=linear"]
)
def test_a_list_by_source_that_names_nothing_known_stops_the_start(wrong: str) -> None:
    with pytest.raises(SettingsError, match="source_corrections: .* known names"):
        load({"source_corrections": wrong}, environment={})


def test_two_corrections_of_one_quantity_for_a_source_are_refused() -> None:
    with pytest.raises(SourceCorrectionsError, match="two corrections of pm25"):
        parse_source_corrections("a=us-epa-purpleair-2021, a=us-epa-purpleair-2022")


# --- what is stored ---


def test_a_purpleairs_reading_is_shown_and_graded_corrected_and_what_it_said_is_kept(
    node: Node,
) -> None:
    store(node, purple(), reading("other"))
    rows = stored(node, COLUMNS, "ORDER BY sensor_id DESC")
    # 11.0, cut to one decimal, is 51 + 49 × 1.9 / 26.3 = 54.5
    assert rows == [(11.058, 20.0, EPA, 55, ""), (12.3, None, "", 57, "")]


def test_without_a_possible_humidity_there_is_no_correction(node: Node) -> None:
    store(node, purple(humidity=None), purple(timestamp_us=NOW_US + 1, humidity=101.0))
    assert stored(node, "pm25, pm25_raw, correction") == [(20.0, None, "")] * 2


def test_an_empty_setting_corrects_nobody(open_node: Callable[..., Node]) -> None:
    node = open_node(source_corrections="")
    store(node, purple())
    assert stored(node, "pm25, pm25_raw, correction") == [(20.0, None, "")]


def test_a_corrected_reading_sent_again_is_a_duplicate(open_node: Callable[..., Node]) -> None:
    store(open_node(), purple(), purple())
    node = open_node()
    store(node, purple())
    assert stored(node, COLUMNS) == [(11.058, 20.0, EPA, 55, "")]
    assert status(node)["totals"]["duplicates"] == 2


def test_a_revision_is_corrected_from_what_the_sensor_said(node: Node) -> None:
    store(node, purple(humidity=None))
    store(node, reading(values={"humidity": 60.0}, source="purpleair"))
    assert stored(node, COLUMNS) == [(11.058, 20.0, EPA, 55, "")]
    store(node, purple(pm25=30.0))
    assert stored(node, COLUMNS)[0][:3] == (16.298, 30.0, EPA)  # 15.72 - 5.172 + 5.75
    assert status(node)["totals"]["revisions"] == 2


def test_a_dead_fan_stays_one_whatever_a_correction_would_make_of_it(node: Node) -> None:
    store(node, purple(pm25=999.9))
    columns = "pm25, pm25_raw, correction, flags"
    assert stored(node, columns) == [(999.9, None, "", "range")]


def test_what_a_mistaken_calibration_makes_impossible_is_shown_and_left_out(node: Node) -> None:
    calibrate(node, 1000.0, 0.0, quantity="pressure")
    store(
        node, reading(values={"pressure": 1013.25}), reading("other", values={"pressure": 1013.0})
    )
    rows = stored(node, "pressure, pressure_raw, flags", "ORDER BY sensor_id DESC")
    assert rows == [(1013250.0, 1013.25, "range"), (1013.0, None, "")]
    node.hours.count_all()
    columns = "sum(pressure_count), sum(pressure_sum), sum(pressure_flagged)"
    counted = node.hours.read(
        [NOW_US // HOUR_US],
        lambda cursor: cursor.execute(f"SELECT {columns} FROM hourly").fetchall(),
    )
    assert counted == [(1, 10_130_000, 1)]


def test_nothing_is_compared_with_what_a_correction_made_impossible(node: Node) -> None:
    usual = [
        reading(timestamp_us=NOW_US + n * MINUTE_US, values={"pm25": 20.0 + n % 2})
        for n in range(13)
    ]
    wrong_us = NOW_US + 13 * MINUTE_US
    calibrate(node, 1000.0, 0.0, from_us=wrong_us, until_us=wrong_us + 1)
    later = [reading(timestamp_us=wrong_us + n * MINUTE_US) for n in range(2)]
    store(node, *usual, *later)
    assert stored(node, "flags", "ORDER BY timestamp")[-2:] == [("range",), ("",)]


def test_air_is_no_more_than_saturated_however_its_sensor_is_calibrated(node: Node) -> None:
    calibrate(node, 1.05, 0.0, quantity="humidity")
    said = (60.0, 98.0, 100.5)
    store(
        node,
        *(reading(timestamp_us=NOW_US + n, values={"humidity": v}) for n, v in enumerate(said)),
    )
    rows = stored(node, "humidity, humidity_raw, flags", "ORDER BY timestamp")
    assert rows == [(63.0, 60.0, ""), (100.0, 98.0, ""), (100.5, None, "range")]


def test_what_hangs_is_found_although_the_humidity_corrects_it_differently(node: Node) -> None:
    hangs = [
        purple(timestamp_us=NOW_US + n * HOUR_US // 2, humidity=40.0 + n % 7) for n in range(49)
    ]
    store(node, *hangs[:30])
    store(node, *hangs[30:])
    assert stored(node, "count(DISTINCT pm25), count(DISTINCT pm25_raw)") == [(7, 1)]
    flagged = stored(node, "epoch_us(timestamp)", "WHERE flags = 'stuck'")
    assert flagged == [(NOW_US + DAY_US,)]


def test_what_hangs_is_known_after_a_restart_by_what_it_said(
    open_node: Callable[..., Node],
) -> None:
    hangs = [
        purple(timestamp_us=NOW_US + n * HOUR_US // 2, humidity=40.0 + n % 7) for n in range(49)
    ]
    store(open_node(), *hangs[:48])
    node = open_node()
    store(node, hangs[48])
    assert stored(node, "count(*)", "WHERE flags = 'stuck'") == [(1,)]


def test_a_spike_is_looked_for_in_corrected_values(node: Node) -> None:
    usual = [purple(timestamp_us=NOW_US + n * MINUTE_US, pm25=20.0 + n % 2) for n in range(13)]
    # 70 is 50 above what it said before, and 0.524 × 50 = 26 above it corrected
    store(node, *usual, purple(timestamp_us=NOW_US + 13 * MINUTE_US, pm25=70.0))
    assert stored(node, "count(*)", "WHERE flags <> ''") == [(0,)]
    store(node, purple(timestamp_us=NOW_US + 14 * MINUTE_US, pm25=120.0))
    assert stored(node, "pm25_raw", "WHERE flags = 'spike'") == [(120.0,)]


# --- whose ---


def test_a_sensors_own_line_comes_before_that_of_its_source(node: Node) -> None:
    calibrate(node, 0.5, 1.0)
    store(node, purple(), purple(sensor_id="other"))
    rows = stored(node, "pm25, pm25_raw, correction", "ORDER BY sensor_id DESC")
    assert rows == [(11.0, 20.0, "pm25=linear@1"), (11.058, 20.0, EPA)]


def test_of_a_sensors_versions_the_highest_valid_one_counts(node: Node) -> None:
    calibrate(node, 2.0, 0.0)
    calibrate(node, 3.0, 0.0, from_us=NOW_US + 10, until_us=NOW_US + 20)
    moments = (NOW_US + 9, NOW_US + 10, NOW_US + 19, NOW_US + 20)
    store(node, *(reading(timestamp_us=at_us, values={"pm25": 1.0}) for at_us in moments))
    versions = ["pm25=linear@1", "pm25=linear@2", "pm25=linear@2", "pm25=linear@1"]
    expected = list(zip([2.0, 3.0, 3.0, 2.0], versions, strict=True))
    assert stored(node, "pm25, correction", "ORDER BY timestamp") == expected
    old = node.corrections.named("school-12", "pm25=linear@1")
    assert old is not None and old.coefficients == {"gain": 2.0, "shift": 0.0}


def test_an_ended_line_leaves_room_for_that_of_the_source_and_stays_known(
    open_node: Callable[..., Node],
) -> None:
    node = open_node()
    calibrate(node, 2.0, 0.0)
    assert anyio.run(node.corrections.end, "school-12", "pm25", NOW_US) == 1
    assert anyio.run(node.corrections.end, "school-12", "pm25", NOW_US) == 0
    node = open_node()
    store(node, purple(timestamp_us=NOW_US - 1), purple())
    corrections = stored(node, "correction", "ORDER BY timestamp")
    assert corrections == [("pm25=linear@1",), (EPA,)]
    assert set(node.corrections.applied("school-12", "purpleair", NOW_US - 1)) == {"pm25"}
    assert node.corrections.applied("school-12", "api", NOW_US) == {}


def test_several_quantities_of_a_reading_are_each_corrected_from_what_was_said(
    node: Node,
) -> None:
    calibrate(node, 2.0, -20.0, quantity="humidity")
    calibrate(node, 1.0, -5.0, quantity="temperature")
    store(node, purple(values={"pm25": 20.0, "humidity": 60.0, "temperature": 1.5}))
    columns = "pm25, humidity, humidity_raw, temperature, temperature_raw, correction"
    assert stored(node, columns) == [
        (11.058, 100.0, 60.0, -3.5, 1.5, f"{EPA},temperature=linear@1,humidity=linear@1")
    ]


values = st.floats(0, 900, allow_nan=False)


@given(st.lists(st.tuples(values, st.floats(0, 100), st.booleans()), min_size=1, max_size=30))
def test_correcting_what_is_corrected_changes_nothing_and_the_raw_values_come_back(
    node_of_module: Node, given_values: list[tuple[float, float, bool]]
) -> None:
    batch = unpack(
        [
            packed(
                [
                    purple(pm25, humidity, timestamp_us=NOW_US + n, source=("api", "purpleair")[p])
                    for n, (pm25, humidity, p) in enumerate(given_values)
                ]
            )
        ]
    )
    corrected = node_of_module.corrections.correct(batch)
    again = node_of_module.corrections.correct(corrected)
    np.testing.assert_array_equal(again["pm25"], corrected["pm25"])
    np.testing.assert_array_equal(uncorrected(corrected)["pm25"], batch["pm25"])
    assert (corrected is batch) == (not any(is_purple for *_, is_purple in given_values))


@pytest.fixture(scope="module")
def node_of_module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    node = Node(load({}, environment={}), tmp_path_factory.mktemp("corrections"))
    yield node
    node.close()


# --- where it shows ---


def test_lists_show_what_a_sensor_said_only_where_that_was_corrected(
    open_node: Callable[..., Node],
) -> None:
    node = open_node()
    now_us = node.clock.now_us()
    store(node, purple(timestamp_us=now_us - 1), reading("other", now_us - 2))
    tile = tile_at(60.171, 24.941, 14)

    def shown(node: Node) -> list[Any]:
        return node.query.rows(tile, now_us - DAY_US)

    first, second = shown(node)
    assert (first.pm25, first.pm25_raw, first.correction) == (11.058, 20.0, EPA)
    plain = set(second.__struct_fields__) - {"correction", *RAW_NAMES.values()}
    assert set(msgspec.json.decode(msgspec.json.encode(second))) == plain
    from_memory = [first, second]
    node = open_node()
    assert shown(node) == from_memory, "from the files"
    while node.recent.load_more(node.clock.now_us()):
        pass
    assert node.recent.rows == 2
    assert shown(node) == from_memory, "loaded into memory"


def test_the_latest_reading_is_the_corrected_one_before_and_after_a_restart(
    open_node: Callable[..., Node],
) -> None:
    node = open_node()
    at_us = node.clock.now_us() - SECOND_US
    store(node, reading("other", at_us))
    store(node, purple(timestamp_us=at_us), reading("third", at_us))

    def latest(node: Node) -> list[tuple[str, float, str, str]]:
        latest = node.view().latest
        raw, names = latest["pm25_raw"].tolist(), latest.strings("correction")
        found = zip(latest.strings("sensor"), latest["pm25"], names, raw, strict=True)
        return sorted((name, value, text, str(said)) for name, value, text, said in found)

    expected = [
        ("other", 12.3, "", "nan"),
        ("school-12", 11.058, EPA, "20.0"),
        ("third", 12.3, "", "nan"),
    ]
    assert latest(node) == expected
    assert latest(open_node()) == expected


def test_an_urgent_reading_is_shown_corrected_before_it_is_stored(node: Node) -> None:
    urgent = purple(timestamp_us=node.clock.now_us(), priority=9)
    anyio.run(node._deliver_urgent, [urgent])
    latest = node.view().latest
    assert (latest["pm25"].tolist(), latest["pm25_raw"].tolist()) == ([11.058], [20.0])
    assert latest["aqi_value"].tolist() == [55]


def test_hours_add_up_corrected_values(node: Node) -> None:
    begin_us = NOW_US - NOW_US % HOUR_US
    store(node, purple(timestamp_us=begin_us), purple(timestamp_us=begin_us + 1, humidity=70.0))
    asked = node.history.asked("school-12", begin_us, begin_us + HOUR_US, "1h", ["pm25"])
    answer: Any = node.history.read(asked)
    # the second is 0.0862 × 10 less
    assert answer.series["pm25"].avg == [pytest.approx((11.058 + 10.196) / 2)]
    assert report_of(node).is_clean


def test_what_is_compacted_keeps_what_sensors_said(node: Node) -> None:
    old_us = NOW_US - 300 * DAY_US
    store(node, purple(timestamp_us=old_us), reading("other", old_us))
    store(node, purple(timestamp_us=old_us + 1))
    columns = "sensor_id, pm25, pm25_raw, correction"
    before = stored(node, columns, "ORDER BY sensor_id, timestamp")
    node.compactor.finish_all(lambda *_: None)
    assert len(node.store.files) == 1
    assert stored(node, columns, "ORDER BY sensor_id, timestamp") == before


def test_what_moves_in_time_gets_the_correction_of_its_right_time(node: Node) -> None:
    calibrate(node, 2.0, 0.0, until_us=NOW_US)
    doubted = reading(timestamp_us=NOW_US - DAY_US, timing=Timing.NODE_IN_DOUBT)
    store(node, doubted)
    assert stored(node, "pm25, pm25_raw") == [(24.6, 12.3)]
    span_us = NOW_US - DAY_US, NOW_US - DAY_US + SECOND_US
    anyio.run(node.restamp, Correction(*span_us, shift_us=DAY_US))
    assert stored(node, "pm25, pm25_raw, correction") == [(12.3, None, "")]


# --- files from before ---


def age(connection: apsw.Connection, directory: Path) -> None:
    """Make the files what they were before there were corrections: without the columns."""
    for path in directory.glob(GLOB):
        names = ", ".join(["correction", *RAW_NAMES.values()])
        duckdb.execute(
            f"COPY (SELECT * EXCLUDE ({names}) FROM read_parquet('{path}',"
            f" hive_partitioning = false)) TO '{path}.old' (FORMAT parquet)"
        )
        os.replace(f"{path}.old", path)
        facts = path.stat().st_size, checksum_of(path), str(path.relative_to(directory))
        connection.execute("UPDATE files SET bytes = ?, checksum = ? WHERE path = ?", facts)


def test_files_from_before_there_were_corrections_are_read_beside_new_ones(
    open_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = open_node()
    at_us = node.clock.now_us() - HOUR_US
    store(node, reading("old", at_us), reading("revised", at_us))
    node.database.write_and_wait(lambda connection: age(connection, tmp_path))
    node = open_node()
    fresh = purple(timestamp_us=at_us, sensor_id="new")
    store(node, fresh, reading("revised", at_us, values={"pm25": 40.0}))
    expected = {"new": (11.058, 20.0), "old": (12.3, None), "revised": (40.0, None)}
    rows = node.query.rows(tile_at(60.171, 24.941, 14), at_us - DAY_US)
    assert {row.sensor_id: row.pm25 for row in rows} == {k: v[0] for k, v in expected.items()}
    for kind in ("csv", "ndjson", "geojson", "parquet"):
        found = read_back(node, kind, since_us=at_us - 1, until_us=at_us + 1)
        assert {row["sensor_id"]: (row["pm25"], row["pm25_raw"]) for row in found} == expected
    assert report_of(node).is_clean
