"""Where messages come in: who sends them, by token or by what else they show, and on to ingest."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator

import msgspec

from urbanos_edge.adapters import Candidate, Message
from urbanos_edge.errors import EdgeError, Unauthorized
from urbanos_edge.ingest.ingest import Ingest
from urbanos_edge.ingest.passwords import Passwords
from urbanos_edge.ingest.receipt import Receipt
from urbanos_edge.ingest.sources import Arrival, Sources
from urbanos_edge.tokens import SECRET_PREFIX, Token, Tokens

__all__ = ["Arrival", "Reception"]


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
            TooManyRequests: too many wrong passwords came from there.
            Unavailable, StorageUnavailable, DiskFull: nothing of the message was kept.
        """
        came = _read_basic(came)
        token = self._token(came)
        if token is not None:
            token.demand("sensor", "gateway")
        elif came.user and (right := self._passwords_of(message, came.user)):
            proof = await self._passwords.tried(came.user, came.secret, came.address, right)
            came = msgspec.structs.replace(came, proof=proof)
        return await self._ingest.accept(message, token, came)

    def knows(self, came: Arrival) -> bool:
        """Whether a message shows a token of this node."""
        try:
            return self._token(_read_basic(came)) is not None
        except Unauthorized:
            return False

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
        secrets = list(_secrets(came))
        for place, secret in enumerate(secrets, start=1):
            try:
                return self._tokens.authenticate(secret)
            except Unauthorized:
                if place == len(secrets):
                    raise
        return None

    def _passwords_of(self, message: Message, user: str) -> Collection[bytes]:
        """What is stored of the passwords that the senders in a message have under this user."""
        senders = {one.sensor_id for one in message if isinstance(one, Candidate)}
        found = (self._sources.find(sender) for sender in senders if sender)
        return [one.proof for one in found if one and one.proof is not None and one.user == user]


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
