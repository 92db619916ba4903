"""Commands that found a centre and look after it. They need no data directory, only its address."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict

from urbanos_edge.cli.asking import json_option, progress_bar, show
from urbanos_edge.errors import EdgeError
from urbanos_edge.logbook import open_logbook
from urbanos_edge.server.server import listener
from urbanos_edge.settings import load
from urbanos_edge.sync import central as centre

_FIELDS: Final = (
    *("node_id", "name", "mode", "role_name", "schema_version", "program_version"),
    *("revision", "last_seen_at_us", "last_synced_at_us"),
)
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


class Dsn(click.ParamType[str]):
    """How libpq names a database."""

    name = "text"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        try:
            conninfo_to_dict(value)
        except psycopg.ProgrammingError as error:
            what = " ".join(str(error).split())
            self.fail(f"{what}; write postgresql://… or host=… dbname=… user=…", param, ctx)
        return str(value)


dsn_option = click.option(
    "--dsn",
    type=Dsn(),
    required=True,
    help="The centre's PostgreSQL, as libpq names it: a URL or key=value.",
)


@click.group()
def central() -> None:
    """The PostgreSQL cluster that gathers many nodes; docs/central.md.

    A password is better kept in ~/.pgpass or PGPASSWORD than in --dsn.
    """


@central.command()
@dsn_option
def init(dsn: str) -> None:
    """Make a centre of an empty database, whose server has PostGIS."""
    with centre.connected(dsn) as connection, progress_bar("migrating") as tell:
        found = centre.schema_of(connection)
        if 0 < found < centre.newest_schema():
            raise EdgeError(f"the centre is of schema {found}; bring it up with central migrate")
        _tell(centre.migrate(connection, tell), centre.newest_schema())


@central.command()
@dsn_option
def migrate(dsn: str) -> None:
    """Bring the centre's schema up to this version's."""
    with centre.connected(dsn) as connection, progress_bar("migrating") as tell:
        if not centre.schema_of(connection):
            raise EdgeError(centre.NO_CENTRE)
        _tell(centre.migrate(connection, tell), centre.newest_schema())


@central.command()
@dsn_option
@click.option("--to", "version", type=click.IntRange(min=0), help="[default: one step back]")
@click.option("--drop-rows", is_flag=True, help="Go back to 0 although rows are lost.")
def rollback(dsn: str, version: int | None, drop_rows: bool) -> None:
    """Take the newest step of the schema back, or all steps down to --to.

    Stop `central serve` first. Nodes wait until the schema is one they know.
    """
    with centre.connected(dsn) as connection, progress_bar("rolling back") as tell:
        target = version if version is not None else max(centre.schema_of(connection) - 1, 0)
        undone = centre.roll_back(connection, target, drop_rows=drop_rows, tell=tell)
        _tell(undone, target)


@central.command()
@dsn_option
def tend(dsn: str) -> None:
    """Make partitions, drop old ones, refresh grid_metadata; for a timer.

    Safe at any time and as often as wanted; what was missed is made up for.
    --dsn logs in as the owner of the tables.
    """
    with centre.connected(dsn) as connection:
        done = centre.tend(connection)
    partitions = f"{done.made:,} partitions made, {done.dropped:,} dropped"
    click.echo(f"{partitions}; {done.grids:,} grids changed")


@central.command("add-node")
@dsn_option
@click.argument("node_id")
@click.option("--name", default="", help="Its name for people.")
@click.option("--renew", is_flag=True, help="A new password for a node that is there.")
def add_node(dsn: str, node_id: str, name: str, renew: bool) -> None:
    """Let a node in; print its login's password, alone, on stdout. It is shown this once.

    NODE_ID is the node's setting node_id. Its sync_dsn names the login and the password.
    """
    with centre.connected(dsn) as connection:
        if renew:
            password = centre.renew_password(connection, node_id)
        else:
            password = centre.add_node(connection, node_id, name)
        role = next(n.role_name for n in centre.nodes(connection) if n.node_id == node_id)
        where = connection.info
        host = "HOST" if where.host.startswith("/") else where.host  # a socket is of this machine
        address = f"postgresql://{role}:PASSWORD@{host}:{where.port}/{where.dbname}"
    click.echo(f"sync_dsn {address}?sslmode=verify-full&sslrootcert=system", err=True)
    click.echo(password)


@central.command("nodes")
@dsn_option
@json_option
def list_nodes(dsn: str, as_json: bool) -> None:
    """Show the nodes that the centre knows, and when they were heard of."""
    with centre.connected(dsn) as connection:
        show([msgspec.structs.asdict(node) for node in centre.nodes(connection)], _FIELDS, as_json)


@central.command()
@dsn_option
@click.option("--replica", "replicas", multiple=True, help="A streaming replica to read; several.")
@click.option("--host", help="Address to listen on.  [default: 0.0.0.0]")
@click.option("--port", type=int, help="HTTP port; processes may share it.  [default: 8080]")
@click.option("--config", type=_FILE, help="A file with settings.")
@click.option("--readers", type=_FILE, help="Who may read, if not everybody.")
def serve(
    dsn: str,
    replicas: tuple[str, ...],
    host: str | None,
    port: int | None,
    config: Path | None,
    readers: Path | None,
) -> None:
    """Answer the read API, tiles and live updates over all nodes.

    --dsn names the primary and logs in as a reader. Settings are those of a
    node, from URBANOS_... or the file --config. Where public_read is false,
    --readers has a line for each token: a name and the token's SHA-256.
    """
    # Here, so that no other command waits for the driver's pools and the web framework.
    from urbanos_edge.access.guests import Readers
    from urbanos_edge.centre.servers import Servers
    from urbanos_edge.centre.serving import Centre, serve_forever

    settings = load({"host": host, "port": port}, config=config)
    named = None if readers is None else Readers(readers)
    open_logbook(settings)
    with listener(settings.host, settings.port, "--port", is_shared=True) as plain:
        click.echo(f"the centre is on http://localhost:{plain.getsockname()[1]}/")
        serve_forever(Centre(settings, Servers(dsn, replicas), named), plain)


def _tell(steps: list[str], version: int) -> None:
    for step in steps:
        click.echo(step, err=True)
    click.echo(f"the centre is of schema {version}", err=True)
