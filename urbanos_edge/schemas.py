"""Which versions of the node can read a database: the way back after an upgrade stays open.

Every migration says from which schema on a version can read what it leaves. An older version then
opens the newer file as it is. One that would lock out a version that ran within the last day is
refused: whoever goes back needs that version, and no step down.
"""

from __future__ import annotations

import re
from typing import Any, Final

import apsw
import msgspec

from urbanos_edge.clock import DAY_US, to_rfc3339
from urbanos_edge.errors import EdgeError

WAY_BACK_US: Final = DAY_US
"""How long after an upgrade the version before it must be able to come back."""
MAX_USES: Final = 16
"""Versions that are remembered, the newest."""
_DECLARED: Final = re.compile(r"-- Readable from schema (\d{1,4}) on\.\n")
_READABLE: Final = "readable_from"
_USES: Final = "opened_by"


class _Readable(msgspec.Struct, frozen=True):
    """The oldest schema whose version reads a file of this schema."""

    schema: int
    since: int


class _Use(msgspec.Struct, frozen=True):
    """From when on versions of a schema had the file; until the next use began."""

    schema: int
    since_us: int


def readable_from(script: str) -> int:
    """The oldest schema whose version can read what a migration leaves; its first line says it.

    Raises:
        EdgeError: it does not.
    """
    declared = _DECLARED.match(script)
    if declared is None:
        raise EdgeError("a migration does not say from which schema on its result can be read")
    return int(declared.group(1))


def is_readable(connection: apsw.Connection, newest: int) -> bool:
    """Whether a version whose newest schema this is can open the file."""
    schema = connection.pragma("user_version")
    if schema <= newest:
        return True
    found = _noted(connection, _READABLE, _Readable)
    return found is not None and found.schema == schema and found.since <= newest


def note_readable(connection: apsw.Connection, schema: int, scripts: list[str]) -> None:
    """Write down who can read the file now that it is of this schema, made by these migrations."""
    since = max(readable_from(script) for script in scripts[:schema])
    _note(connection, _READABLE, _Readable(schema, since))


def keep_way_back(connection: apsw.Connection, script: str, now_us: int) -> None:
    """Let a migration be done only if no version needs the file as it is.

    Raises:
        EdgeError: it would lock out a version that ran within `WAY_BACK_US`.
    """
    uses = _uses(connection)
    ends_us = [later.since_us for later in uses[1:]] + [now_us]
    for use, end_us in zip(uses, ends_us, strict=False):
        if use.schema < readable_from(script) and now_us - end_us < WAY_BACK_US:
            raise EdgeError(
                f"this version changes the data so that the one of schema {use.schema} could not"
                f" come back, which ran until {to_rfc3339(end_us)}: install a version between the"
                " two, and this one a day later",
                code="way_back_open",
            )


def note_use(connection: apsw.Connection, schema: int, now_us: int) -> None:
    """Remember that a version of this schema has opened the file."""
    uses = _uses(connection)
    if not uses or uses[-1].schema != schema:
        _note(connection, _USES, [*uses, _Use(schema, now_us)][-MAX_USES:])


def forget_uses(connection: apsw.Connection) -> None:
    """A restored file has nobody who may come back to it."""
    connection.execute("DELETE FROM node WHERE name = ?", (_USES,))


def _uses(connection: apsw.Connection) -> list[_Use]:
    return _noted(connection, _USES, list[_Use]) or []


def _noted(connection: apsw.Connection, name: str, kind: Any) -> Any:
    if not connection.table_exists("main", "node"):
        return None
    found = connection.execute("SELECT value FROM node WHERE name = ?", (name,)).get
    return None if found is None else msgspec.json.decode(found, type=kind)


def _note(connection: apsw.Connection, name: str, value: Any) -> None:
    text = msgspec.json.encode(value).decode()
    connection.execute("INSERT OR REPLACE INTO node VALUES (?, ?)", (name, text))
