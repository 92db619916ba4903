"""Where messages come in: who sends them, by token or by what else they show, and on to ingest."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import anyio
import anyio.to_thread
import msgspec

from urbanos_edge.adapters import Candidate, Message
from urbanos_edge.database import Database
from urbanos_edge.errors import EdgeError, Unauthorized
from urbanos_edge.ingest.ingest import Ingest
from urbanos_edge.ingest.receipt import Receipt
from urbanos_edge.ingest.sources import Arrival, Sources
from urbanos_edge.tokens import SECRET_PREFIX, Token, Tokens

__all__ = ["Arrival", "Passwords", "Reception"]

MAX_REMEMBERED: Final = 1024
"""Pairs whose proof is remembered, so that a device's password costs its work once."""
_SCRYPT: Final = partial(hashlib.scrypt, n=1 << 14, r=8, p=1, dklen=32)
"""16 MiB and some 40 ms a password: as RFC 7914 asks for what people log in with."""


class Passwords:
    """Makes of a user and a password what can be compared with what is stored.

    The work is done in one thread, however many ask, so that wrong passwords hold up nothing else.
    """

    def __init__(self, database: Database) -> None:
        query = "SELECT value FROM node WHERE name = 'password_salt'"
        self._salt = bytes.fromhex(database.read().execute(query).get)
        self._key = os.urandom(32)
        self._remembered: dict[bytes, bytes] = {}
        self._limiter = anyio.CapacityLimiter(1)

    async def proof(self, user: str, password: str) -> bytes:
        """Hash a pair with this node's salt."""
        pair = msgspec.msgpack.encode((user, password))
        key = hashlib.blake2b(pair, key=self._key).digest()
        if key not in self._remembered:
            work: Callable[[], bytes] = partial(_SCRYPT, pair, salt=self._salt)
            proof = await anyio.to_thread.run_sync(work, limiter=self._limiter)
            if len(self._remembered) >= MAX_REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[key] = proof
        return self._remembered[key]


class Reception:
    """The door for messages that may or may not carry a token."""

    def __init__(
        self, tokens: Tokens, sources: Sources, passwords: Passwords, ingest: Ingest
    ) -> None:
        self._tokens = tokens
        self._sources = sources
        self._passwords = passwords
        self._ingest = ingest

    async def receive(self, message: Message, came: Arrival) -> Receipt:
        """Take what a token, or the rule of its sender, allows; the rest waits in the inbox.

        An element whose sender is known and may not be believed is in the receipt as Forbidden.

        Raises:
            Unauthorized: the token is unknown or was revoked.
            Forbidden: the token is one for something else than writing.
            Unavailable, StorageUnavailable, DiskFull: nothing of the message was kept.
        """
        came = _read_basic(came)
        token = self._token(came)
        if token is not None:
            token.demand("sensor", "gateway")
        elif came.user and self._asks_for_password(message):
            proof = await self._passwords.proof(came.user, came.secret)
            came = msgspec.structs.replace(came, proof=proof)
        return await self._ingest.accept(message, token, came)

    async def refuse(self, sender: str | None, payload: bytes, error: EdgeError) -> None:
        """Write a letter about a message that cannot be read, where its sender is a known one.

        Raises:
            Unavailable, StorageUnavailable, DiskFull: it was not written.
        """
        if sender is not None and self._sources.knows(sender):
            await self._ingest.bury(payload, error)

    def token(self, authorization: str) -> Token:
        """The token that an Authorization header carries, for those who need one.

        Raises:
            Unauthorized: none, or one that is unknown or was revoked.
        """
        token = self._token(_read_basic(Arrival("", authorization=authorization)))
        if token is None:
            raise Unauthorized("send 'Authorization: Bearer <token>'")
        return token

    def _token(self, came: Arrival) -> Token | None:
        """The token a message carries in any of the ways that devices know.

        Raises:
            Unauthorized: there is a token, but it is unknown or was revoked.
        """
        refusal: Unauthorized | None = None
        for secret in _secrets(came):
            try:
                return self._tokens.authenticate(secret)
            except Unauthorized as error:
                refusal = error
        if refusal is not None:
            raise refusal
        return None

    def _asks_for_password(self, message: Message) -> bool:
        senders = {one.sensor_id for one in message if isinstance(one, Candidate)}
        found = (self._sources.find(sender) for sender in senders if sender)
        return any(source is not None and source.rule == "basic" for source in found)


def _secrets(came: Arrival) -> Iterator[str]:
    """What may be a token; a user or a password only when it looks like one of ours."""
    scheme, _, credentials = came.authorization.partition(" ")
    if scheme.lower() in ("bearer", "token") and credentials.strip():
        yield credentials.rpartition(":")[2].strip()  # InfluxDB: `Token user:password`
    yield from (one for one in (came.secret, came.user) if one.startswith(SECRET_PREFIX))


def _read_basic(came: Arrival) -> Arrival:
    """Put the pair of a Basic header where that of other protocols is."""
    scheme, _, credentials = came.authorization.partition(" ")
    if scheme.lower() != "basic":
        return came
    try:
        pair = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Unauthorized("the Basic credentials cannot be read") from error
    user, _, secret = pair.partition(":")
    return msgspec.structs.replace(came, user=user, secret=secret)
