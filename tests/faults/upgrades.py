"""Upgrades under load, and releases that are no good."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from tests.deployed import DIES_AT_ITS_START, IS_SLOW, IS_WRONG, Deployed, deployed, dies_after
from tests.faults.figures import Figures
from tests.faults.ledger import compare, stored
from tests.faults.load import Load
from urbanos_edge import control

TARGETS: Final = ("/tiles/readings.json", "/tiles/readings/0/0/0.mvt", "/api/v1/sensors", "/")
RETURNS_WITHIN_S: Final = 90.0
BROKEN: Final = {
    "dies at its start": DIES_AT_ITS_START,
    "dies after 30 s": dies_after(30),
    "is slow": IS_SLOW,
    "says nothing": IS_WRONG,
}


class Readers:
    """Threads that read as browsers do, over connections that they keep."""

    def __init__(self, url: str, count: int = 2) -> None:
        self._url = url
        self.answers: Counter[str] = Counter()
        self.longest_s = 0.0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._read, daemon=True) for _ in range(count)]

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in self._threads:
                thread.join()

    def failed(self) -> int:
        """Requests that were not answered with 200."""
        return sum(count for answer, count in self.answers.items() if answer != "200")

    def _read(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60, trust_env=False) as client:
            while not self._ended.is_set():
                for target in TARGETS:
                    self._get(client, target)
                time.sleep(0.03)

    def _get(self, client: httpx.Client, target: str) -> None:
        began_s = time.monotonic()
        try:
            answer = str(client.get(target).status_code)
        except httpx.HTTPError as error:
            answer = repr(error)
        with self._lock:
            self.answers[answer] += 1
            self.longest_s = max(self.longest_s, time.monotonic() - began_s)


def upgrade(box: Deployed, versions: list[str], figures: Figures) -> None:
    """Change to one version after the other while everybody reads and writes."""
    load = Load(box.url, box.token(), seed=8, sizes=(1, 40), pause_s=0.02)
    readers = Readers(box.url)
    with load.running(senders=2), readers.running():
        for version in versions:
            wheel = box.release(version)
            box.stage(wheel)
            wheel.unlink()
            box.run("cutover", "--unchecked", "--watch", "0.03")
            figures.rounds += 1
            if box.version() != version:
                figures.complaints.append(f"{box.version()} is in use, not {version}")
        load.pause()
    control.request(box.data_dir, "flush")
    verdict = compare(load.ledger.promise(), stored(box.data_dir))
    if not verdict.is_clean:
        figures.complaints.append(str(verdict))
    figures.lost, figures.doubled = len(verdict.lost), len(verdict.doubled)
    figures.add_load(load)
    failed = readers.failed() + sum(n for answer, n in load.answers.items() if answer != "202")
    if failed:
        figures.complaints.append(f"{failed} requests failed: {readers.answers} {load.answers}")
    figures.more = {
        "requests": sum(readers.answers.values()) + sum(load.answers.values()),
        "failed_requests": failed,
        "longest_answer_s": round(readers.longest_s, 2),
    }


def upgrade_again_and_again(folder: Path, upgrades: int) -> Figures:
    """So many upgrades of one box."""
    figures = Figures("deploy")
    with deployed(folder) as box:
        upgrade(box, [f"9.1.{number}" for number in range(upgrades)], figures)
    return figures


def install_broken(folder: Path) -> Figures:
    """Each of the broken releases in turn; the one before is in use again in time."""
    figures = Figures("deploy broken releases")
    with deployed(folder) as box:
        for number, (name, fault) in enumerate(BROKEN.items()):
            box.stage(box.release(f"9.2.{number}", fault))
            began_s = time.monotonic()
            ended = box.run("cutover", "--unchecked", "--watch", "2", check=False)
            took_s = time.monotonic() - began_s
            figures.rounds += 1
            figures.more[f"returned_after_s, {name}"] = round(took_s, 1)
            if ended.exit_code != 1 or box.version() != "9.0.1" or took_s > RETURNS_WITHIN_S:
                figures.complaints.append(f"{name}: {took_s:.0f} s, {ended.stderr}")
    return figures
