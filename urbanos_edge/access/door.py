"""What a request must pass before it is answered: whom it names, who sends it, and how often.

The same rules stand before the answers that are ready (`answers`) and before the routes (`api`).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from urbanos_edge.access.hosts import Hosts
from urbanos_edge.access.proxies import Proxies
from urbanos_edge.access.refusals import Refusals
from urbanos_edge.access.visits import COOKIE, Visits
from urbanos_edge.allowance import Allowance, Rate, Ruling, network
from urbanos_edge.settings import Settings

_LINES: Final = 4096
_LINKS: Final = 4096
"""Remembered, as most are asked for again."""
Kind = Literal["api", "tiles", "ingest"]
"""Which of the limits counts: that of the JSON API, of messages with readings, or of the rest."""


class Link(NamedTuple):
    """One connection: the address on its other side and the one it came in at."""

    peer: str
    local: str
    is_proxy: bool
    client: bytes
    """Who the other side is, where nothing in the request says more."""


class Asker(NamedTuple):
    """Who is counted for a request: a token or a browser, and the address it shares with others."""

    name: bytes
    shared: bytes | None = None


class Limits:
    """How often each client may ask, in each kind."""

    def __init__(self, settings: Settings) -> None:
        rates: dict[Kind, Rate] = {
            "api": Rate.read(settings.rate_limit),
            "tiles": Rate.read(settings.tile_rate_limit),
            "ingest": Rate.read(settings.ingest_rate_limit),
        }
        self._allowances = {kind: Allowance(rate) for kind, rate in rates.items()}
        self._policies = {
            kind: b"ratelimit-limit: %d\r\nratelimit-policy: %d;w=%d\r\n"
            % (rate.times, rate.times, rate.period_s)
            for kind, rate in rates.items()
        }
        self._lines = lru_cache(_LINES)(self._write_lines)

    def ask(self, kind: Kind, asker: Asker) -> Ruling:
        """Count a request; one that is not allowed uses nothing up.

        Browsers behind one address share its tiles, and all that they ask counts among these, so
        that who gathers cookies gains no more than that.
        """
        if asker.shared is not None:
            together = self._allowances["tiles"].ask(asker.shared)
            if kind == "tiles" or not together.is_allowed:
                return together
        return self._allowances[kind].ask(asker.name)

    def admit(self, kind: Kind, name: bytes, shared: bytes | None) -> bytes | None:
        """As `ask` with the parts of an asker, where microseconds count; the fields, or None."""
        if shared is not None:
            ruling = self.ask(kind, Asker(name, shared))
            return self.fields(kind, ruling) if ruling.is_allowed else None
        allowance = self._allowances[kind]
        full_in_s = allowance.use(name)
        if full_in_s < 0:
            return None
        return self._lines(kind, allowance.remaining(full_in_s), math.ceil(full_in_s))

    def fields(self, kind: Kind, ruling: Ruling) -> bytes:
        """What is left, as lines of an answer's head (draft-ietf-httpapi-ratelimit-headers-06)."""
        return self._lines(kind, ruling.remaining, math.ceil(ruling.full_in_s))

    def _write_lines(self, kind: Kind, remaining: int, reset_s: int) -> bytes:
        return b"%sratelimit-remaining: %d\r\nratelimit-reset: %d\r\n" % (
            self._policies[kind],
            remaining,
            reset_s,
        )


class Door:
    """The rules of this node; used from the event loop only."""

    def __init__(self, settings: Settings, label: str, visit_key: bytes) -> None:
        """`label` is how mDNS calls the node, `visit_key` what visits are signed with."""
        self.hosts = Hosts(label, settings.allowed_hosts)
        self.proxies = Proxies(settings.trusted_proxies)
        self.limits = Limits(settings)
        self.visits = Visits(visit_key)
        self.refusals = Refusals()
        self.public_read = settings.public_read
        self.cors_origins = frozenset(settings.cors_origins)
        self.fields = [("x-content-type-options", "nosniff")]
        """What every answer says, whatever it is."""
        if self.cors_origins:
            self.fields.append(("vary", "Origin"))
        self.link = lru_cache(_LINKS)(self._link)
        """What is known of a connection from its two addresses."""

    def _link(self, peer: str, local: str) -> Link:
        return Link(peer, local, self.proxies.trusts(peer), network(peer).encode())

    def client(self, link: Link, forwarded_for: str) -> bytes:
        """Who asks, as far as addresses tell."""
        if not link.is_proxy:
            return link.client
        return network(self.proxies.client(link.peer, forwarded_for)).encode()

    def visit(self, cookies: str) -> bytes | None:
        """Whose browser asks, if one of our pages is open in it."""
        return self.visits.read(cookie(cookies, COOKIE)) if COOKIE in cookies else None


def cookie(cookies: str, name: str) -> str:
    """One value of a Cookie field, the first of several; empty where there is none."""
    for pair in cookies.split(";"):
        key, _, value = pair.strip().partition("=")
        if key == name:
            return value.strip('"')
    return ""


UNPROTECTED: Final = frozenset(("GET", "HEAD", "OPTIONS"))
"""Methods that change nothing (RFC 9110, 9.2.1)."""


def kind_of(path: str, method: str) -> Kind:
    """Which limit counts for a path as the router sees it."""
    if method not in UNPROTECTED and (path in _INGEST or not path.startswith("/api/")):
        return "ingest"
    return "api" if path.startswith("/api/") and path != _LIVE else "tiles"


_INGEST: Final = frozenset(("/api/v1/data/ingest", "/api/v2/write", "/api/v3/write_lp"))
_LIVE: Final = "/api/v1/live"
"""One request for a whole day; that it comes again at once is what a page does after an outage."""
