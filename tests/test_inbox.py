"""The inbox: what unknown senders say waits there, within bounds, until somebody claims it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import anyio
import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.senders import ELSEWHERE, HARBOUR, SOMEWHERE, claim, receive, sent, stored_rows
from urbanos_edge.adapters import Candidate, Location
from urbanos_edge.clock import SECOND_US, Correction
from urbanos_edge.database import migrate
from urbanos_edge.errors import NotFound, StorageUnavailable, Unprocessable
from urbanos_edge.ingest import inbox
from urbanos_edge.ingest.inbox import Held, Kept
from urbanos_edge.ingest.receipt import Receipt
from urbanos_edge.ingest.registry import Wanted
from urbanos_edge.node import OWN_TOKEN, Node

# --- from the inbox into the store ---


def test_what_an_unknown_sender_says_waits_and_is_imported_as_of_its_arrival(node: Node) -> None:
    before_us = node.clock.now_us()
    assert receive(node, SOMEWHERE, sent(pm25=4.0)).held == 1
    assert receive(node, SOMEWHERE, sent(pm25=6.0)).held == 1
    after_us = node.clock.now_us()
    assert stored_rows(node) == []
    assert claim(node, name="Harbour").imported == 2
    rows = stored_rows(node, "pm25, lat, lng, epoch_us(timestamp), epoch_us(received_at)")
    assert [row[:3] for row in rows] == [(4.0, 60.161, 24.951), (6.0, 60.161, 24.951)]
    for row in rows:
        assert row[3] == row[4]
        assert before_us <= row[3] <= after_us
    assert node.sensors.get("esp-1").name == "Harbour"
    assert node.inbox.list() == []


def test_a_kept_candidate_keeps_its_own_time_and_place(node: Node) -> None:
    at = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
    receive(node, SOMEWHERE, sent(timestamp=at, location=Location(60.3, 25.0)))
    claim(node)
    rows = stored_rows(node, "lat, lng, epoch_us(timestamp)")
    assert rows == [(60.3, 25.0, at.timestamp() * SECOND_US)]


def test_what_is_sent_again_after_the_claim_is_stored_once(node: Node) -> None:
    at = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
    receive(node, SOMEWHERE, sent(timestamp=at))
    receive(node, SOMEWHERE, sent(timestamp=at))
    claim(node, rule="open")
    assert receive(node, SOMEWHERE, sent(timestamp=at)).accepted == 1
    assert claim(node, rule="open").imported == 0
    assert stored_rows(node) == [("esp-1", 5.0)]


def test_two_parts_of_one_message_without_a_time_are_two_readings(node: Node) -> None:
    receive(node, SOMEWHERE, sent(pm25=1.0), sent(pm25=2.0))
    claim(node)
    assert stored_rows(node) == [("esp-1", 1.0), ("esp-1", 2.0)]


def test_a_sender_may_be_claimed_for_a_sensor_of_another_name(node: Node) -> None:
    receive(node, SOMEWHERE, sent("esp-1", 1.0))
    claim(node, "esp-1", sensor="harbour", rule="open")
    receive(node, SOMEWHERE, sent("esp-1", 2.0))
    receive(node, SOMEWHERE, sent("esp-2", 3.0))
    claim(node, "esp-2", sensor="harbour", lat=None, lng=None, rule="open")
    anyio.run(node.ingest.accept, [sent("esp-2", 4.0)], OWN_TOKEN)
    assert stored_rows(node) == [("harbour", value) for value in (1.0, 2.0, 3.0, 4.0)]
    assert [sensor.id for sensor in node.sensors.list()] == ["harbour"]


def test_what_cannot_be_imported_becomes_a_letter(node: Node) -> None:
    receive(node, SOMEWHERE, sent(), Candidate(sensor_id="esp-1", values={"noise": 40.0}))
    claimed = claim(node)
    assert (claimed.imported, claimed.refused) == (1, 1)
    assert [letter.code for letter in node.dead_letters.list()] == ["no_known_quantity"]
    assert node.inbox.list() == []


def test_where_nobody_says_a_place_that_of_the_sender_is_taken(node: Node) -> None:
    receive(node, SOMEWHERE, sent(location=Location(60.3, 25.0)))
    claim(node, lat=None, lng=None)
    sensor = node.sensors.get("esp-1")
    assert (sensor.lat, sensor.lng) == (60.3, 25.0)
    receive(node, SOMEWHERE, sent("esp-2"))
    with pytest.raises(Unprocessable, match="--lat and --lng"):
        claim(node, "esp-2", lat=None, lng=None)


def test_an_import_that_the_disk_refuses_is_made_by_claiming_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageUnavailable("the disk failed")

    receive(node, SOMEWHERE, sent())
    with monkeypatch.context() as patch, pytest.raises(StorageUnavailable):
        patch.setattr(node.spool, "append", fail)
        claim(node)
    assert [unknown.kept for unknown in node.inbox.list()] == [1]
    assert claim(node).imported == 1
    assert stored_rows(node) == [("esp-1", 5.0)]


def test_a_claim_that_was_cut_short_is_finished_at_the_next_start(
    open_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageUnavailable("the disk failed")

    node = open_node()
    receive(node, SOMEWHERE, sent())
    with monkeypatch.context() as patch, pytest.raises(StorageUnavailable):
        patch.setattr(node.spool, "append", fail)
        claim(node, rule="open")
    node = open_node()
    anyio.run(node.registry.finish_claims)
    assert stored_rows(node) == [("esp-1", 5.0)]
    assert receive(node, ELSEWHERE, sent()).accepted == 1


def test_when_the_disk_fails_nobody_is_told_that_it_is_held(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageUnavailable("the disk failed")

    with monkeypatch.context() as patch, pytest.raises(StorageUnavailable):
        patch.setattr("urbanos_edge.ingest.group.keep", fail)
        receive(node, SOMEWHERE, sent())
    assert node.inbox.list() == []
    assert receive(node, SOMEWHERE, sent()).held == 1


def test_messages_that_come_while_the_claim_is_made_are_not_lost(node: Node) -> None:
    receipts: list[Receipt] = []

    async def send(number: int) -> None:
        receipts.append(await node.reception.receive([sent(pm25=float(number))], SOMEWHERE))

    async def all_at_once() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(send, number)
                if number == 50:
                    wanted = Wanted(sender="esp-1", rule="open", **HARBOUR)
                    tasks.start_soon(node.registry.claim, wanted)
                await anyio.sleep(0.001 if number % 10 == 0 else 0)
        await send(100)

    anyio.run(all_at_once)
    assert {receipt.held + receipt.accepted for receipt in receipts} == {1}
    assert {receipt.accepted for receipt in receipts} == {0, 1}
    assert [pm25 for (pm25,) in stored_rows(node, "pm25")] != []
    assert sorted(pm25 for (pm25,) in stored_rows(node, "pm25")) == [float(n) for n in range(101)]
    assert node.inbox.list() == []


def test_what_a_clock_in_doubt_stamped_moves_with_its_correction(node: Node) -> None:
    receive(node, SOMEWHERE, sent())
    [kept] = node.inbox.kept_of("esp-1")
    in_doubt = "UPDATE inbox_candidates SET is_trusted = 0"
    node.database.write_and_wait(lambda work: work.execute(in_doubt))
    correction = Correction(kept.arrived_us - 1, kept.arrived_us + 1, 7 * SECOND_US)
    anyio.run(node.restamp, correction)
    [moved] = node.inbox.kept_of("esp-1")
    assert (moved.arrived_us, moved.is_trusted) == (kept.arrived_us + 7 * SECOND_US, True)


# --- a gateway's token ---


def test_a_gateways_unknown_sensor_without_a_place_waits_in_the_inbox(node: Node) -> None:
    message = [sent("with", location=Location(60.1, 24.9)), sent("without")]
    receipt = anyio.run(node.ingest.accept, message, OWN_TOKEN)
    assert (receipt.accepted, receipt.held, receipt.refused) == (1, 1, [])
    assert [unknown.sender for unknown in node.inbox.list()] == ["without"]
    claim(node, "without")
    receipt = anyio.run(node.ingest.accept, [sent("without")], OWN_TOKEN)
    assert (receipt.accepted, receipt.held) == (1, 0)
    assert len(stored_rows(node)) == 3
    assert node.dead_letters.list() == []


# --- ignored ---


def test_an_ignored_sender_is_dropped_without_a_word_also_after_a_restart(
    open_node: Callable[..., Node],
) -> None:
    node = open_node()
    receive(node, SOMEWHERE, sent())
    anyio.run(node.registry.ignore, "esp-1")
    for _ in range(2):
        receipt = receive(node, SOMEWHERE, sent())
        assert (receipt.ignored, receipt.held, receipt.errors) == (1, 0, [])
        assert node.inbox.list() == []
        node = open_node()
    anyio.run(node.registry.heed, "esp-1")
    assert receive(node, SOMEWHERE, sent()).held == 1
    with pytest.raises(NotFound):
        anyio.run(node.registry.heed, "esp-1")


def test_a_sender_that_is_claimed_is_not_ignored_any_more(node: Node) -> None:
    receive(node, SOMEWHERE, sent())
    claim(node, rule="open")
    with pytest.raises(Unprocessable):
        anyio.run(node.registry.ignore, "esp-1")
    assert receive(node, SOMEWHERE, sent()).accepted == 1


def test_who_was_ignored_first_is_heard_again_when_the_list_is_full(
    open_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_IGNORED", 3)
    node = open_node()
    for sender in "abcd":
        anyio.run(node.registry.ignore, sender)
    assert list(node.inbox.ignored) == list(open_node().inbox.ignored) == ["b", "c", "d"]


# --- bounds ---


def test_the_sender_that_has_been_silent_longest_gives_way(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_SENDERS", 3)
    for sender in ("a", "b", "c", "a", "d"):
        receive(node, SOMEWHERE, sent(sender))
    assert [unknown.sender for unknown in node.inbox.list()] == ["d", "a", "c"]
    totals = dict(node.database.read().execute("SELECT outcome, readings FROM totals"))
    assert (totals["held"], totals["held_dropped"]) == (5, 1)
    left = node.database.read().execute("SELECT DISTINCT sender FROM inbox_candidates ORDER BY 1")
    assert [sender for (sender,) in left] == ["a", "c", "d"]


def test_of_a_sender_the_newest_is_kept_and_the_rest_counted(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_CANDIDATES", 3)
    for number in range(5):
        receive(node, SOMEWHERE, sent(pm25=float(number)))
    [unknown] = node.inbox.list()
    assert (unknown.messages, unknown.kept, unknown.dropped) == (5, 3, 2)
    assert unknown.last is not None
    assert unknown.last.values == {"pm25": 4.0}
    assert [kept.read().values["pm25"] for kept in node.inbox.kept_of("esp-1")] == [2.0, 3.0, 4.0]


def test_one_candidate_that_is_too_large_costs_no_other(node: Node) -> None:
    receive(node, SOMEWHERE, sent())
    large: dict[str, float | None] = {f"{'x' * 100}{number}": 1.0 for number in range(3000)}
    receive(node, SOMEWHERE, Candidate(sensor_id="esp-1", values=large))
    [unknown] = node.inbox.list()
    assert (unknown.messages, unknown.kept, unknown.dropped) == (2, 1, 1)


SENDERS = 3
CANDIDATES = 4
BYTES = 40
messages = st.lists(
    st.tuples(
        st.sampled_from("abcde"),
        st.lists(st.binary(min_size=1, max_size=BYTES + 5), min_size=1, max_size=7),
    ),
    max_size=12,
)


def as_kept_by_hand(
    sent_messages: Sequence[tuple[str, list[bytes]]],
) -> dict[str, list[bytes]]:
    """The rule, spelled out one candidate at a time."""
    known: dict[str, list[bytes]] = {}
    for sender, candidates in sent_messages:
        known[sender] = known.pop(sender, []) + [one for one in candidates if len(one) <= BYTES]
        while len(known[sender]) > CANDIDATES or sum(map(len, known[sender])) > BYTES:
            known[sender].pop(0)
        if len(known) > SENDERS:
            del known[next(iter(known))]
    return known


@given(messages, st.integers(1, 4))
def test_the_inbox_stays_within_its_bounds_whatever_comes(
    sent_messages: Sequence[tuple[str, list[bytes]]], group_size: int
) -> None:
    connection = apsw.Connection(":memory:")
    connection.pragma("foreign_keys", True)
    migrate(connection)
    moments = iter(range(10_000))
    held = [
        Held(sender, "x", "", next(moments), [Kept(next(moments), True, one) for one in candidates])
        for sender, candidates in sent_messages
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inbox, "MAX_SENDERS", SENDERS)
        patch.setattr(inbox, "MAX_CANDIDATES", CANDIDATES)
        patch.setattr(inbox, "MAX_BYTES", BYTES)
        for start in range(0, len(held), group_size):
            inbox.keep(connection, held[start : start + group_size])
    kept: dict[str, list[bytes]] = {}
    rows = "SELECT sender, candidate FROM inbox_candidates ORDER BY id"
    for sender, candidate in connection.execute(rows):
        kept.setdefault(sender, []).append(candidate)
    counted = connection.execute("SELECT sender, kept, bytes FROM inbox WHERE kept > 0").fetchall()
    assert {sender: (len(all_), sum(map(len, all_))) for sender, all_ in kept.items()} == {
        sender: (count, size) for sender, count, size in counted
    }
    assert len(connection.execute("SELECT sender FROM inbox").fetchall()) <= SENDERS
    if group_size == 1:
        by_hand = as_kept_by_hand(sent_messages)
        assert kept == {sender: all_ for sender, all_ in by_hand.items() if all_}
        arrived = sum(len(candidates) for _, candidates in sent_messages)
        totals = dict(connection.execute("SELECT outcome, readings FROM totals"))
        assert totals.get("held", 0) == arrived
        assert totals.get("held_dropped", 0) == arrived - sum(map(len, kept.values()))
