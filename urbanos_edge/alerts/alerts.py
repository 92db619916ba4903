"""Alerts: raised when a rule is met at a sensor for as long as it says, cleared when it is over.

Rules look at the newest readings of every flush and at urgent ones; silence is looked for every few
seconds. What is raised or cleared becomes real in one transaction with the letters that tell of it,
and only then in memory: no crash lets an alert be raised twice, or a receiver miss it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import apsw
import msgspec
import numpy as np

from urbanos_edge.alerts.events import Alert, Ending, Event, event_of, forget_old, kept_alerts
from urbanos_edge.alerts.heard import Heard, places
from urbanos_edge.alerts.outbox import Letter, post
from urbanos_edge.alerts.rules import Rule, WantedRule
from urbanos_edge.alerts.runs import Bools, News
from urbanos_edge.alerts.standing import (
    Standing,
    Step,
    keep_step,
    kept_rule,
    kept_rules,
    kept_standings,
)
from urbanos_edge.batch import Batch
from urbanos_edge.clock import DAY_US, SECOND_US, to_rfc3339
from urbanos_edge.database import Database
from urbanos_edge.errors import EdgeError, NotFound, Unprocessable
from urbanos_edge.grid import STORED_ZOOM, tile_at
from urbanos_edge.ingest.sensors import Sensors
from urbanos_edge.quality.quality import FLAGS
from urbanos_edge.rollup.rollup import View, inside

MAX_RULES: Final = 500
MAX_STANDINGS: Final = 10_000
"""Alerts that are raised or about to be; what comes beyond is left out, and counted."""
LOST_US: Final = DAY_US
"""An alert about values is cleared when none has come for so long."""
_STUCK: Final = 1 << FLAGS.index("stuck")
_log = logging.getLogger(__name__)


class _Cause(NamedTuple):
    """What raises an alert: since when, up to when, where, and by which value."""

    since_us: int
    last_us: int
    lat: float | None
    lng: float | None
    value: float | None = None


class Alerts:
    """All rules, and how they stand; blocks on the database, and may be used by any thread.

    `receivers` says who is told, given the address that the rule names.
    """

    def __init__(
        self,
        database: Database,
        sensors: Sensors,
        receivers: Callable[[str | None], Sequence[str]],
        node_id: str,
        view: View,
    ) -> None:
        self._database = database
        self._sensors = sensors
        self._receivers = receivers
        self._node_id = node_id
        self._lock = threading.Lock()
        self._heard = Heard()
        self._is_behind = True
        """Whether the newest readings must be looked at again."""
        self.revision = 0
        """Grows with every event since the start."""
        self.turned_away = 0
        """How often there was no room for another standing, since the start."""
        connection = database.read()
        self._rules = kept_rules(connection)
        self._standings = kept_standings(connection, self._rules, view)
        last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'alerts'").get
        self._last_id = int(last or 0)

    def rules(self) -> list[Rule]:
        return list(self._rules.values())

    def rule(self, number: int) -> Rule:
        """Raises NotFound when there is none."""
        rule = self._rules.get(number)
        if rule is None:
            raise NotFound(f"there is no alert rule {number}; see 'alert list'")
        return rule

    def raised(self) -> dict[int, int]:
        """How many alerts of each rule are raised."""
        query = "SELECT rule_id, count(*) FROM alerts WHERE cleared_at_us IS NULL GROUP BY rule_id"
        return dict(self._database.read().execute(query))

    def shown(self, limit: int, now_us: int) -> Sequence[Alert]:
        """The raised alerts, then those that were cleared, in both the newest first."""
        return kept_alerts(self._database.read(), limit, now_us)

    def add(self, wanted: WantedRule, view: View, now_us: int) -> tuple[Rule, list[Event]]:
        """Keep a rule and look at once at the newest readings.

        Raises:
            Unprocessable: there are as many rules as there may be.
        """
        text = msgspec.json.encode(wanted)

        def work(connection: apsw.Connection) -> int:
            statement = "INSERT INTO alert_rules (created_at_us, rule) VALUES (?, ?)"
            connection.execute(statement, (now_us, text))
            return connection.last_insert_rowid()

        with self._lock:
            if len(self._rules) >= MAX_RULES:
                message = f"there are {MAX_RULES} rules already; remove one"
                raise Unprocessable(message, code="too_many_rules")
            number = self._database.write_and_wait(work)
            rule = self._rules[number] = kept_rule(number, now_us, text)
            self._standings[number] = {}
            news = self._heard.news(view.latest, view, now_us)
            return rule, self._tried(self._judge(rule, news, view, now_us), now_us)

    def remove(self, number: int, now_us: int) -> list[Event]:
        """Forget a rule; its alerts are cleared.

        Raises:
            NotFound: there is no such rule.
        """

        def forget(connection: apsw.Connection) -> None:
            connection.execute("DELETE FROM alert_rules WHERE id = ?", (number,))

        with self._lock:
            rule = self.rule(number)
            steps = [
                self._ended(rule, sensor_id, standing, "rule_removed", now_us)
                for sensor_id, standing in self._standings[number].items()
            ]
            events = self._carry_out(steps, now_us, forget)
            del self._rules[number], self._standings[number]
            return events

    def look(self, batch: Batch, view: View, now_us: int) -> list[Event]:
        """Judge graded readings that the rollup has taken; return what was raised and cleared.

        What cannot be written now is found again at the next tick.
        """
        with self._lock:
            return self._look(batch, view, now_us)

    def tick(self, view: View, now_us: int) -> list[Event]:
        """Look for silence, and for what nothing is heard of any more; every few seconds."""
        with self._lock:
            if self._heard.tick(now_us):
                self._follow_clock(now_us)
            events: list[Event] = []
            if self._is_behind:
                self._is_behind = False
                events += self._look(view.latest, view, now_us)
            events += self._tried(self._silences(view, now_us), now_us)
            return events + self._tried(self._lost(now_us), now_us)

    def reload(self) -> None:
        """Look again at everything: rows have moved in time."""
        with self._lock:
            self._heard.forget_moments()
            self._is_behind = True

    def _follow_clock(self, now_us: int) -> None:
        """Silence found by a clock that was ahead is over with what arrives by the right one."""
        for number, standings in self._standings.items():
            if self._rules[number].when == "silent":
                for sensor_id, standing in standings.items():
                    if standing.last_us > now_us:
                        standings[sensor_id] = standing._replace(last_us=now_us)

    def _look(self, batch: Batch, view: View, now_us: int) -> list[Event]:
        if not self._rules:
            return []
        news = self._heard.news(batch, view, now_us)
        rules = self._rules.values()
        steps = (step for rule in rules for step in self._judge(rule, news, view, now_us))
        return self._tried(steps, now_us)

    def _judge(self, rule: Rule, news: News, view: View, now_us: int) -> Iterator[Step]:
        """What the last readings of each sensor mean for a rule."""
        if rule.when == "silent":
            yield from self._heard_again(rule, view, now_us)
            return
        number = news.numbers.get
        standings = self._standings[rule.id].items()
        known = {one: w for name, w in standings if (one := number(name)) is not None}
        raised = [one for one, standing in known.items() if standing.alert is not None]
        concerned = _concerned(rule, news)
        counts, holds, is_over = _conditions(rule, news)
        counts &= concerned | news.of(list(known))
        is_met = np.where(news.of(raised), is_over | ~concerned, holds & concerned)
        for run in news.last_runs(counts, is_met):
            if run.is_met or run.sensor in known:
                before = known.get(run.sensor) or Standing(None, run.since_us)
                standing, sensor_id = before.follow(run), news.labels[run.sensor]
                if not standing.is_due(rule):
                    yield Step(rule, sensor_id, None if standing.is_calm else standing)
                elif standing.alert is not None:
                    yield self._ended(rule, sensor_id, standing, "value", now_us)
                else:
                    cause = _cause(rule, news, standing, run.row)
                    yield self._begun(rule, sensor_id, cause, now_us)

    def _begun(self, rule: Rule, sensor_id: str, cause: _Cause, now_us: int) -> Step:
        """The step that raises an alert."""
        self._last_id += 1
        alert = Alert(
            id=self._last_id,
            rule_id=rule.id,
            rule=rule.title,
            when=rule.when,
            quantity=rule.quantity,
            threshold=rule.threshold,
            sensor_id=sensor_id,
            sensor_name=self._sensors.name_of(sensor_id),
            lat=cause.lat,
            lng=cause.lng,
            grid_id=_grid_id(cause.lat, cause.lng),
            value=cause.value,
            since=to_rfc3339(cause.since_us) if cause.since_us else None,
            raised_at=to_rfc3339(now_us),
        )
        event = event_of(alert, "raised", self._node_id, now_us)
        return Step(rule, sensor_id, Standing(None, cause.last_us, alert), event)

    def _ended(
        self, rule: Rule, sensor_id: str, standing: Standing, by: Ending, now_us: int
    ) -> Step:
        """The step after which a rule does not stand, and clears its alert where there is one."""
        if standing.alert is None:
            return Step(rule, sensor_id, None)
        ending = {"cleared_at": to_rfc3339(now_us), "cleared_by": by}
        alert = msgspec.structs.replace(standing.alert, **ending)
        return Step(rule, sensor_id, None, event_of(alert, "cleared", self._node_id, now_us))

    def _silences(self, view: View, now_us: int) -> Iterator[Step]:
        """Sensors that have been silent for too long, and those that are no more."""
        rules = [rule for rule in self._rules.values() if rule.when == "silent"]
        if not rules:
            return
        sensors = self._sensors.list()
        quiet_us = self._heard.quiet_us(sensors, view, now_us)
        placed = places(sensors)
        for rule in rules:
            yield from self._heard_again(rule, view, now_us)
            is_silent = quiet_us >= rule.for_s * SECOND_US
            if rule.area is not None:
                is_silent &= inside(rule.area, placed)
            for one in (sensors[index] for index in np.flatnonzero(is_silent).tolist()):
                is_meant = rule.sensor_id in (None, one.id)
                if is_meant and one.id not in self._standings[rule.id]:
                    last_us = self._heard.last_us(one.id, view)
                    cause = _Cause(last_us, now_us, one.lat, one.lng)
                    yield self._begun(rule, one.id, cause, now_us)

    def _heard_again(self, rule: Rule, view: View, now_us: int) -> Iterator[Step]:
        for sensor_id, standing in self._standings[rule.id].items():
            if self._heard.last_us(sensor_id, view) > standing.last_us:
                yield self._ended(rule, sensor_id, standing, "heard", now_us)

    def _lost(self, now_us: int) -> Iterator[Step]:
        """Standings on sensors that were removed, or that no value has come from for a day."""
        for number, standings in self._standings.items():
            rule = self._rules[number]
            for sensor_id, standing in standings.items():
                if sensor_id not in self._sensors:
                    yield self._ended(rule, sensor_id, standing, "sensor_removed", now_us)
                elif rule.when != "silent" and standing.last_us < now_us - LOST_US:
                    yield self._ended(rule, sensor_id, standing, "no_readings", now_us)

    def _tried(self, steps: Iterator[Step], now_us: int) -> list[Event]:
        try:
            return self._carry_out(list(steps), now_us)
        except EdgeError as error:
            self._is_behind = True
            _log.error("alerts could not be kept, will be tried again: %s", error.message)
            return []

    def _carry_out(
        self,
        steps: Sequence[Step],
        now_us: int,
        more: Callable[[apsw.Connection], None] | None = None,
    ) -> list[Event]:
        """Write what changed, and `more`; then remember it.

        Raises:
            Unavailable, StorageUnavailable, DiskFull: nothing has changed.
        """
        steps = list(self._admitted(steps))
        lasting = [step for step in steps if self._is_lasting(step)]
        letters = [letter for step in steps for letter in self._letters(step)]

        def work(connection: apsw.Connection) -> None:
            for step in lasting:
                keep_step(connection, step, now_us)
            post(connection, letters, now_us)
            forget_old(connection, now_us)
            if more is not None:
                more(connection)

        if lasting or more is not None:
            self._database.write_and_wait(work)
        for step in steps:
            self._remember(step)
        events = [step.event for step in steps if step.event is not None]
        self.revision += len(events)
        return events

    def _admitted(self, steps: Sequence[Step]) -> Iterator[Step]:
        """All steps but those that would begin a standing when there is no room for it."""
        room = MAX_STANDINGS - sum(map(len, self._standings.values()))
        for step in steps:
            standings = self._standings[step.rule.id]
            is_new = step.after is not None and step.sensor_id not in standings
            if is_new and room <= 0:
                self.turned_away += 1
                continue
            room -= is_new
            yield step

    def _is_lasting(self, step: Step) -> bool:
        """Whether anything of a step must be written down."""
        before = self._standings[step.rule.id].get(step.sensor_id)
        since_us = before and before.since_us
        return step.event is not None or since_us != (step.after and step.after.since_us)

    def _letters(self, step: Step) -> list[Letter]:
        if step.event is None:
            return []
        body = msgspec.json.encode(step.event)
        receivers = self._receivers(step.rule.url)
        return [Letter(receiver, step.event.id, body) for receiver in receivers]

    def _remember(self, step: Step) -> None:
        standings = self._standings[step.rule.id]
        if step.after is None:
            standings.pop(step.sensor_id, None)
        else:
            standings[step.sensor_id] = step.after


def _concerned(rule: Rule, news: News) -> Bools:
    """Which rows a rule is about."""
    if rule.sensor_id is not None:
        number = news.numbers.get(rule.sensor_id)
        return news.of([] if number is None else [number])
    return np.ones(len(news), bool) if rule.area is None else news.inside(rule.area)


def _conditions(rule: Rule, news: News) -> tuple[Bools, Bools, Bools]:
    """Which rows count for a rule, at which it is met, and at which a raised alert is over."""
    if rule.when == "stuck":
        is_stuck = news.flags & _STUCK != 0
        return np.ones(len(news), bool), is_stuck, ~is_stuck
    assert rule.quantity is not None and rule.threshold is not None  # as `rules` has checked
    values, threshold, margin = news.values(rule.quantity), rule.threshold, rule.margin
    if rule.when == "over":
        return ~np.isnan(values), values > threshold, values <= threshold - margin
    return ~np.isnan(values), values < threshold, values >= threshold + margin


def _cause(rule: Rule, news: News, standing: Standing, row: int) -> _Cause:
    """What raises an alert, at the row of the news that did."""
    value = None if rule.quantity is None else float(news.values(rule.quantity)[row])
    lat, lng = float(news["lat"][row]), float(news["lng"][row])
    return _Cause(standing.since_us or standing.last_us, standing.last_us, lat, lng, value)


def _grid_id(lat: float | None, lng: float | None) -> str | None:
    return None if lat is None or lng is None else tile_at(lat, lng, STORED_ZOOM).grid_id
