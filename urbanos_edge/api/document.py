"""What the OpenAPI document says of a route beside what the framework finds out by itself.

A route that reads its body by itself says with `described` what it reads, and one that is not for
everybody says with `needs` and its like for whom it is. What every route may be refused with, by
the door before it or by the node behind it, is added by `documented`.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, cast

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    RequestBody,
    Schema,
    SecurityRequirement,
    SecurityScheme,
)
from litestar.openapi.spec.enums import OpenAPIType
from litestar.plugins import OpenAPISchemaPlugin
from litestar.types import ControllerRouterHandler
from litestar.typing import FieldDefinition

from urbanos_edge import __version__
from urbanos_edge.access.door import UNPROTECTED
from urbanos_edge.access.sessions import COOKIE
from urbanos_edge.api.gate import is_open
from urbanos_edge.tokens import Scope

ADDRESS: Final = "/schema/openapi.json"
JSON: Final = "application/json"
_WHEN: Final = {
    400: "the request cannot be read",
    401: "no token or login, or an unknown one",
    403: "the token does not allow this, or a page of another site asks",
    404: "there is nothing at this address",
    405: "nothing at this address takes this method",
    406: "none of the formats that there are is accepted",
    410: "the cursor is from before a restore: begin again",
    413: "the body is too large, as it is or unpacked",
    415: "this content type or encoding is not read",
    416: "the file has no such range",
    421: "the node is not called so",
    422: "readable, but impossible",
    429: "too often; see Retry-After",
    431: "the head of the request is too large",
    502: "the receivers did not confirm it",
    503: "not now; see Retry-After",
    507: "the disk is full; see Retry-After",
}
ASKING: Final = (400, 401, 421, 429, 431, 503)
"""What every request may be refused with."""
CHANGING: Final = (*ASKING, 403, 413, 415, 422, 507)
"""What one that changes something may be refused with."""

BEARER: Final = "bearer"
BASIC: Final = "basic"
SESSION: Final = "session"
SCHEMES: Final = Components(
    security_schemes={
        BEARER: SecurityScheme(
            type="http",
            scheme="bearer",
            description="A token. Where scopes are named, it has one of them, or is an admin's.",
        ),
        BASIC: SecurityScheme(
            type="http",
            scheme="basic",
            description="A token as the password, for devices that can do nothing else.",
        ),
        SESSION: SecurityScheme(
            type="apiKey",
            name=COOKIE,
            security_scheme_in="cookie",
            description="A login, see `POST /api/v1/session`; for pages of the node only.",
        ),
    }
)
"""How somebody may say who they are."""


def told_at_its_address(title: str, components: Components | None = None) -> OpenAPIConfig:
    """How the framework answers the document: there only, as the page above it is one of ours."""
    return OpenAPIConfig(
        title=title,
        version=__version__,
        path=ADDRESS,
        components=components or Components(),
        render_plugins=[JsonRenderPlugin(path="/")],
        use_handler_docstrings=True,
    )


def needs(*scopes: Scope) -> list[SecurityRequirement]:
    """The `security` of a route that asks for a token or a login, of any scope if none is named."""
    return [{scheme: [*scopes]} for scheme in (BEARER, BASIC, SESSION)]


MAY_HOLD: Final[list[SecurityRequirement]] = [{}, *needs()]
"""Who is nobody gets less; a token that is unknown is refused."""
SENT: Final[list[SecurityRequirement]] = [
    {scheme: ["sensor", "gateway"]} for scheme in (BEARER, BASIC)
]
"""Readings, which no page sends."""
MAY_SEND: Final[list[SecurityRequirement]] = [{}, *SENT]
"""What comes without a token waits in the inbox."""


class Complaint(msgspec.Struct):
    """What is wrong: a stable code, and words for whoever reads the log."""

    code: str
    message: str
    details: Any


class Refusal(msgspec.Struct):
    """The one shape of errors."""

    error: Complaint


class ExactNumbers(OpenAPISchemaPlugin):
    """A Decimal is a number in our JSON; the framework takes it for a string."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        return value is Decimal

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        return Schema(type=OpenAPIType.NUMBER)


def refused(*statuses: int, shape: Any = Refusal) -> dict[int, ResponseSpec]:
    """The `responses` of a route that may be refused with these."""
    return {
        status: ResponseSpec(shape, generate_examples=False, description=_WHEN[status])
        for status in statuses
    }


def empty(status: int, description: str) -> dict[int, ResponseSpec]:
    """An answer without a body."""
    return {status: ResponseSpec(None, description=description)}


KEPT: Final = empty(304, "what the client holds is still so")


def described(
    takes: dict[str, Any] | None = None, answers: Collection[str] = (), never: str = ""
) -> type[Operation]:
    """The `operation_class` of a route of which the framework cannot see all.

    `takes` are shapes of its body by media type, `answers` the media types of what is no JSON,
    `never` is the status that the framework expects of it and nobody gets.
    """

    @dataclass
    class Described(Operation):
        def __post_init__(self) -> None:
            told = cast("dict[str, OpenAPIResponse]", self.responses)
            told.pop(never, None)
            if takes is not None:
                shapes = {kind: OpenAPIMediaType(_plain(shape)) for kind, shape in takes.items()}
                self.request_body = RequestBody(shapes, required=True)
            if answers:
                others = {kind: OpenAPIMediaType(Schema()) for kind in answers}
                told["200"].content = others | dict(told["200"].content or {})

    return Described


def _plain(shape: Any) -> Schema:
    """The schema of a shape without references: a route's body has no place to refer to."""
    (schema,), named = msgspec.json.schema_components([shape], ref_template="{name}")

    def spelled_out(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return spelled_out(named[part["$ref"]])
            return {key: spelled_out(value) for key, value in part.items()}
        return [spelled_out(one) for one in part] if isinstance(part, list) else part

    return cast(Schema, spelled_out(schema))


def documented(
    routes: Iterable[ControllerRouterHandler], public_read: bool
) -> list[ControllerRouterHandler]:
    """The routes, each with what it may be refused with; what it says itself stays.

    Where reading is not public, what everybody could read asks for a token or a login.
    """
    found = list(routes)
    for route in found:
        if isinstance(route, HTTPRouteHandler):
            route.responses = refused(*_refusals(route)) | dict(route.responses or {})
            if not public_read and route.http_methods <= UNPROTECTED:
                route.security = _of_reading(route)
    return found


def _of_reading(route: HTTPRouteHandler) -> Sequence[SecurityRequirement] | None:
    if route.security and {} not in route.security:
        return route.security
    return None if all(map(is_open, route.paths)) else needs()


def _refusals(route: HTTPRouteHandler) -> set[int]:
    is_asking = route.http_methods <= UNPROTECTED
    statuses = {*(ASKING if is_asking else CHANGING)}
    if inspect.signature(route.fn).parameters.keys() - {"request"}:
        statuses.add(422)
    if any("{" in path for path in route.paths):
        statuses |= {404} if is_asking else {404, 405}
    return statuses
