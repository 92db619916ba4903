"""Senders: threads that post readings, try again what was not answered, repeat and revise."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import httpx
import msgspec

from tests.faults.ledger import Ledger, Sent

SENSORS: Final = 20
"""Sensors of each sender."""
DAYS: Final = 3
"""Readings fall on as many days, so that most flushes write several files."""
DAY_US: Final = 86_400_000_000
REMEMBERED: Final = 200
"""Batches a sender can still repeat or revise."""
AGAIN_AFTER_S: Final = 0.05
ANSWER_WITHIN_S: Final = 60.0
_BUSY: Final = (429, 503, 507)


class Sender(threading.Thread):
    """Posts batches of its own sensors, one after the other, until it is told to stop."""

    def __init__(self, load: Load, number: int) -> None:
        super().__init__(name=f"sender-{number}", daemon=True)
        self._load = load
        self._random = random.Random(f"{load.seed}-{number}")
        self._sensors = [f"{load.name}-{number}-{sensor}" for sensor in range(SENSORS)]
        self._next_us = time.time_ns() // 1000 - DAYS * DAY_US
        self._past: list[list[Sent]] = []
        self.idle = threading.Event()

    def run(self) -> None:
        with httpx.Client(timeout=ANSWER_WITHIN_S) as client:
            while not self._load.ended.is_set():
                if not self._load.going.is_set():
                    self.idle.set()
                    self._load.going.wait(0.1)
                    continue
                self.idle.clear()
                self._send(client, self._batch())
                time.sleep(self._random.uniform(0, 2 * self._load.pause_s))

    def _batch(self) -> list[Sent]:
        chance = self._random.random()
        if self._past and chance < 0.1:
            return self._random.choice(self._past)
        if self._past and chance < 0.25:
            return [self._revised(sent) for sent in self._random.choice(self._past)[:5]]
        batch = [self._new() for _ in range(self._random.randint(*self._load.sizes))]
        self._past = [*self._past, batch][-REMEMBERED:]
        return batch + self._random.sample(batch, 1)

    def _new(self) -> Sent:
        self._next_us += 1000
        day_us = self._random.randrange(DAYS) * DAY_US
        return Sent(self._random.choice(self._sensors), self._next_us + day_us, self._level())

    def _revised(self, sent: Sent) -> Sent:
        return Sent(sent.sensor_id, sent.timestamp_us, self._level(), self._level())

    def _level(self) -> float:
        """A concentration that is exact in binary."""
        return self._random.randrange(1, 400) / 4

    def _send(self, client: httpx.Client, batch: Sequence[Sent]) -> None:
        """Post until it is answered with 202, as a patient gateway does."""
        content = b"\n".join(map(_line, batch))
        self._load.ledger.send(batch)
        while not self._load.ended.is_set():
            if self._post(client, content, len(batch)):
                self._load.ledger.acknowledge(batch)
                return
            time.sleep(AGAIN_AFTER_S)

    def _post(self, client: httpx.Client, content: bytes, readings: int) -> bool:
        headers = {
            "Authorization": f"Bearer {self._load.token}",
            "Content-Type": "application/x-ndjson",
        }
        try:
            answer = client.post(self._load.url, content=content, headers=headers)
        except httpx.TransportError:
            self._load.note("no answer")
            return False
        self._load.note(str(answer.status_code))
        if answer.status_code in _BUSY:
            if "retry-after" not in answer.headers:
                self._load.complain(f"{answer.status_code} without Retry-After")
        elif answer.status_code != 202 or answer.json()["accepted"] != readings:
            self._load.complain(f"{answer.status_code} {answer.text[:300]}")
        return answer.status_code == 202


class Load:
    """Several senders against one node, which may go away and come back."""

    def __init__(
        self, url: str, token: str, *, seed: int, sizes: tuple[int, int], pause_s: float = 0.01
    ) -> None:
        self.url = f"{url}/api/v1/data/ingest"
        self.token = token
        self.seed = seed
        self.name = f"s{seed}"
        self.sizes = sizes
        self.pause_s = pause_s
        self.ledger = Ledger()
        self.answers: Counter[str] = Counter()
        """Answers by status, and how often there was none."""
        self.complaints: list[str] = []
        self.going = threading.Event()
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._senders: list[Sender] = []

    @contextmanager
    def running(self, senders: int = 4) -> Iterator[None]:
        """Send until the block ends; what is unanswered then stays so."""
        self._senders = [Sender(self, number) for number in range(senders)]
        self.going.set()
        for sender in self._senders:
            sender.start()
        try:
            yield
        finally:
            self.ended.set()
            for sender in self._senders:
                sender.join()

    def pause(self) -> None:
        """Send nothing more; return once everything sent was answered with 202."""
        self.going.clear()
        for sender in self._senders:
            sender.idle.clear()
        for sender in self._senders:
            assert sender.idle.wait(ANSWER_WITHIN_S), f"{sender.name} is not answered"

    def resume(self) -> None:
        self.going.set()

    def note(self, answer: str) -> None:
        with self._lock:
            self.answers[answer] += 1

    def complain(self, complaint: str) -> None:
        with self._lock:
            self.complaints.append(complaint)


def _line(sent: Sent) -> bytes:
    values = {"pm25": sent.pm25} | ({} if sent.pm10 is None else {"pm10": sent.pm10})
    seconds, microseconds = divmod(sent.timestamp_us, 1_000_000)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{microseconds:06d}Z"
    location = {"lat": 60.17, "lng": 24.94}
    reading = {"sensor_id": sent.sensor_id, "timestamp": moment, "values": values}
    return msgspec.json.encode(reading | {"location": location})
