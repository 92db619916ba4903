"""Answers kept ready: what they are kept for, and what always goes the normal way."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterable
from typing import Any

import anyio
import pytest
import uvicorn
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from tests.http.listening import UPGRADE
from urbanos_edge.access.crowd import Crowd
from urbanos_edge.access.door import Door
from urbanos_edge.access.proxies import Proxies
from urbanos_edge.cache import answers
from urbanos_edge.cache.answers import Answers, Kind, answer, coding_for, held_etag
from urbanos_edge.cache.cache import Cache, Entry
from urbanos_edge.cache.traffic import Traffic
from urbanos_edge.server import protocol as protocols
from urbanos_edge.server.protocol import HttpProtocol, WebSocketProtocol
from urbanos_edge.server.server import PatientServer
from urbanos_edge.settings import Settings
from urbanos_edge.zstd import zstd

KIND = Kind("application/json")
REQUEST = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = b'{"text": "' + b"again and " * 200 + b'"}'


async def entry_of(cache: Cache, body: bytes = BODY, ttl_s: float = 60, coding: str = "") -> Entry:
    async def build() -> bytes:
        return body

    return (await cache.get("key", ttl_s, lambda: body, build, coding=coding))[0]


async def served(body: bytes = BODY, ttl_s: float = 60) -> tuple[Cache, Answers]:
    """A cache with one entry that is served at /a."""
    cache = Cache()
    ready = Answers(cache, Traffic(), Door(Settings(), "node", b"key"))
    ready.serve(b"/a", await entry_of(cache, body, ttl_s), KIND, "/a")
    return cache, ready


def answered(ready: Answers, request: bytes) -> bytes | None:
    """The whole answer that is ready for a client on this machine."""
    pieces = ready.ready(request, ready.link("127.0.0.1", "127.0.0.1"))
    return None if pieces is None else b"".join(pieces)


def test_what_is_served_is_ready_until_something_changes() -> None:
    async def check() -> None:
        cache, ready = await served()
        for _ in range(2):
            made = answered(ready, REQUEST)
            assert made is not None
            assert made.startswith(b"HTTP/1.1 200 OK\r\n")
            assert made.endswith(b"\r\n\r\n" + BODY)
        cache.something_changed()
        assert answered(ready, REQUEST) is None
        await entry_of(cache)  # proves its revision
        assert answered(ready, REQUEST) is not None

    anyio.run(check)


def test_what_is_too_old_is_not_ready() -> None:
    async def check() -> None:
        _, ready = await served(ttl_s=0)
        assert answered(ready, REQUEST) is None

    anyio.run(check)


@pytest.mark.parametrize(
    "request_bytes",
    [
        REQUEST[:-1],
        REQUEST + b"G",
        REQUEST + REQUEST,
        REQUEST.replace(b"GET", b"PUT"),
        REQUEST.replace(b"/a", b"/b"),
        REQUEST.replace(b"1.1", b"1.0"),
        REQUEST.replace(b"Host", b"Connection: close\r\nHost"),
        REQUEST.replace(b"Host", b"X: " + b"x" * answers.MAX_REQUEST_BYTES + b"\r\nHost"),
        b"GET /a",
        b"GET ",
        b"\x16\x03\x01",
        b"",
    ],
)
def test_anything_but_one_whole_plain_get_is_not_ready(request_bytes: bytes) -> None:
    async def check() -> None:
        _, ready = await served()
        assert answered(ready, request_bytes) is None

    anyio.run(check)


def test_a_packed_form_is_ready_once_it_has_been_asked_for() -> None:
    async def check() -> None:
        cache, ready = await served()
        packed = REQUEST.replace(b"Host", b"Accept-Encoding: gzip\r\nHost")
        assert answered(ready, packed) is None
        form = await (await entry_of(cache)).form("gzip")
        made = answered(ready, packed)
        assert made is not None
        assert gzip.decompress(made.partition(b"\r\n\r\n")[2]) == BODY
        assert f"\r\netag: {form.etag}\r\n".encode() in made
        assert b"\r\ncontent-encoding: gzip\r\n" in made

    anyio.run(check)


def test_a_large_body_is_not_kept_ready() -> None:
    async def check() -> None:
        _, ready = await served(bytes(answers.MAX_ANSWER_BYTES + 1))
        assert answered(ready, REQUEST) is None

    anyio.run(check)


def test_what_is_kept_ready_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        monkeypatch.setattr(answers, "MAX_READY_BYTES", 100_000)
        _, ready = await served()
        for number in range(10_000):
            answered(ready, REQUEST.replace(b"Host", b"X: %d\r\nHost" % number))
            assert len(ready._ready) * 256 < 200_000
        assert ready._bytes <= 100_000

    anyio.run(check)


def test_what_the_cache_lets_go_of_is_held_by_nobody() -> None:
    async def check() -> None:
        cache = Cache(max_bytes=8 * len(BODY))
        ready = Answers(cache, Traffic(), Door(Settings(), "node", b"key"))
        for number in range(100):
            entry, _ = cache.get_at_once(number, 60, lambda: 0, lambda: BODY)
            ready.serve(b"/%d" % number, entry, KIND, "/a")
            assert answered(ready, REQUEST.replace(b"/a", b"/%d" % number)) is not None
        del entry
        held = [served for served in ready._served.values() if served.entry() is not None]
        assert len(held) == cache.entries == 8
        assert answered(ready, REQUEST.replace(b"/a", b"/0")) is None

    anyio.run(check)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, ""),
        ("", ""),
        ("identity", ""),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.1", "gzip"),
        ("gzip; q=0, zstd;q=0.000", ""),
        ("*", "zstd"),
        ("*;q=0", ""),
        ("*, zstd;q=0", "gzip"),
        ("br, deflate", ""),
    ],
)
def test_the_client_s_best_coding_is_taken(accepted: str | None, coding: str) -> None:
    async def check() -> None:
        assert coding_for(await entry_of(Cache()), KIND, accepted) == coding

    anyio.run(check)


def test_images_and_small_bodies_are_not_packed() -> None:
    async def check() -> None:
        assert coding_for(await entry_of(Cache()), Kind("image/png"), "gzip") == ""
        assert coding_for(await entry_of(Cache(), b"small"), KIND, "gzip") == ""

    anyio.run(check)


def test_each_form_has_an_etag_of_its_own_and_any_of_them_gives_304() -> None:
    async def check() -> None:
        entry = await entry_of(Cache())
        forms = [await entry.form(coding) for coding in ("", "gzip", "zstd")]
        assert zstd.decompress(forms[2].body) == BODY
        assert len({form.etag for form in forms}) == 3
        for asked in forms:
            for held in forms:
                given = answer(entry, asked, True, KIND, held.etag)
                assert (given.status, given.body, given.headers["ETag"]) == (304, b"", held.etag)
            assert answer(entry, asked, True, KIND, '"other"').body == asked.body

    anyio.run(check)


def test_what_is_stored_packed_is_unpacked_for_those_who_cannot() -> None:
    async def check() -> None:
        entry = await entry_of(Cache(), gzip.compress(BODY), coding="gzip")
        plain, packed = await entry.form(""), await entry.form("gzip")
        assert (plain.body, plain.coding) == (BODY, "")
        assert (gzip.decompress(packed.body), packed.coding) == (BODY, "gzip")
        assert plain.etag != packed.etag

    anyio.run(check)


def test_etags_are_compared_weakly() -> None:
    assert held_etag('W/"a", "b"', '"a"') == '"a"'
    assert held_etag("*", '"a"') == '"a"'
    assert held_etag('"b"', '"a"') is None
    assert held_etag(None, '"a"') is None


class Wire(asyncio.Transport):
    """What a connection would send."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def writelines(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(pieces))

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.successor

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.successor = protocol


class Blocked(Wire):
    """To a client that takes nothing."""

    is_closed = is_aborted = False

    def get_write_buffer_size(self) -> int:
        return 1

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True


def on_a_connection(check: Callable[[HttpProtocol, Wire, list[str]], Any]) -> None:
    """Run with a protocol for which /a is ready; the list names what reached the routes."""

    async def run() -> None:
        asked: list[str] = []

        async def routes(scope: Any, receive: Any, send: Any) -> None:
            asked.append(scope["path"])
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        _, ready = await served()
        wire = Wire()
        config = uvicorn.Config(routes, ws=WebSocketProtocol, lifespan="off")
        crowd = Crowd(100, Proxies(()))
        protocol = HttpProtocol(
            ready, crowd, config=config, server_state=ServerState(), app_state={}
        )
        protocol.connection_made(wire)
        await check(protocol, wire, asked)
        protocol._unset_keepalive_if_required()

    anyio.run(run)


def test_a_ready_answer_is_written_without_asking_the_routes() -> None:
    async def check(protocol: HttpProtocol, wire: Wire, asked: list[str]) -> None:
        protocol.data_received(REQUEST)
        assert wire.sent[0].endswith(BODY)
        await asyncio.sleep(0)
        assert asked == []

    on_a_connection(check)


def test_a_request_in_pieces_goes_to_the_routes() -> None:
    async def check(protocol: HttpProtocol, wire: Wire, asked: list[str]) -> None:
        protocol.data_received(REQUEST[:9])
        protocol.data_received(REQUEST[9:])
        await asyncio.sleep(0.01)
        assert asked == ["/a"]
        protocol.data_received(REQUEST)
        await asyncio.sleep(0.01)
        assert (asked, wire.sent[-1].endswith(BODY)) == (["/a"], True)

    on_a_connection(check)


def test_what_looks_like_a_request_inside_a_body_is_none() -> None:
    async def check(protocol: HttpProtocol, wire: Wire, asked: list[str]) -> None:
        size = len(REQUEST) + 1
        protocol.data_received(b"POST /b HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
        protocol.data_received(REQUEST)
        await asyncio.sleep(0.01)
        assert asked == ["/b"]
        assert not any(piece.endswith(BODY) for piece in wire.sent)

    on_a_connection(check)


def test_an_answer_under_way_is_not_overtaken() -> None:
    async def check(protocol: HttpProtocol, wire: Wire, asked: list[str]) -> None:
        protocol.data_received(REQUEST.replace(b"/a", b"/b"))
        protocol.data_received(REQUEST)
        assert wire.sent == []
        await asyncio.sleep(0.01)
        assert asked == ["/b", "/a"]

    on_a_connection(check)


def test_nothing_is_written_at_once_to_a_client_that_does_not_read() -> None:
    async def check(protocol: HttpProtocol, wire: Wire, asked: list[str]) -> None:
        protocol.pause_writing()
        protocol.data_received(REQUEST)
        await asyncio.sleep(0.01)
        assert (wire.sent, asked) == ([], ["/a"])
        protocol.resume_writing()
        await asyncio.sleep(0.01)
        assert wire.sent[0].startswith(b"HTTP/1.1 204")

    on_a_connection(check)


def test_a_web_socket_knows_that_the_way_was_full_before_it() -> None:
    async def check(protocol: HttpProtocol, wire: Wire, asked: list[str]) -> None:
        protocol.pause_writing()
        protocol.data_received(b"GET /ws HTTP/1.1\r\n" + UPGRADE)
        successor = wire.get_protocol()
        assert isinstance(successor, WebSocketProtocol)
        assert not successor.is_free()
        successor.resume_writing()
        assert successor.is_free()

    on_a_connection(check)


def test_a_web_socket_whose_client_takes_nothing_is_broken_off_also_once_it_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        async def routes(scope: Any, receive: Any, send: Any) -> None:
            await receive()

        config = uvicorn.Config(routes, ws=WebSocketProtocol, lifespan="off")
        server, wires = PatientServer(config), [Blocked(), Blocked()]
        for wire in wires:
            protocol = WebSocketProtocol(
                config=config, server_state=server.server_state, app_state={}
            )
            protocol.connection_made(wire)
        wires[0].close()
        await server.on_tick(0)
        assert not any(wire.is_aborted for wire in wires)
        monkeypatch.setattr(protocols, "TAKE_WITHIN_S", 0)
        await asyncio.sleep(0.01)
        await server.on_tick(0)
        assert all(wire.is_aborted for wire in wires)

    anyio.run(run)


def test_empty_pieces_of_a_text_are_not_kept() -> None:
    async def run() -> None:
        config = uvicorn.Config(lambda: None, ws=WebSocketProtocol, lifespan="off")
        protocol = WebSocketProtocol(config=config, server_state=ServerState(), app_state={})
        for _ in range(1000):
            protocol.handle_cont(Frame(Opcode.CONT, b"", fin=False))
        assert protocol.frames == []

    anyio.run(run)
