"""Rooms, bounds and resumption, without a network in between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import anyio
import msgspec
import pytest

from tests.readings import NOW_US, reading
from urbanos_edge import aqi, live
from urbanos_edge.batch import pack, unpack
from urbanos_edge.errors import Unprocessable
from urbanos_edge.grid import Tile, tile_at
from urbanos_edge.live import Listener, Live
from urbanos_edge.node import Node
from urbanos_edge.quality.grading import grade
from urbanos_edge.reading import Reading
from urbanos_edge.store.identity import fold

HERE = tile_at(60.171, 24.941, 12)
THERE = tile_at(61.0, 25.0, 12)


def change(node: Node, hub: Live, *readings: Reading) -> None:
    """Let readings arrive on the express lane and tell the hub's rooms."""
    batch = fold(unpack([pack(readings)]), {}).batch
    grade(aqi.US_EPA_2024, batch)
    update = node.rollup.deliver(batch, NOW_US)
    hub.send(hub.number(list(hub.draft(update, hub.rooms(), NOW_US))))


def waiting(listener: Listener) -> list[Any]:
    """The frames that wait for a listener, taken out."""
    frames = []

    async def drain() -> None:
        while True:
            with anyio.move_on_after(0.01) as scope:
                frame = await listener.next()
            if scope.cancelled_caught:
                return
            frames.append(None if frame is None else msgspec.json.decode(frame))
            if frame is None:
                return

    anyio.run(drain)
    return frames


def test_a_listener_hears_of_its_grids_only(node: Node) -> None:
    hub, listener = Live(), Listener()
    hub.subscribe(listener, [HERE])
    change(node, hub, reading("here", values={"pm25": 9.0}), reading("there", lat=61.0, lng=25.0))
    [frame] = waiting(listener)
    assert (frame["type"], frame["gridId"], frame["seq"]) == ("grid-update", HERE.grid_id, 1)
    assert frame["data"]["count"] == 1
    assert frame["data"]["avgAqi"] == frame["data"]["maxAqi"] == 50
    assert [row["sensor_id"] for row in frame["data"]["readings"]] == ["here"]
    assert "truncated" not in frame["data"]


def test_more_than_a_hundred_sensors_are_cut_to_the_newest(node: Node) -> None:
    hub, listener = Live(), Listener()
    hub.subscribe(listener, [HERE])
    change(node, hub, *[reading(f"s{n:03}", NOW_US + n) for n in range(101)])
    [frame] = waiting(listener)
    assert frame["data"]["truncated"] is True
    assert frame["data"]["count"] == 101
    named = [row["sensor_id"] for row in frame["data"]["readings"]]
    assert named == [f"s{n:03}" for n in range(100, 0, -1)]


def test_numbers_rise_by_one_over_all_rooms(node: Node) -> None:
    hub, here, both = Live(), Listener(), Listener()
    hub.subscribe(here, [HERE])
    hub.subscribe(both, [HERE, THERE])
    for _ in range(2):
        change(node, hub, reading("here"), reading("there", lat=61.0, lng=25.0))
    assert sorted(frame["seq"] for frame in waiting(both)) == [1, 2, 3, 4]


def test_who_comes_back_hears_exactly_what_it_missed(node: Node) -> None:
    hub, first = Live(), Listener()
    hub.subscribe(first, [HERE])
    change(node, hub, reading())
    [seen] = waiting(first)
    hub.leave(first)
    change(node, hub, reading(timestamp_us=NOW_US + 1))
    change(node, hub, reading(timestamp_us=NOW_US + 2))
    again = Listener()
    hub.subscribe(again, [HERE])
    hub.resume(again, seen["seq"], hub.boot)
    assert [frame["seq"] for frame in waiting(again)] == [2, 3]


def test_resuming_before_subscribing_gives_the_same(node: Node) -> None:
    hub, first, again = Live(), Listener(), Listener()
    hub.subscribe(first, [HERE])
    change(node, hub, reading())
    hub.leave(first)
    hub.resume(again, 0, hub.boot)
    hub.subscribe(again, [HERE])
    assert [frame["seq"] for frame in waiting(again)] == [1]


def test_a_resume_speaks_for_grids_named_shortly_after_it_only(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, follower, listener = Live(), Listener(), Listener()
    finer = tile_at(61.0, 25.0, 13)
    hub.subscribe(follower, [HERE, THERE, finer])
    change(node, hub, reading("there", lat=61.0, lng=25.0))
    hub.subscribe(listener, [HERE])
    hub.resume(listener, 0, hub.boot)
    hub.subscribe(listener, [THERE])
    monkeypatch.setattr(live, "RESUME_HOLDS_S", -1)
    hub.subscribe(listener, [finer])
    assert [frame["gridId"] for frame in waiting(listener)] == [THERE.grid_id]


def test_a_replay_looks_at_nothing_that_was_heard_nor_for_nobodys_grids() -> None:
    hub, listener, looked_at = Live(), Listener(), list[int]()

    class Kept:
        frame = b"{}"

        def __init__(self, seq: int) -> None:
            self.seq = seq

        @property
        def tile(self) -> Tile:
            looked_at.append(self.seq)
            return THERE

    kept: list[Any] = [Kept(seq) for seq in range(1, 1001)]
    hub.subscribe(listener, [HERE])
    hub.seq = len(kept)
    hub.send(kept)
    looked_at.clear()
    hub.resume(Listener(), 0, hub.boot)
    assert looked_at == []
    hub.resume(listener, 997, hub.boot)
    assert sorted(looked_at) == [998, 999, 1000]


def test_who_asks_for_one_replay_after_the_other_waits_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "REPLAY_EVERY_S", 60)
    hub, listener = Live(), Listener()
    hub.subscribe(listener, [HERE])

    async def waits() -> bool:
        with anyio.move_on_after(0.05) as scope:
            await listener.has_room()
        return scope.cancelled_caught

    for _ in range(live.REPLAYS_AT_ONCE):
        hub.resume(listener, 0, hub.boot)
        assert not anyio.run(waits)
    hub.unsubscribe(listener, [HERE])
    hub.subscribe(listener, [HERE])
    assert anyio.run(waits)


class Road:
    """A way out that can be blocked."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.free.set()
        self.written: list[int] = []
        self.all_written = asyncio.Event()
        """Set by the frame 199."""

    def is_free(self) -> bool:
        return self.free.is_set()

    def write(self, frames: Sequence[bytes]) -> None:
        self.written += [int(frame) for frame in frames]
        if 199 in self.written:
            self.all_written.set()

    def drop(self) -> None:
        raise AssertionError("nobody was slow")


def test_frames_keep_their_order_on_both_ways() -> None:
    """Directly while the way is free, through the queue while it is not or somebody is sending."""

    async def check() -> None:
        road = Road()
        listener = Listener(road)

        async def send() -> None:
            while (frame := await listener.next()) is not None:
                await road.free.wait()
                await anyio.sleep(0.001)
                road.write([frame])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            for number in range(200):
                (road.free.set if number % 40 < 25 else road.free.clear)()
                listener.put(b"%d" % number)
                if number % 7 == 0:
                    await anyio.sleep(0.001)
            road.free.set()
            with anyio.fail_after(30):
                await road.all_written.wait()
            await anyio.wait_all_tasks_blocked()
            listener.put(b"200")
            assert road.written == list(range(201))
            listener.end()

    anyio.run(check)


def test_a_listener_with_a_free_way_is_told_at_once() -> None:
    async def check() -> None:
        road = Road()
        listener = Listener(road)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.next)
            await anyio.wait_all_tasks_blocked()
            listener.put(b"1", b"2")
            assert road.written == [1, 2]
            listener.end()

    anyio.run(check)


@pytest.mark.parametrize("why", ["another boot", "a room nobody followed", "too long ago"])
def test_who_cannot_be_told_all_is_told_to_fetch_anew(
    node: Node, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, follower, listener = Live(), Listener(), Listener()
    monkeypatch.setattr(live, "MAX_HISTORY_BYTES", 2000)
    hub.subscribe(follower, [HERE])
    for number in range(5):
        change(node, hub, reading(timestamp_us=NOW_US + number))
    hub.subscribe(listener, [THERE if why == "a room nobody followed" else HERE])
    seq = 0 if why == "too long ago" else 4
    hub.resume(listener, seq, "other" if why == "another boot" else hub.boot)
    assert [frame["type"] for frame in waiting(listener)] == ["resync"]


def test_a_listener_that_does_not_keep_up_is_cut_and_its_queue_stays_bounded() -> None:
    listener = Listener()
    frame = msgspec.json.encode({"filler": "x" * 10_000})
    for _ in range(1000):
        listener.judge()
        listener.put(frame)
    assert len(listener._waiting) <= 7  # 64 KiB and the frame after it
    assert waiting(listener) == [None]


def test_one_change_in_many_grids_is_delivered_whole(node: Node) -> None:
    hub, listener = Live(), Listener()
    rooms = [tile_at(60.171, 24.941, zoom) for zoom in range(19)]
    hub.subscribe(listener, rooms)
    change(node, hub, *[reading(f"s{n:03}") for n in range(100)])
    frames = waiting(listener)
    assert len(frames) == 19
    assert len(msgspec.json.encode(frames)) > 10 * live.MAX_WAITING_BYTES


def test_following_too_many_grids_is_refused() -> None:
    hub, listener = Live(), Listener()
    tiles = [Tile(12, x, 0) for x in range(live.MAX_GRIDS + 1)]
    with pytest.raises(Unprocessable):
        hub.subscribe(listener, tiles)
    hub.subscribe(listener, tiles[:-1])
    assert len(hub.rooms()) == live.MAX_GRIDS


def rows_of_grids(first: int, number: int) -> list[list[Tile]]:
    """Grids that nobody else looks at, as many in a row as one listener may follow."""
    return [[Tile(18, x, y) for x in range(live.MAX_GRIDS)] for y in range(first, first + number)]


def test_one_address_fills_no_more_than_a_quarter_of_the_rooms() -> None:
    hub = Live()
    full = live.MAX_ROOMS_OF_ONE // live.MAX_GRIDS
    for row in rows_of_grids(0, full):
        hub.subscribe(Listener(whose="192.0.2.1"), row)
    again, other = Listener(whose="192.0.2.1"), Listener(whose="192.0.2.2")
    with pytest.raises(Unprocessable) as refused:
        hub.subscribe(again, [HERE])
    assert refused.value.code == "too_many_rooms"
    hub.subscribe(other, [HERE])
    assert len(hub.rooms()) == live.MAX_ROOMS // 4 + 1


def test_an_office_that_looks_at_the_same_place_takes_each_room_once() -> None:
    hub = Live()
    [row] = rows_of_grids(0, 1)
    screens = [Listener(whose="192.0.2.1") for _ in range(10)]
    for screen in screens:
        hub.subscribe(screen, row + row)
    for screen in screens:
        hub.leave(screen)
    for row in rows_of_grids(1, live.MAX_ROOMS_OF_ONE // live.MAX_GRIDS):
        hub.subscribe(Listener(whose="192.0.2.1"), row)


def test_who_may_not_listen_any_more_hears_nothing_from_that_moment_on(node: Node) -> None:
    hub, may = Live(), {"both", "one"}
    one = Listener(may_stay=lambda: "one" in may)
    both = [one, Listener(may_stay=lambda: "both" in may)]
    for listener in both:
        hub.subscribe(listener, [HERE])
    change(node, hub, reading())
    may.remove("one")
    change(node, hub, reading(timestamp_us=NOW_US + 1))
    assert [len(waiting(listener)) for listener in both[1:]] == [2]
    assert (waiting(one), one.is_dismissed) == ([None], True), "also not what waited"


def test_who_may_not_listen_any_more_is_ended_also_where_nothing_happens() -> None:
    async def check() -> None:
        hub, may = Live(), [True]
        listener = Listener(may_stay=lambda: bool(may))
        hub.join(listener)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.look_forever)
            may.clear()
            with anyio.fail_after(10):
                assert await listener.next() is None
            tasks.cancel_scope.cancel()

    anyio.run(check)


def test_an_empty_room_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, listener = Live(), Listener()
    hub.subscribe(listener, [HERE])
    hub.leave(listener)
    assert hub.rooms() == [HERE]
    monkeypatch.setattr(live, "KEEP_ROOM_S", -1)
    assert hub.rooms() == []


def test_flagged_readings_are_shown_but_not_counted(node: Node) -> None:
    hub, listener = Live(), Listener()
    hub.subscribe(listener, [HERE])
    change(node, hub, reading("fan", values={"pm25": 999.9}))
    [frame] = waiting(listener)
    assert frame["data"]["count"] == 0
    assert frame["data"]["avgAqi"] is None
    assert frame["data"]["readings"][0]["flags"] == ["range"]
