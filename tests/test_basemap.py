"""The file of a basemap: what is made from an extract, and what is taken over as it is."""

from __future__ import annotations

import gzip
import os
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import mercantile
import pytest
from pmtiles.tile import Compression, TileType, deserialize_header, zxy_to_tileid
from pmtiles.writer import Writer

from tests.extracts import BOX, Extract, draw, silent, small_extract
from urbanos_edge.basemap.basemap import (
    ATTRIBUTION,
    Basemap,
    import_basemap,
    import_mbtiles,
    import_osm,
    installed,
)
from urbanos_edge.basemap.osm import header_bounds
from urbanos_edge.basemap.tileset import BasemapUnreadable
from urbanos_edge.errors import DiskFull, NotFound
from urbanos_edge.zstd import zstd


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
        (Compression.ZSTD, zstd.compress(b"\x1a\x00tile")),
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
