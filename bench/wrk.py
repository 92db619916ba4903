"""Load from wrk, a process of its own, with its answer as numbers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from bench.processes import NotStarted, stop
from bench.tools import program

LUA: Final = Path(__file__).parent / "lua"
TIMEOUT_S: Final = 30


class Load(msgspec.Struct):
    """What one run of wrk saw; percentiles in milliseconds."""

    requests: int
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    refused: int
    """Answers of 400 and above."""
    broken: int
    """Connections that failed, broke or timed out."""
    statuses: dict[str, int] = {}
    misses: int = 0

    @property
    def per_s(self) -> float:
        return self.requests / self.seconds


def load(
    url: str,
    script: str,
    *,
    connections: int,
    duration_s: float,
    settings: Mapping[str, str] | None = None,
) -> Load:
    """Run one wrk thread with `lua/<script>.lua` for a while; the script reads `settings`."""
    with started(
        url, script, connections=connections, duration_s=duration_s, settings=settings
    ) as running:
        return finish(running, duration_s)


@contextmanager
def started(
    url: str,
    script: str,
    *,
    connections: int,
    duration_s: float,
    settings: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Begin such a run; hand the process to `finish` before the block ends."""
    words = [program("wrk"), "-t1", f"-c{connections}", f"-d{max(round(duration_s), 1)}s"]
    words += ["--timeout", f"{TIMEOUT_S}s", "-s", str(LUA / f"{script}.lua"), url]
    running = subprocess.Popen(
        words,
        env=os.environ | {"BENCH_LUA": str(LUA)} | dict(settings or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield running
    finally:
        stop(running)


def finish(running: subprocess.Popen[str], duration_s: float) -> Load:
    """Wait for a run and read its last line.

    Raises:
        NotStarted: wrk failed.
    """
    output, _ = running.communicate(timeout=duration_s + 2 * TIMEOUT_S)
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise NotStarted(f"wrk failed:\n{output[-2000:]}")
    return msgspec.convert(json.loads(lines[-1]), Load)
