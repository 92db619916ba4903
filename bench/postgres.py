"""PostgreSQL with PostGIS holding the source design, loaded with the rows of a data directory."""

from __future__ import annotations

import os
import re
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
import numpy as np

from bench.dataset import Places
from bench.processes import free_port, running, wait_until
from bench.tools import postgres_binary, program
from urbanos_edge.clock import DAY_US, HOUR_US
from urbanos_edge.store.store import day_of

SQL: Final = Path(__file__).parent / "sql"
USER: Final = "postgres"
SETTINGS: Final = {
    "shared_buffers": "2GB",
    "effective_cache_size": "4GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "8GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "listen_addresses": "127.0.0.1",
}
"""What an administrator would set on this machine; tables are vacuumed and analysed once loaded."""
_COLUMNS: Final = (
    "grid_id, location, timestamp, aqi_value, pm25_aqi, pm10_aqi, o3_aqi, no2_aqi, so2_aqi, co_aqi,"
    " source, pollution_type, level, created_date"
)
_TIMING: Final = re.compile(r"^Time: ([\d.]+) ms", re.MULTILINE)
_EARTH_M: Final = 6_378_137.0


class Postgres:
    """A running cluster; statements go through psql, whose clock is the one that counts."""

    def __init__(self, folder: Path, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid
        self.folder = folder

    @property
    def dsn(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def run(self, sql: str) -> str:
        """Run statements and return what they print, unaligned."""
        done = subprocess.run(
            [*self.client(), "-A", "-t"], input=sql, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"PostgreSQL refused: {done.stderr[-1000:]}")
        return done.stdout.strip()

    def timed(self, prepare: str, statements: Sequence[str]) -> list[float]:
        """Run `prepare`, then each statement; return the milliseconds of each, rows received."""
        script = "\n".join([prepare, "\\o /dev/null", "\\timing on", *statements])
        printed = self.run(script)
        return [float(found) for found in _TIMING.findall(printed)]

    def peak_mib(self) -> float:
        """The shared memory and the processes of the cluster, proportionally, in MiB."""
        pids = [self.pid, *_children(self.pid)]
        return sum(_proportional_kib(pid) for pid in pids) / 1024

    def client(self) -> list[str]:
        """The words of a psql that is connected to it."""
        words = [str(postgres_binary("psql")), "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        return [*words, "-h", str(self.folder), "-p", str(self.port), "-U", USER, "postgres"]


@contextmanager
def cluster(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Postgres]:
    """Run a cluster in a folder; made there when the folder is empty.

    `settings` take the place of some of `SETTINGS`.
    """
    server = program("postgres")
    user = USER if os.geteuid() == 0 else None
    folder.mkdir(parents=True, exist_ok=True)
    if user is not None:
        shutil.chown(folder, user)
    log = folder.parent / f"{folder.name}.log"
    if not (folder / "data" / "PG_VERSION").exists():
        _initialise(folder, user)
    port = free_port()
    words = [server, "-D", str(folder / "data"), "-k", str(folder), "-p", str(port)]
    for name, value in {**SETTINGS, **(settings or {})}.items():
        words += ["-c", f"{name}={value}"]
    with running(words, log, user=user, stop_by=signal.SIGINT) as process:
        postgres = Postgres(folder, port, process.pid)
        wait_until(lambda: _answers(postgres, process), 30, log)
        yield postgres


def _answers(postgres: Postgres, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise RuntimeError("PostgreSQL ended at its start")
    try:
        return postgres.run("SELECT 1") == "1"
    except RuntimeError:
        return False


def _initialise(folder: Path, user: str | None) -> None:
    words = [str(postgres_binary("initdb")), "-D", str(folder / "data"), "-U", USER, "-A", "trust"]
    words += ["-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
    as_user = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"] if user else []
    subprocess.run([*as_user, *words], check=True, capture_output=True, cwd=folder)


def load_readings(postgres: Postgres, data_dir: Path, spots: Places, days: int = 1) -> None:
    """Fill `pollution_data` with the readings of the last days, and index it."""
    began_us = time.time_ns() // 1000
    since_us = began_us - began_us % HOUR_US - days * DAY_US
    postgres.run((SQL / "source_design.sql").read_text(encoding="utf-8"))
    with duckdb.connect() as engine:
        _know_places(engine, spots)
        for folder in sorted((data_dir / "readings").glob("created_date=*")):
            day = folder.name.removeprefix("created_date=")
            if day >= day_of(since_us):
                _load_day(postgres, engine, folder, day, since_us)
    postgres.run((SQL / "source_indexes.sql").read_text(encoding="utf-8"))
    postgres.run("VACUUM ANALYZE pollution_data; CHECKPOINT")


def load_latest(postgres: Postgres, data_dir: Path, spots: Places) -> None:
    """Fill `live.latest` with the newest reading of each sensor."""
    postgres.run("CREATE EXTENSION IF NOT EXISTS postgis")
    postgres.run((SQL / "latest.sql").read_text(encoding="utf-8"))
    files = sorted((data_dir / "readings").glob("created_date=*/*.parquet"))
    with duckdb.connect() as engine:
        _know_places(engine, spots)
        with _csv(postgres, engine, "latest_rows", {"files": [str(file) for file in files]}) as csv:
            postgres.run(f"COPY live.latest FROM '{csv}' (FORMAT csv)")
    postgres.run("CREATE INDEX ON live.latest USING GIST (geom); VACUUM ANALYZE live.latest")


def _load_day(
    postgres: Postgres, engine: duckdb.DuckDBPyConnection, folder: Path, day: str, since_us: int
) -> None:
    name = f"pollution_data_{day.replace('-', '_')}"
    files = [str(file) for file in sorted(folder.glob("*.parquet"))]
    parameters = {"files": files, "day": day, "since_us": since_us}
    with _csv(postgres, engine, "source_rows", parameters) as csv:
        postgres.run(
            f"BEGIN; CREATE TABLE {name} PARTITION OF pollution_data"
            f" FOR VALUES FROM ('{day}') TO (date '{day}' + 1);"
            f" COPY {name} ({_COLUMNS}) FROM '{csv}' (FORMAT csv); COMMIT"
        )


@contextmanager
def _csv(
    postgres: Postgres,
    engine: duckdb.DuckDBPyConnection,
    name: str,
    parameters: dict[str, object],
) -> Iterator[Path]:
    """What a statement selects, as a file that the server can read."""
    path = postgres.folder / "rows.csv"
    statement = (SQL / f"{name}.sql").read_text(encoding="utf-8")
    engine.execute(statement.replace("{target}", f"'{path}'"), parameters)
    path.chmod(0o644)
    try:
        yield path
    finally:
        path.unlink()


def _know_places(engine: duckdb.DuckDBPyConnection, spots: Places) -> None:
    """The table `places`: each sensor's point as EWKB in hex, in degrees and in metres."""
    x = np.radians(spots.lng) * _EARTH_M
    y = np.arctanh(np.sin(np.radians(spots.lat))) * _EARTH_M
    engine.execute("CREATE TABLE places (id VARCHAR, location VARCHAR, mercator VARCHAR)")
    rows = zip(
        spots.ids,
        map(_ewkb, spots.lng.tolist(), spots.lat.tolist(), [4326] * len(x)),
        map(_ewkb, x.tolist(), y.tolist(), [3857] * len(x)),
        strict=True,
    )
    engine.executemany("INSERT INTO places VALUES (?, ?, ?)", [list(row) for row in rows])


def _ewkb(x: float, y: float, srid: int) -> str:
    """A point in PostGIS's extended well-known binary, in hex: type 1 with the flag for an SRID."""
    return struct.pack("<BIIdd", 1, 0x20000001, srid, x, y).hex()


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text(encoding="ascii").split()]


def _proportional_kib(pid: int) -> int:
    """Memory with shared pages counted by their share (Pss)."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:  # it has just ended
        return 0
    lines = [line for line in rollup.splitlines() if line.startswith("Pss:")]
    return int(lines[0].split()[1])
