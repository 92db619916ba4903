"""What every request passes before the routes see it: host, origin, reading rights, limits.

Answers that are ready pass the same `door` in `answers`; all others come through here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from urbanos_edge.access.access import Access
from urbanos_edge.access.door import UNPROTECTED, Asker, Kind, cookie, kind_of
from urbanos_edge.access.guests import Guests, Reader
from urbanos_edge.access.hosts import is_listed, is_same_origin
from urbanos_edge.access.sessions import COOKIE as SESSION
from urbanos_edge.access.visits import COOKIE as VISIT
from urbanos_edge.access.visits import LIVES_H
from urbanos_edge.allowance import Ruling
from urbanos_edge.api.respond import refusal, send_error
from urbanos_edge.errors import (
    BadRequest,
    EdgeError,
    Forbidden,
    Misdirected,
    TooManyRequests,
    Unauthorized,
)
from urbanos_edge.tokens import Token

PAGES: Final = frozenset(("/", "/kiosk", "/admin", "/schema"))
"""Who loads one of these begins a visit."""
OPEN: Final = frozenset(
    ("/health", "/health/live", "/health/ready", "/ping", "/api/v1/session", "/trust", "/ca.crt")
)
"""What everybody may read where reading is not public."""
_CONFIG: Final = re.compile(r"/sensors/[^/]+/one/config")
_SLASHES: Final = re.compile("/{2,}")
_ALLOWED_METHODS: Final = "GET, HEAD, POST, DELETE"
_ALLOWED_FIELDS: Final = (
    "Authorization, Content-Type, Content-Encoding, If-None-Match, Last-Event-ID"
)
_EXPOSED_FIELDS: Final = (
    "ETag, X-Cache, Retry-After, RateLimit-Limit, RateLimit-Policy, RateLimit-Remaining,"
    " RateLimit-Reset, X-Cursor, X-Epoch, X-More, X-Request-Id, X-Total-Rows-Estimate"
)
_PREFLIGHT_LIVES_S: Final = 600
_LINES: Final = 4096
MAY_STAY: Final = "urbanos.may_stay"
"""The ASGI extension by which an answer that goes on for long learns whether it still may."""
LONGEST_HOST: Final = 100
"""Letters of a name that is not ours, in the words that refuse it."""
Fields = Sequence[tuple[bytes, bytes]]


def is_open(path: str) -> bool:
    """Whether everybody may read it, whatever `public_read` says; assets are open, too."""
    return path in PAGES or path in OPEN or _CONFIG.fullmatch(path) is not None


def may_stay(scope: Scope) -> Callable[[], bool] | None:
    """What tells whether who asked may still read; None where everybody may."""
    return cast("dict[str, Any]", scope.get("extensions") or {}).get(MAY_STAY)


def guarded(app: ASGIApp, access: Access | Guests, assets: Collection[str]) -> ASGIApp:
    """Let through to the application what may pass; `assets` are the paths of the web pages."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in (ScopeType.HTTP, ScopeType.WEBSOCKET):
            await app(scope, receive, send)
            return
        visitor = _Visitor(access, scope)
        try:
            visitor.arrive()
            if visitor.is_preflight():
                await _answer_preflight(send, visitor.fields())
                return
            visitor.check_origin()
            visitor.check_reading(assets)
            visitor.check_limit()
        except EdgeError as error:
            await _refuse(scope, receive, visitor.finishing(send), error)
            return
        await app(scope, receive, visitor.finishing(send))

    return wrapped


class _Visitor:
    """One request on its way in, and what its answer gets on the way out."""

    def __init__(self, access: Access | Guests, scope: Any) -> None:
        self._access = access
        self._door = access.door
        self._scope = scope
        self._said: dict[bytes, bytes] = {}
        self._hosts = 0
        for name, value in scope["headers"]:
            known = self._said.get(name)
            self._said[name] = value if known is None else b"%s,%s" % (known, value)
            self._hosts += name == b"host"
        path: str = self._scope["path"]
        self._path = _SLASHES.sub("/", path) if "//" in path else path
        self._method: str = self._scope.get("method", "GET")
        peer, local = scope.get("client"), scope.get("server")
        self._link = self._door.link(peer[0] if peer else "", local[0] if local else "")
        self._address = self._link.peer
        self._host = self._text(b"host")
        self._token: Token | Reader | None = None
        """Also one that a login stands for."""
        self._ruling: tuple[Kind, Ruling] | None = None
        self._is_for_few = False

    def arrive(self) -> None:
        """Find out who is at the other end, and whether they mean this node.

        From here on the scope has what a trusted proxy says of host and scheme and, as `auth`, the
        token that the request carries.

        Raises:
            BadRequest: no host is named, or several.
            Misdirected: another one.
        """
        if self._link.is_proxy:
            self._believe_proxy()
        if self._hosts > 1 or (not self._hosts and self._scope.get("http_version") != "1.0"):
            raise BadRequest("name one Host", code="invalid_host")
        if self._host and not self._door.hosts.knows(self._host, self._link.local):
            raise Misdirected(
                f"this node is not called '{self._host[:LONGEST_HOST]}';"
                " its operator can name it in 'allowed_hosts'"
            )
        self._token = self._access.known(self._text(b"authorization"), self._text(b"cookie"))
        if b"authorization" in self._said:
            self._scope["auth"] = self._token

    def _believe_proxy(self) -> None:
        self._address = self._door.proxies.client(self._link.peer, self._text(b"x-forwarded-for"))
        self._scope["client"] = (self._address, 0)
        scheme = self._text(b"x-forwarded-proto").rpartition(",")[2].strip().lower()
        if scheme in ("http", "https"):
            is_socket = self._scope["type"] == ScopeType.WEBSOCKET
            self._scope["scheme"] = scheme.replace("http", "ws") if is_socket else scheme
        host = self._text(b"x-forwarded-host").rpartition(",")[2].strip()
        if host:
            self._host, self._hosts = host, 1
            others = [pair for pair in self._scope["headers"] if pair[0] != b"host"]
            self._scope["headers"] = [*others, (b"host", host.encode("latin-1"))]

    def is_preflight(self) -> bool:
        """Whether a browser only asks what another site's page may do."""
        return (
            self._method == "OPTIONS"
            and b"access-control-request-method" in self._said
            and is_listed(self._text(b"origin"), self._door.cors_origins)
        )

    def check_origin(self) -> None:
        """Refuse what a page of another site sends in the name of who looks at it.

        Programs say no origin. A login's cookie comes from browsers only, and those say one with
        all that changes something.

        Raises:
            Forbidden: it comes from a page that is not ours.
        """
        is_socket = self._scope["type"] == ScopeType.WEBSOCKET
        if not is_socket and self._method in UNPROTECTED:
            return
        origin, by_login = self._text(b"origin"), self._is_by_login()
        if not origin and (is_socket or not by_login):
            return
        if is_same_origin(origin, self._host):
            return
        if by_login or not is_listed(origin, self._door.cors_origins):
            raise Forbidden("this comes from a page of another site", code="foreign_origin")

    def _is_by_login(self) -> bool:
        has_login = bool(cookie(self._text(b"cookie"), SESSION))
        return has_login and b"authorization" not in self._said

    def check_reading(self, assets: Collection[str]) -> None:
        """Where reading is not public, let nobody read without a token or a login.

        What they get with it ends with it, so what goes on for long is left a way to ask again.

        Raises:
            Unauthorized: there is neither.
        """
        if self._door.public_read or self._method not in UNPROTECTED:
            return
        self._is_for_few = not is_open(self._path) and self._path.lstrip("/") not in assets
        if self._is_for_few and self._token is None:
            raise Unauthorized("this node shows its readings to those with a token or a login only")
        if self._is_for_few:
            self._scope.setdefault("extensions", {})[MAY_STAY] = self._still_known()

    def _still_known(self) -> Callable[[], bool]:
        access = self._access
        said = self._text(b"authorization"), self._text(b"cookie")
        return lambda: access.known(*said) is not None

    def check_limit(self) -> None:
        """Count the request.

        Raises:
            TooManyRequests: its sender asked too often.
        """
        kind = kind_of(self._path, self._method)
        ruling = self._door.limits.ask(kind, self._asker())
        self._ruling = kind, ruling
        if not ruling.is_allowed:
            raise TooManyRequests("that is too often; wait a while", math.ceil(ruling.wait_s))

    def _asker(self) -> Asker:
        """Who is counted: a token first, then one of our pages that reads, then the address."""
        if self._token is not None:
            return Asker(b"token %d" % self._token.id)
        client = self._door.client(self._link, self._text(b"x-forwarded-for"))
        is_reading = self._method in UNPROTECTED
        visit = self._door.visit(self._text(b"cookie")) if is_reading else None
        return Asker(client) if visit is None else Asker(visit, client)

    def _text(self, name: bytes) -> str:
        return self._said.get(name, b"").decode("latin-1")

    def fields(self) -> list[tuple[bytes, bytes]]:
        """What the answer says beside what the routes make it say."""
        found = [(name.encode(), value.encode()) for name, value in self._door.fields]
        if self._ruling is not None:
            found += _pairs(self._door.limits.fields(*self._ruling))
        origin = self._text(b"origin")
        if origin and is_listed(origin, self._door.cors_origins):
            found.append((b"access-control-allow-origin", origin.encode("latin-1")))
            found.append((b"access-control-expose-headers", _EXPOSED_FIELDS.encode()))
        return found

    def finishing(self, send: Send) -> Send:
        """Add the fields to the head of the answer."""

        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self._finished(message["status"], message["headers"])
            await send(message)

        return wrapped

    def _finished(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> Fields:
        fields = [*headers, *self.fields()]
        begun = self._begun_visit(status)
        if begun is not None:
            fields.append((b"set-cookie", begun))
        return [*map(_private, fields)] if begun is not None or self._is_for_few else fields

    def _begun_visit(self, status: int) -> bytes | None:
        """The cookie for who loads a page and has none, or one that is about to end.

        A page may stay open for months and only ask for readings: that renews it, too.
        """
        if self._method != "GET" or status not in (200, 304):
            return None
        visits, given = self._door.visits, cookie(self._text(b"cookie"), VISIT)
        if self._path not in PAGES and visits.read(given) is None:
            return None
        if visits.is_young(given):
            return None
        begun = visits.begin(self._address)
        if begun is None:
            return None
        return cookie_field(VISIT, begun, LIVES_H * 3600, self._scope["scheme"]).encode()


def cookie_field(name: str, value: str, lives_s: int, scheme: str) -> str:
    """A Set-Cookie field for what only our own pages send back, and no script reads."""
    secure = "; Secure" if scheme == "https" else ""
    return f"{name}={value}; Path=/; Max-Age={lives_s}; HttpOnly; SameSite=Strict{secure}"


def _private(field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """What is for one reader only is kept by nobody between."""
    name = field[0].lower()
    if name == b"cache-control" and b"no-store" not in field[1]:
        return name, b"private, no-cache"
    return (name, b"no-store") if name == b"cdn-cache-control" else field


@lru_cache(_LINES)
def _pairs(lines: bytes) -> Fields:
    """The fields of lines of an answer's head."""
    parted = (line.partition(b": ") for line in lines.split(b"\r\n") if line)
    return tuple((name, value) for name, _, value in parted)


async def _answer_preflight(send: Send, fields: Fields) -> None:
    """Tell a browser what pages of a listed site may ask; they get no cookies."""
    more = [
        (b"access-control-allow-methods", _ALLOWED_METHODS.encode()),
        (b"access-control-allow-headers", _ALLOWED_FIELDS.encode()),
        (b"access-control-max-age", str(_PREFLIGHT_LIVES_S).encode()),
        (b"content-length", b"0"),
    ]
    headers = [*fields, *more]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _refuse(scope: Scope, receive: Receive, send: Send, error: EdgeError) -> None:
    """Answer with an error, also where a WebSocket was asked for."""
    if scope["type"] != ScopeType.WEBSOCKET:
        await send_error(scope, receive, send, error)
        return
    told = refusal(error)
    extensions = cast("dict[str, Any]", scope.get("extensions") or {})
    if "websocket.http.response" not in extensions:
        await send({"type": "websocket.close", "code": 1008, "reason": error.code})
        return
    headers = [(name.encode(), value.encode()) for name, value in told.headers.items()]
    headers += [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(told.content)).encode()),
    ]
    start = {"type": "websocket.http.response.start", "status": told.status_code}
    await send(cast(Message, {**start, "headers": headers}))
    await send(cast(Message, {"type": "websocket.http.response.body", "body": told.content}))
