"""The numbers of one process of `central serve` for Prometheus.

What was asked of it and who listens, under the names that a node has for it, and how it stands with
its servers. A scrape asks nobody: all of it is known already.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from urbanos_edge import __version__
from urbanos_edge.cache.cache import Cache
from urbanos_edge.cache.traffic import Traffic
from urbanos_edge.centre.news import News
from urbanos_edge.centre.servers import STATES, Servers, Standing
from urbanos_edge.health.metrics import of_listeners, of_traffic
from urbanos_edge.live import Live

_GAUGES: Final = {
    "connections": "Open connections to a server",
    "busy_connections": "Of these, with a question under way",
    "waiting": "Questions that wait for a connection",
}
_COUNTERS: Final = {
    "asked": "Questions to a server",
    "failed": "Of these, not answered, or not in time",
}
"""By their names in `Standing`."""


def registry(
    servers: Servers, news: News, live: Live, cache: Cache, traffic: Traffic
) -> CollectorRegistry:
    """The registry of one process."""
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    made.register(_CentreCollector(servers, news, live, cache, traffic))
    return made


class _CentreCollector(Collector):
    """Asked at each scrape, in a worker thread."""

    def __init__(
        self, servers: Servers, news: News, live: Live, cache: Cache, traffic: Traffic
    ) -> None:
        self._servers = servers
        self._news = news
        self._live = live
        self._cache = cache
        self._traffic = traffic

    def collect(self) -> Iterator[Metric]:
        told = {"version": __version__, "python_version": platform.python_version()}
        yield InfoMetricFamily("urbanos_build", "What runs here", value=told)
        standing = self._servers.standing()
        is_ready = any(server.state != "unreachable" for server in standing)
        yield GaugeMetricFamily("urbanos_ready", "1 while any server answers", is_ready)
        about = "1 while news of the nodes are heard from the primary"
        yield GaugeMetricFamily("urbanos_centre_listening", about, self._news.is_listening)
        yield of_listeners(self._live.listeners)
        about = "Answers held in memory"
        yield GaugeMetricFamily("urbanos_cache_entries", about, self._cache.entries)
        about = "Bytes of these answers"
        yield GaugeMetricFamily("urbanos_cache_bytes", about, self._cache.held_bytes)
        yield from _of_servers(standing)
        yield from of_traffic(self._traffic)


def _of_servers(standing: Sequence[Standing]) -> Iterator[Metric]:
    named = dict(zip(_names(standing), standing, strict=True))
    about = "1 for the state that a server is in, as /api/v1/status has it"
    states = GaugeMetricFamily("urbanos_centre_server_state", about, labels=["server", "state"])
    about = "Bytes of the log that the primary has and a server lacks, where both answer"
    behind = GaugeMetricFamily("urbanos_centre_server_behind_bytes", about, labels=["server"])
    for name, server in named.items():
        for state in STATES:
            states.add_metric([name, state], server.state == state)
        if server.behind_bytes is not None:
            behind.add_metric([name], server.behind_bytes)
    yield states
    yield behind
    for field, about in (_GAUGES | _COUNTERS).items():
        kind = GaugeMetricFamily if field in _GAUGES else CounterMetricFamily
        family = kind(f"urbanos_centre_server_{field}", about, labels=["server"])
        for name, server in named.items():
            family.add_metric([name], getattr(server, field))
        yield family


def _names(standing: Sequence[Standing]) -> Iterator[str]:
    """Addresses; where several are alike, all but the first with a number."""
    seen: Counter[str] = Counter()
    for server in standing:
        seen[server.address] += 1
        times = seen[server.address]
        yield server.address if times == 1 else f"{server.address} ({times})"
