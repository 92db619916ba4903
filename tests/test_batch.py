"""What is packed for the spool comes back as it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.readings import readings
from urbanos_edge.batch import pack, reading_at, unpack
from urbanos_edge.grid import tile_at
from urbanos_edge.reading import Reading


@given(st.lists(st.lists(readings, min_size=1, max_size=5), max_size=4))
def test_packed_readings_come_back_in_order(groups: list[list[Reading]]) -> None:
    batch = unpack([pack(group) for group in groups])
    given_in = [reading for group in groups for reading in group]
    assert [reading_at(batch, index) for index in range(len(batch))] == given_in


@given(readings)
def test_a_packed_reading_knows_its_finest_tile(one: Reading) -> None:
    batch = unpack([pack([one])])
    tile = tile_at(one.lat, one.lng, 18)
    assert (batch["x18"][0], batch["y18"][0]) == (tile.x, tile.y)
