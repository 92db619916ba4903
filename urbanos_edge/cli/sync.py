"""Commands about the centre that this node brings its aggregates to."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from urbanos_edge.cli.asking import ask, data_dir_option, json_option, progress_bar, show
from urbanos_edge.clock import to_us

_DIFFERENCE: Final = (
    *("hour", "of", "rows_here", "rows_there", "digest_here", "digest_there", "is_owed"),
)
STATES: Final = {
    "off": "no centre is set; name its address with the setting sync_dsn",
    "starting": "the centre was not heard of yet",
    "failing": "the centre does not get anything",
    "sending": "the centre is getting what it lacks",
    "in_sync": "the centre has everything",
}
_Day = click.DateTime(formats=("%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"))


@click.group()
def sync() -> None:
    """What the centre gets of this node; docs/central.md."""


@sync.command("status")
@data_dir_option
@json_option
def sync_status(data_dir: Path, as_json: bool) -> None:
    """Show how it stands with the centre, and what is wrong."""
    found = ask(data_dir, "status")["sync"]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)))
        return
    click.echo(f"state     {found['state']}: {STATES[found['state']]}")
    if found["centre"] is None:
        return
    heard = f"heard {found['heard_at']}" if found["heard_at"] else "not heard since the start"
    click.echo(f"centre    {found['centre']}, {found['mode']}, {heard}")
    waiting = f"{found['pending_hours']:,} hours, about {found['pending_buckets']:,} buckets"
    click.echo(f"waiting   {waiting}, the oldest for {found['lag_s']:,.0f} s")
    if found["failure"]:
        click.echo(f"failing   since {found['failing_since']}: {found['failure']}")
    for warning in found["warnings"]:
        click.echo(f"warning   {warning}")


@sync.command("now")
@data_dir_option
@json_option
def sync_now(data_dir: Path, as_json: bool) -> None:
    """Compare everything with the centre and send what differs.

    Returns when the centre has all that the node has.
    """
    with progress_bar("syncing") as tell:
        _tell(ask(data_dir, "sync_now", on_progress=tell), as_json)


@sync.command("backfill")
@data_dir_option
@json_option
@click.option("--from", "since", type=_Day, required=True, help="A day in UTC, or a moment.")
@click.option("--to", "until", type=_Day, required=True, help="The same, exclusive.")
def sync_backfill(data_dir: Path, as_json: bool, since: datetime, until: datetime) -> None:
    """Compare the hours of a span with the centre and send what differs."""
    if until <= since:
        raise click.UsageError("--to must be later than --from")
    span = {"since_us": _us(since), "until_us": _us(until)}
    with progress_bar("syncing") as tell:
        _tell(ask(data_dir, "sync_backfill", span, tell), as_json)


@sync.command("verify")
@data_dir_option
@json_option
def sync_verify(data_dir: Path, as_json: bool) -> None:
    """Compare what both sides have, hour by hour; exit with 1 where they differ.

    Digests are made from the rows on both sides, so damage at the centre
    shows. What differs is sent with the next round.
    """
    with progress_bar("comparing") as tell:
        found: Sequence[Mapping[str, Any]] = ask(data_dir, "sync_verify", on_progress=tell)
    if found or as_json:
        show(found, _DIFFERENCE, as_json)
    if found:
        click.echo(f"{len(found):,} hours differ", err=True)
        sys.exit(1)
    click.echo("node and centre have the same", err=True)


def _tell(done: Mapping[str, int], as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(done)))
        return
    sent = f"{done['hours_sent']:,} sent with {done['buckets']:,} buckets"
    readings = f" and {done['readings']:,} readings" if done["readings"] else ""
    click.echo(f"{done['hours']:,} hours compared, {sent}{readings}")


def _us(moment: datetime) -> int:
    return to_us(moment.replace(tzinfo=UTC))
