"""Commands that look after sensors and the inbox."""

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
from urbanos_edge.cli.calibrate import calibrate, correction_line
from urbanos_edge.clock import to_rfc3339


@click.group()
def sensor() -> None:
    """The registered sensors."""


sensor.add_command(calibrate)


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
        called = f" {token['name']}" if token["name"] else ""
        click.echo(f"token {token['id']}{called}, made {made}")


@sensor.command("add")
@data_dir_option
@click.argument("sensor_id", metavar="ID")
@click.option("--name", type=NameType(), help="What people call it.  [default: ID]")
@click.option("--lat", type=latitude, required=True, help="Degrees north.")
@click.option("--lng", type=longitude, required=True, help="Degrees east.")
def add_sensor(data_dir: Path, sensor_id: str, name: str | None, lat: float, lng: float) -> None:
    """Register a sensor before it has sent anything."""
    arguments = {"id": sensor_id, "name": name, "lat": lat, "lng": lng}
    waiting = ask(data_dir, "sensor_add", arguments)["waiting"]
    click.echo(f"{sensor_id} is registered; next: sensor token {sensor_id}", err=True)
    if waiting:
        took = f"inbox claim {sensor_id} takes them, and makes a token, too"
        click.echo(f"{waiting:,} readings of that name wait in the inbox: {took}", err=True)


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
@click.argument("name", type=NameType())
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


def _show_refused(refused: dict[str, Any] | None) -> None:
    if refused is not None:
        at = to_rfc3339(refused["at_us"])
        click.echo(f"  refused {refused['messages']:,}, last from {refused['address']} at {at}")
