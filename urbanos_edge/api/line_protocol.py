"""InfluxDB's doors: line protocol as versions 1, 2 and 3 take it, and what clients ask before.

The good lines of a body are kept and the others named in a 400, as InfluxDB 1 and 3 do. An error
has the fields of all three versions, `error`, `code` with `message`, and `data`; clients read those
of theirs.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.types import ControllerRouterHandler

from urbanos_edge import __version__
from urbanos_edge.adapters import Malformed, line_protocol
from urbanos_edge.adapters.line_protocol import Lines
from urbanos_edge.api.arrival import arrival
from urbanos_edge.api.body import message_of
from urbanos_edge.api.document import CHANGING, MAY_SEND, Refusal, described, empty, refused
from urbanos_edge.api.respond import json
from urbanos_edge.api.shapes import told
from urbanos_edge.errors import EdgeError, Forbidden
from urbanos_edge.ingest.receipt import Receipt
from urbanos_edge.node import Node

_PARTLY_WRITTEN: Final = "partial write of line protocol occurred"
_NOTHING_WRITTEN: Final = "parsing failed for write_lp endpoint"
"""The words by which clients know these errors; Telegraf does not send a partial write again."""
MAX_NAMED: Final = 100
"""Lines that one answer names."""
_VERSION: Final = {"X-Influxdb-Version": __version__, "X-Influxdb-Build": "UrbanOS Edge"}
_CODES: Final = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    413: "request too large",
    415: "unsupported media type",
    422: "unprocessable entity",
    503: "unavailable",
    507: "unavailable",
}
_NO_CONTENT: Final = empty(204, "yes, and nothing more to say")
_LINES: Final = described({"text/plain": str}, never="201")
AnyRequest = Request[Any, Any, Any]
Answer = Response[bytes]


class LineProtocolError(msgspec.Struct):
    """An error as clients of versions 1, 2 and 3 read it."""

    code: str
    message: str
    error: str


class Health(msgspec.Struct):
    """Whether the node takes readings."""

    name: str
    status: Literal["pass", "fail"]
    message: str
    checks: list[str]
    version: str


_WRITTEN: Final = _NO_CONTENT | refused(*CHANGING, shape=LineProtocolError | Refusal)


def routes(node: Node) -> list[ControllerRouterHandler]:
    return [*_writing(node), *_asking(node)]


def _writing(node: Node) -> list[ControllerRouterHandler]:
    @post("/write", responses=_WRITTEN, operation_class=_LINES, tags=["devices"], security=MAY_SEND)
    async def version_1(request: AnyRequest) -> Answer:
        """Line protocol with `db` and `precision`, credentials in `u` and `p` or a header."""
        return await _write(node, request)

    @post(
        "/api/v2/write",
        responses=_WRITTEN,
        operation_class=_LINES,
        tags=["devices"],
        security=MAY_SEND,
    )
    async def version_2(request: AnyRequest) -> Answer:
        """Line protocol with `org`, `bucket` and `precision`."""
        return await _write(node, request)

    @post(
        "/api/v3/write_lp",
        responses=_WRITTEN,
        operation_class=_LINES,
        tags=["devices"],
        security=MAY_SEND,
    )
    async def version_3(request: AnyRequest) -> Answer:
        """Line protocol with `db` and `precision`; `accept_partial=false` keeps all or nothing."""
        return await _write(node, request, "auto")

    return [version_1, version_2, version_3]


def _asking(node: Node) -> list[ControllerRouterHandler]:
    @get(
        "/ping",
        operation_class=described(never="200"),
        responses=_NO_CONTENT,
        sync_to_thread=False,
        tags=["devices"],
    )
    def ping() -> Answer:
        """What clients of InfluxDB ask first."""
        return Response(b"", status_code=204, headers=_VERSION)

    @get(
        "/health",
        sync_to_thread=False,
        responses=told(Health) | refused(503, shape=Health | Refusal),
        tags=["devices"],
    )
    def health() -> Answer:
        """Whether the node takes readings, as clients of InfluxDB ask."""
        faults = [fault.text for fault in node.faults()]
        health = Health(
            name="urbanos-edge",
            status="fail" if faults else "pass",
            message="; ".join(faults) or "ready for writes",
            checks=[],
            version=__version__,
        )
        return json(health, 503 if faults else 200)

    return [ping, health]


async def _write(node: Node, request: AnyRequest, precision: str = "") -> Answer:
    try:
        asked = request.query_params
        came = arrival(request.scope, line_protocol.SOURCE, asked.get("u", ""), asked.get("p", ""))
        unit = asked.get("precision", precision)
        read = partial(line_protocol.read, precision=unit, fields=node.field_map)
        lines = await message_of(node, request, came, read)
        if asked.get("accept_partial") == "false" and (bad := _unreadable(lines)):
            return _refused_lines(lines, bad, _NOTHING_WRITTEN)
        receipt = await node.reception.receive(lines.message, came) if lines.message else Receipt()
    except EdgeError as error:
        return _refused(error)
    return _answer(lines, receipt)


def _answer(lines: Lines, receipt: Receipt) -> Answer:
    if not receipt.errors:
        return Response(b"", status_code=204, headers=_VERSION)
    is_partial = receipt.accepted or receipt.held or receipt.ignored
    if not is_partial and all(isinstance(error, Forbidden) for error in receipt.errors):
        return _refused(receipt.errors[0])
    bad = [(refusal.index, refusal.message) for refusal in receipt.refused]
    return _refused_lines(lines, bad, _PARTLY_WRITTEN)


def _unreadable(lines: Lines) -> list[tuple[int, str]]:
    return [
        (index, element.error.message)
        for index, element in enumerate(lines.message)
        if isinstance(element, Malformed)
    ]


def _refused_lines(lines: Lines, bad: list[tuple[int, str]], what: str) -> Answer:
    """Name the lines that were not taken, the first one in words."""
    named = sorted((lines.numbers[index], lines.texts[index], why) for index, why in bad)
    number, _, why = named[0]
    message = f"{what}: {len(bad)} of {len(lines.message)} were not taken; line {number}: {why}"
    keys = ("line_number", "original_line", "error_message")
    told = [dict(zip(keys, line, strict=True)) for line in named[:MAX_NAMED]]
    return _error(400, message, {"line": number, "data": told})


def _refused(error: EdgeError) -> Answer:
    answer = _error(error.status, error.message, {})
    if error.retry_after_s is not None:
        answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer


def _error(status: int, message: str, more: dict[str, Any]) -> Answer:
    code = _CODES.get(status, "internal error")
    answer = json({"code": code, "message": message, "error": message, **more}, status)
    answer.headers.update(_VERSION)
    return answer
