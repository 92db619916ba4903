"""Who is near whom equals a look at all distances, however sensors came and moved."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urbanos_edge.batch import finest_tiles
from urbanos_edge.quality.neighbourhood import NEAREST, NOBODY, Neighbourhood, consensus

RADIUS_M = 10_000.0
places = st.tuples(st.integers(0, 40), st.floats(60.0, 60.5), st.floats(24.5, 25.5))


def place(neighbourhood: Neighbourhood, placed: dict[int, tuple[float, float]]) -> None:
    sensors = np.array(sorted(placed))
    lat, lng = np.array([placed[sensor] for sensor in sensors.tolist()]).T
    x18, y18 = finest_tiles(lng, lat)
    if len(neighbourhood) <= sensors[-1]:
        neighbourhood.grow(int(sensors[-1]) + 1)
    neighbourhood.place(sensors, {"lat": lat, "lng": lng, "x18": x18, "y18": y18})


def apart_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    """By the haversine, on a sphere of 6,371 km."""
    lat_a, lng_a, lat_b, lng_b = map(math.radians, (*a, *b))
    half = math.sin((lat_b - lat_a) / 2) ** 2
    half += math.cos(lat_a) * math.cos(lat_b) * math.sin((lng_b - lng_a) / 2) ** 2
    return 2 * 6_371_000 * math.asin(math.sqrt(half))


def assert_lists(neighbourhood: Neighbourhood, places: dict[int, tuple[float, float]]) -> None:
    """Distances within 10 m of the radius are left open: flat land is not a sphere."""
    for sensor, own in places.items():
        listed = set(neighbourhood.lists[sensor].tolist()) - {NOBODY}
        distances = {one: apart_m(own, at) for one, at in places.items() if one != sensor}
        surely = {one for one, distance in distances.items() if distance < RADIUS_M - 10}
        perhaps = {one for one, distance in distances.items() if distance < RADIUS_M + 10}
        assert listed <= perhaps
        assert surely <= listed or len(listed) == NEAREST


@given(st.lists(st.lists(places, min_size=1, max_size=12), min_size=1, max_size=8))
def test_whoever_has_few_near_has_them_all_however_they_came_and_moved(
    moves: list[list[tuple[int, float, float]]],
) -> None:
    neighbourhood, known = Neighbourhood(RADIUS_M), dict[int, tuple[float, float]]()
    for move in moves:
        placed = {sensor: (lat, lng) for sensor, lat, lng in move}
        place(neighbourhood, placed)
        known |= placed
        assert_lists(neighbourhood, known)


@pytest.mark.parametrize("spread_deg", [0.0, 0.001, 0.05, 3.0])
def test_in_a_crowd_the_lists_hold_about_the_nearest(spread_deg: float) -> None:
    random = np.random.default_rng(7)
    at = np.array([60.2, 24.9]) + random.normal(size=(600, 2)) * spread_deg
    known = {sensor: (lat, lng) for sensor, (lat, lng) in enumerate(at.tolist())}
    neighbourhood = Neighbourhood(RADIUS_M)
    place(neighbourhood, known)
    assert_lists(neighbourhood, known)
    for sensor in range(0, 600, 10):
        nearest = sorted(apart_m(known[sensor], known[one]) for one in known if one != sensor)
        listed = neighbourhood.lists[sensor]
        found = [apart_m(known[sensor], known[one]) for one in listed[listed != NOBODY].tolist()]
        assert found == pytest.approx(nearest[: len(found)], rel=0.1, abs=20)


def test_those_that_stay_keep_each_other() -> None:
    neighbourhood = Neighbourhood(RADIUS_M)
    place(neighbourhood, {number: (60.2, 24.9 + number / 100) for number in range(5)})
    neighbourhood.keep(np.array([1, 3, 4]))
    assert len(neighbourhood) == 3
    assert [set(row.tolist()) - {NOBODY} for row in neighbourhood.lists] == [{1, 2}, {0, 2}, {0, 1}]


def test_without_a_radius_nobody_is_near() -> None:
    neighbourhood = Neighbourhood(0)
    place(neighbourhood, dict.fromkeys(range(5), (60.2, 24.9)))
    assert (neighbourhood.lists == NOBODY).all()


def test_one_broken_neighbour_does_not_move_what_they_agree_on() -> None:
    """A median of 10.5 instead of 10, the same spread; the mean would be 257 instead of 10."""
    absent = float("nan")
    agreed = consensus(np.array([[9, 10, 11, 999, absent], [9, 10, 11, absent, absent]]))
    assert agreed.count.tolist() == [4, 3]
    assert agreed.median.tolist() == [10.5, 10.0]
    assert agreed.spread.tolist() == pytest.approx([1.4826, 1.4826])
