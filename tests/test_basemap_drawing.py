"""What is drawn of an extract: streets, areas, places and the sea."""

from __future__ import annotations

from pathlib import Path

import pytest
import shapely
from shapely.geometry import Point, Polygon

from tests.extracts import Extract, Place, box, draw, layer, metres, silent
from urbanos_edge.basemap.basemap import Basemap, import_osm

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


def test_an_extract_may_be_a_link_to_one_elsewhere(tmp_path: Path) -> None:
    extract = Extract()
    extract.line([(24.942, 60.1665), (24.947, 60.1668)], highway="residential")
    for name in ("elsewhere", "here"):
        (tmp_path / name).mkdir()
    link = tmp_path / "here" / "city.osm.pbf"
    link.symlink_to(extract.save(tmp_path / "elsewhere" / "finland.osm.pbf"))
    import_osm(link, tmp_path / "here" / "basemap.mbtiles", silent)
    basemap = Basemap(tmp_path / "here" / "basemap.mbtiles")
    assert len(layer(basemap, "transportation")) == 1


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
