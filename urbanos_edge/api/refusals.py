"""The notes that are taken of who is turned away at the doors of sensors."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from urbanos_edge.access.door import UNPROTECTED, kind_of
from urbanos_edge.access.refusals import Refusals
from urbanos_edge.api.arrival import address

MAX_ANSWER_BYTES: Final = 64 << 10
"""Of an answer that is read for its words; one that names many lines is longer."""
_NO_WORDS: Final = "no words"


def noted(app: ASGIApp, refusals: Refusals) -> ASGIApp:
    """Note what a device is told that brings something and is not let in."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] in UNPROTECTED:
            await app(scope, receive, send)
            return
        status, said = 0, b""

        async def listening(message: Message) -> None:
            nonlocal status, said
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and _is_of_interest(scope, status):
                said = (said + message["body"])[:MAX_ANSWER_BYTES]
                if not message.get("more_body"):
                    door, device = scope["path"], _device(scope)
                    refusals.note(address(scope), door, device, status, _words(said))
            await send(message)

        await app(scope, receive, listening)

    return wrapped


def _is_of_interest(scope: HTTPScope, status: int) -> bool:
    """Whether a door of sensors refused it, or it went to where there is no door at all."""
    if not 400 <= status < 500:
        return False
    is_nowhere = status in (404, 405) and not scope.get("path_template")
    return is_nowhere or kind_of(scope["path"], scope["method"]) == "ingest"


def _device(scope: HTTPScope) -> str:
    return dict(scope["headers"]).get(b"user-agent", b"").decode("latin-1")


def _words(answer: bytes) -> str:
    """The message of an error, in the node's shape or in InfluxDB's."""
    try:
        found: Any = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _NO_WORDS
    error = found.get("error") if isinstance(found, dict) else None
    told = error.get("message") if isinstance(error, dict) else error
    return told if isinstance(told, str) else _NO_WORDS
