"""Map tiles in one file, MBTiles or PMTiles, opened for reading; and what schema they have.

Formats: MBTiles 1.3 (github.com/mapbox/mbtiles-spec), PMTiles 3 (github.com/protomaps/PMTiles).
"""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import apsw
import msgspec
from pmtiles.tile import (
    Compression,
    MagicNumberNotFound,
    SpecVersionUnsupported,
    TileType,
    deserialize_directory,
    deserialize_header,
    find_tile,
    zxy_to_tileid,
)

from urbanos_edge.errors import EdgeError
from urbanos_edge.zstd import zstd

Schema = Literal["openmaptiles", "protomaps", "protomaps-old", "raster", "other"]

_FORMATS: Final = ("pbf", "png", "jpg", "webp")
_GZIP_MAGIC: Final = b"\x1f\x8b"
_OPENMAPTILES: Final = {"transportation", "place"}
_PROTOMAPS: Final = {"earth", "roads"}
_OLD_PROTOMAPS: Final = {"natural", "physical_line", "physical_point", "transit", "mask"}
"""Layers that version 4 of the Protomaps basemap has no longer."""

_TILE: Final = (
    "SELECT tile_data FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?"
)
_ZOOMS: Final = "SELECT (SELECT min(zoom_level) FROM tiles), (SELECT max(zoom_level) FROM tiles)"

_HEADER_BYTES: Final = 127
_DEEPEST: Final = 4
"""Levels of directories."""
_KEPT_DIRECTORIES: Final = 64
_TILE_TYPES: Final = {
    TileType.MVT: "pbf",
    TileType.PNG: "png",
    TileType.JPEG: "jpg",
    TileType.WEBP: "webp",
}
_SECTIONS: Final = ("root", "metadata", "leaf_directory", "tile_data")


class BasemapUnreadable(EdgeError):
    """The file is damaged, or of no kind the node reads; only another file helps."""

    status = 422
    code = "basemap_unreadable"


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a tileset says of itself, in the terms of TileJSON 3.0; degrees."""

    name: str
    format: str
    """`pbf` (vector, gzip), `png`, `jpg` or `webp`."""
    minzoom: int
    maxzoom: int
    attribution: str | None
    bounds: Sequence[float] | None
    """West, south, east, north."""
    center: Sequence[float] | None
    """Longitude, latitude, zoom."""
    vector_layers: list[Any]

    @property
    def schema(self) -> Schema:
        """What the layers of its tiles are called after."""
        names = {str(layer.get("id")) for layer in self.vector_layers}
        if self.format != "pbf":
            return "raster"
        if names >= _OPENMAPTILES:
            return "openmaptiles"
        if names >= _PROTOMAPS:
            return "protomaps-old" if names & _OLD_PROTOMAPS else "protomaps"
        return "other"


class Tileset(Protocol):
    """Any thread may ask."""

    description: Description

    def tile(self, z: int, x: int, y: int) -> bytes | None:
        """The tile, row `y` counted from the north; a vector tile is gzip. None: there is none.

        Raises:
            BasemapUnreadable: the file is damaged where this tile lies.
        """
        ...

    def close(self) -> None: ...


def open_tileset(path: Path) -> Tileset:
    """Open a file for reading; its ending says what it is.

    Raises:
        BasemapUnreadable: damaged, without tiles, or of another kind.
    """
    return Pmtiles(path) if path.suffix == ".pmtiles" else Mbtiles(path)


class Mbtiles:
    """An MBTiles file."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._lock = threading.Lock()
        with unreadable(path.name, "MBTiles"):
            self._connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            self.description = self._describe()

    def tile(self, z: int, x: int, y: int) -> bytes | None:
        with unreadable(self._name, "MBTiles"), self._lock:
            row = self._connection.execute(_TILE, (z, x, (1 << z) - 1 - y)).fetchone()
        return None if row is None else _as_served(row[0], self.description.format)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _describe(self) -> Description:
        """With the zooms that there really are.

        Raises:
            ValueError, TypeError: a format that is not known, or no tiles.
        """
        rows = self._connection.execute("SELECT * FROM metadata")
        metadata = {name: str(value) for name, value in rows}
        more = msgspec.json.decode(metadata.get("json", "{}"), type=dict[str, Any])
        zooms: list[Any] = list(self._connection.execute(_ZOOMS).fetchall()[0])
        return Description(
            name=metadata.get("name", self._name),
            format=_known_format(metadata.get("format")),
            minzoom=int(zooms[0]),
            maxzoom=int(zooms[1]),
            attribution=metadata.get("attribution"),
            bounds=_numbers(metadata.get("bounds")),
            center=_numbers(metadata.get("center")),
            vector_layers=_layers(more),
        )


class Pmtiles:
    """A PMTiles file of version 3. It is read by calls: a mapped one that is cut would be fatal."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._directory = lru_cache(maxsize=_KEPT_DIRECTORIES)(self._read_directory)
        with unreadable(path.name, "PMTiles"):
            self._file = path.open("rb", buffering=0)
            try:
                self._header = deserialize_header(self.piece(0, _HEADER_BYTES))
                self._check()
                self.description = self._describe()
            except BaseException:
                self._file.close()
                raise

    def tile(self, z: int, x: int, y: int) -> bytes | None:
        if not self.description.minzoom <= z <= self.description.maxzoom:
            return None
        with unreadable(self._name, "PMTiles"):
            stored = self._stored(zxy_to_tileid(z, x, y))
            if stored is not None and self._header["tile_compression"] is Compression.ZSTD:
                stored = zstd.decompress(stored)
        return None if stored is None else _as_served(stored, self.description.format)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._file.fileno()).st_size

    def piece(self, offset: int, length: int) -> bytes:
        """So many bytes of the file.

        Raises:
            ValueError: it has not so many, or is closed.
        """
        piece = os.pread(self._file.fileno(), length, offset)
        if len(piece) != length:
            raise ValueError("the file is too short")
        return piece

    def close(self) -> None:
        self._file.close()

    def _stored(self, number: int) -> bytes | None:
        """The bytes of the tile with this number on PMTiles' curve."""
        header = self._header
        place = header["root_offset"], header["root_length"]
        for _ in range(_DEEPEST):
            entry = find_tile(self._directory(*place), number)
            if entry is None:
                return None
            if entry.run_length:
                return self.piece(header["tile_data_offset"] + entry.offset, entry.length)
            place = header["leaf_directory_offset"] + entry.offset, entry.length
        raise ValueError("directories within directories")

    def _read_directory(self, offset: int, length: int) -> list[Any]:
        entries: list[Any] = deserialize_directory(self.piece(offset, length))
        return entries

    def _check(self) -> None:
        """Raises ValueError when the file is shorter than it says, or packed as we cannot read."""
        header, lengths = self._header, dict[str, Any](self._header)
        ends = (lengths[f"{name}_offset"] + lengths[f"{name}_length"] for name in _SECTIONS)
        if max(ends) > self.size or not header["tile_entries_count"]:
            raise ValueError("cut short, or without tiles")
        if header["tile_compression"] is Compression.BROTLI:
            raise BasemapUnreadable(
                f"{self._name}: its tiles are packed with brotli; the node reads gzip and zstd"
            )
        if header["internal_compression"] is not Compression.GZIP:
            raise BasemapUnreadable(f"{self._name}: its directories are not packed with gzip")
        self._directory(header["root_offset"], header["root_length"])

    def _describe(self) -> Description:
        header = self._header
        packed = self.piece(header["metadata_offset"], header["metadata_length"])
        metadata = msgspec.json.decode(gzip.decompress(packed), type=dict[str, Any])
        west, south, east, north, lng, lat = (
            header[name] / 1e7
            for name in ("min_lon_e7", "min_lat_e7", "max_lon_e7", "max_lat_e7")
            + ("center_lon_e7", "center_lat_e7")
        )
        attribution = metadata.get("attribution")
        return Description(
            name=str(metadata.get("name", self._name)),
            format=_known_format(_TILE_TYPES.get(header["tile_type"])),
            minzoom=header["min_zoom"],
            maxzoom=header["max_zoom"],
            attribution=None if attribution is None else str(attribution),
            bounds=(west, south, east, north),
            center=(lng, lat, header["center_zoom"]),
            vector_layers=_layers(metadata),
        )


@contextmanager
def unreadable(name: str, kind: str) -> Iterator[None]:
    """Say of errors that the file of this name is to blame."""
    try:
        yield
    except (apsw.Error, OSError, EOFError, msgspec.DecodeError, ValueError, TypeError) as error:
        raise _damaged(name, kind) from error
    except (MagicNumberNotFound, SpecVersionUnsupported, IndexError, zstd.ZstdError) as error:
        raise _damaged(name, kind) from error


def _damaged(name: str, kind: str) -> BasemapUnreadable:
    return BasemapUnreadable(f"{name} is damaged or no {kind} file with tiles")


def _known_format(name: str | None) -> str:
    if name not in _FORMATS:
        raise ValueError(name)
    return name


def _numbers(text: str | None) -> list[float] | None:
    return None if text is None else [float(part) for part in text.split(",")]


def _layers(metadata: dict[str, Any]) -> list[Any]:
    """The vector layers, from the statistics where there is no list of them."""
    if layers := metadata.get("vector_layers"):
        return [layer for layer in layers if isinstance(layer, dict)]
    counted: Iterable[Any] = metadata.get("tilestats", {}).get("layers", ())
    return [{"id": layer["layer"], "fields": {}} for layer in counted if "layer" in layer]


def _as_served(stored: bytes, tile_format: str) -> bytes:
    if tile_format == "pbf" and not stored.startswith(_GZIP_MAGIC):
        return gzip.compress(stored, mtime=0)
    return stored
