"""Commands that look after sensors and the inbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from urbanos_edge.asking import ask, data_dir_option, json_option, show
from urbanos_edge.clock import to_rfc3339
from urbanos_edge.inbox import MAX_BYTES, MAX_CANDIDATES, MAX_SENDERS
from urbanos_edge.nearby import MAX_DEVICES
from urbanos_edge.sources import RULES

latitude = click.FloatRange(-90, 90)
longitude = click.FloatRange(-180, 180)


@click.group()
def sensor() -> None:
    """The registered sensors."""


@sensor.command("list")
@data_dir_option
@json_option
def list_sensors(data_dir: Path, as_json: bool) -> None:
    """Show all registered sensors.

    'rule' is the weakest that a sensor's readings may come in by.
    """
    fields = ("id", "name", "lat", "lng", "source", "rule", "registered_at_us")
    show(ask(data_dir, "sensors"), fields, as_json)


@sensor.command("show")
@data_dir_option
@json_option
@click.argument("sensor_id", metavar="ID")
def show_sensor(data_dir: Path, as_json: bool, sensor_id: str) -> None:
    """Show a sensor: its place, who is believed for it, and its tokens."""
    found = ask(data_dir, "sensor", {"id": sensor_id})
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)))
        return
    click.echo(f"{found['id']}: {found['name']}, at {found['lat']}, {found['lng']}")
    registered = to_rfc3339(found["registered_at_us"])
    click.echo(f"registered {registered}, source '{found['source']}', rule '{found['rule']}'")
    for source in found["sources"]:
        shown = source["network"] or source["user"]
        needs = f"{source['rule']} {shown}" if shown else source["rule"]
        click.echo(f"sender {source['sender']} ({source['protocol']}) needs: {needs}")
        _show_refused(source["refused"])
    if not any(source["sender"] == found["id"] for source in found["sources"]):
        _show_refused(found["refused"])
    for correction in found["corrections"]:
        click.echo(f"correction {correction_line(correction)}")
    for token in found["tokens"]:
        made = to_rfc3339(token["created_at_us"])
        click.echo(f"token {token['id']} {token['name']}, made {made}")


@sensor.command("add")
@data_dir_option
@click.argument("sensor_id", metavar="ID")
@click.option("--name", help="What people call it.  [default: ID]")
@click.option("--lat", type=latitude, required=True, help="Degrees north.")
@click.option("--lng", type=longitude, required=True, help="Degrees east.")
def add_sensor(data_dir: Path, sensor_id: str, name: str | None, lat: float, lng: float) -> None:
    """Register a sensor before it has sent anything."""
    arguments = {"id": sensor_id, "name": name, "lat": lat, "lng": lng}
    ask(data_dir, "sensor_add", arguments)
    click.echo(f"{sensor_id} is registered; next: sensor token {sensor_id}", err=True)


@sensor.command("move")
@data_dir_option
@click.argument("sensor_id", metavar="ID")
@click.option("--lat", type=latitude, required=True, help="Degrees north.")
@click.option("--lng", type=longitude, required=True, help="Degrees east.")
def move_sensor(data_dir: Path, sensor_id: str, lat: float, lng: float) -> None:
    """Give a sensor another place.

    Readings that come without a place from now on are of the new one; what
    was measured before stays where it was measured.
    """
    ask(data_dir, "sensor_change", {"id": sensor_id, "place": {"lat": lat, "lng": lng}})
    click.echo(f"{sensor_id} stands at {lat}, {lng} from now on", err=True)


@sensor.command("rename")
@data_dir_option
@click.argument("sensor_id", metavar="ID")
@click.argument("name")
def rename_sensor(data_dir: Path, sensor_id: str, name: str) -> None:
    """Give a sensor another name for people; its ID stays."""
    ask(data_dir, "sensor_change", {"id": sensor_id, "name": name})
    click.echo(f"{sensor_id} is called '{name}'", err=True)


@sensor.command("remove")
@data_dir_option
@click.argument("sensor_id", metavar="ID")
def remove_sensor(data_dir: Path, sensor_id: str) -> None:
    """Take a sensor out of the registry and revoke its tokens.

    What it measured stays. If it goes on sending, it is unknown again.
    """
    ask(data_dir, "sensor_remove", {"id": sensor_id})
    click.echo(f"{sensor_id} is removed; its readings stay", err=True)


@sensor.command("token")
@data_dir_option
@click.argument("sensor_id", metavar="ID")
@click.option("--name", default="", help="What it is for.")
@click.option("--rotate", is_flag=True, help="Revoke the sensor's older tokens.")
def make_token(data_dir: Path, sensor_id: str, name: str, rotate: bool) -> None:
    """Print a new token for a sensor, alone, on stdout. It is shown this once.

    Older tokens stay good unless they are rotated out; 'token revoke' ends
    a single one.
    """
    made = ask(data_dir, "sensor_token", {"id": sensor_id, "name": name})
    click.echo(made["token"])
    for number in made["older"] if rotate else ():
        ask(data_dir, "revoke_token", {"id": number})
        click.echo(f"token {number} is revoked", err=True)


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


@inbox.command("claim")
@data_dir_option
@json_option
@click.argument("sender")
@click.option("--sensor", metavar="ID", help="Whose readings these are.  [default: SENDER]")
@click.option("--name", help="What people call the sensor.")
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


def correction_line(one: dict[str, Any]) -> str:
    """A sensor's own correction in one line: what it is, from when, and what it rests on."""
    sign = "-" if one["shift"] < 0 else "+"
    line = f"{one['quantity']} = {one['gain']:.6g} x {sign} {abs(one['shift']):.6g}"
    until = "" if one["valid_until_us"] is None else f" until {to_rfc3339(one['valid_until_us'])}"
    span = f"from {to_rfc3339(one['valid_from_us'])}{until}"
    return f"{line}, version {one['version']}, {span}: {one['basis']}"


def _show_refused(refused: dict[str, Any] | None) -> None:
    if refused is not None:
        at = to_rfc3339(refused["at_us"])
        click.echo(f"  refused {refused['messages']:,}, last from {refused['address']} at {at}")
