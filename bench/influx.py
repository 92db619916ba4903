"""InfluxDB 1.6 that syncs each write before it acknowledges it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.http import Connection
from bench.processes import accepts, free_port, running, wait_until
from bench.tools import program

DATABASE: Final = "city"
_CONFIG: Final = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
  logging-enabled = false
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  wal-fsync-delay = "0s"
  index-version = "inmem"
  query-log-enabled = false
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
  max-body-size = 0
"""


@dataclass(frozen=True, slots=True)
class Influx:
    """A running server with an empty database."""

    port: int
    pid: int

    @property
    def write_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/write?db={DATABASE}&precision=ns"


@contextmanager
def influx(folder: Path) -> Iterator[Influx]:
    """Run a server on an empty folder."""
    server = program("influxd")
    folder.mkdir(parents=True)
    port, rpc = free_port(), free_port()
    config = folder.parent / f"{folder.name}.conf"
    config.write_text(_CONFIG.format(folder=folder, port=port, rpc=rpc), encoding="ascii")
    log = folder.parent / f"{folder.name}.log"
    with running([server, "-config", str(config)], log) as process:
        wait_until(lambda: accepts(port), 30, log)
        with Connection(port) as connection:
            connection.post(f"/query?q=CREATE+DATABASE+{DATABASE}", b"")
        yield Influx(port, process.pid)
