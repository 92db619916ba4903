"""Senders that nobody knows yet, and what becomes of their messages."""

from __future__ import annotations

from typing import Any, Final

import anyio

from tests.http.sending import stored
from urbanos_edge.adapters import Candidate, Malformed
from urbanos_edge.ingest.receipt import Receipt
from urbanos_edge.ingest.reception import Arrival
from urbanos_edge.ingest.registry import Claimed, Wanted
from urbanos_edge.node import Node

SOMEWHERE = Arrival("airrohr", "192.0.2.10")
ELSEWHERE = Arrival("airrohr", "198.51.100.7")
HARBOUR: Final[dict[str, Any]] = {"lat": 60.161, "lng": 24.951}


def sent(sender: str = "esp-1", pm25: float = 5.0, **more: Any) -> Candidate:
    return Candidate(sensor_id=sender, source="airrohr", values={"pm25": pm25}, **more)


def receive(node: Node, came: Arrival, *message: Candidate | Malformed) -> Receipt:
    return anyio.run(node.reception.receive, list(message), came)


def claim(node: Node, sender: str = "esp-1", **more: Any) -> Claimed:
    return anyio.run(node.registry.claim, Wanted(sender=sender, **{**HARBOUR, **more}))


def stored_rows(node: Node, columns: str = "sensor_id, pm25") -> list[tuple[Any, ...]]:
    anyio.run(node.flush)
    if not node.store.files:
        return []
    return stored(node.data_dir, columns, "ORDER BY sensor_id, timestamp")


def refusals(receipt: Receipt) -> list[str]:
    return [refusal.code for refusal in receipt.refused]
