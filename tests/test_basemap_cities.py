"""Real maps: read as other programs read them, drawn as other programs draw them."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import mercantile
import pytest
import shapely
from pmtiles.reader import MmapSource, all_tiles

from tests.extracts import layer, silent
from urbanos_edge.basemap.basemap import Basemap, import_basemap, import_osm
from urbanos_edge.basemap.tileset import BasemapUnreadable

CITY = "basemap/sf-downtown.osm.pbf"
FLORENCE = "basemap/firenze_protomaps_ODbL.pmtiles"
PEER = "basemap/sf-downtown_omt_z0-14.mbtiles"


def test_a_real_pmtiles_file_is_read_as_its_own_library_reads_it(
    data: Path, tmp_path: Path
) -> None:
    florence = data / FLORENCE
    with florence.open("rb") as stream:
        tiles = dict(all_tiles(MmapSource(stream)))
    assert len(tiles) == 108

    with closing(Basemap(import_basemap(florence, tmp_path, silent))) as basemap:
        assert all(basemap.tile(*place) == tile for place, tile in tiles.items())
        document = basemap.tilejson("")

    assert document["schema"] == "protomaps-old"
    assert "OpenStreetMap" in document["attribution"]
    assert "natural" in {layer["id"] for layer in document["vector_layers"]}


def test_a_real_city_is_drawn_with_the_streets_another_program_draws(
    data: Path, tmp_path: Path
) -> None:
    """The peer is tilemaker, from the same extract."""
    import_osm(data / CITY, tmp_path / "basemap.mbtiles", silent)
    ours, peer = Basemap(tmp_path / "basemap.mbtiles"), Basemap(data / PEER)
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


def test_an_imported_file_serves_every_tile_of_its_source(data: Path, tmp_path: Path) -> None:
    source = data / PEER
    import_basemap(source, tmp_path, silent)

    basemap = Basemap(tmp_path / "basemap.mbtiles")
    with sqlite3.connect(f"file:{source}?mode=ro&immutable=1", uri=True) as file:
        rows = file.execute("SELECT * FROM tiles").fetchall()
    file.close()
    assert len(rows) == 27

    def served(row: tuple[int, int, int, bytes]) -> bool:
        z, x, y, stored = row
        return basemap.tile(z, x, 2**z - 1 - y) == stored

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(served, rows * 20))


def test_a_file_cut_short_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.mbtiles").write_bytes((data / PEER).read_bytes()[:200_000])

    with pytest.raises(BasemapUnreadable, match=r"cut\.mbtiles"):
        import_basemap(tmp_path / "cut.mbtiles", tmp_path, silent)
