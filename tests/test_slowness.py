"""Statements that took long are written down, with their plan; quick ones are not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from urbanos_edge.database import Database
from urbanos_edge.engine import Engine
from urbanos_edge.node import Node
from urbanos_edge.slowness import Slowness

ANY = 1e-9
"""Seconds that every statement takes."""


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.endswith("slowness")]


@pytest.fixture(autouse=True)
def _informed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "urbanos_edge.slowness")


def engine(folder: Path, threshold_s: float) -> Engine:
    return Engine(128, folder / "duckdb", [folder], Slowness(threshold_s))


def test_a_slow_statement_of_duckdb_is_written_down_with_its_plan(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = engine(tmp_path, ANY)
    with opened.cursor() as cursor:
        found = cursor.execute(
            "SELECT a.range FROM range($n) a\n WHERE a.range > 5 ORDER BY 1 DESC LIMIT 2",
            {"n": 10},
        ).fetchall()
    opened.close()
    assert found == [(9,), (8,)]
    (line,) = lines(caplog)
    assert "SELECT a.range FROM range($n) a WHERE a.range > 5" in line
    plan = line.partition("plan: ")[2]
    assert plan.index("TOP_N") < plan.index("FILTER") < plan.index("RANGE")


def test_a_statement_is_told_by_its_comment_and_once_whatever_its_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = engine(tmp_path, ANY)
    with opened.cursor() as cursor:
        for number in range(3):
            cursor.execute(f"SELECT * FROM (\n -- Rows of\n  -- a day.\n SELECT {number})")
    opened.close()
    (line,) = lines(caplog)
    assert "ms: Rows of a day; plan: " in line


def test_the_time_counts_until_the_rows_are_fetched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """DuckDB does the work of a long result while it is fetched; the quickest start of three."""
    sql = "SELECT md5(range::VARCHAR) FROM range(200000)"
    for is_fetched in (False, False, False, True):
        opened = engine(tmp_path, ANY)
        with opened.cursor() as cursor:
            started = cursor.execute(sql)
            if is_fetched:
                started.fetchall()
        opened.close()
    *begun, fetched = (int(line.split(" took ")[1].split(" ms")[0]) for line in lines(caplog))
    assert len(begun) == 3
    assert fetched > min(begun) + 20


def test_a_quick_statement_is_not_written_down_and_nothing_is_at_zero(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for threshold_s in (60.0, 0.0):
        opened = engine(tmp_path, threshold_s)
        with opened.cursor() as cursor:
            cursor.execute("SELECT 1").fetchall()
        opened.close()
    assert lines(caplog) == []


def test_the_same_statement_is_written_down_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = engine(tmp_path, ANY)
    for number in range(5):
        with opened.cursor() as cursor:
            cursor.execute("SELECT $n", {"n": number}).fetchall()
    opened.close()
    assert len(lines(caplog)) == 1


def test_a_statement_that_fails_fails_as_before(tmp_path: Path) -> None:
    opened = engine(tmp_path, ANY)
    with pytest.raises(duckdb.CatalogException), opened.cursor() as cursor:
        cursor.execute("SELECT * FROM nowhere")
    opened.close()


def test_a_slow_statement_of_sqlite_is_written_down_with_its_plan(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite's own clock knows milliseconds."""
    database = Database(tmp_path / "urbanos.sqlite", Slowness(0.01))
    counting = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?)"
    sql = f"{counting} SELECT max(x), (SELECT readings FROM totals WHERE outcome = ?) FROM n"
    assert database.read().execute(sql, (500_000, "stored")).get == (500_000, None)
    database.close()
    (line,) = [line for line in lines(caplog) if "FROM totals" in line]
    plan = line.partition("plan: ")[2]
    assert "SCAN n" in plan and "SEARCH totals" in plan


def test_a_node_writes_down_what_takes_longer_than_its_setting(
    open_node: Callable[..., Node], caplog: pytest.LogCaptureFixture
) -> None:
    node = open_node(slow_query_ms=0.000001)
    with node.engine.cursor() as cursor:
        cursor.execute("SELECT 42").fetchall()
    assert [line for line in lines(caplog) if "SELECT 42" in line]
