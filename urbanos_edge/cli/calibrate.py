"""The command `urbanos-edge sensor calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from urbanos_edge.cli.asking import Finite, ask, data_dir_option, finite, json_option, when_us
from urbanos_edge.clock import to_rfc3339
from urbanos_edge.reading import QUANTITIES, QUANTITY_NAMES

POOR_FIT = 0.7
"""EPA's target for PM2.5 sensors (EPA/600/R-20/280, table 1): R² of at least 0.70."""
_UNIT = {quantity.name: quantity.unit for quantity in QUANTITIES}


@click.command()
@data_dir_option
@json_option
@click.argument("sensor_id", metavar="ID")
@click.option("--against", metavar="REF", help="Fit it to this sensor, which stands beside it.")
@click.option(
    "--days",
    type=Finite(0, 366, min_open=True),
    default=14,
    show_default=True,
    help="Length of the fit.",
)
@click.option("--ending", metavar="WHEN", help="End of the fit.  [default: now]")
@click.option("--apply", "is_applied", is_flag=True, help="Correct by what the fit finds.")
@click.option(
    "--gain", type=Finite(0, min_open=True), help="By hand: the value is GAIN times what it said,"
)
@click.option("--offset", type=finite, help="plus OFFSET.  [default: 0]")
@click.option("--end", "is_ended", is_flag=True, help="No correction of its own any more.")
@click.option(
    "--quantity",
    type=click.Choice(QUANTITY_NAMES),
    default="pm25",
    show_default=True,
    metavar="NAME",
    help="What is corrected.",
)
@click.option("--from", "begins", metavar="WHEN", help="Valid from (or ends at).  [default: now]")
@click.option("--until", metavar="WHEN", help="Valid until.  [default: for good]")
def calibrate(data_dir: Path, as_json: bool, **given: Any) -> None:
    """Correct a sensor by a straight line, fitted or by hand.

    WHEN is a day, from its beginning in UTC, or a moment with a zone.
    """
    line = None if given["gain"] is None else {"gain": given["gain"], "shift": given["offset"] or 0}
    if (line is not None) + (given["against"] is not None) + given["is_ended"] != 1:
        raise click.UsageError("say --against REF, or --gain (and --offset), or --end")
    if given["offset"] is not None and line is None:
        raise click.UsageError("--offset goes with --gain")
    wanted = {
        "id": given["sensor_id"],
        "quantity": given["quantity"],
        "line": line,
        "reference_id": given["against"],
        "days": given["days"],
        "until_us": when_us("ending", given["ending"]),
        "is_applied": given["is_applied"],
        "is_ended": given["is_ended"],
        "valid_from_us": when_us("from", given["begins"]),
        "valid_until_us": when_us("until", given["until"]),
    }
    done = ask(data_dir, "sensor_calibrate", wanted)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(done)))
        return
    _show_fit(done["fit"], _UNIT[given["quantity"]])
    if done["calibration"] is not None:
        click.echo(correction_line(done["calibration"]))
    if done["calibration"] is not None or done["ended"]:
        click.echo("what is stored already follows with: urbanos-edge regrade", err=True)


def correction_line(one: dict[str, Any]) -> str:
    """A sensor's own correction in one line: what it is, from when, and what it rests on."""
    sign = "-" if one["shift"] < 0 else "+"
    line = f"{one['quantity']} = {one['gain']:.6g} x {sign} {abs(one['shift']):.6g}"
    until = "" if one["valid_until_us"] is None else f" until {to_rfc3339(one['valid_until_us'])}"
    span = f"from {to_rfc3339(one['valid_from_us'])}{until}"
    return f"{line}, version {one['version']}, {span}: {one['basis']}"


def _show_fit(fit: dict[str, Any] | None, unit: str) -> None:
    if fit is None:
        return
    sign = "-" if fit["shift"] < 0 else "+"
    click.echo(f"hours   {fit['hours']} in common, {fit['incomplete']} incomplete left out")
    click.echo(f"line    {fit['gain']:.6g} x {sign} {abs(fit['shift']):.6g} {unit}")
    click.echo(f"R²      {fit['r_squared']:.3f}")
    click.echo(f"RMSE    {fit['rmse_before']:.3g} {unit} before, {fit['rmse_after']:.3g} after")
    if fit["r_squared"] < POOR_FIT:
        click.echo(f"they hardly agree: R² should be {POOR_FIT} or more", err=True)
