"""The centre's database: its schema forward and back, its upkeep, and the nodes that may write.

PostgreSQL with PostGIS. `schema_migrations` says which of `migrations/central/` it has; each is one
transaction, and only one program migrates at a time.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import class_row

from urbanos_edge.errors import DiskFull, EdgeError, NotFound, Unavailable
from urbanos_edge.progress import Tell, ignore_progress

Connection = psycopg.Connection[Any]

CONNECT_WITHIN_S: Final = 10
ROLE_PREFIX: Final = "urbanos_node_"
"""Of the login that a node gets, before its id."""
_NODE_ID: Final = re.compile(r"[a-z0-9-]{1,40}")
_PASSWORD_BYTES: Final = 24
_MIGRATION_LOCK: Final = 7_284_911_735_026
"""Any number, the same in all versions."""
_log = logging.getLogger(__name__)
NO_CENTRE: Final = "there is no centre in this database; make one with central init"
_VERSIONS: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
)"""
_NODES: Final = """
SELECT node_id, name, role_name, mode, schema_version, program_version, revision,
    (extract(EPOCH FROM last_seen_at) * 1000000)::BIGINT AS last_seen_at_us,
    (extract(EPOCH FROM last_synced_at) * 1000000)::BIGINT AS last_synced_at_us
FROM nodes ORDER BY node_id"""
_PARTITIONS: Final = """
SELECT count(*) FROM pg_inherits
WHERE inhparent IN ('pollution_data'::REGCLASS, 'pollution_aggregates'::REGCLASS)"""


class CentreUnavailable(Unavailable):
    """The centre cannot be reached, or does not let us in; the message says why."""

    code = "centre_unavailable"


class CentreRefused(EdgeError):
    """The centre is there but cannot do this: another schema, missing rights, no PostGIS."""

    status = 409
    code = "centre_refused"


class Tended(msgspec.Struct, frozen=True):
    """What was done: partitions made and dropped, rows of `grid_metadata` that changed."""

    made: int
    dropped: int
    grids: int


class Node(msgspec.Struct):
    """A node as the centre knows it; what it has never told is None."""

    node_id: str
    name: str
    role_name: str
    mode: str
    schema_version: int | None
    program_version: str | None
    revision: int
    last_seen_at_us: int | None
    last_synced_at_us: int | None


@contextmanager
def translated() -> Iterator[None]:
    """Turn PostgreSQL's errors into the family's, in words that say what to do."""
    try:
        yield
    except psycopg.Error as error:
        raise _translation(error) from error


@contextmanager
def connected(dsn: str) -> Iterator[Connection]:
    """A connection to the centre as its owner, each statement a transaction of its own.

    Raises:
        CentreUnavailable: nobody answers, or the name or password is wrong.
        CentreRefused, DiskFull: what was asked there was refused.
    """
    with translated():
        with psycopg.connect(
            dsn,
            autocommit=True,
            connect_timeout=CONNECT_WITHIN_S,
            application_name="urbanos-edge central",
        ) as connection:
            connection.execute("SET search_path = public")
            yield connection


def newest_schema() -> int:
    """The schema of the centre that this version writes."""
    return len(_scripts("up"))


def schema_of(connection: Connection) -> int:
    """The schema the centre has; 0 for a database without any."""
    if _value(connection, "SELECT to_regclass('schema_migrations') IS NULL"):
        return 0
    return int(_value(connection, "SELECT coalesce(max(version), 0) FROM schema_migrations"))


def migrate(connection: Connection, tell: Tell = ignore_progress) -> list[str]:
    """Bring the schema up to the newest; return the names of the steps that were made.

    A step that fails leaves the schema it began with.

    Raises:
        CentreRefused: the schema is newer than this version, PostGIS or a right is missing.
    """
    made = []
    with _alone(connection):
        version, scripts = schema_of(connection), _scripts("up")
        if version > len(scripts):
            raise CentreRefused(
                f"the centre is of schema {version}, newer than this version knows"
                f" ({len(scripts)}); install the newer version",
                code="centre_newer",
            )
        for number, script in enumerate(scripts[version:], start=version + 1):
            tell((number - version - 1) / (len(scripts) - version), _name(script))
            with connection.transaction():
                connection.execute(_VERSIONS)
                connection.execute(script.read_bytes())
                connection.execute(
                    "INSERT INTO schema_migrations (version, name) VALUES (%s, %s)",
                    (number, _name(script)),
                )
            made.append(_name(script))
        connection.execute("SELECT create_slow_queries_view(), create_daily_partition()")
    return made


def roll_back(
    connection: Connection, version: int, *, drop_rows: bool = False, tell: Tell = ignore_progress
) -> list[str]:
    """Bring the schema back to `version`; return the names of the steps that were undone.

    Raises:
        CentreRefused: it is older than that or newer than this version knows, or the step to 0
            would drop rows, and `drop_rows` does not allow it.
    """
    undone = []
    with _alone(connection):
        current, scripts = schema_of(connection), _scripts("down")
        if not 0 <= version <= current <= len(scripts):
            raise CentreRefused(
                f"the centre is of schema {current} and cannot be rolled back to {version};"
                f" this version knows the schemas up to {len(scripts)}",
                code="cannot_roll_back",
            )
        if version == 0 and current and not drop_rows:
            _refuse_to_drop_rows(connection)
        for number in range(current, version, -1):
            script = scripts[number - 1]
            tell((current - number) / (current - version), _name(script))
            with connection.transaction():
                connection.execute(script.read_bytes())
                connection.execute("DELETE FROM schema_migrations WHERE version = %s", (number,))
                if number == 1:
                    connection.execute("DROP TABLE schema_migrations")
            undone.append(_name(script))
    return undone


def nodes(connection: Connection) -> list[Node]:
    """All nodes the centre knows, by id."""
    _check_schema(connection)
    with connection.cursor(row_factory=class_row(Node)) as cursor:
        return cursor.execute(_NODES).fetchall()


def add_node(connection: Connection, node_id: str, name: str = "") -> str:
    """Let a node in under a login of its own, and return the password, which nothing else keeps.

    Raises:
        CentreRefused: there is such a node or login already, or the id is no node's id.
    """
    _check_schema(connection)
    if _NODE_ID.fullmatch(node_id) is None:
        raise CentreRefused(f"'{node_id}' is no node's id: 1 to 40 of a-z, 0-9 and -")
    if any(node.node_id == node_id for node in nodes(connection)):
        raise CentreRefused(
            f"the centre knows '{node_id}' already; --renew gives it a new password", code="exists"
        )
    role = ROLE_PREFIX + node_id.replace("-", "_")
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    with connection.transaction():
        connection.execute(
            "INSERT INTO nodes (node_id, name, role_name) VALUES (%s, %s, %s)",
            (node_id, name, role),
        )
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE urbanos_node").format(
                sql.Identifier(role), _verifier(connection, role, password)
            )
        )
    return password


def renew_password(connection: Connection, node_id: str) -> str:
    """Give a node's login a new password and return it; the old one opens nothing any more.

    Raises:
        NotFound: there is no such node.
    """
    _check_schema(connection)
    found = [node.role_name for node in nodes(connection) if node.node_id == node_id]
    if not found:
        raise NotFound(f"the centre knows no node '{node_id}'", code="unknown_node")
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    connection.execute(
        sql.SQL("ALTER ROLE {} PASSWORD {}").format(
            sql.Identifier(found[0]), _verifier(connection, found[0], password)
        )
    )
    return password


def tend(connection: Connection) -> Tended:
    """Do what has to be done again and again, now; what was missed is made up for.

    Makes partitions, drops those that are too old, and refreshes `grid_metadata`. Each is safe at
    any time and lasting by itself, whatever becomes of the others.

    Raises:
        CentreRefused: the login is not the tables' owner, or the schema is another.
        EdgeError: some parts failed, of the first one's kind; the message tells of each.
    """
    _check_schema(connection)
    connection.add_notice_handler(_warn)
    parts: dict[str, Callable[[], int]] = {
        "partitions to come": lambda: _make_partitions(connection),
        "old partitions": lambda: _value(connection, "SELECT delete_old_partitions()"),
        "grid_metadata": lambda: _value(connection, "SELECT refresh_grid_metadata()"),
    }
    numbers: list[int] = []
    failures: dict[str, EdgeError] = {}
    with _alone(connection):
        for name, part in parts.items():
            try:
                with translated():
                    numbers.append(part())
            except EdgeError as error:
                failures[name] = error
    if failures:
        first = next(iter(failures.values()))
        told = "; ".join(f"{name}: {error.message}" for name, error in failures.items())
        raise type(first)(told, code=first.code)
    return Tended(*numbers)


def _warn(said: psycopg.errors.Diagnostic) -> None:
    """Tell what the server left to the next time."""
    if said.severity_nonlocalized == "WARNING":
        _log.warning("%s", said.message_primary)


def _make_partitions(connection: Connection) -> int:
    before = _value(connection, _PARTITIONS)
    connection.execute("SELECT create_daily_partition()")
    return int(_value(connection, _PARTITIONS) - before)


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Let no other program migrate or tend meanwhile."""
    connection.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_MIGRATION_LOCK,))


def _check_schema(connection: Connection) -> None:
    found, newest = schema_of(connection), newest_schema()
    if not found:
        raise CentreRefused(NO_CENTRE, code="centre_schema")
    if found != newest:
        todo = "run urbanos-edge central migrate" if found < newest else "install the newer version"
        raise CentreRefused(
            f"the centre is of schema {found}, this version knows {newest}; {todo}",
            code="centre_schema",
        )


def _refuse_to_drop_rows(connection: Connection) -> None:
    for table in ("pollution_data", "pollution_aggregates", "nodes"):
        if _value(connection, f"SELECT EXISTS (SELECT FROM {table})"):
            raise CentreRefused(
                f"{table} has rows, which schema 0 does not have; say --drop-rows to lose them",
                code="rows_would_be_lost",
            )


def _verifier(connection: Connection, role: str, password: str) -> sql.Literal:
    """What the server keeps of a password, so that no log ever shows the password."""
    made = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    return sql.Literal(made.decode())


def _value(connection: Connection, query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def _name(script: Path) -> str:
    return script.name.split(".")[0]


def _scripts(direction: str) -> list[Path]:
    return sorted(_migrations().glob(f"[0-9]*_*.{direction}.sql"))


def _migrations() -> Path:
    package = Path(str(files("urbanos_edge")))
    installed = package / "migrations" / "central"
    return installed if installed.is_dir() else package.parent / "migrations" / "central"


def _translation(error: psycopg.Error) -> EdgeError:
    state = error.sqlstate or ""
    said = " ".join((error.diag.message_primary or str(error)).split())
    if state.startswith("53") and state != "53300":
        return DiskFull(f"the centre has no room left: {said}")
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return CentreRefused(f"the centre's login may not do this: {said}", code="no_right")
    if "postgis" in said and isinstance(error, psycopg.errors.FeatureNotSupported):
        return CentreRefused(
            f"the centre's server has no PostGIS (Debian: postgresql-15-postgis-3): {said}",
            code="postgis_missing",
        )
    if isinstance(error, psycopg.errors.UniqueViolation | psycopg.errors.DuplicateObject):
        return CentreRefused(f"that exists already: {said}", code="exists")
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return CentreUnavailable(
            f"something else at the centre holds what is needed: {said}", code="centre_busy"
        )
    ended = psycopg.errors.IdleInTransactionSessionTimeout
    if isinstance(error, psycopg.OperationalError | ended):
        return CentreUnavailable(f"the centre cannot be reached: {said}")
    return CentreRefused(f"the centre refused: {said}")
