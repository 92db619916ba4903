"""The manifest: which files are real, what each holds, and which were lost.

It is a table per layout in the node's SQLite file; the store decides what is listed when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw
import msgspec

from urbanos_edge.clock import DAY_US, SECOND_US
from urbanos_edge.errors import StorageUnavailable
from urbanos_edge.grid import Bounds
from urbanos_edge.store.changed import hours_between, mark
from urbanos_edge.store.integrity import Checksum


class File(msgspec.Struct, frozen=True):
    """One live file: `path` relative to the data directory, and what lies in it."""

    path: str
    day: str
    rows: int
    bytes: int
    min_at_us: int
    max_at_us: int
    max_received_us: int
    min_lng: float
    min_lat: float
    max_lng: float
    max_lat: float
    checksum: Checksum | None = None
    """BLAKE2b-128 of the file; None when an older version wrote it."""

    @property
    def kind(self) -> str:
        """The word in its name that tells what wrote it; none for a flush."""
        return "-".join(Path(self.path).stem.split("-")[2:])

    def meets(self, bounds: Bounds) -> bool:
        return (
            self.min_lng <= bounds.max_lng
            and self.max_lng >= bounds.min_lng
            and self.min_lat <= bounds.max_lat
            and self.max_lat >= bounds.min_lat
        )


class FileDamaged(StorageUnavailable):
    """A listed file is not what was written."""

    def __init__(self, file: File, reason: str) -> None:
        super().__init__(f"a file of {file.day} {reason}")
        self.file = file
        self.reason = reason


class Quarantined(msgspec.Struct, frozen=True):
    """A file that was listed and cannot be read, set aside."""

    path: str
    day: str
    rows: int
    found_at_us: int
    reason: str
    checksum: Checksum | None = None

    @property
    def readings(self) -> int:
        """How many readings were in it; a file of aggregates has none."""
        return self.rows if self.path.startswith(f"{READINGS.folder}/") else 0


def _mark_hours(connection: apsw.Connection, lost: Sequence[File], now_us: int) -> None:
    hours = {hour for file in lost for hour in hours_between(file.min_at_us, file.max_at_us)}
    mark(connection, sorted(hours), now_us)


def _no_hours(connection: apsw.Connection, lost: Sequence[File], now_us: int) -> None:
    """Hours whose aggregates are lost are found by what is listed."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the files of a store lie, `<folder>/<key>=<day>/`, and the table that lists them.

    `describe` names the statement that tells what the manifest says of a file; `strike` takes
    part in the transaction that strikes lost ones.
    """

    folder: str
    key: str
    table: str
    describe: str
    strike: Callable[[apsw.Connection, Sequence[File], int], None]

    def path_of(self, day: str, name: str) -> str:
        return f"{self.folder}/{self.key}={day}/{name}"


READINGS: Final = Layout("readings", "created_date", "files", "describe_file", _mark_hours)
HOURS: Final = Layout("hours", "day", "hour_files", "describe_hours", _no_hours)

_LOST_SPANS: Final = f"""
SELECT
    coalesce(min_at_us, strftime('%s', day) * {SECOND_US}),
    coalesce(max_at_us, strftime('%s', day) * {SECOND_US} + {DAY_US - 1})
FROM quarantine WHERE path LIKE '{READINGS.folder}/%'"""
_COLUMNS: Final = ", ".join(File.__struct_fields__)
_PLACES: Final = ", ".join("?" * len(File.__struct_fields__))


def publish(
    connection: apsw.Connection, layout: Layout, added: Iterable[File], removed: Iterable[File]
) -> None:
    """List files and strike others, as part of a larger work."""
    connection.executemany(
        f"DELETE FROM {layout.table} WHERE path = ?", [(file.path,) for file in removed]
    )
    connection.executemany(
        f"INSERT INTO {layout.table} ({_COLUMNS}) VALUES ({_PLACES})",
        [msgspec.structs.astuple(file) for file in added],
    )


def quarantined(connection: apsw.Connection) -> list[Quarantined]:
    """The files that were set aside, oldest finding first."""
    rows = connection.execute(
        "SELECT path, day, rows, found_at_us, reason, checksum FROM quarantine"
        " ORDER BY found_at_us, path"
    )
    return [Quarantined(*row) for row in rows]


def lost_hours(connection: apsw.Connection) -> set[int]:
    """Hours with readings that were set aside; all of the day where their span was not kept."""
    spans = connection.execute(_LOST_SPANS)
    return {hour for first_us, last_us in spans for hour in hours_between(first_us, last_us)}


def forget(connection: apsw.Connection, lost: Quarantined) -> None:
    """Strike a file that was set aside and is back, as part of a larger work."""
    connection.execute("DELETE FROM quarantine WHERE path = ?", (lost.path,))


def listed(connection: apsw.Connection, layout: Layout) -> dict[str, File]:
    """The live files of a layout, by path."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM {layout.table} ORDER BY path")
    return {row[0]: File(*row) for row in rows}
