"""Debian's PostgreSQL with PostGIS on the loopback address, for tests that need a centre."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.processes import free_port, wait_until

OWNER: Final = "postgres"
PASSWORD: Final = "of the tests"
"""The owner's."""
SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "max_wal_senders": "4",
    "wal_level": "replica",
    "autovacuum": "off",
    "shared_preload_libraries": "pg_stat_statements",
}
"""For speed: what is lost with the machine is made anew by the next run."""


class Postgres:
    """A cluster in a folder of `scratch`. Over TCP it asks for passwords; see `PASSWORD`."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.settings = SETTINGS | dict(settings or {})
        self._log = folder / "log"

    def initialise(self) -> None:
        """Make the cluster's files."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        give_to_owner(password)
        words = [*("-D", str(self.data)), "-U", OWNER, "--pwfile", str(password), "--no-sync"]
        words += ["--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8"]
        self.tool("initdb", *words, "--locale", "C.UTF-8")

    @contextmanager
    def running(self) -> Iterator[Postgres]:
        """Serve until the block ends."""
        words = [str(binary("postgres")), "-D", str(self.data), "-p", str(self.port)]
        words += ["-k", str(self.folder)]
        words += [word for item in self.settings.items() for word in ("-c", "=".join(item))]
        with self._log.open("ab") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log, **_as_owner())
        try:
            wait_until(self._answers, 60, self.log)
            yield self
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)

    def dsn(self, database: str, user: str = OWNER, password: str = PASSWORD) -> str:
        """An address over TCP."""
        return make_conninfo(
            host="127.0.0.1", port=self.port, dbname=database, user=user, password=password
        )

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """The owner's connection over the socket; each statement is a transaction of its own."""
        words = make_conninfo(host=str(self.folder), port=self.port, dbname=database, user=OWNER)
        return psycopg.connect(words, autocommit=True)

    def create(self, database: str, template: str = "template1") -> str:
        """Make a database and return its owner's address."""
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(database), sql.Identifier(template)
                )
            )
        return self.dsn(database)

    def tool(self, name: str, *words: str) -> str:
        """Run one of PostgreSQL's programs as the cluster's owner; return what it prints."""
        environment = os.environ | {"PGPASSWORD": PASSWORD}
        done = subprocess.run(
            [str(binary(name)), *words],
            capture_output=True,
            cwd=self.folder,
            env=environment,
            **_as_owner(),
        )
        assert done.returncode == 0, done.stderr.decode()
        return str(done.stdout, "utf-8")

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder, gone afterwards, that PostgreSQL reaches although it refuses to run as root."""
    with tempfile.TemporaryDirectory(prefix="urbanos-postgres-") as name:
        folder = Path(name)
        give_to_owner(folder)
        yield folder


def give_to_owner(path: Path) -> None:
    """Let PostgreSQL reach what root has made, who may keep it from others."""
    if os.geteuid() == 0:
        shutil.chown(path, OWNER, OWNER)


def binary(name: str) -> Path:
    """A program of the newest PostgreSQL that Debian's packages installed."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2])
    )
    return folders[-1] / name


def _as_owner() -> dict[str, Any]:
    return {"user": OWNER, "group": OWNER, "extra_groups": []} if os.geteuid() == 0 else {}
