"""Tokens: who may do what. Stored as hashes; a secret is shown once, when it is made."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final, Literal, get_args

import apsw
import msgspec

from urbanos_edge.clock import Clock
from urbanos_edge.database import Database
from urbanos_edge.errors import Forbidden, NotFound, Unauthorized, Unprocessable

Scope = Literal["sensor", "gateway", "operator", "admin", "sync"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
SECRET_PREFIX: Final = "uoe_"
_COLUMNS: Final = "id, scope, sensor_id, name, created_at_us, revoked_at_us, hash"


class Token(msgspec.Struct, frozen=True):
    """What the node knows of a token; `sensor_id` is set for the scope `sensor` only."""

    id: int
    scope: Scope
    sensor_id: str | None
    name: str
    created_at_us: int
    revoked_at_us: int | None = None

    def may_write(self, sensor_id: str) -> bool:
        """A sensor's token writes its own readings; a gateway's or an admin's those of any."""
        return self.writes_for_all or self.sensor_id == sensor_id

    @property
    def writes_for_all(self) -> bool:
        return self.scope in ("gateway", "admin")

    def demand(self, *scopes: Scope) -> None:
        """Raise Forbidden unless the token has one of the scopes; an admin's has all."""
        if self.scope != "admin" and self.scope not in scopes:
            raise Forbidden(f"this needs a token of scope {' or '.join(scopes)}")


class Tokens:
    """The tokens of this node, all held in memory: a request costs one hash."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._by_hash: dict[bytes, Token] = {}
        for *fields, digest in database.read().execute(f"SELECT {_COLUMNS} FROM tokens"):
            self._by_hash[digest] = Token(*fields)
        self._hash_by_id = {token.id: digest for digest, token in self._by_hash.items()}

    def __len__(self) -> int:
        return len(self._by_hash)

    def list(self) -> list[Token]:
        return sorted(self._by_hash.values(), key=lambda token: token.id)

    def by_id(self, number: int) -> Token | None:
        """The token of a number, also one that was revoked."""
        digest = self._hash_by_id.get(number)
        return None if digest is None else self._by_hash[digest]

    def of_sensor(self, sensor_id: str) -> Sequence[Token]:
        """The tokens of one sensor that were not revoked, the oldest first."""
        found = [token for token in self._by_hash.values() if token.sensor_id == sensor_id]
        return sorted((t for t in found if t.revoked_at_us is None), key=lambda token: token.id)

    async def create(self, scope: Scope, *, sensor_id: str | None = None, name: str = "") -> str:
        """Make a token and return its secret, which is kept nowhere.

        Raises:
            Unprocessable: scope `sensor` without a sensor, or another scope with one.
        """
        if (scope == "sensor") != (sensor_id is not None):
            raise Unprocessable("a token of scope 'sensor', and no other, names its sensor")
        secret = f"{SECRET_PREFIX}{secrets.token_urlsafe(32)}"
        digest = _hash(secret)
        created_at_us = self._clock.now_us()

        def insert(connection: apsw.Connection) -> int:
            connection.execute(
                "INSERT INTO tokens (hash, scope, sensor_id, name, created_at_us)"
                " VALUES (?, ?, ?, ?, ?)",
                (digest, scope, sensor_id, name, created_at_us),
            )
            return connection.last_insert_rowid()

        number = await self._database.write(insert)
        self._by_hash[digest] = Token(number, scope, sensor_id, name, created_at_us)
        self._hash_by_id[number] = digest
        return secret

    async def revoke(self, number: int) -> None:
        """End a token's use at once.

        Raises:
            NotFound: there is no such token.
        """
        digest = self._hash_by_id.get(number)
        if digest is None:
            raise NotFound(f"there is no token {number}; see 'token list'")
        now_us = self._clock.now_us()
        statement = "UPDATE tokens SET revoked_at_us = coalesce(revoked_at_us, ?) WHERE id = ?"
        await self._database.write(
            lambda connection: connection.execute(statement, (now_us, number))
        )
        token = self._by_hash[digest]
        self._by_hash[digest] = msgspec.structs.replace(
            token, revoked_at_us=token.revoked_at_us or now_us
        )

    def authenticate(self, secret: str) -> Token:
        """Return the token with this secret.

        Only hashes are compared, so the time taken tells nothing about a secret.

        Raises:
            Unauthorized: unknown or revoked.
        """
        token = self._by_hash.get(_hash(secret))
        if token is None or token.revoked_at_us is not None:
            raise Unauthorized("the token is unknown or was revoked")
        return token


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
