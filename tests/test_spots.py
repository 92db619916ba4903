"""What lies where: whole intervals of the Z-order curve, added up in two ways that must agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urbanos_edge.grid import FINEST_ZOOM, tile_at
from urbanos_edge.rollup import spots as module
from urbanos_edge.rollup.spots import UNIT_BITS, Spots, positions, spots, z_order

_ROW = st.tuples(st.integers(0, 255), st.integers(0, 10**12), st.integers(-1, 500))


def laid_out(rows: list[tuple[int, int, int]]) -> Spots:
    keys, amounts, indexes = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return spots(keys, [], [np.ones(len(keys), np.int64), amounts], [indexes])


@given(st.lists(_ROW, min_size=1, max_size=90), st.integers(0, 8))
def test_few_and_many_rows_are_added_up_alike(rows: list[tuple[int, int, int]], bits: int) -> None:
    expected: dict[int, list[int]] = {}
    for key, amount, index in rows:
        number, total, highest = expected.get(key >> bits, [0, 0, -1])
        expected[key >> bits] = [number + 1, total + amount, max(highest, index)]
    for few in (0, len(rows)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "FEW", few)
            assert laid_out(rows).totals(slice(0, len(rows)), bits) == expected


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_a_place_lies_in_its_finest_tile_at_every_zoom(lat: float, lng: float) -> None:
    tile = tile_at(lat, lng, FINEST_ZOOM)
    columns = {"x18": [tile.x], "y18": [tile.y], "lng": [lng], "lat": [lat]}
    x, y = positions({name: np.array(column) for name, column in columns.items()})
    keys = z_order(x >> UNIT_BITS, y >> UNIT_BITS)
    placed = spots(keys, [x, y], [np.ones(1, np.int64)], [x])
    for zoom in range(FINEST_ZOOM + 1):
        assert placed.within(tile_at(lat, lng, zoom)) == slice(0, 1)
