"""The command line. Every command works on a data directory, whether its node runs or not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import anyio
import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from urbanos_edge import __version__, control
from urbanos_edge.alerting import alert
from urbanos_edge.amending import regrade
from urbanos_edge.asking import ask, data_dir_option, json_option, progress_bar, show
from urbanos_edge.auditing import audit
from urbanos_edge.basemap import import_basemap
from urbanos_edge.bundling import support_bundle
from urbanos_edge.care import add_care_commands
from urbanos_edge.deploying import deploy
from urbanos_edge.errors import EdgeError
from urbanos_edge.exporting import export
from urbanos_edge.flagging import flags
from urbanos_edge.founding import central
from urbanos_edge.importing import import_command
from urbanos_edge.logbook import open_logbook
from urbanos_edge.node import Node
from urbanos_edge.overview import GroupedCommands
from urbanos_edge.pulling import pull
from urbanos_edge.registering import inbox, sensor
from urbanos_edge.replay import replay_command
from urbanos_edge.reporting import report
from urbanos_edge.securing import tls
from urbanos_edge.server import Listeners, listening, secure, serve_forever
from urbanos_edge.settings import default_config, given, load
from urbanos_edge.syncing import STATES, sync
from urbanos_edge.tokens import Scope


class OneLineErrors(GroupedCommands):
    """Shows the node's own errors as one line and exits with 1."""

    def main(self, *args: Any, **more: Any) -> Any:
        try:
            sys.exit(super().main(*args, **more | {"standalone_mode": False}))
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.ClickException as error:
            click.echo(f"urbanos-edge: {' '.join(error.format_message().split())}", err=True)
            sys.exit(error.exit_code)
        except EdgeError as error:
            click.echo(f"urbanos-edge: {error.message}", err=True)
            sys.exit(1)
        except click.Abort:
            sys.exit(1)


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="urbanos-edge", hidden=True)
def main() -> None:
    """A city's air-quality network in one box; COMMAND --help tells more."""


main.add_command(replay_command)
main.add_command(import_command)
add_care_commands(main)
main.add_command(export)
main.add_command(flags)
main.add_command(regrade)
main.add_command(sensor)
main.add_command(inbox)
main.add_command(pull)
main.add_command(alert)
main.add_command(report)
main.add_command(sync)
main.add_command(central)
main.add_command(audit)
main.add_command(tls)
main.add_command(support_bundle)
main.add_command(deploy)


@main.command()
@data_dir_option
@click.option("--host", help="Address to listen on.  [default: 0.0.0.0]")
@click.option("--port", type=int, help="HTTP port; 0 takes a free one.  [default: 8080]")
@click.option("--demo", is_flag=True, default=None, help="Run a simulated fleet, labelled so.")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings file.  [default: urbanos.toml in the data directory]",
)
def serve(
    data_dir: Path, host: str | None, port: int | None, demo: bool | None, config: Path | None
) -> None:
    """Run the node until it is told to stop (Ctrl-C, SIGTERM)."""
    flags = {"host": host, "port": port, "demo": demo}
    config = config or default_config(data_dir)
    settings = load(flags, config=config)
    open_logbook(settings)
    with control.own(data_dir), listening(settings) as listeners:
        node = Node(settings, data_dir, origins=given(flags, config=config))
        try:
            _prepare_demo(node)
            secure(node, listeners)
            _welcome(node, listeners)
        except BaseException:
            node.close()
            raise
        serve_forever(node, listeners)


@main.group()
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


@main.command()
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


@main.group("dead-letters")
def dead_letters() -> None:
    """Readings that could not be taken or stored."""


@dead_letters.command("list")
@data_dir_option
@json_option
@click.option("--limit", type=click.IntRange(1, 20_000), default=100, show_default=True)
def list_dead_letters(data_dir: Path, as_json: bool, limit: int) -> None:
    """Show the newest dead letters: when, why and what."""
    fields = ("id", "rejected_at_us", "code", "message", "payload")
    show(ask(data_dir, "dead_letters", {"limit": limit}), fields, as_json)


@dead_letters.command("requeue")
@data_dir_option
@click.argument("ids", type=int, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
def requeue(data_dir: Path, ids: tuple[int, ...], everything: bool) -> None:
    """Send letters through the door again, by number or --all."""
    accepted = ask(data_dir, "requeue", {"ids": _chosen(ids, everything)})
    click.echo(f"{accepted:,} readings accepted", err=True)


@dead_letters.command("purge")
@data_dir_option
@click.argument("ids", type=int, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
def purge(data_dir: Path, ids: tuple[int, ...], everything: bool) -> None:
    """Throw letters away for good, by number or --all."""
    purged = ask(data_dir, "purge", {"ids": _chosen(ids, everything)})
    click.echo(f"{purged:,} letters thrown away", err=True)


def _broker(mqtt: dict[str, Any]) -> str:
    """How it is with the broker, in half a line."""
    state = "connected" if mqtt["connected"] else "not connected"
    told = f"{mqtt['broker']} {state}, {mqtt['messages']:,} messages, {mqtt['refused']:,} refused"
    return f"{told}; {mqtt['failure']}" if mqtt["failure"] else told


def _chosen(ids: tuple[int, ...], everything: bool) -> list[int] | None:
    if bool(ids) == everything:
        raise click.UsageError("name letters by number, or --all")
    return None if everything else list(ids)


@main.group()
def basemap() -> None:
    """The map under the sensors."""


@basemap.command("import")
@data_dir_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_file(data_dir: Path, file: Path) -> None:
    """Install FILE (.osm.pbf, .mbtiles or .pmtiles) as the basemap.

    Tiles are kept as they are, in the schema of OpenMapTiles or the current
    one of Protomaps, or pictures. From an OpenStreetMap extract of a city or
    a county they are drawn here.
    """
    with progress_bar(file.name) as tell:
        found = ask(data_dir, "basemap_import", {"file": str(file.resolve())}, tell)
    click.echo(f"{file.name} is installed; schema: {found['schema']}", err=True)
    if found["shortcoming"]:
        click.echo(f"but it {found['shortcoming']}", err=True)


@main.command()
@data_dir_option
@json_option
def compact(data_dir: Path, as_json: bool) -> None:
    """Merge small files, and sort the days that are over.

    The node does this by itself, with pauses and once a day is quiet; this
    does all of it now.
    """
    with progress_bar("compacting") as tell:
        jobs = ask(data_dir, "compact", on_progress=tell)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(jobs)))
        return
    for job in jobs:
        files = f"{job['files_before']} files became {job['files_after']}"
        size = f"{job['bytes_before']:,} bytes became {job['bytes_after']:,}"
        click.echo(f"{job['day']} {job['kind']:<6} {files}, {size}")
    if not jobs:
        click.echo("nothing was due", err=True)


@main.command()
@data_dir_option
@json_option
@click.option("--dry-run", is_flag=True, help="Only show what would be dropped.")
def expire(data_dir: Path, as_json: bool, dry_run: bool) -> None:
    """Drop the days that are older than `retention_days`.

    A day goes when it and its newest arrival are both older. The node does
    this by itself every hour. What the centre is still to get waits, until
    the disk is almost full; a dry run shows it with the reason.
    """
    dropped = ask(data_dir, "expire", {"dry_run": dry_run})
    show(dropped, ("day", "files", "rows", "bytes", "owed_hours", "waits"), as_json)


def _prepare_demo(node: Node) -> None:
    """Draw the demonstration's streets once, with a progress bar."""
    streets = node.settings.demo_streets
    if not (node.settings.demo and streets) or node.basemap is not None:
        return
    with _progress() as progress:
        task = progress.add_task("streets", total=1.0)
        import_basemap(
            Path(streets),
            node.data_dir,
            lambda done, what: progress.update(task, completed=done, description=what),
        )
    node.open_basemap()


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


def _welcome(node: Node, listeners: Listeners) -> None:
    """Say where the node is and, at its first start, give an admin token."""
    address = f"http://localhost:{listeners.port}/"
    click.echo(f"UrbanOS Edge {__version__} on {address}  (data: {node.data_dir})")
    if node.tls.port is not None:
        click.echo(f"and https://localhost:{node.tls.port}/; how to trust it: {address}trust")
    if len(node.tokens):
        return
    secret = anyio.run(lambda: node.tokens.create("admin", name="first start"))
    click.echo(f"admin token, shown this once: {secret}")
    if not node.settings.demo:
        click.echo("for sensors, make others: urbanos-edge token create --scope gateway")
