"""The command `urbanos-edge flags`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from urbanos_edge.cli.asking import ask, data_dir_option, json_option, show, when_us
from urbanos_edge.clock import DAY_US

_FIELDS = ("flag", "sensor_id", "flagged", "of", "first_at_us", "last_at_us", "pm25", "pm10")


@click.command()
@data_dir_option
@json_option
@click.option(
    "--from", "since", metavar="WHEN", help="A day or a moment; included.  [default: 24 h ago]"
)
@click.option("--to", "until", metavar="WHEN", help="The same; not included.  [default: now]")
def flags(data_dir: Path, as_json: bool, since: str | None, until: str | None) -> None:
    """Show which sensors were flagged, for what, and how often.

    One line for each flag and sensor, the most readings first: when, and between which PM values,
    in µg/m³. WHEN is a day like 2026-11-23, from its beginning in UTC, or a moment with a zone like
    2026-11-23T10:00:00Z.
    """
    now_us = time.time_ns() // 1000
    since_us, until_us = when_us("from", since), when_us("to", until)
    since_us = now_us - DAY_US if since_us is None else since_us
    until_us = now_us if until_us is None else until_us
    if since_us > until_us:
        raise click.UsageError("--from must not be after --to, which is now when left out")
    found = ask(data_dir, "flags", {"since_us": since_us, "until_us": until_us})
    show(found if as_json else [_line(one) for one in found], _FIELDS, as_json)


def _line(found: dict[str, Any]) -> dict[str, Any]:
    """A finding as it is shown in the table."""
    return {
        **found,
        "of": found["readings"],
        "pm25": _between(found["lowest_pm25"], found["highest_pm25"]),
        "pm10": _between(found["lowest_pm10"], found["highest_pm10"]),
    }


def _between(lowest: float | None, highest: float | None) -> str:
    if lowest is None:
        return ""
    return f"{lowest:g}" if lowest == highest else f"{lowest:g} to {highest:g}"
