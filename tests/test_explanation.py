"""An explanation holds all that is needed to compute its numbers again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import anyio
import msgspec
import pytest

from tests import devices
from tests.readings import reading
from tests.test_flush import store, stored
from urbanos_edge.adapters import node_json, purpleair
from urbanos_edge.clock import DAY_US, HOUR_US, SECOND_US, to_rfc3339, to_us
from urbanos_edge.errors import NotFound, Unprocessable
from urbanos_edge.node import OWN_TOKEN, Node
from urbanos_edge.query.explanation import known_quantity
from urbanos_edge.reading import Timing

EPA_EXAMPLE = [13.0, 16.0, 10.0, 21.0, 74.0, 64.0, 53.0, 82.0, 90.0, 75.0, 80.0, 50.0]
"""Newest first; its NowCast is 17.4 (EPA-454/B-24-002, 'How the NowCast is calculated')."""
MEASURED: list[dict[str, float]] = [
    {"pm25": 12.34, "pm10": 54.9, "o3": 61.0, "no2": 53.6, "so2": 36.0, "co": 4.45},
    {"pm25": 35.4, "pm10": 20.0, "temperature": 4.5},
    {"pm25": 600.0, "pm10": 1200.0},  # beyond the scales
    {"o3": 210.0, "so2": 310.0},  # two scales each
    {"o3": 700.0, "so2": 1500.0, "no2": 3000.0, "co": 90.0},
    {"pm25": 0.0},
    {"pm25": -2.0, "no2": 0.4},  # flagged
    {"pm10": 1999.9, "pm25": 999.9},  # flagged
    {"temperature": 20.0},
]
STANDARDS = ["us-epa-2024", "eu-eea-2024", "uk-defra-2013"]


def explained(
    node: Node, at_us: int | None = None, quantity: str | None = None, sensor_id: str = "school-12"
) -> dict[str, Any]:
    found = node.explanations.read(sensor_id, at_us, quantity, node.view())
    told: dict[str, Any] = json.loads(msgspec.json.encode(found))
    return told


def exact(number: float) -> Fraction:
    return Fraction(str(number))


def again(working: dict[str, Any]) -> int | None:
    """The index, from nothing but what the explanation says."""
    in_unit = working["concentration"] * working["per_unit"]
    up = 0.5 if working["rounding"] == "half up" else 0
    steps = max(math.floor(in_unit / working["step"] + up + 1e-6), 0)
    assert working["rounded"] == pytest.approx(steps * working["step"])
    line = working["line"]
    if line is None:
        return None
    assert line["concentration_low"] <= working["rounded"]
    low: float = line["concentration_low"]
    first: int = line["index_low"]
    last: int = line["index_high"]
    if first == last:
        return first
    width = exact(line["concentration_high"]) - exact(low)
    along = exact(working["rounded"]) - exact(low)
    highest: int = working["highest"]
    return min(math.floor((last - first) / width * along + first + Fraction(1, 2)), highest)


def overall_again(indexes: dict[str, int | None]) -> tuple[int | None, str | None]:
    """The highest, and who has it first."""
    given = {name: index for name, index in indexes.items() if index is not None}
    if not given:
        return None, None
    highest = max(given.values())
    return highest, next(name for name, index in given.items() if index == highest)


def assert_adds_up(told: dict[str, Any]) -> None:
    """Every index follows from the numbers beside it."""
    indexes = {}
    for name, pollutant in told["index"]["pollutants"].items():
        shown = told["values"].get(name, {}).get("value")
        assert pollutant["concentration"] == shown
        found = [again(one) for one in pollutant["workings"]]
        assert found == [one["index"] for one in pollutant["workings"]]
        indexes[name] = max((index for index in found if index is not None), default=None)
        assert pollutant["index"] == indexes[name]
    overall = told["index"]["overall"]
    assert (overall["aqi_value"], overall["dominant"]) == overall_again(indexes)


@pytest.mark.parametrize("standard", STANDARDS)
def test_the_index_can_be_computed_again_from_the_explanation_alone(
    open_node: Callable[..., Node], standard: str
) -> None:
    node = open_node(aqi_standard=standard, neighbour_radius_km=0)
    now_us = node.clock.now_us()
    store(node, *(reading(f"s-{n}", now_us, values=given) for n, given in enumerate(MEASURED)))
    in_store = dict(
        (sensor_id, (index, flags))
        for sensor_id, index, flags in stored(node, "sensor_id, aqi_value, flags")
    )
    for number, given in enumerate(MEASURED):
        told = explained(node, sensor_id=f"s-{number}")
        assert told["standard"]["id"] == standard
        assert {name: one["value"] for name, one in told["values"].items()} == given
        assert all(one["raw"] == one["value"] for one in told["values"].values())
        assert_adds_up(told)
        flags = ",".join(one["flag"] for one in told["quality"]["flags"])
        overall = told["index"]["overall"]
        assert (overall["aqi_value"], flags) == in_store[f"s-{number}"]
        assert told["quality"]["is_counted"] is (flags == "")


def test_a_value_on_the_us_scale_is_worked_out_as_by_hand(node: Node) -> None:
    """12.34 is cut off to 12.3: 49 / 26.3 × 3.2 + 51 = 56.96."""
    store(node, reading(timestamp_us=node.clock.now_us(), values={"pm25": 12.34, "pm10": 20.0}))
    told = explained(node)
    [working] = told["index"]["pollutants"]["pm25"]["workings"]
    assert working["formula"] == "(100 - 51) / (35.4 - 9.1) × (12.3 - 9.1) + 51 = 56.96, so 57"
    assert told["index"]["overall"] == {
        "aqi_value": 57,
        "dominant": "pm25",
        "level": 2,
        "word": "Moderate",
        "word_key": "us-epa-2024.2",
        "color": "#ffff00",
        "assist_color": "#ffc905",
    }
    assert told["grading"]["is_same"]


def test_beyond_a_scale_that_ends_the_index_stays_at_its_highest(node: Node) -> None:
    """Eight-hour ozone defines nothing above 300; along the one-hour scale 410 ppb gives 306."""
    store(node, reading(timestamp_us=node.clock.now_us(), values={"o3": 410.0}))
    eight_hours, one_hour = explained(node)["index"]["pollutants"]["o3"]["workings"]
    assert (eight_hours["is_beyond"], eight_hours["index"]) == (True, 300)
    assert (one_hour["is_beyond"], one_hour["index"]) == (False, 306)


def test_a_corrected_value_is_told_with_what_the_sensor_said(
    open_node: Callable[..., Node],
) -> None:
    """0.524 × 20 - 0.0862 × 50 + 5.75 = 11.92."""
    node = open_node(source_corrections="purpleair=us-epa-purpleair-2021")
    values = {"pm25": 20.0, "humidity": 50.0}
    now_us = node.clock.now_us()
    store(node, reading(timestamp_us=now_us, values=values, source="purpleair"))
    told = explained(node)
    value = told["values"]["pm25"]
    assert (value["raw"], value["value"]) == (20.0, pytest.approx(11.92))
    correction = value["correction"]
    assert (correction["name"], correction["version"]) == ("us-epa-purpleair-2021", 1)
    assert correction["of"] == {"x": 20.0, "RH": 50.0}
    assert "Barkjohn" in correction["document"]
    of = correction["coefficients"]
    made = of["slope"] * 20.0 + of["humidity"] * 50.0 + of["shift"]
    assert made == pytest.approx(value["value"])
    assert told["values"]["humidity"]["correction"] is None
    assert_adds_up(told)


def hourly(node: Node, values: list[float | None], **more: Any) -> int:
    """Store one reading in the middle of each whole hour, the newest first; where they end."""
    until_us = node.clock.now_us() // HOUR_US * HOUR_US
    moments = [until_us - HOUR_US // 2 - n * HOUR_US for n in range(len(values))]
    given = [
        reading(timestamp_us=at_us, values={"pm25": value}, **more)
        for at_us, value in zip(moments, values, strict=True)
        if value is not None
    ]
    store(node, *given)
    return until_us


def over(told: dict[str, Any], period: str, quantity: str = "pm25") -> dict[str, Any]:
    averages = told["averages"]["quantities"][quantity]["averages"]
    found: dict[str, Any] = next(one for one in averages if one["over"] == period)
    return found


def test_the_nowcast_is_that_of_epas_example_with_its_arithmetic(node: Node) -> None:
    """It is cut off to 17.4: 49 / 26.3 × 8.3 + 51 = 66.46."""
    told = explained(node, hourly(node, list(EPA_EXAMPLE)))
    nowcast = over(told, "NowCast")
    assert nowcast["value"] == pytest.approx(17.41391, abs=1e-5)
    assert nowcast["weights"] == [0.5**n for n in range(12)], "the lowest by the highest is 0.11"
    hours = told["averages"]["quantities"]["pm25"]["hours"]
    assert [one["mean"] for one in hours] == EPA_EXAMPLE + [None] * 12
    weighed = sum(w * hours[n]["mean"] for n, w in enumerate(nowcast["weights"]))
    assert nowcast["value"] == pytest.approx(weighed / sum(nowcast["weights"]))
    assert (nowcast["index"], told["averages"]["nowcast_aqi"]) == (66, 66)
    assert [again(one) for one in nowcast["workings"]] == [66]
    day = over(told, "24h running")
    assert (day["value"], day["present"], day["needed"]) == (None, 12, 18)


def test_an_average_over_24_hours_needs_18_of_them(node: Node) -> None:
    values = [10.0, None, 12.0] * 6 + [None] * 6
    until_us = hourly(node, [*values[:18], *[14.0] * 6])
    told = explained(node, until_us)
    day = over(told, "24h running")
    assert day["value"] == pytest.approx((6 * 10 + 6 * 12 + 6 * 14) / 18)
    assert (day["hours"], day["present"], day["is_of_index"]) == (24, 18, False)
    assert node.averaging.of("school-12", until_us).brief().mean_24h == {"pm25": day["value"]}


@pytest.mark.parametrize("standard", STANDARDS)
def test_the_averages_have_indexes_over_the_periods_of_the_standard(
    open_node: Callable[..., Node], standard: str
) -> None:
    node = open_node(aqi_standard=standard)
    until_us = node.clock.now_us() // HOUR_US * HOUR_US
    values = {"pm25": 20.0, "pm10": 30.0, "o3": 50.0, "no2": 20.0, "so2": 90.0, "co": 1.0}
    store(
        node,
        *(
            reading(timestamp_us=until_us - HOUR_US // 5 - n * HOUR_US, values=values)
            for n in range(24)
        ),
    )
    told = explained(node, until_us)
    indexes: dict[str, int | None] = {name: None for name in told["index"]["pollutants"]}
    for name, quantity in told["averages"]["quantities"].items():
        for one in quantity["averages"]:
            assert one["value"] == pytest.approx(values[name]), "all hours are alike"
            found = [again(working) for working in one["workings"]]
            known = [index for index in found if index is not None]
            assert one["index"] == max(known, default=None)
            if known:
                indexes[name] = max(indexes[name] or 0, *known)
    assert told["averages"]["overall"] == told["index"]["overall"]
    overall = told["averages"]["overall"]
    assert (overall["aqi_value"], overall["dominant"]) == overall_again(indexes)
    assert (told["averages"]["nowcast_aqi"] is None) is (standard != "us-epa-2024")


def test_flagged_readings_have_no_part_in_the_averages(node: Node) -> None:
    until_us = hourly(node, [10.0, 10.0, 10.0])
    store(node, reading(timestamp_us=until_us - 60 * SECOND_US, values={"pm25": 999.9}))
    hours = explained(node, until_us)["averages"]["quantities"]["pm25"]["hours"]
    assert hours[0] == {
        "at": to_rfc3339(until_us - HOUR_US),
        "mean": 10.0,
        "count": 1,
        "flagged": 1,
    }


def test_a_moment_is_explained_by_what_was_shown_then(node: Node) -> None:
    start_us = node.clock.now_us() - 30 * DAY_US
    store(
        node, *(reading(timestamp_us=start_us + n * SECOND_US, values={"pm25": n}) for n in (1, 2))
    )
    for at_us, expected in ((1, 1.0), (2, 2.0), (1.5, 1.0), (86_401, 2.0)):
        told = explained(node, start_us + round(at_us * SECOND_US))
        assert told["values"]["pm25"]["value"] == expected
    for at_us in (start_us, start_us + DAY_US + 3 * SECOND_US):
        with pytest.raises(NotFound):
            explained(node, at_us)


def test_a_reading_from_memory_is_explained_like_one_from_the_files(
    open_node: Callable[..., Node],
) -> None:
    node = open_node()
    now_us = node.clock.now_us()
    store(node, reading(timestamp_us=now_us - HOUR_US, values={"pm25": 12.3}))
    store(node, reading(timestamp_us=now_us, values={"pm25": 9.0}))
    told = [explained(node), explained(node, now_us - 1)]
    node = open_node()
    assert [explained(node), explained(node, now_us - 1)] == told


def test_an_urgent_reading_is_explained_before_it_is_stored(
    open_node: Callable[..., Node],
) -> None:
    """0.524 × 40 - 0.0862 × 50 + 5.75 = 22.4, and 49 / 26.3 × 13.3 + 51 = 75.78."""
    node = open_node(source_corrections="purpleair=us-epa-purpleair-2021")
    sent = {
        "sensor_id": "school-12",
        "location": {"lat": 60.171, "lng": 24.941},
        "timestamp": to_rfc3339(node.clock.now_us()),
        "priority": 9,
        "source": "purpleair",
        "values": {"pm25": 40.0, "humidity": 50.0},
    }
    message, _ = node_json.read_object_or_array(json.dumps(sent).encode())
    anyio.run(node.ingest.accept, message, OWN_TOKEN)
    urgent = explained(node)
    assert urgent["values"]["pm25"]["raw"] == 40.0
    assert urgent["index"]["overall"]["aqi_value"] == 76
    assert urgent["grading"]["stored"] is None
    anyio.run(node.flush)
    told = explained(node)
    assert told["grading"]["stored"] == "us-epa-2024/1"
    assert told["values"] == urgent["values"]
    assert told["reading"] == urgent["reading"]


def test_a_reading_that_another_standard_graded_says_so(open_node: Callable[..., Node]) -> None:
    node = open_node()
    now_us = node.clock.now_us()
    store(node, reading(timestamp_us=now_us, values={"pm25": 40.0}))
    told = explained(open_node(aqi_standard="uk-defra-2013"))
    assert told["grading"] | {"says": ""} == {
        "stored": "us-epa-2024/1",
        "in_use": "uk-defra-2013/1",
        "is_same": False,
        "stored_aqi_value": 112,
        "says": "",
    }
    assert told["index"]["overall"]["aqi_value"] == 4, "36 to 41 µg/m³"


@pytest.mark.parametrize(
    ("timing", "after_us", "clock"),
    [
        (Timing.SENSOR, -2 * SECOND_US, "sensor"),
        (Timing.NODE, 15, "node"),
        (Timing.NODE_IN_DOUBT, 15, "node_in_doubt"),
        (Timing.SENSOR, 60 * SECOND_US, "sensor"),
    ],
)
def test_it_is_told_whose_clock_a_reading_has(
    node: Node, timing: Timing, after_us: int, clock: str
) -> None:
    received_us = node.clock.now_us()
    at_us = received_us + after_us
    store(node, reading(timestamp_us=at_us, received_us=received_us, timing=timing))
    assert explained(node)["reading"]["clock"] == clock


def test_one_quantity_is_explained_alone_with_all_that_the_index_needs(node: Node) -> None:
    values = {"pm25": 12.0, "pm10": 30.0, "temperature": 4.5}
    store(node, reading(timestamp_us=node.clock.now_us() - HOUR_US, values=values))
    told = explained(node, quantity="pm10")
    assert told["values"].keys() == told["averages"]["quantities"].keys() == {"pm10"}
    assert told["index"]["pollutants"]["pm25"]["index"] == 56
    assert explained(node, quantity="temperature")["averages"]["quantities"] == {}
    assert explained(node, quantity="aqi")["values"].keys() == values.keys()
    with pytest.raises(NotFound):
        explained(node, quantity="o3")
    with pytest.raises(Unprocessable):
        known_quantity("radon")


def test_a_monitor_whose_channels_disagree_is_explained_as_left_out(node: Node) -> None:
    """13 and 27 µg/m³ are 70 % of their mean apart; it is shown all the same, as 20."""
    shown = json.loads(devices.PURPLEAIR) | {"pm2_5_cf_1": 13.0, "pm2_5_cf_1_b": 27.0}
    message = purpleair.read(json.dumps(shown).encode())
    anyio.run(node.ingest.accept, message, OWN_TOKEN)
    anyio.run(node.flush)
    assert stored(node, "flags") == [("channels",)]
    at_us = to_us(datetime(2026, 5, 17, 22, 23, 6, tzinfo=UTC))
    told = explained(node, at_us, sensor_id="purpleair-84f3eb0801c2")
    assert told["values"]["pm25"]["raw"] == 20.0
    assert [one["flag"] for one in told["quality"]["flags"]] == ["channels"]
    assert not told["quality"]["is_counted"]


def test_a_sensor_that_said_nothing_has_nothing_to_explain(node: Node) -> None:
    with pytest.raises(NotFound):
        explained(node, sensor_id="nobody")
    with pytest.raises(NotFound):
        explained(node, node.clock.now_us(), sensor_id="nobody")
