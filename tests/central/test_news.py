"""What a change at the centre makes old, and what it leaves."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import anyio
import pytest

from tests.central.conftest import Centre
from tests.central.serving import reader_of
from tests.central.test_answers import cell_at, put_bucket
from urbanos_edge.centre import news
from urbanos_edge.centre.news import COARSE_SLOT_S, Changes, News
from urbanos_edge.centre.servers import Servers
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


Told = list[set[str] | None]
"""Which places were told of, each time; None: of all."""


def told_of(centre: Centre, say: Callable[[News], Awaitable[None]]) -> Told:
    """What who listens is told while something is said, and in the two seconds after it."""
    found: Told = []

    begun = anyio.Event()

    async def tell(tiles: Sequence[Tile] | None, since_hour: int) -> None:
        begun.set()
        found.append(None if tiles is None else {tile.grid_id for tile in tiles})

    async def work() -> None:
        servers = Servers(reader_of(centre))
        heard = News(servers, Clock(), tell)
        async with servers.opened(), anyio.create_task_group() as tasks:
            tasks.start_soon(heard.listen_forever)
            with anyio.fail_after(10):
                await begun.wait()
            await say(heard)
            await anyio.sleep(2)
            tasks.cancel_scope.cancel()

    anyio.run(work)
    return found


async def notify(centre: Centre, channel: str, *said: str, heard: News | None = None) -> None:
    for one in said:
        centre.value("SELECT pg_notify(%s, %s)::TEXT", channel, one)


def news_of(centre: Centre, **more: Any) -> str:
    """What a node says of the hour before this one."""
    hour = centre.value("SELECT extract(EPOCH FROM date_trunc('hour', now()))::BIGINT")
    return json.dumps({"node_id": "north", "since": hour - 3600, "until": hour} | more)


@pytest.mark.parametrize(
    ("channel", "places"), [("urbanos_aggregates", [PLACE]), ("urbanos_readings", [PLACE, AWAY])]
)
def test_readings_without_an_index_are_news_where_readings_are_shown(
    centre: Centre, channel: str, places: list[tuple[float, float]]
) -> None:
    put_bucket(centre, "north", cell_at(*PLACE), [10])
    put_bucket(centre, "north", cell_at(*AWAY), [4], quantity="temperature")
    say = partial(notify, centre, channel, news_of(centre))
    found = told_of(centre, lambda heard: say(heard=heard))
    assert found == [None, {tile_at(*place, 12).grid_id for place in places}]


def test_what_no_node_says_is_no_news_and_ends_nothing(centre: Centre) -> None:
    """Any login may notify."""
    put_bucket(centre, "north", cell_at(*PLACE), [10])
    wrong: list[dict[str, Any]] = [
        {"since": -(10**15), "until": 10**15},
        {"until": 10**18},
        {"until": 10**400},
        {"node_id": "a\0b"},
        {"node_id": "\ud800"},
        {"since": None},
    ]
    odd = ["", "nonsense", "[]", "{}", '{"x":' + "[" * 3000, "1" * 7000]
    odd += [news_of(centre, **more) for more in wrong]
    say = partial(notify, centre, "urbanos_aggregates", *odd, news_of(centre))
    found = told_of(centre, lambda heard: say(heard=heard))
    assert found == [None, {tile_at(*PLACE, 12).grid_id}]


def test_a_connection_that_breaks_again_and_again_makes_all_old_only_so_often(
    centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "BEGIN_AGAIN_S", 0.05)
    monkeypatch.setattr(news, "RESYNC_EVERY_S", 1.5)

    async def break_it(heard: News) -> None:
        for _ in range(20):
            centre.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND query LIKE '%%pg_current_wal_flush_lsn%%' OR query LIKE 'LISTEN%%'"
            )
            await anyio.sleep(0.1)

    found = told_of(centre, break_it)
    assert 2 <= len(found) <= 4
    assert set(map(type, found)) == {type(None)}
