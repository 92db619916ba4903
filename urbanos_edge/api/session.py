"""Logging in to /admin with a token, and out again.

The page shows the token once; from then on the browser sends a cookie that no script can read, and
that other sites' pages cannot make it send. `gate` refuses what changes something and does not come
from a page of ours.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, delete, get, post
from litestar.types import ControllerRouterHandler

from urbanos_edge.access.door import cookie
from urbanos_edge.access.sessions import COOKIE
from urbanos_edge.api.acting import AnyRequest, acting, holder
from urbanos_edge.api.arrival import address
from urbanos_edge.api.document import MAY_HOLD, needs
from urbanos_edge.api.gate import cookie_field
from urbanos_edge.api.respond import json
from urbanos_edge.api.shapes import told
from urbanos_edge.audit import Actor
from urbanos_edge.node import Node
from urbanos_edge.tokens import Scope, Token


class Credentials(msgspec.Struct, forbid_unknown_fields=True):
    """What one logs in with."""

    token: str


class LoggedIn(msgspec.Struct):
    """Who is logged in, or whose token it is."""

    token_id: int
    scope: Scope
    name: str


def routes(node: Node) -> list[ControllerRouterHandler]:
    @post("/api/v1/session", status_code=201, responses=told(LoggedIn, 201), tags=["session"])
    async def log_in(request: AnyRequest, data: Credentials) -> Response[bytes]:
        """Begin a login; the answer sets its cookie."""
        token = node.tokens.authenticate(data.token)
        actor = Actor.holding(token, address(request.scope))
        async with node.access.audit.act(actor, "log_in"):
            node.access.sessions.close(_secret(request))
            secret = node.access.sessions.open(token)
        return _with_cookie(request, _told(token), 201, secret, node.access.sessions.lives_s)

    @get(
        "/api/v1/session",
        sync_to_thread=False,
        responses=told(LoggedIn),
        tags=["session"],
        security=needs(),
    )
    def show_login(request: AnyRequest) -> Response[bytes]:
        """Who is logged in; 401 when nobody is."""
        return json(_told(holder(node, request)))

    @delete(
        "/api/v1/session",
        status_code=200,
        responses=told(dict[str, bool]),
        tags=["session"],
        security=MAY_HOLD,
    )
    async def log_out(request: AnyRequest) -> Response[bytes]:
        """End the login; also where it was over already."""
        secret = _secret(request)
        if node.access.known("", request.headers.get("cookie", "")) is not None:
            async with acting(node, request, None, "log_out"):
                node.access.sessions.close(secret)
        return _with_cookie(request, {"logged_out": True}, 200, "", 0)

    return [log_in, show_login, log_out]


def _secret(request: AnyRequest) -> str:
    return cookie(request.headers.get("cookie", ""), COOKIE)


def _told(token: Token) -> LoggedIn:
    return LoggedIn(token.id, token.scope, token.name)


def _with_cookie(
    request: AnyRequest, content: Any, status: int, secret: str, lives_s: int
) -> Response[bytes]:
    answer = json(content, status)
    answer.headers["Set-Cookie"] = cookie_field(COOKIE, secret, lives_s, request.scope["scheme"])
    return answer
