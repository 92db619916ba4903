"""The basemap, drawn from extracts made here node by node and from a real city."""

from __future__ import annotations

import gzip
import os
import random
import sqlite3
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import mapbox_vector_tile
import mercantile
import pytest
import shapely
import zstandard
from pmtiles.reader import MmapSource, all_tiles
from pmtiles.tile import Compression, TileType, deserialize_header, zxy_to_tileid
from pmtiles.writer import Writer
from shapely.geometry import Point, Polygon, shape
from shapely.geometry.base import BaseGeometry

from urbanos_edge.basemap import (
    ATTRIBUTION,
    Basemap,
    BasemapUnreadable,
    import_basemap,
    import_mbtiles,
    import_osm,
    installed,
)
from urbanos_edge.errors import DiskFull, NotFound
from urbanos_edge.osm import header_bounds

DATA = Path(
    os.environ.get("URBANOS_TEST_DATA", Path(__file__).parent.parent.parent / "shared" / "data")
)
CITY = DATA / "basemap" / "sf-downtown.osm.pbf"
FLORENCE = DATA / "basemap" / "firenze_protomaps_ODbL.pmtiles"
PEER = DATA / "basemap" / "sf-downtown_omt_z0-14.mbtiles"
needs_city = pytest.mark.skipif(not CITY.exists(), reason=f"no real extract at {CITY}")

Place = tuple[float, float]
BOX = (24.94, 60.165, 24.95, 60.17)


def silent(done: float, words: str) -> None:
    """A progress that tells nobody."""


# --- a writer of .osm.pbf files: https://wiki.openstreetmap.org/wiki/PBF_Format ---


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


# --- reading what was drawn, with other people's tools ---

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


# --- what is drawn ---


def test_a_street_lies_where_its_nodes_lie(tmp_path: Path) -> None:
    extract = Extract()
    places = [(24.942, 60.1665), (24.944, 60.1671), (24.947, 60.1668)]
    extract.line(places, highway="residential", name="Testikatu")

    basemap = draw(extract, tmp_path)

    ((properties, street),) = layer(basemap, "transportation")
    assert properties == {"class": "minor", "subclass": "residential"}
    assert max(metres(Point(place).distance(street)) for place in places) < 0.6
    ((properties, _),) = layer(basemap, "transportation_name")
    assert properties == {"class": "minor", "name": "Testikatu"}


def test_the_pieces_of_a_street_are_joined_into_one_line(tmp_path: Path) -> None:
    extract = Extract()
    nodes = [extract.node((24.941 + step / 1000, 60.167)) for step in range(6)]
    for a, b in zip(nodes, nodes[1:], strict=False):
        extract.way([a, b], highway="primary", name="Long Street")

    basemap = draw(extract, tmp_path)

    assert len(layer(basemap, "transportation")) == 1
    assert len(layer(basemap, "transportation_name")) == 1


def test_a_way_is_drawn_up_to_where_the_extract_was_cut(tmp_path: Path) -> None:
    extract = Extract()
    inside = [extract.node((24.941 + step / 1000, 60.167)) for step in range(3)]
    later = [extract.node((24.946 + step / 1000, 60.167)) for step in range(2)]
    extract.way([*inside, extract.missing_node(), *later], highway="primary")

    drawn = layer(draw(extract, tmp_path), "transportation")

    ends = sorted((round(line.bounds[0], 4), round(line.bounds[2], 4)) for _, line in drawn)
    assert ends == [(24.941, 24.943), (24.946, 24.947)]


def test_what_reaches_beyond_the_frame_is_cut_off_there(tmp_path: Path) -> None:
    extract = Extract()
    extract.line([(24.945, 60.1675), (24.96, 60.1675)], highway="primary")
    extract.ring(box(24.93, 60.166, 24.9415, 60.167), leisure="park")
    extract.node((24.9395, 60.1675), place="suburb", name="Elsewhere")

    basemap = draw(extract, tmp_path)

    ((_, street),) = layer(basemap, "transportation")
    ((_, park),) = layer(basemap, "park")
    assert street.bounds[2] == pytest.approx(24.95, abs=1e-5)
    assert park.bounds[0] == pytest.approx(24.94, abs=1e-5)
    assert layer(basemap, "place") == []


def test_an_area_that_crosses_itself_is_mended(tmp_path: Path) -> None:
    extract = Extract()
    west, south, east, north = 24.942, 60.166, 24.946, 60.168
    extract.ring([(west, south), (east, north), (east, south), (west, north)], leisure="park")

    ((_, park),) = layer(draw(extract, tmp_path), "park")

    assert park.is_valid
    assert park.area == pytest.approx(0.004 * 0.002 / 2, rel=0.01)


def test_an_area_that_is_not_whole_is_left_out(tmp_path: Path) -> None:
    extract = Extract()
    corners = [extract.node(place) for place in box(24.942, 60.166, 24.943, 60.167)]
    extract.way([*corners, extract.missing_node(), corners[0]], building="yes")
    extract.ring(box(24.945, 60.166, 24.946, 60.167), building="yes")

    drawn = layer(draw(extract, tmp_path), "building")

    assert [round(area.bounds[0], 4) for _, area in drawn] == [24.945]


def test_a_multipolygon_of_several_ways_keeps_its_hole(tmp_path: Path) -> None:
    extract = Extract()
    a, b, c, d = (extract.node(place) for place in box(24.942, 60.166, 24.946, 60.168))
    outer = [extract.way([a, b, c]), extract.way([c, d, a])]
    inner = extract.ring(box(24.943, 60.1665, 24.945, 60.1675))
    members = [(outer[0], "outer"), (outer[1], "outer"), (inner, "inner")]
    extract.multipolygon(members, building="yes")

    ((_, area),) = layer(draw(extract, tmp_path), "building")

    assert area.area == pytest.approx(0.004 * 0.002 - 0.002 * 0.001, rel=0.01)
    assert not area.contains(Point(24.944, 60.167))


def test_what_lies_indoors_or_is_no_building_is_left_out(tmp_path: Path) -> None:
    extract = Extract()
    extract.line([(24.942, 60.166), (24.943, 60.166)], highway="footway", indoor="yes")
    extract.line([(24.942, 60.167), (24.943, 60.167)], highway="steps")
    extract.ring(box(24.945, 60.166, 24.946, 60.167), building="no")

    basemap = draw(extract, tmp_path)

    assert [properties["subclass"] for properties, _ in layer(basemap, "transportation")] == [
        "steps"
    ]
    assert layer(basemap, "building") == []


def test_bridges_tunnels_and_ramps_are_told_apart(tmp_path: Path) -> None:
    extract = Extract()
    extract.line([(24.942, 60.166), (24.943, 60.166)], highway="primary", bridge="yes")
    extract.line([(24.942, 60.167), (24.943, 60.167)], highway="trunk_link", tunnel="yes")

    drawn = layer(draw(extract, tmp_path), "transportation")

    assert [properties for properties, _ in drawn] == [
        {"class": "primary", "brunnel": "bridge"},
        {"class": "trunk", "subclass": "trunk_link", "brunnel": "tunnel", "ramp": 1},
    ]


def test_far_out_only_the_great_roads_are_drawn(tmp_path: Path) -> None:
    extract = Extract(box=(24.0, 60.0, 25.0, 60.5))
    extract.line([(24.1, 60.1), (24.9, 60.4)], highway="motorway")
    extract.line([(24.1, 60.2), (24.9, 60.3)], highway="tertiary")
    extract.line([(24.1, 60.2), (24.9, 60.3)], highway="footway")

    basemap = draw(extract, tmp_path)

    def classes(zoom: int) -> set[str]:
        drawn = layer(basemap, "transportation", zoom, at=(24.5, 60.25))
        return {properties["class"] for properties, _ in drawn}

    assert classes(6) == {"motorway"}
    assert classes(11) == {"motorway", "tertiary"}
    assert classes(14) == {"motorway", "tertiary", "path"}


def test_a_shape_under_two_pixels_waits_for_a_closer_zoom(tmp_path: Path) -> None:
    """At 60° a pixel of zoom 13 (512-pixel tiles) is 4.8 m wide on the ground."""
    extract = Extract()
    side = 7 / 111_320
    extract.ring(box(24.942, 60.167, 24.942 + 2 * side, 60.167 + side), building="yes")
    extract.ring(box(24.946, 60.167, 24.946 + 10 * side, 60.167 + 5 * side), building="yes")

    basemap = draw(extract, tmp_path)

    assert len(layer(basemap, "building", 13)) == 1
    assert len(layer(basemap, "building", 14)) == 2


def test_places_have_their_names_and_squares_a_point_inside(tmp_path: Path) -> None:
    extract = Extract()
    extract.node((24.941, 60.1675), place="city", name="Testilä")
    extract.ring(box(24.943, 60.1666, 24.945, 60.1674), place="square", name="Testitori")
    extract.node((24.948, 60.1675), place="suburb")

    basemap = draw(extract, tmp_path)

    drawn = {properties["name"]: point for properties, point in layer(basemap, "place")}
    assert drawn.keys() == {"Testilä", "Testitori"}
    assert Polygon(box(24.943, 60.1666, 24.945, 60.1674)).contains(drawn["Testitori"])
    assert [properties["class"] for properties, _ in layer(basemap, "place", 8)] == ["city"]


# --- the sea ---

SHORE = [(24.944, 60.164), (24.945, 60.1675), (24.944, 60.171)]


@pytest.mark.parametrize(
    ("shore", "sea"),
    [(SHORE, (24.948, 60.1675)), (SHORE[::-1], (24.941, 60.1675))],
    ids=["northwards", "southwards"],
)
def test_the_sea_lies_to_the_right_of_the_coast(
    tmp_path: Path, shore: list[Place], sea: Place
) -> None:
    extract = Extract()
    extract.line(shore, natural="coastline")

    ((properties, area),) = layer(draw(extract, tmp_path), "water")

    assert properties == {"class": "ocean"}
    assert area.contains(Point(sea))
    assert 0.4 < area.area / (0.01 * 0.005) < 0.6


def test_an_island_stays_dry(tmp_path: Path) -> None:
    extract = Extract()
    extract.line(SHORE, natural="coastline")
    extract.ring(box(24.947, 60.167, 24.948, 60.168), natural="coastline")

    water = shapely.union_all([area for _, area in layer(draw(extract, tmp_path), "water")])

    assert not water.contains(Point(24.9475, 60.1675))
    assert water.contains(Point(24.949, 60.1675))


def test_a_coast_that_ends_at_the_cut_is_led_on_to_the_edge(tmp_path: Path) -> None:
    extract = Extract()
    places = [(24.944, 60.1655), (24.945, 60.1675), (24.944, 60.1695)]
    nodes = [extract.node(place) for place in places]
    nodes = [extract.missing_node(), *nodes, extract.missing_node()]
    extract.way(nodes, natural="coastline")

    ((_, area),) = layer(draw(extract, tmp_path), "water")

    assert area.contains(Point(24.948, 60.1675))
    assert not area.contains(Point(24.942, 60.1675))


def test_a_coast_with_a_gap_floods_nothing(tmp_path: Path) -> None:
    extract = Extract()
    extract.line([(24.9451, 60.164), (24.9451, 60.1662)], natural="coastline")
    extract.line([(24.9451, 60.1688), (24.9451, 60.171)], natural="coastline")
    extract.line([(24.942, 60.166), (24.943, 60.166)], highway="primary")

    basemap = draw(extract, tmp_path)

    assert layer(basemap, "water") == []


# --- the file ---


def small_extract(box: tuple[float, float, float, float] | None = BOX) -> Extract:
    extract = Extract(box)
    extract.line([(24.942, 60.166), (24.948, 60.169)], highway="motorway", name="Moottoritie")
    return extract


def test_the_tilejson_says_what_the_file_holds(tmp_path: Path) -> None:
    document = draw(small_extract(), tmp_path).tilejson("https://node.example")

    layers = document.pop("vector_layers")
    assert {"transportation", "building", "water", "place"} <= {layer["id"] for layer in layers}
    west, south, east, north = document.pop("bounds")
    assert (west, south, east, north) == pytest.approx(BOX)
    assert document.pop("center") == [pytest.approx(24.945), pytest.approx(60.1675), 14]
    assert 0 < document.pop("minzoom") <= 14
    assert document == {
        "tilejson": "3.0.0",
        "name": "made",
        "attribution": ATTRIBUTION,
        "format": "pbf",
        "schema": "openmaptiles",
        "tiles": ["https://node.example/basemap/{z}/{x}/{y}"],
        "maxzoom": 14,
    }


def test_rows_are_stored_from_the_south_as_mbtiles_wants_it(tmp_path: Path) -> None:
    basemap = draw(small_extract(), tmp_path)

    with sqlite3.connect(tmp_path / "basemap.mbtiles") as file:
        rows = file.execute("SELECT * FROM tiles").fetchall()
    file.close()

    covering = set(mercantile.tiles(*BOX, zooms=range(15)))
    for z, x, row, stored in rows:
        tile = mercantile.Tile(x, 2**z - 1 - row, z)
        assert tile in covering
        assert basemap.tile(z, x, tile.y) == stored


def test_a_tile_that_is_not_there_is_none(tmp_path: Path) -> None:
    basemap = draw(small_extract(), tmp_path)

    assert basemap.tile(14, 0, 0) is None
    assert basemap.tile(30, 1, 1) is None


def test_an_extract_without_a_box_takes_that_of_its_nodes(tmp_path: Path) -> None:
    basemap = draw(small_extract(box=None), tmp_path)

    assert basemap.tilejson("")["bounds"] == pytest.approx([24.942, 60.166, 24.948, 60.169])


def test_the_same_extract_gives_the_same_tiles(tmp_path: Path) -> None:
    def rows(name: str) -> list[Any]:
        (tmp_path / name).mkdir()
        draw(small_extract(), tmp_path / name).close()
        with sqlite3.connect(tmp_path / name / "basemap.mbtiles") as file:
            found = file.execute("SELECT * FROM tiles ORDER BY 1, 2, 3").fetchall()
        file.close()
        return found

    assert rows("a") == rows("b")


def test_progress_only_grows_and_ends_at_one(tmp_path: Path) -> None:
    told: list[float] = []
    extract = small_extract().save(tmp_path / "made.osm.pbf")

    import_osm(extract, tmp_path / "basemap.mbtiles", lambda done, words: told.append(done))

    assert told == sorted(told)
    assert told[0] == 0
    assert told[-1] == 1


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "flipped", "random"])
def test_a_damaged_extract_is_refused_and_the_old_basemap_stays(
    tmp_path: Path, damage: str
) -> None:
    basemap = draw(small_extract(), tmp_path)
    whole = (tmp_path / "made.osm.pbf").read_bytes()
    content = {
        "empty": b"",
        "text": b"This is not a map. " * 50,
        "cut": whole[: len(whole) * 3 // 4],
        "flipped": whole[:-60] + bytes(50) + whole[-10:],
        "random": random.Random(1).randbytes(5000),
    }[damage]
    bad = tmp_path / "bad.osm.pbf"
    bad.write_bytes(content)
    before = (tmp_path / "basemap.mbtiles").read_bytes()

    with pytest.raises(BasemapUnreadable, match=r"bad\.osm\.pbf"):
        import_basemap(bad, tmp_path, silent)

    assert (tmp_path / "basemap.mbtiles").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bad.osm.pbf",
        "basemap.mbtiles",
        "made.osm.pbf",
    ]
    basemap.close()


def test_an_extract_with_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    extract = Extract()
    extract.node((24.945, 60.1675), amenity="bench")

    with pytest.raises(BasemapUnreadable, match="nothing that can be drawn"):
        draw(extract, tmp_path)


@pytest.mark.parametrize("head", [b"", b"\xff\xff\xff\xff", b"\x00\x00\x00\x05hello", bytes(99)])
def test_a_header_that_cannot_be_read_has_no_box(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "bad.osm.pbf").write_bytes(head)

    assert header_bounds(tmp_path / "bad.osm.pbf") is None


# --- MBTiles made elsewhere ---


def mbtiles(path: Path, metadata: dict[str, str], tiles: list[tuple[int, int, int, bytes]]) -> Path:
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE metadata (name text, value text)")
        file.execute(
            "CREATE TABLE tiles"
            " (zoom_level integer, tile_column integer, tile_row integer, tile_data blob)"
        )
        file.executemany("INSERT INTO metadata VALUES (?, ?)", metadata.items())
        file.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", tiles)
    file.close()
    return path


def test_a_picture_basemap_is_served_as_it_is(tmp_path: Path) -> None:
    source = mbtiles(tmp_path / "a.mbtiles", {"format": "png"}, [(3, 1, 2, b"\x89PNG picture")])

    import_mbtiles(source, tmp_path / "basemap.mbtiles", silent)

    basemap = Basemap(tmp_path / "basemap.mbtiles")
    assert basemap.format == "png"
    assert basemap.tile(3, 1, 5) == b"\x89PNG picture"
    assert (basemap.tilejson("")["minzoom"], basemap.tilejson("")["maxzoom"]) == (3, 3)


def test_vector_tiles_stored_without_compression_are_served_with_it(tmp_path: Path) -> None:
    source = mbtiles(tmp_path / "a.mbtiles", {"format": "pbf"}, [(0, 0, 0, b"\x1a\x00plain")])

    stored = Basemap(source).tile(0, 0, 0)

    assert stored is not None
    assert gzip.decompress(stored) == b"\x1a\x00plain"


@pytest.mark.parametrize(
    ("metadata", "tiles"),
    [
        ({"format": "pbf"}, []),
        ({"format": "svg"}, [(0, 0, 0, b"x")]),
        ({}, [(0, 0, 0, b"x")]),
        ({"format": "pbf", "bounds": "all of it"}, [(0, 0, 0, b"x")]),
        ({"format": "pbf", "json": "{vector"}, [(0, 0, 0, b"x")]),
    ],
    ids=["no tiles", "unknown format", "no format", "impossible bounds", "json that is none"],
)
def test_mbtiles_that_could_not_be_served_are_refused(
    tmp_path: Path, metadata: dict[str, str], tiles: list[tuple[int, int, int, bytes]]
) -> None:
    source = mbtiles(tmp_path / "a.mbtiles", metadata, tiles)

    with pytest.raises(BasemapUnreadable):
        import_basemap(source, tmp_path, silent)

    assert not (tmp_path / "basemap.mbtiles").exists()


@pytest.mark.parametrize("name", ["map.osm", "map.geojson", "map"])
def test_other_kinds_of_file_are_refused_with_the_kinds_that_are_read(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"anything")

    with pytest.raises(BasemapUnreadable, match=r"\.osm\.pbf, \.mbtiles and \.pmtiles"):
        import_basemap(tmp_path / name, tmp_path, silent)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="gone.mbtiles"):
        import_basemap(tmp_path / "gone.mbtiles", tmp_path, silent)


# --- PMTiles, written by the format's own library ---


def pmtiles(
    path: Path,
    tiles: dict[tuple[int, int, int], bytes],
    layers: Sequence[str] = ("place", "transportation"),
    compression: Compression = Compression.GZIP,
    **metadata: Any,
) -> Path:
    """A file of vector tiles by zoom, column and row."""
    header = {
        "tile_type": TileType.MVT,
        "tile_compression": compression,
        "min_lon_e7": 249400000,
        "min_lat_e7": 601650000,
        "max_lon_e7": 249500000,
        "max_lat_e7": 601700000,
        "center_zoom": 13,
        "center_lon_e7": 249450000,
        "center_lat_e7": 601675000,
    }
    described = {"vector_layers": [{"id": layer, "fields": {}} for layer in layers], **metadata}
    with path.open("wb") as stream:
        writer = Writer(stream)
        for number, tile in sorted((zxy_to_tileid(*place), tile) for place, tile in tiles.items()):
            writer.write_tile(number, tile)
        writer.finalize(header, described)
    return path


PACKED = gzip.compress(b"\x1a\x00tile", mtime=0)


def test_a_pmtiles_file_is_kept_as_it_is_and_told_of(tmp_path: Path) -> None:
    source = pmtiles(tmp_path / "a.pmtiles", {(13, 4663, 2370): PACKED}, attribution="© us")

    path = import_basemap(source, tmp_path, silent)

    assert path.read_bytes() == source.read_bytes()
    with closing(Basemap(path)) as basemap:
        assert basemap.tile(13, 4663, 2370) == PACKED
        assert basemap.tile(13, 4663, 2371) is None
        assert basemap.tile(12, 2331, 1185) is None
        document = basemap.tilejson("https://node.example")
    assert document["bounds"] == pytest.approx(BOX)
    assert document["center"] == pytest.approx((24.945, 60.1675, 13))
    assert (document["minzoom"], document["maxzoom"]) == (13, 13)
    assert (document["attribution"], document["schema"]) == ("© us", "openmaptiles")
    assert document["tiles"] == ["https://node.example/basemap/{z}/{x}/{y}"]


@pytest.mark.parametrize(
    ("compression", "stored"),
    [
        (Compression.NONE, b"\x1a\x00tile"),
        (Compression.ZSTD, zstandard.ZstdCompressor().compress(b"\x1a\x00tile")),
        (Compression.GZIP, PACKED),
    ],
)
def test_vector_tiles_of_a_pmtiles_file_are_served_as_gzip(
    tmp_path: Path, compression: Compression, stored: bytes
) -> None:
    tiles = {(0, 0, 0): stored}
    path = pmtiles(tmp_path / "a.pmtiles", tiles, compression=compression)

    with closing(Basemap(path)) as basemap:
        tile = basemap.tile(0, 0, 0)

    assert tile is not None
    assert gzip.decompress(tile) == b"\x1a\x00tile"


def test_tiles_are_found_through_directories_below_the_first(tmp_path: Path) -> None:
    """16,384 tiles of random sizes need more than the 16 KiB that the first one may have."""
    chance = random.Random(1)
    tiles = {
        (7, x, y): b"\x1f\x8b" + chance.randbytes(chance.randint(2, 600))
        for x in range(128)
        for y in range(128)
    }
    path = pmtiles(tmp_path / "a.pmtiles", tiles)
    assert deserialize_header(path.read_bytes()[:127])["leaf_directory_length"] > 0

    asked = chance.sample(sorted(tiles), 500)
    with closing(Basemap(path)) as basemap:
        assert [basemap.tile(*place) for place in asked] == [tiles[place] for place in asked]


@pytest.mark.parametrize(
    ("layers", "schema"),
    [
        (("water", "transportation", "place", "building"), "openmaptiles"),
        (("boundaries", "buildings", "earth", "landuse", "places", "roads", "water"), "protomaps"),
        (("earth", "natural", "physical_line", "roads", "transit"), "protomaps-old"),
        (("streets", "water_polygons"), "other"),
        ((), "other"),
    ],
)
def test_the_schema_is_told_by_the_layers(
    tmp_path: Path, layers: tuple[str, ...], schema: str
) -> None:
    path = pmtiles(tmp_path / "a.pmtiles", {(0, 0, 0): PACKED}, layers)

    with closing(Basemap(path)) as basemap:
        assert basemap.tilejson("")["schema"] == schema
        shortcoming = basemap.shortcoming()
    assert (shortcoming is None) == (schema in ("openmaptiles", "protomaps"))
    assert schema != "protomaps-old" or "before version 4" in str(shortcoming)


def test_pictures_have_a_schema_of_their_own(tmp_path: Path) -> None:
    source = mbtiles(tmp_path / "a.mbtiles", {"format": "png"}, [(0, 0, 0, b"\x89PNG picture")])

    assert Basemap(source).schema == "raster"


def test_the_basemap_of_another_kind_takes_the_place_of_the_former(tmp_path: Path) -> None:
    vector = pmtiles(tmp_path / "a.pmtiles", {(0, 0, 0): PACKED})
    picture = mbtiles(tmp_path / "b.mbtiles", {"format": "png"}, [(0, 0, 0, b"\x89PNG picture")])
    for source in (vector, picture, vector):
        path = import_basemap(source, tmp_path, silent)
        assert installed(tmp_path) == path
        assert path.suffix == source.suffix
        assert len(list(tmp_path.glob("basemap.*"))) == 1


def test_of_two_that_a_crash_left_the_newer_one_is_served(tmp_path: Path) -> None:
    for age_s, name in enumerate(("basemap.pmtiles", "basemap.mbtiles")):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (1e9 - age_s, 1e9 - age_s))

    assert installed(tmp_path) == tmp_path / "basemap.pmtiles"


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "no root", "old version", "brotli"])
def test_a_pmtiles_file_that_could_not_be_served_is_refused(tmp_path: Path, damage: str) -> None:
    tiles = {(7, x, 3): b"\x1f\x8b%d" % x for x in range(99)}
    whole = pmtiles(tmp_path / "a.pmtiles", tiles).read_bytes()
    content = {
        "empty": b"",
        "text": b"This is not a map. " * 50,
        "cut": whole[:-1],
        "no root": whole[:127] + bytes(100) + whole[227:],
        "old version": whole[:7] + b"\x02" + whole[8:],
        "brotli": whole[:98] + b"\x03" + whole[99:],
    }[damage]
    bad = tmp_path / "bad.pmtiles"
    bad.write_bytes(content)

    with pytest.raises(BasemapUnreadable, match=r"bad\.pmtiles"):
        import_basemap(bad, tmp_path, silent)

    assert not list(tmp_path.glob("*basemap*"))


def test_a_file_that_the_disk_has_no_room_for_is_not_begun(tmp_path: Path) -> None:
    source = pmtiles(tmp_path / "a.pmtiles", {(0, 0, 0): PACKED})
    os.truncate(source, 1 << 43)  # 8 TiB of nothing

    with pytest.raises(DiskFull, match="8,796,093,022,208 bytes"):
        import_basemap(source, tmp_path, silent)

    assert not list(tmp_path.glob("*basemap*"))


# --- a real city ---


@pytest.mark.skipif(not FLORENCE.exists(), reason=f"no real tiles at {FLORENCE}")
def test_a_real_pmtiles_file_is_read_as_its_own_library_reads_it(tmp_path: Path) -> None:
    with FLORENCE.open("rb") as stream:
        tiles = dict(all_tiles(MmapSource(stream)))
    assert len(tiles) == 108

    with closing(Basemap(import_basemap(FLORENCE, tmp_path, silent))) as basemap:
        assert all(basemap.tile(*place) == tile for place, tile in tiles.items())
        document = basemap.tilejson("")

    assert document["schema"] == "protomaps-old"
    assert "OpenStreetMap" in document["attribution"]
    assert "natural" in {layer["id"] for layer in document["vector_layers"]}


@needs_city
def test_a_real_city_is_drawn_with_the_streets_another_program_draws(tmp_path: Path) -> None:
    """The peer is tilemaker, from the same extract."""
    import_osm(CITY, tmp_path / "basemap.mbtiles", silent)
    ours, peer = Basemap(tmp_path / "basemap.mbtiles"), Basemap(PEER)
    west, south, east, north = ours.tilejson("")["bounds"]
    assert (west, south, east, north) == pytest.approx(peer.tilejson("")["bounds"], abs=1e-5)

    inside = shapely.box(west, south, east, north)

    def names(basemap: Basemap, key: str) -> set[str]:
        return {
            properties[key]
            for tile in mercantile.tiles(west, south, east, north, zooms=14)
            for properties, line in layer(
                basemap, "transportation_name", at=mercantile.ul(mercantile.children(tile)[2])
            )
            if properties["class"] in ("primary", "secondary", "tertiary")
            and key in properties
            and line.intersects(inside)
        }

    theirs = names(peer, "name:latin")
    assert len(theirs) > 50
    assert theirs <= names(ours, "name")


@needs_city
def test_an_imported_file_serves_every_tile_of_its_source(tmp_path: Path) -> None:
    import_basemap(PEER, tmp_path, silent)

    basemap = Basemap(tmp_path / "basemap.mbtiles")
    with sqlite3.connect(f"file:{PEER}?mode=ro&immutable=1", uri=True) as file:
        rows = file.execute("SELECT * FROM tiles").fetchall()
    file.close()
    assert len(rows) == 27

    def served(row: tuple[int, int, int, bytes]) -> bool:
        z, x, y, stored = row
        return basemap.tile(z, x, 2**z - 1 - y) == stored

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(served, rows * 20))


@needs_city
def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.mbtiles").write_bytes(PEER.read_bytes()[:200_000])

    with pytest.raises(BasemapUnreadable, match=r"cut\.mbtiles"):
        import_basemap(tmp_path / "cut.mbtiles", tmp_path, silent)
