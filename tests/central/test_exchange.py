"""What a node's session runs at the centre: replace by revision, and digests of what is there."""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.central.conftest import Centre
from urbanos_edge.engine import statement

Login = psycopg.Connection[Any]
START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
SPAN = {"since": START, "until": START + timedelta(hours=5)}
CELL = "z18-x149208-y75850"
NODE = "oulu-1"

REVISIONS = b"""
SELECT bucket_start, bucket_s, cell, quantity, count, flagged, revision
FROM pollution_aggregates
WHERE node_id = %(node_id)s AND bucket_start >= %(since)s AND bucket_start < %(until)s
"""


class Bucket(NamedTuple):
    """A bucket as a node counts it: integers, of an hour after `START`."""

    hour: int
    cell: str
    quantity: str
    number: int
    total: int
    squares: int
    lowest: int | None
    highest: int | None
    flagged: int
    revision: int


def bucket(values: Sequence[int], revision: int = 1, **more: Any) -> Bucket:
    """A bucket of these values in ten-thousandths."""
    fields: dict[str, Any] = {"hour": 0, "cell": CELL, "quantity": "pm25", "flagged": 0} | more
    return Bucket(
        number=len(values),
        total=sum(values),
        squares=sum(value * value for value in values),
        lowest=min(values, default=None),
        highest=max(values, default=None),
        revision=revision,
        **fields,
    )


@pytest.fixture
def node(centre: Centre) -> Iterator[Login]:
    """The connection of the node `NODE`."""
    with psycopg.connect(centre.add_node(NODE)) as connection:
        yield connection


def merge(node: Login, buckets: Iterable[Bucket]) -> int:
    """Send buckets as a node does; return how many rows changed."""
    with node.transaction(), node.cursor() as cursor:
        cursor.execute(statement("central_stage").encode())
        with cursor.copy("COPY incoming FROM STDIN") as copy:
            for one in buckets:
                copy.write_row(
                    (
                        *(START + timedelta(hours=one.hour), 3600, one.cell, one.quantity),
                        *(one.number, f"{one.total}e-4", f"{one.squares}e-8"),
                        *(None if v is None else f"{v}e-4" for v in (one.lowest, one.highest)),
                        *(one.flagged, one.revision),
                    )
                )
        cursor.execute(statement("central_merge").encode(), {"node_id": NODE})
        return cursor.rowcount


def digests(node: Login, name: str = "central_digests") -> list[Any]:
    values = SPAN | {"node_id": NODE}
    with node.transaction():
        return node.execute(statement(name).encode(), values).fetchall()


def digest(texts: Iterable[str]) -> str:
    """As it was agreed: the MD5 of each text, XORed."""
    bits = 0
    for text in texts:
        bits ^= int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), 16)
    return f"{bits:032x}"


def told(one: Bucket) -> str:
    at = int((START + timedelta(hours=one.hour)).timestamp())
    ends = " ".join("-" if value is None else str(value) for value in (one.lowest, one.highest))
    numbers = f"{one.number} {one.total} {one.squares} {ends} {one.flagged}"
    return f"{at} 3600 {one.cell} {one.quantity} {numbers}"


def test_a_bucket_arrives_exactly(centre: Centre, node: Login) -> None:
    """In ten-thousandths: 0.1 + 0.2 µg/m³, and a number whose square no float holds."""
    large = 8 * 10**14 + 1
    merge(node, [bucket([1000, 2000]), bucket([large], quantity="pm10")])
    query = "SELECT (sum * 10000)::NUMERIC(38), (sum_sq * 100000000)::NUMERIC(38)"
    found = centre.rows(f"{query} FROM pollution_aggregates")
    assert set(found) == {(3000, 5_000_000), (large, large * large)}
    mean = "SELECT mean FROM merged_aggregates WHERE quantity = 'pm25'"
    assert centre.value(mean) == Decimal("0.15")


def test_only_a_higher_revision_or_other_numbers_take_a_rows_place(
    centre: Centre, node: Login
) -> None:
    first = bucket([50_000, 70_000], revision=5)
    assert merge(node, [first]) == 1
    assert merge(node, [first]) == 0, "replayed"
    assert merge(node, [bucket([90_000], revision=4)]) == 0, "older"
    assert centre.rows("SELECT count, sum FROM pollution_aggregates") == [(2, 12)]
    assert merge(node, [bucket([90_000], revision=6)]) == 1
    assert centre.rows("SELECT count, sum, revision FROM pollution_aggregates") == [(1, 9, 6)]
    centre.owner.execute("UPDATE pollution_aggregates SET sum = 8")
    assert merge(node, [bucket([90_000], revision=6)]) == 1, "damaged there"
    assert merge(node, [bucket([], revision=7)]) == 1
    emptied = centre.rows("SELECT count, sum, sum_sq, min, max FROM pollution_aggregates")
    assert emptied == [(0, 0, 0, None, None)]


def test_a_digest_is_the_xor_of_what_the_buckets_say(centre: Centre, node: Login) -> None:
    buckets = [
        bucket([123_000, 246_001], revision=3),
        bucket([-53_000], quantity="temperature"),
        bucket([0], cell="z18-x0-y262143", quantity="aqi", revision=9),
        bucket([], quantity="o3", flagged=4),
        bucket([], quantity="no2", revision=12),
        bucket([8 * 10**14 + 1], hour=2),
    ]
    merge(node, reversed(buckets))
    first = [told(one) for one in buckets[:4]]
    assert digests(node) == [
        (START, 4, 12, digest(first)),
        (START + timedelta(hours=2), 1, 1, digest([told(buckets[5])])),
    ]


def test_a_digest_shows_what_is_lost_or_altered(centre: Centre, node: Login) -> None:
    merge(node, [bucket([123_000]), bucket([8_000], quantity="co")])
    seen = {str(digests(node))}
    for damage in (
        "UPDATE pollution_aggregates SET max = max + 0.0001 WHERE quantity = 'co'",
        "UPDATE pollution_aggregates SET sum_sq = sum_sq + 0.00000001 WHERE quantity = 'co'",
        "UPDATE pollution_aggregates SET flagged = 1 WHERE quantity = 'co'",
        "UPDATE pollution_aggregates SET cell = 'z18-x1-y1' WHERE quantity = 'co'",
        "UPDATE pollution_aggregates SET bucket_start = bucket_start + INTERVAL '1 hour'",
        "DELETE FROM pollution_aggregates WHERE quantity = 'co'",
        "DELETE FROM pollution_aggregates",
    ):
        centre.owner.execute(damage.encode())
        seen.add(str(digests(node)))
    assert len(seen) == 8


def test_a_bucket_of_no_readings_says_the_same_as_none(centre: Centre, node: Login) -> None:
    merge(node, [bucket([], revision=4)])
    assert digests(node) == [(START, 0, 4, "0" * 32)]
    with node.transaction():
        values = SPAN | {"node_id": NODE}
        rows = node.execute(REVISIONS, values).fetchall()
    assert rows == [(START, 3600, CELL, "pm25", 0, 0, 4)]


FIELDS = (
    *("id", "grid_id", "lng", "lat", "timestamp", "sensor_id", "source", "pollution_type", "flags"),
    *("correction", "aqi_value", "level", "pm25_aqi", "reported_aqi", "pm25", "temperature"),
)


def sent(node: Login, rows: Iterable[dict[str, Any]]) -> int:
    """Send readings as a node does; return how many rows changed."""
    with node.transaction(), node.cursor() as cursor:
        cursor.execute(statement("central_stage_readings").encode())
        command = f"COPY incoming_readings ({', '.join(FIELDS)}) FROM STDIN"
        with cursor.copy(command.encode()) as copy:
            for row in rows:
                copy.write_row([row[name] for name in FIELDS])
        text = statement("central_merge_readings").encode()
        cursor.execute(text, {"node_id": NODE})
        return cursor.rowcount


def reading(minute: int, **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = dict.fromkeys(FIELDS) | {
        "id": uuid.uuid5(uuid.NAMESPACE_URL, str(minute)),
        "grid_id": "z12-x2330-y1185",
        "lng": 24.94123456789,
        "lat": -60.17,
        "timestamp": START + timedelta(minutes=minute, microseconds=minute),
        "sensor_id": "school-12",
        "source": "api",
        "pollution_type": "air",
        "flags": "",
        "aqi_value": 57,
        "level": 2,
        "pm25_aqi": 57,
        "pm25": 12.3,
    }
    return fields | more


def told_reading(row: dict[str, Any]) -> str:
    """The text that a reading's digest is made of."""

    def rounded(name: str) -> str:
        value = row.get(name)
        return "-" if value is None else str(math.floor(value * 10_000 + 0.5))

    micros = int((row["timestamp"] - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    place = [str(math.floor(row[name] * 10_000_000 + 0.5)) for name in ("lng", "lat")]
    indexes = (
        "aqi_value",
        "level",
        "pm25_aqi",
        "pm10_aqi",
        "o3_aqi",
        "no2_aqi",
        "so2_aqi",
        "co_aqi",
    )
    quantities = (
        *("reported_aqi", "pm1", "pm25", "pm10", "o3", "no2", "so2", "co"),
        *("temperature", "humidity", "pressure"),
    )
    words = [str(row["id"]), str(micros), *place]
    words += ["-" if row.get(name) is None else str(row[name]) for name in indexes]
    words += [rounded(name) for name in quantities]
    return " ".join([*words, row["flags"] or "-", row["correction"] or "-"])


def test_readings_replace_what_the_centre_has_of_them(centre: Centre, node: Login) -> None:
    rows = [
        reading(0),
        reading(59, temperature=-5.55, flags="spike,humidity", correction="pm25=x@1"),
    ]
    assert sent(node, rows) == 2
    assert sent(node, rows) == 0, "replayed"
    assert sent(node, [reading(0, pm25=13.0, reported_aqi=80.5)]) == 1
    query = (
        "SELECT pm25, node_id, ST_X(location), created_date FROM pollution_data WHERE flags = ''"
    )
    assert centre.rows(query) == [(13.0, NODE, 24.94123456789, START.date())]


def test_a_digest_of_readings_is_the_xor_of_what_they_say(centre: Centre, node: Login) -> None:
    rows = [
        reading(0, reported_aqi=80.00005, pm25=0.1 + 0.2),
        reading(1, aqi_value=None, level=None, pm25_aqi=None, pm25=None),
        reading(61, temperature=-5.55, flags="spike,humidity", correction="pm25=x@1"),
    ]
    sent(node, rows)
    assert digests(node, "central_reading_digests") == [
        (START, 2, digest(map(told_reading, rows[:2]))),
        (START + timedelta(hours=1), 1, digest([told_reading(rows[2])])),
    ]


def test_one_sensor_heard_by_two_nodes_is_a_row_of_each(centre: Centre, node: Login) -> None:
    """Its readings have the same id everywhere; neither node may stop the other."""
    sent(node, [reading(0)])
    put = (
        "INSERT INTO pollution_data (id, node_id, grid_id, location, timestamp, created_date)"
        " VALUES (%s, 'other', 'z12-x1-y1', ST_Point(0, 0, 4326), %s, %s)"
    )
    centre.owner.execute(put, (reading(0)["id"], reading(0)["timestamp"], START.date()))
    assert sent(node, [reading(0, pm25=1.0)]) == 1
    with pytest.raises(psycopg.errors.UniqueViolation):
        centre.owner.execute(put, (reading(0)["id"], reading(0)["timestamp"], START.date()))
