"""The one DuckDB instance: in memory, bounded, shut in the data directory, with spatial loaded.

DuckDB never opens the node's SQLite file: two SQLite libraries in one process drop each other's
locks. Each thread works on a cursor of its own; the interpreter lock is free while a query runs.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import duckdb
import duckdb_extension_spatial

from urbanos_edge.errors import DiskFull, OutOfMemory, StorageUnavailable, Unavailable
from urbanos_edge.reading import INDEXED, QUANTITIES, QUANTITY_NAMES
from urbanos_edge.slowness import Slowness

THREADS: Final = 2
MAX_TEMPORARY_MIB: Final = 2048
if find_spec("pandas") is None:
    # DuckDB asks for pandas with every value it takes from Python, and where there is none each ask
    # searches the path: 40 to 170 µs a value, a file name in a list being one. This is a quick no.
    sys.modules["pandas"] = None  # type: ignore[assignment]
_SHARED: Final = (
    *("row_columns", "stored_row_columns", "cell_columns", "hourly_aggregates"),
    *("export_rows", "export_text", "later_columns", "central_row_columns", "central_points"),
    "central_put",
)
"""Pieces of SQL that several statements name as `{piece}`."""


class EngineClosed(Unavailable):
    """The node stops; what was being read is not to blame."""

    code = "stopping"


class Engine:
    """Opens cursors on one DuckDB instance that may read and write below `directories` only."""

    def __init__(
        self,
        memory_mib: int,
        temporary: Path,
        directories: list[Path],
        slowness: Slowness | None = None,
    ) -> None:
        self._slowness = slowness or Slowness(0)
        self._memory_mib = memory_mib
        self._temporary = temporary
        self._directories = directories
        self._lock = threading.Lock()
        self._failed = False
        self._instance = self._open()

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for one piece of work; what it registers and creates goes with it.

        After a fatal error the instance is of no use any more; the next cursor opens a new one.

        Raises:
            DiskFull, StorageUnavailable: DuckDB could not write, read or find memory.
            EngineClosed: it is closed.
        """
        with translated():
            try:
                with self._current().cursor() as cursor, self._slowness.timed(cursor) as timed:
                    yield timed
            except duckdb.FatalException:
                self._failed = True
                raise

    def close(self) -> None:
        self._instance.close()

    def _current(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._failed:
                self._instance = self._open()
                self._failed = False
            return self._instance

    def _open(self) -> duckdb.DuckDBPyConnection:
        self._temporary.mkdir(parents=True, exist_ok=True)
        instance = duckdb.connect(
            ":memory:",
            config={
                "threads": THREADS,
                "memory_limit": f"{self._memory_mib}MiB",
                "temp_directory": str(self._temporary),
                "max_temp_directory_size": f"{MAX_TEMPORARY_MIB}MiB",
                "preserve_insertion_order": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "python_enable_replacements": False,
                "enable_external_file_cache": False,  # the kernel keeps the pages already
                # What a query has freed goes back to the machine soon, not at the next query.
                "allocator_background_threads": True,
                "allocator_flush_threshold": "16MiB",
                "allocator_bulk_deallocation_flush_threshold": "16MiB",
            },
        )
        instance.execute(f"LOAD {quoted(spatial_extension())}")
        instance.execute("SET TimeZone = 'UTC'")
        allowed = ", ".join(quoted(directory.resolve()) for directory in self._directories)
        instance.execute(f"SET allowed_directories = [{allowed}]")
        instance.execute("SET enable_external_access = false")
        instance.execute("SET lock_configuration = true")
        return instance


@contextmanager
def translated() -> Iterator[None]:
    """Turn DuckDB's errors about disk and memory into the node's own."""
    try:
        yield
    except duckdb.IOException as error:
        if "No space left" in str(error):
            raise DiskFull("the disk is full; nothing was stored") from error
        raise StorageUnavailable("a file of the store could not be read or written") from error
    except duckdb.OutOfMemoryException as error:
        raise OutOfMemory("the query engine ran out of memory") from error
    except duckdb.ConnectionException as error:
        raise EngineClosed("the node stops") from error
    except duckdb.FatalException as error:
        raise StorageUnavailable("the query engine failed and is opened anew") from error


def spatial_extension() -> Path:
    """The spatial extension inside its PyPI package: nothing is downloaded or copied."""
    folder = Path(str(files(duckdb_extension_spatial))) / "extensions" / f"v{duckdb.__version__}"
    return next(folder.rglob("spatial.duckdb_extension"))


def quoted(path: Path) -> str:
    """A path as an SQL string, for statements that take no parameter."""
    return "'" + str(path).replace("'", "''") + "'"


@cache
def statement(name: str) -> str:
    """The text of `sql/<name>.sql`, with what it names written out.

    A `{piece}` of `_SHARED` is that file's text. A line with `{quantity}` stands there once for
    each of `reading.QUANTITIES`, whose `{unit}` it may name, one with `{pollutant}` for each that
    has an index; between them are commas. `{any_quantity}` is what any of them is called, as a
    regular expression.
    """
    text = (files("urbanos_edge") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    text = "".join(map(_for_each, text.splitlines(keepends=True)))
    text = text.replace("{any_quantity}", "|".join(QUANTITY_NAMES))
    for shared in _SHARED:
        if f"{{{shared}}}" in text:
            text = text.replace(f"{{{shared}}}", statement(shared))
    return text


def _for_each(line: str) -> str:
    """A line once for each quantity or pollutant that it is for."""
    if "{quantity}" in line:
        told = [
            line.replace("{quantity}", one.name).replace("{unit}", one.unit) for one in QUANTITIES
        ]
    elif "{pollutant}" in line:
        told = [line.replace("{pollutant}", name) for name in INDEXED]
    else:
        return line
    return ",\n".join(each.rstrip(",\n") for each in told) + line[len(line.rstrip(",\n")) :]
