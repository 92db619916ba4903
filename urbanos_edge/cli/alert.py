"""Commands about alerts: their rules, what is raised, and whether anybody would be told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import click

from urbanos_edge.cli.asking import ask, data_dir_option, finite, json_option, show

_SPAN: Final = re.compile(r"(\d{1,7})(s|m|h|d)", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_RULE: Final = ("id", "name", "says", "where", "told", "raised")
_ALERT: Final = ("id", "rule", "sensor_id", "value", "since", "raised_at", "cleared_at")


class Span(click.ParamType[int]):
    """A span of time like 90s, 10m, 2h or 1d, as seconds."""

    name = "span"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        match = _SPAN.fullmatch(str(value))
        if match is None:
            self.fail(f"'{value}' is no span of time; write 90s, 10m, 2h or 1d", param, ctx)
        return int(match[1]) * _SECONDS[match[2]]


class Box(click.ParamType[list[float]]):
    """`minLng,minLat,maxLng,maxLat` in degrees."""

    name = "box"

    def convert(self, value: Any, param: Any, ctx: Any) -> list[float]:
        try:
            edges = [float(edge) for edge in str(value).split(",")]
        except ValueError:
            edges = []
        if len(edges) != 4:
            self.fail("four numbers are needed: minLng,minLat,maxLng,maxLat", param, ctx)
        return edges


@click.group()
def alert() -> None:
    """Rules for alerts, and what they have raised."""


@alert.command("add")
@data_dir_option
@click.option("--quantity", help="What is compared: pm25, no2, …, or aqi.")
@click.option("--over", type=finite, help="Raise above this value.")
@click.option("--under", type=finite, help="Raise below this value.")
@click.option("--silent", is_flag=True, help="Raise when nothing comes for --for.")
@click.option("--stuck", is_flag=True, help="Raise when readings are flagged as stuck.")
@click.option("--for", "for_s", type=Span(), help="Only after so long, like 10m.")
@click.option("--margin", type=finite, help="Clear only so far on the other side.")
@click.option("--clear-for", "clear_for_s", type=Span(), help="Clear only after so long.")
@click.option("--sensor", "sensor_id", help="Only this sensor.")
@click.option("--grid", "grid_id", help="Only sensors in this grid.")
@click.option("--bbox", type=Box(), help="Only in minLng,minLat,maxLng,maxLat.")
@click.option("--name", help="What the alert is called.")
@click.option("--url", help="Webhook to tell, instead of alert_webhook_url.")
def add(
    data_dir: Path,
    over: float | None,
    under: float | None,
    silent: bool,
    stuck: bool,
    **more: Any,
) -> None:
    """Add a rule; prints its number."""
    given = {"over": over, "under": under, "silent": silent or None, "stuck": stuck or None}
    kinds = [(kind, value) for kind, value in given.items() if value is not None]
    if len(kinds) != 1:
        raise click.UsageError("say one of --over, --under, --silent and --stuck")
    when, threshold = kinds[0]
    rule = {"when": when, **{name: value for name, value in more.items() if value is not None}}
    if when in ("over", "under"):
        rule["threshold"] = threshold
    click.echo(ask(data_dir, "alert_add", rule)["id"])


@alert.command("list")
@data_dir_option
@json_option
@click.option("--raised", is_flag=True, help="The alerts themselves, raised and cleared.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
def list_all(data_dir: Path, as_json: bool, raised: bool, limit: int) -> None:
    """Show the rules; with --raised what they have raised, the newest first."""
    if raised:
        show(ask(data_dir, "alerts", {"limit": limit}), _ALERT, as_json)
        return
    rules = ask(data_dir, "alert_rules")
    show(rules if as_json else [_in_words(rule) for rule in rules], _RULE, as_json)


@alert.command("remove")
@data_dir_option
@click.argument("number", type=int)
def remove(data_dir: Path, number: int) -> None:
    """Remove a rule; its alerts are cleared."""
    ask(data_dir, "alert_remove", {"id": number})
    click.echo(f"rule {number} is removed", err=True)


@alert.command("test")
@data_dir_option
@click.argument("number", type=int, required=False)
def test(data_dir: Path, number: int | None) -> None:
    """Send a test event to whom a rule tells, or to the receivers of the settings.

    Exits with 1 and the reason when somebody did not confirm it.
    """
    for receiver in ask(data_dir, "alert_test", {"id": number}):
        click.echo(f"{receiver}: confirmed", err=True)


def _in_words(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule as a row of a table."""
    says = rule["when"]
    if rule["threshold"] is not None:
        says = f"{rule['quantity']} {rule['when']} {rule['threshold']:g}"
        says += f", margin {rule['margin']:g}" if rule["margin"] else ""
    says += f", for {rule['for_s']} s" if rule["for_s"] else ""
    says += f", cleared after {rule['clear_for_s']} s" if rule["clear_for_s"] else ""
    where = rule["sensor_id"] or rule["grid_id"] or rule["bbox"] or "everywhere"
    return {**rule, "says": says, "where": where, "told": rule["url"] or "as set"}
