"""Kiosks without their screens, a process of its own: `python -m tests.faults.kiosks PORT COUNT`.

Each follows the few grids of its stop as the page `/kiosk` does, reads all it gets, goes on to its
next stop, and comes back when it is cut off. A line on stdin asks how they are; the answer is a
line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from datetime import datetime
from typing import Any, Final

import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from bench.dataset import SENSORS, Places, places
from urbanos_edge.grid import tile_at

STOPS: Final = 4
SHOWN: Final = 3
"""Sensors of a stop, each in a grid of its own."""
STOP_S: Final = 20.0
AT_ONCE: Final = 50
BACK_AFTER_S: Final = 2.0


class Shown(msgspec.Struct):
    """Of a reading, only its age is of interest here."""

    timestamp: str


class Change(msgspec.Struct):
    readings: list[Shown] = []


class Frame(msgspec.Struct):
    """What the node sends; only a `grid-update` has readings."""

    data: Change | None = None


_DECODER: Final = msgspec.json.Decoder(Frame)


class Kiosk:
    """One connection that is wanted for ever."""

    def __init__(self, port: int, stops: list[list[str]]) -> None:
        self._url = f"ws://127.0.0.1:{port}/ws"
        self._stops = stops
        self.connected = asyncio.Event()
        self.cut_off = 0
        self.frames = 0
        self.newest = ""
        """The latest moment of what it has been shown, as the node writes it."""

    async def stand(self) -> None:
        while True:
            try:
                async with connect(self._url, ping_interval=None) as link:
                    self.connected.set()
                    await self._follow(link)
            except (OSError, WebSocketException):
                pass  # counted below, like an end that was announced
            self.connected.clear()
            self.cut_off += 1
            await asyncio.sleep(random.uniform(0, BACK_AFTER_S))

    async def _follow(self, link: ClientConnection) -> None:
        tour = asyncio.create_task(self._go_round(link))
        try:
            async for text in link:
                self.frames += 1
                frame = _DECODER.decode(text)
                if frame.data is not None:
                    shown = [reading.timestamp for reading in frame.data.readings]
                    self.newest = max([self.newest, *shown])
        finally:
            tour.cancel()

    async def _go_round(self, link: ClientConnection) -> None:
        before: list[str] = []
        while True:
            for grids in self._stops:
                if before:
                    await link.send(json.dumps({"type": "unsubscribe-grid", "gridIds": before}))
                await link.send(json.dumps({"type": "subscribe-grid", "gridIds": grids}))
                before = grids
                await asyncio.sleep(STOP_S)


async def main() -> None:
    port, count = map(int, sys.argv[1:])
    spots, chance = places(), random.Random(6)
    kiosks = [Kiosk(port, [_stop(spots, chance) for _ in range(STOPS)]) for _ in range(count)]
    tasks = set()
    for start in range(0, count, AT_ONCE):
        joining = kiosks[start : start + AT_ONCE]
        tasks |= {asyncio.create_task(kiosk.stand()) for kiosk in joining}
        await asyncio.gather(*(kiosk.connected.wait() for kiosk in joining))
    _say({"connected": count})
    while await asyncio.to_thread(sys.stdin.readline):
        _say(_how_they_are(kiosks))


def _stop(spots: Places, chance: random.Random) -> list[str]:
    chosen = [chance.randrange(SENSORS) for _ in range(SHOWN)]
    tiles = [tile_at(float(spots.lat[i]), float(spots.lng[i]), 18) for i in chosen]
    return [tile.grid_id for tile in tiles]


def _how_they_are(kiosks: list[Kiosk]) -> dict[str, Any]:
    """Ages in seconds: of what each was shown last, the middle one and the worst."""
    now_s = time.time()
    ages_s = sorted(now_s - _seconds(kiosk.newest) for kiosk in kiosks)
    return {
        "connected": sum(kiosk.connected.is_set() for kiosk in kiosks),
        "cut_off": sum(kiosk.cut_off for kiosk in kiosks),
        "frames": sum(kiosk.frames for kiosk in kiosks),
        "median_age_s": round(ages_s[len(ages_s) // 2], 1),
        "max_age_s": round(ages_s[-1], 1),
    }


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else 0.0


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main())
