"""One reading per sensor and moment, against a model that keeps a dictionary."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.readings import reading, readings
from urbanos_edge.batch import pack, unpack
from urbanos_edge.reading import Reading
from urbanos_edge.store.identity import MERGED, fold

Known = dict[tuple[str, int], dict[str, float]]


def model(arrivals: list[Reading]) -> tuple[Known, int, int]:
    """Fold arrivals one by one, the last to say something winning per quantity."""
    known: Known = {}
    duplicates = revisions = 0
    for arrival in arrivals:
        said = dict(arrival.values)
        if arrival.reported_aqi is not None:
            said["reported_aqi"] = arrival.reported_aqi
        identity = (arrival.sensor_id, arrival.timestamp_us)
        if identity not in known:
            known[identity] = said
        elif said.items() <= known[identity].items():
            duplicates += 1
        else:
            revisions += 1
            known[identity] |= said
    return known, duplicates, revisions


@given(st.lists(readings, min_size=1, max_size=30))
def test_a_batch_is_folded_as_one_by_one(arrivals: list[Reading]) -> None:
    merged = fold(unpack([pack(arrivals)]), {})
    sensors = merged.batch.strings("sensor")
    moments = merged.batch["timestamp_us"].tolist()
    found = {
        (sensor, moment): {
            name: float(merged.batch[name][row])
            for name in MERGED
            if not math.isnan(merged.batch[name][row])
        }
        for row, (sensor, moment) in enumerate(zip(sensors, moments, strict=True))
    }
    assert (found, merged.duplicates, merged.revisions) == model(arrivals)
    assert len(found) == len(merged.batch)


def test_a_later_value_replaces_and_an_absent_one_is_kept() -> None:
    first = reading(values={"pm25": 10.0, "pm10": 20.0})
    second = reading(values={"pm25": 11.0})
    merged = fold(unpack([pack([first, second])]), {})
    assert merged.batch["pm25"].tolist() == [11.0]
    assert merged.batch["pm10"].tolist() == [20.0]
    assert (merged.duplicates, merged.revisions) == (0, 1)


@pytest.mark.parametrize(
    ("then", "disagree", "expected"),
    [
        ({"pm25": 30.0}, False, True),  # repeated: nothing changes
        ({"humidity": 50.0}, False, True),  # nothing is said of PM2.5
        ({"pm25": 31.0}, False, False),
        ({"pm25": 31.0}, True, True),
    ],
)
def test_what_channels_say_of_a_value_stands_as_long_as_the_value(
    then: dict[str, float], disagree: bool, expected: bool
) -> None:
    """Within a batch, and when the first reading is stored already."""
    first = reading(values={"pm25": 30.0}, channels_disagree=True)
    second = reading(values={**then, "pm10": 40.0}, channels_disagree=disagree)
    folded = fold(unpack([pack([first, second])]), {})
    stored = {"sensor": np.array([0]), "timestamp_us": np.array([first.timestamp_us])}
    nothing = {name: np.array([math.nan]) for name in MERGED}
    said = {"pm25": np.array([30.0]), "channels_disagree": np.array([True])}
    onto = fold(unpack([pack([second])]), stored | nothing | said)
    for found in (folded, onto):
        assert found.batch["channels_disagree"].tolist() == [expected]


def test_an_empty_batch_stays_empty() -> None:
    assert len(fold(unpack([]), {}).batch) == 0
