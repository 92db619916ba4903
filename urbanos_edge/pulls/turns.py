"""One source that is fetched: when its turn is, what came of it, and what it has said already."""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import anyio
import msgspec

from urbanos_edge.adapters import Candidate, Malformed, Message
from urbanos_edge.clock import SECOND_US
from urbanos_edge.errors import EdgeError
from urbanos_edge.feeds import Feed, Kind
from urbanos_edge.ingest.receipt import Receipt
from urbanos_edge.pulls.errands import Errand, errand_of
from urbanos_edge.pulls.fetching import LONGEST_WAIT_S, FetchFailed, Marks
from urbanos_edge.pulls.samples import PERIOD_S, Samples

MAX_SAID: Final = 20_000
"""Elements of a source that are remembered, so that what it repeats costs nothing."""
LONGEST_PAUSE_S: Final = 300.0
"""Of a source that fails; four of its intervals if that is longer."""
_log = logging.getLogger(__name__)


class Standing(msgspec.Struct, frozen=True):
    """How a source stands, for people; of its address the host is told, the rest may be secret.

    `samples` is how many the last mean was made of. All counts are since the start, but `failures`
    of those in a row.
    """

    name: str
    kind: Kind
    host: str
    found: bool
    every_s: float
    succeeded_at_us: int | None
    next_at_us: int
    failures: int
    failure: str | None
    accepted: int
    held: int
    refused: int
    left_out: int
    samples: int


class Kept(msgspec.Struct, frozen=True):
    """What outlives a restart."""

    name: str
    fingerprint: bytes
    etag: str
    modified: str
    succeeded_at_us: int | None
    failures: int
    failure: str | None
    next_at_us: int


class Said:
    """The newest elements that a source said; the oldest is forgotten when it is full."""

    def __init__(self) -> None:
        self._order: deque[bytes] = deque()
        self._known: set[bytes] = set()

    def news(self, message: Message) -> Message:
        """What was not said before; what names no time always is."""
        return [one for one in message if _has_no_time(one) or _digest(one) not in self._known]

    def remember(self, message: Message) -> None:
        digests = dict.fromkeys(_digest(one) for one in message if not _has_no_time(one))
        for digest in [digest for digest in digests if digest not in self._known]:
            self._order.append(digest)
            self._known.add(digest)
            if len(self._order) > MAX_SAID:
                self._known.discard(self._order.popleft())


@dataclass(slots=True, eq=False)
class Turn:
    """One source; `next_s` is of a clock that never jumps."""

    feed: Feed
    label: str
    errand: Errand
    is_found: bool = False
    samples: Samples | None = None
    marks: Marks = Marks()
    said: Said = field(default_factory=Said)
    next_s: float = 0.0
    succeeded_us: int | None = None
    failures: int = 0
    """In a row."""
    failure: str | None = None
    failed: int = 0
    accepted: int = 0
    held: int = 0
    refused: int = 0
    refusal: str | None = None
    """Why nothing of its last news was taken, if that was so."""
    left_out: int = 0
    """Said of sensors that are not this source's."""
    senders: frozenset[str] = frozenset()
    """Of a monitor: what it calls itself."""
    ended: anyio.Event | None = None
    """While it is being asked."""

    def sampled(self, message: Message, *, is_hurried: bool) -> Message:
        """Of a monitor that shows moments the minutes that are over; of any other what it said."""
        if self.samples is None:
            return message
        now_s = time.monotonic()
        samples = [one for one in message if isinstance(one, Candidate)]
        means = [self.samples.add(sample, now_s) for sample in samples]
        if is_hurried:
            means.append(self.samples.close())
        return [one for one in means if one is not None]

    def note_receipt(self, receipt: Receipt) -> None:
        self.accepted += receipt.accepted
        self.held += receipt.held
        self.refused += len(receipt.refused)
        is_taken = receipt.accepted or receipt.held or receipt.ignored
        self.refusal = None if is_taken else receipt.refused[0].message

    def note_success(self, began_s: float, now_us: int) -> None:
        if self.failures:
            _log.info("%s is fetched again", self.label)
        self.failures, self.failure = 0, None
        self.succeeded_us = now_us
        self.next_s = began_s + self.feed.interval_s

    def note_failure(self, error: EdgeError) -> None:
        """Wait twice as long as the last time, not in step with other nodes, and as asked for."""
        self.failures += 1
        self.failed += 1
        self.failure = error.message
        interval_s = self.feed.interval_s
        doubled_s = interval_s * 2.0 ** min(self.failures, 30)
        pause_s = min(doubled_s, max(LONGEST_PAUSE_S, 4 * interval_s))
        if isinstance(error, FetchFailed):
            pause_s = max(pause_s, error.wait_s)
        self.next_s = time.monotonic() + pause_s * random.uniform(1.0, 1.25)
        if self.failures == 1:
            _log.warning("%s could not be fetched: %s", self.label, error.message)

    def next_us(self, now_us: int) -> int:
        return now_us + round(max(self.next_s - time.monotonic(), 0.0) * SECOND_US)

    def kept(self, now_us: int) -> Kept:
        return Kept(
            name=self.label,
            fingerprint=_fingerprint(self.feed),
            etag=self.marks.etag,
            modified=self.marks.modified,
            succeeded_at_us=self.succeeded_us,
            failures=self.failures,
            failure=self.failure,
            next_at_us=self.next_us(now_us),
        )

    def resume(self, kept: Kept, now_us: int, *, is_sure: bool) -> None:
        """Go on where the process before ended, unless it was another source or read otherwise.

        By a clock that is behind, what is due would not be for months. So the wait that is left
        counts only if the clock `is_sure`, and after a success only up to the interval. What a
        server has asked for after a failure is not kept, so that may be as long as any.
        """
        if kept.fingerprint != _fingerprint(self.feed):
            return
        self.marks = Marks(kept.etag, kept.modified)
        self.succeeded_us = kept.succeeded_at_us
        self.failures, self.failure = kept.failures, kept.failure
        longest_s = LONGEST_WAIT_S if kept.failures else self.feed.interval_s
        wait_s = (kept.next_at_us - now_us) / SECOND_US if is_sure else 0.0
        self.next_s = time.monotonic() + min(max(wait_s, 0.0), longest_s)

    def standing(self, now_us: int) -> Standing:
        return Standing(
            name=self.label,
            kind=self.feed.kind,
            host=urlsplit(self.feed.url).hostname or "",
            found=self.is_found,
            every_s=self.feed.interval_s,
            succeeded_at_us=self.succeeded_us,
            next_at_us=self.next_us(now_us),
            failures=self.failures,
            failure=self.failure,
            accepted=self.accepted,
            held=self.held,
            refused=self.refused,
            left_out=self.left_out,
            samples=self.samples.averaged if self.samples else 0,
        )


def turn_of(feed: Feed) -> Turn:
    """The turn of a source of the settings."""
    return Turn(feed, feed.label, errand_of(feed), samples=_samples(feed))


def turn_of_found(feed: Feed, sensor_id: str) -> Turn:
    """The turn of a monitor that was found, called as its readings are."""
    return Turn(feed, sensor_id, errand_of(feed), is_found=True, samples=_samples(feed))


def senders(message: Message) -> Iterator[str]:
    """What those who sent it call themselves."""
    return (one.sensor_id for one in message if isinstance(one, Candidate) and one.sensor_id)


def _samples(feed: Feed) -> Samples | None:
    """PurpleAir averages itself; AirGradient shows what it measured just now."""
    is_moments = feed.kind == "airgradient" and feed.interval_s < PERIOD_S
    return Samples() if is_moments else None


def _fingerprint(feed: Feed) -> bytes:
    """What a source is and how it is read, without how often, and without its key."""
    same = msgspec.structs.replace(feed, name="", every_s=0, timeout_s=1, key="")
    return hashlib.sha256(msgspec.json.encode(same)).digest()


def _has_no_time(element: Candidate | Malformed) -> bool:
    return isinstance(element, Candidate) and element.timestamp is None


def _digest(element: Candidate | Malformed) -> bytes:
    text = element.payload if isinstance(element, Malformed) else msgspec.json.encode(element)
    return hashlib.blake2b(text, digest_size=16).digest()
