"""What is told of alerts: each one as it is shown, and what happens to it, kept for a while."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, Literal

import apsw
import msgspec

from urbanos_edge.alerts.rules import WantedRule, When
from urbanos_edge.clock import DAY_US, to_rfc3339

MAX_CLEARED: Final = 10_000
KEEP_CLEARED_US: Final = 90 * DAY_US
_LIST: Final = """
SELECT alert FROM alerts WHERE cleared_at_us IS NULL OR cleared_at_us >= ?
ORDER BY cleared_at_us IS NOT NULL, coalesce(cleared_at_us, raised_at_us) DESC, id DESC LIMIT ?
"""
_SURPLUS: Final = """
DELETE FROM alerts WHERE id IN (
    SELECT id FROM alerts WHERE cleared_at_us IS NOT NULL
    ORDER BY cleared_at_us DESC, id DESC LIMIT -1 OFFSET ?)
"""

Ending = Literal["value", "heard", "no_readings", "sensor_removed", "rule_removed"]
Kind = Literal["raised", "cleared", "test"]


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert as it is shown; `value` is what raised it, `since` when that began.

    A silent sensor's `since` is its last sign of life, none if it never gave one. The place is
    in degrees, where it was measured.
    """

    id: int
    rule_id: int
    rule: str
    when: When
    quantity: str | None
    threshold: float | None
    sensor_id: str
    sensor_name: str
    lat: float | None = None
    lng: float | None = None
    grid_id: str | None = None
    value: float | None = None
    since: str | None = None
    raised_at: str
    cleared_at: str | None = None
    cleared_by: Ending | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True, tag="alert", tag_field="type"):
    """What happened to an alert; `id` is its own, the same for everybody who is told."""

    id: str
    event: Kind
    node_id: str
    timestamp: str
    alert: Alert


def event_of(alert: Alert, kind: Kind, node_id: str, now_us: int) -> Event:
    """An event with an id that no other has."""
    return Event(
        id=f"evt_{secrets.token_hex(16)}",
        event=kind,
        node_id=node_id,
        timestamp=to_rfc3339(now_us),
        alert=alert,
    )


def trial(rule: WantedRule, node_id: str, now_us: int) -> Event:
    """An event that tells of nothing, to try a receiver with."""
    alert = Alert(
        id=0,
        rule_id=0,
        rule=rule.title,
        when=rule.when,
        quantity=rule.quantity,
        threshold=rule.threshold,
        sensor_id="test",
        sensor_name="This is a test",
        raised_at=to_rfc3339(now_us),
    )
    return event_of(alert, "test", node_id, now_us)


def keep(connection: apsw.Connection, event: Event, now_us: int) -> None:
    """Write an alert down as it is after an event, as part of a larger work."""
    alert = event.alert
    text = msgspec.json.encode(alert)
    if event.event == "raised":
        connection.execute(
            "INSERT INTO alerts (id, rule_id, sensor_id, raised_at_us, alert)"
            " VALUES (?, ?, ?, ?, ?)",
            (alert.id, alert.rule_id, alert.sensor_id, now_us, text),
        )
    else:
        update = "UPDATE alerts SET cleared_at_us = ?, alert = ? WHERE id = ?"
        connection.execute(update, (now_us, text, alert.id))


def forget_old(connection: apsw.Connection, now_us: int) -> None:
    """Drop cleared alerts that are too old or too many, as part of a larger work."""
    old = "DELETE FROM alerts WHERE cleared_at_us < ?"
    connection.execute(old, (now_us - KEEP_CLEARED_US,))
    connection.execute(_SURPLUS, (MAX_CLEARED,))


def kept_alerts(connection: apsw.Connection, limit: int, now_us: int) -> Sequence[Alert]:
    """The raised alerts, then those that were cleared, in both the newest first."""
    rows = connection.execute(_LIST, (now_us - KEEP_CLEARED_US, limit))
    return [_DECODER.decode(text) for (text,) in rows]


def raised_alerts(connection: apsw.Connection) -> Sequence[tuple[Alert, int]]:
    """The raised alerts, each with the moment it was raised, in microseconds."""
    query = "SELECT alert, raised_at_us FROM alerts WHERE cleared_at_us IS NULL"
    return [(_DECODER.decode(text), at_us) for text, at_us in connection.execute(query)]


_DECODER: Final = msgspec.json.Decoder(Alert)
