"""The audit log: who did what to the node, when and from where.

A line is written before its act is done, so that nothing is done without one; an act that then
fails leaves a second line that says so. Lines are never changed and never removed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import apsw
import msgspec
from msgspec.structs import replace

from urbanos_edge.clock import Clock
from urbanos_edge.database import Database
from urbanos_edge.errors import EdgeError
from urbanos_edge.tokens import Token

MAX_DETAILS: Final = 2000
"""Characters of a line's details; what is longer is cut, and says so."""
MAX_TEXT: Final = 200
_SECRETS: Final = ("password", "secret", "token", "dsn")
_HIDDEN: Final = "(not kept)"
_COLUMNS: Final = "id, at_us, who, token_id, address, act, details"
_INSERT: Final = (
    "INSERT INTO audit (at_us, who, token_id, address, act, details) VALUES (?, ?, ?, ?, ?, ?)"
)
_SELECT: Final = f"SELECT {_COLUMNS} FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?"


class Actor(msgspec.Struct, frozen=True):
    """Who acts, in words; the token they hold, if any; and the address they come from."""

    who: str
    token_id: int | None = None
    address: str = ""

    @classmethod
    def holding(cls, token: Token, address: str) -> Actor:
        """Who holds a token."""
        name = f" '{token.name}'" if token.name else ""
        return cls(f"token {token.id}{name} ({token.scope})", token.id, address)


LOCAL: Final = Actor("local command")
"""Whoever may write the data directory."""


class Line(msgspec.Struct, frozen=True):
    """One act, or that one failed."""

    id: int
    at_us: int
    who: str
    token_id: int | None
    address: str
    act: str
    details: Any


class Audit:
    """The log of this node."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @asynccontextmanager
    async def act(self, actor: Actor, act: str, details: Any = None) -> AsyncIterator[None]:
        """Write a line, then let the act be done; another one when it fails.

        Raises:
            Unavailable, StorageUnavailable, DiskFull: the line was not written; nothing is done.
        """
        line = await self._write(actor, act, _encoded(details))
        try:
            yield
        except BaseException as error:
            failure = _encoded({"line": line, "reason": _reason(error)})
            with anyio.CancelScope(shield=True):
                await self._write(actor, f"{act} failed", failure)
            raise

    def list(self, limit: int, before: int | None = None) -> list[Line]:
        """The newest lines first; `before` a number goes on where the last list ended."""
        bound = (1 << 62) if before is None else before
        found = self._database.read().execute(_SELECT, (bound, limit))
        lines = [Line(*fields) for fields in found]
        return [replace(one, details=msgspec.json.decode(one.details)) for one in lines]

    async def _write(self, actor: Actor, act: str, details: str) -> int:
        row = (self._clock.now_us(), actor.who, actor.token_id, actor.address, act, details)

        def insert(connection: apsw.Connection) -> int:
            connection.execute(_INSERT, row)
            return connection.last_insert_rowid()

        return await self._database.write(insert)


def note_restored(connection: apsw.Connection, name: str, now_us: int) -> None:
    """Write into a database that came from a backup that it did; an older one has no log yet."""
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'audit'").get
    if known:
        details = _encoded({"backup": name})
        connection.execute(_INSERT, (now_us, LOCAL.who, None, "", "restore", details))


def _reason(error: BaseException) -> str:
    if isinstance(error, EdgeError):
        return error.code
    return "bad_request" if isinstance(error, msgspec.MsgspecError) else "internal_error"


def _encoded(details: Any) -> str:
    """Details as JSON without what nobody else may know."""
    text = msgspec.json.encode(_told(msgspec.to_builtins(details))).decode()
    if len(text) <= MAX_DETAILS:
        return text
    return msgspec.json.encode({"cut": text[: MAX_DETAILS // 2]}).decode()


def _told(value: Any, name: str = "") -> Any:
    if value is not None and name in _SECRETS:
        return _HIDDEN
    if isinstance(value, Mapping):
        return {str(key): _told(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_told(inner) for inner in value]
    if isinstance(value, str):
        return _without_credentials(value[:MAX_TEXT])
    return value


def _without_credentials(text: str) -> str:
    """An address may hold a password, or be a secret itself: its host is enough."""
    scheme, separator, _ = text.partition("://")
    if not separator or not scheme.isalnum():
        return text
    try:
        return f"{scheme}://{urlsplit(text).hostname}/…"
    except ValueError:
        return f"{scheme}://…"
