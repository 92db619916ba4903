"""tipg, a tile server over PostGIS, in an environment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.postgres import Postgres
from bench.processes import accepts, free_port, running, wait_until
from bench.tools import tipg_python

START_WITHIN_S: Final = 60


@contextmanager
def tipg(postgres: Postgres, log: Path) -> Iterator[int]:
    """Serve `live.latest` with one Uvicorn worker; yields the port."""
    port = free_port()
    words = [tipg_python(), "-m", "uvicorn", "tipg.main:app", "--host", "127.0.0.1"]
    words += ["--port", str(port), "--no-access-log", "--log-level", "warning"]
    environment = {
        "DATABASE_URL": postgres.dsn,
        "TIPG_DB_SCHEMAS": '["live"]',
        "TIPG_MAX_FEATURES_PER_TILE": "10000",
        "PYTHONPATH": "",
    }
    with running(words, log, environment=environment):
        wait_until(lambda: accepts(port), START_WITHIN_S, log)
        yield port


def path_of(z: int, x: int, y: int) -> str:
    """Where tipg serves a tile of the latest readings."""
    return f"/collections/live.latest/tiles/WebMercatorQuad/{z}/{x}/{y}"
