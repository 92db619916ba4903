"""Hourly aggregates for who pulls them instead of being sent them."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final

import anyio.to_thread
from litestar import Response, get
from litestar.params import HeaderParameter, QueryParameter
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.document import described, refused
from urbanos_edge.api.shapes import told
from urbanos_edge.errors import EdgeError
from urbanos_edge.hours.aggregates import FORMATS, MAX_LIMIT, AggregatePage
from urbanos_edge.node import Node

Since = Annotated[
    str | None,
    QueryParameter(description="the cursor of the answer before; everything from the beginning"),
]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="buckets at most")]
_TYPES: Final = {media_type: kind for kind, media_type in FORMATS.items()} | {
    "application/ndjson": "ndjson",
    "application/*": "json",
    "*/*": "json",
}


class NotAcceptable(EdgeError):
    """The client takes none of the formats that there are."""

    status = 406
    code = "not_acceptable"


def routes(node: Node) -> list[ControllerRouterHandler]:
    @get(
        "/api/v1/aggregates",
        responses=told(AggregatePage) | refused(406, 410),
        operation_class=described(answers=FORMATS.values()),
        tags=["aggregates"],
    )
    async def aggregates(
        accept: Annotated[str, HeaderParameter(name="Accept")] = "*/*",
        since: Since = None,
        limit: Limit = 10_000,
    ) -> Response[bytes]:
        """Changed buckets in order of their revisions, as JSON, NDJSON or Parquet by Accept.

        An hour comes whole, and takes the place of what was pulled of it before. A cursor from
        before a restore of the node is answered 410.
        """
        kind = preferred(accept)
        read = partial(node.aggregates.page, since, limit, kind)
        page = await anyio.to_thread.run_sync(read)
        return Response(
            page.body,
            media_type=FORMATS[kind],
            headers={
                "Cache-Control": "no-store",
                "Vary": "Accept",
                "X-Epoch": page.cursor.epoch,
                "X-Cursor": str(page.cursor),
                "X-More": "true" if page.more else "false",
            },
        )

    return [aggregates]


def preferred(accept: str) -> str:
    """The format that a client likes best of those there are; the first of several.

    Raises:
        NotAcceptable: it likes none.
    """
    liked = [(quality, kind) for kind, quality in _qualities(accept) if quality > 0]
    if not liked:
        raise NotAcceptable(f"there are {', '.join(FORMATS.values())}")
    return max(liked, key=lambda one: one[0])[1]


def _qualities(accept: str) -> list[tuple[str, float]]:
    """What is liked how much, of what there is."""
    found = []
    for part in accept.split(","):
        name, *parameters = (word.strip() for word in part.split(";"))
        if name.lower() in _TYPES:
            found.append((_TYPES[name.lower()], _quality(parameters)))
    return found


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
