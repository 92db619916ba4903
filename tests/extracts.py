"""Extracts of OpenStreetMap made node by node, and what was drawn of them, read by other tools."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import mapbox_vector_tile
import mercantile
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from urbanos_edge.basemap.basemap import Basemap, import_osm

Place = tuple[float, float]
BOX = (24.94, 60.165, 24.95, 60.17)


def silent(done: float, words: str) -> None:
    """A progress that tells nobody."""


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def packed(values: list[int]) -> bytes:
    return b"".join(varint(value) for value in values)


def deltas(values: list[int]) -> bytes:
    return packed([zigzag(b - a) for a, b in zip([0, *values], values, strict=False)])


def blob(kind: bytes, content: bytes) -> bytes:
    body = field(2, len(content)) + field(3, zlib.compress(content))
    head = field(1, kind) + field(3, len(body))
    return struct.pack(">I", len(head)) + head + body


class Extract:
    """Nodes, ways and relations, written down as an extract with `box` in its header."""

    def __init__(self, box: tuple[float, float, float, float] | None = BOX) -> None:
        self._box = box
        self._strings: dict[str, int] = {"": 0}
        self._nodes: list[tuple[int, Place, dict[str, str]]] = []
        self._parts: dict[int, list[bytes]] = {3: [], 4: []}
        self._next_id = 1

    def missing_node(self) -> int:
        """The id of a node that lies outside the extract."""
        self._next_id += 1
        return self._next_id - 1

    def node(self, at: Place, **tags: str) -> int:
        number = self.missing_node()
        self._nodes.append((number, at, tags))
        return number

    def way(self, nodes: list[int], **tags: str) -> int:
        number = self.missing_node()
        self._add(3, number, tags, field(8, deltas(nodes)))
        return number

    def line(self, places: list[Place], **tags: str) -> int:
        return self.way([self.node(place) for place in places], **tags)

    def ring(self, places: list[Place], **tags: str) -> int:
        nodes = [self.node(place) for place in places]
        return self.way([*nodes, nodes[0]], **tags)

    def multipolygon(self, members: list[tuple[int, str]], **tags: str) -> None:
        roles = packed([self._string(role) for _, role in members])
        body = field(8, roles) + field(9, deltas([way for way, _ in members]))
        body += field(10, packed([1] * len(members)))
        self._add(4, self.missing_node(), {"type": "multipolygon", **tags}, body)

    def save(self, path: Path) -> Path:
        groups = field(2, field(2, self._dense_nodes())) + b"".join(
            field(2, b"".join(field(kind, part) for part in parts))
            for kind, parts in self._parts.items()
        )
        strings = b"".join(field(1, text.encode()) for text in self._strings)
        header = field(4, b"OsmSchema-V0.6")
        if self._box is not None:
            west, south, east, north = (zigzag(round(side * 1e9)) for side in self._box)
            corners = field(1, west) + field(2, east) + field(3, north) + field(4, south)
            header = field(1, corners) + header
        path.write_bytes(blob(b"OSMHeader", header) + blob(b"OSMData", field(1, strings) + groups))
        return path

    def _dense_nodes(self) -> bytes:
        tags = [
            number
            for _, _, tags in self._nodes
            for number in [*(self._string(text) for tag in tags.items() for text in tag), 0]
        ]
        return (
            field(1, deltas([number for number, _, _ in self._nodes]))
            + field(8, deltas([round(lat * 1e7) for _, (_, lat), _ in self._nodes]))
            + field(9, deltas([round(lng * 1e7) for _, (lng, _), _ in self._nodes]))
            + field(10, packed(tags))
        )

    def _add(self, kind: int, number: int, tags: dict[str, str], body: bytes) -> None:
        keys = packed([self._string(key) for key in tags])
        values = packed([self._string(value) for value in tags.values()])
        part = field(1, number) + field(2, keys) + field(3, values) + body
        self._parts[kind].append(part)

    def _string(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))


Drawn = tuple[dict[str, Any], BaseGeometry]


def draw(extract: Extract, folder: Path) -> Basemap:
    import_osm(extract.save(folder / "made.osm.pbf"), folder / "basemap.mbtiles", silent)
    return Basemap(folder / "basemap.mbtiles")


def layer(
    basemap: Basemap, name: str, zoom: int = 14, at: Place = (24.945, 60.1675)
) -> list[Drawn]:
    """One layer of the tile at a place: properties, and geometry in degrees."""
    tile = mercantile.tile(*at, zoom)
    stored = basemap.tile(tile.z, tile.x, tile.y)
    if stored is None:
        return []
    decoded = mapbox_vector_tile.decode(gzip.decompress(stored)).get(name, {"features": []})
    left, bottom, right, top = mercantile.xy_bounds(tile)

    def degrees(places: Any) -> Any:
        metres = places / 4096 * (right - left, top - bottom) + (left, bottom)
        return [mercantile.lnglat(*place) for place in metres]

    return [
        (feature["properties"], shapely.transform(shape(feature["geometry"]), degrees))
        for feature in decoded["features"]
    ]


def metres(degrees_lat: float) -> float:
    return degrees_lat * 111_320


def box(west: float, south: float, east: float, north: float) -> list[Place]:
    return [(west, south), (east, south), (east, north), (west, north)]


def small_extract(box: tuple[float, float, float, float] | None = BOX) -> Extract:
    extract = Extract(box)
    extract.line([(24.942, 60.166), (24.948, 60.169)], highway="motorway", name="Moottoritie")
    return extract
