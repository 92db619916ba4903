"""An answer kept ready says what the routes would say, whatever the request looks like.

A request that comes in two pieces takes the normal way through the routes, so the same bytes in
one piece and in two must be answered alike.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from tests.http.sending import Spot, reading, send
from tests.processes import NodeProcess

QUIET_S = 0.15


class Said(NamedTuple):
    """One conversation: the head's lines without order, the rest, and whether it was ended."""

    status: bytes
    fields: list[bytes]
    rest: bytes
    is_closed: bool


def say(node: NodeProcess, *pieces: bytes) -> Said:
    [said] = converse(node, pieces)
    return said


def converse(node: NodeProcess, *requests: tuple[bytes, ...]) -> list[Said]:
    """Send each, in pieces, once the one before is being answered; hear all until all are quiet."""
    with ExitStack() as stack:
        links = [stack.enter_context(asked(node, pieces)) for pieces in requests]
        received = dict.fromkeys(links, b"")
        talking = list(links)
        while talking and (heard := select.select(talking, [], [], QUIET_S)[0]):
            for link in heard:
                piece = link.recv(1 << 20)
                received[link] += piece
                if not piece:
                    talking.remove(link)
        return [as_said(received[link], link not in talking) for link in links]


def asked(node: NodeProcess, pieces: Sequence[bytes]) -> socket.socket:
    """A connection on which the answer has begun."""
    link = socket.create_connection(("127.0.0.1", node.port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for number, piece in enumerate(pieces):
        if number:
            time.sleep(0.02)
        link.sendall(piece)
    assert select.select([link], [], [], 5)[0], "nothing was answered"
    return link


def as_said(received: bytes, is_closed: bool) -> Said:
    received = re.sub(rb"x-request-id: [^\r]*\r\n", b"", received)  # ready answers have none
    head, _, rest = received.partition(b"\r\n\r\n")
    status, *fields = head.split(b"\r\n")
    return Said(status, sorted(fields), rest, is_closed)


TILE = "/tiles/readings/12/{x}/{y}.mvt"
ETAG = "If-None-Match: {etag}"
SHAPES = {
    "plain": [],
    "names in capitals": ["ACCEPT-ENCODING: gzip", "IF-NONE-MATCH: {etag}"],
    "names in small letters": ["accept-encoding: gzip"],
    "many more fields": ["User-Agent: Mozilla/5.0", "Accept: */*", "Cookie: a=b", "X-Any: thing"],
    "gzip": ["Accept-Encoding: gzip, deflate, br"],
    "zstd": ["Accept-Encoding: gzip, deflate, br, zstd"],
    "gzip before zstd": ["Accept-Encoding: zstd;q=0.5, gzip;q=0.9"],
    "no gzip": ["Accept-Encoding: gzip;q=0, zstd;q=0.0"],
    "anything": ["Accept-Encoding: *"],
    "anything but zstd": ["Accept-Encoding: *, zstd;q=0"],
    "an unknown coding": ["Accept-Encoding: br, pony;q=x"],
    "accept-encoding twice": ["Accept-Encoding: br", "Accept-Encoding: gzip"],
    "the same": [ETAG],
    "the same, weakly": ["If-None-Match: W/{etag}"],
    "the same among others": ['If-None-Match: "other",{etag}'],
    "the same, packed": [ETAG, "Accept-Encoding: gzip"],
    "any": ["If-None-Match: *"],
    "another": ['If-None-Match: "other"'],
    "if-none-match twice": ['If-None-Match: "other"', ETAG],
    "to be closed": ["Connection: close"],
    "to be kept": ["Connection: keep-alive"],
    "a useless upgrade": ["Connection: Upgrade", "Upgrade: h2c"],
    "a body": ["Content-Length: 0"],
    "an expectation": ["Expect: 100-continue"],
    "a field without a colon": ["Nonsense"],
    "a range": ["Range: bytes=0-9"],
}


@pytest.fixture(scope="module")
def warm(server: NodeProcess, gateway: str) -> tuple[Spot, str]:
    """A spot whose tile is worth packing, and its ETag."""
    spot = Spot("z12-x3000-y1500", 42.8, 83.7)
    send(server, gateway, *[reading(spot, f"warm-{n}") for n in range(40)])
    return spot, server.client.get(path(spot)).headers["etag"]


def path(spot: Spot) -> str:
    _, x, y = spot.at_zoom(12).split("-")
    return TILE.format(x=x[1:], y=y[1:])


def assert_alike(server: NodeProcess, request: bytes) -> None:
    pieces = request[:10], request[10:]
    _, normal, *others = converse(server, pieces, pieces, (request,), (request,))
    assert others == [normal, normal]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_get_is_answered_alike(server: NodeProcess, warm: tuple[Spot, str], shape: str) -> None:
    spot, etag = warm
    fields = [field.format(etag=etag) for field in SHAPES[shape]]
    lines = [f"GET {path(spot)} HTTP/1.1", "Host: localhost", *fields, "", ""]
    assert_alike(server, "\r\n".join(lines).encode())


@pytest.mark.parametrize(
    "request_line",
    [
        "HEAD {path} HTTP/1.1",
        "GET {path} HTTP/1.0",
        "POST {path} HTTP/1.1",
        "get {path} HTTP/1.1",
        "GET  {path} HTTP/1.1",
        "GET http://node{path} HTTP/1.1",
        "GET {path}?any=thing HTTP/1.1",
        "GET {path}? HTTP/1.1",
        "GET {path}#part HTTP/1.1",
        "GET /{path} HTTP/1.1",
        "GET %2F{path} HTTP/1.1",
        "GET {path}x HTTP/1.1",
        "GET /nowhere HTTP/1.1",
        "\r\nGET {path} HTTP/1.1",
    ],
)
def test_any_request_line_is_answered_alike(
    server: NodeProcess, warm: tuple[Spot, str], request_line: str
) -> None:
    line = request_line.format(path=path(warm[0]))
    assert_alike(server, f"{line}\r\nHost: localhost\r\n\r\n".encode())


def test_requests_sent_together_are_answered_in_their_order(
    server: NodeProcess, warm: tuple[Spot, str]
) -> None:
    known = f"GET {path(warm[0])} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    other = b"GET /api/v1/standard HTTP/1.1\r\nHost: localhost\r\n\r\n"
    say(server, known)
    for together in (known + known, known + other, other + known, known + b"GET"):
        assert_alike(server, together)
    one, two = say(server, other), say(server, known)
    in_turn = say(server, other, known)
    assert in_turn.status == one.status
    assert two.rest in in_turn.rest


def test_a_post_between_two_gets_is_no_part_of_them(
    server: NodeProcess, warm: tuple[Spot, str]
) -> None:
    """Its body looks like a request that is known."""
    known = f"GET {path(warm[0])} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    post = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(known)
    say(server, known)
    alone = say(server, known)
    answered = say(server, post, known, known)
    assert answered.status.split()[1] in (b"404", b"405")
    assert answered.rest.count(b"HTTP/1.1 200 OK") == 1
    assert answered.rest.endswith(alone.rest)


def test_a_connection_that_falls_silent_after_ready_answers_is_closed(
    server: NodeProcess, warm: tuple[Spot, str]
) -> None:
    known = f"GET {path(warm[0])} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    say(server, known)
    with socket.create_connection(("127.0.0.1", server.port), timeout=12) as link:
        for _ in range(3):
            link.sendall(known)
            assert link.recv(1 << 20).startswith(b"HTTP/1.1 200 OK")
            time.sleep(0.5)
        heard_s = time.monotonic()
        assert link.recv(1) == b""
        assert 3 < time.monotonic() - heard_s < 8


def test_a_change_is_seen_in_the_next_answer(
    server: NodeProcess, gateway: str, warm: tuple[Spot, str], spot: Spot
) -> None:
    here, there = path(spot), path(warm[0])
    send(server, gateway, reading(spot, "one"))
    first, untouched = server.client.get(here), server.client.get(there)
    send(server, gateway, reading(spot, "two"))
    second = server.client.get(here)
    assert second.headers["etag"] != first.headers["etag"]
    assert b"two" in second.content
    again = server.client.get(there)
    assert (again.headers["x-cache"], again.headers["etag"]) == ("HIT", untouched.headers["etag"])


def test_a_flush_leaves_other_places_as_they_were_at_all_zooms(
    server: NodeProcess, gateway: str, spot: Spot, other_spot: Spot
) -> None:
    send(server, gateway, reading(spot, "stays"), reading(other_spot, "moves"))
    zooms = [zoom for zoom in range(8, 19) if spot.at_zoom(zoom) != other_spot.at_zoom(zoom)]
    kept = [url for zoom in zooms for url in addresses(spot, zoom)]
    touched = [url for zoom in zooms for url in addresses(other_spot, zoom)]
    before = {url: server.client.get(url).headers["etag"] for url in kept + touched}
    send(server, gateway, reading(other_spot, "moves", values={"pm25": 35.4}))
    for url in kept:
        headers = server.client.get(url).headers
        assert (headers["x-cache"], headers["etag"]) == ("HIT", before[url]), url
    for url in touched:
        headers = server.client.get(url).headers
        assert headers["x-cache"] == "MISS", url
        assert headers["etag"] != before[url], url


def addresses(spot: Spot, zoom: int) -> list[str]:
    grid = spot.at_zoom(zoom)
    _, x, y = (part[1:] for part in grid.split("-"))
    return [f"/tiles/readings/{zoom}/{x}/{y}.mvt", f"/api/v1/grids/{grid}"]
