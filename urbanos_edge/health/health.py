"""How the node is: what an operator, a page or a monitor wants to know at a glance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from urbanos_edge import __version__
from urbanos_edge.backup.backup import last_backups
from urbanos_edge.batch import unpack
from urbanos_edge.clock import to_rfc3339
from urbanos_edge.disk import forecast
from urbanos_edge.health.summary import summary
from urbanos_edge.node import Node
from urbanos_edge.rollup.recent import NOTHING_HERE_US
from urbanos_edge.rollup.rollup import View
from urbanos_edge.store.compact import plan
from urbanos_edge.store.manifest import File, Quarantined, quarantined
from urbanos_edge.uptime import PROMISED

MAX_SHOWN: Final = 20
"""Files set aside that the status names, the newest."""


def status(node: Node) -> dict[str, Any]:
    """What an operator or a page wants to know at a glance; blocks on the database."""
    view, connection, doubt = node.view(), node.database.read(), node.clock.doubt
    files, aside, totals = node.store.files, quarantined(connection), _totals(connection)
    current, faults = view.latest["timestamp_us"] >= view.since_us, node.faults()
    found = {
        **_about(node),
        "clock_in_doubt_since": doubt and to_rfc3339(doubt.since_us),
        "grading": _grading_status(node),
        "sensors": {"total": len(node.sensors), "reporting": int(current.sum())},
        "bounds": _extent(view, current),
        "spool": {"readings": node.spool.depth, "oldest_at": _oldest_waiting(node)},
        "ingest": {"requests_waiting": node.ingest.waiting},
        "store": _store_status(files),
        "aggregates": _aggregates_status(node, connection),
        "recent": _recent_status(node),
        "compaction": _compaction_status(node, files),
        "cache": {"entries": node.cache.entries, "bytes": node.cache.held_bytes},
        "disk": _disk_status(node, files),
        "expiry": _expiry_status(node, totals),
        "inbox": node.inbox.counts(),
        "discovered": node.nearby.counts(),
        "tls": {"port": node.tls.port, "failure": node.tls.failure},
        "mqtt": _mqtt_status(node),
        "pulls": _pulls_status(node),
        "sync": _sync_status(node),
        "alerts": _alerts_status(node),
        "reports": node.reports.counts(),
        "totals": totals,
        "unknown_quantities": dict(node.ingest.unknown_quantities),
        "listeners": node.live.listeners,
        "bodies_held_bytes": node.access.bodies.held_bytes,
        **_damage_status(node, aside),
        "backup": _backup_status(node, connection),
        "flush_failure": node.flush_failure,
        "flushed_at": node.flushed_us and to_rfc3339(node.flushed_us),
        "faults": [fault.text for fault in faults],
        "uptime": _uptime_status(node, connection),
    }
    return found | {"summary": msgspec.to_builtins(summary(found, faults))}


def _damage_status(node: Node, aside: Sequence[Quarantined]) -> dict[str, Any]:
    return {
        "quarantined": len(aside),
        "quarantine": [_set_aside(file) for file in aside[-MAX_SHOWN:]],
        "scrub": node.scrub,
    }


def _about(node: Node) -> dict[str, Any]:
    """Which node this is, and by what it reckons."""
    return {
        "node": {"id": node.node_id, "name": node.settings.node_name},
        "version": __version__,
        "boot": node.live.boot,
        "seq": node.live.seq,
        "demo": node.settings.demo,
        "started_at": to_rfc3339(node.started_us),
        "now": to_rfc3339(node.clock.now_us()),
        "aqi_standard": node.standard.id,
        "time_zone": node.settings.time_zone,
        "flush_interval_s": node.settings.flush_interval_s,
    }


def _store_status(files: Sequence[File]) -> dict[str, int]:
    return {
        "rows": sum(file.rows for file in files),
        "files": len(files),
        "bytes": sum(file.bytes for file in files),
    }


def _oldest_waiting(node: Node) -> str | None:
    """When the reading arrived that waits for the store longest."""
    oldest = node.spool.take(1)
    if not oldest:
        return None
    return to_rfc3339(int(unpack([oldest[0].payload])["received_us"].min()))


def _expiry_status(node: Node, totals: dict[str, int]) -> dict[str, int]:
    return {
        "waiting_days": sum(1 for day in node.expiry.due() if day.waits),
        "dropped_owed": totals.get("expired_owed", 0),
    }


def _grading_status(node: Node) -> dict[str, Any]:
    """By what readings are graded, and which stored ones something else graded."""
    days = sorted({file.day for file in node.gradings.outdated()})
    return {
        "current": node.standard.grading,
        "outdated_days": len(days),
        "outdated_from": days[0] if days else None,
        "outdated_to": days[-1] if days else None,
    }


def _uptime_status(node: Node, connection: apsw.Connection) -> dict[str, Any]:
    report = node.uptime.report(connection)
    return {
        "since": to_rfc3339(report.since_us),
        "availability": round(report.availability, 6),
        "promised": PROMISED,
        "down_s": round(report.down_s, 1),
        "budget_left_s": round(report.budget_left_s, 1),
        "ready_s": round(node.uptime.ready_s, 1),
        "unready_s": round(node.uptime.unready_s, 1),
    }


def _backup_status(node: Node, connection: apsw.Connection) -> dict[str, Any]:
    return {
        **last_backups(connection, node.clock.now_us()),
        "has_target": bool(node.settings.backup_target),
        "progress": node.backups.progress,
        "failure": node.backups.failure,
    }


def _mqtt_status(node: Node) -> dict[str, Any]:
    subscription = node.subscription
    since_us = subscription.connected_us
    return {
        "broker": subscription.broker and str(subscription.broker),
        "connected": since_us is not None,
        "connected_since": since_us and to_rfc3339(since_us),
        "failure": subscription.failure,
        **msgspec.to_builtins(subscription.counts),
    }


def _pulls_status(node: Node) -> dict[str, Any]:
    standings = node.pulls.list()
    failed = node.pulls.failed()
    return {
        "sources": [
            {
                "name": one.name,
                "kind": one.kind,
                "succeeded_at": one.succeeded_at_us and to_rfc3339(one.succeeded_at_us),
                "failures": failed[one.name],
                "failure": one.failure,
            }
            for one in standings
            if not one.found
        ],
        "found": sum(one.found for one in standings),
        "failing": sum(one.failure is not None for one in standings),
        "turned_away": node.pulls.turned_away,
    }


def _sync_status(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(node.sync.standing())
    for name in ("failing_since", "heard_at"):
        moment_us = found.pop(f"{name}_us")
        found[name] = moment_us and to_rfc3339(moment_us)
    return found | {name: round(found[name], 1) for name in ("lag_s", "live_lag_s")}


def _alerts_status(node: Node) -> dict[str, Any]:
    return {
        "rules": len(node.alerts.rules()),
        "raised": sum(node.alerts.raised().values()),
        "turned_away": node.alerts.turned_away,
        "events_waiting": len(node.outbox),
        "events_dropped": node.outbox.dropped,
        "receivers_failing": node.delivery.failing,
    }


def _recent_status(node: Node) -> dict[str, Any]:
    horizon_us = node.recent.horizon_us
    return {
        "since": None if horizon_us == NOTHING_HERE_US else to_rfc3339(horizon_us),
        "readings": node.recent.rows,
        "bytes": node.recent.bytes,
        "is_loading": node.recent.is_loading,
    }


def _aggregates_status(node: Node, connection: apsw.Connection) -> dict[str, Any]:
    files = node.hours.store.files
    waiting = connection.execute("SELECT count(*) FROM changed_hours").get
    return {
        "files": len(files),
        "bytes": sum(file.bytes for file in files),
        "hours_waiting": waiting,
    }


def _compaction_status(node: Node, files: Sequence[File]) -> dict[str, Any]:
    last = node.compactor.last
    return {
        "files_of_fullest_day": max(Counter(file.day for file in files).values(), default=0),
        "jobs_due": len(plan(files, node.clock.now_us())),
        "last": last and {**msgspec.to_builtins(last), "at": to_rfc3339(last.ended_at_us)},
        "failure": node.compactor.failure,
    }


def _disk_status(node: Node, files: Sequence[File]) -> dict[str, Any]:
    now_us = node.clock.now_us()
    arrivals = [(file.max_received_us, file.bytes) for file in files]
    growth = forecast(arrivals, node.disk.free_bytes, node.settings.retention_days, now_us)
    return {
        "free_bytes": node.disk.free_bytes,
        "is_low": node.disk.is_low,
        "growth_bytes_per_day": growth.bytes_per_day,
        "full_in_days": growth.full_in_days,
        "written_bytes": node.disk.written_bytes,
        "written_bytes_per_day": node.disk.written_per_day(now_us),
        "ballast_bytes": node.disk.ballast_bytes,
    }


def _totals(connection: apsw.Connection) -> dict[str, int]:
    """Readings since the first start by outcome, and the letters kept."""
    outcomes = dict.fromkeys(("stored", "duplicates", "revisions", "rejected"), 0)
    outcomes |= dict(connection.execute("SELECT outcome, readings FROM totals"))
    letters: int = connection.execute("SELECT count(*) FROM dead_letters").get
    return outcomes | {"dead_letters": letters}


def _set_aside(file: Quarantined) -> dict[str, Any]:
    found_at = to_rfc3339(file.found_at_us)
    return {"day": file.day, "rows": file.rows, "found_at": found_at, "reason": file.reason}


def _extent(view: View, current: Any) -> dict[str, float] | None:
    lng, lat = view.latest["lng"][current], view.latest["lat"][current]
    if not len(lng):
        return None
    return {
        "minLat": float(lat.min()),
        "maxLat": float(lat.max()),
        "minLng": float(lng.min()),
        "maxLng": float(lng.max()),
    }
