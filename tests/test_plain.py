"""Columns at the door: whatever arrives, they take and refuse what the rules do one by one."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http.sending import moment
from urbanos_edge.adapters import Candidate, Message, node_json
from urbanos_edge.adapters.plain import Plain
from urbanos_edge.batch import reading_at, unpack
from urbanos_edge.clock import RELEASED_US, SECOND_US, Clock, Instant
from urbanos_edge.database import DATABASE_NAME, Database
from urbanos_edge.disk import DiskGuard
from urbanos_edge.errors import BadRequest, EdgeError, Unprocessable
from urbanos_edge.ingest.inbox import Inbox
from urbanos_edge.ingest.ingest import Ingest
from urbanos_edge.ingest.sensors import Sensors
from urbanos_edge.ingest.sources import Sources
from urbanos_edge.ingest.spool import Spool
from urbanos_edge.reading import Reading
from urbanos_edge.tokens import Token

GATEWAY = Token(1, "gateway", None, "", 0)
OF_A = Token(2, "sensor", "a", "", 0)
NOW_US = RELEASED_US + 123_456
"""From here on a clock is believed."""
YEAR_US = 31_557_600 * SECOND_US


@dataclass
class Door:
    """An ingest door on a spool of its own, at a moment that stands still."""

    directory: Path
    urgent: list[Reading] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.directory.mkdir()
        self.database = Database(self.directory / DATABASE_NAME)
        self.spool = Spool(self.database, 10**9)
        self.sensors = Sensors(self.database)
        clock = Clock(read=lambda: Instant(NOW_US, NOW_US), awaits=lambda: False)
        disk = DiskGuard(self.directory, reserve_mib=0, ballast_mib=0, now_us=NOW_US)
        self.ingest = Ingest(
            self.database,
            self.spool,
            disk,
            self.sensors,
            Sources(self.database, self.sensors, clock),
            Inbox(self.database),
            clock,
            self._deliver_urgent,
        )
        self._seen = 0

    def take(self, message: Message, token: Token) -> dict[str, Any]:
        """Send a message through the door and tell all that came of it."""
        receipt = anyio.run(self.ingest.accept, message, token)
        entries = self.spool.take(10**9, after_seq=self._seen)
        self._seen = entries[-1].seq if entries else self._seen
        batch = unpack(entry.payload for entry in entries)
        letters = self.database.read().execute("SELECT code, message, payload FROM dead_letters")
        return {
            "receipt": (receipt.accepted, receipt.duplicates, receipt.place, receipt.refused),
            "readings": [reading_at(batch, row) for row in range(len(batch))],
            "urgent": list(self.urgent),
            "sensors": self.sensors.list(),
            "unknown": dict(self.ingest.unknown_quantities),
            "letters": [(code, text, _comparable(payload)) for code, text, payload in letters],
        }

    async def _deliver_urgent(self, readings: Sequence[Reading]) -> None:
        self.urgent.extend(readings)


def _comparable(payload: bytes) -> Any:
    """A letter's content; the order of its quantities does not count."""
    try:
        return msgspec.json.decode(payload)
    except msgspec.DecodeError:
        return payload


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[tuple[Door, Door]]:
    pair = Door(tmp_path / "columns"), Door(tmp_path / "one-by-one")
    yield pair
    for door in pair:
        door.database.close()


def read(body: bytes, is_lines: bool, large_bytes: int) -> Message:
    """Read a body; as columns when that counts as large."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_json, "LARGE_BYTES", large_bytes)
        return node_json.read_lines(body) if is_lines else node_json.read_object_or_array(body)[0]


def usual(sensor_id: str = "a", at_us: int = NOW_US, **more: Any) -> dict[str, Any]:
    return {
        "sensor_id": sensor_id,
        "location": {"lat": 60.171, "lng": 24.941},
        "timestamp": moment(at_us),
        "values": {"pm25": 12.3, "humidity": 81},
    } | more


ABSENT = object()
values = st.dictionaries(
    st.sampled_from(["pm25", "o3", "pressure"]), st.sampled_from([0, 9.5, -0.0, None]), max_size=3
)
moments = st.one_of(
    st.integers(NOW_US - 3, NOW_US + 3).map(moment),
    st.sampled_from([0, NOW_US - 50 * YEAR_US, NOW_US + 299 * SECOND_US]).map(moment),
    st.sampled_from(["2026-11-01T00:00:00Z", "2026-11-01T00:00:01+02:00"]),
)
odd = {
    "sensor_id": st.sampled_from([ABSENT, None, "", "line\n", "é" * 121]),
    "location": st.sampled_from(
        [
            *(ABSENT, None, {"lat": None, "lng": None}),
            *({"lat": 91, "lng": 0}, {"lat": 90, "lng": -180}, {"lat": 0, "lng": -0.0}),
        ]
    ),
    "timestamp": st.sampled_from(
        [
            *(ABSENT, None, "2026-11-01T00:00:00", "1969-12-31T23:59:59Z", "2099-01-01T00:00:00Z"),
            *("1970-12-31T23:59:59Z", "1971-01-01T00:00:00Z"),
        ]
    ),
    "values": st.sampled_from([ABSENT, {}, {"radon": 3}, {"pm25": 9, "radon": 3}, {"pm25": None}]),
    "priority": st.sampled_from([8, 10, 11, 0]),
    "aqi": st.sampled_from([None, 40, 40.5]),
    "source": st.sampled_from(["demo", "x" * 51]),
    "type": st.sampled_from(["water", "\u0000"]),
    "channels_disagree": st.sampled_from([True, False, None, 1, "yes", [True]]),
    "more": st.just([{}]),
}
elements = st.builds(
    lambda base, oddities: {k: v for k, v in (base | oddities).items() if v is not ABSENT},
    st.builds(
        lambda sensor_id, at, given: usual(sensor_id, timestamp=at, values=given),
        st.sampled_from(["a", "b", "ünï-3"]),
        moments,
        values,
    ),
    st.one_of(
        st.just({}),
        st.sampled_from(sorted(odd)).flatmap(lambda name: st.fixed_dictionaries({name: odd[name]})),
    ),
)


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(elements, max_size=8), st.booleans(), st.sampled_from([GATEWAY, OF_A]))
def test_columns_come_to_the_same_as_one_by_one(
    doors: tuple[Door, Door], sent: list[dict[str, Any]], is_lines: bool, token: Token
) -> None:
    lines = [json.dumps(element) for element in sent]
    body = ("\n".join(lines) if is_lines else f"[{','.join(lines)}]").encode()
    columns, one_by_one = doors
    expected = one_by_one.take(read(body, is_lines, 10**9), token)
    assert columns.take(read(body, is_lines, 0), token) == expected


@pytest.mark.parametrize("is_lines", [False, True])
def test_a_large_usual_message_is_read_as_columns(is_lines: bool) -> None:
    sent = [json.dumps(usual(f"s{n}", aqi=None)) for n in range(100)]
    body = ("\n".join(sent) if is_lines else f"[{','.join(sent)}]").encode()
    message = read(body, is_lines, node_json.LARGE_BYTES)
    assert isinstance(message, Plain)
    assert len(message) == 100
    assert message[7] == msgspec.json.decode(sent[7], type=Candidate)


def test_in_columns_only_the_unusual_reading_is_refused(doors: tuple[Door, Door]) -> None:
    late, early = usual("late", NOW_US + 301 * SECOND_US), usual("early", NOW_US)
    message = read(json.dumps([early, late, early]).encode(), False, 0)
    assert isinstance(message, Plain)
    told = doors[0].take(message, GATEWAY)
    assert told["receipt"][0] == 2
    assert [refusal.index for refusal in told["receipt"][3]] == [1]
    assert [one.sensor_id for one in told["readings"]] == ["early", "early"]


@given(
    st.lists(
        st.one_of(
            st.integers(-(10**15), 4 * 10**15),
            st.integers(0, 4 * 10**9).map(lambda seconds: seconds * SECOND_US),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_moments_of_any_length_come_through_exactly(moments_us: list[int]) -> None:
    sent = [usual("a", at_us) for at_us in moments_us]
    message = read(json.dumps(sent).encode(), False, 0)
    assert isinstance(message, Plain)
    assert message.rows(NOW_US).rows["timestamp_us"].tolist() == moments_us


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["pm1", "co", "pressure"]),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_values_and_nulls_come_through_exactly(given_in: list[dict[str, float | None]]) -> None:
    message = read(json.dumps([usual(values=each) for each in given_in]).encode(), False, 0)
    assert isinstance(message, Plain)
    rows = message.rows(NOW_US).rows
    for name in ("pm1", "co", "pressure"):
        expected = [each.get(name) for each in given_in]
        assert [None if value != value else value for value in rows[name].tolist()] == expected


@pytest.mark.parametrize("piece", [b'\\"', b'"', b"\\", b"[", b'"\\', b'","'])
@pytest.mark.parametrize("beginning", [b'["', b"["])
def test_no_array_takes_more_time_than_its_length(beginning: bytes, piece: bytes) -> None:
    """A string that nobody ends is one, and not as many as there are quotes in it."""
    with pytest.raises(EdgeError):
        node_json.read_object_or_array(beginning + piece * 200_000)


def test_a_string_that_nobody_ends_closes_no_bracket() -> None:
    for unended in (b'[{}, "]', b'[{}, "\\]', b'[{}, "\\"]', b'[{"a": "}]'):
        with pytest.raises(BadRequest):
            node_json.read_object_or_array(unended)


@pytest.mark.parametrize(
    ("read_it", "body"),
    [
        (node_json.read_object_or_array, b"[" + b"{}," * 1_000_000 + b"{}]"),
        (node_json.read_object_or_array, b"[NaN," + b"{}," * 1_000_000 + b"{}]"),
        (node_json.read_object_or_array, b"[" + b"1," * 1_000_000 + b"1]"),
        (node_json.read_lines, b"a\n" * 1_000_000),
        (node_json.read_lines, b"\n" * 1_000_000),
    ],
)
def test_what_holds_too_many_is_refused_before_they_are_read(
    read_it: Callable[[bytes], object], body: bytes
) -> None:
    """3 MB that would become objects of 100 MB and more."""
    tracemalloc.start()
    try:
        with pytest.raises(Unprocessable, match="more than 10,000 readings"):
            read_it(body)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(body) + (4 << 20)
    finally:
        tracemalloc.stop()
