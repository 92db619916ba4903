"""Vector tiles drawn from an OpenStreetMap extract (`.osm.pbf`), by DuckDB.

The tiles have the layers of the OpenMapTiles schema that `LAYERS` names. What is drawn, and from
which zoom, is the table in `sql/basemap_rules.sql`; the other `sql/basemap_*.sql` are the steps.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb

from urbanos_edge.basemap.tileset import BasemapUnreadable
from urbanos_edge.engine import Engine, statement
from urbanos_edge.grid import Bounds, tile_range

Progress = Callable[[float, str], None]
"""Told how much is done, from 0 to 1, and what is being done."""

LAST_ZOOM: Final = 14
LAYERS: Final = {
    "water": ("class",),
    "waterway": ("class", "name"),
    "landcover": ("class",),
    "landuse": ("class",),
    "park": ("class", "name"),
    "building": ("class",),
    "transportation": ("class", "subclass", "brunnel", "ramp"),
    "transportation_name": ("class", "name"),
    "place": ("class", "name"),
}
"""The layers that are drawn and their properties; `ramp` is 1 or absent, the others are text."""

MEMORY_MIB: Final = 1024
"""Memory that DuckDB may take; beyond it, it spills into a folder."""
PREPARED: Final = 0.4
"""How much is done when the first zoom is drawn."""
_STEPS: Final = (
    ("basemap_nodes", "reading points"),
    ("basemap_elements", "choosing what to draw"),
    ("basemap_ways", "building lines"),
    ("basemap_areas", "building areas"),
    ("basemap_sea", "finding the sea"),
    ("basemap_features", "joining lines"),
)
_LAYERS: Final = "SELECT DISTINCT layer FROM features WHERE min_zoom <= ?"
_NODE_BOX: Final = """
SELECT min(lon), min(lat), max(lon), max(lat) FROM ST_ReadOSM($path) WHERE kind = 'node'
"""
_FRAME: Final = """
CREATE TABLE frame AS SELECT ST_MakeEnvelope(
    radians($min_lng) * 6378137, asinh(tan(radians($min_lat))) * 6378137,
    radians($max_lng) * 6378137, asinh(tan(radians($max_lat))) * 6378137) AS box
"""
_MAX_BLOB_HEADER_BYTES: Final = 64 << 10


class Drawing:
    """An extract that was read: `bounds` is the box it gives for itself, else that of its nodes."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, pbf: Path, progress: Progress) -> None:
        self._cursor = cursor
        self._pbf = pbf
        self.bounds = header_bounds(pbf) or self._node_bounds()
        cursor.execute(_FRAME, self.bounds._asdict())
        cursor.execute(statement("basemap_rules"))
        for number, (step, words) in enumerate(_STEPS):
            progress(PREPARED * number / len(_STEPS), words)
            self._execute(statement(step))

    def tiles(self, zoom: int) -> dict[tuple[int, int], bytes]:
        """The tiles of one zoom that hold anything, by column and row, not compressed.

        Only those that meet the extract's box are drawn.
        """
        first, last = tile_range(self.bounds, zoom)
        values = {"zoom": zoom, "last_zoom": LAST_ZOOM}
        values |= {"west": first.x, "east": last.x, "north": first.y, "south": last.y}
        tiles: dict[tuple[int, int], bytes] = {}
        for layer in self._layers(zoom):  # a tile is its layers, one after the other
            self._cursor.execute(statement("basemap_tiles"), {"layer": layer, **values})
            for x, y, part in self._cursor.fetchall():
                tiles[x, y] = tiles.get((x, y), b"") + part
        return tiles

    def _layers(self, zoom: int) -> list[str]:
        """The layers that this zoom may hold; asking for the others would only take time."""
        found = {layer for (layer,) in self._cursor.execute(_LAYERS, [zoom]).fetchall()}
        return [layer for layer in LAYERS if layer in found]

    def _node_bounds(self) -> Bounds:
        self._execute(_NODE_BOX)
        box = self._cursor.fetchone()
        if box is None or None in box:
            raise BasemapUnreadable(f"{self._pbf.name} holds no points")
        return Bounds(*box)

    def _execute(self, text: str) -> None:
        """Run a step; what fails while the extract is read is the extract's fault."""
        if "$path" not in text:
            self._cursor.execute(text)
            return
        try:
            self._cursor.execute(text, {"path": str(self._pbf)})
        except (duckdb.IOException, duckdb.OutOfMemoryException):
            raise
        except duckdb.Error as error:
            raise BasemapUnreadable(f"{self._pbf.name} is damaged or no .osm.pbf file") from error


@contextmanager
def drawing(pbf: Path, folder: Path, progress: Progress) -> Iterator[Drawing]:
    """Read an extract, as long as the block lasts; large ones spill into `folder`.

    Raises:
        BasemapUnreadable: damaged, or no .osm.pbf file.
        DiskFull, StorageUnavailable: no room or no memory for it.
    """
    pbf = pbf.resolve()  # of a link, the folder that counts is the one of what it points to
    instance = Engine(MEMORY_MIB, folder, [pbf.parent, folder])
    try:
        with instance.cursor() as cursor:
            yield Drawing(cursor, pbf, progress)
    finally:
        instance.close()


def header_bounds(pbf: Path) -> Bounds | None:
    """The box in the header of an extract, if it has one.

    Format: https://wiki.openstreetmap.org/wiki/PBF_Format. A file starts with the length of a
    BlobHeader, that and a Blob, which holds a HeaderBlock: its field 1 is the box, in nanodegrees.
    """
    try:
        with pbf.open("rb") as stream:
            (length,) = struct.unpack(">I", stream.read(4))
            blob_header = dict(_fields(stream.read(min(length, _MAX_BLOB_HEADER_BYTES))))
            blob = dict(_fields(stream.read(blob_header[3])))
        header = dict(_fields(blob[1] if 1 in blob else zlib.decompress(blob[3])))
        box = {number: (value >> 1 ^ -(value & 1)) / 1e9 for number, value in _fields(header[1])}
        return Bounds(box[1], box[4], box[2], box[3])
    except (KeyError, IndexError, TypeError, ValueError, struct.error, zlib.error):
        return None


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The number and value of each field of a protocol buffers message: integers and bytes."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        value, position = _varint(message, position)
        if key & 7 == 2:  # the integer was the length of what follows
            yield key >> 3, message[position : position + value]
            position += value
        else:
            yield key >> 3, value


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if byte < 0x80:
            return value, position
