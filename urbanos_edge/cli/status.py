"""The command `urbanos-edge status`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from urbanos_edge.cli.asking import ask, data_dir_option, json_option
from urbanos_edge.cli.sync import STATES


@click.command()
@data_dir_option
@json_option
def status(data_dir: Path, as_json: bool) -> None:
    """Show how the node is."""
    found = ask(data_dir, "status")
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)))
        return
    spool, store, sensors = found["spool"], found["store"], found["sensors"]
    running = f"runs at {found['url']}" if found["url"] else "does not run"
    click.echo(f"{found['node']['name']} ({found['node']['id']}) {running}")
    _tell_summary(found["summary"])
    click.echo(f"sensors   {sensors['total']:,} known, {sensors['reporting']:,} in the last 24 h")
    click.echo(f"spool     {spool['readings']:,} readings wait")
    size = f"{store['bytes']:,} bytes, {store['files']} files"
    click.echo(f"store     {store['rows']:,} readings, {size}")
    grading = found["grading"]
    if grading["outdated_days"]:
        days = f"{grading['outdated_from']} to {grading['outdated_to']}"
        click.echo(f"grading   {days} not by {grading['current']}; see urbanos-edge regrade")
    disk = found["disk"]
    full = f"full in {disk['full_in_days']} days at this rate" if disk["full_in_days"] else "fits"
    click.echo(f"disk      {disk['free_bytes']:,} bytes free, {full}")
    proven = found["backup"]["last_proven_at"]
    click.echo(f"backup    {f'last proven {proven}' if proven else 'none proven'}")
    if found["url"] and found["mqtt"]["broker"]:
        click.echo(f"mqtt      {_broker(found['mqtt'])}")
    if found["pulls"]["sources"]:
        failing = f"{found['pulls']['failing']} failing"
        click.echo(f"pulls     {len(found['pulls']['sources'])} sources, {failing}")
    if found["tls"]["failure"]:
        click.echo(f"tls       {found['tls']['failure']}")
    if found["sync"]["centre"]:
        click.echo(f"centre    {STATES[found['sync']['state']]}; see urbanos-edge sync status")
    if found["quarantined"]:
        click.echo(f"damaged   {found['quarantined']} files set aside; see urbanos-edge check")
    for outcome, readings in found["totals"].items():
        click.echo(f"{outcome.replace('_', ' '):<13} {readings:,}")


def _tell_summary(summary: dict[str, Any]) -> None:
    click.echo(summary["headline"])
    for sentence in summary["sentences"]:
        if sentence["level"] != "well":
            click.echo(f"  {sentence['text']}")


def _broker(mqtt: dict[str, Any]) -> str:
    """How it is with the broker, in half a line."""
    state = "connected" if mqtt["connected"] else "not connected"
    told = f"{mqtt['broker']} {state}, {mqtt['messages']:,} messages, {mqtt['refused']:,} refused"
    return f"{told}; {mqtt['failure']}" if mqtt["failure"] else told
