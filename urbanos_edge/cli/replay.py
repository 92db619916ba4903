"""The command `urbanos-edge replay`."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final, TypeVar

import click

from urbanos_edge.archives import FORMATS, ArchiveOptions, MapError
from urbanos_edge.control import NotRunning, request
from urbanos_edge.errors import EdgeError
from urbanos_edge.replay.node import is_loopback
from urbanos_edge.replay.report import closing_lines, terminal_report
from urbanos_edge.replay.run import ReplayOptions, ReplaySummary, Report, replay
from urbanos_edge.settings import DATA_DIR_VARIABLE, DEFAULT_DATA_DIR

C = TypeVar("C", bound=Callable[..., Any])
_DEFAULT_URL: Final = "http://127.0.0.1:8080"
_MAX_BATCH: Final = 10_000
"""The node takes no more readings at once."""


class WrongUsage(click.ClickException):
    """The command makes no sense as it is given."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"urbanos-edge: {self.message}", err=True)


class Speed(click.ParamType[float | None]):
    """`max` (None), or how many times faster than measured."""

    name = "X|max"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        if value == "max" or value is None:
            return None
        try:
            speed = float(value)
        except ValueError:
            speed = 0.0
        if not 0 < speed < float("inf"):
            self.fail(f"'{value}' is neither 'max' nor a number above 0", param, ctx)
        return speed


def state_dir_option(name: str) -> Callable[[C], C]:
    """`--state-dir`, by default a folder of this name in the user's one for state.

    That is by the XDG base directory specification.
    """

    def default() -> Path:
        state = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state")
        return state.expanduser() / "urbanos-edge" / name

    return click.option(
        "--state-dir",
        type=click.Path(path_type=Path),
        default=default,
        metavar="DIR",
        help="Where it remembers how far it came.",
    )


def archive_arguments(command: C) -> C:
    """Give a command FILE..., and what says how to read them."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    options = (
        click.argument("files", metavar="FILE...", nargs=-1, required=True, type=file),
        click.option(
            "--format",
            "format_",
            type=click.Choice(FORMATS),
            metavar="NAME",
            default="auto",
            help=f"{', '.join(FORMATS)}.",
        ),
        click.option(
            "--map",
            "column_map",
            metavar="SPEC",
            default="",
            help="Columns, units: pm25=PM2.5,no2=NO2:ugm3@20C",
        ),
        click.option(
            "--stations",
            metavar="CSV",
            type=file,
            help="Places of sensors whose rows have none.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(name="replay")
@archive_arguments
@click.option(
    "--speed",
    type=Speed(),
    metavar="X|max",
    default="max",
    help="Times faster than measured.  [default: max]",
)
@click.option("--shift-to-now", is_flag=True, help="Move all times, the last reading to now.")
@click.option("--to", "url", metavar="URL", help="The node.  [default: that of --data-dir]")
@click.option("--token", metavar="T", help="Its token.  [default: asked for in --data-dir]")
@click.option(
    "--data-dir",
    envvar=DATA_DIR_VARIABLE,
    type=click.Path(path_type=Path),
    default=DEFAULT_DATA_DIR,
    metavar="DIR",
    help=f"Of the node on this machine.  [default: {DEFAULT_DATA_DIR}]",
)
@click.option(
    "--batch",
    type=click.IntRange(1, _MAX_BATCH),
    metavar="N",
    default=2000,
    show_default=True,
    help="Readings in one request.",
)
@state_dir_option("replay")
@click.option("--restart", is_flag=True, help="Begin anew instead of going on.")
def replay_command(
    files: tuple[Path, ...],
    format_: str,
    column_map: str,
    stations: Path | None,
    speed: float | None,
    shift_to_now: bool,
    url: str | None,
    token: str | None,
    data_dir: Path,
    batch: int,
    state_dir: Path,
    restart: bool,
) -> None:
    """Send the readings of archives to a running node.

    Reads archives of sensor.community and OpenAQ, exports of a node, CSV, NDJSON, GeoJSON, Parquet;
    text gzipped or not; times without a zone are UTC.
    When it is interrupted, the same command goes on where it was.
    """
    with _access(url, token, data_dir) as (node_url, secret):
        options = ReplayOptions(
            url=node_url,
            token=secret,
            state_dir=state_dir,
            archive=ArchiveOptions(format_, column_map, stations),
            speed=speed,
            shift_to_now=shift_to_now,
            restart=restart,
            batch=batch,
        )
        summary = interruptible(partial(replay, files, options))
    tell(summary)


def interruptible(work: Callable[[Report, threading.Event], ReplaySummary]) -> ReplaySummary:
    """Run with a report to the terminal, until a signal stops it.

    Raises:
        WrongUsage: the map does not fit.
    """
    try:
        with terminal_report() as report, _stop_on_signal() as stop:
            return work(report, stop)
    except MapError as error:
        raise WrongUsage(error.message) from error


def tell(summary: ReplaySummary) -> None:
    """Say what became of it.

    Raises:
        EdgeError: it was stopped.
    """
    for line in closing_lines(summary):
        click.echo(line)
    if not summary.complete:
        raise EdgeError("stopped; the same command goes on, --restart begins anew")


@contextmanager
def _access(url: str | None, token: str | None, data_dir: Path) -> Iterator[tuple[str, str]]:
    """Where to send and with which token; one that the node here gave is revoked at the end."""
    if url is not None and not url.startswith(("http://", "https://")):
        raise WrongUsage(f"'{url}' is no address; write --to http://{url}")
    if token is None:
        if url is not None and not is_loopback(url):
            raise WrongUsage(f"a node elsewhere ({url}) needs its token: pass --token")
        with _granted(data_dir) as granted:
            yield (url or granted["url"]).rstrip("/"), granted["token"]
    else:
        yield (url or _DEFAULT_URL).rstrip("/"), token


@contextmanager
def _granted(data_dir: Path) -> Iterator[dict[str, Any]]:
    try:
        granted: dict[str, Any] = request(data_dir, "token", {"scope": "gateway", "name": "replay"})
    except NotRunning as error:
        raise EdgeError(f"{error.message}; start it, or name one with --to and --token") from error
    try:
        yield granted
    finally:
        with suppress(NotRunning):
            request(data_dir, "revoke_token", {"id": granted["id"]})


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into an event, the second into an interrupt."""
    stop = threading.Event()

    def ask(signum: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    former = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
