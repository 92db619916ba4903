"""The commands `urbanos-edge token …`."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from urbanos_edge.cli.asking import ask, data_dir_option, json_option, show
from urbanos_edge.tokens import Scope


@click.group()
def token() -> None:
    """Create, list and revoke tokens."""


@token.command("create")
@data_dir_option
@click.option("--scope", type=click.Choice(get_args(Scope)), required=True)
@click.option("--sensor", help="The sensor a token of scope 'sensor' writes for.")
@click.option("--name", default="", help="What it is for.")
def create_token(data_dir: Path, scope: str, sensor: str | None, name: str) -> None:
    """Print a new token, alone, on stdout. It is shown this once."""
    if (scope == "sensor") != (sensor is not None):
        raise click.UsageError("--sensor goes with --scope sensor, and only with it")
    arguments = {"scope": scope, "sensor": sensor, "name": name}
    click.echo(ask(data_dir, "token", arguments)["token"])


@token.command("list")
@data_dir_option
@json_option
def list_tokens(data_dir: Path, as_json: bool) -> None:
    """Show all tokens, without their secrets."""
    found = ask(data_dir, "tokens")
    show(found, ("id", "scope", "sensor_id", "name", "created_at_us", "revoked_at_us"), as_json)


@token.command("revoke")
@data_dir_option
@click.argument("number", type=int)
def revoke_token(data_dir: Path, number: int) -> None:
    """End a token's use at once."""
    ask(data_dir, "revoke_token", {"id": number})
    click.echo(f"token {number} is revoked", err=True)
