"""The commands `urbanos-edge dead-letters …`."""

from __future__ import annotations

from pathlib import Path

import click

from urbanos_edge.cli.asking import ask, data_dir_option, json_option, show
from urbanos_edge.errors import EdgeError


@click.group("dead-letters")
def dead_letters() -> None:
    """Readings that could not be taken or stored."""


@dead_letters.command("list")
@data_dir_option
@json_option
@click.option("--limit", type=click.IntRange(1, 20_000), default=100, show_default=True)
def list_dead_letters(data_dir: Path, as_json: bool, limit: int) -> None:
    """Show the newest dead letters: when, why and what."""
    fields = ("id", "rejected_at_us", "code", "message", "payload")
    show(ask(data_dir, "dead_letters", {"limit": limit}), fields, as_json)


@dead_letters.command("requeue")
@data_dir_option
@click.argument("ids", type=int, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
def requeue(data_dir: Path, ids: tuple[int, ...], everything: bool) -> None:
    """Send letters through the door again, by number or --all.

    --all leaves out what came in the name of a sensor whose own it was not
    (not_your_sensor, source_refused): by its number you vouch for it.
    """
    accepted = ask(data_dir, "requeue", {"ids": _chosen(ids, everything)})
    _tell(accepted, ids, "readings accepted")


@dead_letters.command("purge")
@data_dir_option
@click.argument("ids", type=int, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
def purge(data_dir: Path, ids: tuple[int, ...], everything: bool) -> None:
    """Throw letters away for good, by number or --all."""
    purged = ask(data_dir, "purge", {"ids": _chosen(ids, everything)})
    _tell(purged, ids, "letters thrown away")


def _chosen(ids: tuple[int, ...], everything: bool) -> list[int] | None:
    if bool(ids) == everything:
        raise click.UsageError("name letters by number, or --all")
    return None if everything else list(ids)


def _tell(count: int, ids: tuple[int, ...], what: str) -> None:
    """Say what became of the letters.

    Raises:
        EdgeError: not of all that were named.
    """
    click.echo(f"{count:,} {what}", err=True)
    if count < len(set(ids)):
        raise EdgeError("not all of these: what is not known, refused again or held in the inbox")
