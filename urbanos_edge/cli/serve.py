"""The command `urbanos-edge serve`."""

from __future__ import annotations

from pathlib import Path

import anyio
import click

from urbanos_edge import __version__, control
from urbanos_edge.basemap.basemap import import_basemap
from urbanos_edge.cli.asking import data_dir_option, progress_bar
from urbanos_edge.logbook import open_logbook
from urbanos_edge.memory import keep_large_blocks_apart
from urbanos_edge.node import Node
from urbanos_edge.server.server import Listeners, listening, secure, serve_forever
from urbanos_edge.settings import default_config, given, load


@click.command()
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
    keep_large_blocks_apart()
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


def _prepare_demo(node: Node) -> None:
    """Draw the demonstration's streets once, with a progress bar."""
    streets = node.settings.demo_streets
    if not (node.settings.demo and streets) or node.basemap is not None:
        return
    with progress_bar("streets") as on_progress:
        import_basemap(Path(streets), node.data_dir, on_progress)
    node.open_basemap()


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
