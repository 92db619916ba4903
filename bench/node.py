"""The node under test: `urbanos-edge serve` as a process of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.http import Connection
from bench.processes import NotStarted, end_of, free_port, running, wait_until
from urbanos_edge.control import request
from urbanos_edge.settings import Settings

READY_WITHIN_S: Final = 60
LOADED_WITHIN_S: Final = 120
UNLIMITED: Final = "1000000/second"
CONNECTIONS: Final = 16_384
"""A quarter of them may be of one address, which is that of all here."""


class RunningNode:
    """A node that is ready."""

    def __init__(self, data_dir: Path, port: int, pid: int, ready_s: float) -> None:
        self.data_dir = data_dir
        self.port = port
        self.pid = pid
        self.ready_s = ready_s
        """From the start of the process to the first 200 of /health/ready."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def token(self, scope: str = "gateway") -> str:
        secret: str = request(self.data_dir, "token", {"scope": scope})["token"]
        return secret

    def flush(self) -> None:
        """Store what waits in the spool now, and let the map know."""
        request(self.data_dir, "flush")

    def status(self) -> dict[str, Any]:
        with Connection(self.port) as connection:
            status: dict[str, Any] = msgspec.json.decode(connection.get("/api/v1/status").body)
        return status

    def wait_until_loaded(self) -> None:
        """Return once the readings of the last 24 hours are in its memory."""
        deadline_s = time.monotonic() + LOADED_WITHIN_S
        while self.status()["recent"]["is_loading"]:
            if time.monotonic() > deadline_s:
                raise NotStarted("the last 24 hours were not loaded in time")
            time.sleep(0.2)

    def spool_depth(self) -> int:
        return int(self.status()["spool"]["readings"])


@contextmanager
def node(data_dir: Path, *flags: str, **settings: object) -> Iterator[RunningNode]:
    """Serve a data directory until the block ends.

    Limits of requests are lifted: all of them come from one client here.
    """
    port = free_port()
    words = [sys.executable, "-m", "urbanos_edge", "serve", "--data-dir", str(data_dir), *flags]
    words += ["--host", "127.0.0.1", "--port", str(port)]
    with served(words, data_dir, port, settings) as ready:
        yield ready


@contextmanager
def served(
    words: Sequence[str],
    data_dir: Path,
    port: int,
    settings: Mapping[str, object],
    *,
    descriptors: Sequence[int] = (),
) -> Iterator[RunningNode]:
    """Run a program that serves a data directory at a port, and has these descriptors."""
    log, environment = data_dir.parent / f"{data_dir.name}.log", _environment(settings)
    started_s = time.monotonic()
    with running(words, log, environment=environment, descriptors=descriptors) as process:
        wait_until(_is_ready(port, log, process.poll), READY_WITHIN_S, log)
        yield RunningNode(data_dir, port, process.pid, time.monotonic() - started_s)


def _environment(settings: Mapping[str, object]) -> dict[str, str]:
    limits = [name for name in Settings.__struct_fields__ if name.endswith("rate_limit")]
    lifted = {**dict.fromkeys(limits, UNLIMITED), "max_connections": CONNECTIONS}
    values = {"announce": False, "discover": False, **lifted, **settings}
    return {f"URBANOS_{name.upper()}": str(value) for name, value in values.items()}


def _is_ready(port: int, log: Path, poll: Callable[[], int | None]) -> Callable[[], bool]:
    def ask() -> bool:
        if poll() is not None:
            raise NotStarted(f"the node ended at its start: {end_of(log)}")
        try:
            with Connection(port) as connection:
                return connection.get("/health/ready").status == 200
        except OSError:
            return False

    return ask
