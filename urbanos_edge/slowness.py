"""Statements that took long, written down with the plan they were run by.

The plan is asked for afterwards, so that those that were quick pay for nothing but two looks at
the clock.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import apsw
import duckdb
import msgspec

AGAIN_AFTER_S: Final = 60.0
"""Within it the same statement is not written down a second time."""
MAX_REMEMBERED: Final = 200
"""Statements; when there are more, all are forgotten."""
MAX_LETTERS: Final = 500
"""Of a statement."""
MAX_LETTERS_OF_PLAN: Final = 2000
_COMMENT: Final = re.compile(r"--[^\n]*(?:\n\s*--[^\n]*)*+")
_PARAMETER: Final = re.compile(r"\?\d*|[:@$]\w+")
"""Of SQLite, which wants a value for each even where none matters."""
_log = logging.getLogger(__name__)


class Slowness:
    """Notes slow statements of DuckDB and SQLite; a threshold of 0 notes none."""

    def __init__(self, threshold_s: float) -> None:
        self._threshold_s = threshold_s
        self._lock = threading.Lock()
        self._noted_s: dict[str, float] = {}

    @contextmanager
    def timed(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
        """The cursor, with its statements timed until what they return is fetched."""
        if not self._threshold_s:
            yield cursor
            return
        watched = _Timed(cursor)
        yield cast(duckdb.DuckDBPyConnection, watched)
        for sql, parameters, took_s in watched.runs():
            if self._is_news(sql, took_s):
                _note("DuckDB", sql, took_s, _duckdb_plan(cursor, sql, parameters))

    def watch(self, connection: apsw.Connection, path: Path) -> None:
        """Time all statements of a connection to the SQLite file `path`."""

        def done(event: dict[str, Any]) -> None:
            sql, took_s = event["sql"], event["nanoseconds"] / 1e9
            if self._is_news(sql, took_s):
                _note("SQLite", sql, took_s, _sqlite_plan(path, sql))

        if self._threshold_s:
            connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, done)

    def _is_news(self, sql: str, took_s: float) -> bool:
        if took_s < self._threshold_s:
            return False
        now_s, statement = time.monotonic(), _named(sql)
        with self._lock:
            if now_s - self._noted_s.get(statement, -AGAIN_AFTER_S) < AGAIN_AFTER_S:
                return False
            if len(self._noted_s) >= MAX_REMEMBERED:
                self._noted_s.clear()
            self._noted_s[statement] = now_s
        return True


class _Timed:
    """Stands for a cursor; DuckDB does the work of a statement while its rows are fetched."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor
        self._runs: list[tuple[str, Any, float]] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cursor, name)
        return self._timed(found) if name.startswith("fetch") else found

    def execute(self, query: Any, parameters: Any = None) -> _Timed:
        self._runs.append((str(query), parameters, 0.0))
        self._timed(self._cursor.execute)(query, parameters)
        return self

    def runs(self) -> list[tuple[str, Any, float]]:
        """Each statement, its parameters, and the seconds it took."""
        return self._runs

    def _timed(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **more: Any) -> Any:
            began_s = time.perf_counter()
            try:
                return work(*arguments, **more)
            finally:
                if self._runs:
                    sql, parameters, took_s = self._runs[-1]
                    self._runs[-1] = sql, parameters, took_s + time.perf_counter() - began_s

        return run


def _named(sql: str) -> str:
    """What a statement of `sql/` says of itself, which leads to its file; of others the text."""
    comment = _COMMENT.search(sql)
    told = comment.group().replace("--", " ") if comment else sql
    return " ".join(told.split()).rstrip(".")[:MAX_LETTERS]


def _note(engine: str, sql: str, took_s: float, plan: str) -> None:
    _log.info("%s took %.0f ms: %s; plan: %s", engine, took_s * 1000, _named(sql), plan)


def _duckdb_plan(cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Any) -> str:
    """What DuckDB would do; not asked of several statements: it would run all but the first."""
    try:
        if len(duckdb.extract_statements(sql)) == 1:
            rows = cursor.execute(f"EXPLAIN (FORMAT json) {sql}", parameters).fetchall()
            return _flat(msgspec.json.decode(rows[-1][1]))[:MAX_LETTERS_OF_PLAN]
    except (duckdb.Error, msgspec.DecodeError, LookupError):
        pass  # of a table that is gone by now, or a statement that has no plan
    return "not to be had"


def _flat(nodes: list[dict[str, Any]]) -> str:
    """`TOP_N (10) < FILTER (50) < …`: each operator, with how many rows it was thought to give."""
    told = []
    for node in nodes:
        rows = node.get("extra_info", {}).get("Estimated Cardinality")
        name = f"{node['name'].strip()} (~{rows})" if rows else node["name"].strip()
        below = _flat(node.get("children", []))
        told.append(f"{name} < {below}" if below else name)
    return told[0] if len(told) == 1 else f"[{' | '.join(told)}]" if told else ""


def _sqlite_plan(path: Path, sql: str) -> str:
    """As a connection of its own sees it: the traced one is busy with the statement."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            asked = f"EXPLAIN QUERY PLAN {_PARAMETER.sub('NULL', sql)}"
            rows = connection.execute(asked, can_cache=False).fetchall()
        finally:
            connection.close()
    except apsw.Error:
        return "not to be had"
    return ", ".join(str(row[3]) for row in rows)[:MAX_LETTERS_OF_PLAN]
