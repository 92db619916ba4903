"""A kiosk that stands for hours: always current, never reloaded, and no larger than at first.

Usual is what the commonest sensors do: airRohr's firmware sends every 145 s, and a node passes on
what it got every 10 s. Here 600 sensors send three times as often, and the node passes it on three
times as often.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from bench.devtools import Chromium, chromium
from tests.browser.conftest import CHROMIUM
from tests.browser.pages import reading
from tests.faults.figures import Figures
from tests.faults.growth import settled
from tests.faults.victim import Victim, patience, victim
from tests.processes import wait_until

SENSORS: Final = 600
USUAL_S: Final = 145
TIMES: Final = 3
EVERY_S: Final = USUAL_S // TIMES
"""Between two readings of a sensor."""
STRIDE: Final = 7
"""By so many seconds sensors that are neighbours on the screen send one after the other."""
FLUSH_INTERVAL_S: Final = 10 / TIMES
SCREEN: Final = {"width": 1920, "height": 1080, "deviceScaleFactor": 1, "mobile": False}
COMPILED_SOON: Final = "--js-flags=" + ",".join(
    [
        "--invocation-count-for-maglev=4",
        "--invocation-count-for-turbofan=30",
        "--minimum-invocations-after-ic-update=5",
    ]
)
"""A hundredth of the runs after which V8 compiles a function for speed: 400, and once more 3,000.

What runs once a second gets there after 50 minutes, and what comes with each site not within hours:
until then the heap grows by code.
"""
LOOK_EVERY_S: Final = 1.0
FRESH_FOR_S: Final = 60
"""One of the seven sites on the screen sends every 7 s."""
BACK_WITHIN_S: Final = 30.0
"""A kiosk asks again every 5 s at the latest; seen after the node is ready."""
SETTLES_WITHIN_S: Final = 60.0
_LOOK: Final = """(() => {
  const last = document.querySelector('.last');
  return {
    last: last?.textContent ?? '',
    lost: last?.classList.contains('lost') ?? false,
    number: document.querySelector('.number')?.textContent ?? '',
    begun: performance.timeOrigin,
  };
})()"""
_COUNTED: Final = {
    "heap_kib": "JSHeapUsedSize",
    "nodes": "Nodes",
    "listeners": "JSEventListeners",
    "documents": "Documents",
}
"""What must not grow, by the names of the protocol's Performance.getMetrics."""
_PROCESSES: Final = {"renderer_kib": "renderer", "gpu_kib": "GPU"}
"""What is told beside it: memory of processes, which also keep what they might need again."""
LEAST_MINUTES: Final = 20
"""In less a page has not filled what it keeps on purpose, such as markers for each number."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a person would see in one moment, and when the page was loaded."""

    last: str
    is_lost: bool
    number: str
    begun_ms: float
    at_s: float
    """When it was looked at, since 1970."""

    @property
    def is_current(self) -> bool:
        return not self.is_lost and self.number.isdigit() and self.age_s <= FRESH_FOR_S

    @property
    def age_s(self) -> float:
        """Of 'Last data 10:42:07', the node's time zone being UTC; infinite without a time."""
        try:
            hours, minutes, seconds = map(int, self.last.split()[-1].split(":"))
        except (ValueError, IndexError):
            return math.inf
        return (self.at_s - (hours * 60 + minutes) * 60 - seconds) % 86_400


def stand(folder: Path, minutes: float, weighed_every_s: float, restarts: int) -> Figures:
    """Let it stand, and kill and start its node so many times in between."""
    figures = Figures("kiosk")
    with (
        victim(folder / "node", folder / "node.log") as node,
        chromium(CHROMIUM, folder / "profile", "--accept-lang=en-GB", COMPILED_SOON) as browser,
    ):
        node.start(flush_interval_s=FLUSH_INTERVAL_S)
        with reporting(node, figures):
            wall = Wall(browser, node, figures)
            wall.open()
            for part in range(restarts + 1):
                wall.watch(minutes * 60 / (restarts + 1), weighed_every_s)
                if part < restarts:
                    wall.outlive_its_node()
        figures.ready_s += node.ready_s
    wall.judge()
    return figures


class Wall:
    """The screen, what was seen on it, and what it weighed."""

    def __init__(self, browser: Chromium, node: Victim, figures: Figures) -> None:
        self._browser = browser
        self._node = node
        self._figures = figures
        self._weighed: list[dict[str, float]] = []
        self._seen: list[Look] = []
        self._back_s: list[float] = []
        self._begun_s = time.monotonic()

    def open(self) -> None:
        page = self._browser.page
        page.ask("Performance.enable")
        page.ask("Emulation.setDeviceMetricsOverride", **SCREEN)
        page.ask("Page.navigate", url=f"{self._node.url}/kiosk")
        wait_until(lambda: self._look().is_current, SETTLES_WITHIN_S, self._explain)
        self._begun_s = time.monotonic()

    def watch(self, for_s: float, weighed_every_s: float) -> None:
        """Look every second and weigh it now and then."""
        until_s = time.monotonic() + for_s
        while time.monotonic() < until_s:
            if len(self._weighed) * weighed_every_s <= time.monotonic() - self._begun_s:
                self._weigh()
            self._seen.append(self._look())
            time.sleep(LOOK_EVERY_S)

    def outlive_its_node(self) -> None:
        """Until it says that it is cut off, and from then until it shows by itself what is new."""
        self._node.kill()
        wait_until(lambda: self._look().is_lost, SETTLES_WITHIN_S, self._explain)
        self._node.start(flush_interval_s=FLUSH_INTERVAL_S)
        ready_s = time.monotonic()

        def is_back() -> bool:
            look = self._look()
            return look.is_current and look.age_s < time.monotonic() - ready_s

        wait_until(is_back, BACK_WITHIN_S * patience(), self._explain)
        self._back_s.append(time.monotonic() - ready_s)

    def judge(self) -> None:
        """Fill in the figures."""
        figures = self._figures
        ages_s = [look.age_s for look in self._seen]
        figures.rounds = len(self._back_s)
        figures.more["looks"] = len(ages_s)
        figures.more["other_times_seen"] = len({look.last for look in self._seen})
        figures.more["oldest_shown_s"] = round(max(ages_s), 1)
        figures.more["back_after_s_max"] = round(max(self._back_s, default=0), 1)
        figures.complaints += [f"seen: {look}" for look in self._seen if not look.is_current]
        if len({look.begun_ms for look in self._seen}) != 1:
            figures.complaints.append("the page was loaded anew")
        self._judge_weight()

    def _judge_weight(self) -> None:
        figures = self._figures
        minutes = self._column("at_min")
        for name in (*_COUNTED, *_PROCESSES):
            figures.more[name] = round(self._weighed[-1][name])
            if minutes[-1] < LEAST_MINUTES:
                continue
            found = settled(minutes, self._column(name))
            figures.more |= found.told(f"{name} a minute")
            if found.is_upward and name in _COUNTED:
                figures.complaints.append(f"{name} grows: {found}")

    def _column(self, name: str) -> list[float]:
        return [weighed[name] for weighed in self._weighed]

    def _weigh(self) -> None:
        """When the garbage is gone."""
        page = self._browser.page
        page.ask("HeapProfiler.collectGarbage")
        answer = page.ask("Performance.getMetrics")
        metrics = {each["name"]: each["value"] for each in answer["metrics"]}
        weighed = {name: metrics[counted] for name, counted in _COUNTED.items()}
        weighed["heap_kib"] /= 1024
        weighed["at_min"] = (time.monotonic() - self._begun_s) / 60
        for name, kind in _PROCESSES.items():
            weighed[name] = self._browser.rss_mib(kind) * 1024
        self._weighed.append(weighed)
        sys.stderr.write(json.dumps(weighed) + "\n")

    def _look(self) -> Look:
        seen = self._browser.page.evaluate(_LOOK)
        return Look(seen["last"], seen["lost"], seen["number"], seen["begun"], time.time())

    def _explain(self) -> str:
        return f"{self._look()}\n{self._node.log()}"


@contextmanager
def reporting(node: Victim, figures: Figures) -> Iterator[None]:
    """Sensors that report in turn through a gateway, whether the node is there or not."""
    done = threading.Event()
    answers: Counter[str] = Counter()
    headers = {"Authorization": f"Bearer {node.token()}"}

    def send(due: Sequence[int]) -> None:
        try:
            answer = gateway.post("/api/v1/data/ingest", json=[_measured(each) for each in due])
            answers[str(answer.status_code)] += 1
        except httpx.TransportError:
            answers["none"] += 1

    def send_in_turn() -> None:
        for turn in itertools.count():
            if done.wait(1):
                return
            send([each for each in range(SENSORS) if (each * STRIDE - turn) % EVERY_S == 0])

    gateway = httpx.Client(base_url=node.url, headers=headers, timeout=30)
    send(range(SENSORS))
    node.flush()
    sender = threading.Thread(target=send_in_turn, daemon=True)
    sender.start()
    try:
        yield
    finally:
        done.set()
        sender.join()
        gateway.close()
        figures.answers |= answers
        figures.more["batches"] = answers["202"]


def _measured(number: int) -> dict[str, Any]:
    """A city of streets 300 m apart, through which the air moves, so that no neighbour is odd."""
    row, column = divmod(number, 25)
    pm25_ugm3 = 15 + 8 * math.sin(time.time() / 600 + row / 8) + number * 7 % 10 / 10
    place = (60.10 + row * 0.003, 24.80 + column * 0.006)
    return reading(f"sensor-{number:03}", *place, round(pm25_ugm3, 1))
