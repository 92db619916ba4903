"""Readings on the wire: for wrk as templates, and as one batch that gives every sensor news."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from bench.dataset import SENSORS, Places, places
from bench.http import Connection
from bench.node import RunningNode

PATH: Final = "/api/v1/data/ingest"
MARK: Final = "@@"
VARIANTS: Final = 4
"""Bodies with other values for the same sensors, so that what is sent does not repeat itself."""
_QUANTITIES: Final = {
    "pm25": (2, 40),
    "pm10": (4, 70),
    "no2": (3, 30),
    "temperature": (-5, 12),
    "humidity": (40, 99),
}


class Sender:
    """Gives sensors new readings, so that nothing a node answered before is valid any more."""

    def __init__(self, node: RunningNode, spots: Places) -> None:
        self._node = node
        self._token = node.token()
        self._spots = spots
        self._values = random.Random(1)

    def freshen(self) -> None:
        """One new reading per sensor, stored and known to the map when this returns."""
        numbers = range(len(self._spots.ids))
        body = batch_of(self._spots, numbers, moment(time.time()), self._values)
        with Connection(self._node.port) as connection:
            post(connection, self._token, body)
        self._node.flush()


def post(connection: Connection, token: str, body: bytes) -> None:
    """POST readings; raises when they are not accepted."""
    headers = {"Content_Type": "application/json", "Authorization": f"Bearer {token}"}
    answer = connection.post(PATH, body, **headers)
    if answer.status != 202:
        raise RuntimeError(f"ingest answered {answer.status}: {answer.body[:300]!r}")


def batch_of(spots: Places, numbers: Iterable[int], timestamp: str, values: random.Random) -> bytes:
    """One reading of each of these sensors, as a JSON array."""
    return msgspec.json.encode([_reading(spots, i, timestamp, values) for i in numbers])


def settings_for_wrk(
    folder: Path, kind: str, per_body: int, token: str | None = None
) -> dict[str, str]:
    """Write templates of bodies with `per_body` readings; what `lua/readings.lua` must know.

    `kind` is `json` for a node or `line` for InfluxDB's line protocol: the same readings.
    """
    folder.mkdir(exist_ok=True)
    path = folder / f"{kind}-{per_body}.templates"
    values = random.Random(2)
    write = _json_bodies if kind == "json" else _line_bodies
    with path.open("w", encoding="ascii") as file:
        for _ in range(VARIANTS):
            file.writelines(f"{body}\n" for body in write(per_body, values))
    settings = {
        "BENCH_TEMPLATES": str(path),
        "BENCH_KIND": kind,
        "BENCH_PER_MOMENT": str(SENSORS // per_body),
        "BENCH_BEGIN_MS": str(round(time.time() * 1000)),
    }
    return settings | ({"BENCH_TOKEN": token} if token else {})


def _json_bodies(per_body: int, values: random.Random) -> Iterator[str]:
    readings = [msgspec.json.encode(one).decode() for one in _readings(MARK, values)]
    for start in range(0, SENSORS, per_body):
        chosen = readings[start : start + per_body]
        yield chosen[0] if per_body == 1 else f"[{','.join(chosen)}]"


def _line_bodies(per_body: int, values: random.Random) -> Iterator[str]:
    lines = [_line(one) for one in _readings(MARK, values)]
    for start in range(0, SENSORS, per_body):
        yield "\\n".join(lines[start : start + per_body])


def _line(reading: Mapping[str, object]) -> str:
    fields = {**_mapping(reading["location"]), **_mapping(reading["values"])}
    written = ",".join(f"{name}={value}" for name, value in fields.items())
    return f"air,sensor_id={reading['sensor_id']} {written} {MARK}"


def _mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, dict)
    return value


def _readings(timestamp: str, values: random.Random) -> list[dict[str, object]]:
    spots = places()
    return [_reading(spots, number, timestamp, values) for number in range(SENSORS)]


def _reading(
    spots: Places, number: int, timestamp: str, values: random.Random
) -> dict[str, object]:
    return {
        "sensor_id": spots.ids[number],
        "location": {"lat": float(spots.lat[number]), "lng": float(spots.lng[number])},
        "timestamp": timestamp,
        "values": {
            name: round(values.uniform(low, high), 1) for name, (low, high) in _QUANTITIES.items()
        },
    }


def moment(at_s: float) -> str:
    """A time as sensors write it."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="microseconds")
