"""The commands `urbanos-edge inbox …`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from urbanos_edge.cli.asking import (
    NameType,
    ask,
    data_dir_option,
    json_option,
    latitude,
    longitude,
    show,
)
from urbanos_edge.discovery.nearby import MAX_DEVICES
from urbanos_edge.ingest.inbox import MAX_BYTES, MAX_CANDIDATES, MAX_SENDERS
from urbanos_edge.ingest.sources import RULES


@click.group()
def inbox() -> None:
    """Senders that nobody has claimed, and what they sent."""


@inbox.command("list")
@data_dir_option
@json_option
@click.option("--ignored", is_flag=True, help="Those that are ignored instead.")
def list_inbox(data_dir: Path, as_json: bool, ignored: bool) -> None:
    """Show the unknown senders, the latest heard first.

    'dropped' counts what no longer fitted. The sender that has been silent
    longest gives way to a new one.
    """
    if ignored:
        show(ask(data_dir, "ignored"), ("sender", "ignored_at_us"), as_json)
        return
    found = ask(data_dir, "inbox")
    counts = ("messages", "kept", "bytes", "dropped")
    seen = ("first_seen_at_us", "last_seen_at_us")
    show(found, ("sender", "protocol", "address", *seen, *counts), as_json)
    if not as_json:
        click.echo(
            f"{len(found)} of at most {MAX_SENDERS} senders; of each the newest"
            f" {MAX_CANDIDATES:,} candidates, {MAX_BYTES >> 10} KiB"
        )


@inbox.command("nearby")
@data_dir_option
@json_option
def list_nearby(data_dir: Path, as_json: bool) -> None:
    """Show the sensors and nodes that the running node found in its network.

    'sensor id' is what a device was claimed for. One that is not asked for
    readings pushes them, or is beyond the node's own networks.
    """
    found = ask(data_dir, "nearby")
    what = ("kind", "name", "sender", "sensor_id", "address", "model", "firmware")
    show(found, (*what, "is_asked", "is_here", "last_seen_at_us"), as_json)
    if not as_json:
        click.echo(f"{len(found)} of at most {MAX_DEVICES}; what left gives way to what is new")


@inbox.command("refused")
@data_dir_option
@json_option
def list_refused(data_dir: Path, as_json: bool) -> None:
    """Show who was turned away at the doors of sensors since the start.

    Wrong tokens, addresses and bodies, with what the sender was told. What came
    with a good token and could not be read is among the 'dead-letters'.
    """
    found = ask(data_dir, "refused")
    told = ("status", "message", "times", "first_at_us", "last_at_us")
    show(found, ("address", "device", "door", *told), as_json)


@inbox.command("claim")
@data_dir_option
@json_option
@click.argument("sender")
@click.option("--sensor", metavar="ID", help="Whose readings these are.  [default: SENDER]")
@click.option("--name", type=NameType(), help="What people call the sensor.")
@click.option("--lat", type=latitude, help="Degrees north.")
@click.option("--lng", type=longitude, help="Degrees east.")
@click.option("--rule", type=click.Choice(RULES), default="token", help="What it must show.")
@click.option("--address", help="For 'address': address or network.  [default: the last]")
@click.option("--user", help="For 'basic'.  [default: SENDER]")
@click.option("--password", help="For 'basic'.  [default: a new one]")
def claim(data_dir: Path, as_json: bool, **given: Any) -> None:
    """Make SENDER speak for a sensor, and import what waits of it.

    The new token, or the password made, stands alone on stdout. Claiming again
    changes the rule; --rule open believes anybody who knows the name.
    """
    wanted = {name: value for name, value in given.items() if value is not None}
    claimed = ask(data_dir, "inbox_claim", wanted)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(claimed)))
        return
    if claimed["secret"] is not None:
        click.echo(claimed["secret"])
    became = f"{claimed['source']['sender']} is sensor {claimed['sensor']['id']}"
    refused = f", {claimed['refused']:,} refused (dead letters)" if claimed["refused"] else ""
    click.echo(f"{became}; {claimed['imported']:,} readings imported{refused}", err=True)


@inbox.command("ignore")
@data_dir_option
@click.argument("sender")
@click.option("--undo", is_flag=True, help="Hear it again.")
def ignore(data_dir: Path, sender: str, undo: bool) -> None:
    """Hear SENDER no more, and throw away what is kept of it."""
    ask(data_dir, "inbox_ignore", {"sender": sender, "undo": undo})
    click.echo(f"{sender} is {'heard again' if undo else 'ignored'}", err=True)
