"""Cached bodies as HTTP answers, and whole answers kept ready by the request they belong to.

Most requests of a map are the same bytes over and over. The first one goes the long way through
the routes; a later one that equals it byte for byte is answered by one look-up, as long as the
cache would serve the same entry. And what takes less time to make than that way is made there and
then. Both pass the same `door` as all others.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, NamedTuple

import httptools

from urbanos_edge.access.door import Door, Link, kind_of
from urbanos_edge.access.door import Kind as LimitKind
from urbanos_edge.access.sessions import COOKIE as SESSION
from urbanos_edge.cache.cache import Cache, Entry, Form, tagged
from urbanos_edge.cache.traffic import Count, Traffic

SHORT_S: Final = 10
"""How long others may keep what follows the last readings."""
LONG_S: Final = 300
"""How long they may keep history."""
MAX_READY_BYTES: Final = 32 << 20
"""Requests and answers kept ready; when it is full, all are forgotten and come back as asked."""
MAX_REQUEST_BYTES: Final = 2048
MAX_ANSWER_BYTES: Final = 128 << 10
"""A larger answer goes the normal way: its bytes cost more than the way."""
_PACKED_TYPES: Final = ("image/", "application/vnd.apache.parquet")
_COUNTED_WITH_REQUEST: Final = 256
OF_INTEREST: Final = (b"accept-encoding", b"if-none-match")
"""The header fields of a request that shape an answer."""
_OF_ASKER: Final = (b"host", b"cookie", b"origin", b"x-forwarded-for", b"x-forwarded-host")
"""Those that say whom it names and who sends it."""
_NOT_SIMPLE: Final = (
    *(b"content-length", b"transfer-encoding", b"expect", b"upgrade"),
    b"authorization",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What an answer says of itself, whatever is in it."""

    media_type: str
    max_age_s: int = SHORT_S

    @property
    def is_packed(self) -> bool:
        """Whether packing such a body again gains nothing."""
        return self.media_type.startswith(_PACKED_TYPES)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body, not yet bound to a framework."""

    status: int
    headers: dict[str, str]
    body: bytes


def coding_for(entry: Entry, kind: Kind, accept_encoding: str | None) -> str:
    """The best coding of an entry that a client takes; none means plain (RFC 9110 12.5.3)."""
    return "" if kind.is_packed else best_coding(entry.codings, accept_encoding)


def best_coding(codings: Sequence[str], accept_encoding: str | None) -> str:
    """The best of these that a client takes, the first of equals; none means plain."""
    if not accept_encoding or not codings:
        return ""
    weights = dict(_weight(part) for part in accept_encoding.lower().split(","))
    taken = [c for c in codings if weights.get(c, weights.get("*", 0.0)) > 0]
    return max(taken, key=lambda c: weights.get(c, weights.get("*", 0.0)), default="")


def answer(entry: Entry, form: Form, hit: bool, kind: Kind, if_none_match: str | None) -> Answer:
    """The answer with this form of an entry, or 304 when the client has the entry in any form."""
    others = [tagged(entry.etag, coding) for coding in ("", *entry.codings)]
    held = held_etag(if_none_match, form.etag, *others)
    age_s = kind.max_age_s
    headers = {
        "Cache-Control": f"public, max-age={age_s}, s-maxage={age_s}, stale-while-revalidate=5",
        "CDN-Cache-Control": f"max-age={age_s}",
        "Vary": "Accept-Encoding",
        "ETag": held or form.etag,
        "X-Cache": "HIT" if hit else "MISS",
    }
    if held is not None:
        return Answer(HTTPStatus.NOT_MODIFIED, headers, b"")
    if form.coding:
        headers["Content-Encoding"] = form.coding
    return Answer(HTTPStatus.OK, headers, form.body)


def held_etag(if_none_match: str | None, *etags: str) -> str | None:
    """Which of these, the likeliest first, the header names (compared weakly, RFC 9110 13.1.2)."""
    if if_none_match is None:
        return None
    named = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return next((etag for etag in etags if etag in named or "*" in named), None)


class Wire(NamedTuple):
    """An answer as it goes over the wire; between the two is room for more fields."""

    status_line: bytes
    rest: bytes


class Admission(NamedTuple):
    """What a request says of who sends it, which is looked at each time it comes."""

    limit: LimitKind
    visit: bytes | None
    forwarded_for: str


class _Ready(NamedTuple):
    """The answer to one request, until the cache lets go of its entry."""

    entry: weakref.ref[Entry]
    wire: Wire
    given: Count
    target: bytes
    admission: Admission


@dataclass(slots=True)
class _Served:
    """What is served at a target, and its answers as they go over the wire.

    The cache alone holds entries: what they take is bounded there.
    """

    entry: weakref.ref[Entry]
    kind: Kind
    route: str
    answers: dict[tuple[int, str], Wire] = field(default_factory=dict)
    """By status and ETag."""


class Drawn(NamedTuple):
    """What was made at once: its entry, whether it was there already, and what it is."""

    entry: Entry
    hit: bool
    kind: Kind
    route: str


Drawing = Callable[[bytes], Callable[[], Drawn] | None]
"""For a target, how to make what it names in less time than the normal way takes; None: not so."""


class Answers:
    """Answers kept ready, and such as are made at once; used from the event loop only."""

    def __init__(self, cache: Cache, traffic: Traffic, door: Door) -> None:
        self._cache = cache
        self.door = door
        self.traffic = traffic
        self.drawing: Drawing = _nothing
        self._served: dict[bytes, _Served] = {}
        self._ready: dict[bytes, _Ready] = {}
        self._bytes = 0

    def serve(self, target: bytes, entry: Entry, kind: Kind, route: str) -> None:
        """Let requests for this target be answered with the entry while it is fresh.

        They are counted as answers of the route.
        """
        served = self._served.get(target)
        if served is None or served.entry() is not entry or served.kind != kind:
            self._count(len(target) + _COUNTED_WITH_REQUEST)
            self._served[target] = _Served(weakref.ref(entry), kind, route)

    def link(self, peer: str, local: str) -> Link:
        """What `ready` wants to know of a connection."""
        return self.door.link(peer, local)

    def ready(self, request: bytes, link: Link) -> Sequence[bytes] | None:
        """The whole answer to exactly one whole GET request; None: it must go the normal way.

        It counts as given.
        """
        known = self._ready.get(request)
        entry = None if known is None else known.entry()
        if known is None or entry is None or not self._cache.is_fresh(entry):
            return self._new(request, link)
        limits = self._admit(known.admission, link)
        if limits is None:
            return None
        known.given.number += 1
        self.traffic.note_target(known.target)
        return known.wire.status_line, limits, known.wire.rest

    def _new(self, request: bytes, link: Link) -> Sequence[bytes] | None:
        if not request.startswith(b"GET ") or len(request) > MAX_REQUEST_BYTES:
            return None
        target = request[4 : request.find(b" ", 4)]
        served = self._served.get(target)
        entry = None if served is None else served.entry()
        if served is None or entry is None or not self._cache.is_fresh(entry):
            return self._drawn(target, request, link)
        fields = simple_get(request)
        known = None if fields is None else self._make(target, served, entry, fields, link)
        limits = None if known is None else self._admit(known.admission, link)
        if known is None or limits is None:
            return None
        self._count(len(request) + _COUNTED_WITH_REQUEST)
        self._ready[request] = known
        known.given.number += 1
        self.traffic.note_target(target)
        return known.wire.status_line, limits, known.wire.rest

    def _drawn(self, target: bytes, request: bytes, link: Link) -> Sequence[bytes] | None:
        began_s = time.perf_counter()
        draw = self.drawing(target)
        fields = None if draw is None else simple_get(request)
        admission = None if fields is None else self._admission(fields, link, "tiles")
        if draw is None or fields is None or admission is None:
            return None
        limits = self._admit(admission, link)
        if limits is None:
            return None
        try:
            entry, hit, kind, route = draw()
        except Exception:  # the normal way meets it again, and tells of it
            return None
        form = entry.form_at_once(coding_for(entry, kind, fields.get(b"accept-encoding")))
        given = answer(entry, form, hit, kind, fields.get(b"if-none-match"))
        self.serve(target, entry, kind, route)
        self.traffic.note_target(target)
        self.traffic.note_fetched(route, hit)
        self.traffic.note("GET", route, given.status, time.perf_counter() - began_s)
        wire = on_the_wire(given, kind.media_type, self.door.fields)
        return wire.status_line, limits, wire.rest

    def _make(
        self,
        target: bytes,
        served: _Served,
        entry: Entry,
        fields: dict[bytes, str],
        link: Link,
    ) -> _Ready | None:
        admission = self._admission(fields, link, kind_of(served.route, "GET"))
        coding = coding_for(entry, served.kind, fields.get(b"accept-encoding"))
        form = entry.forms.get(coding)
        if admission is None or form is None or len(form.body) > MAX_ANSWER_BYTES:
            return None
        given = answer(entry, form, True, served.kind, fields.get(b"if-none-match"))
        variant = given.status, given.headers["ETag"]
        wire = served.answers.get(variant)
        if wire is None:
            wire = on_the_wire(given, served.kind.media_type, self.door.fields)
            served.answers[variant] = wire
            self._count(len(wire.rest))
        count = self.traffic.ready_count(served.route, given.status)
        return _Ready(served.entry, wire, count, target, admission)

    def _admission(
        self, fields: dict[bytes, str], link: Link, limit: LimitKind
    ) -> Admission | None:
        """What the door wants to know of a request; None: the normal way has more to look at."""
        door, cookies = self.door, fields.get(b"cookie", "")
        is_foreign = bool(door.cors_origins) and b"origin" in fields
        if not door.public_read or is_foreign or SESSION in cookies:
            return None
        host = fields.get(b"host", "")
        if link.is_proxy:
            host = fields.get(b"x-forwarded-host", host)
        if not door.hosts.knows(host, link.local):
            return None
        return Admission(limit, door.visit(cookies), fields.get(b"x-forwarded-for", ""))

    def _admit(self, admission: Admission, link: Link) -> bytes | None:
        """Count a request of who it says sends it; the fields that tell what is left."""
        limit, visit, forwarded_for = admission
        client = self.door.client(link, forwarded_for) if link.is_proxy else link.client
        if visit is None:
            return self.door.limits.admit(limit, client, None)
        return self.door.limits.admit(limit, visit, client)

    def _count(self, more: int) -> None:
        self._bytes += more
        if self._bytes > MAX_READY_BYTES:
            self._served.clear()
            self._ready.clear()
            self._bytes = more


def _nothing(_: bytes) -> None:
    """Nothing is made at once."""


class _Head:
    """Gathers the header fields of a request from httptools, the parser of the normal way."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.begun = self.complete = 0
        self.is_kept = False
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.is_kept = self.parser.should_keep_alive() and self.parser.get_http_version() == "1.1"

    def on_message_complete(self) -> None:
        self.complete += 1


def simple_get(request: bytes) -> dict[bytes, str] | None:
    """The header fields that matter for an answer, when the bytes are one whole and plain GET.

    None for anything else: more or less than one request, a body, HTTP/1.0, a connection to be
    closed or upgraded, a token, a field given twice.
    """
    head = _Head()
    try:
        head.parser.feed_data(request)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    if (head.begun, head.complete, head.is_kept) != (1, 1, True):
        return None
    names = [name for name, _ in head.fields]
    wanted = [name for name in names if name in OF_INTEREST or name in _OF_ASKER]
    if len(set(wanted)) != len(wanted) or any(name in names for name in _NOT_SIMPLE):
        return None
    return {name: value.decode("latin-1") for name, value in head.fields if name in wanted}


def on_the_wire(answer: Answer, media_type: str, more: Sequence[tuple[str, str]]) -> Wire:
    """The answer as HTTP/1.1, with the fields that the normal way adds, and `more`."""
    status = HTTPStatus(answer.status)
    fields = [*fields_of(answer, media_type), *more]
    lines = [f"{name}: {value}" for name, value in fields]
    rest = "\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body
    return Wire(f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode(), rest)


def fields_of(answer: Answer, media_type: str) -> list[tuple[str, str]]:
    """All header fields of an answer, their names in lower case."""
    fields = [(name.lower(), value) for name, value in answer.headers.items()]
    if answer.status != HTTPStatus.NOT_MODIFIED:
        fields += [("content-type", media_type), ("content-length", str(len(answer.body)))]
    return fields


def _weight(part: str) -> tuple[str, float]:
    name, _, parameters = part.partition(";")
    _, _, weight = parameters.partition("q=")
    try:
        return name.strip(), float(weight) if weight else 1.0
    except ValueError:
        return name.strip(), 1.0
