"""Asking the owner of a data directory; options and tables that the commands share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from urbanos_edge import control
from urbanos_edge.adapters import Name
from urbanos_edge.cli.owner import by_owner, patience_s
from urbanos_edge.clock import day_or_moment_us, is_moment
from urbanos_edge.errors import Unprocessable
from urbanos_edge.progress import Tell, ignore_progress
from urbanos_edge.settings import DATA_DIR_VARIABLE, DEFAULT_DATA_DIR

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar=DATA_DIR_VARIABLE,
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="Where the node keeps its data.",
)


class Finite(click.FloatRange):
    """A number within bounds: NaN lies in all of click's."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail("not a finite number", param, ctx)


class NameType(click.ParamType[str]):
    """What people call something: 1 to 120 characters on one line."""

    name = "name"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        try:
            return msgspec.convert(value, Name)
        except msgspec.ValidationError:
            self.fail("a name has 1 to 120 characters, on one line", param, ctx)


finite = Finite()
latitude = Finite(-90, 90)
longitude = Finite(-180, 180)
PIPED_WIDTH: Final = 240
"""Of a table that goes into a file or another program."""
_CONTROLS: Final = dict.fromkeys((*range(0x0A), *range(0x0B, 0x20), *range(0x7F, 0xA0)), "\ufffd")
"""What may steer a terminal (all of Cc but the line feed): strangers write what is shown."""
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def when_us(option: str, text: str | None) -> int | None:
    """A day or a moment of a command line as microseconds since 1970; None when it was not given.

    Raises:
        click.UsageError: it is neither.
    """
    try:
        return day_or_moment_us(option, text)
    except Unprocessable as error:
        what = "a day like 2026-11-23, or a moment with its zone like 2026-11-23T10:00:00Z"
        raise click.UsageError(f"--{option} must be {what}") from error


def ask(
    data_dir: Path,
    command: str,
    arguments: Mapping[str, Any] | None = None,
    on_progress: Tell = ignore_progress,
) -> Any:
    """Run a command in the node that owns the directory, or here when none runs.

    Raises:
        EdgeError: the command's own refusal.
    """
    is_short = on_progress is ignore_progress
    return by_owner(
        partial(control.request, data_dir, command, arguments, on_progress),
        partial(_stand_in, data_dir, command, arguments or {}, on_progress),
        0 if is_short else patience_s(data_dir),
    )


def _stand_in(data_dir: Path, command: str, arguments: Mapping[str, Any], on_progress: Tell) -> Any:
    # A node is much to load, and not wanted where one runs.
    from urbanos_edge.cli.standing_in import ask_here

    return anyio.run(ask_here, data_dir, command, arguments, on_progress)


@contextmanager
def progress_bar(doing: str) -> Iterator[Tell]:
    """A bar on stderr, gone when the work is done; what it shows may change with every step."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(doing, total=1.0)
        yield lambda done, what: bar.update(task, completed=done, description=what)


def show(rows: Sequence[Mapping[str, Any]], fields: Sequence[str], as_json: bool) -> None:
    """Print rows as JSON, or these fields of them as a table."""
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows)))
        return
    table = Table()
    for field in fields:  # what is cut short could not be typed into the next command
        table.add_column(field.removesuffix("_us").replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(field, row[field])) for field in fields))
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table)


def _cell(field: str, value: Any) -> str:
    if value is None:
        return ""
    if is_moment(field):
        return datetime.fromtimestamp(value / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return str(value).translate(_CONTROLS)
