"""Answers: cached bodies with their ETag, and errors in the one shape clients know."""

from __future__ import annotations

import logging
import secrets
from typing import Any, Final

import anyio.to_thread
import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import Receive, Scope, Send

from urbanos_edge.cache.answers import (
    OF_INTEREST,
    SHORT_S,
    Answers,
    Kind,
    answer,
    coding_for,
)
from urbanos_edge.cache.cache import Entry, etag_of
from urbanos_edge.errors import EdgeError
from urbanos_edge.logbook import current_request

JSON: Final = "application/json"
_log = logging.getLogger(__name__)
_CODES: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
}


_WORDS: Final = {
    404: "there is nothing at this address",
    405: "there is nothing at this address that takes this method",
}


async def cached(
    request: Request[Any, Any, Any],
    entry: Entry,
    hit: bool,
    media_type: str,
    max_age_s: int = SHORT_S,
) -> Response[bytes]:
    """Answer with a cached body in the form the client takes, or 304 when it has it.

    From now on the same request is answered by `Answers` while the entry is fresh.
    """
    answers: Answers = request.app.state["answers"]
    scope: Any = request.scope
    kind = Kind(media_type, max_age_s)
    response = await _given(request, entry, hit, kind)
    query: bytes = scope["query_string"]
    route: str = scope["path_template"]
    answers.traffic.note_fetched(route, hit)
    answers.serve(scope["raw_path"] + (b"?" + query if query else b""), entry, kind, route)
    return response


async def made(request: Request[Any, Any, Any], body: bytes) -> Response[bytes]:
    """Answer as `cached` does with JSON that was made for this request, and keep nothing of it.

    For what names the address that it was asked at: for another one it would be wrong.
    """
    entry = Entry(body, etag_of(body), revision=None, epoch=0, fresh_until_s=0)
    return await _given(request, entry, False, Kind(JSON))


async def _given(
    request: Request[Any, Any, Any], entry: Entry, hit: bool, kind: Kind
) -> Response[bytes]:
    """The entry in the form that the client takes, or 304."""
    scope: Any = request.scope
    asked = {
        name: value.decode("latin-1") for name, value in scope["headers"] if name in OF_INTEREST
    }
    form = await entry.form(coding_for(entry, kind, asked.get(b"accept-encoding")))
    given = answer(entry, form, hit, kind, asked.get(b"if-none-match"))
    return Response(
        given.body, status_code=given.status, headers=given.headers, media_type=kind.media_type
    )


async def send_error(scope: Scope, receive: Receive, send: Send, error: Exception) -> None:
    """As `error_response`, from a bare ASGI application."""
    request = Request[Any, Any, Any](scope)
    await error_response(request, error).to_asgi_response(None, request)(scope, receive, send)


async def encoded(content: Any) -> bytes:
    """As JSON, made in a worker thread: a thousand rows take milliseconds."""
    return await anyio.to_thread.run_sync(msgspec.json.encode, content)


def json(content: Any, status: int = 200) -> Response[bytes]:
    """Answer with something msgspec can encode, not to be kept by anyone."""
    return Response(
        msgspec.json.encode(content),
        status_code=status,
        media_type=JSON,
        headers={"Cache-Control": "no-store"},
    )


def error_response(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Render any exception; what was not foreseen is logged whole and answered with an id."""
    if isinstance(error, EdgeError):
        return refusal(error)
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _http_error(error)
    if isinstance(error, RecursionError):  # nothing of ours goes so deep but what a client nests
        return _error_body(400, "invalid_json", "the JSON is nested too deeply", None)
    incident = current_request() or secrets.token_hex(6)
    _log.error("incident %s at %s", incident, request.url.path, exc_info=error)
    return _error_body(500, "internal_error", f"the node failed; incident {incident}", None)


def refusal(error: EdgeError) -> Response[bytes]:
    """Render an error that the caller can act on."""
    response = _error_body(error.status, error.code, error.message, error.details)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _http_error(error: HTTPException) -> Response[bytes]:
    code = _CODES.get(error.status_code, "bad_request")
    message = _WORDS.get(error.status_code, error.detail)
    response = _error_body(error.status_code, code, message, error.extra)
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


def _error_body(status: int, code: str, message: str, details: Any) -> Response[bytes]:
    return json({"error": {"code": code, "message": message, "details": details}}, status)
