"""Who may do what: tokens, logins, the rules at the door, and the log of what was done."""

from __future__ import annotations

import os
from functools import partial
from typing import Final

import apsw

from urbanos_edge.access.bodies import Bodies
from urbanos_edge.access.door import Door, cookie
from urbanos_edge.access.sessions import COOKIE, Sessions
from urbanos_edge.audit import Audit
from urbanos_edge.clock import Clock
from urbanos_edge.database import Database
from urbanos_edge.errors import Unauthorized
from urbanos_edge.ingest.reception import Reception
from urbanos_edge.settings import Settings
from urbanos_edge.tokens import Token, Tokens

_KEY: Final = "visit_key"


class Access:
    """The one place that is asked who somebody is."""

    def __init__(
        self,
        settings: Settings,
        label: str,
        database: Database,
        clock: Clock,
        tokens: Tokens,
        reception: Reception,
    ) -> None:
        """`label` is how mDNS calls the node."""
        self._reception = reception
        key = bytes.fromhex(database.write_and_wait(partial(_kept_key, made=os.urandom(32).hex())))
        self.door = Door(settings, label, key)
        self.sessions = Sessions(tokens, settings.session_hours * 3600)
        self.audit = Audit(database, clock)
        self.bodies = Bodies(settings.max_body_bytes)

    def token(self, authorization: str, cookies: str) -> Token:
        """The token that a request carries, or that its login stands for.

        Raises:
            Unauthorized: neither; or the token is unknown or revoked, or the login over.
        """
        session = cookie(cookies, COOKIE)
        if authorization or not session:
            return self._reception.token(authorization)
        return self.sessions.token(session)

    def known(self, authorization: str, cookies: str) -> Token | None:
        """The same where it is no error to be nobody."""
        if not authorization and COOKIE not in cookies:
            return None
        try:
            return self.token(authorization, cookies)
        except Unauthorized:
            return None


def _kept_key(connection: apsw.Connection, made: str) -> str:
    """What visits are signed with, made at the first start and kept."""
    connection.execute("INSERT OR IGNORE INTO node VALUES (?, ?)", (_KEY, made))
    kept: str = connection.execute("SELECT value FROM node WHERE name = ?", (_KEY,)).get
    return kept
