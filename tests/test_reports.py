"""User reports in a node of this process: what is kept, for how long, and what is not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec
import pytest
from click.testing import CliRunner

from urbanos_edge.cli import main
from urbanos_edge.clock import DAY_US, Doubt, to_rfc3339
from urbanos_edge.database import DATABASE_NAME
from urbanos_edge.errors import NotFound, TooManyRequests, Unprocessable
from urbanos_edge.grid import Bounds
from urbanos_edge.ingest import reports
from urbanos_edge.ingest.reports import (
    Asked,
    NewReport,
    Report,
    ReportsFull,
    Verdict,
    cleaned,
    read_report,
)
from urbanos_edge.node import Node
from urbanos_edge.settings import Settings
from urbanos_edge.upkeep.rounds import expire_forever

HOME = "192.0.2.1"


def add(node: Node, address: str = HOME, *, ago_us: int = 0, **more: object) -> Report:
    at = to_rfc3339(node.clock.now_us() - ago_us)
    given = {"lat": 60.17, "lng": 24.94, "kind": "smoke", "at": at, **more}
    return anyio.run(node.reports.add, msgspec.convert(given, NewReport), address)


def decide(node: Node, number: int, verdict: Verdict) -> Report:
    return anyio.run(node.reports.decide, number, verdict)


async def expire_once(node: Node) -> None:
    """Begin what a serving node does every hour, until it waits for the next one."""
    with anyio.move_on_after(0.3):
        await expire_forever(node)


def ids(node: Node, **asked: object) -> list[int]:
    return [report.id for report in node.reports.find(Asked(**asked))]  # type: ignore[arg-type]


def test_a_place_is_kept_to_a_thousandth_of_a_degree_and_no_address_at_all(
    node: Node, tmp_path: Path
) -> None:
    kept = add(node, lat=60.170449, lng=-0.00049, note="Ätzend")
    assert (kept.lat, kept.lng, kept.state) == (60.17, 0.0, "pending")
    assert str(kept.lng) == "0.0"
    with sqlite3.connect(tmp_path / DATABASE_NAME) as database:
        everything = "\n".join(database.iterdump())
    assert "Ätzend" in everything
    assert HOME not in everything
    assert "60.1704" not in everything


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  two\n\tlines  ", "two lines"),
        ("bell\x07 and escape\x1b[31m", "bell and escape[31m"),
        ("\u202egnp.exe\u2066", "gnp.exe"),
        ("<b onclick='x()'>&amp;</b>", "<b onclick='x()'>&amp;</b>"),
        ("👩\u200d🚒 煙 дим", "👩\u200d🚒 煙 дим"),
        ("\0", ""),
    ],
)
def test_a_note_is_one_line_of_text(given: str, kept: str) -> None:
    assert cleaned(given) == kept


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b'{"lat":91,"lng":0,"kind":"smoke"}',
        b'{"lat":0,"lng":-180.1,"kind":"smoke"}',
        b'{"lat":"60","lng":0,"kind":"smoke"}',
        b'{"lat":60,"lng":0,"kind":"perfume"}',
        b'{"lat":60,"lng":0,"kind":"smoke","name":"Aino"}',
        b'{"lat":60,"lng":0,"kind":"smoke","at":"2026-11-23T10:00:00"}',
        b'{"lat":60,"lng":0,"kind":"smoke","note":"' + b"x" * 501 + b'"}',
    ],
)
def test_what_is_no_report_is_refused(body: bytes) -> None:
    with pytest.raises(Unprocessable) as refused:
        read_report(body)
    assert refused.value.code == "invalid_report"


def test_a_note_may_have_500_characters_of_any_script() -> None:
    body = msgspec.json.encode({"lat": 60, "lng": 0, "kind": "dust", "note": "煙" * 500})
    assert len(read_report(body).note) == 500


@pytest.mark.parametrize("ago_us", [-6 * 60_000_000, 90 * DAY_US + 1_000_000])
def test_a_report_is_not_of_the_future_nor_older_than_what_is_kept(node: Node, ago_us: int) -> None:
    with pytest.raises(Unprocessable) as refused:
        add(node, ago_us=ago_us)
    assert refused.value.code == "invalid_at"


def test_what_was_refused_uses_up_nothing(open_node: Callable[..., Node]) -> None:
    node = open_node(report_rate_limit="1/hour")
    with pytest.raises(Unprocessable):
        add(node, ago_us=-DAY_US)
    add(node)
    with pytest.raises(TooManyRequests):
        add(node)
    add(node, "192.0.2.2")


def test_so_many_may_wait_and_the_next_is_refused_not_the_first_dropped(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MAX_PENDING", 3)
    waiting = [add(node).id for _ in range(3)]
    with pytest.raises(ReportsFull) as refused:
        add(node)
    assert (refused.value.status, refused.value.retry_after_s) == (503, 3600)
    assert sorted(ids(node)) == waiting
    decide(node, waiting[0], "rejected")
    assert add(node).state == "pending"


def test_the_oldest_decided_ones_go_when_there_are_too_many(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MAX_DECIDED", 2)
    old, waiting, new, newest = (add(node, ago_us=ago).id for ago in (9, 8, 7, 6))
    for number in (newest, old, new):
        decide(node, number, "approved")
    assert ids(node) == [newest, new, waiting]


def test_reports_are_found_by_state_time_and_box(node: Node) -> None:
    here, west, early = add(node), add(node, lng=24.80), add(node, ago_us=2 * DAY_US)
    decide(node, here.id, "approved")
    assert ids(node, states=("approved",)) == [here.id]
    assert ids(node, states=("pending", "approved")) == [west.id, here.id, early.id]
    assert ids(node, since_us=early.at_us, until_us=here.at_us) == [early.id]
    assert ids(node, box=Bounds(24.8, 60.0, 24.9, 60.2)) == [west.id]
    assert ids(node, limit=1) == [west.id]


def test_a_decision_may_be_undone_and_unknown_numbers_are_told(node: Node) -> None:
    number = add(node).id
    assert decide(node, number, "approved").state == "approved"
    assert decide(node, number, "rejected").state == "rejected"
    assert decide(node, number, "approved").state == "approved"
    for unknown in (number + 1, 0, -1, 1 << 63, 1 << 70):
        with pytest.raises(NotFound):
            decide(node, unknown, "approved")


def test_a_clock_in_doubt_drops_nothing(open_node: Callable[..., Node]) -> None:
    node = open_node()
    old = add(node, ago_us=8 * DAY_US)
    node = open_node(report_retention_days=7)
    node.clock.doubt = Doubt(node.started_us, 0)
    anyio.run(expire_once, node)
    assert ids(node) == [old.id]


def test_reports_outlive_a_restart_and_end_with_their_retention(
    open_node: Callable[..., Node],
) -> None:
    node = open_node()
    young, old = add(node), add(node, ago_us=8 * DAY_US)
    decide(node, old.id, "approved")
    node = open_node(report_retention_days=7)
    assert ids(node) == [young.id, old.id]
    anyio.run(expire_once, node)
    assert ids(node) == [young.id]
    assert node.reports.counts() == {"pending": 1, "approved": 0, "rejected": 0}
    assert add(node).id == old.id + 1, "no number is given twice"


def test_reports_are_decided_while_no_node_runs(tmp_path: Path) -> None:
    node = Node(Settings(), tmp_path)
    number = add(node, note="plastic").id
    node.close()
    where = ["--data-dir", str(tmp_path)]
    approved = CliRunner().invoke(main, ["report", "approve", str(number), *where])
    assert (approved.exit_code, approved.stderr) == (0, f"report {number} is approved\n")
    listed = CliRunner().invoke(main, ["report", "list", "--json", *where])
    [kept] = json.loads(listed.stdout)
    assert (kept["id"], kept["state"], kept["note"]) == (number, "approved", "plastic")
