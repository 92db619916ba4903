"""A clock that wakes up wrong, is set, and what it stamped before is put right."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from tests.readings import reading
from tests.test_flush import store, stored
from urbanos_edge.adapters import node_json
from urbanos_edge.clock import DAY_US, RELEASED_US, SECOND_US, Clock, Correction, Doubt, Instant
from urbanos_edge.health.health import status
from urbanos_edge.node import OWN_TOKEN, Node
from urbanos_edge.reading import Timing
from urbanos_edge.store.restamp import known_doubt, remember_doubt

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


def test_a_clock_that_nobody_sets_is_trusted() -> None:
    clock = Machine(RIGHT_US, awaits=False).clock()
    assert clock.stamp().is_trusted
    assert clock.look() is None


def test_a_clock_from_before_this_was_written_is_not() -> None:
    machine = Machine(0, awaits=False)
    clock = machine.clock()
    assert not clock.stamp().is_trusted
    machine.set(RIGHT_US)
    assert clock.stamp().is_trusted
    assert clock.look() == Correction(0, 0, RIGHT_US)


@pytest.mark.parametrize("shift_us", [-YEAR_US, -DAY_US, 0, DAY_US, YEAR_US])
def test_when_the_clock_is_set_the_difference_is_known(shift_us: int) -> None:
    machine = Machine(RIGHT_US - shift_us, awaits=True)
    clock = machine.clock()
    assert not clock.stamp().is_trusted
    machine.let_pass(60 * SECOND_US)
    assert clock.look() is None
    machine.set(RIGHT_US + 60 * SECOND_US)
    assert clock.look() == Correction(
        RIGHT_US - shift_us, RIGHT_US - shift_us + 60 * SECOND_US, shift_us
    )
    assert clock.look() is None
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
    correction = machine.clock(doubt=doubt).look()
    assert correction is not None and correction.shift_us == DAY_US
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
