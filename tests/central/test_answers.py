"""What the centre answers: raw rows, clusters and grids, over nodes that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import mercantile
import psycopg
import pytest

from tests.central.conftest import Centre
from urbanos_edge.grid import FINEST_ZOOM, Tile, tile_at

PLACE: Final = (60.171, 24.941)
BOX = (60.0, 60.3, 24.7, 25.2)
"""Around it, as the functions take it: lowest and highest latitude, then longitude."""
HOUR = "date_trunc('hour', now(), 'UTC')"


def cell_at(lat: float, lng: float) -> str:
    return tile_at(lat, lng, FINEST_ZOOM).grid_id


def put_reading(centre: Centre, place: tuple[float, float], aqi: float | None, **more: Any) -> None:
    """A reading, unless told otherwise of nobody's, an hour ago."""
    fields: dict[str, Any] = {"node_id": "", "flags": "", "age": "1 hour"} | more
    centre.owner.execute(
        "INSERT INTO pollution_data"
        " (grid_id, location, timestamp, created_date, aqi_value, node_id, flags)"
        " VALUES (%(grid)s, ST_Point(%(lng)s, %(lat)s, 4326), now() - %(age)s::INTERVAL,"
        " ((now() - %(age)s::INTERVAL) AT TIME ZONE 'UTC')::DATE, %(aqi)s, %(node_id)s, %(flags)s)",
        fields
        | {"lat": place[0], "lng": place[1], "aqi": aqi, "grid": tile_at(*place, 12).grid_id},
    )


def put_bucket(centre: Centre, node: str, cell: str, values: Sequence[int], **more: Any) -> None:
    """A bucket of these values, unless told otherwise of the index and the hour before."""
    fields: dict[str, Any] = {"quantity": "aqi", "age": "1 hour", "flagged": 0} | more
    centre.owner.execute(
        f"INSERT INTO pollution_aggregates VALUES (%(node)s, {HOUR} - %(age)s::INTERVAL,"
        " 3600, %(cell)s, %(quantity)s, %(count)s, %(sum)s, %(sum_sq)s, %(min)s, %(max)s,"
        " %(flagged)s, 1)",
        fields
        | {
            "node": node,
            "cell": cell,
            "count": len(values),
            "sum": sum(values),
            "sum_sq": sum(value * value for value in values),
            "min": min(values, default=None),
            "max": max(values, default=None),
        },
    )


def clusters(centre: Centre, size: float = 0.1, box: Sequence[float] = BOX) -> set[Any]:
    """Rows of clusters, their places rounded against binary fractions."""
    query = "SELECT * FROM get_pollution_clusters_in_bounds(%s, %s, %s, %s, %s)"
    return {
        (round(lat, 6), round(lng, 6), count, mean, worst)
        for lat, lng, count, mean, worst in centre.rows(query, *box, size)
    }


@pytest.mark.parametrize("tile", [Tile(18, 149208, 75850), Tile(10, 0, 1023), Tile(14, 9325, 4740)])
def test_tiles_lie_where_mercantile_puts_them(centre: Centre, tile: Tile) -> None:
    west, south, east, north = mercantile.bounds(tile.x, tile.y, tile.z)
    corners = "ST_XMin(b), ST_YMin(b), ST_XMax(b), ST_YMax(b)"
    query = f"SELECT {corners} FROM tile_bounds(%s, %s, %s) AS b"
    (found,) = centre.rows(query, *tile)
    assert found == pytest.approx((west, south, east, north), abs=1e-9)
    (place,) = centre.rows("SELECT ST_Y(p), ST_X(p) FROM tile_center(%s, %s, %s) AS p", *tile)
    assert tile_at(place[0], place[1], tile.z) == tile


def test_readings_of_the_box_and_the_last_24_hours_come_newest_first(centre: Centre) -> None:
    for age, aqi in (("3 hours", 30), ("1 hour", 10), ("23 hours 59 minutes", 40)):
        put_reading(centre, PLACE, aqi, age=age)
    put_reading(centre, PLACE, 99, age="24 hours 1 minute")
    put_reading(centre, (60.3001, 24.941), 98)
    put_reading(centre, (60.171, 24.6999), 97)
    put_reading(centre, PLACE, None, age="2 hours", flags="spike")
    query = "SELECT aqi_value, lat, lng, grid_id FROM get_pollution_in_bounds(%s, %s, %s, %s)"
    rows = centre.rows(query, *BOX)
    assert [row[0] for row in rows] == [10, None, 30, 40]
    assert rows[0][1:] == (*PLACE, tile_at(*PLACE, 12).grid_id)
    limited = "SELECT aqi_value FROM get_pollution_in_bounds(%s, %s, %s, %s, 1)"
    assert centre.rows(limited, *BOX) == [(10.0,)]


def test_no_more_than_1000_readings_come_unless_more_are_asked_for(centre: Centre) -> None:
    centre.owner.execute(
        "INSERT INTO pollution_data (grid_id, location)"
        " SELECT 'z12-x2330-y1185', ST_Point(24.941, 60.171, 4326) FROM generate_series(1, 1005)"
    )
    count = "SELECT count(*) FROM get_pollution_in_bounds(%s, %s, %s, %s"
    assert centre.value(f"{count})", *BOX) == 1000
    assert centre.value(f"{count}, 1003)", *BOX) == 1003


def test_a_box_ends_exactly_where_it_says(centre: Centre) -> None:
    """PostGIS compares boxes of single precision: about a metre off."""
    put_reading(centre, (60.00000001, 24.941), 1)
    put_reading(centre, (59.99999999, 24.941), 2)
    query = "SELECT aqi_value FROM get_pollution_in_bounds(%s, %s, %s, %s)"
    assert centre.rows(query, *BOX) == [(1.0,)]
    assert {row[2:] for row in clusters(centre)} == {(1, 1.0, 1.0)}


def test_clusters_of_readings_count_the_unflagged_ones(centre: Centre) -> None:
    for aqi in (40, 60, None):
        put_reading(centre, (60.11, 24.81), aqi)
    put_reading(centre, (60.11, 24.81), 500, flags="stuck")
    put_reading(centre, (60.11, 24.81), 400, age="25 hours")
    put_reading(centre, (60.11, 24.92), 7)
    assert clusters(centre) == {(60.15, 24.85, 3, 50.0, 60.0), (60.15, 24.95, 1, 7.0, 7.0)}


def test_three_nodes_that_overlap_are_one_truth(centre: Centre) -> None:
    """The means are those of all readings, not of the nodes' means."""
    shared, far = cell_at(60.171, 24.941), cell_at(60.271, 25.141)
    for node in ("tr-1", "tr-2", "tr-3"):
        centre.add_node(node)
    put_bucket(centre, "tr-1", shared, [10, 20])
    put_bucket(centre, "tr-2", shared, [90])
    put_bucket(centre, "tr-3", shared, [40], age="23 hours")
    put_bucket(centre, "tr-3", shared, [500], age="24 hours")
    put_bucket(centre, "tr-3", shared, [300], quantity="pm25")
    put_bucket(centre, "tr-3", shared, [], age="2 hours", flagged=5)
    put_bucket(centre, "tr-2", far, [70], age="0 hours")
    expected = {(60.15, 24.95, 4, 40.0, 90.0), (60.25, 25.15, 1, 70.0, 70.0)}
    assert clusters(centre) == expected
    (merged,) = centre.rows(
        "SELECT nodes, count, sum, sum_sq, min, max, flagged, mean FROM merged_aggregates"
        f" WHERE quantity = 'aqi' AND cell = %s AND bucket_start = {HOUR} - INTERVAL '1 hour'",
        shared,
    )
    assert merged == (2, 3, Decimal(120), Decimal(100 + 400 + 8100), 10, 90, 0, Decimal(40))


def test_a_node_counts_once_by_what_it_sends(centre: Centre) -> None:
    """Who sends readings sends aggregates, too."""
    centre.add_node("once-a")
    centre.add_node("once-r", "readings")
    for node in ("once-a", "once-r"):
        put_bucket(centre, node, cell_at(*PLACE), [10])
        put_reading(centre, PLACE, 90, node_id=node)
    assert {row[2:] for row in clusters(centre)} == {(2, 50.0, 90.0)}


def test_a_node_that_was_let_go_counts_once_as_well(centre: Centre) -> None:
    """By its readings: they are nobody's then, and its aggregates say the same."""
    centre.add_node("gone-r", "readings")
    put_bucket(centre, "gone-r", cell_at(*PLACE), [10, 30])
    for aqi in (10, 30):
        put_reading(centre, PLACE, aqi, node_id="gone-r")
    before = clusters(centre)
    assert {row[2:] for row in before} == {(2, 20.0, 30.0)}
    centre.forget_nodes()
    assert clusters(centre) == before


def test_grids_of_all_zooms_add_up_to_their_cells(centre: Centre) -> None:
    places = [(60.171, 24.941), (60.1725, 24.941), (60.2, 25.0)]
    values = [[10, 20], [60], [5, 5, 5]]
    for place, held in zip(places, values, strict=True):
        put_bucket(centre, "g", cell_at(*place), held)
    expected: dict[str, list[int]] = {}
    for place, held in zip(places, values, strict=True):
        for zoom in range(10, 19):
            expected.setdefault(tile_at(*place, zoom).grid_id, []).extend(held)
    assert centre.value("SELECT refresh_grid_metadata()") == len(expected)
    rows = centre.rows("SELECT grid_id, data_count, avg_aqi, max_aqi FROM grid_metadata")
    means = {grid: (len(v), sum(v) / len(v), max(v)) for grid, v in expected.items()}
    assert {grid: tuple(numbers) for grid, *numbers in rows} == means
    outside = (
        "SELECT count(*) FROM grid_metadata WHERE NOT ST_Contains(bounds, center)"
        " OR zoom_level <> split_part(substr(grid_id, 2), '-', 1)::INTEGER"
    )
    assert centre.value(outside) == 0


def test_only_grids_whose_numbers_changed_are_written_and_empty_ones_go(centre: Centre) -> None:
    put_bucket(centre, "g", cell_at(60.171, 24.941), [10])
    put_bucket(centre, "g", cell_at(59.0, 25.0), [10])
    assert centre.value("SELECT refresh_grid_metadata()") == 18, "nine zooms, two places"
    assert centre.value("SELECT refresh_grid_metadata()") == 0
    centre.owner.execute("DELETE FROM pollution_aggregates WHERE y18 > 76000")
    put_bucket(centre, "h", cell_at(60.171, 24.941), [30])
    assert centre.value("SELECT refresh_grid_metadata(10, 12)") == 6
    rows = centre.rows("SELECT zoom_level, avg_aqi FROM grid_metadata WHERE data_count = 2")
    assert sorted(rows) == [(10, 20.0), (11, 20.0), (12, 20.0)]
    assert centre.value("SELECT count(*) FROM grid_metadata") == 3 + 2 * 6


@pytest.mark.parametrize("zoom", [9, 19])
def test_grid_metadata_is_of_zooms_10_to_18(centre: Centre, zoom: int) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="valid_zoom"):
        centre.owner.execute(
            "INSERT INTO grid_metadata (grid_id, zoom_level, bounds, center)"
            " VALUES ('z', %s, ST_MakeEnvelope(0, 0, 1, 1, 4326), ST_Point(0, 0, 4326))",
            (zoom,),
        )


def test_the_size_of_a_table_is_that_of_its_partitions(centre: Centre) -> None:
    put_bucket(centre, "n", cell_at(*PLACE), [1])
    sizes = dict(centre.rows("SELECT tablename, bytes FROM table_sizes"))
    parts = (
        "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits"
        " WHERE inhparent = 'pollution_aggregates'::REGCLASS"
    )
    assert sizes["pollution_aggregates"] == centre.value(parts) > 0
    assert "pollution_data_default" not in sizes
    (size,) = centre.rows("SELECT size FROM table_sizes WHERE tablename = 'nodes'")
    assert size[0].endswith(("bytes", "kB"))


def test_slow_queries_are_shown_where_the_server_counts_them(centre: Centre) -> None:
    centre.owner.execute("SELECT pg_stat_statements_reset()")  # it is the whole cluster's
    centre.owner.execute("SELECT pg_sleep(0.12)")
    slow = centre.rows("SELECT query, mean_exec_time FROM slow_queries WHERE query ~ 'pg_sleep'")
    assert slow and all(mean > 100 for _, mean in slow)


def test_where_the_server_does_not_count_them_migration_says_so(own_centre: Centre) -> None:
    notices: list[str] = []
    own_centre.owner.execute("DROP EXTENSION pg_stat_statements CASCADE")
    own_centre.owner.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    own_centre.owner.execute(
        "GRANT EXECUTE ON FUNCTION create_slow_queries_view() TO urbanos_reader"
    )
    own_centre.owner.execute("SET ROLE urbanos_reader")
    assert own_centre.value("SELECT create_slow_queries_view()") is False
    assert any("no view of slow queries" in notice for notice in notices)
