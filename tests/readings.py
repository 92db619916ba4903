"""Readings for tests: one by hand, many by hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from urbanos_edge.reading import QUANTITY_NAMES, Reading, Timing

NOW_US = 1_763_900_000_000_000


def reading(sensor_id: str = "school-12", timestamp_us: int = NOW_US, **more: Any) -> Reading:
    """A reading in Helsinki with a PM2.5 of 12.3 µg/m³, unless told otherwise."""
    fields: dict[str, Any] = {
        "sensor_id": sensor_id,
        "timestamp_us": timestamp_us,
        "received_us": timestamp_us + 1000,
        "lat": 60.171,
        "lng": 24.941,
        "values": {"pm25": 12.3},
    }
    return Reading(**fields | more)


values = st.dictionaries(
    st.sampled_from(QUANTITY_NAMES), st.sampled_from([0.0, 1.5, 12.3, 80.0]), max_size=3
)
readings = st.builds(
    reading,
    sensor_id=st.sampled_from(["a", "b", "ünï-3"]),
    timestamp_us=st.integers(NOW_US, NOW_US + 3),
    lat=st.floats(-90, 90),
    lng=st.floats(-180, 180),
    values=values,
    source=st.sampled_from(["api", "demo"]),
    reported_aqi=st.sampled_from([None, 40.0]),
    timing=st.sampled_from([Timing.SENSOR, Timing.NODE]),
    channels_disagree=st.booleans(),
)
