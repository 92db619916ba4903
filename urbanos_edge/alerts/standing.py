"""How each rule stands at each sensor: where it is met, or has raised an alert."""

from __future__ import annotations

from typing import Any, NamedTuple

import apsw
import msgspec

from urbanos_edge.alerts.events import Alert, Event, keep, raised_alerts
from urbanos_edge.alerts.rules import Rule
from urbanos_edge.alerts.runs import Run
from urbanos_edge.clock import SECOND_US
from urbanos_edge.rollup.rollup import View


class Standing(NamedTuple):
    """One rule at one sensor: its alert, if raised, and since when what would change that holds.

    `last_us` is the newest moment that was looked at.
    """

    since_us: int | None
    last_us: int
    alert: Alert | None = None

    @property
    def is_calm(self) -> bool:
        """Whether there is nothing to remember any more."""
        return self.since_us is None and self.alert is None

    def follow(self, run: Run) -> Standing:
        """The standing after a sensor's last run."""
        return Standing(run.held_since_us(self.since_us, self.last_us), run.until_us, self.alert)

    def is_due(self, rule: Rule) -> bool:
        """Whether the alert is to be raised now, or cleared if it is raised."""
        wait_s = rule.for_s if self.alert is None else rule.clear_for_s
        held_us = None if self.since_us is None else self.last_us - self.since_us
        return held_us is not None and held_us >= wait_s * SECOND_US


class Step(NamedTuple):
    """What a standing becomes, None when it ends, and the event that makes of it."""

    rule: Rule
    sensor_id: str
    after: Standing | None
    event: Event | None = None


Standings = dict[int, dict[str, Standing]]
"""By rule and sensor."""


def keep_step(connection: apsw.Connection, step: Step, now_us: int) -> None:
    """Write a step down, as part of a larger work."""
    key = (step.rule.id, step.sensor_id)
    if step.event is not None:
        keep(connection, step.event, now_us)
    if step.after is None or step.after.since_us is None:
        connection.execute("DELETE FROM alert_runs WHERE rule_id = ? AND sensor_id = ?", key)
    else:
        since = "INSERT OR REPLACE INTO alert_runs VALUES (?, ?, ?)"
        connection.execute(since, (*key, step.after.since_us))


def kept_rules(connection: apsw.Connection) -> dict[int, Rule]:
    """All rules, in order."""
    rows = connection.execute("SELECT id, created_at_us, rule FROM alert_rules ORDER BY id")
    return {row[0]: kept_rule(*row) for row in rows}


def kept_rule(number: int, created_at_us: int, text: bytes) -> Rule:
    fields: dict[str, Any] = msgspec.json.decode(text)
    return msgspec.convert(fields | {"id": number, "created_at_us": created_at_us}, Rule)


def kept_standings(connection: apsw.Connection, rules: dict[int, Rule], view: View) -> Standings:
    """How the rules stood when the node ended; it was last looked at where the rollup ends."""
    query = "SELECT rule_id, sensor_id, since_us FROM alert_runs"
    since = {(rule, sensor): since_us for rule, sensor, since_us in connection.execute(query)}
    raised = {(one.rule_id, one.sensor_id): (one, at) for one, at in raised_alerts(connection)}
    standings: Standings = {number: {} for number in rules}
    for key in since.keys() | raised.keys():
        alert, raised_us = raised.get(key, (None, 0))
        last_us = max(since.get(key, raised_us), _latest_us(view, key[1]))
        is_silent = rules[key[0]].when == "silent"
        standing = Standing(since.get(key), raised_us if is_silent else last_us, alert)
        standings[key[0]][key[1]] = standing
    return standings


def _latest_us(view: View, sensor_id: str) -> int:
    row = view.row_by_sensor.get(sensor_id)
    return 0 if row is None else int(view.latest["timestamp_us"][row])
