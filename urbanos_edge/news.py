"""Who is told of a change: listeners, receivers of alerts, caches of our own and of a CDN.

Frames for listeners are drafted where the change is made, and numbered when they are sent.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from urbanos_edge.alerts.alerts import Alerts
from urbanos_edge.alerts.delivery import Delivery
from urbanos_edge.alerts.events import Event
from urbanos_edge.batch import Batch
from urbanos_edge.cache.cache import Cache
from urbanos_edge.cache.purge import Place, Purge
from urbanos_edge.clock import Clock
from urbanos_edge.grid import Tile
from urbanos_edge.ingest.reports import Change, Report
from urbanos_edge.live import Draft, Live
from urbanos_edge.rollup.rollup import Update, View

_log = logging.getLogger(__name__)


class News:
    """`draft` is for any thread, the rest for the event loop."""

    def __init__(
        self,
        live: Live,
        alerts: Alerts,
        cache: Cache,
        purge: Purge,
        delivery: Delivery,
        clock: Clock,
    ) -> None:
        self._live = live
        self._alerts = alerts
        self._cache = cache
        self._purge = purge
        self._delivery = delivery
        self._clock = clock

    def draft(
        self,
        update: Update,
        batch: Batch,
        rooms: Sequence[Tile],
        now_us: int,
        *,
        alerting: bool = True,
    ) -> tuple[list[Draft], set[Place]]:
        """What is to be told of an update that `batch` made, and where it changed something."""
        drafts = list(self._live.draft(update, rooms, now_us))
        if alerting:
            drafts += self._draft_alerts(batch, update.view, rooms, now_us)
        return drafts, self._purge.changed_in(update.view)

    def announce(self, drafts: Sequence[Draft], changed: set[Place]) -> None:
        """Tell our own cache first: who hears the news must not get what was before it."""
        self._cache.something_changed()
        self._purge.note(changed)
        self._live.send(self._live.number(drafts))
        self._delivery.wake()

    def tell_of_alerts(self, events: Sequence[Event]) -> None:
        """Tell what was raised and cleared otherwise than by readings."""
        if events:
            now_us, rooms = self._clock.now_us(), self._live.rooms()
            self.announce(list(self._live.draft_alerts(events, rooms, now_us)), set())

    def tell_of_report(self, report: Report, change: Change) -> None:
        now_us, rooms = self._clock.now_us(), self._live.rooms()
        self.announce(list(self._live.draft_report(report, change, rooms, now_us)), set())

    def _draft_alerts(
        self, batch: Batch, view: View, rooms: Sequence[Tile], now_us: int
    ) -> list[Draft]:
        """Draft what rules make of a change; one that fails must not hold up the map."""
        try:
            events = self._alerts.look(batch, view, now_us)
        except Exception:
            _log.exception("the rules for alerts failed")
            events = []
        return list(self._live.draft_alerts(events, rooms, now_us))
