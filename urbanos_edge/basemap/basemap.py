"""The map under the sensors: tiles in one file, drawn from OpenStreetMap or copied."""

from __future__ import annotations

import gzip
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from urbanos_edge import database
from urbanos_edge.basemap.osm import LAST_ZOOM, LAYERS, PREPARED, Progress, drawing
from urbanos_edge.basemap.tileset import (
    BasemapUnreadable,
    Pmtiles,
    Schema,
    open_tileset,
    unreadable,
)
from urbanos_edge.errors import DiskFull, NotFound, translated_os_errors
from urbanos_edge.grid import Bounds
from urbanos_edge.store.integrity import sync_path

ATTRIBUTION: Final = "© OpenStreetMap contributors"
NAMES: Final = {".mbtiles": "basemap.mbtiles", ".pmtiles": "basemap.pmtiles"}
"""What it is called in the data directory."""
_COPY_PAGES: Final = 4096
_COPY_BYTES: Final = 4 << 20
_TABLES: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE metadata (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB);
CREATE UNIQUE INDEX tile_index ON tiles (zoom_level, tile_column, tile_row);
"""


class Basemap:
    """The installed tiles, opened for reading; any thread may ask.

    Raises:
        BasemapUnreadable: damaged, without tiles, or of no kind the node reads.
    """

    def __init__(self, path: Path) -> None:
        self._tileset = open_tileset(path)
        found = path.stat()
        self.revision = (found.st_ino, found.st_size, found.st_mtime_ns)
        """Another one after another import."""

    @property
    def format(self) -> str:
        """What a tile is: `pbf` (vector, gzip), `png`, `jpg` or `webp`."""
        return self._tileset.description.format

    @property
    def schema(self) -> Schema:
        """What styles its layers are made for."""
        return self._tileset.description.schema

    def tilejson(self, base_url: str) -> dict[str, Any]:
        """The TileJSON 3.0.0 document, with the tiles below `base_url`.

        `bounds` is west, south, east, north; `center` longitude, latitude, zoom; in degrees.
        """
        description = self._tileset.description
        document: dict[str, Any] = {
            "tilejson": "3.0.0",
            "name": description.name,
            "attribution": description.attribution or ATTRIBUTION,
            "format": self.format,
            "schema": self.schema,
            "tiles": [f"{base_url}/basemap/{{z}}/{{x}}/{{y}}"],
            "minzoom": description.minzoom,
            "maxzoom": description.maxzoom,
            "vector_layers": description.vector_layers,
        }
        for key in ("bounds", "center"):
            if (numbers := getattr(description, key)) is not None:
                document[key] = numbers
        return document

    def tile(self, z: int, x: int, y: int) -> bytes | None:
        """As `Tileset.tile`."""
        return self._tileset.tile(z, x, y)

    @property
    def original(self) -> Pmtiles | None:
        """The file as it is, where clients can read it themselves."""
        return self._tileset if isinstance(self._tileset, Pmtiles) else None

    def shortcoming(self) -> str | None:
        """Why the page cannot draw it as it should, in words that follow its name."""
        if self.schema == "protomaps-old":
            return (
                "has the layers of the Protomaps basemap before version 4: the page draws streets,"
                " water, greens and names; a newer extract has more"
            )
        if self.schema == "other":
            names = [str(layer["id"]) for layer in self._tileset.description.vector_layers]
            return f"has layers that the page has no style for: {', '.join(names) or 'none named'}"
        return None

    def close(self) -> None:
        self._tileset.close()


def installed(folder: Path) -> Path | None:
    """The basemap in a data directory; of two, which only a crash leaves, the newer one."""
    found = [folder / name for name in NAMES.values() if (folder / name).is_file()]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def import_basemap(source: Path, folder: Path, progress: Progress) -> Path:
    """Install the basemap that `source` holds in a data directory; its ending says what it is.

    Returns where it is now; what was installed before is gone.

    Raises:
        NotFound: there is no such file, or it may not be read.
        BasemapUnreadable: not .osm.pbf, .mbtiles or .pmtiles, or damaged.
        DiskFull, StorageUnavailable: no room or no memory for it.
    """
    if not (source.is_file() and os.access(source, os.R_OK)):
        raise NotFound(f"{source}: there is no such file, or it may not be read")
    if source.name.endswith(".osm.pbf"):
        target = folder / NAMES[".mbtiles"]
        import_osm(source, target, progress)
    elif source.suffix == ".mbtiles":
        target = folder / NAMES[".mbtiles"]
        import_mbtiles(source, target, progress)
    elif source.suffix == ".pmtiles":
        target = folder / NAMES[".pmtiles"]
        import_pmtiles(source, target, progress)
    else:
        raise BasemapUnreadable(
            f"{source.name}: only .osm.pbf, .mbtiles and .pmtiles files can be imported"
        )
    for name in set(NAMES.values()) - {target.name}:
        (folder / name).unlink(missing_ok=True)
    return target


def import_osm(pbf: Path, target: Path, progress: Progress) -> None:
    """Draw an OpenStreetMap extract into an MBTiles file, which replaces `target` in one step.

    Meant for a city or a county: the tiles of one zoom are held in memory.

    Raises:
        BasemapUnreadable: not an .osm.pbf file, or nothing in it can be drawn.
        DiskFull, StorageUnavailable: no room or no memory for it.
    """
    with (
        _replacing(target) as temporary,
        drawing(pbf, temporary.parent, progress) as map_drawing,
        _writing(temporary) as connection,
    ):
        zooms = []
        for zoom in range(LAST_ZOOM + 1):
            progress(PREPARED + (1 - PREPARED) * zoom / (LAST_ZOOM + 1), f"drawing zoom {zoom}")
            if tiles := map_drawing.tiles(zoom):
                _insert(connection, zoom, tiles)
                zooms.append(zoom)
        if not zooms:
            raise BasemapUnreadable(f"{pbf.name} holds nothing that can be drawn")
        metadata = _describe(pbf.name.removesuffix(".osm.pbf"), map_drawing.bounds, zooms[0])
        connection.executemany("INSERT INTO metadata VALUES (?, ?)", metadata.items())
    progress(1, "drawn")


def import_mbtiles(source: Path, target: Path, progress: Progress) -> None:
    """Check an MBTiles file and copy it to `target`, which is replaced in one step.

    Raises:
        BasemapUnreadable: damaged, without tiles, or not MBTiles.
        DiskFull, StorageUnavailable: no room for it.
    """
    progress(0, "checking")
    _check_room(source, target)
    with unreadable(source.name, "MBTiles"):
        original = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
    with _replacing(target) as temporary, closing(original):
        with unreadable(source.name, "MBTiles"):
            if original.pragma("quick_check") != "ok":
                raise ValueError("damaged")
        with _writing(temporary, tables="") as copy, copy.backup("main", original, "main") as work:
            while not work.done:
                work.step(_COPY_PAGES)
                progress(1 - work.remaining / max(work.page_count, 1), "copying")
        open_tileset(temporary).close()


def import_pmtiles(source: Path, target: Path, progress: Progress) -> None:
    """Check a PMTiles file and copy it, as it is, to `target`, which is replaced in one step.

    Raises:
        BasemapUnreadable: damaged, without tiles, or not PMTiles.
        DiskFull, StorageUnavailable: no room for it.
    """
    open_tileset(source).close()
    _check_room(source, target)
    size = source.stat().st_size
    with translated_os_errors(), _replacing(target) as temporary:
        with source.open("rb") as original, temporary.open("wb") as copy:
            while piece := original.read(_COPY_BYTES):
                copy.write(piece)
                progress(copy.tell() / size, "copying")
        open_tileset(temporary).close()


def _check_room(source: Path, target: Path) -> None:
    """A disk that the copy fills would hold no reading any more."""
    size, free = source.stat().st_size, shutil.disk_usage(target.parent).free
    if size > free:
        raise DiskFull(f"{source.name} needs {size:,} bytes, {free:,} are free; nothing changed")


def _insert(connection: apsw.Connection, zoom: int, tiles: dict[tuple[int, int], bytes]) -> None:
    rows = (
        (zoom, x, (1 << zoom) - 1 - y, gzip.compress(tile, mtime=0))
        for (x, y), tile in sorted(tiles.items())
    )
    with connection:
        connection.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", rows)


def _describe(name: str, bounds: Bounds, first_zoom: int) -> dict[str, str]:
    """The metadata of MBTiles 1.3; at its centre's zoom the whole box fits on a screen."""
    layers = [
        {"id": layer, "fields": {key: "Number" if key == "ramp" else "String" for key in keys}}
        for layer, keys in LAYERS.items()
    ]
    west, south, east, north = bounds
    fitting = math.floor(math.log2(360 / max(east - west, 1e-3)))
    zoom = min(max(fitting, first_zoom), LAST_ZOOM)
    return {
        "name": name,
        "format": "pbf",
        "type": "baselayer",
        "version": "1",
        "bounds": f"{west:.6f},{south:.6f},{east:.6f},{north:.6f}",
        "center": f"{(west + east) / 2:.6f},{(south + north) / 2:.6f},{zoom}",
        "minzoom": str(first_zoom),
        "maxzoom": str(LAST_ZOOM),
        "attribution": ATTRIBUTION,
        "json": msgspec.json.encode({"vector_layers": layers}).decode(),
    }


@contextmanager
def _writing(path: Path, tables: str = _TABLES) -> Iterator[apsw.Connection]:
    with database.translated():
        connection = apsw.Connection(str(path))
        try:
            connection.execute(tables).fetchall()  # a statement with a result stops the script
            yield connection
        finally:
            connection.close()


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Give a path in a new folder beside `target`; what lies there in the end takes its place."""
    folder = Path(tempfile.mkdtemp(prefix=".basemap-", dir=target.parent))
    try:
        temporary = folder / target.name
        yield temporary
        sync_path(temporary)
        os.replace(temporary, target)
        sync_path(target.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
