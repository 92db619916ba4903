"""Who somebody is and what they may: the rules alone, without a server."""

from __future__ import annotations

import pytest

from urbanos_edge.access.crowd import Crowd
from urbanos_edge.access.door import Asker, Door, cookie, kind_of
from urbanos_edge.access.hosts import Hosts, is_same_origin
from urbanos_edge.access.proxies import Proxies
from urbanos_edge.access.visits import LIVES_H, Visits
from urbanos_edge.allowance import Allowance, Rate
from urbanos_edge.errors import SettingsError
from urbanos_edge.settings import Settings, load

PROXIES = Proxies(("10.0.0.1", "10.1.0.0/16", "2001:db8:1::/48"))


class Hand:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("192.0.2.9", "198.51.100.1", "192.0.2.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.1.2.3", "198.51.100.1"),
        ("10.0.0.1", "10.1.0.9, 10.1.2.3", "10.1.0.9"),
        ("10.0.0.1", "198.51.100.1:5000", "198.51.100.1"),
        ("10.0.0.1", '"[2001:db8:2::7]:5000"', "2001:db8:2::7"),
        ("10.0.0.1", "2001:db8:2::7, 2001:db8:1::5", "2001:db8:2::7"),
        ("10.0.0.1", "6.6.6.6, nonsense", "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, nonsense, 10.1.2.3", "10.1.2.3"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("", "198.51.100.1", ""),
    ],
)
def test_a_client_is_the_nearest_that_no_trusted_proxy_is(
    peer: str, forwarded_for: str, client: str
) -> None:
    assert PROXIES.client(peer, forwarded_for) == client


def test_a_chain_of_proxies_without_end_costs_no_more_than_its_right_end() -> None:
    assert PROXIES.client("10.0.0.1", "6.6.6.6," + "10.1.0.1," * 100_000 + "10.1.0.2") == "10.1.0.1"


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:8080", "192.0.2.5", "192.0.2.5:80", "city-air.local"),
        *("city-air-2.local:8080", "city-air.local.", "air.example.org", "a.b.example.net:443"),
    ],
)
def test_own_names_and_addresses_are_known(host: str) -> None:
    hosts = Hosts("city-air", ["air.example.org", "*.example.net"])
    assert hosts.knows(host, "192.0.2.5")


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "192.0.2.6", "city-air.local.evil.example", "air.example.org.evil"),
        *("example.net", "localhost.evil.example", "", "evil.example:80", "city-air"),
        *("evilexample.net", "[2001:db8::1]:80", "city-air-x.local"),
    ],
)
def test_other_names_and_addresses_are_not(host: str) -> None:
    hosts = Hosts("city-air", ["air.example.org", "*.example.net"])
    assert not hosts.knows(host, "192.0.2.5")


def test_addresses_of_both_families_are_compared_as_they_are_written_in_a_url() -> None:
    hosts = Hosts("node", [])
    assert hosts.knows("[2001:db8::7]:8080", "2001:db8::7")
    assert hosts.knows("[fe80::1]", "fe80::1%eth0")
    assert hosts.knows("192.0.2.5", "::ffff:192.0.2.5"), "a socket for both families"
    assert Hosts("node", ["*"]).knows("anything.example", "192.0.2.5")


@pytest.mark.parametrize(
    ("origin", "host", "is_same"),
    [
        ("http://box.local:8080", "box.local:8080", True),
        ("http://box.local", "box.local:80", True),
        ("https://air.example.org", "air.example.org", True),
        ("https://[2001:db8::7]:8443", "[2001:db8::7]:8443", True),
        ("http://box.local:8081", "box.local:8080", False),
        ("http://evil.example", "box.local", False),
        ("http://box.local.evil.example", "box.local", False),
        ("null", "box.local", False),
        ("http://", "", False),
        ("http://box.local:99999", "box.local", False),
    ],
)
def test_an_origin_is_ours_when_it_names_the_host_that_was_asked(
    origin: str, host: str, is_same: bool
) -> None:
    assert is_same_origin(origin, host) is is_same


def test_a_visit_is_read_from_the_cookie_that_was_given_and_from_no_other() -> None:
    hand = Hand()
    visits, others = Visits(b"key", hand), Visits(b"other key", hand)
    given = visits.begin("192.0.2.1")
    forged = others.begin("192.0.2.1")
    assert given is not None and forged is not None
    assert visits.read(given) is not None
    assert visits.read(forged) is None
    flipped = ("A" if given[3] != "A" else "B").join((given[:3], given[4:]))
    for wrong in (flipped, given[:-4], given + "AAAA", "", "x", "ü" * 43, "A" * 43):
        assert visits.read(wrong) is None


def test_a_visit_ends_after_thirty_days_and_is_renewed_after_fifteen() -> None:
    hand = Hand()
    visits = Visits(b"key", hand)
    given = visits.begin("192.0.2.1")
    assert given is not None
    assert visits.is_young(given)
    hand.now_s += 3600 * (LIVES_H // 2 + 1)
    assert not visits.is_young(given)
    assert visits.read(given) is not None
    hand.now_s += 3600 * LIVES_H // 2
    assert visits.read(given) is None


def test_an_address_begins_so_many_visits_and_no_more() -> None:
    visits = Visits(b"key", new_visits=Rate(3, 3600))
    assert sum(visits.begin("192.0.2.1") is not None for _ in range(50)) == 3
    assert visits.begin("192.0.2.2") is not None


def test_browsers_behind_one_address_have_each_their_own_and_all_together_its_tiles() -> None:
    """100 + 100 for two of them; the address itself has 250 of everything."""
    door = Door(Settings(rate_limit="100/hour", tile_rate_limit="250/hour"), "node", b"key")

    def taken(asker: Asker) -> int:
        return sum(door.limits.ask("api", asker).is_allowed for _ in range(120))

    office = b"192.0.2.1"
    assert [taken(Asker(b"visit %d" % n, office)) for n in range(2)] == [100, 100]
    assert taken(Asker(b"visit 2", office)) == 250 - 240, "what was refused was asked, too"
    assert taken(Asker(b"visit 3", b"192.0.2.2")) == 100
    assert taken(Asker(office)) == 100


def test_what_is_left_is_told_in_whole_numbers() -> None:
    """Of 100 in a minute one comes back every 0.6 s; after 100 at once it takes 60 s for all."""
    hand = Hand()
    hand.now_s = 1000.0  # as fine as a monotonic clock's floats are
    allowance = Allowance(Rate(100, 60), monotonic=hand)
    rulings = [allowance.ask(b"one") for _ in range(100)]
    assert [ruling.remaining for ruling in rulings] == list(range(99, -1, -1))
    assert all(ruling.is_allowed for ruling in rulings)
    assert rulings[-1].full_in_s == pytest.approx(60)
    refused = allowance.ask(b"one")
    assert (refused.is_allowed, refused.remaining) == (False, 0)
    assert refused.wait_s == pytest.approx(0.6)
    hand.now_s += 30
    assert allowance.ask(b"one").remaining == 49


@pytest.mark.parametrize(
    ("path", "method", "kind"),
    [
        ("/api/v1/grids/z12-x1-y1", "GET", "api"),
        ("/api/v1/reports", "POST", "api"),
        ("/api/v1/data/ingest", "POST", "ingest"),
        ("/api/v3/write_lp", "POST", "ingest"),
        ("/data.php", "POST", "ingest"),
        ("/tiles/readings/1/1/1.mvt", "GET", "tiles"),
        ("/", "GET", "tiles"),
        ("/ws", "GET", "tiles"),
        ("/api/v1/live", "GET", "tiles"),
    ],
)
def test_each_path_is_counted_in_its_kind(path: str, method: str, kind: str) -> None:
    assert kind_of(path, method) == kind


def test_one_value_is_taken_from_a_field_of_cookies() -> None:
    said = 'a=1; urbanos_session="abc"; b=; urbanos_session=late'
    assert cookie(said, "urbanos_session") == "abc"
    assert cookie(said, "b") == cookie(said, "session") == cookie("", "a") == ""


def test_one_address_holds_a_quarter_of_the_connections_and_a_proxy_any() -> None:
    crowd = Crowd(40, PROXIES)
    seats = [crowd.enter("192.0.2.1") for _ in range(12)]
    assert sum(seat is not None for seat in seats) == 10
    assert sum(crowd.enter("10.0.0.1") is not None for _ in range(40)) == 30
    assert crowd.enter("192.0.2.2") is None
    for seat in seats[:2]:
        assert seat is not None
        seat.leave()
        seat.leave()
    assert crowd.open == 38, "a seat is left once"
    assert crowd.enter("192.0.2.2") is not None


def test_a_household_holds_a_quarter_of_the_connections_whatever_its_addresses() -> None:
    """A /64 has 2^64 of them; who has one of these has them all."""
    crowd = Crowd(40, PROXIES)
    seats = [crowd.enter(f"2001:db8::{number:x}") for number in range(12)]
    assert sum(seat is not None for seat in seats) == 10
    assert crowd.enter("2001:db8:0:1::1") is not None
    assert seats[0] is not None
    seats[0].leave()
    assert crowd.enter("2001:db8::ffff") is not None
    assert crowd.enter("2001:db8::ffff") is None


def test_lists_are_read_from_words_and_from_json() -> None:
    words = load({"trusted_proxies": "10.0.0.1, 10.1.0.0/16"}, environment={})
    assert words.trusted_proxies == ("10.0.0.1", "10.1.0.0/16")
    variables = {"URBANOS_ALLOWED_HOSTS": '["air.example.org"]'}
    assert load({}, environment=variables).allowed_hosts == ("air.example.org",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trusted_proxies", "10.0.0.0/33"),
        ("trusted_proxies", "proxy.example.org"),
        ("allowed_hosts", "https://air.example.org"),
        ("allowed_hosts", "air.example.org:443"),
        ("cors_origins", "example.org"),
        ("cors_origins", "https://example.org/"),
        ("rate_limit", "0/minute"),
        ("rate_limit", "100/day"),
    ],
)
def test_what_cannot_be_meant_stops_the_start(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load({name: value}, environment={})
    assert name in refused.value.message
