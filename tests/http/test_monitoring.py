"""The alert rules and the dashboard, held against Prometheus' own tool and the node's numbers."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.http.sending import Spot, reading, send
from tests.http.test_metrics import ALERTS, numbers_in, scrape
from tests.processes import NodeProcess

DASHBOARD: Final = ALERTS.parent / "urbanos-dashboard.json"
Series = dict[str, str]
NODE: Final = 'job="urbanos",instance="a"'
DAY_S: Final = 86_400
LONG: Final = "x400"
"""Half minutes, of which a rule of an hour needs 120 and some before."""


def number(name: str, value: float | str, more: str = "") -> Series:
    return {"series": f"{name}{{{NODE}{more}}}", "values": f"{value}+0{LONG}"}


def growing(name: str, by: float, more: str = "") -> Series:
    """Grows so much in each half minute."""
    return {"series": f"{name}{{{NODE}{more}}}", "values": f"0+{by}{LONG}"}


def durations(within_half_a_second: int) -> list[Series]:
    """Of 100 answers in each half minute so many take at most 0.5 s, and all at most 1 s."""
    bounds = {"0.5": within_half_a_second, "1": 100, "+Inf": 100}
    name = "http_request_duration_seconds_bucket"
    return [growing(name, count, f',le="{bound}"') for bound, count in bounds.items()]


def outcome(word: str, by: float) -> list[Series]:
    return [growing("urbanos_readings_total", by, f',outcome="{word}"')]


def backlog(waiting: int, lag_s: int) -> list[Series]:
    queue = number("update_queue_length", waiting, ',queue_name="spool"')
    return [queue, number("urbanos_flush_lag_seconds", lag_s)]


def answers(status: str, by: float) -> list[Series]:
    return [growing("http_requests_total", by, f',status_code="{status}"')]


def flag(name: str) -> tuple[list[Series], list[Series]]:
    return [number(name, 1)], [number(name, 0)]


def restarts(every: int) -> list[Series]:
    """Another moment of the start in every so many half minutes."""
    values = " ".join(str(1000 + 30 * (at - at % every)) for at in range(400))
    return [{"series": f"process_start_time_seconds{{{NODE}}}", "values": values}]


CASES: Final[dict[str, tuple[list[Series], list[Series]]]] = {
    "HighAPILatency": (durations(90), durations(96)),
    # 2 in 30 s are 0.067 a second, 1 is 0.033; what a client did wrong is no error of the node.
    "HighErrorRate": (answers("500", 2), [*answers("500", 1), *answers("404", 50)]),
    "QueueBacklog": (backlog(10_001, 61), backlog(1_000_000, 59)),
    "FlushesStuck": (
        [number("urbanos_flush_lag_seconds", 301)],
        [number("urbanos_flush_lag_seconds", 299)],
    ),
    "NodeDown": ([number("up", 0)], [number("up", 1)]),
    "NodeNotReady": ([number("urbanos_ready", 0)], [number("urbanos_ready", 1)]),
    "AvailabilityBudgetSpent": (
        [number("urbanos_availability_budget_left_seconds", -1)],
        [number("urbanos_availability_budget_left_seconds", 1)],
    ),
    "MqttFailing": flag("urbanos_mqtt_failing"),
    "DiskLow": flag("urbanos_disk_low"),
    "DiskFillsUp": (
        [number("urbanos_disk_full_in_seconds", 13 * DAY_S)],
        [number("urbanos_disk_full_in_seconds", "Inf")],
    ),
    "OwedReadingsDropped": (outcome("expired_owed", 1), outcome("expired", 1)),
    # 120 half minutes an hour.
    "ReadingsRefused": (outcome("rejected", 1), outcome("rejected", 0.5)),
    "FilesDamaged": (
        [number("urbanos_quarantined_files", 1)],
        [number("urbanos_quarantined_files", 0)],
    ),
    "BackupNotProven": (
        [number("urbanos_backup_proven_age_seconds", "Inf")],
        [number("urbanos_backup_proven_age_seconds", 2 * DAY_S)],
    ),
    "ClockInDoubt": flag("urbanos_clock_in_doubt"),
    "CompactionFailing": flag("urbanos_compaction_failing"),
    "SyncFailing": flag("urbanos_sync_failing"),
    "PullsFailing": flag("urbanos_pulls_failing"),
    "SyncBehind": (
        [number("urbanos_sync_live_lag_seconds", 301), number("urbanos_sync_failing", 0)],
        [number("urbanos_sync_live_lag_seconds", 299), number("urbanos_sync_failing", 0)],
    ),
    "AlertReceiversFailing": flag("urbanos_alert_receivers_failing"),
    "NodeRestarts": (restarts(20), restarts(60)),
}
"""What raises each alert, and what nearly does."""


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def promtool(*words: str) -> None:
    ended = subprocess.run(["promtool", *words], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_each_alert_is_raised_by_what_it_is_for_and_not_by_what_nearly_is(tmp_path: Path) -> None:
    assert CASES.keys() == {rule["alert"] for rule in rules()}
    tests = []
    for alert, (raising, quiet) in CASES.items():
        asked = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
        for series, found in ((raising, [{"labels": "{}", "value": 1}]), (quiet, [])):
            expected = {"expr": asked, "eval_time": "150m", "exp_samples": found}
            tests.append(
                {"interval": "30s", "input_series": series, "promql_expr_test": [expected]}
            )
    path = tmp_path / "test.yml"
    path.write_text(
        yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "30s", "tests": tests})
    )
    promtool("test", "rules", str(path))


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_what_the_dashboard_asks_for_can_be_asked_and_is_there(
    server: NodeProcess, gateway: str, spot: Spot, tmp_path: Path
) -> None:
    send(server, gateway, reading(spot, "shown"))
    server.client.get(f"/api/v1/grids/{spot.grid_id}")
    there = scrape(server).names
    for expression in expressions():
        assert numbers_in(expression) <= there, expression
    records = [{"record": f"panel:{n}", "expr": one} for n, one in enumerate(expressions())]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": records}]}))
    promtool("check", "rules", str(path))


@pytest.mark.parametrize("alert", sorted(CASES))
def test_the_manual_says_what_to_do_about_each_alert(alert: str) -> None:
    manual = (ALERTS.parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{alert}` \| \S", manual, re.M)
