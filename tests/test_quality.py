"""Flags that a reading earns alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.readings import reading
from urbanos_edge.batch import pack, unpack
from urbanos_edge.quality.quality import FLAG_LABELS, channels_disagree, flag
from urbanos_edge.reading import Timing


def flags(values: dict[str, float], timing: Timing = Timing.SENSOR, **more: Any) -> str:
    batch = unpack([pack([reading(values=values, timing=timing, **more)])])
    return FLAG_LABELS[int(flag(batch.columns)[0])]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"pm25": 995.0}, ""),
        ({"pm25": 995.1}, "range"),
        ({"pm25": 12.0, "pm10": 1999.9}, "range"),
        ({"temperature": -61.0}, "range"),
        ({"humidity": 150.0}, "range"),
        ({"pm25": 12.0, "humidity": 99.0}, ""),
        ({"pm25": 12.0, "humidity": 99.1}, "humidity"),
        ({"pm10": 999.9, "pm25": 999.9, "humidity": 100.0}, "range,humidity"),
        ({"humidity": 100.0, "temperature": 4.0, "no2": 12.0}, ""),
    ],
)
def test_what_cannot_be_or_was_counted_in_fog_is_flagged(
    values: dict[str, float], expected: str
) -> None:
    assert flags(values) == expected


def test_a_clock_in_doubt_is_flagged() -> None:
    assert flags({"pm25": 12.0}, Timing.NODE_IN_DOUBT) == "clock"


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        (Timing.SENSOR, "channels"),
        (Timing.NODE, "channels"),
        (Timing.NODE_IN_DOUBT, "channels,clock"),
    ],
)
def test_channels_that_disagree_are_flagged_whoever_told_the_time(
    timing: Timing, expected: str
) -> None:
    assert flags({"pm25": 12.0}, timing, channels_disagree=True) == expected


@pytest.mark.parametrize(
    ("a_ugm3", "b_ugm3", "expected"),
    [
        (2.0, 7.0, True),
        (2.0, 6.9, False),  # less than 5 apart
        (13.0, 27.0, True),  # 14 is 70 % of 20
        (13.0, 26.9, False),
        (100.0, 170.0, False),  # 70 is 52 % of 135
        (0.0, 5.0, True),
        (27.0, 13.0, True),
        (float("nan"), 50.0, False),
    ],
)
def test_channels_disagree_by_5_and_by_70_percent_of_their_mean(
    a_ugm3: float, b_ugm3: float, expected: bool
) -> None:
    assert channels_disagree(np.array([a_ugm3]), np.array([b_ugm3])).tolist() == [expected]
