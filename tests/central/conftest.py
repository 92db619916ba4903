"""A real cluster for the whole suite, and an empty centre for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.postgres import Postgres, scratch
from urbanos_edge.node import Node
from urbanos_edge.sync import central

_TEMPLATE = "centre"
_PARTITIONS = """
SELECT inhrelid::REGCLASS::TEXT FROM pg_inherits
WHERE inhparent IN ('pollution_data'::REGCLASS, 'pollution_aggregates'::REGCLASS)"""
_numbers = count(1)


class Centre(NamedTuple):
    """A database with the newest schema, and its owner's connection."""

    postgres: Postgres
    database: str
    owner: psycopg.Connection[Any]

    @property
    def dsn(self) -> str:
        return self.postgres.dsn(self.database)

    def add_node(self, node_id: str, mode: str = "aggregates") -> str:
        """Let a node in, and return its address."""
        password = central.add_node(self.owner, node_id)
        self.value("UPDATE nodes SET mode = %s WHERE node_id = %s RETURNING 1", mode, node_id)
        user = central.ROLE_PREFIX + node_id.replace("-", "_")
        return self.postgres.dsn(self.database, user, password)

    def value(self, query: str, *values: Any) -> Any:
        """The first field of the first row."""
        row = self.owner.execute(query.encode(), values).fetchone()
        return row[0] if row else None

    def forget_nodes(self) -> None:
        """Take the nodes' logins away, which are the whole cluster's."""
        if self.value("SELECT to_regclass('nodes') IS NOT NULL"):
            for (role,) in self.rows("SELECT role_name FROM nodes"):
                self.owner.execute(f"DROP ROLE IF EXISTS {role}".encode())
            self.owner.execute("DELETE FROM nodes")

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.owner.execute(query.encode(), values).fetchall()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One cluster for the suite."""
    with scratch() as folder:
        cluster = Postgres(folder)
        cluster.initialise()
        with cluster.running():
            yield cluster


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """The name of a database with the newest schema, to be copied."""
    with central.connected(postgres.create(_TEMPLATE)) as connection:
        central.migrate(connection)
    return _TEMPLATE


@pytest.fixture(scope="session")
def shared(postgres: Postgres, template: str) -> str:
    """The name of the database that most tests have, one after the other."""
    postgres.create("shared", template)
    return "shared"


@pytest.fixture
def centre(postgres: Postgres, shared: str) -> Iterator[Centre]:
    """An empty centre. Its schema is others' as well: see `own_centre`."""
    with opened(postgres, shared) as found:
        partitions = found.rows(_PARTITIONS)
        yield found
    with opened(postgres, shared) as left:
        sweep(left, {name for (name,) in partitions})


@pytest.fixture
def synced(open_node: Callable[..., Node], centre: Centre) -> Callable[..., Node]:
    """Open nodes that have the centre, one after the other."""
    dsn = centre.add_node("north")

    def reopen(**settings: Any) -> Node:
        return open_node(**{"sync_dsn": dsn, "node_id": "north", **settings})

    return reopen


@pytest.fixture
def own_centre(postgres: Postgres, template: str) -> Iterator[Centre]:
    """An empty centre whose schema the test may change."""
    name = f"centre_{next(_numbers)}"
    postgres.create(name, template)
    with opened(postgres, name) as found:
        yield found
    with opened(postgres, name) as left:
        left.forget_nodes()
    with postgres.connect() as owner:
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def opened(postgres: Postgres, database: str) -> Iterator[Centre]:
    with postgres.connect(database) as owner:
        yield Centre(postgres, database, owner)


def sweep(centre: Centre, partitions: set[str]) -> None:
    """Leave nothing of a test, neither its sessions nor partitions beside these."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    centre.rows(f"SELECT pg_terminate_backend(pid) {others}")
    for (name,) in centre.rows(_PARTITIONS):
        if name not in partitions:
            centre.owner.execute(f"DROP TABLE {name}".encode())
    for table in ("pollution_data", "pollution_aggregates", "grid_metadata"):
        centre.owner.execute(f"DELETE FROM {table}".encode())  # of few rows faster than TRUNCATE
    centre.owner.execute("UPDATE retention SET kept_days = 90, kept_since = '1970-01-01'")
    long = "UPDATE retention SET kept_days = 1825 WHERE table_name = 'pollution_aggregates'"
    centre.owner.execute(long.encode())
    centre.forget_nodes()
