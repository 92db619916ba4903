"""The node's numbers for Prometheus: what the status says, and what was asked of the node.

Each node has a registry of its own, and nothing is counted here: a scrape asks `health.status`
once and reads the plain counters of `traffic`. What was asked, and who listens, the centre tells
under the same names.
"""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any, Final

import duckdb
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from urbanos_edge.cache.traffic import Asked, Durations, Traffic
from urbanos_edge.health.health import status
from urbanos_edge.node import Node

GRIDS: Final = "/api/v1/grids/"
"""Where the routes begin whose answers are 'grid data fetches'."""
NEVER: Final = math.inf
"""The age of what never was, and how long until what will never be."""
_DAY_S: Final = 86_400

_NUMBERS: Final = {
    "urbanos_sensors_known": ("Registered sensors", "sensors.total"),
    "urbanos_sensors_reporting": ("Sensors with a reading in 24 hours", "sensors.reporting"),
    "urbanos_store_rows": ("Readings in the store", "store.rows"),
    "urbanos_store_files": ("Live files of readings", "store.files"),
    "urbanos_store_bytes": ("Bytes of these files", "store.bytes"),
    "urbanos_aggregates_files": ("Live files of hourly aggregates", "aggregates.files"),
    "urbanos_aggregates_bytes": ("Bytes of these files", "aggregates.bytes"),
    "urbanos_aggregates_waiting": ("Hours to be counted anew", "aggregates.hours_waiting"),
    "urbanos_compaction_files_of_fullest_day": (
        "Files of the day that has most",
        "compaction.files_of_fullest_day",
    ),
    "urbanos_compaction_jobs_due": ("Folds and seals that are due", "compaction.jobs_due"),
    "urbanos_expiry_waiting_partitions": (
        "Days that would have expired if the centre had their readings",
        "expiry.waiting_days",
    ),
    "urbanos_recent_readings": ("Readings held in memory", "recent.readings"),
    "urbanos_recent_bytes": ("Bytes they take", "recent.bytes"),
    "urbanos_cache_entries": ("Answers held in memory", "cache.entries"),
    "urbanos_cache_bytes": ("Bytes of these answers", "cache.bytes"),
    "urbanos_disk_free_bytes": ("Free bytes on the data's disk", "disk.free_bytes"),
    "urbanos_disk_growth_bytes_per_day": (
        "Bytes of readings that a day brings, by the last week",
        "disk.growth_bytes_per_day",
    ),
    "urbanos_disk_ballast_bytes": (
        "Bytes held back on the disk, to finish with when it is full",
        "disk.ballast_bytes",
    ),
    "urbanos_bodies_held_bytes": (
        "Bytes of requests' bodies that are not dealt with yet",
        "bodies_held_bytes",
    ),
    "urbanos_inbox_senders": ("Senders that nobody has claimed", "inbox.senders"),
    "urbanos_inbox_candidates": ("What is kept of them", "inbox.candidates"),
    "urbanos_alerts_raised": ("Alerts that are raised", "alerts.raised"),
    "urbanos_alert_events_waiting": (
        "Events of alerts that receivers have not confirmed",
        "alerts.events_waiting",
    ),
    "urbanos_alert_receivers_failing": (
        "Receivers of alerts that did not confirm the last time",
        "alerts.receivers_failing",
    ),
    "urbanos_pulls_found": ("Monitors found by mDNS that are asked for readings", "pulls.found"),
    "urbanos_pulls_failing": ("Sources that failed when they were fetched last", "pulls.failing"),
    "urbanos_reports_pending": ("User reports that wait for a look", "reports.pending"),
    "urbanos_sync_lag_seconds": (
        "How long the hour has waited that the centre lacks longest",
        "sync.lag_s",
    ),
    "urbanos_sync_live_lag_seconds": ("The same of the last three hours", "sync.live_lag_s"),
    "urbanos_sync_pending_hours": ("Hours that the centre may lack", "sync.pending_hours"),
    "urbanos_sync_pending_buckets": ("About as many buckets", "sync.pending_buckets"),
    "urbanos_dead_letters": ("Dead letters kept", "totals.dead_letters"),
    "urbanos_quarantined_files": ("Damaged files that were set aside", "quarantined"),
    "urbanos_availability_ratio": (
        "Ready time over all time since the node first counted, in the last 30 days at most",
        "uptime.availability",
    ),
    "urbanos_availability_budget_left_seconds": (
        "Down time that 99.95 % of 30 days allows, less what there was",
        "uptime.budget_left_s",
    ),
}
"""Gauges: what it is, and where the status has it."""
_FLAGS: Final = {
    "urbanos_clock_in_doubt": ("1 while the clock is not set", "clock_in_doubt_since"),
    "urbanos_disk_low": ("1 while readings are refused for want of room", "disk.is_low"),
    "urbanos_flush_failing": ("1 after a flush that failed", "flush_failure"),
    "urbanos_backup_failing": ("1 after a daily backup that failed", "backup.failure"),
    "urbanos_mqtt_connected": ("1 while connected to the MQTT broker", "mqtt.connected"),
    "urbanos_mqtt_failing": (
        "1 while the MQTT broker cannot be reached, or refuses a topic",
        "mqtt.failure",
    ),
    "urbanos_sync_failing": ("1 while the centre cannot be brought anything", "sync.failure"),
    "urbanos_compaction_failing": ("1 after a job that failed", "compaction.failure"),
}
_AGES: Final = {
    "urbanos_sync_heard_age_seconds": ("Since the centre last answered", "sync.heard_at"),
    "urbanos_flush_age_seconds": ("Since the last flush that succeeded", "flushed_at"),
    "urbanos_backup_age_seconds": ("Since the last backup", "backup.last_at"),
    "urbanos_backup_proven_age_seconds": (
        "Since the last backup that was restored and compared",
        "backup.last_proven_at",
    ),
}
"""Seconds since a moment; +Inf where there is none."""
_COUNTERS: Final = {
    "urbanos_disk_written_bytes": ("Bytes given to the disk to write", "disk.written_bytes"),
    "urbanos_scrub_verified_files": ("Files compared with their checksums", "scrub.verified"),
    "urbanos_scrub_damaged_files": ("Files found damaged by that", "scrub.damaged"),
    "urbanos_mqtt_messages": ("Messages that the MQTT broker delivered", "mqtt.messages"),
    "urbanos_mqtt_refused": ("Of these, with something that was not taken", "mqtt.refused"),
    "urbanos_mqtt_passed_over": ("Of these, with nothing to take", "mqtt.passed_over"),
    "urbanos_mqtt_repeated": ("Of these, taken before", "mqtt.repeated"),
    "urbanos_mqtt_dropped": ("Messages of QoS 0 without room in memory", "mqtt.dropped"),
    "urbanos_sync_sent_buckets": ("Buckets that the centre was sent", "sync.buckets_sent"),
    "urbanos_sync_sent_readings": ("Readings that the centre was sent", "sync.readings_sent"),
    "urbanos_ready_seconds": ("Seconds in which the node was ready", "uptime.ready_s"),
    "urbanos_unready_seconds": ("Seconds in which it ran and was not", "uptime.unready_s"),
}
"""All since the process began."""
_OUTCOMES: Final = (
    *("stored", "duplicates", "revisions", "rejected", "rejected_dropped"),
    *("expired", "expired_owed", "held", "held_dropped"),
)
"""Series that are there before they count, or nobody would see their first step."""


def registry(node: Node) -> CollectorRegistry:
    """The registry of one node."""
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    made.register(_NodeCollector(node))
    return made


def of_traffic(traffic: Traffic) -> Iterator[Metric]:
    """What was asked, how long it took, and whether the answers were at hand."""
    labels = ["method", "route", "status_code"]
    requests = CounterMetricFamily("http_requests", "Requests answered", labels=labels)
    about = "From a request to the head of its answer"
    durations = HistogramMetricFamily("http_request_duration_seconds", about, labels=labels)
    for (method, route, status_code), taken in _answered(traffic).items():
        values = [method, route, str(status_code)]
        requests.add_metric(values, sum(taken.counts))
        durations.add_metric(values, _buckets(taken), taken.total_s)
    yield requests
    yield durations
    yield from _cached(traffic)


def of_listeners(number: int) -> Metric:
    """Who follows grids now."""
    about = "Listeners over /ws and /api/v1/live"
    return GaugeMetricFamily("websocket_connections_active", about, number)


class _NodeCollector(Collector):
    """Asked at each scrape, in a worker thread: it blocks on the database."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        found = status(self._node)
        yield InfoMetricFamily("urbanos_build", "What runs here", value=_build(found))
        yield from _of_status(found)
        flushes = self._node.flushes.copy()
        yield HistogramMetricFamily(
            "urbanos_flush_duration_seconds",
            "Flushes that moved readings into the store",
            buckets=_buckets(flushes),
            sum_value=flushes.total_s,
        )
        yield from of_traffic(self._node.traffic)


def _build(found: Mapping[str, Any]) -> dict[str, str]:
    return {
        "version": found["version"],
        "node_id": found["node"]["id"],
        "python_version": platform.python_version(),
        "duckdb_version": duckdb.__version__,
    }


def _of_status(found: Mapping[str, Any]) -> Iterator[Metric]:
    yield GaugeMetricFamily("urbanos_ready", "1 while the node is ready", not found["faults"])
    for name, (about, path) in _NUMBERS.items():
        yield GaugeMetricFamily(name, about, _at(found, path))
    for name, (about, path) in _FLAGS.items():
        yield GaugeMetricFamily(name, about, bool(_at(found, path)))
    for name, (about, path) in _AGES.items():
        yield GaugeMetricFamily(name, about, _age_s(found, path, NEVER))
    for name, (about, path) in _COUNTERS.items():
        yield CounterMetricFamily(name, about, _at(found, path))
    days = found["disk"]["full_in_days"]
    about = "Until the disk is full at this rate; +Inf when retention ends growth before"
    yield GaugeMetricFamily(
        "urbanos_disk_full_in_seconds", about, NEVER if days is None else days * _DAY_S
    )
    about = "Since the arrival of the oldest reading that is not in the store; 0 when there is none"
    yield GaugeMetricFamily("urbanos_flush_lag_seconds", about, _age_s(found, "spool.oldest_at", 0))
    yield from _queues_and_outcomes(found)
    yield from _of_pulls(found)


def _queues_and_outcomes(found: Mapping[str, Any]) -> Iterator[Metric]:
    yield of_listeners(found["listeners"])
    about = "Waiting: readings for the store (spool), requests for the disk (ingest)"
    queues = GaugeMetricFamily("update_queue_length", about, labels=["queue_name"])
    queues.add_metric(["spool"], found["spool"]["readings"])
    queues.add_metric(["ingest"], found["ingest"]["requests_waiting"])
    yield queues
    about = "Readings since the first start, by what became of them"
    outcomes = CounterMetricFamily("urbanos_readings", about, labels=["outcome"])
    totals = dict.fromkeys(_OUTCOMES, 0) | found["totals"]
    del totals["dead_letters"]  # a gauge: they can be purged
    for outcome, readings in totals.items():
        outcomes.add_metric([outcome], readings)
    yield outcomes


def _of_pulls(found: Mapping[str, Any]) -> Iterator[Metric]:
    """Those that the settings name; found monitors would make as many series as there are."""
    about = "Since a source was last fetched without a failure"
    ages = GaugeMetricFamily("urbanos_pull_age_seconds", about, labels=["name"])
    about = "Times that a source could not be fetched"
    failures = CounterMetricFamily("urbanos_pull_failures", about, labels=["name"])
    for source in found["pulls"]["sources"]:
        labels, since = [source["name"]], {**source, "now": found["now"]}
        ages.add_metric(labels, _age_s(since, "succeeded_at", NEVER))
        failures.add_metric(labels, source["failures"])
    yield ages
    yield failures


def _answered(traffic: Traffic) -> dict[Asked, Durations]:
    """All answers; the ready ones are in the first bucket, and cost nothing in the sum."""
    answered = {asked: durations.copy() for asked, durations in list(traffic.answered.items())}
    for (route, status_code), count in list(traffic.ready.items()):
        durations = answered.setdefault(("GET", route, status_code), Durations())
        durations.counts[0] += count.number
    return answered


def _cached(traffic: Traffic) -> Iterator[Metric]:
    found = Counter({asked: count.number for asked, count in list(traffic.fetched.items())})
    for (route, _), count in list(traffic.ready.items()):
        found[route, True] += count.number
    about = "Answers that may come from the cache"
    answers = CounterMetricFamily("urbanos_cache_answers", about, labels=["route", "cache_hit"])
    of_grids = {True: 0, False: 0}
    for (route, hit), number in found.items():
        answers.add_metric([route, _word(hit)], number)
        of_grids[hit] += number if route.startswith(GRIDS) else 0
    yield answers
    about = f"Answers of {GRIDS}…, and whether they were at hand"
    fetches = CounterMetricFamily("grid_data_fetches", about, labels=["cache_hit"])
    for hit, number in of_grids.items():
        fetches.add_metric([_word(hit)], number)
    yield fetches


def _buckets(durations: Durations) -> Sequence[tuple[str, float]]:
    names = [*map(str, durations.bounds_s), "+Inf"]
    return list(zip(names, accumulate(durations.counts), strict=True))


def _word(hit: bool) -> str:
    return "true" if hit else "false"


def _at(found: Any, path: str) -> Any:
    for name in path.split("."):
        found = found[name]
    return found


def _age_s(found: Mapping[str, Any], path: str, if_none: float) -> float:
    """Seconds from a moment in the status to that of the status itself."""
    moment = _at(found, path)
    if moment is None:
        return if_none
    passed = datetime.fromisoformat(found["now"]) - datetime.fromisoformat(moment)
    return max(passed.total_seconds(), 0.0)
