"""A node reaches its own rows and nobody else's; readers read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.central.conftest import Centre

Login = psycopg.Connection[Any]
NODES = ("oulu-1", "turku-2")
PUT_BUCKET = (
    "INSERT INTO pollution_aggregates VALUES (%s, date_trunc('hour', now()), 3600,"
    " 'z18-x149208-y75850', 'pm25', 1, 2, 4, 2, 2, 0, 1)"
)
PUT_READING = (
    "INSERT INTO pollution_data (grid_id, location, node_id)"
    " VALUES ('z12-x2330-y1185', ST_Point(24.9, 60.1, 4326), %s)"
)


@pytest.fixture
def logins(centre: Centre) -> Iterator[tuple[Login, Login]]:
    """Two nodes, each with a bucket and a reading of its own."""
    connections = [psycopg.connect(centre.add_node(name), autocommit=True) for name in NODES]
    for name, connection in zip(NODES, connections, strict=True):
        connection.execute(PUT_BUCKET, (name,))
        connection.execute(PUT_READING, (name,))
    first, second = connections
    yield first, second
    for connection in connections:
        connection.close()


def test_a_node_sees_its_own_rows_only(centre: Centre, logins: tuple[Login, Login]) -> None:
    for table in ("pollution_aggregates", "pollution_data", "nodes"):
        query = f"SELECT node_id FROM {table}"
        assert sorted(centre.rows(query)) == [(name,) for name in NODES]
        for login, name in zip(logins, NODES, strict=True):
            assert login.execute(query.encode()).fetchall() == [(name,)]


def test_a_node_cannot_write_in_anothers_name(centre: Centre, logins: tuple[Login, Login]) -> None:
    _, other = NODES
    for put in (PUT_BUCKET, PUT_READING):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            logins[0].execute(put.encode(), (other,))
    for table in ("pollution_aggregates", "pollution_data"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            logins[0].execute(f"UPDATE {table} SET node_id = '{other}'".encode())


def test_a_node_changes_nothing_of_anothers(centre: Centre, logins: tuple[Login, Login]) -> None:
    _, other = NODES
    own = logins[0]
    for change in (
        "UPDATE pollution_aggregates SET sum = 0",
        "UPDATE pollution_data SET aqi_value = 1",
        "DELETE FROM pollution_data",
        "UPDATE nodes SET epoch = 'x'",
    ):
        assert own.execute(change.encode()).rowcount == 1, change
    found = centre.rows("SELECT sum FROM pollution_aggregates WHERE node_id = %s", other)
    assert found == [(2,)]
    assert centre.rows("SELECT aqi_value, node_id FROM pollution_data") == [(None, other)]
    assert centre.rows("SELECT epoch FROM nodes WHERE node_id = %s", other) == [(None,)]


def test_what_a_node_writes_is_its_own_without_saying_so(
    centre: Centre, logins: tuple[Login, Login]
) -> None:
    logins[0].execute(
        "INSERT INTO pollution_data (grid_id, location) VALUES ('z12-x1-y1', ST_Point(0, 0, 4326))"
    )
    query = "SELECT node_id FROM pollution_data WHERE grid_id = 'z12-x1-y1'"
    assert centre.rows(query) == [(NODES[0],)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE nodes SET role_name = 'postgres'",
        "UPDATE nodes SET node_id = 'other'",
        "DELETE FROM pollution_aggregates",
        "TRUNCATE pollution_data",
        "SELECT FROM pollution_aggregates_default",
        "INSERT INTO grid_metadata (grid_id) VALUES ('z')",
        "UPDATE retention SET kept_days = 1",
        "SELECT delete_old_partitions()",
        "SELECT attach_partition('pollution_data', '2026-01-01')",
        "SELECT refresh_grid_metadata()",
        "DELETE FROM schema_migrations",
        "CREATE TABLE mine (a INTEGER)",
    ],
)
def test_a_node_may_do_nothing_else(centre: Centre, statement: str) -> None:
    name = NODES[0]
    with (
        psycopg.connect(centre.add_node(name)) as login,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        login.execute(statement.encode())


def test_a_node_may_have_its_days_prepared(logins: tuple[Login, Login]) -> None:
    days = "(now() AT TIME ZONE 'UTC')::DATE - 60"
    (made,) = logins[0].execute(f"SELECT create_daily_partitions({days}, {days})".encode())
    assert made == (2,)


def test_a_login_that_is_no_node_reads_and_writes_nothing(centre: Centre) -> None:
    name = f"stranger_{centre.database}"
    centre.owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'p' IN ROLE urbanos_node".encode())
    with psycopg.connect(centre.postgres.dsn(centre.database, name, "p"), autocommit=True) as login:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            login.execute(PUT_READING, ("x",))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            login.execute(PUT_READING, ("",))
        assert login.execute("SELECT FROM pollution_data").fetchall() == []


def test_readers_read_all_nodes_and_write_nothing(
    centre: Centre, logins: tuple[Login, Login]
) -> None:
    name = f"reader_{centre.database}"
    centre.owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'p' IN ROLE urbanos_reader".encode())
    with psycopg.connect(
        centre.postgres.dsn(centre.database, name, "p"), autocommit=True
    ) as reader:
        for query, number in (
            ("SELECT FROM pollution_aggregates", 2),
            ("SELECT FROM merged_aggregates", 1),
            ("SELECT FROM nodes", 2),
            ("SELECT FROM get_pollution_in_bounds(60, 61, 24, 25)", 2),
            ("SELECT FROM get_pollution_clusters_in_bounds(60, 61, 24, 25, 1)", 0),
            ("SELECT FROM grid_metadata", 0),
        ):
            assert len(reader.execute(query.encode()).fetchall()) == number, query
        for statement in ("DELETE FROM pollution_data", "UPDATE nodes SET name = 'x'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement.encode())


def test_a_reader_finds_clusters_by_the_spatial_index_of_the_last_days(centre: Centre) -> None:
    """Row security must not keep PostGIS's operators from the index, nor other days be opened."""
    centre.add_node("n")
    centre.value("SELECT create_daily_partitions(CURRENT_DATE - 20, CURRENT_DATE)")
    centre.owner.execute(
        "INSERT INTO pollution_aggregates SELECT 'n', date_trunc('hour', now()), 3600,"
        " 'z18-x' || x || '-y' || y, 'aqi', 1, 2, 4, 2, 2, 0, 1"
        " FROM generate_series(100000, 100099) AS x, generate_series(70000, 70049) AS y"
    )
    centre.owner.execute("ANALYZE pollution_aggregates")
    centre.owner.execute("LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0")
    centre.owner.execute("SET auto_explain.log_nested_statements = on")
    centre.owner.execute("SET client_min_messages = log; SET ROLE urbanos_reader")
    plans: list[str] = []
    centre.owner.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
    box = (60.0, 60.01, 24.0, 24.01)
    centre.rows("SELECT FROM get_pollution_clusters_in_bounds(%s, %s, %s, %s, 1)", *box)
    (plan,) = [text for text in plans if "Append" in text]
    today = datetime.now(UTC).date()
    assert f"Index Scan using pollution_aggregates_{today:%Y_%m_%d}_tile_center_idx" in plan
    opened = set(re.findall(r" on pollution_aggregates_(\d{4}_\d\d_\d\d)", plan))
    assert opened <= {f"{today + timedelta(days=n):%Y_%m_%d}" for n in (-1, 0, 1, 2, 3)}
