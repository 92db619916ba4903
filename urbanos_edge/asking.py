"""Asking the owner of a data directory, and standing in for it when there is none."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
import click
import msgspec
from anyio.from_thread import start_blocking_portal
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from urbanos_edge import control
from urbanos_edge.commands import commands
from urbanos_edge.errors import DirectoryInUse, EdgeError
from urbanos_edge.node import Node
from urbanos_edge.progress import Tell, ignore_progress
from urbanos_edge.settings import DATA_DIR_VARIABLE, DEFAULT_DATA_DIR, default_config, load

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar=DATA_DIR_VARIABLE,
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="Where the node keeps its data.",
)
T = TypeVar("T")
BUSY_S: Final = 10
"""How long a command waits while a node starts or stops, or another command is at work."""
PIPED_WIDTH: Final = 240
"""Of a table that goes into a file or another program."""
_CONTROLS: Final = dict.fromkeys((*range(0x0A), *range(0x0B, 0x20), *range(0x7F, 0xA0)), "\ufffd")
"""What may steer a terminal (all of Cc but the line feed): strangers write what is shown."""
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


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
    return by_owner(
        partial(control.request, data_dir, command, arguments, on_progress),
        partial(anyio.run, _ask_here, data_dir, command, dict(arguments or {}), on_progress),
    )


def by_owner(there: Callable[[], T], here: Callable[[], T]) -> T:
    """What `there` returns when a node runs, else what `here` does, which owns the directory.

    Raises:
        DirectoryInUse: somebody else owns it all the time, but does not answer.
    """
    deadline_s = time.monotonic() + BUSY_S
    while True:
        with suppress(control.NotRunning):
            return there()
        try:
            return here()
        except DirectoryInUse:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)


@contextmanager
def attending(data_dir: Path) -> Iterator[Callable[[str, Mapping[str, Any]], Any]]:
    """Who runs many commands: the node that owns the directory, or one that stands in for a while.

    Raises:
        DirectoryInUse: somebody else owns it all the time, but does not answer.
    """
    with ExitStack() as stack:

        def there() -> Callable[[str, Mapping[str, Any]], Any]:
            control.request(data_dir, "status")
            return partial(control.request, data_dir)

        def here() -> Callable[[str, Mapping[str, Any]], Any]:
            with ExitStack() as opened:
                portal = opened.enter_context(start_blocking_portal())
                block = portal.wrap_async_context_manager(standing_in(data_dir))
                known = commands(opened.enter_context(block))
                stack.push(opened.pop_all())
            return lambda command, given: portal.call(_answered, known, command, given)

        yield by_owner(there, here)


@asynccontextmanager
async def standing_in(data_dir: Path, *, keep_unlisted: bool = False) -> AsyncIterator[Node]:
    """A node that does not serve, on a directory that is owned until the block ends."""
    with control.own(data_dir):
        settings = load({}, config=default_config(data_dir))
        node = Node(settings, data_dir, keep_unlisted=keep_unlisted)
        try:
            yield node
        finally:
            await anyio.to_thread.run_sync(node.close)


async def _ask_here(
    data_dir: Path, command: str, arguments: dict[str, Any], on_progress: Tell
) -> Any:
    async with standing_in(data_dir, keep_unlisted=command == "check") as node:
        return await _answered(commands(node), command, arguments, on_progress)


async def _answered(
    known: control.Commands,
    command: str,
    arguments: Mapping[str, Any],
    on_progress: Tell = ignore_progress,
) -> Any:
    request = msgspec.json.encode(control.Request(command, dict(arguments)))
    reply = await control.answer(known, request, on_progress)
    if reply.error is not None:
        raise EdgeError(reply.error["message"], code=reply.error["code"])
    return reply.result


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
    if field.endswith("_at_us"):
        return datetime.fromtimestamp(value / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return str(value).translate(_CONTROLS)
