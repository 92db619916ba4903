"""Alerts for everybody, and their rules for operators."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, Any, Final

import anyio.to_thread
import msgspec
from litestar import Request, Response, delete, get, post
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from urbanos_edge.alerts.rules import WantedRule, read_rule
from urbanos_edge.api.acting import acting, demand
from urbanos_edge.api.body import body_of
from urbanos_edge.api.document import KEPT, described, needs, refused
from urbanos_edge.api.respond import JSON, cached, json
from urbanos_edge.api.shapes import AlertList, told
from urbanos_edge.node import Node
from urbanos_edge.upkeep.vigil import add_rule, list_rules, remove_rule, try_receivers

MAX_LISTED: Final = 10_000
MAX_RULE_BYTES: Final = 1 << 20


class ShownRule(WantedRule, frozen=True, kw_only=True):
    """A rule, and how many of its alerts are raised."""

    id: int
    created_at: str
    raised: int


class RuleList(msgspec.Struct):
    """All rules."""

    rules: list[ShownRule]
    count: int


def routes(node: Node) -> list[ControllerRouterHandler]:
    return [*_alerts(node), *_rules(node), *_rule(node)]


def _alerts(node: Node) -> list[ControllerRouterHandler]:
    @get("/api/v1/alerts", responses=told(AlertList) | KEPT, tags=["alerts"])
    async def list_alerts(
        request: Request[Any, Any, Any],
        limit: Annotated[int, QueryParameter(ge=1, le=MAX_LISTED)] = 1000,
    ) -> Response[bytes]:
        """The alerts that are raised, then those that were cleared, the newest first."""

        def revision() -> Hashable:
            return node.alerts.revision

        async def build() -> bytes:
            return await anyio.to_thread.run_sync(_list, node, limit)

        # No time to live: an alert is listed as soon as it is raised.
        entry, hit = await node.cache.get(("alerts", limit), 0, revision, build)
        return await cached(request, entry, hit, JSON)

    return [list_alerts]


def _rules(node: Node) -> list[ControllerRouterHandler]:
    @get(
        "/api/v1/alert-rules",
        responses=told(RuleList) | refused(403),
        tags=["alerts"],
        security=needs("operator"),
    )
    async def list_all_rules(request: Request[Any, Any, Any]) -> Response[bytes]:
        """All rules, with how many of their alerts are raised."""
        demand(node, request, "operator")
        rules = await anyio.to_thread.run_sync(list_rules, node)
        return json({"rules": rules, "count": len(rules)})

    @post(
        "/api/v1/alert-rules",
        status_code=201,
        responses=told(ShownRule, 201),
        operation_class=described({JSON: WantedRule}),
        tags=["alerts"],
        security=needs("operator"),
    )
    async def make_rule(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Keep a rule; it is met at once where the newest readings already meet it."""
        demand(node, request, "operator")
        rule = read_rule(await body_of(node, request, MAX_RULE_BYTES))
        async with acting(node, request, "operator", "alert_add", rule):
            return json(await add_rule(node, rule), 201)

    return [list_all_rules, make_rule]


def _rule(node: Node) -> list[ControllerRouterHandler]:
    @delete(
        "/api/v1/alert-rules/{number:int}",
        status_code=200,
        responses=told(dict[str, int]),
        tags=["alerts"],
        security=needs("operator"),
    )
    async def drop_rule(request: Request[Any, Any, Any], number: int) -> Response[bytes]:
        """Forget a rule; its alerts are cleared."""
        async with acting(node, request, "operator", "alert_remove", {"id": number}):
            await remove_rule(node, number)
        return json({"removed": number})

    @post(
        "/api/v1/alert-rules/{number:int}/test",
        status_code=200,
        responses=told(dict[str, list[str]]) | refused(502),
        tags=["alerts"],
        security=needs("operator"),
    )
    async def try_rule(request: Request[Any, Any, Any], number: int) -> Response[bytes]:
        """Send an event of kind `test` to whom this rule tells; 502 if they do not confirm it."""
        async with acting(node, request, "operator", "alert_test", {"id": number}):
            return json({"delivered": await try_receivers(node, number)})

    return [drop_rule, try_rule]


def _list(node: Node, limit: int) -> bytes:
    alerts = node.alerts.shown(limit, node.clock.now_us())
    raised = sum(node.alerts.raised().values())
    return msgspec.json.encode({"alerts": alerts, "count": len(alerts), "raised": raised})
