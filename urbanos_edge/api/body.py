"""Read a request's body: bounded while it arrives and while it is unpacked."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

import anyio.to_thread
from litestar import Request
from litestar.types import Receive

from urbanos_edge.access.bodies import UNKNOWN_BYTES, Room
from urbanos_edge.api.arrival import address
from urbanos_edge.errors import (
    BadRequest,
    BodyTooLarge,
    EdgeError,
    Unavailable,
    UnsupportedMedia,
)
from urbanos_edge.ingest.reception import Arrival
from urbanos_edge.node import Node
from urbanos_edge.zstd import zstd

LARGE_BYTES: Final = 1 << 16
"""From here on a device's message is read in a worker thread."""
AnyRequest = Request[Any, Any, Any]
T = TypeVar("T")

_ZSTD_OPTIONS: Final[dict[int, int]] = {zstd.DecompressionParameter.window_log_max: 23}
"""A frame may look back at 8 MiB at most, what RFC 9659 allows to a body that is sent."""


class _Frame(Protocol):
    """What zlib and zstd unpack a frame with; gzip calls it a member."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, packed: bytes, room: int, /) -> bytes: ...


class ClientGone(Exception):
    """The client went away before its body had arrived; nobody is there to be answered."""


async def body_of(node: Node, request: AnyRequest, limit: int) -> bytes:
    """The unpacked body of a request that the framework brings, whatever its content type.

    Raises:
        BodyTooLarge, UnsupportedMedia, Unavailable, BadRequest: as `read_body`, or it never came.
    """
    with node.access.bodies.one(address(request.scope)) as room:
        return await _arrived(request, room, limit)


async def message_of(
    node: Node, request: AnyRequest, came: Arrival, read: Callable[[bytes], T]
) -> T:
    """What `read` makes of the body that a device sends; a large one is read in a worker thread.

    Raises:
        BodyTooLarge, UnsupportedMedia, Unavailable, BadRequest: as `body_of`.
    """
    bodies = node.access.bodies
    limit = bodies.largest_bytes
    if not node.reception.knows(came):
        limit = min(limit, UNKNOWN_BYTES)
    with bodies.one(came.address) as room:
        body = await _arrived(request, room, limit)
        if len(body) < LARGE_BYTES:
            return read(body)
        return await anyio.to_thread.run_sync(read, body)


async def _arrived(request: AnyRequest, room: Room, limit: int) -> bytes:
    encoding = request.headers.get("content-encoding", "")
    try:
        return await read_body(request.receive, encoding, room, limit)
    except ClientGone as error:
        raise BadRequest("the body never came") from error


async def read_body(receive: Receive, encoding: str, room: Room, limit: int) -> bytes:
    """Return the unpacked body.

    A body of up to twice the limit is read to its end before it is refused, so that the client
    gets to see why.

    Raises:
        ClientGone: it will never be whole.
        BodyTooLarge: over `limit` bytes, as it arrives or unpacked.
        UnsupportedMedia: an encoding other than gzip, zstd or none.
        Unavailable: there is no room for it.
        BadRequest: it does not unpack.
    """
    unpacker = _unpacker(encoding)
    received = 0
    body = bytearray()
    refusal: EdgeError | None = None
    is_more = True
    while is_more and received <= 2 * limit:
        chunk, is_more = await _next_chunk(receive)
        received += len(chunk)
        if refusal is None:
            body += unpacker.unpack(chunk, limit - len(body)) if unpacker else chunk
            refusal = _refusal(max(len(body), received), limit, room)
        if refusal is not None:
            body.clear()
            room.leave()
    if refusal is not None:
        try:
            raise refusal
        finally:
            # In a circle with its traceback it would keep what unpacks, 8 MiB, until one looks.
            del refusal
    if unpacker and not unpacker.is_complete():
        raise BadRequest("the packed body ends too early", code="invalid_encoding")
    return bytes(body)


def _refusal(size_bytes: int, limit: int, room: Room) -> EdgeError | None:
    if size_bytes > limit:
        return BodyTooLarge(f"the body is over {limit >> 20} MiB; send it in parts")
    try:
        room.reach(size_bytes)
    except Unavailable as error:
        return error
    return None


async def _next_chunk(receive: Receive) -> tuple[bytes, bool]:
    event = await receive()
    if event["type"] != "http.request":
        raise ClientGone
    return event.get("body", b""), event.get("more_body", False)


class _Unpacker:
    """Unpacks one frame after the other, at most one byte more than there is room for."""

    def __init__(self, encoding: str, begin: Callable[[], _Frame]) -> None:
        self._encoding = encoding
        self._begin = begin
        self._frame = begin()

    def unpack(self, chunk: bytes, room: int) -> bytearray:
        unpacked = bytearray()
        try:
            while chunk and len(unpacked) <= room:
                if self._frame.eof:
                    self._frame = self._begin()
                unpacked += self._frame.decompress(chunk, room + 1 - len(unpacked))
                chunk = self._frame.unused_data
        except (zlib.error, zstd.ZstdError) as error:
            message = f"the body is not valid {self._encoding}"
            raise BadRequest(message, code="invalid_encoding") from error
        return unpacked

    def is_complete(self) -> bool:
        return self._frame.eof


def _unpacker(encoding: str) -> _Unpacker | None:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return _Unpacker("gzip", lambda: zlib.decompressobj(wbits=16 + zlib.MAX_WBITS))
        case "zstd":
            return _Unpacker("zstd", lambda: zstd.ZstdDecompressor(options=_ZSTD_OPTIONS))
    raise UnsupportedMedia(f"content encoding '{encoding[:40]}'; gzip, zstd or none are read")
