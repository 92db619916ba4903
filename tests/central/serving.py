"""`central serve` as a process of its own, and a primary with streaming replicas."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.central.conftest import Centre
from tests.postgres import PASSWORD, Postgres, scratch
from tests.processes import LIFTED, START_WITHIN_S, command, free_port, wait_until

READER = "contract_reader"


class CentralProcess:
    """`urbanos-edge central serve` on a port of its own, or on one that it shares."""

    def __init__(
        self, log: Path, dsn: str, replicas: Sequence[str] = (), port: int | None = None
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        words = [*command(), "central", "serve", "--dsn", dsn, "--host", "127.0.0.1"]
        words += ["--port", str(self.port)]
        words += [word for replica in replicas for word in ("--replica", replica)]
        variables = {f"URBANOS_{name.upper()}": value for name, value in LIFTED.items()}
        with log.open("ab") as stream:
            environment = os.environ | variables
            self._process = subprocess.Popen(words, env=environment, stdout=stream, stderr=stream)
        self.client = httpx.Client(base_url=self.url, timeout=30)
        wait_until(self._is_ready, START_WITHIN_S, self.log)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def states(self) -> list[str]:
        """How it sees its servers, the primary first."""
        servers = self.client.get("/api/v1/status").json()["servers"]
        return [server["state"] for server in servers]

    def stop(self) -> int:
        """End it as a service manager would and return its exit code."""
        self.client.close()
        self._process.terminate()
        return self._process.wait(timeout=30)

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self.log()
        try:
            return self.client.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False


def reader_of(centre: Centre) -> str:
    """The address of a login that may only read."""
    if not centre.value("SELECT count(*) FROM pg_roles WHERE rolname = %s", READER):
        centre.owner.execute(
            f"CREATE ROLE {READER} LOGIN PASSWORD '{PASSWORD}' IN ROLE urbanos_reader".encode()
        )
    return centre.postgres.dsn(centre.database, READER)


@contextmanager
def replica_of(primary: Postgres) -> Iterator[Postgres]:
    """A streaming replica on the loopback address."""
    with scratch() as folder:
        replica = Postgres(folder, {"hot_standby": "on"})
        words = ["-D", str(replica.data), "-R", "-X", "stream", "-c", "fast", "--no-sync"]
        replica.tool("pg_basebackup", "-d", primary.dsn("postgres"), *words)
        with replica.running():
            yield replica
