"""Regrading: what is stored becomes what would be stored now, and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from click.testing import CliRunner

from tests.damage import spoil
from tests.processes import NodeProcess
from tests.readings import NOW_US, reading
from tests.test_check import report_of
from tests.test_corrections import calibrate, purple
from tests.test_flush import store, stored
from urbanos_edge.cli.calibrate import calibrate as calibrate_command
from urbanos_edge.clock import DAY_US, HOUR_US, SECOND_US
from urbanos_edge.errors import DiskFull, NotFound
from urbanos_edge.health.health import status
from urbanos_edge.node import Node
from urbanos_edge.progress import ignore_progress
from urbanos_edge.reading import Reading
from urbanos_edge.store import regrade as regrading
from urbanos_edge.store.regrade import Regrade
from urbanos_edge.upkeep.amends import Regraded, Span, regrade

GRADES = "sensor_id, epoch_us(timestamp), * EXCLUDE (timestamp, received_at, stored_at, geometry)"
ORDER = "ORDER BY sensor_id, timestamp"
EU = "eu-eea-2024"


def run(node: Node, **more: Any) -> Regraded:
    return anyio.run(partial(regrade, node, Span(**more), ignore_progress))


def some_readings(days: int = 3) -> list[Reading]:
    """Of all kinds: corrected by source, without humidity, flagged, with other pollutants."""
    kinds = [
        purple(),
        purple(sensor_id="dry", humidity=None),
        reading("fan", values={"pm25": 999.9}),
        reading("gases", values={"no2": 40.0, "o3": 31.0, "pm10": 20.0}),
        reading(),
    ]
    return [
        reading(one.sensor_id, NOW_US - day * DAY_US + n, values=one.values, source=one.source)
        for day in range(days)
        for n, one in enumerate(kinds)
    ]


def test_after_a_change_of_standard_everything_is_as_if_it_had_been_stored_by_it(
    open_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory
) -> None:
    node = open_node()
    store(node, *some_readings())
    node.compactor.finish_all(ignore_progress)
    node = open_node(aqi_standard=EU)
    assert status(node)["grading"]["outdated_days"] == 3
    report = run(node)
    assert (report.readings, report.files, len(report.days)) == (15, 3, 3)
    fresh = Node(node.settings, tmp_path_factory.mktemp("fresh"))
    try:
        store(fresh, *some_readings())
        assert stored(node, GRADES, ORDER) == stored(fresh, GRADES, ORDER)
    finally:
        fresh.close()
    assert status(node)["grading"] == {
        "current": node.standard.grading,
        "outdated_days": 0,
        "outdated_from": None,
        "outdated_to": None,
    }
    assert report_of(node).is_clean
    assert run(node) == Regraded()


def test_after_a_calibration_that_begins_in_the_past_all_that_follows_it_follows(
    node: Node,
) -> None:
    begin_us = NOW_US - NOW_US % HOUR_US - DAY_US
    moments = [begin_us + n * HOUR_US for n in range(3)]
    store(node, *(reading(timestamp_us=at_us, values={"pm25": 20.0}) for at_us in moments))
    node.hours.count_all()
    calibrate(node, 0.5, 1.0, from_us=moments[1])
    assert run(node).readings == 2
    rows = stored(node, "pm25, pm25_raw, correction, aqi_value", ORDER)
    corrected = (11.0, 20.0, "pm25=linear@1", 55)
    assert rows == [(20.0, None, "", 71), corrected, corrected]
    asked = node.history.asked("school-12", begin_us, begin_us + 3 * HOUR_US, "1h", ["pm25"])
    answer: Any = node.history.read(asked)
    assert answer.series["pm25"].avg == [20.0, 11.0, 11.0]
    marked = [one.hour for one in node.hours.changed()]
    assert marked == [at_us // HOUR_US for at_us in moments[1:]]
    anyio.run(node.corrections.end, "school-12", "pm25", moments[2])
    assert run(node).readings == 1
    assert stored(node, "pm25, pm25_raw, correction", ORDER)[2] == (20.0, None, "")


def test_what_is_shown_now_follows_at_once(node: Node) -> None:
    now_us = node.clock.now_us()
    store(node, reading(timestamp_us=now_us - SECOND_US, values={"pm25": 20.0}))
    calibrate(node, 0.5, 1.0)
    run(node)
    view = node.view()
    assert (view.latest["pm25"].tolist(), view.latest["aqi_value"].tolist()) == ([11.0], [55])
    assert view.sites["aqi_sum"].tolist() == [55]
    assert node.rollup.differences() == 0


def test_flags_stay_as_they_were_settled(node: Node) -> None:
    usual = [reading(timestamp_us=NOW_US + n, values={"pm25": 20.0 + n % 2}) for n in range(13)]
    store(node, *usual, reading(timestamp_us=NOW_US + 13, values={"pm25": 120.0}))
    calibrate(node, 0.1, 0.0)
    assert run(node).readings == 14
    assert stored(node, "round(pm25, 1)", "WHERE flags = 'spike'") == [(12.0,)]


def test_what_a_mistake_made_impossible_counts_again_once_it_is_mended(node: Node) -> None:
    usual = [reading(timestamp_us=NOW_US + n, values={"pm25": 20.0 + n % 2}) for n in range(13)]
    store(node, *usual, reading(timestamp_us=NOW_US + 13, values={"pm25": 120.0}))
    calibrate(node, 1e6, 0.0)
    run(node)
    assert stored(node, "flags, count(*)", "GROUP BY 1 ORDER BY 1") == [
        ("range", 13),
        ("range,spike", 1),
    ]
    assert [counted(node, "pm25_count"), counted(node, "pm25_flagged")] == [0, 14]
    calibrate(node, 2.0, 0.0)
    run(node)
    assert stored(node, "flags, count(*)", "GROUP BY 1 ORDER BY 1") == [("", 13), ("spike", 1)]
    assert [counted(node, "pm25_count"), counted(node, "pm25_flagged")] == [13, 1]


def counted(node: Node, column: str) -> int:
    """What the hour of the readings has in a column, counted anew."""
    node.hours.count_all()
    query = f"SELECT sum({column})::BIGINT FROM hourly"
    found = node.hours.read([NOW_US // HOUR_US], lambda cursor: cursor.execute(query).fetchall())
    return int(found[0][0]) if found else 0


def test_only_the_days_and_the_sensor_that_are_named_are_regraded(
    open_node: Callable[..., Node],
) -> None:
    store(open_node(), *some_readings())
    node = open_node(aqi_standard=EU)
    day = stored(node, "created_date::VARCHAR", ORDER)[-1][0]
    assert run(node, from_day=day, to_day=day, sensor_id="gases").readings == 1
    done = stored(node, "sensor_id", f"WHERE grading LIKE '{EU}%'")
    assert done == [("gases",)]
    assert run(node, from_day=day, to_day=day).readings == 4
    assert status(node)["grading"]["outdated_days"] == 2


def test_a_sensor_that_nobody_knows_is_named_unless_it_left_readings(
    open_node: Callable[..., Node],
) -> None:
    store(open_node(), *some_readings())
    node = open_node(aqi_standard=EU)
    with pytest.raises(NotFound, match="there is no sensor 'gsaes'"):
        run(node, sensor_id="gsaes")
    anyio.run(node.registry.remove, "gases")
    assert run(node, sensor_id="gases").readings


def test_a_dry_run_tells_and_changes_nothing(open_node: Callable[..., Node]) -> None:
    store(open_node(), *some_readings())
    node = open_node(aqi_standard=EU)
    files = node.store.files
    assert run(node, is_dry_run=True).readings == 15
    assert node.store.files == files
    assert not list(node.data_dir.glob(".tmp/*.parquet"))


def test_large_files_are_regraded_part_by_part_in_their_order(
    open_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regrading, "CHUNK_ROWS", 7)
    node = open_node()
    store(node, *(purple(timestamp_us=NOW_US + n, pm25=20.0 + n % 5) for n in range(40)))
    node = open_node(aqi_standard=EU, source_corrections="")
    assert run(node).readings == 40
    rows = stored(node, "pm25, pm25_raw, correction, aqi_value", ORDER)
    assert rows == [(20.0 + n % 5, None, "", 3) for n in range(40)]
    assert report_of(node).is_clean


def test_what_was_broken_off_goes_on_where_it_was(open_node: Callable[..., Node]) -> None:
    store(open_node(), *some_readings())
    node = open_node(aqi_standard=EU)
    regrade_one = Regrade(node.store, node.engine, node.standard, node.corrections)
    first = regrade_one.prepare(node.store.files[0])
    second = regrade_one.prepare(node.store.files[1])
    assert first is not None and second is not None
    assert regrade_one.make_real(first, NOW_US)
    node = open_node(aqi_standard=EU)  # what was prepared and not made real is gone
    assert not list(node.data_dir.glob(".tmp/*.parquet"))
    assert run(node).readings == 10
    assert status(node)["grading"]["outdated_days"] == 0


def test_a_revision_that_arrives_while_its_file_is_regraded_wins(
    open_node: Callable[..., Node],
) -> None:
    store(open_node(), reading(), reading("other"))
    node = open_node(aqi_standard=EU)
    work = Regrade(node.store, node.engine, node.standard, node.corrections)
    prepared = work.prepare(node.store.files[0])
    assert prepared is not None
    store(node, reading(values={"pm25": 40.0}))
    assert not work.make_real(prepared, NOW_US)
    assert stored(node, "pm25", ORDER) == [(12.3,), (40.0,)]
    assert run(node).readings == 1
    assert stored(node, "DISTINCT grading") == [(node.standard.grading,)]


def test_a_damaged_file_is_set_aside_and_never_copied(open_node: Callable[..., Node]) -> None:
    store(open_node(), *some_readings())
    node = open_node(aqi_standard=EU)
    spoil(node.store.full(node.store.files[0]), "flipped")
    run(node)
    assert status(node)["quarantined"] == 1
    assert stored(node, "count(*)") == [(10,)]


def test_without_room_for_a_copy_nothing_is_begun(
    open_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    store(open_node(), *some_readings())
    node = open_node(aqi_standard=EU)
    monkeypatch.setattr(type(node.disk), "room_bytes", property(lambda _: 100))
    with pytest.raises(DiskFull, match="no room for a copy of"):
        run(node)


def test_days_whose_readings_expired_are_named(open_node: Callable[..., Node]) -> None:
    node = open_node(retention_days=3)
    now_us = node.clock.now_us()
    store(node, reading(timestamp_us=now_us - 10 * DAY_US), reading(received_us=now_us))
    [[old]] = stored(node, "max(created_date)::VARCHAR")
    node.expiry.drop()
    assert run(node).final_days == [old]


def test_an_operator_calibrates_and_regrades_a_serving_node(
    start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    node = start_node(flush_interval_s=0.2)
    node.run("sensor", "add", "school-12", "--lat", "60.171", "--lng", "24.941")
    sent = {"sensor_id": "school-12", "timestamp": "2026-01-05T10:00:00Z", "values": {"pm25": 20}}
    assert node.post(sent, node.token()).status_code == 202
    node.flush()
    added = node.run(
        *("sensor", "calibrate", "school-12", "--gain", "0.5", "--offset", "1"),
        *("--from", "2026-01-01"),
    )
    assert "pm25 = 0.5 x + 1, version 1, from 2026-01-01T00:00:00Z: set by hand" in added.stdout
    shown = json.loads(node.run("sensor", "show", "school-12", "--json").stdout)
    assert [(one["gain"], one["shift"]) for one in shown["corrections"]] == [(0.5, 1.0)]
    report = json.loads(node.run("regrade", "--json").stdout)
    assert (report["readings"], report["days"]) == (1, ["2026-01-05"])
    refused = node.run("sensor", "calibrate", "school-12", "--against", "nobody", check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    "words", [[], ["--gain", "2", "--end"], ["--against", "b", "--offset", "1"]]
)
def test_a_calibration_that_says_no_one_thing_is_wrong_usage(words: list[str]) -> None:
    done = CliRunner().invoke(calibrate_command, ["school-12", *words])
    assert done.exit_code == 2
