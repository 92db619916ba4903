"""A real node that is treated badly: killed, stopped in mid-air, started again on the same port."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from tests.faults.ledger import Promise, Verdict, compare, stored
from tests.processes import wait_until
from urbanos_edge import control
from urbanos_edge.settings import Settings

ROOT: Final = Path(__file__).parents[2]
DATABASE: Final = "urbanos.sqlite"
READY_WITHIN_S: Final = 5.0
SERVING_WITHIN_S: Final = 10.0
"""After a fault below it has gone."""
START_WITHIN_S: Final = 30.0
SETTINGS: Final = {
    "announce": False,
    "discover": False,
    "ingest_rate_limit": "1000000/second",
    "disk_reserve_mib": 8,
    "ballast_mib": 4,
}
"""Settings of every victim, as far as this version knows them; its disks are small."""


class NodeEnded(AssertionError):
    """The node ended although nobody told it to."""


def patience() -> float:
    """By how much to extend a limit on a machine that has more to do than processors: ≥ 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Victim:
    """`urbanos-edge serve` with one fault; the log lies beside the data directory's disk."""

    def __init__(self, data_dir: Path, log: Path, port: int | None = None) -> None:
        self.data_dir = data_dir
        self.port = port or quiet_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ready_s: list[float] = []
        """Seconds from start to ready, for each start."""
        self._log = log
        self._client = httpx.Client(timeout=30)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, fault: str = "none", **settings: object) -> None:
        """Start it and return when it says that it is ready."""
        started_s = time.monotonic()
        self.spawn(fault, **settings)
        wait_until(self.is_ready, START_WITHIN_S, self.log)
        self.ready_s.append(time.monotonic() - started_s)

    def spawn(self, fault: str = "none", **settings: object) -> None:
        """Start it and return at once."""
        words = [sys.executable, "-m", "tests.faults.saboteur", fault, "serve"]
        words += ["--data-dir", str(self.data_dir), "--host", "127.0.0.1", "--port", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                words,
                cwd=ROOT,
                env=os.environ | _variables(settings),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def is_ready(self) -> bool:
        if self.has_ended():
            raise NodeEnded(f"the node ended by itself:\n{self.log()}")
        return self.answers("/health/ready")

    def answers(self, path: str) -> bool:
        try:
            return self._client.get(self.url + path).status_code == 200
        except httpx.TransportError:
            return False

    def status(self) -> Any:
        return self._client.get(f"{self.url}/api/v1/status").json()

    def token(self) -> str:
        made = control.request(self.data_dir, "token", {"scope": "gateway"})
        secret: str = made["token"]
        return secret

    def flush(self) -> None:
        control.request(self.data_dir, "flush")

    def verdict(self, promise: Promise) -> Verdict:
        """Flush, and hold the store against what was promised."""
        self.flush()
        return compare(promise, stored(self.data_dir))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop every thread for the length of the block; none is inside the kernel then."""
        os.killpg(self.pid, signal.SIGSTOP)
        try:
            wait_until(self._is_stopped, 30)
            time.sleep(0.02)  # a traced thread may have had one call left
            wait_until(self._is_stopped, 30)
            yield
        finally:
            os.killpg(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """kill -9, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=30)

    def close(self) -> None:
        """Leave nothing behind."""
        self.kill()
        self._client.close()

    def wait_for_end(self, within_s: float) -> int:
        """The exit code, once the fault has ended the process."""
        assert self._process is not None
        return self._process.wait(within_s)

    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")[-4000:]

    def has_said(self, words: str, times: int = 1) -> bool:
        return self._log.read_text(encoding="utf-8").count(words) >= times

    def _is_stopped(self) -> bool:
        tasks = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return all(task.read_text().rpartition(") ")[2][0] in "Tt" for task in tasks)


@contextmanager
def victim(data_dir: Path, log: Path) -> Iterator[Victim]:
    """A node that is not started yet and has ended when the block ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    node = Victim(data_dir, log)
    try:
        yield node
    finally:
        node.close()


def quiet_port() -> int:
    """A free port that no outgoing connection is given, so that it stays free between starts."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def known(settings: dict[str, object]) -> dict[str, object]:
    """Those settings that this version of the node has."""
    return {name: value for name, value in settings.items() if name in Settings.__struct_fields__}


def _variables(settings: dict[str, object]) -> dict[str, str]:
    values = known(dict(SETTINGS)) | settings
    return {f"URBANOS_{name.upper()}": str(value) for name, value in values.items()}
