"""The basemap as clients get it: tiles, and a PMTiles file read by its own library over HTTP."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pmtiles.reader import Reader

from tests.processes import NodeProcess
from tests.test_basemap import PACKED, mbtiles, pmtiles

TILES = {(14, 9326 + x, 4740): PACKED + bytes(x) for x in range(300)}
"""Of different sizes, so that many directories' entries differ."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pmtiles(tmp_path_factory.mktemp("map") / "town.pmtiles", TILES)


@pytest.fixture(scope="module")
def node(server: NodeProcess, file: Path) -> Iterator[NodeProcess]:
    """A running node that was given the file."""
    told = server.run("basemap", "import", str(file)).stderr
    assert told.splitlines() == ["town.pmtiles is installed; schema: openmaptiles"]
    yield server


def read(node: NodeProcess, span: str, **headers: str) -> httpx.Response:
    return node.client.get("/basemap.pmtiles", headers={"Range": span, **headers})


def test_the_formats_own_library_reads_the_file_by_its_ranges(node: NodeProcess) -> None:
    def get_bytes(offset: int, length: int) -> bytes:
        answer = read(node, f"bytes={offset}-{offset + length - 1}")
        assert answer.status_code == 206
        return answer.content

    reader = Reader(get_bytes)
    for place, tile in list(TILES.items())[::60]:
        assert reader.get(*place) == tile


def test_the_node_serves_the_same_tiles_one_by_one(node: NodeProcess) -> None:
    document = node.client.get("/basemap.json").json()
    assert (document["schema"], document["format"]) == ("openmaptiles", "pbf")
    template = document["tiles"][0]
    answer = node.client.get(template.format(z=14, x=9326, y=4740))
    assert answer.content == gzip.decompress(PACKED)
    assert answer.headers["content-encoding"] == "gzip"
    assert node.client.get(template.format(z=14, x=1, y=1)).status_code == 204


def test_what_the_basemap_is_made_of_is_told_once(node: NodeProcess) -> None:
    told = node.client.get("/basemap.json")
    assert told.headers["cache-control"].startswith("public, max-age=10")
    again = node.client.get("/basemap.json", headers={"If-None-Match": told.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_file_comes_whole_without_a_range(node: NodeProcess, file: Path) -> None:
    answer = node.client.get("/basemap.pmtiles")
    assert answer.status_code == 200
    assert answer.content == file.read_bytes()
    assert answer.headers["content-type"] == "application/vnd.pmtiles"
    assert answer.headers["accept-ranges"] == "bytes"
    head = node.client.head("/basemap.pmtiles")
    assert (head.headers["content-length"], head.content) == (str(len(answer.content)), b"")


@pytest.mark.parametrize(
    ("span", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-", 100, -1),
        ("bytes=-7", -7, -1),
        ("bytes=9-99999999", 9, -1),
    ],
)
def test_one_range_is_answered_as_the_standard_says(
    node: NodeProcess, file: Path, span: str, first: int, last: int
) -> None:
    """RFC 9110, 14.1.2."""
    whole = file.read_bytes()
    first, last = first % len(whole), last % len(whole)

    answer = read(node, span)

    assert answer.status_code == 206
    assert answer.content == whole[first : last + 1]
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"


@pytest.mark.parametrize("span", ["bytes=99999999-", "bytes=-0", "bytes=5-3"])
def test_a_range_that_holds_nothing_is_refused(node: NodeProcess, file: Path, span: str) -> None:
    answer = read(node, span)
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{file.stat().st_size}"


@pytest.mark.parametrize("span", ["bytes=0-1,5-6", "lines=1-2", "bytes=a-b", "bytes"])
def test_what_is_no_single_range_gets_the_whole_file(node: NodeProcess, span: str) -> None:
    assert read(node, span).status_code == 200


def test_a_part_of_another_version_is_not_given(node: NodeProcess) -> None:
    etag = node.client.head("/basemap.pmtiles").headers["etag"]
    assert read(node, "bytes=0-9", **{"If-Range": etag}).status_code == 206
    assert read(node, "bytes=0-9", **{"If-Range": '"older"'}).status_code == 200
    assert read(node, "bytes=0-9", **{"If-None-Match": etag}).status_code == 304


def test_another_basemap_takes_its_place_at_once(
    start_node: Callable[..., NodeProcess], file: Path, tmp_path: Path
) -> None:
    node = start_node()
    assert node.client.get("/basemap.pmtiles").status_code == 404
    node.run("basemap", "import", str(file))
    assert read(node, "bytes=0-6").content == b"PMTiles"
    picture = mbtiles(tmp_path / "b.mbtiles", {"format": "png"}, [(0, 0, 0, b"\x89PNG")])

    node.run("basemap", "import", str(picture))

    assert node.client.get("/basemap.json").json()["schema"] == "raster"
    assert node.client.get("/basemap/0/0/0").content == b"\x89PNG"
    assert node.client.get("/basemap.pmtiles").status_code == 404


def test_a_schema_without_a_style_is_told_of(server: NodeProcess, tmp_path: Path) -> None:
    old = pmtiles(tmp_path / "old.pmtiles", {(0, 0, 0): PACKED}, ("earth", "roads", "natural"))
    told = server.run("basemap", "import", str(old)).stderr
    assert "old.pmtiles is installed; schema: protomaps-old" in told
    assert "before version 4" in told
