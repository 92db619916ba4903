"""What the page's main thread has to do for each frame while a reader pans the map."""

from __future__ import annotations

import json
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from bench.context import Bench
from bench.dataset import CENTRE, TENTH_MILLION
from bench.devtools import Chromium, Devtools, chromium
from bench.figures import Figure, Floor, percentile, spread
from bench.node import RunningNode, node
from bench.processes import NotStarted
from bench.sending import Sender
from bench.tools import program

NAME: Final = "page"
ZOOMS: Final = {9: "clusters", 12: "numbers"}
SCREEN: Final = {"width": 1920, "height": 1080, "deviceScaleFactor": 0.25, "mobile": False}
"""A quarter of the pixels each way: the page has the same to do, who draws by software less."""
LIMIT_MS: Final = 8.0
"""Half of a frame at 60 Hz, so that the other half is left to the rest of the browser."""
DRAGS: Final = 4
DRAG_PX: Final = 900
MOVES: Final = 60
"""In each drag, one each frame: 15 pixels at a time."""
FRAME_S: Final = 1 / 60
DRAWN_WITHIN_S: Final = 60.0
TRACED: Final = ("devtools.timeline", "disabled-by-default-devtools.timeline", "toplevel")
ANIMATED: Final = "FireAnimationFrame"
SAME_FOR_S: Final = 2.0
"""A map whose middle has looked the same for so long has all it asked for."""
NOT_EMPTY: Final = 10_000
"""More characters than the picture of a map without sensors has."""
_MIDDLE: Final = {"x": 660, "y": 240, "width": 600, "height": 600, "scale": 1}


@dataclass(frozen=True, slots=True)
class Work:
    """Of the main thread, in milliseconds of processor time."""

    frames: list[float]
    """Each with its share of what came between."""
    between: list[float]
    """The tasks between frames, one by one."""


def run(bench: Bench) -> Iterator[Figure]:
    """Drags of the map at two zooms, by the processor time of the page's main thread.

    The canvas is drawn by software here, in another process. Waiting for it takes no processor
    time, so it does not count.
    """
    with (
        bench.data(TENTH_MILLION) as data_dir,
        node(data_dir) as running,
        bench.folder("chromium") as folder,
        chromium(program("chromium"), folder) as browser,
    ):
        Sender(running, bench.spots).freshen()
        browser.page.ask("Emulation.setDeviceMetricsOverride", **SCREEN)
        for zoom, shown in ZOOMS.items():
            rounds = [_panned(browser, running, zoom) for _ in range(bench.rounds)]
            yield _figure(f"z{zoom}, {shown}", rounds)


def _figure(name: str, rounds: list[Work]) -> Figure:
    frames = [ms for work in rounds for ms in work.frames]
    between = [ms for work in rounds for ms in work.between]
    return Figure(
        bench=NAME,
        name=f"main thread while the map is dragged at {name}",
        unit="ms a frame",
        better="lower",
        ours=spread([percentile(work.frames, 0.5) for work in rounds]),
        floors=[
            Floor("ours.median", LIMIT_MS, at_least=False),
            Floor("more.p95_ms", LIMIT_MS, at_least=False),
        ],
        more={
            "p95_ms": percentile(frames, 0.95),
            "frames": len(frames),
            "p99_of_tasks_between_ms": percentile(between, 0.99),
        },
    )


def _panned(browser: Chromium, running: RunningNode, zoom: int) -> Work:
    """Dragged to and fro, from where it was drawn whole."""
    page, (lng, lat) = browser.page, CENTRE
    page.ask("Page.navigate", url="about:blank")
    page.ask("Page.navigate", url=f"{running.url}/#{zoom}/{lat}/{lng}")
    _wait_until_drawn(page)
    page.ask("Tracing.start", transferMode="ReturnAsStream", traceConfig=_traced())
    for number in range(DRAGS):
        _drag(page, DRAG_PX if number % 2 else -DRAG_PX)
    page.ask("Tracing.end")
    stream = page.hear("Tracing.tracingComplete")["stream"]
    return main_thread(json.loads(_read(page, stream))["traceEvents"], DRAGS * MOVES)


def _wait_until_drawn(page: Devtools) -> None:
    """Once it shows sensors, until its picture changes no more."""
    until_s = time.monotonic() + DRAWN_WITHIN_S
    before, since_s = "", time.monotonic()
    while time.monotonic() - since_s < SAME_FOR_S:
        if time.monotonic() > until_s:
            raise NotStarted(f"the map was not drawn within {DRAWN_WITHIN_S:g} s")
        picture = _picture(page)
        if picture != before or len(picture) < NOT_EMPTY:
            before, since_s = picture, time.monotonic()
        time.sleep(0.1)


def _picture(page: Devtools) -> str:
    """Of the map's middle; none while one page gives way to the next."""
    with suppress(RuntimeError):
        return str(page.ask("Page.captureScreenshot", clip=_MIDDLE)["data"])
    return ""


def _traced() -> dict[str, Any]:
    return {"recordMode": "recordAsMuchAsPossible", "includedCategories": list(TRACED)}


def _drag(page: Devtools, by_px: int) -> None:
    """With a mouse that reports once a frame; a browser that is behind makes it wait."""
    at = {"x": (SCREEN["width"] - by_px) / 2, "y": SCREEN["height"] / 2}
    mouse = {"button": "left", "buttons": 1, "clickCount": 1}
    page.ask("Input.dispatchMouseEvent", type="mousePressed", **at, **mouse)
    for _ in range(MOVES):
        began_s = time.monotonic()
        at["x"] += by_px / MOVES
        page.ask("Input.dispatchMouseEvent", type="mouseMoved", **at, **mouse)
        time.sleep(max(0.0, FRAME_S - (time.monotonic() - began_s)))
    page.ask("Input.dispatchMouseEvent", type="mouseReleased", **at, **mouse)


def _read(page: Devtools, stream: str) -> str:
    parts = []
    while True:
        part = page.ask("IO.read", handle=stream)
        parts.append(part["data"])
        if part["eof"]:
            return "".join(parts)


def main_thread(events: list[dict[str, Any]], shown: int) -> Work:
    """What a trace tells of the thread that animates.

    `shown` frames would have been shown by a screen that keeps up. What the thread does between
    frames (tiles that arrive, timers) is spread over them: this browser draws fewer, and in each
    more of it would meet.
    """
    thread = _busiest(events)
    own = [event for event in events if (event["pid"], event["tid"]) == thread]
    tasks = [event for event in own if event["name"] == "RunTask" and event["ph"] == "X"]
    begun = sorted(event["ts"] for event in own if event["name"] == ANIMATED)
    frames: list[float] = []
    between: list[float] = []
    for task in tasks:
        first = bisect_left(begun, task["ts"])
        is_frame = first < len(begun) and begun[first] <= task["ts"] + task["dur"]
        (frames if is_frame else between).append(task["tdur"] / 1000)
    share = sum(between) / shown
    return Work([ms + share for ms in frames], between)


def _busiest(events: list[dict[str, Any]]) -> tuple[int, int]:
    """The thread that animates."""
    frames = Counter((event["pid"], event["tid"]) for event in events if event["name"] == ANIMATED)
    return frames.most_common(1)[0][0]
