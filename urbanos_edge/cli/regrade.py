"""The command `urbanos-edge regrade`."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import click
import msgspec

from urbanos_edge.cli.asking import ask, data_dir_option, json_option, progress_bar


@click.command()
@data_dir_option
@json_option
@click.option("--from", "first", metavar="DAY", help="First day, in UTC.  [default: the oldest]")
@click.option("--to", "last", metavar="DAY", help="Last day, included.  [default: the newest]")
@click.option("--sensor", "sensor_id", metavar="ID", help="Only this sensor's readings.")
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Only show what would change.")
def regrade(
    data_dir: Path,
    as_json: bool,
    first: str | None,
    last: str | None,
    sensor_id: str | None,
    is_dry_run: bool,
) -> None:
    """Compute corrections and indexes of stored readings anew.

    Do this after a change of the standard, its tables or a correction. It
    starts from what the sensors said; readings that are right already are
    left alone, so it may be broken off and asked again. Flags stay, but for
    "range", which follows the values. The node goes on serving.
    """
    span: dict[str, Any] = {"sensor_id": sensor_id, "is_dry_run": is_dry_run}
    span |= {"from_day": _day("from", first)} if first else {}
    span |= {"to_day": _day("to", last)} if last else {}
    if first and last and span["from_day"] > span["to_day"]:
        raise click.UsageError("--from must not be after --to")
    with progress_bar("regrading") as tell:
        report = ask(data_dir, "regrade", span, on_progress=tell)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report)))
        return
    would = "would change" if is_dry_run else "changed"
    click.echo(f"{report['readings']:,} readings {would} in {report['files']:,} files")
    if report["days"]:
        click.echo(f"of {report['days'][0]} to {report['days'][-1]}, {len(report['days'])} days")
    if report["final_days"]:
        days = f"{report['final_days'][0]} to {report['final_days'][-1]}"
        click.echo(f"hourly aggregates of {days} stay: their readings have expired", err=True)


def _day(name: str, text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise click.UsageError(f"--{name} must be a day like 2026-11-23") from error
