"""The command `urbanos-edge import`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from urbanos_edge.archives import ArchiveOptions
from urbanos_edge.cli.asking import data_dir_option
from urbanos_edge.cli.replay import archive_arguments, interruptible, state_dir_option, tell
from urbanos_edge.cli.standing_in import attending
from urbanos_edge.control import NotRunning
from urbanos_edge.errors import EdgeError
from urbanos_edge.replay import (
    Answer,
    CarryOptions,
    NodeCounts,
    ReplaySummary,
    Report,
    carry,
    open_archives,
    read_counts,
)

BATCH: Final = 10_000
"""Readings that are stored together, the most that a node takes at once."""


class Owner:
    """The node that owns a data directory, or what stands in for it."""

    is_exact = True

    def __init__(
        self, data_dir: Path, files: Sequence[Path], ask: Callable[[str, Mapping[str, Any]], Any]
    ) -> None:
        self.name = str(data_dir.resolve())
        self._files = [file.name for file in files]
        self._ask = ask
        self._begins = True
        self.retention_days = 0
        """As the answers have it."""

    def send(self, body: bytes) -> Answer:
        """Have a JSON array of readings stored.

        Raises:
            EdgeError: none of them was.
        """
        archived = {"readings": body.decode(), "begins": self._begins, "files": self._files}
        try:
            taken = self._ask("import", archived)
        except NotRunning as error:
            raise EdgeError(f"{error.message}; the same command goes on where it was") from error
        self._begins = False
        self.retention_days = taken.pop("retention_days")
        return msgspec.convert(taken, Answer)

    def counts(self) -> NodeCounts:
        return read_counts(self._ask("status", {}))


@click.command(name="import")
@archive_arguments
@data_dir_option
@state_dir_option("import")
@click.option("--restart", is_flag=True, help="Begin anew instead of going on.")
def import_command(
    files: tuple[Path, ...],
    format_: str,
    column_map: str,
    stations: Path | None,
    data_dir: Path,
    state_dir: Path,
    restart: bool,
) -> None:
    """Take the readings of archives into the store, whatever day they are of.

    Reads what replay reads, exports of a node and Parquet among it. What is old raises no alert and
    is no news. When it is interrupted, the same command goes on where it was.
    """
    options = CarryOptions(
        state_dir=state_dir,
        archive=ArchiveOptions(format_, column_map, stations),
        by_time=True,
        restart=restart,
        batch=BATCH,
    )
    tell(interruptible(partial(_import, files, data_dir, options)))


def _import(
    files: tuple[Path, ...],
    data_dir: Path,
    options: CarryOptions,
    report: Report,
    stop: threading.Event,
) -> ReplaySummary:
    archives = open_archives(files, options.archive, report)
    with attending(data_dir) as ask:
        owner = Owner(data_dir, files, ask)
        summary = carry(archives, options, report, stop, owner)
    beyond, days = summary.tally.beyond, owner.retention_days
    if beyond and days:
        report.say(
            f"{beyond:,} readings are older than the retention of {days} days: they stay for {days}"
            " days from now, and their sums by hour as long as those of others."
        )
    return summary
