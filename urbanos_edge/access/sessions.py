"""Who is logged in to /admin: a cookie that stands for a token, until it is over.

Kept in memory only: a start of the node ends all logins. What the cookie says is new at every login
and known by its hash alone, so that none can be given to somebody beforehand.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from urbanos_edge.errors import Unauthorized
from urbanos_edge.tokens import Token, Tokens

COOKIE: Final = "urbanos_session"
MAX_SESSIONS: Final = 1000
"""Beyond this, the login that was made first ends."""


class Session(NamedTuple):
    """Whose login, and until when."""

    token_id: int
    ends_at_s: float


class Sessions:
    """The logins of this node; used from the event loop only."""

    def __init__(
        self, tokens: Tokens, lives_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._tokens = tokens
        self._lives_s = lives_s
        self._monotonic = monotonic
        self._by_hash: OrderedDict[bytes, Session] = OrderedDict()

    @property
    def lives_s(self) -> int:
        return int(self._lives_s)

    def open(self, token: Token) -> str:
        """Log in; return what the cookie is to say."""
        secret = secrets.token_urlsafe(32)
        self._by_hash[_hash(secret)] = Session(token.id, self._monotonic() + self._lives_s)
        if len(self._by_hash) > MAX_SESSIONS:
            self._by_hash.popitem(last=False)
        return secret

    def token(self, secret: str) -> Token:
        """The token that a login stands for.

        Raises:
            Unauthorized: there is none, it is over, or its token was revoked.
        """
        session = self._by_hash.get(_hash(secret))
        if session is None or session.ends_at_s <= self._monotonic():
            self._by_hash.pop(_hash(secret), None)
            raise Unauthorized("the login is over; log in again")
        token = self._tokens.by_id(session.token_id)
        if token is None or token.revoked_at_us is not None:
            raise Unauthorized("the token of this login was revoked")
        return token

    def close(self, secret: str) -> None:
        """Log out; nothing happens where nobody is logged in."""
        self._by_hash.pop(_hash(secret), None)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
