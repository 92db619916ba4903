"""The map under the sensors: tiles in one MBTiles file, drawn from OpenStreetMap or copied."""

from __future__ import annotations

import gzip
import math
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from urbanos_edge import database
from urbanos_edge.errors import NotFound
from urbanos_edge.grid import Bounds
from urbanos_edge.integrity import sync_path
from urbanos_edge.osm import LAST_ZOOM, LAYERS, PREPARED, BasemapUnreadable, Progress, drawing

ATTRIBUTION: Final = "© OpenStreetMap contributors"
_FORMATS: Final = ("pbf", "png", "jpg", "webp")
_GZIP_MAGIC: Final = b"\x1f\x8b"
_TABLES: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE metadata (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB);
CREATE UNIQUE INDEX tile_index ON tiles (zoom_level, tile_column, tile_row);
"""
_TILE: Final = (
    "SELECT tile_data FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?"
)
_ZOOMS: Final = "SELECT (SELECT min(zoom_level) FROM tiles), (SELECT max(zoom_level) FROM tiles)"


class Basemap:
    """An MBTiles file, opened for reading; any thread may ask.

    Raises:
        BasemapUnreadable: damaged, without tiles, or not MBTiles.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._lock = threading.Lock()
        with _unreadable(path.name):
            self._connection = _open(path)
            self._metadata = _metadata(self._connection)
            self.tilejson("")
            found = path.stat()
        self.revision = (found.st_ino, found.st_size, found.st_mtime_ns)
        """Another one after another import."""

    @property
    def format(self) -> str:
        """What a tile is: `pbf` (vector, gzip), `png`, `jpg` or `webp`."""
        return self._metadata["format"]

    def tilejson(self, base_url: str) -> dict[str, Any]:
        """The TileJSON 3.0.0 document, with the tiles below `base_url`.

        `bounds` is west, south, east, north; `center` longitude, latitude, zoom; in degrees.
        """
        document: dict[str, Any] = {
            "tilejson": "3.0.0",
            "name": self._metadata.get("name", self._name),
            "attribution": self._metadata.get("attribution", ATTRIBUTION),
            "format": self.format,
            "tiles": [f"{base_url}/basemap/{{z}}/{{x}}/{{y}}"],
            "minzoom": int(self._metadata["minzoom"]),
            "maxzoom": int(self._metadata["maxzoom"]),
            "vector_layers": self._vector_layers(),
        }
        for key in ("bounds", "center"):
            if key in self._metadata:
                document[key] = [float(part) for part in self._metadata[key].split(",")]
        return document

    def tile(self, z: int, x: int, y: int) -> bytes | None:
        """The tile, row `y` counted from the north; a vector tile is gzip. None: there is none.

        Raises:
            BasemapUnreadable: the file is damaged where this tile lies.
        """
        with _unreadable(self._name), self._lock:
            row = self._connection.execute(_TILE, (z, x, (1 << z) - 1 - y)).fetchone()
        if row is None:
            return None
        stored: bytes = row[0]
        if self.format == "pbf" and not stored.startswith(_GZIP_MAGIC):
            return gzip.compress(stored, mtime=0)
        return stored

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _vector_layers(self) -> list[Any]:
        more = msgspec.json.decode(self._metadata.get("json", "{}"), type=dict[str, Any])
        layers: list[Any] = more.get("vector_layers", [])
        return layers


def import_basemap(source: Path, target: Path, progress: Progress) -> None:
    """Put the basemap that `source` holds in the place of `target`; its ending says what it is.

    Raises:
        NotFound: there is no such file, or it may not be read.
        BasemapUnreadable: not .osm.pbf or .mbtiles, or damaged.
        DiskFull, StorageUnavailable: no room or no memory for it.
    """
    if not (source.is_file() and os.access(source, os.R_OK)):
        raise NotFound(f"{source}: there is no such file, or it may not be read")
    if source.name.endswith(".osm.pbf"):
        import_osm(source, target, progress)
    elif source.suffix == ".mbtiles":
        import_mbtiles(source, target)
        progress(1, "copied")
    else:
        raise BasemapUnreadable(f"{source.name}: only .osm.pbf and .mbtiles files can be imported")


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


def import_mbtiles(source: Path, target: Path) -> None:
    """Check an MBTiles file and copy it to `target`, which is replaced in one step.

    Raises:
        BasemapUnreadable: damaged, without tiles, or not MBTiles.
        DiskFull, StorageUnavailable: no room for it.
    """
    with _unreadable(source.name):
        original = _open(source)
    with _replacing(target) as temporary, closing(original):
        with _unreadable(source.name):
            if original.pragma("quick_check") != "ok":
                raise ValueError("damaged")
        with _writing(temporary, tables="") as copy, copy.backup("main", original, "main") as work:
            work.step()
        Basemap(temporary).close()


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


def _open(path: Path) -> apsw.Connection:
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)


def _metadata(connection: apsw.Connection) -> dict[str, str]:
    """The metadata, with the zooms that there really are.

    Raises:
        ValueError, TypeError: a format that is not known, or no tiles.
    """
    metadata = {name: str(value) for name, value in connection.execute("SELECT * FROM metadata")}
    if metadata.get("format") not in _FORMATS:
        raise ValueError(metadata.get("format"))
    for first, last in connection.execute(_ZOOMS):
        metadata |= {"minzoom": str(int(first)), "maxzoom": str(int(last))}
    return metadata


@contextmanager
def _unreadable(name: str) -> Iterator[None]:
    """Say of errors that the file of this name is to blame."""
    try:
        yield
    except (apsw.Error, OSError, msgspec.DecodeError, ValueError, TypeError) as error:
        raise BasemapUnreadable(f"{name} is damaged or no MBTiles file with tiles") from error


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
