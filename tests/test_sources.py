"""Who is believed for a sensor, and what becomes of one that moves or goes."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest

from tests.senders import ELSEWHERE, SOMEWHERE, claim, receive, refusals, sent, stored_rows
from urbanos_edge.adapters import Candidate, Location, Malformed
from urbanos_edge.errors import (
    EdgeError,
    NotFound,
    ReadingRejected,
    TooManyRequests,
    Unauthorized,
    Unprocessable,
)
from urbanos_edge.ingest.passwords import GUESSES
from urbanos_edge.ingest.reception import Arrival
from urbanos_edge.node import OWN_TOKEN, Node

# --- who is believed ---


def test_a_claimed_sender_is_believed_from_its_address_only(node: Node) -> None:
    receive(node, SOMEWHERE, sent())
    claim(node, rule="address")
    assert receive(node, SOMEWHERE, sent()).accepted == 1
    receipt = receive(node, ELSEWHERE, sent())
    assert (receipt.accepted, receipt.held, refusals(receipt)) == (0, 0, ["source_refused"])
    assert receipt.errors[0].status == 403
    assert node.dead_letters.list() == [], "who is not believed writes no letters"
    refused = node.registry.show("esp-1")["sources"][0]["refused"]
    assert (refused["messages"], refused["address"]) == (1, ELSEWHERE.address)
    assert len(stored_rows(node)) == 2


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("192.168.1.0/24", "192.168.1.255", "192.168.2.0"),
        ("192.168.1.77", "192.168.1.77", "192.168.1.78"),
        ("192.168.1.77/24", "::ffff:192.168.1.1", "::ffff:192.168.2.1"),
        ("fe80::/64", "fe80::1%eth0", "fe81::1"),
        ("10.0.0.0/8", "10.255.0.1", ""),
        ("10.0.0.0/8", "10.0.0.1", "unix socket"),
    ],
)
def test_an_address_may_be_a_network(node: Node, network: str, inside: str, outside: str) -> None:
    receive(node, SOMEWHERE, sent())
    claim(node, rule="address", address=network)
    assert receive(node, Arrival("airrohr", inside), sent()).accepted == 1
    assert refusals(receive(node, Arrival("airrohr", outside), sent())) == ["source_refused"]


def test_claiming_again_changes_the_rule(node: Node) -> None:
    receive(node, SOMEWHERE, sent())
    claim(node, rule="address", name="Harbour")
    again: dict[str, Any] = {"lat": None, "lng": None}
    claim(node, rule="address", address=ELSEWHERE.address, **again)
    assert receive(node, ELSEWHERE, sent()).accepted == 1
    assert refusals(receive(node, SOMEWHERE, sent())) == ["source_refused"]
    claim(node, rule="open", **again)
    assert receive(node, SOMEWHERE, sent()).accepted == 1
    sensor = node.sensors.get("esp-1")
    assert (sensor.name, sensor.lat, sensor.lng) == ("Harbour", 60.161, 24.951)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_user_and_password_are_believed_however_they_come(node: Node) -> None:
    receive(node, SOMEWHERE, sent())
    claimed = claim(node, rule="basic", user="harbour", password="püssword:8")
    assert claimed.secret is None
    for came in (
        Arrival("airrohr", "", basic("harbour", "püssword:8")),
        Arrival("line-protocol", "", "", "harbour", "püssword:8"),
    ):
        assert receive(node, came, sent()).accepted == 1
    for came in (
        Arrival("airrohr", "", basic("harbour", "password:8")),
        Arrival("airrohr", "", basic("Harbour", "püssword:8")),
        Arrival("airrohr", "", basic("harbour", "")),
        SOMEWHERE,
    ):
        assert refusals(receive(node, came, sent())) == ["source_refused"]


def test_wrong_passwords_use_up_what_a_network_may_guess_and_hold_up_no_right_one(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty a minute; what was right once costs nothing any more, from wherever it comes."""
    now_s = time.monotonic()
    monkeypatch.setattr(node.reception._passwords._guesses, "_monotonic", lambda: now_s)
    for sender in ("esp-1", "esp-2"):
        receive(node, SOMEWHERE, sent(sender))
        claim(node, sender, rule="basic", user=sender, password="correct horse")
    known = Arrival("airrohr", "192.0.2.1", basic("esp-1", "correct horse"))
    assert receive(node, known, sent("esp-1")).accepted == 1
    for number in range(GUESSES.times):
        wrong = Arrival("airrohr", "192.0.2.1", basic("esp-1", f"guess {number}"))
        assert refusals(receive(node, wrong, sent("esp-1"))) == ["source_refused"]
    new = basic("esp-2", "correct horse")
    with pytest.raises(TooManyRequests):
        receive(node, Arrival("airrohr", "192.0.2.1", new), sent("esp-2"))
    assert receive(node, known, sent("esp-1")).accepted == 1
    assert receive(node, Arrival("airrohr", "192.0.2.2", new), sent("esp-2")).accepted == 1


def test_a_pair_of_another_user_is_not_even_tried(node: Node) -> None:
    receive(node, SOMEWHERE, sent())
    claim(node, rule="basic", user="harbour", password="correct horse")
    for number in range(2 * GUESSES.times):
        came = Arrival("airrohr", "192.0.2.1", basic("stranger", f"guess {number}"))
        assert refusals(receive(node, came, sent())) == ["source_refused"]
    right = Arrival("airrohr", "192.0.2.1", basic("harbour", "correct horse"))
    assert receive(node, right, sent()).accepted == 1


def test_a_password_is_made_and_kept_nowhere(open_node: Callable[..., Node]) -> None:
    node = open_node()
    receive(node, SOMEWHERE, sent())
    password = claim(node, rule="basic").secret
    assert password is not None
    given_one = "correct horse battery"
    receive(node, SOMEWHERE, sent("esp-2"))
    claim(node, "esp-2", rule="basic", password=given_one)
    files = [path for path in node.data_dir.rglob("*") if path.is_file()]
    for secret in (password, given_one):
        assert not any(secret.encode() in path.read_bytes() for path in files)
    node = open_node()
    assert receive(node, Arrival("airrohr", "", basic("esp-1", password)), sent()).accepted == 1


@pytest.mark.parametrize(
    "spell",
    [
        lambda token: Arrival("x", "", f"Bearer {token}"),
        lambda token: Arrival("x", "", f"Token {token}"),
        lambda token: Arrival("x", "", f"Token anyone:{token}"),
        lambda token: Arrival("x", "", basic("anyone", token)),
        lambda token: Arrival("x", "", basic(token, "x-oauth-basic")),
        lambda token: Arrival("x", "", "", "anyone", token),
    ],
)
def test_a_token_is_known_however_it_is_carried(
    node: Node, spell: Callable[[str], Arrival]
) -> None:
    receive(node, SOMEWHERE, sent())
    token = claim(node, sensor="harbour").secret
    assert token is not None
    assert receive(node, spell(token), sent()).accepted == 1
    receipt = receive(node, spell(token), sent("esp-2"))
    assert (refusals(receipt), receipt.errors[0].status) == (["not_your_sensor"], 403)
    assert refusals(receive(node, SOMEWHERE, sent())) == ["source_refused"]
    anyio.run(node.tokens.revoke, 1)
    with pytest.raises(Unauthorized):
        receive(node, spell(token), sent())


def test_a_registered_sensor_is_not_believed_without_its_token(node: Node) -> None:
    anyio.run(node.ingest.accept, [sent("school", location=Location(60.1, 24.9))], OWN_TOKEN)
    assert refusals(receive(node, SOMEWHERE, sent("school"))) == ["source_refused"]
    assert node.registry.show("school")["refused"]["address"] == SOMEWHERE.address


def test_in_one_message_every_sender_has_its_own_fate(node: Node) -> None:
    receive(node, SOMEWHERE, sent("open"), sent("closed"))
    claim(node, "open", rule="open")
    claim(node, "closed", rule="token")
    broken = Malformed(ReadingRejected("no name", code="invalid_reading"), b"{}")
    nothing = Candidate(sensor_id="open", values={})
    message: list[Candidate | Malformed] = [sent("closed"), sent("open"), broken]
    message += [sent("unknown"), nothing]
    receipt = receive(node, SOMEWHERE, *message)
    assert (receipt.accepted, receipt.held) == (1, 1)
    told = [(refusal.index, refusal.code) for refusal in receipt.refused]
    assert told == [(0, "source_refused"), (2, "invalid_reading"), (4, "no_values")]
    assert [letter.code for letter in node.dead_letters.list()] == ["no_values"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"sender": "never-heard"}, "not_found"),
        ({"rule": "address", "address": "next door"}, "invalid_network"),
        ({"address": "192.0.2.1"}, "rule_mismatch"),
        ({"rule": "open", "password": "long enough"}, "rule_mismatch"),
        ({"sensor": "alias"}, "sender_claimed"),
        ({"lat": None}, "place_missing"),
    ],
)
def test_a_claim_that_makes_no_sense_changes_nothing(
    node: Node, more: dict[str, Any], code: str
) -> None:
    receive(node, SOMEWHERE, sent(), sent("alias"))
    claim(node, "alias", sensor="harbour", rule="open")
    with pytest.raises(EdgeError) as refusal:
        claim(node, **{"sender": "esp-1", **more})
    assert refusal.value.code == code
    assert [unknown.sender for unknown in node.inbox.list()] == ["esp-1"]
    assert [sensor.id for sensor in node.sensors.list()] == ["harbour"]


# --- sensors ---


def test_a_moved_sensor_keeps_its_history_where_it_was_measured(node: Node) -> None:
    anyio.run(node.registry.add, "school", "School", 60.1, 24.9)
    anyio.run(node.ingest.accept, [sent("school", 1.0)], OWN_TOKEN)
    anyio.run(lambda: node.registry.change("school", place=(60.2, 25.0)))
    anyio.run(node.ingest.accept, [sent("school", 2.0)], OWN_TOKEN)
    assert stored_rows(node, "pm25, lat, lng") == [(1.0, 60.1, 24.9), (2.0, 60.2, 25.0)]


def test_a_removed_sensor_leaves_its_readings_and_loses_all_that_spoke_for_it(
    open_node: Callable[..., Node],
) -> None:
    node = open_node()
    receive(node, SOMEWHERE, sent(), sent("esp-2"))
    token = claim(node, sensor="harbour").secret
    claim(node, "esp-2", sensor="harbour", rule="open")
    anyio.run(node.registry.remove, "harbour")
    for _ in range(2):
        assert node.sensors.list() == []
        with pytest.raises(Unauthorized):
            receive(node, Arrival("x", "", f"Bearer {token}"), sent())
        assert receive(node, SOMEWHERE, sent("esp-2")).held == 1
        node = open_node()
    assert len(stored_rows(node)) == 2
    with pytest.raises(NotFound):
        anyio.run(node.registry.remove, "harbour")


def test_a_sensor_is_added_once_and_under_a_name_of_its_own(node: Node) -> None:
    anyio.run(node.registry.add, "school", "School", 60.1, 24.9)
    with pytest.raises(Unprocessable):
        anyio.run(node.registry.add, "school", "Again", 60.1, 24.9)
    receive(node, SOMEWHERE, sent())
    claim(node, sensor="harbour")
    with pytest.raises(Unprocessable, match="sensor 'harbour'"):
        anyio.run(node.registry.add, "esp-1", "Confusing", 60.1, 24.9)


def test_the_weakest_rule_of_a_sensor_is_told(node: Node) -> None:
    receive(node, SOMEWHERE, *map(sent, ("a", "b", "c")))
    claim(node, "a", sensor="s", rule="address")
    claim(node, "b", sensor="s", rule="basic")
    claim(node, "c", rule="token")
    assert {told["id"]: told["rule"] for told in node.registry.list()} == {
        "s": "address",
        "c": "token",
    }
    shown = node.registry.show("s")
    assert [source["rule"] for source in shown["sources"]] == ["address", "basic"]
    assert "proof" not in msgspec.json.encode(shown).decode()
