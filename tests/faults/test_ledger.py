"""The ledger sees what is lost, doubled, wrong or invented."""

from __future__ import annotations

from tests.faults.ledger import Ledger, Promise, Sent, Values, compare

FIRST = Sent("a", 1, 10.0)
REVISED = Sent("a", 1, 20.0, 5.0)
AT_FIRST: Values = (10.0, None)
AFTER: Values = (20.0, 5.0)


def promised(*acknowledged: Sent, on_its_way: Sent | None = None) -> Promise:
    ledger = Ledger()
    for sent in acknowledged:
        ledger.send([sent])
        ledger.acknowledge([sent])
    if on_its_way:
        ledger.send([on_its_way])
    return ledger.promise()


def test_what_was_acknowledged_and_is_not_there_is_lost() -> None:
    assert compare(promised(FIRST), {}).lost == [FIRST.identity]


def test_what_is_there_twice_is_doubled() -> None:
    found = {FIRST.identity: [AT_FIRST, AT_FIRST]}
    assert compare(promised(FIRST), found).doubled == [FIRST.identity]


def test_a_revision_must_show_once_it_is_acknowledged_and_may_show_before() -> None:
    old, new = {FIRST.identity: [AT_FIRST]}, {FIRST.identity: [AFTER]}
    assert compare(promised(FIRST, REVISED), old).wrong == [FIRST.identity]
    assert compare(promised(FIRST, REVISED), new).is_clean
    assert compare(promised(FIRST), new).wrong == [FIRST.identity]
    assert compare(promised(FIRST, on_its_way=REVISED), old).is_clean
    assert compare(promised(FIRST, on_its_way=REVISED), new).is_clean


def test_a_repetition_keeps_the_quantities_it_does_not_name() -> None:
    promise = promised(FIRST, REVISED, FIRST)
    assert promise.acknowledged == {FIRST.identity: (10.0, 5.0)}


def test_what_nobody_sent_is_invented() -> None:
    assert compare(promised(), {FIRST.identity: [AT_FIRST]}).invented == [FIRST.identity]


def test_what_was_sent_and_not_answered_may_be_stored_or_not() -> None:
    promise = promised(on_its_way=FIRST)
    assert compare(promise, {}).is_clean
    assert compare(promise, {FIRST.identity: [AT_FIRST]}).is_clean
