"""Alerts of a serving node: silence, rules that come and go, a try of the receivers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread
import msgspec

from urbanos_edge.alerts.events import Event, trial
from urbanos_edge.alerts.outbox import MQTT
from urbanos_edge.alerts.rules import Rule, WantedRule
from urbanos_edge.clock import spelled
from urbanos_edge.errors import Unprocessable
from urbanos_edge.node import Node

LOOK_EVERY_S: Final = 5.0
_ANY_RULE: Final = WantedRule(when="over", quantity="aqi", threshold=0.0, name="test")


async def watch_forever(node: Node) -> None:
    """Look for silence every few seconds; a clock in doubt proves none."""
    while True:
        if node.clock.doubt is None:
            node.news.tell_of_alerts(await anyio.to_thread.run_sync(_tick, node))
        await anyio.sleep(LOOK_EVERY_S)


async def add_rule(node: Node, wanted: WantedRule) -> dict[str, Any]:
    """Keep a rule and say what was made of it.

    Raises:
        Unprocessable: nothing could be signed for its receiver, or there are too many rules.
    """
    if wanted.url is not None and not node.settings.alert_secret:
        raise Unprocessable(
            "set alert_secret first: what goes to a 'url' is signed with it", code="no_alert_secret"
        )
    work = partial(node.alerts.add, wanted, node.view(), node.clock.now_us())
    rule, events = await anyio.to_thread.run_sync(work)
    node.news.tell_of_alerts(events)
    return _described(rule, len(events))


async def remove_rule(node: Node, number: int) -> None:
    """Forget a rule; its alerts are cleared.

    Raises:
        NotFound: there is no such rule.
    """
    work = partial(node.alerts.remove, number, node.clock.now_us())
    node.news.tell_of_alerts(await anyio.to_thread.run_sync(work))


def list_rules(node: Node) -> list[dict[str, Any]]:
    """All rules, each with how many of its alerts are raised; blocks on the database."""
    raised = node.alerts.raised()
    return [_described(rule, raised.get(rule.id, 0)) for rule in node.alerts.rules()]


async def try_receivers(node: Node, number: int | None) -> list[str]:
    """Send an event of kind `test` to those whom a rule tells, or a rule without an address.

    Returns where it went, without paths, which may be secret.

    Raises:
        NotFound: there is no such rule.
        Unprocessable: nobody is told.
        Undelivered: somebody did not confirm it.
    """
    rule: WantedRule = _ANY_RULE if number is None else node.alerts.rule(number)
    receivers = node.delivery.receivers(rule.url)
    if not receivers:
        raise Unprocessable(
            "nobody is told of alerts: set alert_webhook_url or alert_mqtt_url,"
            " or give the rule a url",
            code="no_receiver",
        )
    event = trial(rule, node.node_id, node.clock.now_us())
    for receiver in receivers:
        await node.delivery.try_once(receiver, event)
    return ["mqtt" if receiver == MQTT else "webhook" for receiver in receivers]


def _tick(node: Node) -> Sequence[Event]:
    return node.alerts.tick(node.view(), node.clock.now_us())


def _described(rule: Rule, raised: int) -> dict[str, Any]:
    return {**spelled(msgspec.to_builtins(rule)), "raised": raised}
