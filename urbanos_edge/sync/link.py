"""One connection to the centre, and what is said on it.

Each statement stands in a transaction of its own or of `send`; no state of the session is used, so
that a pool which deals out connections by the transaction may stand between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict

from urbanos_edge.clock import EPOCH, HOUR_US, to_us
from urbanos_edge.engine import statement
from urbanos_edge.errors import SettingsError
from urbanos_edge.hours.buckets import Digest
from urbanos_edge.sync import central
from urbanos_edge.sync.central import CentreRefused, CentreUnavailable, translated
from urbanos_edge.sync.originals import SLOT_US
from urbanos_edge.sync.pace import Pace

Take = Callable[[Iterable[bytes]], Awaitable[None]]

CONNECTION: Final = {
    "application_name": "urbanos-edge sync",
    "connect_timeout": central.CONNECT_WITHIN_S,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""A line that went dead without a word is noticed within half a minute."""
PIECE_BYTES: Final = 128 << 10
BUNDLES: Final = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
)
"""Where Linux distributions keep the well-known authorities; libpq alone does not look there."""
LOCK_WITHIN_S: Final = 30
SILENT_WITHIN_S: Final = 60
"""For so long the server keeps the node's row locked for a line that went dead. Behind a PgBouncer
its own line does not die: there only the silence tells."""
_BOUNDS: Final = """
SELECT
    set_config('lock_timeout', %s || 's', true),
    set_config('idle_in_transaction_session_timeout', silent.s || 's', true),
    set_config('tcp_user_timeout', silent.s || 's', true)
FROM (SELECT %s::TEXT AS s) AS silent"""
_KNOWN: Final = "SELECT node_id FROM nodes ORDER BY node_id = %s DESC LIMIT 1"
NEWS: Final = {"pollution_aggregates": "urbanos_aggregates", "pollution_data": "urbanos_readings"}
_SYNCED: Final = """
UPDATE nodes SET last_seen_at = now(), last_synced_at = now(), revision = greatest(revision, %s)
WHERE node_id = %s AND epoch = %s"""


class NodeIdUsedTwice(CentreRefused):
    """Another box syncs under this node's id."""

    code = "node_id_used_twice"


class There(msgspec.Struct, frozen=True):
    """What the centre has of an hour; the highest revision counts emptied buckets, too."""

    digest: Digest
    revision: int


class Hello(msgspec.Struct, frozen=True):
    """What the centre knows of this node, and since when it keeps what."""

    epoch: str | None
    silent_s: float | None
    revision: int
    mode: str
    aggregates_since: date
    readings_since: date


class Sender(msgspec.Struct, frozen=True):
    """What a node says of itself: `claim` names this life of it."""

    node_id: str
    claim: str
    name: str
    schema: int
    program: str


class Link:
    """Talks to the centre; `opened` gives one."""

    def __init__(
        self, connection: psycopg.AsyncConnection[Any], sender: Sender, pace: Pace
    ) -> None:
        self._connection = connection
        self._sender = sender
        self._pace = pace

    async def check_schema(self) -> None:
        """See that the centre is one this version knows.

        Raises:
            CentreRefused: it is older or newer, or none at all.
        """
        known = central.newest_schema()
        is_there = await self._value("SELECT to_regclass('schema_migrations') IS NOT NULL")
        found = is_there and await self._value("SELECT max(version) FROM schema_migrations")
        if not found:
            raise CentreRefused(
                "there is no centre in this database; make one with urbanos-edge central init",
                code="no_centre",
            )
        if found != known:
            todo = "run central migrate there" if found < known else "install the newer version"
            raise CentreRefused(
                f"the centre is of schema {found}, this version knows {known}; {todo}",
                code="centre_schema",
            )

    async def time_us(self) -> int:
        """The centre's time."""
        moment: datetime = await self._value("SELECT clock_timestamp()")
        return to_us(moment)

    @asynccontextmanager
    async def greeting(self) -> AsyncIterator[Hello]:
        """What the centre knows of this node, held until the block, which may `claim`, ends.

        Raises:
            CentreRefused: it knows no such node, or the login is another one's.
            CentreUnavailable: another connection holds the node's row.
        """
        async with self._connection.transaction():
            await self._bound()
            cursor = await self._connection.execute(
                statement("central_hello").encode(), {"node_id": self._sender.node_id}
            )
            row = await cursor.fetchone()
            if row is None:
                raise await self._stranger()
            yield Hello(*row)

    async def claim(self, clock_offset_s: float) -> None:
        """Become who syncs under this node's id, within a `greeting`."""
        said = msgspec.structs.asdict(self._sender) | {"clock_offset_s": clock_offset_s}
        await self._connection.execute(statement("central_claim").encode(), said)

    async def tell_mode(self, mode: str) -> None:
        """Say by what this node counts in the centre's answers."""
        query = "UPDATE nodes SET mode = %s WHERE node_id = %s AND mode <> %s"
        await self._connection.execute(query, (mode, self._sender.node_id, mode))

    async def make_partitions(self, first: date, last: date) -> None:
        """Have partitions of these days and of those between."""
        await self._connection.execute("SELECT create_daily_partitions(%s, %s)", (first, last))

    async def digests(self, hours: range) -> dict[int, There]:
        """What the centre has of consecutive hours, by hour."""
        rows = await self._rows("central_digests", hours)
        return {hour_of(at): There(Digest(n, bits), top) for at, n, top, bits in rows}

    async def reading_digests(self, hours: range) -> dict[int, Digest]:
        """The same for the readings themselves, by slot."""
        rows = await self._rows("central_reading_digests", hours)
        return {to_us(at) // SLOT_US: Digest(n, bits) for at, n, bits in rows}

    async def send_buckets(self, parts: Iterable[bytes], revisions: Mapping[int, int]) -> None:
        """Put the buckets of hours in place of what the centre has of them, all or nothing.

        Raises:
            NodeIdUsedTwice: another box has claimed the node's id meanwhile.
        """
        moments = [moment_of(hour) for hour in revisions]
        sent = {"hours": moments, "first": min(moments), "last": max(moments)}
        numbers = {"revisions": list(revisions.values())}
        async with self._connection.transaction():
            await self._connection.execute(statement("central_stage").encode())
            async with self._connection.cursor().copy("COPY incoming FROM STDIN") as copy:
                await self._copy(copy, parts)
            await self._hold(max(revisions.values()))
            [(is_there,)] = await (await self._run("central_is_there", sent)).fetchall()
            if is_there:
                await self._run("central_empty", {**sent, **numbers})
                await self._run("central_merge", {})
            else:  # looking for each bucket before it is put takes a third of the time
                await self._run("central_put", {})
            await self._notify("pollution_aggregates", list(revisions))

    @asynccontextmanager
    async def sending_readings(self, slots: range, *, instead: bool) -> AsyncIterator[Take]:
        """Take the readings of slots of one day by what is given, all or nothing, as above.

        They come `instead` of what the centre has of these slots, or beside it.
        """
        since_us, until_us = slots.start * SLOT_US, slots.stop * SLOT_US
        span = {"since": to_moment(since_us), "until": to_moment(until_us)}
        async with self._connection.transaction():
            await self._connection.execute(statement("central_stage_readings").encode())
            async with self._connection.cursor().copy("COPY incoming_readings FROM STDIN") as copy:

                async def take(parts: Iterable[bytes]) -> None:
                    await self._copy(copy, parts)

                yield take
            await self._hold(0)
            if instead:
                await self._run("central_remove_readings", span)
            await self._run("central_merge_readings", {})
            await self._notify("pollution_data", [since_us // HOUR_US, (until_us - 1) // HOUR_US])

    async def _copy(self, copy: psycopg.AsyncCopy, parts: Iterable[bytes]) -> None:
        for part in parts:
            for at in range(0, len(part), PIECE_BYTES):
                piece = memoryview(part)[at : at + PIECE_BYTES]
                await copy.write(piece)
                await self._pace.sent(len(piece))

    async def _hold(self, revision: int) -> None:
        """Keep all others with this node's id out to the end, also a connection that was cut.

        Only once all that is sent has arrived: until then a cut may go unnoticed for long.
        """
        await self._bound()
        sender = self._sender
        cursor = await self._connection.execute(
            _SYNCED.encode(), (revision, sender.node_id, sender.claim)
        )
        if not cursor.rowcount:
            raise NodeIdUsedTwice(f"another box has begun to sync as '{sender.node_id}'")

    async def _bound(self) -> None:
        """Let the transaction neither wait for a lock nor keep one for ever."""
        bounds = (LOCK_WITHIN_S, SILENT_WITHIN_S)
        await self._connection.execute(_BOUNDS.encode(), bounds)

    async def _notify(self, table: str, hours: list[int]) -> None:
        """Tell who listens, once it is committed."""
        span = {"since": min(hours) * 3600, "until": (max(hours) + 1) * 3600}
        news = msgspec.json.encode({"node_id": self._sender.node_id, **span}).decode()
        await self._connection.execute("SELECT pg_notify(%s, %s)", (NEWS[table], news))

    async def _stranger(self) -> CentreRefused:
        node_id = self._sender.node_id
        known = await self._value(_KNOWN, (node_id,))
        if known is None:
            return CentreRefused(
                f"the centre knows no node '{node_id}'; let it in there with"
                f" urbanos-edge central add-node {node_id}",
                code="unknown_node",
            )
        return CentreRefused(
            f"the login in sync_dsn is that of node '{known}', but this is '{node_id}';"
            " make node_id and the login agree",
            code="other_node",
        )

    async def _rows(self, name: str, hours: range) -> list[Any]:
        span = {"since": moment_of(hours.start), "until": moment_of(hours.stop)}
        return await (await self._run(name, span)).fetchall()

    async def _run(self, name: str, values: Mapping[str, Any]) -> psycopg.AsyncCursor[Any]:
        all_values = {"node_id": self._sender.node_id, **values}
        return await self._connection.execute(statement(name).encode(), all_values)

    async def _value(self, query: str, values: tuple[Any, ...] = ()) -> Any:
        row = await (await self._connection.execute(query.encode(), values)).fetchone()
        return row[0] if row else None


@asynccontextmanager
async def opened(dsn: str, sender: Sender, pace: Pace) -> AsyncIterator[Link]:
    """A link to the centre until the block ends; errors within are of the node's family.

    Raises:
        CentreUnavailable: nobody answers, or the login is refused.
    """
    with translated():
        connection = await _connected(dsn)
        try:
            yield Link(connection, sender, pace)
        finally:
            await connection.close()  # at once, whatever was under way is undone by the server


def checked(dsn: str) -> str:
    """An address that libpq can read.

    Raises:
        SettingsError: it cannot; what it says may hold the password and is not repeated.
    """
    try:
        conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise SettingsError(
            "sync_dsn must be an address like postgresql://name:password@host/database, or words"
            " like host=… user=…, as libpq reads them"
        ) from error
    return dsn


def secured(dsn: str) -> dict[str, Any]:
    """What an address that leaves it open gets: a server that is elsewhere is verified."""
    given = conninfo_to_dict(dsn)
    added: dict[str, Any] = {key: value for key, value in CONNECTION.items() if key not in given}
    if "sslmode" not in given and not _is_here(str(given.get("host", ""))):
        added["sslmode"] = "verify-full"
    wants_proof = added.get("sslmode", given.get("sslmode", "")) in ("verify-ca", "verify-full")
    bundle = next((path for path in BUNDLES if path.exists()), None)
    if wants_proof and given.get("sslrootcert", "system") == "system" and bundle is not None:
        added["sslrootcert"] = str(bundle)
    return added


def address(dsn: str) -> str:
    """Where the centre is, without the password."""
    given = conninfo_to_dict(dsn)
    where = f"{given.get('host', 'localhost')}:{given.get('port', 5432)}"
    return f"{where}/{given['dbname']}" if "dbname" in given else where


async def _connected(dsn: str) -> psycopg.AsyncConnection[Any]:
    try:
        return await psycopg.AsyncConnection.connect(
            dsn, autocommit=True, prepare_threshold=None, **secured(dsn)
        )
    except psycopg.OperationalError as error:
        said = str(error)
        if "authentication failed" in said or "no password supplied" in said:
            raise CentreUnavailable(
                "the centre refuses the name or the password in sync_dsn; there, central add-node"
                " --renew makes a new password",
                code="centre_login",
            ) from error
        if "certificate" in said or "SSL" in said:
            raise CentreUnavailable(
                f"the centre cannot be verified: {' '.join(said.split())}; sync_dsn may name"
                " sslrootcert, or an sslmode that does without",
                code="centre_tls",
            ) from error
        raise


def hour_of(moment: datetime) -> int:
    return to_us(moment) // HOUR_US


def moment_of(hour: int) -> datetime:
    return to_moment(hour * HOUR_US)


def to_moment(at_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=at_us)


def _is_here(host: str) -> bool:
    return not host or host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")
