"""A real node as a process of its own, and HTTP to it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from urbanos_edge import control

START_WITHIN_S = 30.0
LIFTED = {"rate_limit": "1000000/second", "tile_rate_limit": "1000000/second"}
"""All tests of a node are one client."""


class NodeProcess:
    """`urbanos-edge serve` on a free port or this one; `stop` and `kill` end it by its id.

    `program` stands for `urbanos-edge` where that is wanted with a fault or a clock of its own;
    `listeners` are handed over to it as systemd hands over sockets, and `variables` are set for it.
    """

    def __init__(
        self,
        data_dir: Path,
        settings: Mapping[str, object],
        program: Sequence[str] | None = None,
        listeners: Sequence[socket.socket] = (),
        variables: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.port = listeners[0].getsockname()[1] if listeners else port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = data_dir.parent / f"{data_dir.name}.log"
        values = {"announce": False, "discover": False, **LIFTED, **settings}
        own = {f"URBANOS_{name.upper()}": str(value) for name, value in values.items()}
        words = [*(program or command()), "serve", "--data-dir", str(data_dir)]
        words += ["--host", "127.0.0.1", "--port", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_handing_over(listeners), *words],
                env=os.environ | own | dict(variables or {}),
                pass_fds=[listener.fileno() for listener in listeners],
                stdout=log,
                stderr=log,
            )
        self.client = httpx.Client(base_url=self.url, timeout=30)
        try:
            wait_until(self._is_ready, START_WITHIN_S, self.log)
        except AssertionError:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def token(self, scope: str = "gateway", sensor: str | None = None) -> str:
        """A new token's secret, asked for on the control socket."""
        secret: str = self.ask("token", {"scope": scope, "sensor": sensor})["token"]
        return secret

    def ask(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """What the command line would be answered, without starting it."""
        return control.request(self.data_dir, command, arguments)

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line on this node's directory."""
        words = [*command(), *arguments, "--data-dir", str(self.data_dir)]
        return subprocess.run(words, capture_output=True, text=True, check=check, timeout=60)

    def post(self, content: Any, token: str, **headers: str) -> httpx.Response:
        """POST to the ingest door: bytes as they are, anything else as JSON."""
        all_headers = {"Authorization": f"Bearer {token}", **headers}
        path = "/api/v1/data/ingest"
        if isinstance(content, bytes):
            return self.client.post(path, content=content, headers=all_headers)
        return self.client.post(path, json=content, headers=all_headers)

    def status(self) -> Any:
        return self.client.get("/api/v1/status").json()

    def flush(self) -> None:
        """Have everything that waits in the spool stored now."""
        self.ask("flush")

    def stop(self) -> int:
        """End it as a service manager would and return its exit code."""
        self.client.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def kill(self) -> None:
        """End it as a power cut would, as far as a process can tell."""
        self.client.close()
        self._process.kill()
        self._process.wait(timeout=30)

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"the node ended at its start:\n{self.log()}")
        try:
            return self.client.get("/health/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


def _handing_over(listeners: Sequence[socket.socket]) -> list[str]:
    """What makes these sockets the descriptors from 3 on of the command behind it."""
    if not listeners:
        return []
    moved = " ".join(f"{3 + n}<&{one.fileno()}" for n, one in enumerate(listeners))
    script = f'export LISTEN_PID=$$ LISTEN_FDS={len(listeners)}; exec "$@" {moved}'
    return ["bash", "-c", script, "bash"]


def command() -> list[str]:
    return [sys.executable, "-m", "urbanos_edge"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(
    is_true: Callable[[], object], within_s: float, explain: Callable[[], str] = str
) -> None:
    """Return as soon as the condition holds; fail with an explanation when it never does."""
    deadline_s = time.monotonic() + within_s
    while not is_true():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not true within {within_s} s\n{explain()}")
        time.sleep(0.02)
