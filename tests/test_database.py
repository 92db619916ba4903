"""One writer, durable groups, and works that fail alone."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import apsw
import pytest

from urbanos_edge.database import Database, Work, migrate
from urbanos_edge.errors import DiskFull, EdgeError, Unavailable

MIGRATIONS = Path(__file__).parents[1] / "migrations" / "edge"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "test.sqlite")
    yield opened
    opened.close()


def put(name: str, value: str) -> str:
    return f"INSERT INTO totals VALUES ('{name}', '{value}')"


def names(path: Path) -> set[str]:
    """What another process would read after a crash at this moment."""
    with sqlite3.connect(path) as other:
        return {row[0] for row in other.execute("SELECT outcome FROM totals")}


def test_a_write_is_on_the_disk_when_it_returns(database: Database, tmp_path: Path) -> None:
    database.write_and_wait(lambda connection: connection.execute(put("a", "1")))
    assert names(tmp_path / "test.sqlite") == {"a"}


def test_a_commit_reaches_the_disk_before_it_is_answered(database: Database) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys", "journal_size_limit")

    def pragmas(connection: apsw.Connection) -> list[object]:
        return [connection.pragma(name) for name in names]

    full = 2
    assert database.write_and_wait(pragmas) == ["wal", full, 1, 64 << 20]


def test_a_work_that_fails_takes_nothing_else_with_it(database: Database, tmp_path: Path) -> None:
    def note(name: str) -> Work[None]:
        def work(connection: apsw.Connection) -> None:
            connection.execute(put(name, "1"))

        return work

    def fail(connection: apsw.Connection) -> None:
        note("half")(connection)
        raise EdgeError("on purpose")

    async def all_at_once() -> list[object]:
        works = [
            database.write(note("before")),
            database.write(fail),
            database.write(note("after")),
        ]
        return list(await asyncio.gather(*works, return_exceptions=True))

    outcomes = anyio.run(all_at_once)
    assert [type(outcome) for outcome in outcomes] == [type(None), EdgeError, type(None)]
    assert names(tmp_path / "test.sqlite") == {"before", "after"}


def test_a_full_disk_refuses_the_whole_group_and_later_ones_go_on(database: Database) -> None:
    def fill(connection: apsw.Connection) -> None:
        connection.pragma("max_page_count", connection.pragma("page_count"))
        connection.execute("INSERT INTO spool (readings, payload) VALUES (1, zeroblob(1000000))")

    with pytest.raises(DiskFull):
        database.write_and_wait(fill)
    database.write_and_wait(lambda connection: connection.pragma("max_page_count", 1 << 30))
    database.write_and_wait(lambda connection: connection.execute(put("later", "1")))


def test_a_waiting_write_that_is_given_up_does_not_stop_the_writer(database: Database) -> None:
    async def give_up() -> None:
        with anyio.move_on_after(0):
            await database.write(lambda connection: connection.execute(put("given up", "1")))

    anyio.run(give_up)
    database.write_and_wait(lambda connection: connection.execute(put("next", "1")))


def test_each_migration_goes_forward_and_back(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "test.sqlite"))
    tables = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    migrate(connection)
    assert connection.execute(tables).fetchall()
    for script in sorted(MIGRATIONS.glob("*.down.sql"), reverse=True):
        connection.execute(script.read_text())
    assert connection.execute(tables).fetchall() == []
    assert len(list(MIGRATIONS.glob("*.up.sql"))) == len(list(MIGRATIONS.glob("*.down.sql")))


def test_data_of_a_newer_version_is_refused_with_a_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "test.sqlite"
    Database(path).close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 999")
    with pytest.raises(EdgeError, match="schema 999, newer than this version reads"):
        Database(path)


def test_what_threads_read_by_is_closed_when_they_have_ended(database: Database) -> None:
    """The pool for blocking calls ends its idle threads and begins others, for years."""

    def look() -> None:
        database.read().execute("SELECT 1").fetchall()

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    look()
    before = descriptors()
    for _ in range(50):
        reader = threading.Thread(target=look)
        reader.start()
        reader.join()
    assert descriptors() <= before + 3


def test_what_comes_after_the_end_is_refused_and_does_not_wait_for_ever(tmp_path: Path) -> None:
    closed = Database(tmp_path / "closed.sqlite")
    closed.close()

    async def late() -> None:
        with anyio.fail_after(5):
            await closed.write(lambda connection: None)

    with pytest.raises(Unavailable, match="stops"):
        anyio.run(late)
    with pytest.raises(Unavailable, match="stops"):
        closed.read()
