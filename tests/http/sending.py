"""Readings to send to a running node, and what became of them: asked over HTTP and of the files.

The index that a PM2.5 concentration gives is read off the corners of the table that the EPA
published in 2024 (Technical Assistance Document, EPA-454/B-24-002, table 6).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import httpx
import mercantile

from tests.processes import NodeProcess

INGEST: Final = "/api/v1/data/ingest"
NDJSON: Final = {"Content-Type": "application/x-ndjson"}
INDEX_OF_PM25: Final = {0.0: 0, 9.0: 50, 35.4: 100, 55.4: 150, 125.4: 200, 225.4: 300}
SECOND_US: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNSAFE: Final = re.compile(
    r"Traceback|File \"|\.py\b|SELECT |INSERT |sqlite|duckdb|apsw|msgspec|site-packages|/tmp/|"
    r"sys\.|set_int_max",
    re.IGNORECASE,
)


Box = dict[str, float]


class Spot(NamedTuple):
    """A place well inside one grid of zoom 12, on no edge at any zoom up to 18."""

    grid_id: str
    lat: float
    lng: float

    def at_zoom(self, zoom: int) -> str:
        tile = mercantile.tile(self.lng, self.lat, zoom)
        return f"z{zoom}-x{tile.x}-y{tile.y}"


def spot_number(number: int) -> Spot:
    """One of many spots, no two in the same or neighbouring grids."""
    column, row = divmod(number, 300)
    x, y = 2 * row + 1000, 2 * column + 1000
    box = mercantile.bounds(x, y, 12)
    lat = box.south + 0.291 * (box.north - box.south)
    lng = box.west + 0.317 * (box.east - box.west)
    return Spot(f"z12-x{x}-y{y}", round(lat, 7), round(lng, 7))


def box_around(spot: Spot, degrees: float) -> Box:
    """The query parameters of a box that reaches so far in each direction."""
    return {
        "minLat": spot.lat - degrees,
        "maxLat": spot.lat + degrees,
        "minLng": spot.lng - degrees,
        "maxLng": spot.lng + degrees,
    }


def now_us() -> int:
    return time.time_ns() // 1000


def moment(at_us: int) -> str:
    """RFC 3339 with six decimals."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds")


def reading(
    spot: Spot, sensor_id: str | None = None, at_us: int | None = None, **more: Any
) -> dict[str, Any]:
    """A good reading: now, at the spot, with a PM2.5 of 9.0 µg/m³ unless `values` says more."""
    given: dict[str, Any] = {
        "location": {"lat": spot.lat, "lng": spot.lng},
        "timestamp": moment(now_us() if at_us is None else at_us),
        "values": {"pm25": 9.0},
    }
    if sensor_id is not None:
        given["sensor_id"] = sensor_id
    return given | more


def send(node: NodeProcess, token: str, *readings: dict[str, Any]) -> None:
    """Post good readings as one batch and have them flushed: one change."""
    answer = node.post(list(readings), token)
    assert answer.json().get("accepted") == len(readings), answer.text
    node.flush()


def rows(node: NodeProcess, grid_id: str, **query: int) -> list[dict[str, Any]]:
    """What `grids/{gridId}/data` shows."""
    answer = node.client.get(f"/api/v1/grids/{grid_id}/data", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def stored(data_dir: Path, columns: str, tail: str = "", *given: object) -> list[tuple[Any, ...]]:
    """Ask plain DuckDB, without any extension, over the files themselves."""
    glob = data_dir / "readings" / "created_date=*" / "*.parquet"
    with duckdb.connect() as connection:
        found: list[tuple[Any, ...]] = connection.execute(
            f"SELECT {columns} FROM read_parquet('{glob}') {tail}", list(given)
        ).fetchall()
    return found


def stored_of(node: NodeProcess, sensor_id: str, columns: str = "pm25") -> list[tuple[Any, ...]]:
    """The stored rows of one sensor in the order of their time, once all is flushed."""
    node.flush()
    return stored(node.data_dir, columns, "WHERE sensor_id = ? ORDER BY timestamp", sensor_id)


def assert_is_error(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    """The contract's error body with one of these statuses, and nothing of our insides in it."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:500])
    assert answer.headers["content-type"].startswith("application/json")
    error: dict[str, Any] = answer.json()["error"]
    assert error.keys() == {"code", "message", "details"}
    assert re.fullmatch(r"[a-z][a-z0-9_]*", error["code"]), error
    assert isinstance(error["message"], str)
    assert error["message"]
    assert not _UNSAFE.search(answer.text), answer.text[:500]
    return error


def assert_only_rejected(answer: httpx.Response, accepted: int, rejected: Sequence[int]) -> None:
    """The answer for many: what was good is in, and what was not is named by its place."""
    assert answer.status_code == 202, answer.text[:500]
    body = answer.json()
    assert body.keys() == {"success", "accepted", "duplicates", "rejected"}
    assert (body["success"], body["accepted"]) == (True, accepted)
    assert [refusal["index"] for refusal in body["rejected"]] == list(rejected)
    for refusal in body["rejected"]:
        assert refusal.keys() == {"index", "code", "message"}
        assert re.fullmatch(r"[a-z][a-z0-9_]*", refusal["code"]), refusal
    assert not _UNSAFE.search(answer.text), answer.text[:500]


def taking(work: Callable[[], object]) -> float:
    """How many seconds the work takes."""
    started_s = time.monotonic()
    work()
    return time.monotonic() - started_s
