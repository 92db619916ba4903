"""Who is busy with a box in a city: gateways that send, people who read, kiosks that follow."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import msgspec

from bench.dataset import SENSORS, busy_tiles, places
from bench.http import Connection
from bench.reading import rows_path, tile_path
from bench.sending import PATH, batch_of, moment
from tests.faults.figures import Figures
from tests.faults.victim import ROOT
from urbanos_edge.grid import Tile

GATEWAYS: Final = 10
BATCH: Final = 150
"""Readings that each of them sends once a second: 1,500 in all."""
KIOSKS: Final = 600
READS_EVERY_S: Final = 0.25
ASKS_EVERY: Final = 8
"""Every eighth read asks the JSON API, which one client may do 100 times a minute; else a tile."""
LISTS_AT_FIRST: Final = 200
"""Of 0.4 MB each: more than the cache holds, so that it is full when its growth is looked at."""
LIST_EVERY_S: Final = 0.7
TILES_OF_ZOOMS: Final = {6: 4, 8: 16, 10: 64, 12: 256, 14: 512}


class Helper(Protocol):
    """Does something again and again in a thread until `ended`."""

    complaints: list[str]

    def run(self, ended: threading.Event) -> None: ...


class Gateway:
    """Sends the readings of its sensors once a second, and each batch until it is taken."""

    def __init__(self, port: int, token: str, number: int) -> None:
        self._port = port
        self._head = {"Content_Type": "application/json", "Authorization": f"Bearer {token}"}
        self._sensors = range(number, SENSORS, GATEWAYS)
        self._chance = random.Random(number)
        self._spots = places()
        self.acknowledged = 0
        self.taken_ms: list[float] = []
        self.complaints: list[str] = []

    def run(self, ended: threading.Event) -> None:
        begun_s, sent = time.monotonic() + self._chance.random(), 0
        with Connection(self._port) as connection:
            while not ended.wait(max(0.0, begun_s + sent - time.monotonic())):
                first = sent * BATCH
                numbers = [
                    self._sensors[n % len(self._sensors)] for n in range(first, first + BATCH)
                ]
                body = batch_of(self._spots, numbers, moment(time.time()), self._chance)
                while not self._is_taken(connection, body):
                    time.sleep(1)
                sent += 1

    def _is_taken(self, connection: Connection, body: bytes) -> bool:
        answer = connection.post(PATH, body, **self._head)
        if answer.status != 202 or msgspec.json.decode(answer.body)["accepted"] != BATCH:
            self.complaints.append(f"a batch was answered {answer.status}: {answer.body[:300]!r}")
            return False
        self.acknowledged += BATCH
        self.taken_ms.append(answer.ms)
        return True


class Reader:
    """Looks at tiles as maps do, and asks the JSON API now and then."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._chance = random.Random(7)
        self._tiles = [
            Tile(zoom, x, y)
            for zoom, count in TILES_OF_ZOOMS.items()
            for x, y, _ in busy_tiles(zoom)[:count]
        ]
        self.reads = 0
        self.complaints: list[str] = []

    def run(self, ended: threading.Event) -> None:
        with Connection(self._port) as connection:
            for tile in self._tiles[-LISTS_AT_FIRST:]:
                if ended.wait(LIST_EVERY_S):
                    return
                self._read(connection, rows_path(tile))
            while not ended.wait(READS_EVERY_S):
                is_question = self.reads % ASKS_EVERY == 0
                self._read(connection, self._question() if is_question else self._tile())

    def _read(self, connection: Connection, path: str) -> None:
        self.reads += 1
        status = connection.get(path).status
        if status not in (200, 204):
            self.complaints.append(f"{path} was answered {status}")

    def _tile(self) -> str:
        return tile_path(self._chance.choice(self._tiles))

    def _question(self) -> str:
        sensor = f"/api/v1/sensors/sensor-{self._chance.randrange(SENSORS):04}"
        return self._chance.choice(
            (
                rows_path(self._chance.choice(self._tiles)),
                f"{sensor}/history?quantity=pm25&resolution=1h",
                f"{sensor}/history?quantity=pm25&resolution=5m",
                "/api/v1/clusters?minLat=59.5&minLng=23.5&maxLat=61&maxLng=26.5&gridSize=0.1",
                "/api/v1/sensors",
                sensor,
            )
        )


class Kiosks:
    """The process of the kiosks."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._hear()  # all are connected

    def look(self) -> dict[str, Any]:
        """How they are now, see `kiosks`."""
        assert self._process.stdin is not None
        self._process.stdin.write("look\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def at_work(helper: Helper, figures: Figures) -> Iterator[None]:
    """A thread that has ended when the block ends; whatever ends it before is a complaint."""
    ended = threading.Event()

    def work() -> None:
        try:
            helper.run(ended)
        except Exception as error:
            helper.complaints.append(repr(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        figures.complaints += helper.complaints


@contextmanager
def kiosks_at(port: int) -> Iterator[Kiosks]:
    words = [sys.executable, "-m", "tests.faults.kiosks", str(port), str(KIOSKS)]
    process = subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Kiosks(process)
    finally:
        process.kill()
        process.wait()
