"""The commands `urbanos-edge basemap …`."""

from __future__ import annotations

from pathlib import Path

import click

from urbanos_edge.cli.asking import ask, data_dir_option, progress_bar


@click.group()
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
