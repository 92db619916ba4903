"""What a change at the centre makes old, and what it leaves."""

from __future__ import annotations

import pytest

from urbanos_edge.centre.news import COARSE_SLOT_S, Changes
from urbanos_edge.clock import HOUR_US, RELEASED_US, SECOND_US, Clock, Instant
from urbanos_edge.grid import Bounds, Tile, tile_at

PLACE = (60.171, 24.941)
AWAY = (60.9, 24.941)


class Hand:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now_us = RELEASED_US // HOUR_US * HOUR_US + HOUR_US

    def clock(self) -> Clock:
        return Clock(read=lambda: Instant(self.now_us, 0), awaits=lambda: False)


@pytest.fixture
def hand() -> Hand:
    return Hand()


def box(lat: float, lng: float, reach: float = 0.01) -> Bounds:
    return Bounds(lng - reach, lat - reach, lng + reach, lat + reach)


def areas(lat: float, lng: float) -> list[Tile | Bounds]:
    return [*(tile_at(lat, lng, zoom) for zoom in (8, 10, 12, 15, 18)), box(lat, lng)]


def test_a_change_makes_its_place_old_at_all_zooms_and_no_other(hand: Hand) -> None:
    changes = Changes(hand.clock())
    here, away = areas(*PLACE), areas(*AWAY)
    before = [changes.last_in(area) for area in (*here, *away)]
    changes.note([tile_at(*PLACE, 12)])
    after = [changes.last_in(area) for area in (*here, *away)]
    assert all(old != new for old, new in zip(before[:6], after[:6], strict=True))
    assert before[6:] == after[6:]


def test_what_may_have_been_anywhere_makes_everything_old(hand: Hand) -> None:
    changes = Changes(hand.clock())
    changes.note([tile_at(*PLACE, 12)])
    before = [changes.last_in(area) for area in areas(*AWAY)]
    changes.note(None)
    assert all(old < changes.last_in(area) for old, area in zip(before, areas(*AWAY), strict=True))


def test_large_areas_are_made_anew_every_ten_seconds_and_not_with_each_change(hand: Hand) -> None:
    changes = Changes(hand.clock())
    large: list[Tile | Bounds] = [Tile(0, 0, 0), tile_at(*PLACE, 7), box(*PLACE, 20)]
    before = [changes.last_in(area) for area in large]
    changes.note([tile_at(*PLACE, 12)])
    assert [changes.last_in(area) for area in large] == before
    hand.now_us += COARSE_SLOT_S * SECOND_US
    assert all(old != changes.last_in(area) for old, area in zip(before, large, strict=True))


def test_the_window_moves_on_without_a_change(hand: Hand) -> None:
    changes = Changes(hand.clock())
    before = changes.last_in(box(*PLACE))
    hand.now_us += HOUR_US
    assert changes.last_in(box(*PLACE)) != before


def test_so_many_places_are_remembered_and_then_all_count_as_changed(hand: Hand) -> None:
    changes = Changes(hand.clock())
    changes.note([Tile(12, x, y) for x in range(400) for y in range(500)])
    before = changes.last_in(box(*AWAY))
    changes.note([tile_at(*PLACE, 12)])
    assert changes.last_in(box(*AWAY)) != before
