"""Monitors that are asked themselves: those of the settings, and those that mDNS found."""

from __future__ import annotations

import anyio

from tests import devices
from tests.publisher import Page, Publisher
from tests.pulling import HERE, Pulling, pulled, run_for, stored, wait_s
from urbanos_edge.ingest.registry import Wanted
from urbanos_edge.node import Node
from urbanos_edge.pulls.pulls import MAX_FOUND

MONITOR = "airgradient-ecda3b1eaaaf"


def test_a_monitor_of_the_settings_is_believed_and_stands_where_they_say(
    pulling: Pulling, publisher: Publisher
) -> None:
    node = pulling({"kind": "airgradient", "url": "/measures/current", **HERE})
    publisher.pages["/measures/current"] = Page(devices.AIRGRADIENT_LOCAL)
    standing = pulled(node)
    assert (standing.accepted, standing.samples) == (1, 1)
    assert 0 < wait_s(node, standing) <= 10
    assert stored(node) == [(MONITOR, "airgradient", 7.0)]


def test_a_purpleair_monitor_says_itself_when_and_where(
    pulling: Pulling, publisher: Publisher
) -> None:
    node = pulling({"kind": "purpleair", "url": "/json"})
    publisher.pages["/json"] = Page(devices.PURPLEAIR)
    standing = pulled(node)
    assert (standing.accepted, standing.every_s) == (1, 60)
    assert pulled(node).accepted == 1, "the same moment"
    [(sensor_id, source, _)] = stored(node)
    assert (sensor_id, source) == ("purpleair-84f3eb0801c2", "purpleair")


def test_a_monitor_that_was_found_waits_in_the_inbox_until_it_is_claimed(
    node: Node, publisher: Publisher
) -> None:
    publisher.pages["/measures/current"] = Page(devices.AIRGRADIENT_LOCAL)
    node.pulls.found("airgradient", "ECDA3B1EAAAF", publisher.url + "/measures/current")
    standing = pulled(node, MONITOR)
    assert (standing.found, standing.held, standing.accepted) == (True, 1, 0)
    [unknown] = node.inbox.list()
    assert (unknown.sender, unknown.address) == (MONITOR, "127.0.0.1")
    assert unknown.protocol == "airgradient"
    claim = Wanted(sender=MONITOR, sensor="harbour", rule="address", lat=60.171, lng=24.941)
    anyio.run(node.registry.claim, claim)
    assert pulled(node, MONITOR).accepted == 1
    assert stored(node) == [("harbour", "airgradient", 7.0)] * 2
    token = Wanted(sender=MONITOR, sensor="harbour", rule="address", address="192.0.2.1")
    anyio.run(node.registry.claim, token)
    failure = pulled(node, MONITOR).failure
    assert failure == f"nothing of it was taken: '{MONITOR}' is known at another address"


def test_a_monitor_that_was_found_sends_the_node_nowhere(node: Node, publisher: Publisher) -> None:
    publisher.pages["/measures/current"] = Page(status=302, headers={"Location": "/admin"})
    node.pulls.found("airgradient", "x1", publisher.url + "/measures/current")
    assert pulled(node, "airgradient-x1").failure == "it answered 302"
    assert publisher.paths() == ["/measures/current"]


def test_no_more_monitors_are_asked_than_there_is_room_for(node: Node) -> None:
    for number in range(MAX_FOUND + 2):
        node.pulls.found("airgradient", f"s{number}", "http://192.0.2.1/measures/current")
    node.pulls.found("airgradient", "s1", "http://192.0.2.2/measures/current")
    node.pulls.found("toaster", "s", "http://192.0.2.1/")
    node.pulls.found("airgradient", "t", "file:///etc/passwd")
    assert (len(node.pulls.list()), node.pulls.turned_away) == (MAX_FOUND, 2)
    node.pulls.lost("airgradient", "s0")
    node.pulls.lost("airgradient", "never there")
    node.pulls.found("airgradient", "new", "http://192.0.2.1/measures/current")
    names = {standing.name: standing.host for standing in node.pulls.list()}
    assert "airgradient-s0" not in names
    assert (names["airgradient-new"], names["airgradient-s1"]) == ("192.0.2.1", "192.0.2.2")


def test_a_found_monitor_that_the_settings_name_is_asked_once(
    pulling: Pulling, publisher: Publisher
) -> None:
    node = pulling({"kind": "airgradient", "url": "/configured", **HERE})
    publisher.pages["/configured"] = Page(devices.AIRGRADIENT_LOCAL)
    pulled(node)
    node.pulls.found("airgradient", "ecda3b1eaaaf", publisher.url + "/found")
    run_for(node, 0.2)
    assert publisher.paths() == ["/configured"]
