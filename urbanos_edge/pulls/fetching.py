"""Getting what others publish: only if it changed, and bounded in time, size and redirects.

What goes wrong is told without the address, which may hold a secret.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import anyio
import anyio.to_thread
import httpx
import msgspec

from urbanos_edge import __version__
from urbanos_edge.errors import EdgeError, why_unreached

MAX_REDIRECTS: Final = 5
LONGEST_WAIT_S: Final = 86_400.0
"""However long a server asks to be left alone, it is asked again the next day."""
_FIRST_MOMENT: Final = 1_000_000_000
"""A greater number of seconds is no pause but counted since 1970."""
_RESETS: Final = ("X-RateLimit-Reset", "RateLimit-Reset")
LONGEST_MARK: Final = 1000
"""Characters of an ETag; a longer one is not sent back."""
_HEADERS: Final = {
    "User-Agent": f"urbanos-edge/{__version__}",
    "Accept": "application/json, text/csv;q=0.9, */*;q=0.5",
    "Accept-Encoding": "gzip",
}


class FetchFailed(EdgeError):
    """There is no answer, or none that can be used.

    `answered` is the status of the answer, if that is why; `wait_s` is what the server asked for.
    """

    status = 502
    code = "fetch_failed"

    def __init__(self, message: str, answered: int | None = None, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.answered = answered
        self.wait_s = wait_s


class Marks(msgspec.Struct, frozen=True):
    """What tells a server which version of something is known: its own ETag and time."""

    etag: str = ""
    modified: str = ""

    def headers(self) -> dict[str, str]:
        given = {"If-None-Match": self.etag, "If-Modified-Since": self.modified}
        return {name: mark for name, mark in given.items() if mark}


class Answer(msgspec.Struct, frozen=True):
    """A whole answer; `body` is None when nothing changed. `address` is the server's."""

    body: bytes | None
    marks: Marks
    address: str


class Way(msgspec.Struct, frozen=True):
    """How a source is reached: a header of its own, and whether its redirects are followed."""

    timeout_s: float
    max_bytes: int
    key: tuple[str, str] | None = None
    is_followed: bool = True

    def __repr__(self) -> str:
        return "Way(…)"  # a key is nobody's business


class Getter:
    """Gets one thing after the other over one client."""

    def __init__(self, client: httpx.AsyncClient, way: Way) -> None:
        self._client = client
        self._way = way

    async def get(self, url: str, marks: Marks | None = None) -> Answer:
        """Get what is at a URL, if it is another than that with these marks.

        Raises:
            FetchFailed: it is not to be had now.
        """
        try:
            with anyio.fail_after(self._way.timeout_s):
                return await self._follow(httpx.URL(url), marks or Marks())
        except TimeoutError as error:
            limit = f"{self._way.timeout_s:g} s"
            raise FetchFailed(f"there was no whole answer within {limit}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FetchFailed(f"it could not be reached: {why_unreached(error)}") from error

    async def _follow(self, url: httpx.URL, marks: Marks) -> Answer:
        """Follow redirects; the key goes to no other origin than the first."""
        first = _origin(url)
        for _ in range(MAX_REDIRECTS + 1):
            headers = marks.headers()
            if self._way.key is not None and _origin(url) == first:
                headers |= [self._way.key]
            async with self._client.stream("GET", url, headers=headers) as answer:
                if answer.next_request is None or not self._way.is_followed:
                    return await self._taken(answer, marks)
                url = answer.next_request.url
        raise FetchFailed(f"it redirects more than {MAX_REDIRECTS} times")

    async def _taken(self, answer: httpx.Response, marks: Marks) -> Answer:
        address = _address(answer)
        if answer.status_code == httpx.codes.NOT_MODIFIED and marks.headers():
            return Answer(None, marks, address)
        if not answer.is_success:
            status = answer.status_code
            raise FetchFailed(f"it answered {status}", status, _asked_to_wait_s(answer))
        body = await self._body(answer)
        etag, modified = (answer.headers.get(name, "") for name in ("ETag", "Last-Modified"))
        return Answer(body, Marks(*(_kept(mark) for mark in (etag, modified))), address)

    async def _body(self, answer: httpx.Response) -> bytes:
        limit = self._way.max_bytes
        unpack = _unpacker(answer.headers.get("Content-Encoding", ""))
        body = bytearray()
        try:
            async for chunk in answer.aiter_raw():
                room = limit + 1 - len(body)
                body += unpack.decompress(chunk, room) if unpack else chunk
                if len(body) > limit:
                    raise FetchFailed(f"what came is over {limit >> 20} MiB")
        except zlib.error as error:
            raise FetchFailed("what came does not unpack") from error
        if unpack and not unpack.eof:
            raise FetchFailed("what came ends too early")
        return bytes(body)


class Clients:
    """Makes clients; the file with all authorities is read once, in a worker thread."""

    def __init__(self) -> None:
        self._tls: Any = None

    @asynccontextmanager
    async def getter(self, way: Way) -> AsyncIterator[Getter]:
        """What gets from one source, over connections that end with the block."""
        if self._tls is None:
            self._tls = await anyio.to_thread.run_sync(httpx.create_ssl_context)
        async with httpx.AsyncClient(
            headers=_HEADERS, timeout=way.timeout_s, verify=self._tls
        ) as client:
            yield Getter(client, way)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _address(answer: httpx.Response) -> str:
    """The address that answered, as far as the connection tells."""
    stream = answer.extensions.get("network_stream")
    found = stream.get_extra_info("server_addr") if stream is not None else None
    return str(found[0]) if isinstance(found, tuple) else ""


def _asked_to_wait_s(answer: httpx.Response) -> float:
    """Seconds by Retry-After (RFC 9110, 10.2.3) or by the X-RateLimit-Reset that APIs have.

    The latter is a pause with some and a moment with others.
    """
    asked = answer.headers.get("Retry-After", "").strip()
    if not asked and answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        asked = next((answer.headers[name] for name in _RESETS if name in answer.headers), "")
    seconds = _seconds(asked.strip())
    return min(max(seconds, 0.0), LONGEST_WAIT_S)


def _seconds(asked: str) -> float:
    if asked.isascii() and asked.isdecimal():
        seconds = int(asked[:10])
        return seconds - time.time() if seconds > _FIRST_MOMENT else seconds
    try:
        until = parsedate_to_datetime(asked)
        return (until - datetime.now(UTC if until.tzinfo else None)).total_seconds()
    except (ValueError, OverflowError, TypeError):
        return 0.0


def _kept(mark: str) -> str:
    return mark if len(mark) <= LONGEST_MARK else ""


def _unpacker(encoding: str) -> Any:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    raise FetchFailed("what came is packed in a way that was not asked for")
