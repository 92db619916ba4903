"""In which order the rows of several archives are replayed."""

from __future__ import annotations

import heapq
import struct
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

import msgspec

from urbanos_edge.archives import Archive, Rejected, Row
from urbanos_edge.replay.state import START, Position

Placed = tuple[int, Row | Rejected]
"""A row, and the index of its file."""

_RUN_ROWS: Final = 100_000
"""Rows sorted at a time: about 50 MB."""
_MOST_RUNS: Final = 256
"""Each is an open file, and a process may have 1,024; so many are merged into one."""


class Order(Protocol):
    """A fixed sequence of all rows; the same archives always give the same."""

    def rows(self, after: Position) -> Iterator[Placed]:
        """Yield the rows that follow the one at this position."""

    def share(self) -> float:
        """How much of the whole `rows` has gone through, from 0 to 1."""

    def last_at(self) -> datetime | None:
        """The latest moment in the archives; None when they hold no reading."""

    def close(self) -> None:
        """Give back what the order keeps on the disk."""


class FileOrder:
    """File after file, as the rows stand there."""

    def __init__(self, archives: Sequence[Archive]) -> None:
        self._archives = archives
        self._total_bytes = sum(archive.size_bytes for archive in archives)
        self._current = 0

    def rows(self, after: Position) -> Iterator[Placed]:
        first_file, line = after
        for index in range(first_file, len(self._archives)):
            self._current = index
            for row in self._archives[index].rows(line if index == first_file else 0):
                yield index, row

    def share(self) -> float:
        passed = sum(archive.size_bytes for archive in self._archives[: self._current])
        passed += self._archives[self._current].bytes_read
        return passed / self._total_bytes

    def close(self) -> None:
        pass

    def last_at(self) -> datetime | None:
        return max(
            (row.timestamp for _, row in self.rows(START) if isinstance(row, Row)), default=None
        )


class TimeOrder:
    """All files together, by the moment of measurement; rows of one moment as they stand.

    They are sorted on the disk, in a nameless file in `folder` that goes with the process.
    """

    def __init__(self, archives: Sequence[Archive], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._merged: list[BinaryIO] = []
        self._runs: list[BinaryIO] = []
        self._total = 0
        self._passed = 0
        self._last_at: datetime | None = None
        self._sort(archives)

    def rows(self, after: Position) -> Iterator[Placed]:
        ahead = after != START
        self._passed = 0
        for _, index, row in _woven((*self._merged, *self._runs)):
            self._passed += 1
            if not ahead:
                yield index, row
            elif (index, row.line) == after:
                ahead = False

    def share(self) -> float:
        return self._passed / max(self._total, 1)

    def last_at(self) -> datetime | None:
        return self._last_at

    def close(self) -> None:
        for run in (*self._merged, *self._runs):
            run.close()

    def _sort(self, archives: Sequence[Archive]) -> None:
        moment = datetime.min.replace(tzinfo=UTC)
        run: list[tuple[datetime, bytes]] = []
        for index, archive in enumerate(archives):
            for row in archive.rows():
                if isinstance(row, Row):
                    moment = row.timestamp
                    self._last_at = max(self._last_at or moment, moment)
                run.append((moment, _ENCODER.encode((moment, index, row))))
                if len(run) == _RUN_ROWS:
                    self._write_run(run)
        self._write_run(run)

    def _write_run(self, run: list[tuple[datetime, bytes]]) -> None:
        run.sort(key=itemgetter(0))
        self._runs.append(self._written(encoded for _, encoded in run))
        self._total += len(run)
        run.clear()
        if len(self._runs) == _MOST_RUNS:
            self._merge_runs()

    def _merge_runs(self) -> None:
        self._merged.append(self._written(map(_ENCODER.encode, _woven(self._runs))))
        while self._runs:
            self._runs.pop().close()

    def _written(self, rows: Iterable[bytes]) -> BinaryIO:
        file = cast(BinaryIO, tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115
        for encoded in rows:
            file.write(_LENGTH.pack(len(encoded)))
            file.write(encoded)
        return file


_LENGTH: Final = struct.Struct("<I")
_ENCODER: Final = msgspec.msgpack.Encoder()
_Sorted = tuple[datetime, int, Row | Rejected]
_DECODER: Final = msgspec.msgpack.Decoder(_Sorted)


def _woven(runs: Sequence[BinaryIO]) -> Iterator[_Sorted]:
    """The rows of all runs by their moment; those of one moment in the order of the runs."""
    return heapq.merge(*map(_read_run, runs), key=itemgetter(0))


def _read_run(file: BinaryIO) -> Iterator[_Sorted]:
    file.seek(0)
    while length := file.read(_LENGTH.size):
        yield _DECODER.decode(file.read(_LENGTH.unpack(length)[0]))
