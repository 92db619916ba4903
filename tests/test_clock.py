"""A clock that wakes up wrong, is set, and what it stamped before is put right."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest

from tests.processes import wait_until
from tests.readings import reading
from tests.test_flush import store, stored
from urbanos_edge.adapters import node_json
from urbanos_edge.clock import DAY_US, RELEASED_US, SECOND_US, Clock, Correction, Doubt, Instant
from urbanos_edge.errors import StorageUnavailable
from urbanos_edge.health.health import status
from urbanos_edge.ingest.ingest import EXPRESS_PER_MINUTE
from urbanos_edge.node import OWN_TOKEN, Node
from urbanos_edge.reading import Timing
from urbanos_edge.store.restamp import known_doubt, owed_corrections, remember_doubt
from urbanos_edge.upkeep.rounds import watch_clock_forever

YEAR_US = 365 * DAY_US
RIGHT_US = RELEASED_US + 22 * DAY_US


class Machine:
    """A machine's two clocks, and its time service."""

    def __init__(self, wall_us: int, awaits: bool) -> None:
        self.wall_us = wall_us
        self.since_boot_us = 10 * SECOND_US
        self.awaits = awaits

    def clock(self, doubt: Doubt | None = None) -> Clock:
        return Clock(doubt, self.read, lambda: self.awaits)

    def read(self) -> Instant:
        return Instant(self.wall_us, self.since_boot_us)

    def let_pass(self, duration_us: int) -> None:
        self.wall_us += duration_us
        self.since_boot_us += duration_us

    def set(self, wall_us: int) -> None:
        self.wall_us = wall_us
        self.awaits = False


def ended(clock: Clock) -> Correction:
    """What is to be mended of the doubt that ends with this look."""
    doubt = clock.doubt
    assert doubt is not None
    clock.look()
    assert clock.doubt is None
    return clock.correction(doubt)


def test_a_clock_that_nobody_sets_is_trusted() -> None:
    clock = Machine(RIGHT_US, awaits=False).clock()
    assert clock.stamp().is_trusted
    assert clock.doubt is None


def test_a_clock_from_before_this_was_written_is_not() -> None:
    machine = Machine(0, awaits=False)
    clock = machine.clock()
    assert not clock.stamp().is_trusted
    machine.set(RIGHT_US)
    assert clock.stamp().is_trusted
    assert ended(clock) == Correction(0, 0, RIGHT_US)


@pytest.mark.parametrize("shift_us", [-YEAR_US, -DAY_US, 0, DAY_US, YEAR_US])
def test_when_the_clock_is_set_the_difference_is_known(shift_us: int) -> None:
    machine = Machine(RIGHT_US - shift_us, awaits=True)
    clock = machine.clock()
    assert not clock.stamp().is_trusted
    machine.let_pass(60 * SECOND_US)
    clock.look()
    assert clock.doubt is not None
    machine.set(RIGHT_US + 60 * SECOND_US)
    assert ended(clock) == Correction(
        RIGHT_US - shift_us, RIGHT_US - shift_us + 60 * SECOND_US, shift_us
    )
    assert clock.stamp().is_trusted


@pytest.mark.parametrize("shift_us", [-DAY_US, DAY_US])
def test_a_stamp_right_after_the_clock_was_set_is_trusted(shift_us: int) -> None:
    machine = Machine(RIGHT_US - shift_us, awaits=True)
    clock = machine.clock()
    machine.wall_us = RIGHT_US
    assert clock.stamp().is_trusted


def test_a_doubt_outlives_the_process_within_its_boot(node: Node) -> None:
    machine = Machine(RIGHT_US - DAY_US, awaits=True)
    doubt = machine.clock().doubt
    assert doubt is not None
    node.database.write_and_wait(lambda connection: remember_doubt(connection, doubt))
    assert known_doubt(node.database) == doubt
    machine.set(RIGHT_US)
    assert ended(machine.clock(doubt=doubt)).shift_us == DAY_US
    node.database.write_and_wait(lambda connection: remember_doubt(connection, None))
    assert known_doubt(node.database) is None


def test_stamps_are_distinct_and_follow_a_clock_that_was_set_back() -> None:
    machine = Machine(RIGHT_US, awaits=False)
    clock = machine.clock()
    stamps = [clock.stamp().at_us for _ in range(3)]
    assert stamps == [RIGHT_US, RIGHT_US + 1, RIGHT_US + 2]
    machine.wall_us = RIGHT_US - YEAR_US
    assert clock.stamp().at_us == RIGHT_US - YEAR_US


@pytest.mark.parametrize("shift_us", [-YEAR_US, -DAY_US, DAY_US, YEAR_US])
def test_what_was_stamped_in_doubt_moves_to_its_right_time(node: Node, shift_us: int) -> None:
    wrong_us = RIGHT_US - shift_us
    doubted = reading("doubted", wrong_us, timing=Timing.NODE_IN_DOUBT)
    own = reading("own", wrong_us)
    store(node, doubted, own)
    assert stored(node, "sensor_id, flags", "ORDER BY 1") == [("doubted", "clock"), ("own", "")]

    async def restamp() -> int:
        return await node.restamp(Correction(wrong_us, wrong_us + SECOND_US, shift_us))

    assert anyio.run(restamp) == 1
    columns = "sensor_id, epoch_us(timestamp), flags, created_date::VARCHAR"
    assert stored(node, columns, "ORDER BY 1") == [
        ("doubted", RIGHT_US, "", "2026-11-23"),
        ("own", wrong_us, "", stored(node, f"make_timestamp({wrong_us})::DATE::VARCHAR")[0][0]),
    ]
    assert anyio.run(restamp) == 0


def test_a_restamped_reading_is_freed_of_the_clocks_flag_only(node: Node) -> None:
    wrong_us = RIGHT_US - DAY_US
    store(node, reading(timestamp_us=wrong_us, timing=Timing.NODE_IN_DOUBT, channels_disagree=True))
    assert stored(node, "flags") == [("channels,clock",)]
    anyio.run(node.restamp, Correction(wrong_us, wrong_us + SECOND_US, DAY_US))
    assert stored(node, "flags") == [("channels",)]


def test_restamped_readings_count_in_the_window_again(node: Node) -> None:
    now_us = node.clock.now_us()
    wrong_us = now_us - YEAR_US
    store(node, reading(timestamp_us=wrong_us, timing=Timing.NODE_IN_DOUBT))
    assert status(node)["sensors"]["reporting"] == 0
    anyio.run(node.restamp, Correction(wrong_us, wrong_us + SECOND_US, YEAR_US))
    assert status(node)["sensors"]["reporting"] == 1
    assert node.view().latest["timestamp_us"].tolist() == [now_us]
    assert node.view().sites["readings"].tolist() == [1]


def test_in_doubt_a_sensors_own_time_is_not_called_the_future(
    open_node: Callable[..., Node],
) -> None:
    node = open_node()
    later = b'{"sensor_id":"a","location":{"lat":60,"lng":25},"timestamp":"2099-01-01T00:00:00Z",'
    message = node_json.read_lines(later + b'"values":{"pm25":5}}')
    assert not anyio.run(node.ingest.accept, message, OWN_TOKEN).accepted
    node.clock.doubt = Doubt(0, 0)
    assert anyio.run(node.ingest.accept, message, OWN_TOKEN).accepted


def test_a_minute_of_the_express_lane_ends_also_when_the_clock_is_set_back(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, running_s = Machine(RIGHT_US + DAY_US, awaits=False), [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: running_s[0])
    node.ingest._clock = machine.clock()
    assert node.ingest._express_room(OWN_TOKEN, 99) == EXPRESS_PER_MINUTE
    machine.set(RIGHT_US)
    running_s[0] += 59
    assert node.ingest._express_room(OWN_TOKEN, 99) == 0
    running_s[0] += 1
    assert node.ingest._express_room(OWN_TOKEN, 99) == EXPRESS_PER_MINUTE


def watch(node: Node, until: Callable[[], object]) -> None:
    """Let the node look at its clock until something is so."""

    async def look() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_clock_forever, node)
            await anyio.to_thread.run_sync(wait_until, until, 30)
            tasks.cancel_scope.cancel()

    anyio.run(look)


def is_mended(node: Node) -> bool:
    return known_doubt(node.database) is None and not owed_corrections(node.database)


def doubting(node: Node, shift_us: int) -> Machine:
    """The clock of a node that is told of a reading without a time, and is set right then."""
    machine = Machine(RIGHT_US - shift_us, awaits=True)
    node.clock = machine.clock()
    watch(node, lambda: known_doubt(node.database))
    machine.let_pass(SECOND_US)
    store(node, reading("doubted", machine.wall_us, timing=Timing.NODE_IN_DOUBT))
    machine.let_pass(SECOND_US)
    machine.set(RIGHT_US)
    return machine


def times(node: Node) -> list[tuple[int, str]]:
    return stored(node, "epoch_us(timestamp), flags")


def test_what_is_to_be_mended_outlives_a_disk_that_fails_just_then(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = doubting(node, YEAR_US)
    with monkeypatch.context() as broken:
        broken.setattr("urbanos_edge.node.restamp", failing)
        with pytest.raises(StorageUnavailable):
            anyio.run(watch_clock_forever, node)
    assert times(node) == [(RIGHT_US - YEAR_US + SECOND_US, "clock")]
    watch(node, lambda: is_mended(node))
    assert times(node) == [(machine.wall_us - SECOND_US, "")]


def failing(*_: object) -> int:
    raise StorageUnavailable("the disk failed")


def test_what_is_to_be_mended_outlives_the_machine(
    open_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = open_node()
    machine = doubting(node, YEAR_US)
    with monkeypatch.context() as broken:
        broken.setattr("urbanos_edge.node.restamp", failing)
        with pytest.raises(StorageUnavailable):
            anyio.run(watch_clock_forever, node)
    monkeypatch.setattr("urbanos_edge.store.restamp.boot_id", lambda: "another boot")
    node = open_node()
    watch(node, lambda: is_mended(node))
    assert times(node) == [(machine.wall_us - SECOND_US, "")]


def test_a_window_that_was_loaded_by_a_wrong_clock_is_loaded_anew(
    open_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing was stamped in doubt, because the sensors bring their own times."""
    node = open_node()
    now_us = node.clock.now_us()
    store(node, reading("own", now_us))
    machine = Machine(RIGHT_US - YEAR_US, awaits=True)
    with monkeypatch.context() as wrong:
        wrong.setattr("urbanos_edge.clock.read_clocks", machine.read)
        node = open_node()
    node.clock = machine.clock()
    watch(node, lambda: known_doubt(node.database))
    assert node.view().sites["readings"].sum() == 0
    machine.set(now_us)
    watch(node, lambda: is_mended(node))
    assert node.view().sites["readings"].tolist() == [1]
    assert node.rollup.differences() == 0


def test_a_leap_of_the_clock_and_back_leaves_the_window_whole(node: Node) -> None:
    machine = Machine(node.clock.now_us(), awaits=False)
    node.clock = machine.clock()
    store(node, reading("steady", machine.wall_us))
    machine.wall_us += 2 * DAY_US
    assert node.view().sites["readings"].sum() == 0
    machine.wall_us -= 2 * DAY_US
    watch(node, lambda: node.view().sites["readings"].sum())
    assert node.view().sites["readings"].tolist() == [1]
    assert node.rollup.differences() == 0


def test_by_a_clock_of_long_ago_not_all_that_is_stored_is_loaded(
    open_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urbanos_edge.rollup.recent.MOST_ROWS", 50)
    node = open_node()
    now_us = node.clock.now_us()
    for day in range(10):
        store(node, *(reading(f"s{n}", now_us - 2 * day * DAY_US) for n in range(10)))
    node = open_node()
    assert not node.recent.load_more(now_us - 6 * YEAR_US)
    assert node.recent.rows == 0
    while node.recent.load_more(now_us):
        pass
    assert node.recent.rows == 10
