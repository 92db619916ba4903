"""Schemas: forward, back, and never half-way."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import apsw
import pytest

from tests.readings import reading
from urbanos_edge import database
from urbanos_edge.database import migrate, newest_schema, roll_back
from urbanos_edge.errors import EdgeError
from urbanos_edge.node import Node
from urbanos_edge.schemas import readable_from
from urbanos_edge.settings import Settings

NextVersion = Callable[[str, int], None]
MIGRATIONS = Path(__file__).parents[1] / "migrations" / "edge"


@pytest.fixture
def connection(tmp_path: Path) -> apsw.Connection:
    return apsw.Connection(str(tmp_path / "test.sqlite"))


def schema(connection: apsw.Connection) -> dict[str, object]:
    """Tables, their columns and indexes, however the statements were spelled."""
    described: dict[str, object] = {}
    names = "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
    for kind, name in connection.execute(names).fetchall():
        pragma = "table_xinfo" if kind == "table" else "index_xinfo"
        described[f"{kind} {name}"] = connection.execute(f"PRAGMA {pragma}({name})").fetchall()
    return described


def test_every_step_back_undoes_its_step_forward(connection: apsw.Connection) -> None:
    up, down = sorted(MIGRATIONS.glob("*.up.sql")), sorted(MIGRATIONS.glob("*.down.sql"))
    assert len(up) == len(down) == newest_schema()
    for forward, back in zip(up, down, strict=True):
        assert forward.name.replace(".up.", ".down.") == back.name
        before = schema(connection)
        connection.execute(forward.read_text()).fetchall()
        after = schema(connection)
        assert after != before
        connection.execute(back.read_text()).fetchall()
        assert schema(connection) == before
        connection.execute(forward.read_text()).fetchall()
        assert schema(connection) == after


def test_a_rollback_leaves_the_schema_and_the_rows_that_the_old_release_knew(
    connection: apsw.Connection,
) -> None:
    connection.execute((MIGRATIONS / "0001_initial.up.sql").read_text()).fetchall()
    connection.pragma("user_version", 1)
    old = schema(connection)
    connection.execute("INSERT INTO files VALUES ('a', '2026-01-01', 1, 1, 1, 1, 1, 0, 0, 0, 0)")
    migrate(connection)
    assert connection.pragma("user_version") == newest_schema()
    roll_back(connection, 1)
    assert schema(connection) == old
    assert connection.pragma("user_version") == 1
    assert connection.execute("SELECT path FROM files").fetchall() == [("a",)]
    migrate(connection)
    assert connection.execute("SELECT path, checksum FROM files").fetchall() == [("a", None)]


@pytest.mark.parametrize("version", [-1, 99])
def test_a_rollback_to_no_known_schema_is_refused(
    connection: apsw.Connection, version: int
) -> None:
    migrate(connection)
    with pytest.raises(EdgeError, match="cannot be rolled back"):
        roll_back(connection, version)
    assert connection.pragma("user_version") == newest_schema()


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_migration_that_fails_leaves_the_old_schema_whole(
    connection: apsw.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    direction: str,
) -> None:
    scripts = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, scripts)
    migrate(connection)
    number = newest_schema() + 1
    declared = f"-- Readable from schema {number - 1} on.\n"
    broken = (
        declared
        + "CREATE TABLE half (a); INSERT INTO half VALUES (1); INSERT INTO no_such VALUES (1);"
    )
    texts = {
        "up": f"{declared}CREATE TABLE whole (a);",
        "down": "DROP TABLE whole;",
        direction: broken,
    }
    for name, text in texts.items():
        (scripts / f"{number:04}_next.{name}.sql").write_text(text)
    monkeypatch.setattr(database, "_migrations", lambda: scripts)
    if direction == "down":
        migrate(connection)
    before, version = schema(connection), connection.pragma("user_version")
    with pytest.raises(apsw.SQLError, match="no_such"):
        migrate(connection) if direction == "up" else roll_back(connection, number - 1)
    assert schema(connection) == before
    assert connection.pragma("user_version") == version


def test_every_migration_says_who_can_read_what_it_leaves() -> None:
    for number, script in enumerate(sorted(MIGRATIONS.glob("*.up.sql")), start=1):
        assert 1 <= readable_from(script.read_text(encoding="utf-8")) <= number, script.name


def test_a_migration_that_does_not_say_it_is_refused() -> None:
    with pytest.raises(EdgeError, match="does not say from which schema on"):
        readable_from("CREATE TABLE more (a);\n-- Readable from schema 1 on.\n")


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NextVersion:
    """Writes a migration that this version does not know, and becomes a version that knows it."""

    def become(text: str, readable: int) -> None:
        scripts = tmp_path / "migrations"
        if not scripts.exists():
            shutil.copytree(MIGRATIONS, scripts)
            monkeypatch.setattr(database, "_migrations", lambda: scripts)
        number = newest_schema() + 1
        declared = f"-- Readable from schema {readable} on.\n"
        (scripts / f"{number:04}_next.up.sql").write_text(declared + text)

    return become


def test_the_version_before_opens_and_fills_a_newer_database(
    tmp_path: Path, next_version: NextVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = newest_schema()
    additions = "ALTER TABLE spool ADD COLUMN colour TEXT; CREATE TABLE added (a TEXT) STRICT;"
    next_version(additions, known)
    data_dir = tmp_path / "node"
    data_dir.mkdir()
    node = Node(Settings(), data_dir)
    assert node.database.read().pragma("user_version") == known + 1
    node.close()
    monkeypatch.setattr(database, "_migrations", lambda: MIGRATIONS)
    before = Node(Settings(), data_dir)
    try:
        anyio.run(before.ingest.keep, [reading()])
        anyio.run(before.flush)
        assert sum(file.rows for file in before.store.files) == 1
        assert before.database.read().pragma("user_version") == known + 1
    finally:
        before.close()


def test_a_version_that_a_newer_database_locks_out_says_so(
    connection: apsw.Connection, next_version: NextVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = newest_schema()
    next_version("ALTER TABLE sensors DROP COLUMN source;", known + 1)
    migrate(connection)
    monkeypatch.setattr(database, "_migrations", lambda: MIGRATIONS)
    with pytest.raises(EdgeError, match=f"schema {known + 1}, newer than this version reads"):
        migrate(connection)


def test_a_step_that_closes_the_way_back_waits_for_a_day(
    connection: apsw.Connection, next_version: NextVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Schema 12 runs, then 13, which adds; 14 takes away what only 12 used."""
    known, hour_ns = newest_schema(), 3_600_000_000_000
    now_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns)
    migrate(connection)
    next_version("CREATE TABLE added (a TEXT) STRICT;", known)
    now_ns += 100 * hour_ns
    migrate(connection)
    next_version("ALTER TABLE sensors DROP COLUMN source;", known + 1)
    now_ns += 23 * hour_ns
    with pytest.raises(EdgeError, match=f"the one of schema {known} could not come back"):
        migrate(connection)
    assert connection.pragma("user_version") == known + 1
    now_ns += 2 * hour_ns
    migrate(connection)
    assert connection.pragma("user_version") == known + 2


def test_the_version_that_runs_is_never_locked_out(
    connection: apsw.Connection, next_version: NextVersion
) -> None:
    migrate(connection)
    next_version("DROP TABLE dead_letters;", newest_schema() + 1)
    with pytest.raises(EdgeError, match="could not come back"):
        migrate(connection)
