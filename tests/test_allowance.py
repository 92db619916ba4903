"""How often somebody may: by arithmetic on a clock in the test's hand."""

from __future__ import annotations

import pytest

from urbanos_edge.allowance import KEY_LIVES_S, Allowance, Rate, network
from urbanos_edge.errors import TooManyRequests


class Hand:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def hand() -> Hand:
    return Hand()


def taken(allowance: Allowance, address: str, times: int) -> int:
    """How many of so many tries succeed."""
    count = 0
    for _ in range(times):
        try:
            allowance.take(address)
        except TooManyRequests:
            continue
        count += 1
    return count


@pytest.mark.parametrize(
    ("text", "times", "period_s"),
    [("10/hour", 10, 3600), ("100/minute", 100, 60), ("1/second", 1, 1)],
)
def test_a_rate_is_read(text: str, times: int, period_s: int) -> None:
    assert Rate.read(text) == Rate(times, period_s)


def test_all_may_be_used_at_once_and_come_back_one_by_one(hand: Hand) -> None:
    """Ten an hour: one comes back every six minutes."""
    allowance = Allowance(Rate(10, 3600), monotonic=hand)
    assert taken(allowance, "192.0.2.1", 20) == 10
    with pytest.raises(TooManyRequests) as refused:
        allowance.take("192.0.2.1")
    assert refused.value.retry_after_s == 360
    hand.now_s += 359
    assert taken(allowance, "192.0.2.1", 5) == 0
    hand.now_s += 1
    assert taken(allowance, "192.0.2.1", 5) == 1
    hand.now_s += 3600
    assert taken(allowance, "192.0.2.1", 20) == 10


def test_one_client_takes_nothing_from_another(hand: Hand) -> None:
    allowance = Allowance(Rate(1, 60), monotonic=hand)
    assert [taken(allowance, f"192.0.2.{n}", 3) for n in range(5)] == [1] * 5


def test_memory_is_bounded_and_who_asked_longest_ago_is_forgotten(hand: Hand) -> None:
    allowance = Allowance(Rate(1, 3600), max_clients=3, monotonic=hand)
    for n in range(3):
        allowance.take(f"192.0.2.{n}")
    assert taken(allowance, "192.0.2.0", 1) == 0, "asking in vain is asking, too"
    allowance.take("192.0.2.3")
    assert len(allowance) == 3
    assert taken(allowance, "192.0.2.0", 1) == 0
    assert taken(allowance, "192.0.2.1", 1) == 1


def test_no_address_is_held_and_the_key_of_its_hash_lives_a_day(hand: Hand) -> None:
    allowance = Allowance(Rate(1, 3600), monotonic=hand)
    allowance.take("192.0.2.77")
    held = repr(vars(allowance))
    assert "192.0.2.77" not in held
    hand.now_s += KEY_LIVES_S
    allowance.take("192.0.2.88")
    assert len(allowance) == 1, "what was known under the old key is gone with it"


@pytest.mark.parametrize(
    ("address", "whom"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_household_is_one_client(address: str, whom: str) -> None:
    """RFC 6177: a site gets a /64 or more, and picks addresses in it as it likes."""
    assert network(address) == whom


def test_to_check_uses_up_nothing(hand: Hand) -> None:
    allowance = Allowance(Rate(2, 60), monotonic=hand)
    for _ in range(10):
        allowance.check("192.0.2.1")
    assert taken(allowance, "192.0.2.1", 5) == 2
    with pytest.raises(TooManyRequests) as refused:
        allowance.check("192.0.2.1")
    assert refused.value.retry_after_s == 30
    allowance.check("192.0.2.2")
    hand.now_s += 30
    allowance.check("192.0.2.1")
