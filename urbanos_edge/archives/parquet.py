"""Parquet files: the node's own, GeoParquet, or any other with a row for each reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, Final

import duckdb

from urbanos_edge.archives.records import Records
from urbanos_edge.archives.rows import ArchiveError, Refused, Rejected, Row
from urbanos_edge.clock import EPOCH

MAGIC: Final = b"PAR1"
_AT_ONCE: Final = 5_000
"""Rows held in memory."""
_ALL: Final = (1 << 63) - 1
_LIMITS: Final[dict[str, Any]] = {"threads": 2, "memory_limit": "256MB"}
_MOMENTS: Final = ("TIMESTAMP", "DATE")
_PLAIN: Final = frozenset(
    "VARCHAR FLOAT DOUBLE TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER"
    " UBIGINT".split()
)


class ParquetReader:
    """Reads the rows of a file by their columns; those of other types than these are left out."""

    def __init__(self, path: Path, records: Records) -> None:
        self._path = path
        self._records = records
        with self._table() as table:
            types = dict(zip(table.columns, map(str, table.types), strict=True))
        columns = {name: _column(name, kind) for name, kind in types.items()}
        self.names = [name for name, column in columns.items() if column]
        self._moments = [name for name in self.names if types[name].startswith(_MOMENTS)]
        self._selected = ", ".join(columns[name] for name in self.names)

    def rows(self, _: BinaryIO, after: int) -> Iterator[Row | Rejected]:
        """Yield what each row after number `after` says.

        Raises:
            ArchiveError: the file is damaged.
        """
        with self._table() as table:
            found = table.project(self._selected).limit(_ALL, after)
            numbers = count(after + 1)
            while rows := found.fetchmany(_AT_ONCE):
                for cells in rows:
                    yield self._row(next(numbers), dict(zip(self.names, cells, strict=True)))

    @contextmanager
    def _table(self) -> Iterator[duckdb.DuckDBPyRelation]:
        try:
            with duckdb.connect(config=_LIMITS) as connection:
                yield connection.read_parquet(str(self._path), hive_partitioning=False)
        except duckdb.Error as error:
            first_line = str(error).partition("\n")[0]
            raise ArchiveError(f"{self._path.name} cannot be read: {first_line}") from error

    def _row(self, number: int, fields: dict[str, Any]) -> Row | Rejected:
        for name in self._moments:
            if fields[name] is not None:
                fields[name] = EPOCH + timedelta(microseconds=fields[name])
        try:
            ingest = self._records.read(fields)
        except Refused as refused:
            return Rejected(number, refused.reason)
        return Row(number, ingest["timestamp"], ingest)


def _column(name: str, kind: str) -> str:
    """What to select for a column, "" for one that cannot be read."""
    column = '"' + name.replace('"', '""') + '"'
    if kind.startswith(_MOMENTS):
        return f"epoch_us({column})"
    if kind.startswith("DECIMAL"):
        is_whole = kind.endswith(",0)")  # an id would lose its last digits as a DOUBLE
        return f"{column}::{'HUGEINT' if is_whole else 'DOUBLE'}"
    return column if kind in _PLAIN else ""
