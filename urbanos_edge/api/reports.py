"""User reports: taken from everybody, shown once an operator has looked at them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, Any, Final, Literal

import anyio.to_thread
import msgspec
from litestar import Request, Response, get, post
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.acting import acting, holder
from urbanos_edge.api.arrival import address
from urbanos_edge.api.body import body_of
from urbanos_edge.api.document import KEPT, MAY_HOLD, described, needs
from urbanos_edge.api.export import Box, box
from urbanos_edge.api.respond import JSON, cached, json
from urbanos_edge.api.shapes import told
from urbanos_edge.clock import DAY_US, SECOND_US, day_or_moment_us, to_rfc3339
from urbanos_edge.errors import Unauthorized, Unprocessable, UnsupportedMedia
from urbanos_edge.ingest.reports import Asked, NewReport, Report, Shown, State, Verdict, read_report
from urbanos_edge.node import Node

GEOJSON: Final = "application/geo+json"
MAX_LISTED: Final = 10_000
MAX_BODY_BYTES: Final = 1 << 20
USUAL_SPAN_US: Final = 7 * DAY_US
STEP_US: Final = 60 * SECOND_US
"""How far the usual span moves on at a time, so that its answers can be kept."""

From = Annotated[
    str | None,
    QueryParameter(name="from", description="RFC 3339 with a zone, or a day in UTC; 7 days ago"),
]
To = Annotated[
    str | None, QueryParameter(name="to", description="the same, exclusive; without end")
]
Format = Annotated[Literal["json", "geojson"], QueryParameter(name="format")]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LISTED)]
Only = Annotated[
    State | None,
    QueryParameter(name="state", description="for operators: only these; pending and approved"),
]


class Moderated(Shown, frozen=True, kw_only=True):
    """A report as an operator sees it."""

    state: State
    received_at: str
    decided_at: str | None


class ReportList(msgspec.Struct):
    """Reports, the newest first."""

    reports: list[Shown]
    count: int


def routes(node: Node) -> list[ControllerRouterHandler]:
    return [_send(node), _list(node), *_decisions(node)]


def _send(node: Node) -> ControllerRouterHandler:
    @post(
        "/api/v1/reports",
        status_code=202,
        responses=told(Moderated, 202),
        operation_class=described({JSON: NewReport}),
        tags=["reports"],
    )
    async def send_report(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Hold what somebody smells or sees until an operator has looked at it; no token needed.

        Only JSON is taken, so that no other site's form can send it in a visitor's name.
        """
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != JSON:
            raise UnsupportedMedia(f"'{media_type[:60]}' is not read here; send {JSON}")
        new = read_report(await body_of(node, request, MAX_BODY_BYTES))
        return json(_moderated(await node.reports.add(new, address(request.scope))), 202)

    return send_report


def _list(node: Node) -> ControllerRouterHandler:
    @get(
        "/api/v1/reports",
        responses=told(ReportList) | KEPT,
        operation_class=described(answers=(GEOJSON,)),
        tags=["reports"],
        security=MAY_HOLD,
    )
    async def list_reports(
        request: Request[Any, Any, Any],
        from_: From = None,
        to: To = None,
        bbox: Box = None,
        limit: Limit = 1000,
        kind: Format = "json",
        only: Only = None,
    ) -> Response[bytes]:
        """Approved reports, the newest first; for an operator's token also those that wait."""
        asked = _asked(node, from_, to, bbox, limit)
        if _moderates(node, request):
            states = ("pending", "approved") if only is None else (only,)
            since_us = 0 if from_ is None else asked.since_us
            asked = msgspec.structs.replace(asked, states=states, since_us=since_us)
            found = await anyio.to_thread.run_sync(node.reports.find, asked)
            given = json(_listed(kind, [_moderated(report) for report in found]))
            given.media_type = GEOJSON if kind == "geojson" else JSON
            return given
        if only not in (None, "approved"):
            raise Unauthorized("what is not approved is for a token of scope operator or admin")
        key = ("reports", from_, to, bbox, limit, kind)
        return await _answer(node, request, key, asked, kind)

    return list_reports


def _decisions(node: Node) -> list[ControllerRouterHandler]:
    @post(
        "/api/v1/reports/{number:int}/approve",
        status_code=200,
        responses=told(Moderated),
        tags=["reports"],
        security=needs("operator"),
    )
    async def approve(request: Request[Any, Any, Any], number: int) -> Response[bytes]:
        """Show a report to everybody."""
        return await _decide(node, request, number, "approved")

    @post(
        "/api/v1/reports/{number:int}/reject",
        status_code=200,
        responses=told(Moderated),
        tags=["reports"],
        security=needs("operator"),
    )
    async def reject(request: Request[Any, Any, Any], number: int) -> Response[bytes]:
        """Show a report to nobody."""
        return await _decide(node, request, number, "rejected")

    return [approve, reject]


async def _answer(
    node: Node, request: Request[Any, Any, Any], key: Hashable, asked: Asked, kind: str
) -> Response[bytes]:
    """What everybody may see."""

    def revision() -> Hashable:
        return node.reports.revision, asked.since_us

    async def build() -> bytes:
        found = await anyio.to_thread.run_sync(node.reports.find, asked)
        return msgspec.json.encode(_listed(kind, [report.shown for report in found]))

    # No time to live: what an operator withdraws is gone at once.
    entry, hit = await node.cache.get(key, 0, revision, build)
    given = await cached(request, entry, hit, GEOJSON if kind == "geojson" else JSON)
    given.headers["Vary"] = "Accept-Encoding, Authorization, Cookie"
    return given


async def _decide(
    node: Node, request: Request[Any, Any, Any], number: int, verdict: Verdict
) -> Response[bytes]:
    details = {"id": number, "verdict": verdict}
    async with acting(node, request, "operator", "report_decide", details):
        return json(_moderated(await node.reports.decide(number, verdict)))


def _moderates(node: Node, request: Request[Any, Any, Any]) -> bool:
    """Whether a request is of somebody who decides; all others read alike.

    Raises:
        Unauthorized: its token is unknown or was revoked.
    """
    if request.headers.get("authorization", "").lower().startswith("bearer "):
        return holder(node, request).scope in ("operator", "admin")
    login = node.access.known("", request.headers.get("cookie", ""))
    return login is not None and login.scope in ("operator", "admin")


def _asked(node: Node, since: str | None, until: str | None, bbox: str | None, limit: int) -> Asked:
    """The approved reports of a span, the last seven days when it has no beginning."""
    until_us, since_us = day_or_moment_us("to", until), day_or_moment_us("from", since)
    end_us = node.clock.now_us() // STEP_US * STEP_US if until_us is None else until_us
    asked = Asked(
        states=("approved",),
        since_us=end_us - USUAL_SPAN_US if since_us is None else since_us,
        box=box(bbox),
        limit=limit,
    )
    if until_us is not None:
        asked = msgspec.structs.replace(asked, until_us=until_us)
        if asked.since_us > until_us:
            raise Unprocessable("'from' is after 'to'", code="invalid_range")
    return asked


def _moderated(report: Report) -> Moderated:
    decided_us = report.decided_at_us
    return Moderated(
        **msgspec.structs.asdict(report.shown),
        state=report.state,
        received_at=to_rfc3339(report.received_at_us),
        decided_at=None if decided_us is None else to_rfc3339(decided_us),
    )


def _listed(kind: str, shown: list[Any]) -> Any:
    """Reports as one answer: a list, or a collection of points (RFC 7946)."""
    if kind == "geojson":
        features = [_feature(msgspec.structs.asdict(one)) for one in shown]
        return {"type": "FeatureCollection", "features": features}
    return {"reports": shown, "count": len(shown)}


def _feature(fields: dict[str, Any]) -> dict[str, Any]:
    place = [fields.pop("lng"), fields.pop("lat")]
    geometry = {"type": "Point", "coordinates": place}
    return {"type": "Feature", "id": fields["id"], "geometry": geometry, "properties": fields}
