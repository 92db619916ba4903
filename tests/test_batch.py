"""What is packed for the spool comes back as it was."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.readings import reading, readings
from urbanos_edge.batch import finest_tiles, layout, pack, reading_at, unpack
from urbanos_edge.grid import Tile, tile_at
from urbanos_edge.reading import Reading, Timing


@given(st.lists(st.lists(readings, min_size=1, max_size=5), max_size=4))
def test_packed_readings_come_back_in_order(groups: list[list[Reading]]) -> None:
    batch = unpack([pack(group) for group in groups])
    given_in = [reading for group in groups for reading in group]
    assert [reading_at(batch, index) for index in range(len(batch))] == given_in


def test_strings_are_told_apart_however_many_lie_before_them() -> None:
    groups = [[reading(f"{group}-{n}") for n in range(10_000)] for group in range(7)]
    last = reading("last", source="purpleair", pollution_type="smoke")
    batch = unpack([pack(group) for group in (*groups, [last])])
    assert len(batch.labels) > 1 << 16
    assert reading_at(batch, len(batch) - 1) == last
    assert reading_at(batch, 0) == groups[0][0]


@given(readings)
def test_a_packed_reading_knows_its_finest_tile(one: Reading) -> None:
    batch = unpack([pack([one])])
    tile = tile_at(one.lat, one.lng, 18)
    assert (batch["x18"][0], batch["y18"][0]) == (tile.x, tile.y)


def test_a_payload_from_before_channels_were_told_apart_is_read_as_it_was_meant() -> None:
    rows = np.zeros(3, layout(10))
    rows["timing"] = [0, 1, 2]
    labels = ["school-12", "api", "air"]
    rows["source"], rows["pollution_type"] = 1, 2
    batch = unpack([msgspec.msgpack.encode((labels, rows.tobytes()))])
    assert batch["timing"].tolist() == [Timing.SENSOR, Timing.NODE, Timing.NODE_IN_DOUBT]
    assert not batch["channels_disagree"].any()


def edge_lat(row: int) -> float:
    """The latitude between two rows of the finest tiles, or close to it."""
    return Tile(18, 0, min(row, (1 << 18) - 1)).bounds.max_lat


places = st.tuples(
    st.one_of(st.floats(-90, 90), st.floats(-85.1, -85.0), st.integers(0, 1 << 18).map(edge_lat)),
    st.one_of(
        st.floats(-180, 180), st.integers(0, 1 << 18).map(lambda x: x / (1 << 18) * 360 - 180)
    ),
)


@given(st.lists(places, min_size=1, max_size=20))
def test_many_places_have_the_tiles_that_each_has_alone(
    given_in: list[tuple[float, float]],
) -> None:
    lat, lng = np.array(given_in).T
    x, y = finest_tiles(lng, lat)
    expected = [tile_at(each_lat, each_lng, 18) for each_lat, each_lng in given_in]
    assert list(zip(x.tolist(), y.tolist(), strict=True)) == [(t.x, t.y) for t in expected]
