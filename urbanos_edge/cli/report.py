"""The command `urbanos-edge report`: what people say they smell or see, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from urbanos_edge.cli.asking import ask, data_dir_option, json_option, show
from urbanos_edge.ingest.reports import STATES, Verdict

_TABLE: Final = ("id", "state", "kind", "noticed_at_us", "lat", "lng", "note")
numbers_argument = click.argument("numbers", type=int, nargs=-1, required=True)


@click.group()
def report() -> None:
    """What people say they smell or see."""


@report.command("list")
@data_dir_option
@json_option
@click.option("--state", type=click.Choice(STATES), help="Only these; pending: not looked at.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
def list_all(data_dir: Path, as_json: bool, state: str | None, limit: int) -> None:
    """Show the reports, the newest first."""
    states = STATES if state is None else (state,)
    found = ask(data_dir, "reports", {"states": states, "limit": limit})
    show(found if as_json else [_line(one) for one in found], _TABLE, as_json)


@report.command("approve")
@data_dir_option
@json_option
@numbers_argument
def approve(data_dir: Path, as_json: bool, numbers: tuple[int, ...]) -> None:
    """Show reports to everybody, by number."""
    _decide(data_dir, as_json, numbers, "approved")


@report.command("reject")
@data_dir_option
@json_option
@numbers_argument
def reject(data_dir: Path, as_json: bool, numbers: tuple[int, ...]) -> None:
    """Show reports to nobody, by number."""
    _decide(data_dir, as_json, numbers, "rejected")


def _decide(data_dir: Path, as_json: bool, numbers: tuple[int, ...], verdict: Verdict) -> None:
    decided = [
        ask(data_dir, "report_decide", {"id": number, "verdict": verdict}) for number in numbers
    ]
    if as_json:
        show(decided, _TABLE, as_json)
        return
    for one in decided:
        click.echo(f"report {one['id']} is {verdict}", err=True)


def _line(found: dict[str, Any]) -> dict[str, Any]:
    """A report as it is shown in the table."""
    return {**found, "noticed_at_us": found["at_us"]}
