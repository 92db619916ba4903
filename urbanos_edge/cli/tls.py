"""Commands for HTTPS: the box's own certificate, and how it is trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from urbanos_edge.cli.asking import ask, data_dir_option, json_option
from urbanos_edge.tls.tls import DEFAULT_DAYS, MAX_DAYS


@click.group()
def tls() -> None:
    """HTTPS with a certificate of the box's own authority."""


@tls.command()
@data_dir_option
@click.option("--name", "names", multiple=True, help="A further name or address; repeatable.")
@click.option(
    "--days",
    type=click.IntRange(1, MAX_DAYS),
    help=f"How long each certificate is good.  [default: {DEFAULT_DAYS}]",
)
@click.option("--anew", is_flag=True, help="Make another authority, to be trusted anew.")
def init(data_dir: Path, names: tuple[str, ...], days: int | None, anew: bool) -> None:
    """Make the box's authority, unless there is one, and a new certificate.

    It is for the names and addresses that the box has by itself, and for
    those of --name; names and days given replace those given before. A
    running node uses it at once and renews it in time.
    """
    arguments = {"names": list(names) or None, "days": days, "anew": anew}
    _tell(ask(data_dir, "tls_init", arguments))


@tls.command()
@data_dir_option
@json_option
def status(data_dir: Path, as_json: bool) -> None:
    """Show the authority's fingerprint and what the certificate is for."""
    standing = ask(data_dir, "tls_status")
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(standing)))
    else:
        _tell(standing)


def _tell(standing: dict[str, Any]) -> None:
    port = standing["port"]
    click.echo(f"authority    {standing['authority']}, until {standing['authority_expires_at']}")
    click.echo(f"in words     {standing['words']}")
    click.echo(f"SHA-256      {standing['sha256']}")
    click.echo(f"certificate  {', '.join(standing['names'])}")
    click.echo(f"good until   {standing['expires_at']}, renewed from {standing['renewed_at']}")
    served = "not served; set tls_port" if port is None else f"served on port {port}, and /trust"
    click.echo(f"HTTPS        {served}")
    if standing["failure"] is not None:
        click.echo(f"failure      {standing['failure']}")
