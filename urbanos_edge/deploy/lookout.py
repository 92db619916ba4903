"""Whether a node does as well as before: the same requests again and again, and its own count.

It is asked from outside, so that a node that is not there counts as one that fails, and seldom
enough for the limit of requests per client.
"""

from __future__ import annotations

import re
import time
from collections import deque
from pathlib import Path
from typing import Final

import httpx
import msgspec

from urbanos_edge import control
from urbanos_edge.deploy.comparison import percentile, shape
from urbanos_edge.deploy.rehearsal import ALWAYS_ASKED
from urbanos_edge.errors import EdgeError, why_unreached

PROBES: Final = 20
"""Targets that are asked in turn: some that every node answers, and the latest of its users."""
JUDGED: Final = 15
"""Answers, the newest, that say how the node is."""
TOO_MANY: Final = 4
"""Of them that failed, lacked what was there before, or took too long."""
SLOWER: Final = 5.0
"""How many times as long as 95 % before, and `GRACE_S` more, is too long."""
GRACE_S: Final = 0.5
ANSWER_WITHIN_S: Final = 5.0
FAILED_SHARE: Final = 0.05
"""Of all that the node has answered since its start, and `FAILED_ANSWERS` at least."""
FAILED_ANSWERS: Final = 20
_COUNTED: Final = re.compile(
    r'^http_requests_total\{.*status_code="(\d)\d\d".*\} (\S+)$', re.MULTILINE
)


class Probe(msgspec.Struct, frozen=True):
    """A target, and what its answer had in it before."""

    target: str
    fields: frozenset[str]


class Baseline(msgspec.Struct, frozen=True):
    """What a node was like."""

    reader: control.Reader
    p95_s: float
    probes: list[Probe]


class Lookout:
    """Looks at a node, and knows how it was."""

    def __init__(self, baseline: Baseline) -> None:
        self._node = _client(baseline.reader)
        self._baseline = baseline
        self._patience_s = SLOWER * baseline.p95_s + GRACE_S
        self._turn = 0
        self._faults: deque[str | None] = deque(maxlen=JUDGED)

    def close(self) -> None:
        """End the connection to it."""
        self._node.close()

    def look(self) -> str | None:
        """Ask once; what is wrong with the node, once that is sure."""
        probe = self._baseline.probes[self._turn % len(self._baseline.probes)]
        self._turn += 1
        began_s = time.perf_counter()
        fault = self._fault(probe)
        took_s = time.perf_counter() - began_s
        if fault is None and took_s > self._patience_s:
            fault = f"took {took_s:.1f} s; 95 % took up to {self._baseline.p95_s:.2f} s before"
        self._faults.append(fault and f"{probe.target} {fault}")
        found = [each for each in self._faults if each is not None]
        if len(found) >= TOO_MANY:
            return f"of the last {len(self._faults)} answers {len(found)} were bad: {found[-1]}"
        return self._failing()

    def _fault(self, probe: Probe) -> str | None:
        try:
            got = self._node.get(probe.target)
        except httpx.HTTPError as error:
            return f"was not answered ({why_unreached(error)})"
        if got.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return None
        if got.status_code != httpx.codes.OK:
            return f"was answered with {got.status_code}"
        lost = probe.fields - _fields(got)
        return f"lacked {min(lost)}" if lost else None

    def _failing(self) -> str | None:
        """What the node says of its answers to others."""
        try:
            text = self._node.get("/metrics").text
        except httpx.HTTPError:
            return None  # the probe has met it, too
        counts = [(kind, float(number)) for kind, number in _COUNTED.findall(text)]
        answered = sum(number for _, number in counts)
        failed = sum(number for kind, number in counts if kind == "5")
        if failed < max(FAILED_ANSWERS, FAILED_SHARE * answered):
            return None
        return f"{failed:.0f} of {answered:.0f} requests were answered with 5xx"


def look_first(data_dir: Path) -> Baseline:
    """What the node that owns a directory is like now.

    Raises:
        EdgeError: it does not run, or answers nothing.
    """
    reader = control.may_read(data_dir, "deploy watch", ANSWER_WITHIN_S)
    try:
        return _seen_with(reader, data_dir)
    except BaseException:
        control.reads_no_more(data_dir, reader.token_id)
        raise


def _seen_with(reader: control.Reader, data_dir: Path) -> Baseline:
    lately = dict.fromkeys(reversed(control.request(data_dir, "recent_gets")))
    targets = [*ALWAYS_ASKED, *(target for target in lately if target not in ALWAYS_ASKED)]
    probes, took_s = [], []
    with _client(reader) as client:
        for target in targets[:PROBES]:
            began_s = time.perf_counter()
            try:
                got = client.get(target)
            except httpx.HTTPError:
                continue
            if got.status_code == httpx.codes.OK:
                took_s.append(time.perf_counter() - began_s)
                probes.append(Probe(target, frozenset(_fields(got))))
    if not probes:
        raise EdgeError("the version in use answers nothing; see its log")
    return Baseline(reader, percentile(took_s, 0.95), probes)


def _fields(got: httpx.Response) -> set[str]:
    if not got.headers.get("content-type", "").startswith("application/json"):
        return set()
    try:
        return shape(got.json())
    except ValueError:
        return set()


def _client(reader: control.Reader) -> httpx.Client:
    return httpx.Client(
        base_url=reader.url, headers=reader.headers, timeout=ANSWER_WITHIN_S, trust_env=False
    )
