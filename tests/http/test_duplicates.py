"""One row per sensor and moment: what is sent twice, and what is said anew, at any distance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.http.sending import (
    SECOND_US,
    Spot,
    moment,
    now_us,
    reading,
    rows,
    stored,
)
from tests.processes import NodeProcess

Values = dict[str, float]
Row = tuple[float | None, ...]

DAY_US = 86_400 * SECOND_US
COLUMNS = "pm25, pm10, o3, humidity, aqi_value"
CASES: dict[str, tuple[list[Values], Row]] = {
    "the same again": ([{"pm25": 9.0}] * 3, (9.0, None, None, None, 50)),
    "a part of it again": (
        [{"pm25": 9.0, "o3": 20.0}, {"o3": 20.0}, {"pm25": 9.0}],
        (9.0, None, 20.0, None, 50),
    ),
    "further and other values": (
        [{"pm25": 9.0, "pm10": 20.0}, {"o3": 31.0}, {"pm25": 55.4, "humidity": 60.0}],
        (55.4, 20.0, 31.0, 60.0, 150),
    ),
    "a value that comes back": (
        [{"pm25": 9.0}, {"pm25": 125.4}, {"pm25": 9.0}],
        (9.0, None, None, None, 50),
    ),
}
"""What arrives for one identity, one after the other, and the row that it makes."""


class Restartable:
    """A node that flushes only when told, and can be ended and started again on its directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.node = self._start()
        self.token = self.node.token()

    def send(self, *readings: dict[str, Any]) -> None:
        for each in readings:
            assert self.node.post(each, self.token).status_code == 202

    def send_together(self, *readings: dict[str, Any]) -> None:
        assert self.node.post(list(readings), self.token).status_code == 202

    def flush(self) -> None:
        self.node.flush()

    def stored(self, spot: Spot, columns: str = COLUMNS) -> list[tuple[Any, ...]]:
        """What the files hold of a spot, by time and sensor, once all is flushed."""
        self.flush()
        tail = "WHERE lat = ? AND lng = ? ORDER BY timestamp, sensor_id"
        return stored(self.node.data_dir, columns, tail, spot.lat, spot.lng)

    def shown(self, spot: Spot) -> list[dict[str, Any]]:
        self.flush()
        return rows(self.node, spot.grid_id)

    def restart(self) -> None:
        self.stop()
        self.node = self._start()

    def restart_after_a_kill(self) -> None:
        self.node.kill()
        self.restart()

    def stop(self) -> None:
        self.node.client.close()
        self.node.stop()

    def _start(self) -> NodeProcess:
        settings = {"flush_interval_s": 3600, "neighbour_radius_km": 0}
        return NodeProcess(self._directory, settings)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    """One such node for the whole module: starting takes most of the time."""
    world = Restartable(tmp_path_factory.mktemp("lasting") / "node")
    yield world
    world.stop()


def in_one_batch(world: Restartable, *readings: dict[str, Any]) -> None:
    world.send_together(*readings)


def in_several_requests(world: Restartable, *readings: dict[str, Any]) -> None:
    world.send(*readings)


def across_flushes(world: Restartable, *readings: dict[str, Any]) -> None:
    for each in readings:
        world.send(each)
        world.flush()


def partly_stored(world: Restartable, *readings: dict[str, Any]) -> None:
    world.send(readings[0])
    world.flush()
    world.send_together(*readings[1:])


@pytest.mark.parametrize(
    "arrive",
    [in_one_batch, in_several_requests, across_flushes, partly_stored],
    ids=lambda way: way.__name__,
)
@pytest.mark.parametrize("case", CASES)
def test_an_identity_is_one_row_however_often_it_arrives(
    lasting: Restartable, spot: Spot, arrive: Callable[..., None], case: str
) -> None:
    said, row = CASES[case]
    at_us = now_us() - 60 * SECOND_US
    arrive(lasting, *[reading(spot, "again", at_us, values=values) for values in said])
    assert lasting.stored(spot) == [row]
    (shown,) = lasting.shown(spot)
    assert tuple(shown[name] for name in COLUMNS.split(", ")) == row
    assert shown["timestamp"] == moment(at_us).replace("+00:00", "Z").replace(".000000", "")


def test_an_identity_is_one_row_across_a_restart_and_a_kill(
    lasting: Restartable, spot: Spot
) -> None:
    """Stored before an orderly restart, waiting in the spool at a kill, and after both."""
    at_us = now_us() - 60 * SECOND_US
    told = {
        case: [reading(spot, case, at_us, values=values) for values in said]
        for case, (said, _) in CASES.items()
    }
    lasting.send(*[readings[0] for readings in told.values()])
    lasting.restart()
    lasting.send(*[readings[1] for readings in told.values()])
    lasting.restart_after_a_kill()
    lasting.send(*[readings[2] for readings in told.values()])
    expected = [(case, *row) for case, (_, row) in sorted(CASES.items())]
    assert lasting.stored(spot, f"sensor_id, {COLUMNS}") == expected


def test_a_late_reading_is_revised_in_the_partition_of_its_own_day(
    lasting: Restartable, spot: Spot
) -> None:
    at_us = now_us() - 40 * DAY_US
    across_flushes(
        lasting,
        reading(spot, "late", at_us, values={"pm25": 9.0}),
        reading(spot, "late", at_us + 1, values={"pm25": 1.0}),
        reading(spot, "late", at_us, values={"pm10": 20.0}),
    )
    day = moment(at_us)[:10]
    expected = [(9.0, 20.0, day), (1.0, None, day)]
    assert lasting.stored(spot, "pm25, pm10, created_date::VARCHAR") == expected


def test_the_tally_of_outcomes_is_exact(lasting: Restartable, spot: Spot) -> None:
    before = lasting.node.status()["totals"]
    at_us = now_us() - SECOND_US
    first = reading(spot, "tally", at_us)
    more = reading(spot, "tally", at_us, values={"o3": 10.0})
    lasting.send_together(first, first, more)
    lasting.flush()
    lasting.send(first, more, reading(spot, "tally", at_us, values={"pm25": 1.0}))
    lasting.flush()
    after = lasting.node.status()["totals"]
    grown = {name: after[name] - before[name] for name in ("stored", "duplicates", "revisions")}
    assert grown == {"stored": 1, "duplicates": 3, "revisions": 2}


def test_one_microsecond_apart_are_two_readings(lasting: Restartable, spot: Spot) -> None:
    at_us = now_us() - SECOND_US
    lasting.send_together(*[reading(spot, "quick", at_us + n) for n in range(3)])
    assert lasting.stored(spot, "epoch_us(timestamp)") == [(at_us + n,) for n in range(3)]


def test_the_same_moment_in_another_zone_is_the_same_reading(
    lasting: Restartable, spot: Spot
) -> None:
    lasting.send(reading(spot, "zoned") | {"timestamp": "2026-03-01T12:00:00+02:00"})
    lasting.send(reading(spot, "zoned") | {"timestamp": "2026-03-01T10:00:00.000Z"})
    assert lasting.stored(spot, "sensor_id") == [("zoned",)]


def test_the_same_batch_on_many_connections_at_once_is_stored_once(
    lasting: Restartable, spot: Spot
) -> None:
    at_us = now_us() - SECOND_US
    batch = [reading(spot, f"many-{n}", at_us) for n in range(100)]
    with ThreadPoolExecutor(8) as eight:
        list(eight.map(lambda _: lasting.send_together(*batch), range(24)))
    assert len(lasting.stored(spot, "sensor_id")) == 100


def test_another_index_of_the_client_is_a_revision_and_no_duplicate(
    lasting: Restartable, spot: Spot
) -> None:
    at_us = now_us() - SECOND_US
    lasting.send(reading(spot, "opinion", at_us, aqi=10))
    answer = lasting.node.post([reading(spot, "opinion", at_us, aqi=20)], lasting.token)
    assert answer.json()["duplicates"] == 0
    assert lasting.stored(spot, "pm25, reported_aqi") == [(9.0, 20.0)]


def test_two_sensors_at_one_moment_are_two_readings(lasting: Restartable, spot: Spot) -> None:
    at_us = now_us() - SECOND_US
    lasting.send_together(reading(spot, "left", at_us), reading(spot, "right", at_us))
    assert lasting.stored(spot, "sensor_id") == [("left",), ("right",)]


def test_a_revision_leaves_the_rows_beside_it_alone(lasting: Restartable, spot: Spot) -> None:
    at_us = now_us() - SECOND_US
    lasting.send_together(*[reading(spot, f"row-{n}", at_us) for n in range(5)])
    lasting.flush()
    lasting.send(reading(spot, "row-2", at_us, values={"pm25": 35.4}))
    expected = [(f"row-{n}", 35.4 if n == 2 else 9.0) for n in range(5)]
    assert lasting.stored(spot, "sensor_id, pm25") == expected


def test_a_revision_changes_the_statistics_and_adds_nothing(
    lasting: Restartable, spot: Spot
) -> None:
    at_us = now_us() - SECOND_US
    lasting.send_together(reading(spot, "one", at_us), reading(spot, "two", at_us))
    lasting.flush()
    lasting.send(reading(spot, "one", at_us, values={"pm25": 55.4}))
    lasting.flush()
    grid = lasting.node.client.get(f"/api/v1/grids/{spot.grid_id}").json()
    assert (grid["data_count"], grid["avg_aqi"], grid["max_aqi"]) == (2, (150 + 50) / 2, 150)


def test_a_reading_keeps_its_id_when_it_is_revised(lasting: Restartable, spot: Spot) -> None:
    sent = reading(spot, "named")
    lasting.send(sent)
    (row,) = lasting.shown(spot)
    lasting.send(sent | {"values": {"pm25": 1.0}})
    (revised,) = lasting.shown(spot)
    assert row["id"] == revised["id"]
    assert row["id"][14] == "5"  # the version of a UUID
