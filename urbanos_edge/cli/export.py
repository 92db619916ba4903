"""The command `urbanos-edge export`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import anyio
import click
import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from urbanos_edge import control
from urbanos_edge.api.export import box
from urbanos_edge.cli.asking import data_dir_option, when_us
from urbanos_edge.cli.owner import by_owner
from urbanos_edge.cli.standing_in import standing_in
from urbanos_edge.clock import to_rfc3339
from urbanos_edge.errors import EdgeError, Unprocessable
from urbanos_edge.query.export import COLUMNS, FORMATS, Wanted, checked

PATIENCE: Final = httpx.Timeout(10, read=None)
"""A node may have to look at much before it finds something in a small box."""


class Sink:
    """Where the pieces go, and the bar on stderr that tells how many went there."""

    def __init__(self, file: IO[bytes], name: str, bar: Progress, kind: str) -> None:
        self._file, self._name, self._bar = file, name, bar
        self._has_lines = kind != "parquet"
        self._task = bar.add_task("", total=None)
        self._bytes = 0

    def expect(self, rows: int) -> None:
        """About how many rows will come."""
        if self._has_lines:
            self._bar.update(self._task, total=rows)

    def write(self, piece: bytes) -> None:
        with _disk_errors(self._name):
            self._file.write(piece)
        self._bytes += len(piece)
        rows = piece.count(b"\n") if self._has_lines else 0
        text = f"{self._bytes / 1e6:,.1f} MB"
        self._bar.update(self._task, advance=rows, description=text)


@click.command()
@click.argument("out", metavar="OUT")
@data_dir_option
@click.option("--from", "since", required=True, metavar="WHEN", help="A day or a moment; included.")
@click.option("--to", "until", metavar="WHEN", help="The same; not included.  [default: now]")
@click.option("--bbox", metavar="BOX", help="minLng,minLat,maxLng,maxLat in degrees.")
@click.option("--sensor", metavar="ID", default="", help="One sensor's alone.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(list(FORMATS)),
    default="csv",
    show_default=True,
    help="What OUT becomes.",
)
@click.option(
    "--columns",
    type=click.Choice(COLUMNS),
    default=COLUMNS[0],
    show_default=True,
    help="The node's own, or OpenAQ's without flagged readings.",
)
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
def export(
    out: str,
    data_dir: Path,
    since: str,
    until: str | None,
    bbox: str | None,
    sensor: str,
    kind: str,
    columns: str,
    force: bool,
) -> None:
    """Write the stored readings of a span to the file OUT, or to stdout for -.

    WHEN is a day like 2026-11-23, from its beginning in UTC, or a moment with a zone like
    2026-11-23T10:00:00Z; at most 366 days at once. OUT appears when it is complete. What came in
    during the last seconds may not be stored yet.
    """
    wanted = _wanted(since, until, bbox, kind, columns, sensor)
    with _sink(out, kind, force) as sink:
        by_owner(
            lambda: _fetch(data_dir, wanted, sink),
            lambda: anyio.run(_read, data_dir, wanted, sink),
        )


def _wanted(
    since: str, until: str | None, bbox: str | None, kind: str, columns: str, sensor: str
) -> Wanted:
    since_us, until_us = when_us("from", since) or 0, when_us("to", until)
    try:
        if until_us is None:
            until_us = time.time_ns() // 1000
        return checked(Wanted(since_us, until_us, kind, box(bbox), columns, sensor))
    except Unprocessable as error:
        raise click.UsageError(error.message) from error


@contextmanager
def _sink(out: str, kind: str, force: bool) -> Iterator[Sink]:
    """OUT under another name until it is whole; nothing is left of what is not."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    is_shown = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not is_shown) as bar:
        if out == "-":
            yield Sink(sys.stdout.buffer, "stdout", bar, kind)
            return
        with _appearing(Path(out), force) as file:
            yield Sink(file, out, bar, kind)


@contextmanager
def _appearing(path: Path, force: bool) -> Iterator[IO[bytes]]:
    if path.exists() and not force:
        raise EdgeError(f"{path} exists; --force replaces it")
    part = path.with_name(f"{path.name}.part")
    with _disk_errors(path):
        file = part.open("wb")
    try:
        yield file
        with _disk_errors(path):
            file.close()
            os.replace(part, path)
    finally:
        file.close()
        part.unlink(missing_ok=True)


@contextmanager
def _disk_errors(path: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EdgeError(f"{path} cannot be written: {error.strerror}") from error


def _fetch(data_dir: Path, wanted: Wanted, sink: Sink) -> None:
    """From the node that owns the data."""
    reader = control.may_read(data_dir, "export")
    try:
        _stream(reader, wanted, sink)
    finally:
        control.reads_no_more(data_dir, reader.token_id)


def _stream(reader: control.Reader, wanted: Wanted, sink: Sink) -> None:
    edges = ",".join(map(repr, wanted.box))
    asked = {
        "from": to_rfc3339(wanted.since_us),
        "to": to_rfc3339(wanted.until_us),
        "bbox": edges,
        "format": wanted.format,
        "columns": wanted.columns,
        "sensor": wanted.sensor,
    }
    try:
        # No proxy that the environment names stands between a command and its own machine.
        with (
            httpx.Client(headers=reader.headers, timeout=PATIENCE, trust_env=False) as client,
            client.stream("GET", f"{reader.url}/api/v1/export", params=asked) as answer,
        ):
            if answer.status_code != 200:
                raise _refusal(answer.read())
            sink.expect(int(answer.headers["x-total-rows-estimate"]))
            for piece in answer.iter_bytes():
                sink.write(piece)
    except httpx.TransportError as error:
        raise EdgeError(f"the export broke off: {error}; try again") from error


def _refusal(body: bytes) -> EdgeError:
    try:
        error = msgspec.json.decode(body, type=dict[str, dict[str, str | None]])["error"]
        return EdgeError(str(error["message"]), code=error["code"])
    except (msgspec.MsgspecError, KeyError):
        return EdgeError("the node's answer cannot be read")


async def _read(data_dir: Path, wanted: Wanted, sink: Sink) -> None:
    """From the files, as their owner."""
    async with standing_in(data_dir) as node:
        sink.expect(node.exports.rows_about(wanted))
        async with node.exports.open(wanted) as pieces:
            async for piece in pieces:
                sink.write(piece)
