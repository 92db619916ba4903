"""The inbox over HTTP, for operators: who is unknown, claimed or ignored."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
import msgspec
from litestar import Request, Response, get, post
from litestar.types import ControllerRouterHandler

from urbanos_edge.access.refusals import Refusal
from urbanos_edge.api.acting import acting, demand
from urbanos_edge.api.document import needs, refused
from urbanos_edge.api.respond import json
from urbanos_edge.api.shapes import told
from urbanos_edge.clock import spelled, to_rfc3339
from urbanos_edge.ingest.inbox import LIMITS, Unknown
from urbanos_edge.ingest.registry import Wanted
from urbanos_edge.ingest.sources import RULES, Rule, Sources
from urbanos_edge.node import Node


class Named(msgspec.Struct, forbid_unknown_fields=True):
    """The sender to ignore, or to hear again."""

    sender: str
    undo: bool = False


class Heeded(msgspec.Struct):
    """Whether a sender is ignored from now on."""

    sender: str
    ignored: bool


class Sender(msgspec.Struct):
    """Who is unknown here, and the newest of what they sent; null where that is over 4 KiB."""

    sender: str
    protocol: str
    address: str
    first_seen_at: str
    last_seen_at: str
    messages: int
    kept: int
    bytes: int
    dropped: int
    last: Any


class Disbelieved(msgspec.Struct):
    """A claimed sender in whose name came what does not satisfy its rule, since the start."""

    sender: str
    sensor_id: str
    rule: Rule
    messages: int
    address: str
    at: str


class TurnedAway(msgspec.Struct):
    """Requests that were refused at a door of sensors, since the start: see `refusals.Refusal`."""

    address: str
    door: str
    device: str
    status: int
    message: str
    times: int
    first_at: str
    last_at: str


class ClaimedSensor(msgspec.Struct):
    """The sensor as it stands now."""

    id: str
    name: str
    lat: float
    lng: float
    source: str
    registered_at: str


class LastRefused(msgspec.Struct):
    """Messages in a sender's name that did not satisfy its rule, since the start."""

    messages: int
    address: str
    at: str


class ClaimedSource(msgspec.Struct):
    """Who is believed for it, and what they must show."""

    sender: str
    sensor_id: str
    protocol: str
    rule: Rule
    claimed_at: str
    network: str | None
    user: str | None
    refused: LastRefused | None


class Claim(msgspec.Struct):
    """What came of it; `secret` is a new token or a password that was made, shown this once."""

    sensor: ClaimedSensor
    source: ClaimedSource
    imported: int
    refused: int
    secret: str | None


class SenderList(msgspec.Struct):
    """Unknown senders, the latest heard first; since when others are ignored; who is refused."""

    senders: list[Sender]
    count: int
    ignored: dict[str, str]
    disbelieved: list[Disbelieved]
    turned_away: list[TurnedAway]
    limits: dict[str, int]


def routes(node: Node) -> list[ControllerRouterHandler]:
    return [_list(node), *_decisions(node)]


def _list(node: Node) -> ControllerRouterHandler:
    @get(
        "/api/v1/inbox",
        responses=told(SenderList) | refused(403),
        tags=["inbox"],
        security=needs("operator"),
    )
    async def list_inbox(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Unknown senders with the newest of what each sent, the latest heard first."""
        demand(node, request, "operator")
        senders = await anyio.to_thread.run_sync(node.inbox.list)
        return json(
            {
                "senders": [_told(unknown) for unknown in senders],
                "count": len(senders),
                "ignored": {sender: to_rfc3339(us) for sender, us in node.inbox.ignored.items()},
                "disbelieved": _disbelieved(node.sources),
                "turned_away": [_turned_away(one) for one in node.access.door.refusals.list()],
                "limits": LIMITS,
            }
        )

    return list_inbox


def _decisions(node: Node) -> list[ControllerRouterHandler]:
    @post(
        "/api/v1/inbox/claim",
        status_code=200,
        responses=told(Claim) | refused(404),
        tags=["inbox"],
        security=needs("operator"),
    )
    async def claim(request: Request[Any, Any, Any], data: Wanted) -> Response[bytes]:
        """Make a sender speak for a sensor, and import what waits of it."""
        async with acting(node, request, "operator", "inbox_claim", data):
            return json(_claimed(node.registry.tell(await node.registry.claim(data))))

    @post(
        "/api/v1/inbox/ignore",
        status_code=200,
        responses=told(Heeded) | refused(404),
        tags=["inbox"],
        security=needs("operator"),
    )
    async def ignore(request: Request[Any, Any, Any], data: Named) -> Response[bytes]:
        """Hear a sender no more, or again."""
        async with acting(node, request, "operator", "inbox_ignore", data):
            await (node.registry.heed if data.undo else node.registry.ignore)(data.sender)
        return json(Heeded(data.sender, not data.undo))

    return [claim, ignore]


def _disbelieved(sources: Sources) -> list[Disbelieved]:
    found = []
    for sender, last in sources.refused.items():
        source = sources.find(sender)
        sensor_id, rule = (source.sensor_id, source.rule) if source else (sender, RULES[0])
        told = last.messages, last.address, to_rfc3339(last.at_us)
        found.append(Disbelieved(sender, sensor_id, rule, *told))
    return found


def _turned_away(one: Refusal) -> dict[str, Any]:
    return spelled(msgspec.structs.asdict(one))


def _claimed(told: dict[str, Any]) -> dict[str, Any]:
    source = spelled(told["source"])
    source["refused"] = source["refused"] and spelled(source["refused"])
    return told | {"sensor": spelled(told["sensor"]), "source": source}


def _told(unknown: Unknown) -> dict[str, Any]:
    return {
        "sender": unknown.sender,
        "protocol": unknown.protocol,
        "address": unknown.address,
        "first_seen_at": to_rfc3339(unknown.first_seen_at_us),
        "last_seen_at": to_rfc3339(unknown.last_seen_at_us),
        "messages": unknown.messages,
        "kept": unknown.kept,
        "bytes": unknown.bytes,
        "dropped": unknown.dropped,
        "last": unknown.last,
    }
