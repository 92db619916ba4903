"""GET /api/v1/export: readings of a span as a file, streamed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final, NamedTuple, Protocol, cast

import anyio
from litestar import Request, get
from litestar.params import QueryParameter
from litestar.response.base import ASGIResponse
from litestar.types import ControllerRouterHandler, Receive, Scope, Send

from urbanos_edge.allowance import network
from urbanos_edge.api.arrival import address
from urbanos_edge.api.document import described
from urbanos_edge.api.gate import may_stay
from urbanos_edge.api.parameters import bounds
from urbanos_edge.api.respond import send_error
from urbanos_edge.clock import day_or_moment_us
from urbanos_edge.errors import Unprocessable
from urbanos_edge.grid import Bounds
from urbanos_edge.node import Node
from urbanos_edge.query.export import COLUMNS, FORMATS, MAX_DAYS, WORLD, Exports, Wanted, checked

LINE: Final = "urbanos.line"
"""The ASGI extension by which the server offers a `Line`."""
PATIENCE_S: Final = 60.0
"""How long a client may take nothing of what waits for it."""
BYTES_PER_S: Final = 16 << 10
"""What it must take on average: files that are replaced or dropped stay on the disk meanwhile."""
LONGEST_S: Final = 6 * 3600.0
"""After which an export ends, whole or not."""
LOOKS: Final = 12
"""How often within its patience the client is looked at."""
LOOK_WHO_MAY_EVERY_S: Final = 1.0
_log = logging.getLogger(__name__)

From = Annotated[
    str | None,
    QueryParameter(name="from", description="RFC 3339 with a zone, or a day in UTC; inclusive"),
]
To = Annotated[
    str | None,
    QueryParameter(
        name="to",
        description=f"the same, exclusive, at most {MAX_DAYS} days later; now",
    ),
]
Box = Annotated[
    str | None,
    QueryParameter(name="bbox", description="minLng,minLat,maxLng,maxLat; the whole world"),
]
OfSensor = Annotated[str, QueryParameter(name="sensor", description="its id; all sensors")]
Format = Annotated[str, QueryParameter(name="format", description=", ".join(FORMATS))]
Columns = Annotated[str, QueryParameter(name="columns", description=" or ".join(COLUMNS))]


class Line(Protocol):
    """The connection an answer goes out on."""

    @property
    def waiting_bytes(self) -> int:
        """What was sent and not taken yet."""

    def drop(self) -> None:
        """Break it off, so that the client sees that something is missing."""


def routes(node: Node) -> list[ControllerRouterHandler]:
    @get(
        "/api/v1/export",
        sync_to_thread=False,
        operation_class=described(answers=FORMATS.values()),
        tags=["export"],
    )
    def export(
        request: Request[Any, Any, Any],
        from_: From = None,
        to: To = None,
        bbox: Box = None,
        kind: Format = "csv",
        columns: Columns = COLUMNS[0],
        sensor: OfSensor = "",
    ) -> ASGIResponse:
        """The stored readings of a span as one file, in no particular order.

        An answer that breaks off is incomplete: its connection ends without the last chunk.
        """
        since_us = day_or_moment_us("from", from_)
        if since_us is None:
            raise Unprocessable("say 'from' when: a moment or a day", code="range_missing")
        until_us = day_or_moment_us("to", to)
        if until_us is None:
            until_us = node.clock.now_us()
        wanted = Wanted(since_us, until_us, kind, box(bbox), columns, sensor)
        return _Export(node.exports, checked(wanted), asker(request))

    def asker(request: Request[Any, Any, Any]) -> str:
        """Whose export it is: a token's, also one that a login stands for, else an address's."""
        said = (request.headers.get(name, "") for name in ("authorization", "cookie"))
        token = node.access.known(*said)
        return network(address(request.scope)) if token is None else f"token {token.id}"

    return [export]


def box(text: str | None) -> Bounds:
    """Read `minLng,minLat,maxLng,maxLat`; the world when it was not given.

    Raises:
        Unprocessable: not four numbers, or not a box.
    """
    if text is None:
        return WORLD
    try:
        min_lng, min_lat, max_lng, max_lat = map(float, text.split(","))
    except ValueError as error:
        raise Unprocessable(
            "bbox must be four numbers: minLng,minLat,maxLng,maxLat", code="invalid_bounds"
        ) from error
    return bounds(min_lat, max_lat, min_lng, max_lng)


class _Export(ASGIResponse):
    """Streams one export, and breaks it off with its client, its client's right, or the node."""

    _should_set_content_length = False

    def __init__(self, exports: Exports, wanted: Wanted, asker: str) -> None:
        super().__init__(
            media_type=wanted.media_type,
            headers={
                "Cache-Control": "no-store",
                "Content-Disposition": f'attachment; filename="{wanted.file_name}"',
                "X-Total-Rows-Estimate": str(exports.rows_about(wanted)),
            },
        )
        self._exports, self._wanted, self._asker = exports, wanted, asker
        self._sent_bytes = 0
        self._has_begun = self._is_whole = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        line = cast(Line, cast("dict[str, object]", scope["extensions"])[LINE])
        async with anyio.create_task_group() as tasks:
            cut = tasks.cancel_scope.cancel
            tasks.start_soon(_after, cut, until_gone, receive)
            tasks.start_soon(_after, cut, self._exports.stopping.wait)
            tasks.start_soon(_after, cut, until_too_slow, partial(self._progress, line))
            tasks.start_soon(_after, cut, anyio.sleep, LONGEST_S)
            if (right := may_stay(scope)) is not None:
                tasks.start_soon(_after, cut, until_over, right)
            await self._send(scope, receive, send)
            cut()
        if self._has_begun and not self._is_whole:
            line.drop()
            await until_gone(receive)

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._exports.open(self._wanted, self._asker) as pieces:
                await self.start_response(send)
                self._has_begun = True
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    self._sent_bytes += len(piece)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            self._is_whole = True
        except Exception as error:
            if not self._has_begun:
                await send_error(scope, receive, send, error)
            else:
                _log.error("an export broke off: %s", error)

    def _progress(self, line: Line) -> Progress:
        return Progress(self._sent_bytes, line.waiting_bytes)


class Progress(NamedTuple):
    """Bytes sent so far, and how many of the last ones the client has not taken yet."""

    sent: int
    waiting: int

    @property
    def taken(self) -> int:
        return self.sent - self.waiting


async def until_gone(receive: Receive) -> None:
    """Return when nobody waits for the answer any more."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def until_too_slow(
    progress: Callable[[], Progress],
    patience_s: float = PATIENCE_S,
    bytes_per_s: float = BYTES_PER_S,
) -> None:
    """Return when the client has taken too little, or nothing for `patience_s`.

    It has that long; what it takes gives it time again, and while nothing waits for it none goes.
    """
    left_s, before = patience_s, progress()
    while left_s > 0:
        await anyio.sleep(patience_s / LOOKS)
        now = progress()
        earned_s = (now.taken - before.taken) / bytes_per_s
        spent_s = patience_s / LOOKS if now.waiting else 0.0
        left_s = min(patience_s, left_s + earned_s - spent_s)
        before = now


async def until_over(right: Callable[[], bool]) -> None:
    """Return when who asked may not read any more."""
    while True:
        await anyio.sleep(LOOK_WHO_MAY_EVERY_S)
        if not right():
            return


async def _after(cut: Callable[[], None], wait: Callable[..., Awaitable[Any]], *given: Any) -> None:
    await wait(*given)
    cut()
