"""Schemas: forward, back, and never half-way."""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest

from urbanos_edge import database
from urbanos_edge.database import migrate, newest_schema, roll_back
from urbanos_edge.errors import EdgeError

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
    broken = "CREATE TABLE half (a); INSERT INTO half VALUES (1); INSERT INTO no_such VALUES (1);"
    texts = {"up": "CREATE TABLE whole (a);", "down": "DROP TABLE whole;", direction: broken}
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
